//! CreateTopics (key 19), DeleteTopics (key 20) and CreatePartitions (key 37).
//!
//! CreateTopics: v1 can validate only, v2 adds the throttle time, v4 takes -1 for the broker's defaults (KIP-464), v5
//! is flexible and returns the settings (KIP-525), v6 may answer THROTTLING_QUOTA_EXCEEDED (KIP-599), v7 returns the
//! id. DeleteTopics: v1 adds the throttle time, v3 may answer TOPIC_DELETION_DISABLED, v4 is flexible, v5 adds the
//! message, v6 takes ids. The names of DeleteTopics v0 to v5 are moved into `topics`. CreatePartitions (KIP-195): v2 is
//! flexible, v3 may answer THROTTLING_QUOTA_EXCEEDED.

use crate::base::ids::TopicId;
use crate::message;

message! {
    /// Creates topics.
    pub struct CreateTopicsRequest {
        /// The topics to create.
        [0..] topics: Vec<CreateTopicsRequestTopic>;
        /// How long to wait for them, in milliseconds.
        [0..] timeout_ms: i32 = 60000;
        /// Whether only to say what would happen.
        [1..] validate_only: bool;
    }

    /// One topic to create.
    pub struct CreateTopicsRequestTopic {
        /// The topic's name.
        [0..] name: String;
        /// Number of partitions; -1: as configured, or given by `assignments`.
        [0..] num_partitions: i32;
        /// Number of replicas; -1: as configured, or given by `assignments`.
        [0..] replication_factor: i16;
        /// Places chosen by the client; empty: the broker chooses.
        [0..] assignments: Vec<CreateTopicsRequestAssignment>;
        /// Settings other than the broker's.
        [0..] configs: Vec<CreateTopicsRequestConfig>;
    }

    /// A partition's place, chosen by the client.
    pub struct CreateTopicsRequestAssignment {
        /// The partition's number.
        [0..] partition_index: i32;
        /// The brokers that are to hold the partition.
        [0..] broker_ids: Vec<i32>;
    }

    /// One setting of the topic.
    pub struct CreateTopicsRequestConfig {
        /// The setting's name.
        [0..] name: String;
        /// The setting's value.
        [0..] [null 0..] value: Option<String> = Some(String::new());
    }

    /// Which topics were created.
    pub struct CreateTopicsResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [2.., ignorable] throttle_time_ms: i32;
        /// By topic.
        [0..] topics: Vec<CreateTopicsResponseTopic>;
    }

    /// One topic's result.
    pub struct CreateTopicsResponseTopic {
        /// The topic's name.
        [0..] name: String;
        /// The topic's id.
        [7.., ignorable] topic_id: TopicId;
        /// The error, or 0.
        [0..] error_code: i16;
        /// What went wrong, for people; may be null.
        [1.., ignorable] [null 0..] error_message: Option<String> = Some(String::new());
        /// Why `configs` is missing, or 0 (KIP-525).
        [5.., ignorable] [tag 0] topic_config_error_code: i16;
        /// Number of partitions, or -1.
        [5.., ignorable] num_partitions: i32 = -1;
        /// Number of replicas, or -1.
        [5.., ignorable] replication_factor: i16 = -1;
        /// The topic's settings; `None` if not to be shown.
        [5.., ignorable] [null 5..] configs: Option<Vec<CreateTopicsResponseConfig>> = Some(vec![]);
    }

    /// One setting that the topic now has.
    pub struct CreateTopicsResponseConfig {
        /// The setting's name.
        [5..] name: String;
        /// The setting's value.
        [5..] [null 5..] value: Option<String> = Some(String::new());
        /// Whether the setting cannot be changed.
        [5..] read_only: bool;
        /// Where the value comes from: 1 topic, 2 broker, 3 all brokers, 4 file, 5 default, … or -1.
        [5.., ignorable] config_source: i8 = -1;
        /// Whether the value is secret and therefore null.
        [5..] is_sensitive: bool;
    }

    /// Deletes topics.
    pub struct DeleteTopicsRequest {
        /// The topics to delete.
        [6..] topics: Vec<DeleteTopicsRequestTopic>;
        /// The topics to delete, before v6.
        [0..=5, ignorable] topic_names: Vec<String>;
        /// How long to wait for it, in milliseconds.
        [0..] timeout_ms: i32;
    }

    /// A topic, by name or by id (KIP-516).
    pub struct DeleteTopicsRequestTopic {
        /// The topic's name; `None` if the id is meant.
        [6..] [null 6..] name: Option<String>;
        /// The topic's id; zero if the name is meant.
        [6..] topic_id: TopicId;
    }

    /// Which topics were deleted.
    pub struct DeleteTopicsResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [1.., ignorable] throttle_time_ms: i32;
        /// By topic.
        [0..] responses: Vec<DeleteTopicsResponseTopic>;
    }

    /// One topic's result.
    pub struct DeleteTopicsResponseTopic {
        /// The topic's name; `None` if an unknown id was given.
        [0..] [null 6..] name: Option<String> = Some(String::new());
        /// The topic's id.
        [6.., ignorable] topic_id: TopicId;
        /// The error, or 0.
        [0..] error_code: i16;
        /// What went wrong, for people; may be null.
        [5.., ignorable] [null 5..] error_message: Option<String>;
    }

    /// Gives topics more partitions.
    pub struct CreatePartitionsRequest {
        /// By topic.
        [0..] topics: Vec<CreatePartitionsRequestTopic>;
        /// How long to wait for them, in milliseconds.
        [0..] timeout_ms: i32;
        /// Whether only to say what would happen.
        [0..] validate_only: bool;
    }

    /// One topic that is to have more.
    pub struct CreatePartitionsRequestTopic {
        /// The topic's name.
        [0..] name: String;
        /// How many partitions it is to have in all.
        [0..] count: i32;
        /// Places of the new ones, chosen by the client; `None`: the broker chooses.
        [0..] [null 0..] assignments: Option<Vec<CreatePartitionsRequestAssignment>> = Some(vec![]);
    }

    /// A new partition's place, chosen by the client.
    pub struct CreatePartitionsRequestAssignment {
        /// The brokers that are to hold the partition.
        [0..] broker_ids: Vec<i32>;
    }

    /// Which topics have more partitions now.
    pub struct CreatePartitionsResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [0..] throttle_time_ms: i32;
        /// By topic.
        [0..] results: Vec<CreatePartitionsResponseTopic>;
    }

    /// One topic's result.
    pub struct CreatePartitionsResponseTopic {
        /// The topic's name.
        [0..] name: String;
        /// The error, or 0.
        [0..] error_code: i16;
        /// What went wrong, for people.
        [0..] [null 0..] error_message: Option<String>;
    }
}
