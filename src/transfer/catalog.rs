//! What a `__cluster_metadata` says: topics with their partitions and settings, and how far producer ids were given out.
//! Chronik's and Kafka's hold the same records, Kafka's many others beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::TransferError;
use crate::base::ids::{Offset, ProducerId, TopicId};
use crate::base::payload::Bytes;
use crate::broker::metadata_records::taken_back;
use crate::record::batch::BatchHeader;
use crate::record::records::RecordReader;
use crate::storage::adopt;
use crate::storage::fs::Fs;
use crate::storage::job::StorageError;
use crate::wire::messages::internal::metadata::MetadataRecord;

/// Most bytes that the records of one batch take.
pub(super) const BATCH_BYTES_MAX: usize = 256 << 20;
/// What kind of resource a topic is in a `ConfigRecord`.
pub(super) const TOPIC_RESOURCE: i8 = 2;
/// The kinds of records, by key, that Chronik does not keep and an operator would miss.
const NOT_TAKEN: &[(u8, &str)] = &[
    (11, "SCRAM credentials"),
    (14, "client quotas"),
    (18, "access control entries"),
    (10, "delegation tokens"),
];

/// A topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) id: TopicId,
    pub(super) partitions: BTreeSet<i32>,
    pub(super) configs: BTreeMap<String, String>,
}

/// All that is known of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Catalog {
    topics: BTreeMap<TopicId, Topic>,
    /// The first producer id that was not given out.
    pub(super) next_producer_id: ProducerId,
    /// The epoch of the broker that registered last: Chronik's leader epoch.
    pub(super) broker_epoch: i64,
    /// How many there are of what is not taken over.
    pub(super) others: BTreeMap<&'static str, usize>,
}

impl Catalog {
    /// Reads a log of metadata: the newest snapshot, if there is one, and what follows it. `unclean`: a crash may have
    /// torn its end.
    pub(super) fn read(fs: &dyn Fs, dir: &Path, unclean: bool) -> Result<Catalog, TransferError> {
        let mut catalog = Catalog::default();
        let snapshot = newest_snapshot(fs, dir)?;
        if let Some((_, path)) = &snapshot {
            catalog.read_file(fs, path, 0, false)?;
        }
        let from = snapshot.map_or(0, |(offset, _)| offset);
        let files = adopt::log_files(fs, dir)?;
        if files.first().is_some_and(|(base, _)| *base > from) {
            let reason = "its beginning is missing, and there is no snapshot of it";
            return Err(StorageError::content("read", dir, reason).into());
        }
        let last = files.len().saturating_sub(1);
        for (number, (_, path)) in files.iter().enumerate() {
            catalog.read_file(fs, path, from, unclean && number == last)?;
        }
        Ok(catalog)
    }

    fn read_file(
        &mut self,
        fs: &dyn Fs,
        path: &Path,
        from: Offset,
        unclean: bool,
    ) -> Result<(), TransferError> {
        let mut bad = None;
        let left = adopt::visit_batches(fs, path, &mut |header, batch| {
            if bad.is_none() {
                bad = self.note_batch(header, batch, from).err();
            }
        })?;
        if left > 0 && !unclean {
            bad.get_or_insert(format!("damaged, {left} bytes before its end"));
        }
        bad.map_or(Ok(()), |reason| Err(StorageError::content("read", path, reason).into()))
    }

