//! Keys and values of `__transaction_state`: transactional ids, as Kafka's tools read them (KIP-98).
//!
//! Key and value each stand behind a version in two bytes. TransactionLogValue: v1 is flexible and adds, as tagged
//! fields, what a change of producer ids needs (KIP-360, KIP-890).

use crate::base::payload::Bytes;
use crate::message;
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::message::{decode_versioned, encode_versioned};

message! {
    /// Names a transactional id.
    pub struct TransactionLogKey {
        /// The transactional id.
        [0..] transactional_id: String;
    }

    /// A transactional id as of its last change.
    pub struct TransactionLogValue {
        /// The producer id that it has.
        [0..] producer_id: i64;
        /// The producer id of its last committed transaction, or -1.
        [1.., ignorable] [tag 0] previous_producer_id: i64 = -1;
        /// The producer id that its producer was told last, or -1.
        [1.., ignorable] [tag 1] next_producer_id: i64 = -1;
        /// The epoch of `producer_id`.
        [0..] producer_epoch: i16;
        /// A transaction without an end is aborted after this time, in milliseconds.
        [0..] transaction_timeout_ms: i32;
        /// 0 empty, 1 ongoing, 2 prepared to commit, 3 prepared to abort, 4 committed, 5 aborted, 6 dead, 7 prepared
        /// to be fenced.
        [0..] transaction_status: i8;
        /// The partitions of the transaction; none where there is no transaction.
        [0..] [null 0..] transaction_partitions: Option<Vec<TransactionLogValuePartitions>>
            = Some(vec![]);
        /// When it changed last, in milliseconds since 1970.
        [0..] transaction_last_update_timestamp_ms: i64;
        /// When the transaction began, in milliseconds since 1970, or -1.
        [0..] transaction_start_timestamp_ms: i64;
        /// The level of `transaction.version` that the client goes by (KIP-890).
        [1.., ignorable] [tag 2] client_transaction_version: i16;
        /// The epoch of `next_producer_id`, or -1.
        [1.., ignorable] [tag 3] next_producer_epoch: i16 = -1;
    }

    /// The partitions of one topic.
    pub struct TransactionLogValuePartitions {
        /// The topic's name.
        [0..] topic: String;
        /// The partitions' numbers.
        [0..] partition_ids: Vec<i32>;
    }
}

impl TransactionLogKey {
    /// Reads a record's key.
    ///
    /// # Errors
    /// If the bytes are not such a key.
    pub fn decode(key: &Bytes) -> Result<TransactionLogKey, DecodeError> {
        decode_versioned(key, 0..=0, i16::MAX)
    }

    /// Writes a record's key.
    ///
    /// # Errors
    /// If the transactional id is too long.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        encode_versioned(self, 0, false)
    }
}

impl TransactionLogValue {
    /// The version that Kafka writes.
    pub const VERSION: i16 = 1;

    /// Reads a record's value.
    ///
    /// # Errors
    /// If the bytes are not such a value.
    pub fn decode(value: &Bytes) -> Result<TransactionLogValue, DecodeError> {
        decode_versioned(value, 0..=1, 1)
    }

    /// Writes a record's value.
    ///
    /// # Errors
    /// If it has no form in this version.
    pub fn encode(&self, version: i16) -> Result<Vec<u8>, EncodeError> {
        encode_versioned(self, version, version >= 1)
    }
}
