//! The keys of `__cluster_metadata`: the values are KRaft's, whose log has no keys, as it is not compacted. Ours is, so
//! what a later record replaces must share its key.
//!
//! ```text
//! 0 1   type of the record, as in the value
//! 2 …   what it is about: a topic id, a partition, a setting, nothing
//! ```
//!
//! A topic's removal has the key of its creation. A setting that is taken back is a record without a value.

use super::journal::{JournalRecord, Log};
use crate::base::ids::TopicId;
use crate::wire::error::EncodeError;
use crate::wire::messages::internal::metadata::{ConfigRecord, MetadataRecord};

const TOPIC: u16 = 2;
const PARTITION: u16 = 3;
const CONFIG: u16 = 4;

/// The record as the journal keeps it.
///
/// # Errors
/// If it has no form on the wire: a mistake of the broker.
pub fn to_journal(record: &MetadataRecord) -> Result<JournalRecord, EncodeError> {
    let value = match record {
        MetadataRecord::Config(ConfigRecord { value: None, .. }) => None,
        record => Some(record.encode()?),
    };
    Ok(JournalRecord { log: Log::Metadata, key: key_of(record), value })
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

/// The setting that a record with this key and without a value takes back. `None`: it forgets something else.
#[must_use]
pub fn taken_back(key: &[u8]) -> Option<ConfigRecord> {
    let (kind, named) = key.strip_prefix(&CONFIG.to_be_bytes())?.split_first()?;
    let mut names = named.splitn(2, |byte| *byte == 0);
    let mut text = || Some(std::str::from_utf8(names.next()?).ok()?.to_owned());
    let (resource_name, name) = (text()?, text()?);
    Some(ConfigRecord {
        resource_type: i8::from_be_bytes([*kind]),
        resource_name,
        name,
        value: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::messages::internal::metadata::{RemoveTopicRecord, TopicRecord};

    #[test]
    fn a_setting_that_is_taken_back_is_known_by_its_key() {
        let record = ConfigRecord {
            resource_type: 2,
            resource_name: "t".into(),
            name: "retention.ms".into(),
            value: None,
        };
        let journalled = to_journal(&MetadataRecord::Config(record.clone())).unwrap();
        assert_eq!((taken_back(&journalled.key), journalled.value), (Some(record), None));
        assert_eq!(journalled.key, config_tombstone(2, "t", "retention.ms").key);
        let others =
            [partition_tombstone(TopicId([7; 16]), 0).key, vec![], vec![0, 4], vec![0, 4, 2, 116]];
        assert!(others.iter().all(|key| taken_back(key).is_none()));
    }

    #[test]
    fn a_topics_removal_replaces_its_creation() {
        let topic_id = TopicId([7; 16]);
        let topic = TopicRecord { name: "t".into(), topic_id };
        let created = to_journal(&MetadataRecord::Topic(topic)).unwrap();
        let removed = MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id });
        assert_eq!(created.key, to_journal(&removed).unwrap().key);
    }
}
