//! The records of `__cluster_metadata`: Kafka's values under keys of ours.
//!
//! ```text
//! key    0 1              type of the record, as in Kafka's values
//!        2 …              what it is about: a topic id, a partition, a setting, nothing
//! value  varint 1         version of the frame
//!        varint           type of the record
//!        varint           version of the record
//!        …                the record, always in a flexible version
//! ```
//!
//! KRaft's log has no keys, as it is not compacted; ours is, so what a later record replaces must share its key.
//! A topic's removal has the key of its creation.

use super::journal::{JournalRecord, Log};
use crate::base::ids::TopicId;
use crate::base::payload::Bytes;
use crate::wire::error::{DecodeError, EncodeError, Problem};
use crate::wire::message::Wire;
use crate::wire::messages::internal::metadata::{
    ConfigRecord, PartitionRecord, ProducerIdsRecord, RegisterBrokerRecord, RemoveTopicRecord,
    TopicRecord,
};
use crate::wire::reader::Reader;
use crate::wire::writer::Writer;

/// A change of what the cluster is.
#[derive(Clone, Debug, PartialEq)]
pub enum MetadataRecord {
    /// The broker came up after an unclean end: its epoch is the leader epoch from now on.
    RegisterBroker(RegisterBrokerRecord),
    /// A topic exists.
    Topic(TopicRecord),
    /// A partition exists.
    Partition(PartitionRecord),
    /// A topic's setting was made.
    Config(ConfigRecord),
    /// A topic exists no more.
    RemoveTopic(RemoveTopicRecord),
    /// Producer ids below this one may have been handed out.
    ProducerIds(ProducerIdsRecord),
}

const REGISTER_BROKER: i16 = 0;
const TOPIC: i16 = 2;
const PARTITION: i16 = 3;
const CONFIG: i16 = 4;
const REMOVE_TOPIC: i16 = 9;
const PRODUCER_IDS: i16 = 15;
const FRAME_VERSION: u32 = 1;

impl MetadataRecord {
    fn kind(&self) -> i16 {
        match self {
            MetadataRecord::RegisterBroker(_) => REGISTER_BROKER,
            MetadataRecord::Topic(_) => TOPIC,
            MetadataRecord::Partition(_) => PARTITION,
            MetadataRecord::Config(_) => CONFIG,
            MetadataRecord::RemoveTopic(_) => REMOVE_TOPIC,
            MetadataRecord::ProducerIds(_) => PRODUCER_IDS,
        }
    }

    fn key(&self) -> Vec<u8> {
        match self {
            MetadataRecord::RegisterBroker(_) => REGISTER_BROKER.to_be_bytes().to_vec(),
            MetadataRecord::ProducerIds(_) => PRODUCER_IDS.to_be_bytes().to_vec(),
            MetadataRecord::Topic(topic) => topic_key(topic.topic_id),
            MetadataRecord::RemoveTopic(topic) => topic_key(topic.topic_id),
            MetadataRecord::Partition(p) => partition_key(p.topic_id, p.partition_id),
            MetadataRecord::Config(c) => config_key(c.resource_type, &c.resource_name, &c.name),
        }
    }

    /// The record as the journal keeps it.
    ///
    /// # Errors
    /// If it has no form on the wire: a mistake of the broker.
    pub fn to_journal(&self) -> Result<JournalRecord, EncodeError> {
        let mut w = Writer::new(0, true);
        w.unsigned_varint(FRAME_VERSION);
        w.unsigned_varint(u32::from(self.kind().unsigned_abs()));
        w.unsigned_varint(0);
        match self {
            MetadataRecord::RegisterBroker(record) => record.write(&mut w)?,
            MetadataRecord::Topic(record) => record.write(&mut w)?,
            MetadataRecord::Partition(record) => record.write(&mut w)?,
            MetadataRecord::Config(record) => record.write(&mut w)?,
            MetadataRecord::RemoveTopic(record) => record.write(&mut w)?,
            MetadataRecord::ProducerIds(record) => record.write(&mut w)?,
        }
        Ok(JournalRecord { log: Log::Metadata, key: self.key(), value: w.into_bytes() })
    }

    /// Reads a record's value.
    ///
    /// # Errors
    /// If it is none of ours.
    pub fn read(value: &Bytes) -> Result<MetadataRecord, DecodeError> {
        let mut r = Reader::new(value, 0, true);
        let bad = |problem| DecodeError { problem, place: "MetadataRecord" };
        if r.unsigned_varint()? != FRAME_VERSION {
            return Err(bad(Problem::UnknownVersion));
        }
        let kind = i16::try_from(r.unsigned_varint()?).map_err(|_| bad(Problem::BadValue))?;
        let version = i16::try_from(r.unsigned_varint()?).map_err(|_| bad(Problem::BadValue))?;
        r.switch(version, true);
        let record = match kind {
            REGISTER_BROKER => MetadataRecord::RegisterBroker(Wire::read(&mut r)?),
            TOPIC => MetadataRecord::Topic(Wire::read(&mut r)?),
            PARTITION => MetadataRecord::Partition(Wire::read(&mut r)?),
            CONFIG => MetadataRecord::Config(Wire::read(&mut r)?),
            REMOVE_TOPIC => MetadataRecord::RemoveTopic(Wire::read(&mut r)?),
            PRODUCER_IDS => MetadataRecord::ProducerIds(Wire::read(&mut r)?),
            _ => return Err(bad(Problem::UnknownApi)),
        };
        r.finish()?;
        Ok(record)
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

    #[test]
    fn a_topics_removal_replaces_its_creation() {
        let topic_id = TopicId([7; 16]);
        let topic = TopicRecord { name: "t".into(), topic_id };
        let created = MetadataRecord::Topic(topic).to_journal().unwrap();
        let removed = MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id });
        assert_eq!(created.key, removed.to_journal().unwrap().key);
    }

    #[test]
    fn values_are_kafkas() {
        // Frame 1, type 2, version 0, compact string "t", topic id, no tagged fields.
        let topic = TopicRecord { name: "t".into(), topic_id: TopicId::METADATA };
        let record = MetadataRecord::Topic(topic);
        let value = record.to_journal().unwrap().value.unwrap();
        let mut expected = vec![1, 2, 0, 2, b't'];
        expected.extend(TopicId::METADATA.0);
        expected.push(0);
        assert_eq!(value, expected);
        assert_eq!(MetadataRecord::read(&Bytes::from_vec(value)), Ok(record));
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        let record = MetadataRecord::ProducerIds(ProducerIdsRecord::default());
        let value = record.to_journal().unwrap().value.unwrap();
        for end in 0..value.len() {
            assert!(MetadataRecord::read(&Bytes::from(&value[..end])).is_err());
        }
    }
}
