//! Fetch (key 1): reads record batches from given offsets on, and waits for them.
//!
//! v0 to v2 treat a partition's byte limit as hard and take a cut message at the end; v3 adds the limit of the whole
//! answer, and the first batch is always whole (KIP-74). v0 and v1 read magic 0, v2 and v3 magic 1, v4 and later v2
//! batches. v7 adds sessions (KIP-227), v9 fences by leader epoch (KIP-320), v10 allows zstd, v11 names a replica to
//! read from (KIP-392), v12 is flexible, v13 names topics by id (KIP-516), v15 moves the replica's id.

use crate::base::ids::TopicId;
use crate::message;
use crate::wire::records::Records;

message! {
    /// Asks for record batches from given offsets on, and may wait for them.
    pub struct FetchRequest {
        /// The cluster's id, if known.
        [12.., ignorable] [null 12..] [tag 0] cluster_id: Option<String>;
        /// Number of the replica that fetches; -1 for a client.
        [0..=14] replica_id: i32 = -1;
        /// Which replica fetches, if it is one.
        [15..] [tag 1] replica_state: FetchRequestReplicaState;
        /// How long the broker may wait for `min_bytes`, in milliseconds.
        [0..] max_wait_ms: i32;
        /// The answer waits until there are this many bytes.
        [0..] min_bytes: i32;
        /// Bytes in the whole answer; the first batch may exceed it (KIP-74).
        [3.., ignorable] max_bytes: i32 = i32::MAX;
        /// 0: everything up to the high watermark; 1: only what is committed (KIP-98).
        [4.., ignorable] isolation_level: i8;
        /// The fetch session, or 0 (KIP-227).
        [7.., ignorable] session_id: i32;
        /// Number of the request in its session; 0 asks for a new one, -1 for none.
        [7.., ignorable] session_epoch: i32 = -1;
        /// By topic.
        [0..] topics: Vec<FetchRequestTopic>;
        /// Partitions that leave the session.
        [7..] forgotten_topics_data: Vec<FetchRequestForgottenTopic>;
        /// The client's rack, to find a replica nearby (KIP-392).
        [11.., ignorable] rack_id: String;
    }
    facts {
        /// The newest message format that the client reads: 0 (v0, v1), 1 (v2, v3) or 2.
        magic_max: i8 = 2;
        /// A partition's byte limit is hard, and a cut message at the end is legal (v0 to v2).
        strict_byte_limit: bool;
        /// The client reads zstd (v10 and later, KIP-110).
        understands_zstd: bool = true;
        /// Topics have ids, not names (v13 and later, KIP-516).
        by_topic_id: bool;
        /// The version has fetch sessions (v7 and later, KIP-227).
        has_sessions: bool = true;
    }

    /// Who fetches, if it is a replica (KIP-903).
    pub struct FetchRequestReplicaState {
        /// Number of the replica that fetches; -1 for a client.
        [15..] replica_id: i32 = -1;
        /// The replica's epoch, or -1.
        [15..] replica_epoch: i64 = -1;
    }

    /// The partitions wanted of one topic.
    pub struct FetchRequestTopic {
        /// The topic's name.
        [0..=12, ignorable] topic: String;
        /// The topic's id.
        [13.., ignorable] topic_id: TopicId;
        /// By partition.
        [0..] partitions: Vec<FetchRequestPartition>;
    }

    /// Where to read in one partition, and how much.
    pub struct FetchRequestPartition {
        /// The partition's number.
        [0..] partition: i32;
        /// The leader epoch that the client believes in, or -1 (KIP-320).
        [9.., ignorable] current_leader_epoch: i32 = -1;
        /// The first offset wanted.
        [0..] fetch_offset: i64;
        /// The epoch of the last record that the client has, or -1.
        [12..] last_fetched_epoch: i32 = -1;
        /// A replica's own log start; -1 for a client.
        [5.., ignorable] log_start_offset: i64 = -1;
        /// Bytes of this partition; the first batch may exceed it (KIP-74).
        [0..] partition_max_bytes: i32;
        /// A replica's log directory (KIP-853).
        [17.., ignorable] [tag 0] replica_directory_id: TopicId;
        /// The high watermark that a replica knows; the largest number from a client (KIP-1166).
        [18.., ignorable] [tag 1] high_watermark: i64 = i64::MAX;
    }

    /// Partitions that leave the fetch session.
    pub struct FetchRequestForgottenTopic {
        /// The topic's name.
        [7..=12, ignorable] topic: String;
        /// The topic's id.
        [13.., ignorable] topic_id: TopicId;
        /// The partitions' numbers.
        [7..] partitions: Vec<i32>;
    }

    /// Record batches, by topic and partition.
    pub struct FetchResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [1.., ignorable] throttle_time_ms: i32;
        /// The error, or 0.
        [7.., ignorable] error_code: i16;
        /// The fetch session, or 0.
        [7..] session_id: i32;
        /// By topic.
        [0..] responses: Vec<FetchResponseTopic>;
        /// Addresses of the leaders named.
        [16..] [tag 0] node_endpoints: Vec<FetchResponseNodeEndpoint>;
    }

    /// One topic's partitions.
    pub struct FetchResponseTopic {
        /// The topic's name.
        [0..=12, ignorable] topic: String;
        /// The topic's id.
        [13.., ignorable] topic_id: TopicId;
        /// By partition.
        [0..] partitions: Vec<FetchResponsePartition>;
    }

    /// One partition's ends and batches.
    pub struct FetchResponsePartition {
        /// The partition's number.
        [0..] partition_index: i32;
        /// The error, or 0.
        [0..] error_code: i16;
        /// Offset after the last record that clients may see.
        [0..] high_watermark: i64;
        /// Offset of the first record whose transaction is undecided, or -1.
        [4.., ignorable] last_stable_offset: i64 = -1;
        /// The first offset that the log still has, or -1.
        [5.., ignorable] log_start_offset: i64 = -1;
        /// Set if the client's log has parted from this one.
        [12..] [tag 0] diverging_epoch: FetchResponseEpochEndOffset;
        /// The leader, sent with an error that says it is another broker.
        [12..] [tag 1] current_leader: FetchResponseLeader;
        /// Set if the offset lies before the log's start and a snapshot replaces it.
        [12..] [tag 2] snapshot_id: FetchResponseSnapshotId;
        /// Aborted transactions that touch the records, by first offset; `None` unless asked for
        /// committed records.
        [4.., ignorable] [null 4..] aborted_transactions: Option<Vec<FetchResponseAbortedTransaction>> = Some(vec![]);
        /// A replica to read from instead, or -1 (KIP-392).
        [11..] preferred_read_replica: i32 = -1;
        /// Record batches; message sets before v4. Clients want empty, not null.
        [0..] [null 0..] records: Option<Records>;
    }

    /// The last epoch that client and broker share, when the client's log has diverged (KIP-595).
    pub struct FetchResponseEpochEndOffset {
        /// The epoch, or -1.
        [12..] epoch: i32 = -1;
        /// Offset after the epoch's last record, or -1.
        [12..] end_offset: i64 = -1;
    }

    /// The partition's leader (KIP-951).
    pub struct FetchResponseLeader {
        /// The leader's number, or -1.
        [12..] leader_id: i32 = -1;
        /// The leader's epoch, or -1.
        [12..] leader_epoch: i32 = -1;
    }

    /// The snapshot to load instead (KIP-630). Not for clients.
    pub struct FetchResponseSnapshotId {
        /// Offset after the epoch's last record, or -1.
        [0..] end_offset: i64 = -1;
        /// The epoch, or -1.
        [0..] epoch: i32 = -1;
    }

    /// A transaction that was aborted: its records are to be skipped.
    pub struct FetchResponseAbortedTransaction {
        /// The producer whose transaction it was.
        [4..] producer_id: i64;
        /// The transaction's first offset in the partition.
        [4..] first_offset: i64;
    }

    /// Where a leader named above is reached.
    pub struct FetchResponseNodeEndpoint {
        /// The broker's number.
        [16..] node_id: i32;
        /// The broker's host name.
        [16..] host: String;
        /// The broker's port.
        [16..] port: i32;
        /// The broker's rack, if it has one.
        [16..] [null 16..] rack: Option<String>;
    }
}
