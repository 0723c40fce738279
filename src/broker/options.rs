//! What the broker is told at its start.

use crate::base::config_table::Settings;

/// When an answer to `acks=all` and to `acks=1` leaves (`chronik.durability`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// `acks=all` after the disk has it, one sync for all who wait; `acks=1` after the write.
    #[default]
    Group,
    /// `acks=1` after the disk has it, too.
    Always,
    /// Never after the disk, as Kafka: the operating system writes when it likes.
    Os,
}

/// How the broker behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// This broker's number in metadata (`node.id`).
    pub node_id: i32,
    /// The cluster's id: made at the first start, kept in the data directory.
    pub cluster_id: String,
    /// The data directory's absolute path.
    pub log_dir: String,
    /// When an answer leaves.
    pub durability: Durability,
    /// How long written records may stay unsynced when nobody waits for it, in milliseconds
    /// (`log.flush.interval.ms`).
    pub flush_interval_ms: i64,
    /// Whether metadata for an unknown topic creates it (`auto.create.topics.enable`).
    pub auto_create_topics: bool,
    /// Whether topics may be deleted (`delete.topic.enable`).
    pub delete_topics: bool,
    /// Partitions of a topic that does not say (`num.partitions`).
    pub partitions_default: i32,
    /// The broker's configuration as it was given: what topics inherit, and what DescribeConfigs shows.
    pub settings: Settings,
    /// Consumer groups.
    pub groups: GroupOptions,
    /// Limits on what is kept.
    pub limits: Limits,
    /// Most bytes of all logs together; beyond it the oldest segments go (`chronik.log.total.bytes`).
    pub log_bytes_max: Option<u64>,
}

/// How consumer groups behave.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// `group.min.session.timeout.ms`.
    pub session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_ms_max: i32,
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`.
    pub size_max: usize,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_bytes_max: usize,
    /// How long commits outlive their group's last member, in milliseconds (`offsets.retention.minutes`).
    pub offsets_retention_ms: i64,
}

impl Default for GroupOptions {
    fn default() -> GroupOptions {
        GroupOptions {
            session_timeout_ms_min: 6_000,
            session_timeout_ms_max: 1_800_000,
            initial_rebalance_delay_ms: 0,
            size_max: 10_000,
            offset_metadata_bytes_max: 4_096,
            offsets_retention_ms: 7 * 24 * 3_600_000,
        }
    }
}

/// Most things of each kind.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Topics.
    pub topics: usize,
    /// Partitions of all topics.
    pub partitions: usize,
    /// Groups.
    pub groups: usize,
    /// Members of all groups.
    pub members: usize,
    /// Bytes of what all groups keep: names, what members say and are given, commits. Members beyond it are refused
    /// with GROUP_MAX_SIZE_REACHED, commits with INVALID_COMMIT_OFFSET_SIZE.
    pub group_bytes: usize,
    /// Bytes of configurations in one answer; what is asked for beyond is refused with INVALID_REQUEST.
    pub described_bytes: usize,
    /// Bytes of records in one answer to a fetch (`fetch.max.bytes`).
    pub fetch_bytes: usize,
    /// The same where the records must be converted for an old client, and so lie in memory.
    pub converted_fetch_bytes: usize,
    /// Bytes of memory of all fetches that wait for records; one that finds no room is answered at once.
    pub waiting_fetch_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            topics: 10_000,
            partitions: 20_000,
            groups: 10_000,
            members: 50_000,
            group_bytes: 32 << 20,
            described_bytes: 8 << 20,
            fetch_bytes: 55 << 20,
            converted_fetch_bytes: 4 << 20,
            waiting_fetch_bytes: 8 << 20,
        }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            node_id: 0,
            cluster_id: String::new(),
            log_dir: String::new(),
            durability: Durability::Group,
            flush_interval_ms: 1_000,
            auto_create_topics: true,
            delete_topics: true,
            partitions_default: 1,
            settings: Settings::default(),
            groups: GroupOptions::default(),
            limits: Limits::default(),
            log_bytes_max: None,
        }
    }
}
