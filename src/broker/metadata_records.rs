//! The keys of `__cluster_metadata`: the values are KRaft's, whose log has no keys, as it is not compacted. Ours is, so
//! what a later record replaces must share its key.
//!
//! ```text
//! 0 1   type of the record, as in the value
//! 2 …   what it is about: a topic id, a partition, a setting, nothing
//! ```
//!
//! A topic's removal has the key of its creation.

use super::journal::{JournalRecord, Log};
use crate::base::ids::TopicId;
use crate::wire::error::EncodeError;
use crate::wire::messages::internal::metadata::MetadataRecord;

const TOPIC: u16 = 2;
const PARTITION: u16 = 3;
const CONFIG: u16 = 4;

/// The record as the journal keeps it.
///
/// # Errors
/// If it has no form on the wire: a mistake of the broker.
pub fn to_journal(record: &MetadataRecord) -> Result<JournalRecord, EncodeError> {
    Ok(JournalRecord { log: Log::Metadata, key: key_of(record), value: Some(record.encode()?) })
}

fn key_of(record: &MetadataRecord) -> Vec<u8> {
    match record {
        MetadataRecord::Topic(topic) => topic_key(topic.topic_id),
        MetadataRecord::RemoveTopic(topic) => topic_key(topic.topic_id),
        MetadataRecord::Partition(p) => partition_key(p.topic_id, p.partition_id),
        MetadataRecord::Config(c) => config_key(c.resource_type, &c.resource_name, &c.name),
        // There is one of each.
        MetadataRecord::RegisterBroker(_)
        | MetadataRecord::FeatureLevel(_)
        | MetadataRecord::ProducerIds(_) => {
            let kind = u16::try_from(record.key_and_versions().0).unwrap_or(u16::MAX);
            kind.to_be_bytes().to_vec()
        }
    }
}

fn topic_key(id: TopicId) -> Vec<u8> {
    [&TOPIC.to_be_bytes()[..], &id.0].concat()
}

fn partition_key(id: TopicId, index: i32) -> Vec<u8> {
    [&PARTITION.to_be_bytes()[..], &id.0, &index.to_be_bytes()].concat()
}

fn config_key(resource_type: i8, resource: &str, name: &str) -> Vec<u8> {
    let kind = [&CONFIG.to_be_bytes()[..], &resource_type.to_be_bytes()].concat();
    [&kind[..], resource.as_bytes(), &[0], name.as_bytes()].concat()
}

/// Forgets a partition of a topic that was removed.
#[must_use]
pub fn partition_tombstone(id: TopicId, index: i32) -> JournalRecord {
    JournalRecord { log: Log::Metadata, key: partition_key(id, index), value: None }
}

/// Forgets a setting of a topic that was removed.
#[must_use]
pub fn config_tombstone(resource_type: i8, resource: &str, name: &str) -> JournalRecord {
    let key = config_key(resource_type, resource, name);
    JournalRecord { log: Log::Metadata, key, value: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::messages::internal::metadata::{RemoveTopicRecord, TopicRecord};

    #[test]
    fn a_topics_removal_replaces_its_creation() {
        let topic_id = TopicId([7; 16]);
        let topic = TopicRecord { name: "t".into(), topic_id };
        let created = to_journal(&MetadataRecord::Topic(topic)).unwrap();
        let removed = MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id });
        assert_eq!(created.key, to_journal(&removed).unwrap().key);
    }
}
