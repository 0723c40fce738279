//! DescribeLogDirs (key 35): what lies in the data directories (KIP-113).
//!
//! v1 is v0, v2 is flexible, v3 adds an error of the whole, v4 the volume's size (KIP-827), v5 directories that take no new
//! partitions (KIP-1066).

use crate::message;

message! {
    /// Asks for the sizes of partitions.
    pub struct DescribeLogDirsRequest {
        /// By topic; `None`: all.
        [0..] [null 0..] topics: Option<Vec<DescribeLogDirsRequestTopic>> = Some(vec![]);
    }

    /// What is asked of one topic.
    pub struct DescribeLogDirsRequestTopic {
        /// The topic's name.
        [0..] topic: String;
        /// The partitions' numbers.
        [0..] partitions: Vec<i32>;
    }

    /// What lies in the data directories.
    pub struct DescribeLogDirsResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [0..] throttle_time_ms: i32;
        /// The error, or 0.
        [3.., ignorable] error_code: i16;
        /// By directory.
        [0..] results: Vec<DescribeLogDirsResponseResult>;
    }

    /// One directory.
    pub struct DescribeLogDirsResponseResult {
        /// The error, or 0.
        [0..] error_code: i16;
        /// The directory's absolute path.
        [0..] log_dir: String;
        /// By topic.
        [0..] topics: Vec<DescribeLogDirsResponseTopic>;
        /// Bytes of the volume in all, or -1.
        [4.., ignorable] total_bytes: i64 = -1;
        /// Bytes of the volume that may still be written, or -1.
        [4.., ignorable] usable_bytes: i64 = -1;
        /// Whether the directory takes no new partitions.
        [5.., ignorable] is_cordoned: bool;
    }

    /// One topic.
    pub struct DescribeLogDirsResponseTopic {
        /// The topic's name.
        [0..] name: String;
        /// By partition.
        [0..] partitions: Vec<DescribeLogDirsResponsePartition>;
    }

    /// One partition.
    pub struct DescribeLogDirsResponsePartition {
        /// The partition's number.
        [0..] partition_index: i32;
        /// Bytes of its segments.
        [0..] partition_size: i64;
        /// How many records this copy is behind.
        [0..] offset_lag: i64;
        /// Whether this copy is being made to take the place of another.
        [0..] is_future_key: bool;
    }
}
