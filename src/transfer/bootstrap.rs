//! The file from which a new KRaft controller takes its first records. It has the form of a snapshot: a header, batches
//! of records without keys, a footer.
//!
//! Kafka to 4.3 looks for `bootstrap.checkpoint`, from 4.4 on for the snapshot of offset 0 of its metadata log.

use std::path::Path;

use super::catalog::{Catalog, Topic};
use super::journal::{self, Pair};
use super::{Around, TransferError, kraft};
use crate::base::ids::{Offset, TopicId};
use crate::base::time::WallMs;
use crate::broker::topic_table::METADATA_TOPIC;
use crate::record::RecordError;
use crate::record::batch::BatchHeader;
use crate::record::builder::{BatchBuilder, BatchOptions};
use crate::storage::fs::replace_file;
use crate::storage::job::StorageError;
use crate::storage::meta::{MetaProperties, PARTITION_METADATA, PartitionMetadata};
use crate::wire::messages::internal::metadata::{
    FeatureLevelRecord, MetadataRecord, PartitionRecord, ProducerIdsRecord,
};

/// `metadata.version` and the others at the level of Kafka 4.0, which every 4.x can raise.
const FEATURES: [(&str, i16); 3] =
    [("metadata.version", 25), ("group.version", 1), ("transaction.version", 2)];
/// The types of the control records at both ends.
const HEADER: i16 = 3;
const FOOTER: i16 = 4;

/// Writes the file under both of its names.
pub(super) fn write(
    around: &Around,
    dir: &Path,
    meta: &MetaProperties,
    topics: &[Topic],
    catalog: &Catalog,
) -> Result<(), TransferError> {
    let records = records(meta, topics, catalog);
    let encoded: Result<Vec<Pair>, TransferError> = records
        .iter()
        .map(|record| {
            let newest = *record.key_and_versions().1.end();
            // The third version of a partition goes with features of later releases.
            let version = newest.min(1);
            Ok((None, record.encode_as(version).map_err(kraft::unwritable)?))
        })
        .collect();
    let bytes = snapshot(&encoded?, around.now)?;
    let fs = &*around.fs;
    replace_file(fs, &dir.join("bootstrap.checkpoint"), &bytes)?;
    let log = dir.join(format!("{METADATA_TOPIC}-0"));
    fs.create_dir(&log)?;
    let metadata = PartitionMetadata { topic_id: TopicId::METADATA };
    replace_file(fs, &log.join(PARTITION_METADATA), &metadata.encode())?;
    replace_file(fs, &log.join(format!("{:020}-{:010}.checkpoint", 0, 0)), &bytes)?;
    Ok(fs.sync_dir(&log)?)
}

fn records(meta: &MetaProperties, topics: &[Topic], catalog: &Catalog) -> Vec<MetadataRecord> {
    let feature = |(name, feature_level): (&str, i16)| {
        MetadataRecord::FeatureLevel(FeatureLevelRecord { name: name.to_owned(), feature_level })
    };
    let mut records: Vec<MetadataRecord> = FEATURES.map(feature).into();
    for topic in topics {
        records.extend(kraft::topic_records(topic, meta.node_id, meta.directory_id));
    }
    for record in &mut records {
        if let MetadataRecord::Partition(partition) = record {
            // The node is not registered yet; the controller elects it when it is.
            *partition = PartitionRecord { leader: -1, ..partition.clone() };
        }
    }
    if catalog.next_producer_id > 0 {
        records.push(MetadataRecord::ProducerIds(ProducerIdsRecord {
            broker_id: meta.node_id,
            broker_epoch: -1,
            next_producer_id: catalog.next_producer_id,
        }));
    }
    records
}

fn snapshot(records: &[Pair], now: WallMs) -> Result<Vec<u8>, TransferError> {
    let refused = |error: RecordError| {
        StorageError::content("write", Path::new("bootstrap.checkpoint"), error.to_string())
    };
    let mut header = 0i16.to_be_bytes().to_vec();
    header.extend(now.to_be_bytes());
    header.push(0);
    let mut footer = 0i16.to_be_bytes().to_vec();
    footer.push(0);
    let batches = journal::batches(1, 0, now, records)?;
    let end = match batches.last() {
        Some(last) => BatchHeader::read(last).map_err(refused)?.next_offset(),
        None => 1,
    };
    let mut bytes = control(0, HEADER, &header, now).map_err(refused)?;
    bytes.extend(batches.concat());
    bytes.extend(control(end, FOOTER, &footer, now).map_err(refused)?);
    Ok(bytes)
}

fn control(
    base_offset: Offset,
    kind: i16,
    value: &[u8],
    now: WallMs,
) -> Result<Vec<u8>, RecordError> {
    let options =
        BatchOptions { base_offset, leader_epoch: 0, control: true, ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(options)?;
    let key = [0i16.to_be_bytes(), kind.to_be_bytes()].concat();
    builder.append(now, Some(&key), Some(value), &[])?;
    builder.finish()
}
