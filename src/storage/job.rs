//! The border between the broker and the files: every job that storage takes, every outcome it reports.
//!
//! Appends and everything else that changes a partition keep their order, partition by partition. What only reads
//! (reads, time searches, conversions) runs beside them and sees what lies below the end that the job names.
//! A job with a ticket gets exactly one outcome with that ticket.

use std::io;
use std::sync::Arc;

pub use super::aborted::AbortedTransaction;
pub use super::error::{AppendError, ReadError, StorageError};
use crate::base::ids::{ConnId, Offset, PartitionId, Ticket, TopicId};
use crate::base::payload::{Bytes, FileRange, Payload, RangeFile};
use crate::base::time::WallMs;

/// The one name that no topic may have: its partitions' directories would be named like the files of durable marks.
pub const TOPIC_NAME_TAKEN: &str = "chronik-marks";

/// How a partition's log is kept: the part of a topic's configuration that storage acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A segment that would grow beyond this many bytes is closed (`segment.bytes`).
    pub segment_bytes: u64,
    /// A segment older than this is closed by the next append (`segment.ms`).
    pub segment_ms: i64,
    /// Most bytes of an index file (`segment.index.bytes`).
    pub index_bytes_max: u64,
    /// Bytes of records between two index entries (`index.interval.bytes`).
    pub index_interval_bytes: u64,
    /// The largest batch that is taken (`max.message.bytes`).
    pub batch_bytes_max: usize,
    /// Whether the broker's time replaces the producer's (`message.timestamp.type=LogAppendTime`).
    pub log_append_time: bool,
    /// How far a record's timestamp may lie before the broker's time, in milliseconds.
    pub timestamp_before_ms_max: i64,
    /// How far a record's timestamp may lie after the broker's time, in milliseconds.
    pub timestamp_after_ms_max: i64,
    /// Whether old values of a key are removed (`cleanup.policy` contains `compact`): records need keys.
    pub compact: bool,
    /// Whether old segments are removed (`cleanup.policy` contains `delete`).
    pub delete: bool,
    /// Age at which records may be removed, in milliseconds; -1: never (`retention.ms`).
    pub retention_ms: i64,
    /// Size beyond which old segments may be removed; -1: never (`retention.bytes`).
    pub retention_bytes: i64,
    /// How long after its last write a segment stays at least, whatever its records' timestamps, in milliseconds
    /// (`log.retention.check.interval.ms`).
    pub retention_check_ms: i64,
    /// How long a compacted topic keeps the marker of a removed key, in milliseconds (`delete.retention.ms`).
    pub delete_retention_ms: i64,
    /// The shortest time for which a record escapes compaction, in milliseconds (`min.compaction.lag.ms`).
    pub min_compaction_lag_ms: i64,
    /// The longest time for which a record may escape compaction, in milliseconds (`max.compaction.lag.ms`).
    pub max_compaction_lag_ms: i64,
    /// The part of a log, in thousandths, that must be uncompacted before it is compacted (`min.cleanable.dirty.ratio`).
    pub min_dirty_permille: u32,
}

