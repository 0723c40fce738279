//! Metadata (key 3) and DescribeCluster (key 60): brokers, topics and partitions.
//!
//! Metadata v0 takes an empty list for "every topic", v1 takes null for it and empty for "no topic". v1 adds racks, the
//! controller and internal topics, v2 the cluster id, v3 the throttle time, v4 leaves auto-creation to the client, v5
//! adds offline replicas, v7 leader epochs, v8 authorized operations (KIP-430), v9 is flexible, v10 adds topic ids, v11
//! drops the cluster's operations (DescribeCluster has them), v12 finds topics by id, v13 has an error of its own.
//! DescribeCluster is flexible from v0; v1 adds the endpoint type (KIP-919), v2 fenced brokers (KIP-1073).

use crate::base::ids::TopicId;
use crate::message;

message! {
    /// Asks for the brokers, topics and partitions.
    pub struct MetadataRequest {
        /// `None`: every topic; empty: no topic.
        [0..] [null 1..] topics: Option<Vec<MetadataRequestTopic>> = Some(vec![]);
        /// Whether asking may create a topic (KIP-4).
        [4..] allow_auto_topic_creation: bool = true;
        /// Whether to say what the client may do with the cluster (KIP-430).
        [8..=10] include_cluster_authorized_operations: bool;
        /// Whether to say what the client may do with each topic (KIP-430).
        [8..] include_topic_authorized_operations: bool;
    }
    facts {
        /// A topic may be given by its id alone (v12 and later); before, that is INVALID_REQUEST.
        finds_by_id: bool = true;
    }

    /// A topic, by name or by id.
    pub struct MetadataRequestTopic {
        /// The topic's id; zero if the name is meant.
        [10.., ignorable] topic_id: TopicId;
        /// The topic's name; `None` if the id is meant.
        [0..] [null 10..] name: Option<String> = Some(String::new());
    }

    /// The cluster as a client sees it.
    pub struct MetadataResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [3.., ignorable] throttle_time_ms: i32;
        /// The brokers.
        [0..] brokers: Vec<MetadataResponseBroker>;
        /// The cluster's id, if known.
        [2.., ignorable] [null 2..] cluster_id: Option<String>;
        /// The controller's number, or -1.
        [1.., ignorable] controller_id: i32 = -1;
        /// The topics.
        [0..] topics: Vec<MetadataResponseTopic>;
        /// What the client may do with the cluster as bits; the smallest number if not asked for.
        [8..=10] cluster_authorized_operations: i32 = i32::MIN;
        /// An error that concerns the whole request (KIP-1102), or 0.
        [13.., ignorable] error_code: i16;
    }

    /// One broker.
    pub struct MetadataResponseBroker {
        /// The broker's number.
        [0..] node_id: i32;
        /// The broker's host name.
        [0..] host: String;
        /// The broker's port.
        [0..] port: i32;
        /// The broker's rack, if it has one.
        [1.., ignorable] [null 1..] rack: Option<String>;
    }

    /// One topic.
    pub struct MetadataResponseTopic {
        /// The error, or 0.
        [0..] error_code: i16;
        /// The topic's name; `None` if an unknown id was asked for.
        [0..] [null 12..] name: Option<String> = Some(String::new());
        /// The topic's id.
        [10.., ignorable] topic_id: TopicId;
        /// Whether the broker keeps its own records in the topic.
        [1.., ignorable] is_internal: bool;
        /// By partition.
        [0..] partitions: Vec<MetadataResponsePartition>;
        /// What the client may do with the topic as bits; the smallest number if not asked for.
        [8..] topic_authorized_operations: i32 = i32::MIN;
    }

    /// One partition.
    pub struct MetadataResponsePartition {
        /// The error, or 0.
        [0..] error_code: i16;
        /// The partition's number.
        [0..] partition_index: i32;
        /// The leader's number, or -1.
        [0..] leader_id: i32;
        /// The leader's epoch, or -1.
        [7.., ignorable] leader_epoch: i32 = -1;
        /// The brokers that hold the partition.
        [0..] replica_nodes: Vec<i32>;
        /// The brokers that are in sync.
        [0..] isr_nodes: Vec<i32>;
        /// The brokers that are not up.
        [5.., ignorable] offline_replicas: Vec<i32>;
    }

    /// Asks for the brokers and the cluster's id (KIP-700).
    pub struct DescribeClusterRequest {
        /// Whether to say what the client may do with the cluster (KIP-430).
        [0..] include_cluster_authorized_operations: bool;
        /// Whom the addresses are of: 1 brokers, 2 controllers (KIP-919).
        [1..] endpoint_type: i8 = 1;
        /// Whether to list brokers that are fenced (KIP-1073).
        [2..] include_fenced_brokers: bool;
    }

    /// The brokers and the cluster's id.
    pub struct DescribeClusterResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [0..] throttle_time_ms: i32;
        /// The error, or 0.
        [0..] error_code: i16;
        /// What went wrong, for people; may be null.
        [0..] [null 0..] error_message: Option<String>;
        /// Whom the addresses are of: 1 brokers, 2 controllers (KIP-919).
        [1..] endpoint_type: i8 = 1;
        /// The cluster's id.
        [0..] cluster_id: String;
        /// The controller's number, or -1.
        [0..] controller_id: i32 = -1;
        /// The brokers.
        [0..] brokers: Vec<DescribeClusterResponseBroker>;
        /// What the client may do with the cluster as bits; the smallest number if not asked for.
        [0..] cluster_authorized_operations: i32 = i32::MIN;
    }

    /// One broker.
    pub struct DescribeClusterResponseBroker {
        /// The broker's number.
        [0..] broker_id: i32;
        /// The broker's host name.
        [0..] host: String;
        /// The broker's port.
        [0..] port: i32;
        /// The broker's rack, if it has one.
        [0..] [null 0..] rack: Option<String>;
        /// Whether the broker is fenced.
        [2..] is_fenced: bool;
    }
}
