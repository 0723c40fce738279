//! What is counted: plain atomics that any thread may raise, and their text for Prometheus.
//!
//! Counting takes no lock and costs an addition or two. Rendering works on a [`Snapshot`] of what only the broker
//! knows and yields pieces of bounded size, so that a scrape of many partitions does not hold up the loop.

mod families;
mod process;
mod render;
mod snapshot;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::memory::Pool;
use super::time::WallMs;

pub use process::Process;
pub use render::{CHUNK_BYTES_MAX, Rendering};
pub use snapshot::{CommitFacts, GroupFacts, PartitionFacts, Snapshot};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Raises it to what somebody else has counted.
    pub fn raise_to(&self, count: u64) {
        self.0.fetch_max(count, Ordering::Relaxed);
    }

    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Log lines that were dropped. A process has one log, set up before anything else, and so one count.
pub static LOG_LINES_DROPPED: Counter = Counter(AtomicU64::new(0));

/// What is asked of the kernel that wears out a disk. A process has one kernel, and so one count.
pub static DISK: DiskCounters = DiskCounters {
    bytes: Counter(AtomicU64::new(0)),
    writes: Counter(AtomicU64::new(0)),
    file_syncs: Counter(AtomicU64::new(0)),
    directory_syncs: Counter(AtomicU64::new(0)),
    filesystem_syncs: Counter(AtomicU64::new(0)),
    names: Counter(AtomicU64::new(0)),
};

/// Everything that was written and synced, whatever for: logs, indexes, snapshots, marks, checkpoints, the journal.
#[derive(Debug, Default)]
pub struct DiskCounters {
    /// Bytes handed to the kernel.
    pub bytes: Counter,
    /// Calls that handed them over.
    pub writes: Counter,
    /// Syncs of a file.
    pub file_syncs: Counter,
    /// Syncs of a directory.
    pub directory_syncs: Counter,
    /// Syncs of a whole file system.
    pub filesystem_syncs: Counter,
    /// Directories that were made, and files and directories that were renamed or removed.
    pub names: Counter,
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds `change`, which may be negative.
    pub fn add(&self, change: i64) {
        self.0.fetch_add(change, Ordering::Relaxed);
    }

    /// Replaces the number.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The number.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper ends of a histogram's buckets in microseconds, and how they are shown in seconds.
const BUCKETS: [(u64, &str); 16] = [
    (50, "0.00005"),
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (5_000_000, "5"),
    (30_000_000, "30"),
];

/// How often something took how long, in fixed buckets from 50 µs to 30 s.
#[derive(Debug, Default)]
pub struct Histogram {
    /// How many fell into each bucket alone.
    buckets: [Counter; BUCKETS.len()],
    /// How many took longer than the last bucket.
    longer: Counter,
    micros: Counter,
}

impl Histogram {
    /// Counts one that took this long.
    pub fn observe(&self, length: Duration) {
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        let index = BUCKETS.partition_point(|(end, _)| *end < micros);
        self.buckets.get(index).unwrap_or(&self.longer).increment();
        self.micros.add(micros);
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(Counter::get).sum::<u64>() + self.longer.get()
    }
}

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There were `max.connections`.
    Total,
    /// There were `max.connections.per.ip` from its address.
    PerAddress,
    /// The process had no descriptor left.
    Descriptors,
}

/// Connections of clients.
#[derive(Debug, Default)]
pub struct Connections {
    /// How many are open.
    pub open: Gauge,
    /// How many were accepted.
    pub accepted: Counter,
    /// How many were closed because a peer broke the protocol.
    pub protocol_errors: Counter,
    refused: [Counter; 3],
}

impl Connections {
    /// Counts one that was refused.
    pub fn refuse(&self, reason: Refusal) {
        self.refused(reason).increment();
    }

    fn refused(&self, reason: Refusal) -> &Counter {
        let [total, per_address, descriptors] = &self.refused;
        match reason {
            Refusal::Total => total,
            Refusal::PerAddress => per_address,
            Refusal::Descriptors => descriptors,
        }
    }
}

/// What goes to the files. Storage's threads count here.
#[derive(Debug, Default)]
pub struct StorageCounters {
    /// How long a sync took.
    pub sync: Histogram,
    /// Syncs that failed.
    pub syncs_failed: Counter,
    /// Bytes of batches that were appended to logs, the broker's own among them.
    pub written_bytes: Counter,
    /// Bytes of batches that were appended for clients.
    pub payload_bytes: Counter,
    /// Records that were appended for clients.
    pub records: Counter,
    /// Ranges of logs that are known to be damaged.
    pub damaged_ranges: Gauge,
    /// Bytes in those ranges.
    pub damaged_bytes: Gauge,
    /// Appends that the disk refused.
    pub writes_failed: Counter,
    /// Segments that were removed, for their age, for space or below a log's first offset.
    pub segments_removed: Counter,
    /// Bytes of records in them.
    pub segment_bytes_removed: Counter,
    /// Bytes of logs that an unclean start read to find where they end.
    pub scanned_bytes: Counter,
    /// Appends of clients that were refused because little room was left.
    pub refused_for_space: Counter,
    /// Rounds of compaction that were finished.
    pub compaction_rounds: Counter,
    /// Rounds of compaction that had to be given up.
    pub compactions_failed: Counter,
    /// Bytes of batches that compaction has read.
    pub compaction_read_bytes: Counter,
    /// Bytes of batches that compaction has written.
    pub compaction_written_bytes: Counter,
    /// Bytes by which compaction has made logs smaller.
    pub compaction_reclaimed_bytes: Counter,
    /// Segments that compaction has left alone because they are damaged, in each round anew.
    pub compaction_damaged_segments: Counter,
}

