//! Keys and values of `__consumer_offsets`: positions and groups, as Kafka's tools read them.
//!
//! Key and value each stand behind a version in two bytes. A key's version says what it is: 0 and 1 a position, 2 a
//! group. OffsetCommitValue: v1 has an expiry, v2 has not, v3 adds the leader epoch, v4 is flexible and adds the topic
//! id. GroupMetadataValue: v1 adds the rebalance timeout, v2 the time, v3 static members, v4 is flexible.

use crate::base::ids::TopicId;
use crate::base::payload::Bytes;
use crate::message;
use crate::wire::error::{DecodeError, EncodeError, Problem};
use crate::wire::message::{decode_versioned, encode_versioned};
use crate::wire::reader::Reader;

message! {
    /// Names a stored position.
    pub struct OffsetCommitKey {
        /// The group's name.
        [0..] group: String;
        /// The topic's name.
        [0..] topic: String;
        /// The partition's number.
        [0..] partition: i32;
    }

    /// A stored position.
    pub struct OffsetCommitValue {
        /// Offset of the next record to read.
        [0..] offset: i64;
        /// The epoch of the last record read, or -1.
        [3.., ignorable] leader_epoch: i32 = -1;
        /// What the client stored with it.
        [0..] metadata: String;
        /// When it was stored, in milliseconds since 1970.
        [0..] commit_timestamp: i64;
        /// When it is to be forgotten, in milliseconds since 1970, or -1: as configured.
        [1..=1, ignorable] expire_timestamp: i64 = -1;
        /// The topic's id, or zero.
        [4.., ignorable] [tag 0] topic_id: TopicId;
    }

    /// Names a group.
    pub struct GroupMetadataKey {
        /// The group's name.
        [0..] group: String;
    }

    /// A group as of its last generation.
    pub struct GroupMetadataValue {
        /// What kind of group it is: `consumer`, `connect`, …
        [0..] protocol_type: String;
        /// The generation's number.
        [0..] generation: i32;
        /// The protocol that was chosen, if any.
        [0..] [null 0..] protocol: Option<String> = Some(String::new());
        /// The leader's member id, if any.
        [0..] [null 0..] leader: Option<String> = Some(String::new());
        /// When the group became what it is, in milliseconds since 1970, or -1.
        [2.., ignorable] current_state_timestamp: i64 = -1;
        /// The members.
        [0..] members: Vec<GroupMetadataValueMember>;
    }

    /// One member.
    pub struct GroupMetadataValueMember {
        /// The member's id, given by the coordinator.
        [0..] member_id: String;
        /// The member's own lasting name, if it is a static member (KIP-345).
        [3.., ignorable] [null 3..] group_instance_id: Option<String>;
        /// The client's name for itself.
        [0..] client_id: String;
        /// The client's address.
        [0..] client_host: String;
        /// How long members have to join again, in milliseconds, or -1.
        [1.., ignorable] rebalance_timeout: i32 = -1;
        /// The member is out after this time without a heartbeat, in milliseconds.
        [0..] session_timeout: i32;
        /// What the member told the leader.
        [0..] subscription: Bytes;
        /// The member's share of the work.
        [0..] assignment: Bytes;
    }
}

/// What a record of `__consumer_offsets` is about.
#[derive(Clone, Debug, PartialEq)]
pub enum OffsetsKey {
    /// A position; the value is an [`OffsetCommitValue`], or none where it was taken back.
    OffsetCommit(OffsetCommitKey),
    /// A group; the value is a [`GroupMetadataValue`], or none where the group is gone.
    GroupMetadata(GroupMetadataKey),
}

impl OffsetsKey {
    /// Reads a record's key. A key version that is not known here is [`Problem::UnknownVersion`]: newer kinds of
    /// groups have keys of their own.
    ///
    /// # Errors
    /// If the bytes are not such a key.
    pub fn decode(key: &Bytes) -> Result<OffsetsKey, DecodeError> {
        const VERSION: &str = "OffsetsKey.version";
        match Reader::new(key, 0, false).i16().map_err(|error| error.at(VERSION))? {
            0..=1 => decode_versioned(key, 0..=1, i16::MAX).map(OffsetsKey::OffsetCommit),
            2 => decode_versioned(key, 2..=2, i16::MAX).map(OffsetsKey::GroupMetadata),
            _ => Err(DecodeError::new(Problem::UnknownVersion).at(VERSION)),
        }
    }

    /// Writes a record's key.
    ///
    /// # Errors
    /// If a name is too long.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        match self {
            OffsetsKey::OffsetCommit(key) => encode_versioned(key, 1, false),
            OffsetsKey::GroupMetadata(key) => encode_versioned(key, 2, false),
        }
    }
}

impl OffsetCommitValue {
    /// The version that Kafka writes where a position has no expiry of its own.
    pub const VERSION: i16 = 3;

    /// Reads a record's value.
    ///
    /// # Errors
    /// If the bytes are not such a value.
    pub fn decode(value: &Bytes) -> Result<OffsetCommitValue, DecodeError> {
        decode_versioned(value, 0..=4, 4)
    }

    /// Writes a record's value.
    ///
    /// # Errors
    /// If it has no form in this version.
    pub fn encode(&self, version: i16) -> Result<Vec<u8>, EncodeError> {
        encode_versioned(self, version, version >= 4)
    }
}

impl GroupMetadataValue {
    /// The version that Kafka writes.
    pub const VERSION: i16 = 3;

    /// Reads a record's value.
    ///
    /// # Errors
    /// If the bytes are not such a value.
    pub fn decode(value: &Bytes) -> Result<GroupMetadataValue, DecodeError> {
        decode_versioned(value, 0..=4, 4)
    }

    /// Writes a record's value.
    ///
    /// # Errors
    /// If it has no form in this version.
    pub fn encode(&self, version: i16) -> Result<Vec<u8>, EncodeError> {
        encode_versioned(self, version, version >= 4)
    }
}