    fn note_batch(
        &mut self,
        header: &BatchHeader,
        batch: &[u8],
        from: Offset,
    ) -> Result<(), String> {
        if header.is_control() {
            return Ok(());
        }
        let reader = RecordReader::open(batch, BATCH_BYTES_MAX);
        let mut records = reader.map_err(|error| error.to_string())?;
        while let Some(record) = records.next().map_err(|error| error.to_string())? {
            if record.offset < from {
                continue;
            }
            match (record.value, record.key.and_then(taken_back)) {
                (Some(value), _) => self
                    .note(value)
                    .map_err(|reason| format!("offset {}: {reason}", record.offset))?,
                (None, Some(config)) => self.replay(MetadataRecord::Config(config)),
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn note(&mut self, value: &[u8]) -> Result<(), String> {
        // The frame's version, then the record's key.
        let key = value.get(1).copied().unwrap_or_default();
        if let Some((_, name)) = NOT_TAKEN.iter().find(|(kind, _)| *kind == key) {
            *self.others.entry(name).or_default() += 1;
        }
        match MetadataRecord::decode(&Bytes::from(value)) {
            Ok(record) => self.replay(record),
            Err(error) if matches!(key, 2 | 3 | 4 | 9 | 15) => return Err(error.to_string()),
            Err(_) => {}
        }
        Ok(())
    }

    fn replay(&mut self, record: MetadataRecord) {
        match record {
            MetadataRecord::Topic(record) => {
                let topic = Topic { name: record.name, id: record.topic_id, ..Topic::default() };
                self.topics.insert(topic.id, topic);
            }
            MetadataRecord::Partition(record) => {
                if let Some(topic) = self.topics.get_mut(&record.topic_id) {
                    topic.partitions.insert(record.partition_id);
                }
            }
            MetadataRecord::Config(record) if record.resource_type == TOPIC_RESOURCE => {
                let named = |topic: &&mut Topic| topic.name == record.resource_name;
                if let Some(topic) = self.topics.values_mut().find(named) {
                    match record.value {
                        Some(value) => topic.configs.insert(record.name, value),
                        None => topic.configs.remove(&record.name),
                    };
                }
            }
            MetadataRecord::RemoveTopic(record) => {
                self.topics.remove(&record.topic_id);
            }
            MetadataRecord::ProducerIds(record) => {
                self.next_producer_id = self.next_producer_id.max(record.next_producer_id);
            }
            MetadataRecord::RegisterBroker(record) => self.broker_epoch = record.broker_epoch,
            MetadataRecord::Config(_) | MetadataRecord::FeatureLevel(_) => {}
        }
    }

    /// All topics.
    pub(super) fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.values()
    }

    /// The topic of this name.
    pub(super) fn named(&self, name: &str) -> Option<&Topic> {
        self.topics.values().find(|topic| topic.name == name)
    }

    /// Takes note of a partition's directory where no metadata tells of it.
    pub(super) fn add_partition(&mut self, name: &str, id: TopicId, index: i32) {
        let fresh = || Topic { name: name.to_owned(), id, ..Topic::default() };
        self.topics.entry(id).or_insert_with(fresh).partitions.insert(index);
    }
}

/// The newest snapshot of a metadata log and the offset behind what it holds.
fn newest_snapshot(fs: &dyn Fs, dir: &Path) -> Result<Option<(Offset, PathBuf)>, StorageError> {
    let offset_of = |name: &str| {
        let (offset, epoch) = name.strip_suffix(".checkpoint")?.split_once('-')?;
        let digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
        let named = offset.len() == 20 && digits(offset) && digits(epoch);
        named.then(|| offset.parse::<Offset>().ok()).flatten()
    };
    let entries = fs.read_dir(dir)?;
    let snapshots = entries.iter().filter_map(|e| Some((offset_of(&e.name)?, dir.join(&e.name))));
    Ok(snapshots.max())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::metadata_records::to_journal;
    use crate::record::builder::{BatchBuilder, BatchOptions};
    use crate::storage::fs::{OpenMode, write_full};
    use crate::testing::fs::SimFs;
    use crate::wire::messages::internal::metadata::{ConfigRecord, TopicRecord};

    #[test]
    fn a_setting_that_was_taken_back_is_not_taken_over() {
        let topic = TopicRecord { name: "t".into(), topic_id: TopicId([7; 16]) };
        let config = |name: &str, value: Option<&str>| {
            MetadataRecord::Config(ConfigRecord {
                resource_type: TOPIC_RESOURCE,
                resource_name: "t".into(),
                name: name.into(),
                value: value.map(str::to_owned),
            })
        };
        let mut batch = BatchBuilder::new(BatchOptions::default()).unwrap();
        for record in [
            MetadataRecord::Topic(topic),
            config("retention.ms", Some("1")),
            config("segment.bytes", Some("2")),
            config("retention.ms", None),
        ] {
            let record = to_journal(&record).unwrap();
            batch.append(0, Some(&record.key), record.value.as_deref(), &[]).unwrap();
        }
        let (fs, dir) = (SimFs::new(), Path::new("/log"));
        fs.create_dir(dir).unwrap();
        let file = fs.open(&dir.join("00000000000000000000.log"), OpenMode::Create).unwrap();
        write_full(&*file, &batch.finish().unwrap(), 0).unwrap();
        let catalog = Catalog::read(&*fs, dir, false).unwrap();
        let expected = BTreeMap::from([("segment.bytes".to_owned(), "2".to_owned())]);
        assert_eq!(catalog.named("t").unwrap().configs, expected);
    }
}
