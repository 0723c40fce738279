//! A data directory of its own and a storage on it, driven job by job.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "only tests use this"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chronik::base::ids::{PartitionId, Ticket, TopicId};
use chronik::base::memory::Pool;
use chronik::base::payload::{Bytes, Payload};
use chronik::record::builder::{BatchBuilder, BatchOptions};
use chronik::record::compression::Codec;
use chronik::storage::damage::DamagePolicy;
use chronik::storage::fs::{Fs, RealFs};
use chronik::storage::job::{
    Append, AppendError, Appended, FindTimes, Job, LogConfig, Open, Opened, Origin, Outcome, Read,
    ReadError, ReadPart, StorageError, TimeQuery, TimeTarget, TimedOffset, Upkeep, Upkept,
};
use chronik::storage::pool::{
    CompactionLimits, FileLimits, Options, SpaceOptions, StartError, Started, Storage,
};

/// A directory that is gone when the test is over.
pub(crate) struct TempDir(pub(crate) PathBuf);

impl TempDir {
    pub(crate) fn new() -> TempDir {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("chronik-storage-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        TempDir(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 64 << 20,
        segment_ms: 7 * 24 * 3600 * 1000,
        index_bytes_max: 10 << 20,
        index_interval_bytes: 4096,
        batch_bytes_max: 1 << 20,
        log_append_time: false,
        timestamp_before_ms_max: i64::MAX,
        timestamp_after_ms_max: i64::MAX,
        compact: false,
        delete: true,
        retention_ms: -1,
        retention_bytes: -1,
        retention_check_ms: 0,
        delete_retention_ms: 86_400_000,
        min_compaction_lag_ms: 0,
        max_compaction_lag_ms: i64::MAX,
        min_dirty_permille: 500,
    }
}

pub(crate) fn topic(number: u8) -> TopicId {
    TopicId::from_random([number; 16])
}

pub(crate) fn partition(number: u8) -> PartitionId {
    PartitionId { topic: topic(number), index: 0 }
}

pub(crate) const NOW: i64 = 1_800_000_000_000;

/// A batch of records whose values are `first`, `first + 1`, …, one millisecond apart.
pub(crate) fn batch(first: i64, count: i64) -> Vec<u8> {
    batch_with(first, count, BatchOptions::default())
}

pub(crate) fn batch_with(first: i64, count: i64, options: BatchOptions) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options).unwrap();
    for number in first..first + count {
        let value = format!("value {number}");
        builder.append(NOW + number, Some(b"key"), Some(value.as_bytes()), &[]).unwrap();
    }
    builder.finish().unwrap()
}

pub(crate) fn idempotent(producer_id: i64, epoch: i16, sequence: i32) -> BatchOptions {
    BatchOptions {
        producer_id,
        producer_epoch: epoch,
        base_sequence: sequence,
        ..BatchOptions::default()
    }
}

pub(crate) fn compressed(codec: Codec) -> BatchOptions {
    BatchOptions { codec, ..BatchOptions::default() }
}

/// Storage under test.
pub(crate) struct Bench {
    pub(crate) storage: Storage,
    pub(crate) started: Started,
    tickets: AtomicU64,
    pending: std::sync::Mutex<Vec<Outcome>>,
    pub(crate) wakes: Arc<AtomicU64>,
}

pub(crate) fn options(dir: &Path) -> Options {
    Options {
        data_dir: dir.to_owned(),
        fs: Arc::new(RealFs),
        writers: 1,
        readers: 2,
        files: FileLimits { open: 64, unsynced: 64, together: 16 },
        damage: DamagePolicy::Fence,
        adopt: false,
        conversions: Pool::new("conversions", 16 << 20),
        space: SpaceOptions { reserve_bytes: Some(0), ballast_bytes: 0 },
        compaction: CompactionLimits::default(),
        cluster_id: None,
        new_cluster_id: "test-cluster".to_owned(),
        new_directory_id: topic(200),
        node_id: 0,
    }
}

impl Bench {
    pub(crate) fn start(dir: &Path) -> Bench {
        Bench::try_start(options(dir)).unwrap()
    }

