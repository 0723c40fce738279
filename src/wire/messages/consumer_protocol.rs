//! What consumers tell each other inside JoinGroup and SyncGroup: opaque to the coordinator, read by tools.
//!
//! Each stands behind its version in two bytes and is never flexible. v1 adds the partitions owned (KIP-429), v2 the
//! generation (KIP-792), v3 the rack (KIP-881). A version above 3 is read as 3, what follows is ignored.

use crate::base::payload::Bytes;
use crate::message;
use crate::wire::error::{DecodeError, EncodeError, Problem};
use crate::wire::message::{Wire, encode_versioned};
use crate::wire::reader::Reader;

message! {
    /// What a consumer tells the group's leader about itself.
    pub struct ConsumerProtocolSubscription {
        /// The topics it wants.
        [0..] topics: Vec<String>;
        /// What the assignor adds.
        [0..] [null 0..] user_data: Option<Bytes>;
        /// What it has now (KIP-429).
        [1.., ignorable] owned_partitions: Vec<ConsumerProtocolSubscriptionTopicPartition>;
        /// The generation in which it got them, or -1 (KIP-792).
        [2.., ignorable] generation_id: i32 = -1;
        /// Its rack (KIP-881).
        [3.., ignorable] [null 3..] rack_id: Option<String>;
    }

    /// Partitions of one topic.
    pub struct ConsumerProtocolSubscriptionTopicPartition {
        /// The topic's name.
        [1..] topic: String;
        /// The partitions' numbers.
        [1..] partitions: Vec<i32>;
    }

    /// What the group's leader gives to a consumer.
    pub struct ConsumerProtocolAssignment {
        /// What it gets.
        [0..] assigned_partitions: Vec<ConsumerProtocolAssignmentTopicPartition>;
        /// What the assignor adds.
        [0..] [null 0..] user_data: Option<Bytes>;
    }

    /// Partitions of one topic.
    pub struct ConsumerProtocolAssignmentTopicPartition {
        /// The topic's name.
        [0..] topic: String;
        /// The partitions' numbers.
        [0..] partitions: Vec<i32>;
    }
}

/// The newest version of both.
const VERSION_MAX: i16 = 3;

impl ConsumerProtocolSubscription {
    /// Reads what a consumer put into its JoinGroup.
    ///
    /// # Errors
    /// If the bytes are not a subscription.
    pub fn decode(bytes: &Bytes) -> Result<ConsumerProtocolSubscription, DecodeError> {
        decode(bytes, VERSION_MAX)
    }

    /// Reads the topics that a consumer wants. Whatever its version, they come first, and what follows is not looked
    /// at: some clients name a newer version than they write.
    ///
    /// # Errors
    /// If the bytes are not a subscription.
    pub fn decode_topics(bytes: &Bytes) -> Result<Vec<String>, DecodeError> {
        decode(bytes, 0).map(|subscription: ConsumerProtocolSubscription| subscription.topics)
    }

    /// Writes it, with its version before it.
    ///
    /// # Errors
    /// If it has no form in this version.
    pub fn encode(&self, version: i16) -> Result<Vec<u8>, EncodeError> {
        encode_versioned(self, version, false)
    }
}

impl ConsumerProtocolAssignment {
    /// Reads what a consumer got from its SyncGroup.
    ///
    /// # Errors
    /// If the bytes are not an assignment.
    pub fn decode(bytes: &Bytes) -> Result<ConsumerProtocolAssignment, DecodeError> {
        decode(bytes, VERSION_MAX)
    }

    /// Writes it, with its version before it.
    ///
    /// # Errors
    /// If it has no form in this version.
    pub fn encode(&self, version: i16) -> Result<Vec<u8>, EncodeError> {
        encode_versioned(self, version, false)
    }
}

/// Newer versions only add fields at the end, so what is left over is no error.
fn decode<T: Wire>(bytes: &Bytes, version_max: i16) -> Result<T, DecodeError> {
    let mut r = Reader::new(bytes, 0, false);
    let version = r.i16().map_err(|error| error.at("ConsumerProtocol.version"))?;
    if version < 0 {
        return Err(DecodeError::new(Problem::UnknownVersion).at("ConsumerProtocol.version"));
    }
    r.switch(version.min(version_max), false);
    T::read(&mut r).map_err(|error| error.at_byte(r.position()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One topic, no user data, no owned partitions, generation 5, no rack; behind it what a version 4 may bring.
    const SUBSCRIPTION: &[u8] = &[
        0, 4, 0, 0, 0, 1, 0, 1, b't', 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 5, 0xff, 0xff,
        1, 2,
    ];

    #[test]
    fn a_newer_subscription_is_read_as_far_as_it_is_known() {
        let read = ConsumerProtocolSubscription::decode(&Bytes::from(SUBSCRIPTION)).unwrap();
        assert_eq!((read.topics, read.generation_id), (vec!["t".to_owned()], 5));
    }

    #[test]
    fn the_topics_are_read_though_what_follows_is_cut_off() {
        let cut = &SUBSCRIPTION[..15];
        assert!(ConsumerProtocolSubscription::decode(&Bytes::from(cut)).is_err());
        let topics = ConsumerProtocolSubscription::decode_topics(&Bytes::from(cut)).unwrap();
        assert_eq!(topics, ["t"]);
    }

    #[test]
    fn a_negative_version_is_an_error() {
        let error =
            ConsumerProtocolAssignment::decode(&Bytes::from(&[0xff, 0xff][..])).unwrap_err();
        assert_eq!(error.problem, Problem::UnknownVersion);
    }
}
