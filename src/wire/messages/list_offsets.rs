//! ListOffsets (key 2): the offset that belongs to a timestamp, or a log's start or end.
//!
//! v0 answers a list of segment starts, newest first, behind the log's end if that is old enough, too; from v1 on there
//! is one offset and its timestamp. v2 adds the isolation level, v4 leader epochs, v6 is flexible, v7 allows timestamp
//! -3 (KIP-734), v8 -4 (KIP-405), v9 -5 (KIP-1005), v10 adds the timeout (KIP-1075), v11 allows -6 (KIP-1023).

use crate::message;

message! {
    /// Asks for the offsets that belong to timestamps, or for a log's start or end.
    pub struct ListOffsetsRequest {
        /// Number of the replica that asks; -1 for a client.
        [0..] replica_id: i32;
        /// 0: everything up to the high watermark; 1: only what is committed (KIP-98).
        [2..] isolation_level: i8;
        /// By topic.
        [0..] topics: Vec<ListOffsetsRequestTopic>;
        /// How long a search in tiered storage may take, in milliseconds (KIP-1075).
        [10.., ignorable] timeout_ms: i32;
    }
    facts {
        /// The lowest of the special timestamps that the version knows; -2 in v1, -6 in v11.
        special_timestamp_min: i64 = -6;
        /// Whether the answer is a list of starts of segments, as in v0.
        wants_starts: bool = false;
    }

    /// What is asked of one topic.
    pub struct ListOffsetsRequestTopic {
        /// The topic's name.
        [0..] name: String;
        /// By partition.
        [0..] partitions: Vec<ListOffsetsRequestPartition>;
    }

    /// What is asked of one partition.
    pub struct ListOffsetsRequestPartition {
        /// The partition's number.
        [0..] partition_index: i32;
        /// The leader epoch that the client believes in, or -1 (KIP-320).
        [4.., ignorable] current_leader_epoch: i32 = -1;
        /// Milliseconds since 1970; -1: the end, -2: the start, -3: the largest timestamp, -4 and
        /// below: tiered storage.
        [0..] timestamp: i64;
        /// How many offsets are wanted, in v0.
        [0..=0] max_num_offsets: i32 = 1;
    }

    /// The offsets found.
    pub struct ListOffsetsResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [2.., ignorable] throttle_time_ms: i32;
        /// By topic.
        [0..] topics: Vec<ListOffsetsResponseTopic>;
    }

    /// One topic's offsets.
    pub struct ListOffsetsResponseTopic {
        /// The topic's name.
        [0..] name: String;
        /// By partition.
        [0..] partitions: Vec<ListOffsetsResponsePartition>;
    }

    /// One partition's offset.
    pub struct ListOffsetsResponsePartition {
        /// The partition's number.
        [0..] partition_index: i32;
        /// The error, or 0.
        [0..] error_code: i16;
        /// Offsets in v0, at most `max_num_offsets`.
        [0..=0] old_style_offsets: Vec<i64>;
        /// The timestamp of the record found, or -1.
        [1..] timestamp: i64 = -1;
        /// The offset found, or -1.
        [1..] offset: i64 = -1;
        /// The epoch of the record found, or -1.
        [4..] leader_epoch: i32 = -1;
    }
}