/// The disk, as of the last look. Storage is asked for another at every scrape.
#[derive(Debug, Default)]
pub struct DiskGauges {
    /// Free bytes.
    pub free: Gauge,
    /// Free bytes below which records are refused.
    pub reserve: Gauge,
    /// Bytes of the ballast.
    pub ballast: Gauge,
    /// 0: all is well; 1: records are refused; 2: changes too; 3: the file system is read-only.
    pub state: Gauge,
}

/// One kind of request.
#[derive(Debug)]
struct Api {
    name: &'static str,
    first_version: i16,
    latency: Histogram,
    /// Where its versions begin in `Metrics::versions`.
    versions_from: usize,
}

/// One version of one kind of request.
#[derive(Debug)]
struct Version {
    name: &'static str,
    version: i16,
    requests: Counter,
}

/// What the metrics need to know from the layers above this one.
#[derive(Debug)]
pub struct Setup {
    /// Key, name and versions of every request that is served.
    pub apis: Vec<(i16, &'static str, RangeInclusive<i16>)>,
    /// Kafka's name of an error code.
    pub error_name: fn(i16) -> &'static str,
    /// The memory pools.
    pub pools: Vec<Arc<Pool>>,
    /// What storage counts.
    pub storage: Arc<StorageCounters>,
    /// When the process started.
    pub started: WallMs,
}

/// Error codes that are counted one by one: -1 and 0 to 159. Kafka 4.4 ends below.
const ERROR_CODES: usize = 161;

/// Everything that is counted. Shared by the loop and the workers through an [`Arc`].
#[derive(Debug)]
pub struct Metrics {
    /// Connections of clients.
    pub connections: Connections,
    /// Bytes received from clients.
    pub bytes_in: Counter,
    /// Bytes sent to clients.
    pub bytes_out: Counter,
    /// What goes to the files.
    pub storage: Arc<StorageCounters>,
    /// Partitions that are offline because their files failed.
    pub offline_partitions: Gauge,
    /// Data directories that take nothing: 1 if the file system is read-only.
    pub offline_directories: Gauge,
    /// The disk.
    pub disk: DiskGauges,
    /// 1 if this start found no mark of a clean stop.
    pub unclean_start: Gauge,
    /// Turns of the loop. It stands still while the broker is idle.
    pub loop_turns: Counter,
    /// Log lines that were dropped, because standard error did not take them or a peer caused too many.
    pub log_lines_dropped: &'static Counter,
    /// What is asked of the kernel.
    pub kernel: &'static DiskCounters,
    /// Panics that cost a connection and no more. The number expected is zero.
    pub panics_caught: Counter,
    apis: Vec<Option<Api>>,
    versions: Vec<Version>,
    errors: Vec<Counter>,
    setup: Setup,
}

impl Metrics {
    /// Metrics at zero.
    #[must_use]
    pub fn new(setup: Setup) -> Arc<Metrics> {
        let (mut apis, mut versions) = (Vec::new(), Vec::new());
        for (key, name, served) in &setup.apis {
            let Ok(place) = usize::try_from(*key) else { continue };
            if place >= apis.len() {
                apis.resize_with(place + 1, || None);
            }
            let (first_version, versions_from) = (*served.start(), versions.len());
            versions.extend(served.clone().map(|version| {
                let requests = Counter::default();
                Version { name, version, requests }
            }));
            if let Some(slot) = apis.get_mut(place) {
                let latency = Histogram::default();
                *slot = Some(Api { name, first_version, latency, versions_from });
            }
        }
        Arc::new(Metrics {
            connections: Connections::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            storage: Arc::clone(&setup.storage),
            offline_partitions: Gauge::default(),
            offline_directories: Gauge::default(),
            disk: DiskGauges::default(),
            unclean_start: Gauge::default(),
            loop_turns: Counter::default(),
            log_lines_dropped: &LOG_LINES_DROPPED,
            kernel: &DISK,
            panics_caught: Counter::default(),
            apis,
            versions,
            errors: std::iter::repeat_with(Counter::default).take(ERROR_CODES).collect(),
            setup,
        })
    }

    /// Counts a request that was answered, and how long that took. Keys and versions not served are passed over.
    pub fn request(&self, api_key: i16, version: i16, length: Duration) {
        let Some(api) = self.api(api_key) else { return };
        api.latency.observe(length);
        let above_first = version.checked_sub(api.first_version);
        let Some(nth) = above_first.and_then(|nth| usize::try_from(nth).ok()) else { return };
        if let Some(counted) = self.versions.get(api.versions_from + nth) {
            counted.requests.increment();
        }
    }

    fn api(&self, key: i16) -> Option<&Api> {
        self.apis.get(usize::try_from(key).ok()?)?.as_ref()
    }

    /// Counts an error code that was sent. 0 is none and is not counted.
    pub fn error(&self, code: i16) {
        let place = usize::try_from(i32::from(code) + 1);
        if let Some(counter) = place.ok().filter(|_| code != 0).and_then(|i| self.errors.get(i)) {
            counter.increment();
        }
    }

    /// The text of everything, piece by piece.
    #[must_use]
    pub fn render(self: &Arc<Metrics>, snapshot: Snapshot, process: Process) -> Rendering {
        Rendering::new(Arc::clone(self), snapshot, process)
    }
}
