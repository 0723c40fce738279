//! DeleteRecords (key 21): moves a log's first offset up (KIP-107).
//!
//! v1 is v0, v2 is flexible.

use crate::message;

message! {
    /// Asks for the records below an offset to be deleted.
    pub struct DeleteRecordsRequest {
        /// By topic.
        [0..] topics: Vec<DeleteRecordsRequestTopic>;
        /// How long to wait for the copies of a partition, in milliseconds. There is one copy.
        [0..] timeout_ms: i32;
    }

    /// What is to go of one topic.
    pub struct DeleteRecordsRequestTopic {
        /// The topic's name.
        [0..] name: String;
        /// By partition.
        [0..] partitions: Vec<DeleteRecordsRequestPartition>;
    }

    /// What is to go of one partition.
    pub struct DeleteRecordsRequestPartition {
        /// The partition's number.
        [0..] partition_index: i32;
        /// The first offset to stay; -1: the high watermark.
        [0..] offset: i64;
    }

    /// Where the logs begin now.
    pub struct DeleteRecordsResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [0..] throttle_time_ms: i32;
        /// By topic.
        [0..] topics: Vec<DeleteRecordsResponseTopic>;
    }

    /// Where one topic's logs begin.
    pub struct DeleteRecordsResponseTopic {
        /// The topic's name.
        [0..] name: String;
        /// By partition.
        [0..] partitions: Vec<DeleteRecordsResponsePartition>;
    }

    /// Where one partition's log begins.
    pub struct DeleteRecordsResponsePartition {
        /// The partition's number.
        [0..] partition_index: i32;
        /// The first offset, or -1.
        [0..] low_watermark: i64;
        /// The error, or 0.
        [0..] error_code: i16;
    }
}
