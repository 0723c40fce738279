//! OffsetForLeaderEpoch (key 23): where a leader epoch ended, so that a client notices a log that was cut.
//!
//! v1 returns the epoch, v2 fences by the current epoch (KIP-320), v3 adds the replica's id, v4 is flexible.

use crate::message;

message! {
    /// Asks where leader epochs ended (KIP-101, KIP-320).
    pub struct OffsetForLeaderEpochRequest {
        /// Number of the replica that asks; -1 for a client, -2 where the version does not say.
        [3.., ignorable] replica_id: i32 = -2;
        /// By topic.
        [0..] topics: Vec<OffsetForLeaderEpochRequestTopic>;
    }

    /// What is asked of one topic.
    pub struct OffsetForLeaderEpochRequestTopic {
        /// The topic's name.
        [0..] topic: String;
        /// By partition.
        [0..] partitions: Vec<OffsetForLeaderEpochRequestPartition>;
    }

    /// What is asked of one partition.
    pub struct OffsetForLeaderEpochRequestPartition {
        /// The partition's number.
        [0..] partition: i32;
        /// The leader epoch that the client believes in, or -1 (KIP-320).
        [2.., ignorable] current_leader_epoch: i32 = -1;
        /// The epoch asked about.
        [0..] leader_epoch: i32;
    }

    /// Where leader epochs ended.
    pub struct OffsetForLeaderEpochResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [2.., ignorable] throttle_time_ms: i32;
        /// By topic.
        [0..] topics: Vec<OffsetForLeaderEpochResponseTopic>;
    }

    /// One topic's answers.
    pub struct OffsetForLeaderEpochResponseTopic {
        /// The topic's name.
        [0..] topic: String;
        /// By partition.
        [0..] partitions: Vec<OffsetForLeaderEpochResponseEpochEndOffset>;
    }

    /// One partition's answer.
    pub struct OffsetForLeaderEpochResponseEpochEndOffset {
        /// The error, or 0.
        [0..] error_code: i16;
        /// The partition's number.
        [0..] partition: i32;
        /// The largest known epoch not above the one asked about, or -1.
        [1.., ignorable] leader_epoch: i32 = -1;
        /// Offset after the epoch's last record, or -1.
        [0..] end_offset: i64 = -1;
    }
}