    pub(crate) fn start_on(dir: &Path, fs: Arc<dyn Fs>) -> Bench {
        Bench::try_start(Options { fs, ..options(dir) }).unwrap()
    }

    pub(crate) fn try_start(options: Options) -> Result<Bench, StartError> {
        let wakes = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&wakes);
        let wake = Arc::new(move || {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        let (storage, started) = Storage::start(&options, wake)?;
        let tickets = AtomicU64::new(1);
        Ok(Bench { storage, started, tickets, pending: std::sync::Mutex::default(), wakes })
    }

    pub(crate) fn ticket(&self) -> Ticket {
        Ticket(self.tickets.fetch_add(1, Ordering::Relaxed))
    }

    /// Waits for the outcome that `pick` takes.
    pub(crate) fn wait<T>(&self, mut pick: impl FnMut(&Outcome) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut pending = self.pending.lock().unwrap();
        loop {
            let found = pending.iter().enumerate().find_map(|(i, o)| pick(o).map(|t| (i, t)));
            if let Some((index, found)) = found {
                pending.remove(index);
                return found;
            }
            assert!(Instant::now() < deadline, "no such outcome among {pending:?}");
            self.storage.wait_outcomes(Duration::from_secs(1));
            self.storage.take_outcomes(&mut pending);
        }
    }

    /// What `pick` takes of the outcomes that are there.
    pub(crate) fn ready<T>(&self, pick: impl FnMut(&Outcome) -> Option<T>) -> Option<T> {
        let mut pending = self.pending.lock().unwrap();
        self.storage.take_outcomes(&mut pending);
        let mut picks = pending.iter().map(pick).enumerate();
        let (index, found) = picks.find_map(|(index, found)| Some((index, found?)))?;
        pending.remove(index);
        Some(found)
    }

    pub(crate) fn open(&self, partition: PartitionId, config: LogConfig) -> Opened {
        self.try_open(partition, config).unwrap()
    }

    pub(crate) fn try_open(
        &self,
        partition: PartitionId,
        config: LogConfig,
    ) -> Result<Opened, StorageError> {
        let ticket = self.ticket();
        let topic = Arc::from("topic");
        self.storage.submit(Job::Open(Open { ticket, partition, topic, config: Arc::new(config) }));
        self.wait(|outcome| match outcome {
            Outcome::Opened { ticket: t, result, .. } if *t == ticket => Some(result.clone()),
            _ => None,
        })
    }

    pub(crate) fn submit(&self, partition: PartitionId, records: Vec<u8>, sync: bool) -> Ticket {
        let ticket = self.ticket();
        self.storage.submit(Job::Append(Append {
            ticket,
            partition,
            records: Bytes::from_vec(records),
            sync,
            leader_epoch: 3,
            now: NOW,
            origin: Origin::Client,
        }));
        ticket
    }

    /// Appends what came at a moment of one's choice, and waits for the sync.
    pub(crate) fn append_at(&self, partition: PartitionId, records: Vec<u8>, now: i64) -> Appended {
        let ticket = self.ticket();
        self.storage.submit(Job::Append(Append {
            ticket,
            partition,
            records: Bytes::from_vec(records),
            sync: true,
            leader_epoch: 3,
            now,
            origin: Origin::Client,
        }));
        let appended = self.appended(ticket).unwrap();
        self.synced(partition, appended.end_offset).unwrap();
        appended
    }

    pub(crate) fn appended(&self, ticket: Ticket) -> Result<Appended, AppendError> {
        self.wait(|outcome| match outcome {
            Outcome::Appended { ticket: t, result, .. } if *t == ticket => Some(result.clone()),
            _ => None,
        })
    }

    /// Appends, and waits for the sync.
    pub(crate) fn append(
        &self,
        partition: PartitionId,
        records: Vec<u8>,
    ) -> Result<Appended, AppendError> {
        let ticket = self.submit(partition, records, true);
        let result = self.appended(ticket);
        if let Ok(appended) = &result {
            self.synced(partition, appended.end_offset).unwrap();
        }
        result
    }

    pub(crate) fn synced(&self, partition: PartitionId, least: i64) -> Result<(), StorageError> {
        self.wait(|outcome| match outcome {
            Outcome::Synced { partition: p, end, result } if *p == partition && *end >= least => {
                Some(result.clone())
            }
            _ => None,
        })
    }

    /// Looks after a partition as a broker does whose clock is right.
    pub(crate) fn upkeep(&self, partition: PartitionId, now: i64) -> Upkept {
        let (expire, stepped, free) = (true, 0, false);
        self.run_upkeep(Upkeep { partition, now, expire, stepped, free })
    }

    pub(crate) fn run_upkeep(&self, upkeep: Upkeep) -> Upkept {
        self.storage.submit(Job::Upkeep(upkeep));
        self.wait(|outcome| match outcome {
            Outcome::Upkept(upkept) if upkept.partition == upkeep.partition => Some(upkept.clone()),
            _ => None,
        })
    }

    pub(crate) fn trim(&self, partition: PartitionId, offset: i64) -> Result<i64, StorageError> {
        let ticket = self.ticket();
        self.storage.submit(Job::Trim { ticket, partition, offset });
        self.wait(|outcome| match outcome {
            Outcome::Trimmed { ticket: t, result, .. } if *t == ticket => Some(result.clone()),
            _ => None,
        })
    }

    pub(crate) fn read_job(&self, parts: Vec<ReadPart>) -> Read {
        Read {
            ticket: self.ticket(),
            bytes_max: 1 << 20,
            whole_first_batch: true,
            parts,
            magic_max: 2,
            committed: false,
        }
    }

    pub(crate) fn run_read(&self, read: Read) -> Vec<Result<Vec<Payload>, ReadError>> {
        let ticket = read.ticket;
        self.storage.submit(Job::Read(read));
        self.wait(|outcome| match outcome {
            Outcome::Read { ticket: t, parts, .. } if *t == ticket => Some(parts.clone()),
            _ => None,
        })
    }

    pub(crate) fn read(
        &self,
        partition: PartitionId,
        offset: i64,
        bytes_max: usize,
    ) -> Result<Vec<u8>, ReadError> {
        let part = ReadPart { partition, offset, end: i64::MAX, bytes_max };
        let mut parts = self.run_read(self.read_job(vec![part]));
        parts.remove(0).map(|payloads| flatten(&payloads))
    }

    pub(crate) fn find_time(
        &self,
        partition: PartitionId,
        target: TimeTarget,
        end: i64,
    ) -> Result<Option<TimedOffset>, ReadError> {
        self.find_times(partition, target, end).map(|found| found.first().copied())
    }

    pub(crate) fn find_times(
        &self,
        partition: PartitionId,
        target: TimeTarget,
        end: i64,
    ) -> Result<Vec<TimedOffset>, ReadError> {
        let ticket = self.ticket();
        let queries = vec![TimeQuery { partition, target, end }];
        self.storage.submit(Job::FindTimes(FindTimes { ticket, queries }));
        self.wait(|outcome| match outcome {
            Outcome::Times { ticket: t, results } if *t == ticket => Some(results[0].clone()),
            _ => None,
        })
    }

    pub(crate) fn stop(self) {
        self.storage.shutdown(NOW).unwrap();
    }
}

pub(crate) fn flatten(payloads: &[Payload]) -> Vec<u8> {
    let mut all = Vec::new();
    for payload in payloads {
        match payload {
            Payload::Bytes(bytes) => all.extend_from_slice(bytes),
            Payload::File(range) => {
                let mut bytes = vec![0; range.len];
                let read = range.file.read_at(&mut bytes, range.position).unwrap();
                assert_eq!(read, range.len);
                all.extend(bytes);
            }
        }
    }
    all
}

/// Base offset and record count of each batch.
pub(crate) fn batches(bytes: &[u8]) -> Vec<(i64, i32)> {
    let batches = chronik::record::batch::Batches::new(&Bytes::from(bytes));
    batches.map(|found| found.unwrap().0).map(|h| (h.base_offset, h.record_count)).collect()
}

pub(crate) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Syncs of files so far.
pub(crate) fn syncs(bench: &Bench) -> u64 {
    bench.storage.stats().sync.count()
}
