//! Produce (key 0): appends record batches.
//!
//! v0 to v2 carry message sets (magic 0 and 1), from v3 on one v2 batch per partition. v3 adds the transactional id,
//! v7 allows zstd (KIP-110), v8 says which records were refused (KIP-467), v9 is flexible, v10 names the leader with
//! an error (KIP-951), v12 announces that transactions need no AddPartitionsToTxn (KIP-890), v13 names topics by id.

use crate::base::ids::TopicId;
use crate::message;
use crate::wire::records::Records;

message! {
    /// Record batches to append, by topic and partition.
    pub struct ProduceRequest {
        /// The producer's transactional id; `None` outside of transactions.
        [3..] [null 3..] transactional_id: Option<String>;
        /// 0: send no answer; 1: answer after the write; -1: answer when the records are safe.
        [0..] acks: i16;
        /// How long the broker may take, in milliseconds.
        [0..] timeout_ms: i32;
        /// By topic.
        [0..] topic_data: Vec<ProduceRequestTopic>;
    }
    facts {
        /// Message sets of magic 0 and 1 are legal (v0 to v2); afterwards only v2 batches.
        old_format_allowed: bool;
        /// Exactly one batch per partition (v3 and later).
        one_batch_per_partition: bool = true;
        /// The client may compress with zstd (v7 and later, KIP-110).
        understands_zstd: bool = true;
        /// Topics have ids, not names (v13 and later, KIP-516).
        by_topic_id: bool;
    }

    /// The batches for one topic.
    pub struct ProduceRequestTopic {
        /// The topic's name.
        [0..=12, ignorable] name: String;
        /// The topic's id.
        [13.., ignorable] topic_id: TopicId;
        /// By partition.
        [0..] partition_data: Vec<ProduceRequestPartition>;
    }

    /// The batches for one partition.
    pub struct ProduceRequestPartition {
        /// The partition's number.
        [0..] index: i32;
        /// Record batches; message sets before v3.
        [0..] [null 0..] records: Option<Records>;
    }

    /// Where the batches were appended.
    pub struct ProduceResponse {
        /// By topic.
        [0..] responses: Vec<ProduceResponseTopic>;
        /// How long the client is held back for its quota, in milliseconds.
        [1.., ignorable] throttle_time_ms: i32;
        /// Addresses of the leaders named.
        [10..] [tag 0] node_endpoints: Vec<ProduceResponseNodeEndpoint>;
    }

    /// One topic's results.
    pub struct ProduceResponseTopic {
        /// The topic's name.
        [0..=12, ignorable] name: String;
        /// The topic's id.
        [13.., ignorable] topic_id: TopicId;
        /// By partition.
        [0..] partition_responses: Vec<ProduceResponsePartition>;
    }

    /// One partition's result.
    pub struct ProduceResponsePartition {
        /// The partition's number.
        [0..] index: i32;
        /// The error, or 0.
        [0..] error_code: i16;
        /// The first record's offset, or -1.
        [0..] base_offset: i64;
        /// The time given to all records in milliseconds, or -1 if they keep the producer's.
        [2.., ignorable] log_append_time_ms: i64 = -1;
        /// The first offset that the log still has, or -1.
        [5.., ignorable] log_start_offset: i64 = -1;
        /// The records because of which the batch was refused.
        [8.., ignorable] record_errors: Vec<ProduceResponseRecordError>;
        /// What went wrong, for people; may be null.
        [8.., ignorable] [null 8..] error_message: Option<String>;
        /// The leader, sent with an error that says it is another broker.
        [10..] [tag 0] current_leader: ProduceResponseLeader;
    }

    /// A record because of which its batch was refused (KIP-467).
    pub struct ProduceResponseRecordError {
        /// The record's place in its batch.
        [8..] batch_index: i32;
        /// What is wrong with the record, for people.
        [8..] [null 8..] batch_index_error_message: Option<String>;
    }

    /// The partition's leader, so that the client need not ask for metadata (KIP-951).
    pub struct ProduceResponseLeader {
        /// The leader's number, or -1.
        [10..] leader_id: i32 = -1;
        /// The leader's epoch, or -1.
        [10..] leader_epoch: i32 = -1;
    }

    /// Where a leader named above is reached.
    pub struct ProduceResponseNodeEndpoint {
        /// The broker's number.
        [10..] node_id: i32;
        /// The broker's host name.
        [10..] host: String;
        /// The broker's port.
        [10..] port: i32;
        /// The broker's rack, if it has one.
        [10..] [null 10..] rack: Option<String>;
    }
}
