//! OffsetCommit (key 8) and OffsetFetch (key 9): the positions that groups store.
//!
//! OffsetCommit: v0 knows no generation (as a commit from outside the group), v1 has a timestamp per partition, v2 to
//! v4 a retention time, v3 adds the throttle time, v6 leader epochs, v7 static members (KIP-345), v8 is flexible, v9
//! serves KIP-848, v10 names topics by id. OffsetFetch: v2 allows null for everything and has an error of its own, v3
//! adds the throttle time, v5 leader epochs, v6 is flexible, v7 adds `require_stable` (KIP-447), v8 asks for several
//! groups (KIP-709), v9 serves KIP-848, v10 names topics by id. What v0 to v7 place outside of `groups` is moved there
//! and back, so the broker knows `groups` alone.

use crate::base::ids::TopicId;
use crate::message;

message! {
    /// Stores a group's positions.
    pub struct OffsetCommitRequest {
        /// The group's name.
        [0..] group_id: String;
        /// The generation, or the member's epoch (KIP-848); -1 for a commit from outside the group.
        [1.., ignorable] generation_id_or_member_epoch: i32 = -1;
        /// The member's id; empty for a commit from outside the group.
        [1.., ignorable] member_id: String;
        /// The member's own lasting name, if it is a static member (KIP-345).
        [7..] [null 7..] group_instance_id: Option<String>;
        /// How long to keep the positions in milliseconds; -1: as the broker is configured.
        [2..=4, ignorable] retention_time_ms: i64 = -1;
        /// By topic.
        [0..] topics: Vec<OffsetCommitRequestTopic>;
    }
    facts {
        /// Topics have ids, not names (v10 and later).
        by_topic_id: bool;
    }

    /// One topic's positions.
    pub struct OffsetCommitRequestTopic {
        /// The topic's name.
        [0..=9, ignorable] name: String;
        /// The topic's id.
        [10.., ignorable] topic_id: TopicId;
        /// By partition.
        [0..] partitions: Vec<OffsetCommitRequestPartition>;
    }

    /// One partition's position.
    pub struct OffsetCommitRequestPartition {
        /// The partition's number.
        [0..] partition_index: i32;
        /// Offset of the next record to read, or -1.
        [0..] committed_offset: i64;
        /// The epoch of the last record read, or -1 (KIP-320).
        [6.., ignorable] committed_leader_epoch: i32 = -1;
        /// When the commit was made, in milliseconds since 1970, or -1.
        [1..=1] commit_timestamp: i64 = -1;
        /// What the client stores with it.
        [0..] [null 0..] committed_metadata: Option<String> = Some(String::new());
    }

    /// Which positions were stored.
    pub struct OffsetCommitResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [3.., ignorable] throttle_time_ms: i32;
        /// By topic.
        [0..] topics: Vec<OffsetCommitResponseTopic>;
    }

    /// One topic's results.
    pub struct OffsetCommitResponseTopic {
        /// The topic's name.
        [0..=9, ignorable] name: String;
        /// The topic's id.
        [10.., ignorable] topic_id: TopicId;
        /// By partition.
        [0..] partitions: Vec<OffsetCommitResponsePartition>;
    }

    /// One partition's result.
    pub struct OffsetCommitResponsePartition {
        /// The partition's number.
        [0..] partition_index: i32;
        /// The error, or 0.
        [0..] error_code: i16;
    }

    /// Asks for the positions that groups have stored.
    pub struct OffsetFetchRequest {
        /// The group's name, before v8.
        [0..=7] group_id: String;
        /// What is asked for, before v8; `None`: everything.
        [0..=7] [null 2..=7] topics: Option<Vec<OffsetFetchRequestTopic>> = Some(vec![]);
        /// By group (KIP-709).
        [8..] groups: Vec<OffsetFetchRequestGroup>;
        /// Whether to refuse positions that an open transaction may change (KIP-447).
        [7..] require_stable: bool;
    }
    facts {
        /// Topics have ids, not names (v10 and later).
        by_topic_id: bool;
        /// The answer has no error of the group (v0, v1): every partition asked for has to be in the answer even then.
        errors_per_partition: bool;
    }

    /// The partitions asked for, before v8.
    pub struct OffsetFetchRequestTopic {
        /// The topic's name.
        [0..=7] name: String;
        /// The partitions' numbers.
        [0..=7] partition_indexes: Vec<i32>;
    }

    /// What is asked of one group.
    pub struct OffsetFetchRequestGroup {
        /// The group's name.
        [8..] group_id: String;
        /// The member's id, in a group of the new protocol (KIP-848).
        [9.., ignorable] [null 9..] member_id: Option<String>;
        /// The member's epoch, in a group of the new protocol; -1 otherwise.
        [9.., ignorable] member_epoch: i32 = -1;
        /// What is asked for; `None`: everything.
        [8..] [null 8..] topics: Option<Vec<OffsetFetchRequestGroupTopic>> = Some(vec![]);
    }

    /// The partitions asked for in one group.
    pub struct OffsetFetchRequestGroupTopic {
        /// The topic's name.
        [8..=9, ignorable] name: String;
        /// The topic's id.
        [10.., ignorable] topic_id: TopicId;
        /// The partitions' numbers.
        [8..] partition_indexes: Vec<i32>;
    }

    /// The positions that groups have stored.
    pub struct OffsetFetchResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [3.., ignorable] throttle_time_ms: i32;
        /// By topic, before v8.
        [0..=7] topics: Vec<OffsetFetchResponseTopic>;
        /// The group's error, v2 to v7.
        [2..=7, ignorable] error_code: i16;
        /// By group (KIP-709).
        [8..] groups: Vec<OffsetFetchResponseGroup>;
    }

    /// One topic's positions, before v8.
    pub struct OffsetFetchResponseTopic {
        /// The topic's name.
        [0..=7] name: String;
        /// By partition.
        [0..=7] partitions: Vec<OffsetFetchResponsePartition>;
    }

    /// One partition's position, before v8.
    pub struct OffsetFetchResponsePartition {
        /// The partition's number.
        [0..=7] partition_index: i32;
        /// Offset of the next record to read, or -1.
        [0..=7] committed_offset: i64;
        /// The epoch of the last record read, or -1 (KIP-320).
        [5..=7, ignorable] committed_leader_epoch: i32 = -1;
        /// What the client stored with it.
        [0..=7] [null 0..=7] metadata: Option<String> = Some(String::new());
        /// The error, or 0.
        [0..=7] error_code: i16;
    }

    /// One group's positions.
    pub struct OffsetFetchResponseGroup {
        /// The group's name.
        [8..] group_id: String;
        /// By topic.
        [8..] topics: Vec<OffsetFetchResponseGroupTopic>;
        /// The error, or 0.
        [8..] error_code: i16;
    }

    /// One topic's positions in one group.
    pub struct OffsetFetchResponseGroupTopic {
        /// The topic's name.
        [8..=9, ignorable] name: String;
        /// The topic's id.
        [10.., ignorable] topic_id: TopicId;
        /// By partition.
        [8..] partitions: Vec<OffsetFetchResponseGroupPartition>;
    }

    /// One partition's position in one group.
    pub struct OffsetFetchResponseGroupPartition {
        /// The partition's number.
        [8..] partition_index: i32;
        /// Offset of the next record to read, or -1.
        [8..] committed_offset: i64;
        /// The epoch of the last record read, or -1 (KIP-320).
        [8.., ignorable] committed_leader_epoch: i32 = -1;
        /// What the client stored with it.
        [8..] [null 8..] metadata: Option<String> = Some(String::new());
        /// The error, or 0.
        [8..] error_code: i16;
    }
}