/// Something to be done with files.
#[derive(Debug)]
pub enum Job {
    /// Opens a partition, making its directory durable first if there is none. Answered by [`Outcome::Opened`].
    Open(Open),
    /// Appends batches. Answered by [`Outcome::Appended`], and if `sync` by [`Outcome::Synced`] later.
    Append(Append),
    /// Syncs what a partition has written so far. Answered by [`Outcome::Synced`] with at least that end.
    Sync {
        /// The partition.
        partition: PartitionId,
        /// Whether somebody waits for it: other syncs may take their time.
        awaited: bool,
    },
    /// Replaces a partition's configuration from the next append on. Answered by [`Outcome::Configured`].
    Configure {
        /// The partition.
        partition: PartitionId,
        /// Its new configuration.
        config: Arc<LogConfig>,
    },
    /// Raises the first offset of a log durably; what lies below is never given again, and its segments go with the
    /// next upkeep. Answered by [`Outcome::Trimmed`].
    Trim {
        /// Names the job.
        ticket: Ticket,
        /// The partition.
        partition: PartitionId,
        /// The new first offset: not beyond what is on the disk. One below the current first offset changes nothing.
        offset: Offset,
    },
    /// Closes a segment that is old enough and removes what need not be kept. Answered by [`Outcome::Upkept`].
    Upkeep(Upkeep),
    /// Closes a partition and renames its directory durably, out of the way of a new one of the same name; the
    /// files are unlinked later in the background. Answered by [`Outcome::Removed`].
    Remove {
        /// Names the job.
        ticket: Ticket,
        /// The partition.
        partition: PartitionId,
    },
    /// Finds ranges of records. Answered by [`Outcome::Read`].
    Read(Read),
    /// Finds offsets by time. Answered by [`Outcome::Times`].
    FindTimes(FindTimes),
    /// Converts records that came in an old format, or in another compression than the topic's. Answered by
    /// [`Outcome::Converted`].
    Convert(Convert),
    /// Looks whether there is room on the disk again, and tries again what waits for it. Answered by
    /// [`Outcome::Disk`].
    LookForSpace,
    /// Reads bytes that a connection waits for and that were not in memory. Answered by [`Outcome::Warmed`].
    Warm {
        /// The connection.
        conn: ConnId,
        /// What to read.
        range: FileRange,
    },
}

/// Opens a partition.
#[derive(Debug)]
pub struct Open {
    /// Names the job.
    pub ticket: Ticket,
    /// The partition.
    pub partition: PartitionId,
    /// The topic's name, which names the directory.
    pub topic: Arc<str>,
    /// How its log is kept.
    pub config: Arc<LogConfig>,
}

/// Looks after one partition.
#[derive(Clone, Copy, Debug)]
pub struct Upkeep {
    /// The partition.
    pub partition: PartitionId,
    /// The broker's time.
    pub now: WallMs,
    /// Whether that time may be trusted: nothing is removed for its age otherwise.
    pub expire: bool,
    /// The moment to which the clock jumped last while this process ran; 0: it did not. What the process wrote before is
    /// taken to be no older than that.
    pub stepped: WallMs,
    /// Whether space is short over all partitions: the oldest segment goes though nothing else asks for it, the one
    /// that is being written closed first if there is no other.
    pub free: bool,
}

/// Appends batches in format 2 to a partition.
#[derive(Debug)]
pub struct Append {
    /// Names the job.
    pub ticket: Ticket,
    /// The partition.
    pub partition: PartitionId,
    /// One or more whole batches.
    pub records: Bytes,
    /// Whether somebody waits for these records to be on the disk.
    pub sync: bool,
    /// Stamped into each batch.
    pub leader_epoch: i32,
    /// The broker's time: for `LogAppendTime` and the limits on timestamps.
    pub now: WallMs,
    /// Who writes: decides which batches are legal.
    pub origin: Origin,
}

/// Who writes a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client: no control batches, sequences are checked.
    Client,
    /// The broker itself: the journal, transaction markers.
    Broker,
}

/// Reads from partitions in the order given, sharing one budget of bytes (KIP-74).
#[derive(Debug)]
pub struct Read {
    /// Names the job.
    pub ticket: Ticket,
    /// Most bytes in all.
    pub bytes_max: usize,
    /// Whether the first batch of the first partition that has any is given whole, however large.
    pub whole_first_batch: bool,
    /// Where to read.
    pub parts: Vec<ReadPart>,
    /// The newest format that the client knows: 0, 1 or 2. Below 2 the records are converted, which those in zstd cannot
    /// be.
    pub magic_max: i8,
    /// Whether the client wants to know which transactions were aborted (KIP-98).
    pub committed: bool,
}

