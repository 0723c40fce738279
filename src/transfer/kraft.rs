//! The records that make a topic, as KRaft has them and Chronik's journal keeps them.

use super::TransferError;
use super::catalog::{TOPIC_RESOURCE, Topic};
use super::journal::Pair;
use crate::base::ids::TopicId;
use crate::broker::metadata_records::to_journal;
use crate::storage::job::StorageError;
use crate::wire::error::EncodeError;
use crate::wire::messages::internal::metadata::{
    ConfigRecord, MetadataRecord, PartitionRecord, TopicRecord,
};

/// What makes a topic whose partitions all lie on one node, there in `directory` if that is known.
pub(super) fn topic_records(
    topic: &Topic,
    node_id: i32,
    directory: Option<TopicId>,
) -> Vec<MetadataRecord> {
    let created = TopicRecord { name: topic.name.clone(), topic_id: topic.id };
    let partition = |index: &i32| {
        MetadataRecord::Partition(PartitionRecord {
            partition_id: *index,
            topic_id: topic.id,
            replicas: vec![node_id],
            isr: vec![node_id],
            leader: node_id,
            leader_epoch: 0,
            partition_epoch: 0,
            directories: directory.into_iter().collect(),
            ..PartitionRecord::default()
        })
    };
    let config = |(name, value): (&String, &String)| {
        MetadataRecord::Config(ConfigRecord {
            resource_type: TOPIC_RESOURCE,
            resource_name: topic.name.clone(),
            name: name.clone(),
            value: Some(value.clone()),
        })
    };
    let mut records = vec![MetadataRecord::Topic(created)];
    records.extend(topic.partitions.iter().map(partition));
    records.extend(topic.configs.iter().map(config));
    records
}

/// Records with the keys of Chronik's journal.
pub(super) fn keyed(records: &[MetadataRecord]) -> Result<Vec<Pair>, TransferError> {
    let pair = |record: &MetadataRecord| {
        let record = to_journal(record).map_err(unwritable)?;
        Ok((Some(record.key), record.value.unwrap_or_default()))
    };
    records.iter().map(pair).collect()
}

/// A record that has no form: a name that is too long.
pub(super) fn unwritable(error: EncodeError) -> TransferError {
    StorageError::content("write", std::path::Path::new("journal"), error.to_string()).into()
}
