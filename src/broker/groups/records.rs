//! The records of `__consumer_offsets`: groups and commits in Kafka's own keys and values.

use std::sync::Arc;

use crate::base::payload::Bytes;
use crate::broker::journal::{JournalRecord, Log};
use crate::wire::error::{DecodeError, EncodeError, Problem};
use crate::wire::messages::internal::offsets::{
    GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue, OffsetsKey,
};

/// The version of a position that has an expiry of its own; it has no topic id.
const COMMIT_WITH_EXPIRY: i16 = 1;
/// The version of any other position.
const COMMIT: i16 = 4;

/// A change of what is known of a group.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum GroupRecord {
    /// A group's generation, or its end.
    Group { group: Arc<str>, value: Option<GroupMetadataValue> },
    /// A position that the group stored, or that it is forgotten.
    Commit { group: Arc<str>, topic: Arc<str>, partition: i32, value: Option<OffsetCommitValue> },
}

impl GroupRecord {
    /// The record as the journal keeps it.
    ///
    /// # Errors
    /// If a name is longer than a record can hold.
    pub(super) fn encode(&self) -> Result<JournalRecord, EncodeError> {
        let (key, value) = match self {
            GroupRecord::Group { group, value } => {
                let key = GroupMetadataKey { group: group.to_string() };
                let value = value.as_ref().map(|value| value.encode(GroupMetadataValue::VERSION));
                (OffsetsKey::GroupMetadata(key), value)
            }
            GroupRecord::Commit { group, topic, partition, value } => {
                let key = OffsetCommitKey {
                    group: group.to_string(),
                    topic: topic.to_string(),
                    partition: *partition,
                };
                (OffsetsKey::OffsetCommit(key), value.as_ref().map(encode_commit))
            }
        };
        Ok(JournalRecord { log: Log::Offsets, key: key.encode()?, value: value.transpose()? })
    }

    /// Reads a record. `None`: it is of a kind that is not known here, such as groups of the new protocol.
    ///
    /// # Errors
    /// If key or value are damaged.
    pub(super) fn decode(
        key: &Bytes,
        value: Option<&Bytes>,
    ) -> Result<Option<GroupRecord>, DecodeError> {
        // A copy: what a group keeps of it would keep the batch in memory.
        let value = value.map(|value| Bytes::from(&**value));
        let record = match OffsetsKey::decode(key) {
            Ok(OffsetsKey::GroupMetadata(key)) => GroupRecord::Group {
                group: key.group.into(),
                value: value.as_ref().map(GroupMetadataValue::decode).transpose()?,
            },
            Ok(OffsetsKey::OffsetCommit(key)) => GroupRecord::Commit {
                group: key.group.into(),
                topic: key.topic.into(),
                partition: key.partition,
                value: value.as_ref().map(OffsetCommitValue::decode).transpose()?,
            },
            Err(error) if error.problem == Problem::UnknownVersion => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(record))
    }
}

fn encode_commit(value: &OffsetCommitValue) -> Result<Vec<u8>, EncodeError> {
    let has_expiry = value.expire_timestamp >= 0;
    value.encode(if has_expiry { COMMIT_WITH_EXPIRY } else { COMMIT })
}