/// Where to read in one partition.
#[derive(Clone, Copy, Debug)]
pub struct ReadPart {
    /// The partition.
    pub partition: PartitionId,
    /// The first offset wanted: the batch that holds it comes whole.
    pub offset: Offset,
    /// Only what lies below this offset is given.
    pub end: Offset,
    /// Most bytes from this partition.
    pub bytes_max: usize,
}

/// Finds offsets by time.
#[derive(Debug)]
pub struct FindTimes {
    /// Names the job.
    pub ticket: Ticket,
    /// What to find.
    pub queries: Vec<TimeQuery>,
}

/// What to find in one partition.
#[derive(Clone, Copy, Debug)]
pub struct TimeQuery {
    /// The partition.
    pub partition: PartitionId,
    /// What to look for.
    pub target: TimeTarget,
    /// Only what lies below this offset counts.
    pub end: Offset,
}

/// What to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeTarget {
    /// The first record whose timestamp is this or later.
    AtOrAfter(WallMs),
    /// The first record that has the largest timestamp.
    Largest,
    /// Where segments start, newest first: how many, and from the newest on that was last written at this time or before.
    /// `None`: from the end of the log on, which counts as a start.
    Starts(usize, Option<WallMs>),
}

/// What a time search found: a record, or where a segment starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOffset {
    /// The record's timestamp; -1 for a start.
    pub timestamp: WallMs,
    /// The offset.
    pub offset: Offset,
    /// The leader epoch of the record's batch; -1 for a start.
    pub leader_epoch: i32,
}

/// Converts records before they are appended.
#[derive(Debug)]
pub struct Convert {
    /// Names the job.
    pub ticket: Ticket,
    /// A message set in format 0 or 1, or batches in format 2.
    pub records: Bytes,
    /// The compression of the result, by Kafka's codec number; `None`: as it came.
    pub codec: Option<u8>,
    /// The largest batch, or message in an old format, that is taken as it comes (`max.message.bytes`).
    pub batch_bytes_max: usize,
    /// Most bytes that the records may take when decompressed.
    pub decompressed_bytes_max: usize,
}

/// What became of a job.
#[derive(Debug)]
pub enum Outcome {
    /// A partition is open.
    Opened {
        /// The job.
        ticket: Ticket,
        /// The partition.
        partition: PartitionId,
        /// Where its log begins and ends, or why it cannot be used.
        result: Result<Opened, StorageError>,
    },
    /// Batches were written, or refused whole.
    Appended {
        /// The job.
        ticket: Ticket,
        /// The partition.
        partition: PartitionId,
        /// Where they are, or why they were refused.
        result: Result<Appended, AppendError>,
    },
    /// A partition's records below `end` are on the disk.
    Synced {
        /// The partition.
        partition: PartitionId,
        /// The first offset that may not be.
        end: Offset,
        /// An error ends all acknowledgements for this partition.
        result: Result<(), StorageError>,
    },
    /// A log begins later from now on, durably.
    Trimmed {
        /// The job.
        ticket: Ticket,
        /// The partition.
        partition: PartitionId,
        /// The log's first offset.
        result: Result<Offset, StorageError>,
    },
    /// A partition has its new configuration, or is not open.
    Configured {
        /// The partition.
        partition: PartitionId,
        /// As in [`Upkept`].
        due: Option<WallMs>,
    },
    /// A partition was looked after.
    Upkept(Upkept),
    /// A partition's directory is out of the way.
    Removed {
        /// The job.
        ticket: Ticket,
        /// The partition.
        partition: PartitionId,
        /// Whether it worked.
        result: Result<(), StorageError>,
    },
    /// Records were found.
    Read {
        /// The job.
        ticket: Ticket,
        /// One result for each part of the job, in order.
        parts: Vec<Result<Vec<Payload>, ReadError>>,
        /// For each part the aborted transactions that touch its records, if the job asks for them; else nothing.
        aborted: Vec<Vec<AbortedTransaction>>,
    },
    /// Somebody reads on and on, and this is where the next bytes are.
    Ahead(Ahead),
    /// Offsets were found: one record, where there is such a one, or starts.
    Times {
        /// The job.
        ticket: Ticket,
        /// One result for each query of the job, in order.
        results: Vec<Result<Vec<TimedOffset>, ReadError>>,
    },
    /// Records were converted to batches in format 2.
    Converted {
        /// The job.
        ticket: Ticket,
        /// The batches, or what is wrong with the records.
        result: Result<Bytes, AppendError>,
    },
    /// Room on the disk has become short, or is there again, or somebody asked.
    Disk(Disk),
    /// The first bytes of a range were read.
    Warmed {
        /// The connection.
        conn: ConnId,
        /// At least one byte.
        result: io::Result<Bytes>,
    },
}

/// How the disk is, as of the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// What that means.
    pub state: DiskState,
    /// Free bytes on the file system.
    pub free: u64,
    /// Bytes of the file system in all.
    pub total: u64,
    /// Free bytes below which clients' records are refused.
    pub reserve: u64,
    /// Bytes of the ballast file.
    pub ballast: u64,
}

/// What may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskState {
    /// Everything.
    Ready,
    /// No client's records. The broker's own go on, from the ballast if need be.
    Short,
    /// Only what must be: the ballast is nearly gone. What is of the broker's own and finds no room waits.
    Spent,
    /// Nothing: the file system is read-only. The broker's own records wait.
    ReadOnly,
}

/// Where an open partition's log begins and ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The first offset.
    pub log_start: Offset,
    /// The next offset: everything below it is on the disk.
    pub log_end: Offset,
    /// Bytes in all segments.
    pub bytes: u64,
    /// Leader epochs and the first offset of each, both rising.
    pub epochs: Vec<(i32, Offset)>,
    /// As in [`Upkept`].
    pub oldest: Option<WallMs>,
    /// As in [`Upkept`].
    pub due: Option<WallMs>,
}

/// How upkeep left a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upkept {
    /// The partition.
    pub partition: PartitionId,
    /// The first offset.
    pub log_start: Offset,
    /// Bytes in all segments.
    pub bytes: u64,
    /// The age of the oldest segment that is closed, as the moment from which it counts. `None`: no segment is closed.
    pub oldest: Option<WallMs>,
    /// When the partition wants to be looked after next; 0: at once, whatever the clock says; any other moment that has
    /// passed: once the clock may be trusted. `None`: not before something is appended or configured.
    pub due: Option<WallMs>,
}

/// A partition's directory, as it lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPartition {
    /// The topic's name.
    pub topic: String,
    /// The topic's id; `None`: the directory does not say.
    pub topic_id: Option<TopicId>,
    /// The partition's number.
    pub index: i32,
    /// The newest leader epoch in it; -1: there is none.
    pub leader_epoch: i32,
}

/// Pieces of whole batches one behind the other in one file, none of which an aborted transaction touches.
#[derive(Clone, Debug)]
pub struct Ahead {
    /// The partition.
    pub partition: PartitionId,
    /// The file.
    pub file: Arc<dyn RangeFile>,
    /// Where each begins: offset and position in the file, both rising.
    pub begins: Vec<(Offset, u64)>,
    /// Behind the last one.
    pub end: (Offset, u64),
}

/// Where batches were written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Appended {
    /// The offset of the first record. For a duplicate, where the original is.
    pub base_offset: Offset,
    /// The offset after the last record.
    pub end_offset: Offset,
    /// The time that replaced the producer's, or -1.
    pub log_append_time: WallMs,
    /// The first offset of the log.
    pub log_start: Offset,
    /// Bytes that the log has grown by; 0 for a duplicate.
    pub bytes: u64,
    /// Whether an idempotent producer sent this before, and nothing was written.
    pub duplicate: bool,
    /// Which bytes of the active segment's file it is, if it is one batch and no transaction's.
    pub batch: Option<FileRange>,
    /// As in [`Upkept`].
    pub oldest: Option<WallMs>,
    /// As in [`Upkept`].
    pub due: Option<WallMs>,
}
