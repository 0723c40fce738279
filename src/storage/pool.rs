//! All of storage as the server sees it: threads that take jobs and report outcomes.
//!
//! ```text
//!  submit ─► writer 0 (the journal) ─► syncer 0 ─┐
//!         ─► writer 1 … n           ─► syncer n ─┼─► outcomes, wake
//!         ─► readers (one queue)    ─────────────┘
//! ```
//!
//! A partition belongs to one writer for the life of the process. Every queue is unbounded: what may be in them is
//! bounded by the budgets of those who submit. A thread with nothing to do is blocked on its queue.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::directories;
use super::files::{Files, lock};
use super::fs::{Fs, LockGuard, as_u64};
use super::job::{Job, LogConfig, Open, Opened, Outcome, ReadError, StorageError, Upkeep};
use super::outcomes::Outcomes;
pub use super::outcomes::Wake;
use super::reader::{ReadCommand, Reader};
use super::recovery;
use super::scan::{Scan, WHOLE};
use super::startup;
pub use super::startup::{StartError, Started};
use super::syncer::{Marks, Syncer};
use super::writer::{Closed, Registry, Remembered, WriteCommand, Writer};
use crate::base::ids::{PartitionId, Ticket, TopicId};
use crate::base::memory::Pool;
use crate::base::metrics::StorageCounters;
use crate::base::payload::Bytes;
use crate::base::time::WallMs;
use crate::record::batch::BatchHeader;

/// Topics that the broker keeps for itself: their partitions have a writer of their own.
const JOURNAL_TOPICS: [&str; 3] =
    ["__cluster_metadata", "__consumer_offsets", "__transaction_state"];

/// How storage is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory; made if there is none.
    pub data_dir: PathBuf,
    /// Where it is.
    pub fs: Arc<dyn Fs>,
    /// Writers beside the one of the journal, at least 1.
    pub writers: usize,
    /// Readers, at least 1.
    pub readers: usize,
    /// Most files that are kept open.
    pub files_open_max: usize,
    /// Memory of records that were converted for old clients, until they are sent.
    pub conversions: Arc<Pool>,
    /// The cluster's id, if the directory is new.
    pub new_cluster_id: String,
    /// The directory's id, if it is new.
    pub new_directory_id: TopicId,
    /// This node; a directory of another node is refused.
    pub node_id: i32,
}

/// The threads and what they share.
#[derive(Debug)]
pub struct Storage {
    data_dir: PathBuf,
    files: Arc<Files>,
    registry: Arc<Registry>,
    remembered: Arc<Remembered>,
    outcomes: Arc<Outcomes>,
    stats: Arc<StorageCounters>,
    writers: Vec<Thread<WriteCommand, Closed>>,
    syncers: Vec<JoinHandle<()>>,
    readers: Vec<JoinHandle<()>>,
    to_readers: Sender<ReadCommand>,
    journal: Mutex<HashSet<PartitionId>>,
    /// Partitions that were opened or removed: the manifest of the last stop says nothing about them any more.
    touched: Mutex<BTreeSet<PartitionId>>,
    _lock: LockGuard,
}

#[derive(Debug)]
struct Thread<C, R> {
    commands: Sender<C>,
    handle: JoinHandle<R>,
}

impl Storage {
    /// Opens the data directory and starts the threads. `wake` is called from them when outcomes are ready.
    ///
    /// # Errors
    /// Why the directory cannot be used; nothing in it was changed then.
    pub fn start(options: Options, wake: Wake) -> Result<(Storage, Started), StartError> {
        let files = Files::new(Arc::clone(&options.fs), options.files_open_max);
        let writer_count = options.writers.max(1).saturating_add(1);
        let opened = startup::open(&options, writer_count)?;
        let remembered = Arc::new(opened.remembered);
        let (outcomes, stats) = (Outcomes::new(wake), Arc::new(StorageCounters::default()));
        let registry = Arc::new(Registry::default());
        let (to_readers, from_readers) = channel();
        let from_readers = Arc::new(Mutex::new(from_readers));
        let mut storage = Storage {
            data_dir: options.data_dir.clone(),
            files,
            registry,
            remembered,
            outcomes,
            stats,
            writers: Vec::new(),
            syncers: Vec::new(),
            readers: Vec::new(),
            to_readers,
            journal: Mutex::new(HashSet::new()),
            touched: Mutex::new(BTreeSet::new()),
            _lock: opened.lock,
        };
        for (number, marks) in opened.marks.into_iter().enumerate() {
            storage.start_writer(number, marks)?;
        }
        for number in 0..options.readers.max(1) {
            let reader = Reader {
                files: Arc::clone(&storage.files),
                registry: Arc::clone(&storage.registry),
                outcomes: Arc::clone(&storage.outcomes),
                conversions: Arc::clone(&options.conversions),
            };
            let queue = Arc::clone(&from_readers);
            let handle = spawn(format!("reader-{number}"), move || reader.run(&queue))?;
            storage.readers.push(handle);
        }
        Ok((storage, opened.started))
    }

    fn start_writer(&mut self, number: usize, marks: Marks) -> Result<(), StartError> {
        let (to_syncer, syncs) = channel();
        let syncer = Syncer {
            files: Arc::clone(&self.files),
            outcomes: Arc::clone(&self.outcomes),
            stats: Arc::clone(&self.stats),
            marks,
        };
        let handle = spawn(format!("syncer-{number}"), move || syncer.run(&syncs))?;
        self.syncers.push(handle);
        let writer = Writer {
            data_dir: self.data_dir.clone(),
            files: Arc::clone(&self.files),
            registry: Arc::clone(&self.registry),
            remembered: Arc::clone(&self.remembered),
            outcomes: Arc::clone(&self.outcomes),
            stats: Arc::clone(&self.stats),
            syncer: to_syncer,
            readers: self.to_readers.clone(),
            partitions: BTreeMap::new(),
            unopened: BTreeMap::new(),
        };
        let (commands, jobs) = channel();
        let handle = spawn(format!("writer-{number}"), move || writer.run(&jobs))?;
        self.writers.push(Thread { commands, handle });
        Ok(())
    }

    /// Hands over a job.
    pub fn submit(&self, job: Job) {
        let partition = match &job {
            Job::Read(_) | Job::FindTimes(_) | Job::Convert(_) | Job::Warm { .. } => {
                let _ = self.to_readers.send(ReadCommand::Job(job));
                return;
            }
            Job::Open(open) => {
                self.note_topic(open);
                open.partition
            }
            Job::Append(append) => append.partition,
            Job::Sync { partition }
            | Job::Configure { partition, .. }
            | Job::Trim { partition, .. }
            | Job::Upkeep(Upkeep { partition, .. })
            | Job::Remove { partition, .. } => *partition,
        };
        self.send(partition, WriteCommand::Job(job));
    }

    fn note_topic(&self, open: &Open) {
        lock(&self.touched).insert(open.partition);
        if JOURNAL_TOPICS.contains(&&*open.topic) {
            lock(&self.journal).insert(open.partition);
        }
    }

    fn send(&self, partition: PartitionId, command: WriteCommand) {
        let number = if lock(&self.journal).contains(&partition) {
            0
        } else {
            startup::writer_of(partition, self.writers.len())
        };
        if let Some(writer) = self.writers.get(number) {
            let _ = writer.commands.send(command);
        }
    }

    /// Moves all outcomes that are ready to the end of `taken`.
    pub fn take_outcomes(&self, taken: &mut Vec<Outcome>) {
        self.outcomes.take(taken);
    }

    /// Waits until an outcome is ready, or for so long. For the start, before there is a loop to wake.
    pub fn wait_outcomes(&self, timeout: Duration) {
        self.outcomes.wait(timeout);
    }

    /// Opens a partition of the journal and hands over all its batches, in order.
    ///
    /// # Errors
    /// Why it cannot be read to its end.
    pub fn replay(
        &self,
        partition: PartitionId,
        topic: &str,
        config: &Arc<LogConfig>,
        visit: &mut dyn FnMut(&BatchHeader, &Bytes),
    ) -> Result<Opened, StorageError> {
        let (topic, config) = (Arc::from(topic), Arc::clone(config));
        let open = Open { ticket: Ticket(0), partition, topic, config };
        self.note_topic(&open);
        let (reply, answer) = channel();
        self.send(partition, WriteCommand::Open(open, reply));
        let gone = || StorageError::content("open", &self.data_dir, "the writer has ended");
        let opened = answer.recv().map_err(|_| gone())??;
        let log = self.registry.get(partition).ok_or_else(gone)?;
        let view = log.view();
        for (segment, _) in view.from(view.log_start) {
            if segment.size() == 0 {
                continue;
            }
            let path = segment.log().path();
            let file = self.files.get(segment.log())?;
            let mut scan = Scan::new(file, 0, segment.size(), WHOLE);
            let damaged = |error: super::scan::ScanError| match error.of_read(path) {
                ReadError::Storage(error) => error,
                _ => StorageError::content("read", path, "the journal is damaged"),
            };
            while let Some(met) = scan.next_good(segment.base()).map_err(damaged)? {
                if met.header.last_offset() >= view.log_start {
                    let bytes = Bytes::from(scan.whole(&met).map_err(damaged)?);
                    visit(&met.header, &bytes);
                }
            }
        }
        Ok(opened)
    }

    /// Sorts out the partitions' directories once the journal is known: those of removed topics and those that were on
    /// their way out are unlinked, those that nobody knows are renamed and kept.
    ///
    /// # Errors
    /// What the disk refused.
    pub fn sort_out_directories(
        &self,
        known: &[(PartitionId, Arc<str>)],
        removed: &[TopicId],
    ) -> Result<(), StorageError> {
        let fs = &*self.files.fs;
        let names: HashSet<(&str, i32)> =
            known.iter().map(|(partition, topic)| (&**topic, partition.index)).collect();
        let known: HashSet<(&str, PartitionId)> =
            known.iter().map(|(partition, topic)| (&**topic, *partition)).collect();
        let remembered = &self.remembered.manifest;
        let told: HashSet<(&str, i32)> = remembered
            .values()
            .filter(|entry| known.contains(&(entry.topic.as_str(), entry.partition)))
            .map(|entry| (entry.topic.as_str(), entry.partition.index))
            .collect();
        let mut renamed = false;
        for entry in fs.read_dir(&self.data_dir)?.into_iter().filter(|entry| entry.is_dir) {
            let dir = self.data_dir.join(&entry.name);
            if directories::is_leaving(&entry.name) {
                let _ = self.to_readers.send(ReadCommand::RemoveTree(dir));
                continue;
            }
            let Some((topic, index)) = directories::parse(&entry.name) else { continue };
            if told.contains(&(topic, index)) {
                continue;
            }
            let owner = recovery::owner(fs, &dir)?;
            if owner.is_none() && names.contains(&(topic, index)) {
                // A crash came before it said whose it is: opening it makes up for that.
                continue;
            }
            let id = owner.unwrap_or_default();
            if known.contains(&(topic, PartitionId { topic: id, index })) {
                continue;
            }
            renamed = true;
            lock(&self.touched).insert(PartitionId { topic: id, index });
            if removed.contains(&id) {
                let suffix = directories::DELETE_SUFFIX;
                let gone = directories::set_aside(fs, &self.data_dir, &dir, id, suffix)?;
                let _ = self.to_readers.send(ReadCommand::RemoveTree(gone));
            } else {
                log::warn!("{} belongs to no topic known here; it is renamed", dir.display());
                directories::set_aside(fs, &self.data_dir, &dir, id, directories::STRAY_SUFFIX)?;
            }
        }
        if renamed { fs.sync_dir(&self.data_dir) } else { Ok(()) }
    }

    /// What storage counts.
    #[must_use]
    pub fn stats(&self) -> &Arc<StorageCounters> {
        &self.stats
    }

    /// Files that are open now.
    #[must_use]
    pub fn files_open(&self) -> u64 {
        as_u64(self.files.open_count())
    }

    /// Finishes all jobs, syncs everything, and leaves what a clean start needs, the marker last. `now` is the wall time;
    /// outcomes that are still reported can be taken by nobody.
    ///
    /// # Errors
    /// Why the stop is not a clean one. All threads have ended all the same.
    pub fn shutdown(mut self, now: WallMs) -> Result<(), StorageError> {
        for writer in &self.writers {
            let _ = writer.commands.send(WriteCommand::Stop);
        }
        let mut closed = Closed { partitions: Vec::new(), clean: true };
        for writer in std::mem::take(&mut self.writers) {
            let of_one = writer.handle.join().unwrap_or_default();
            closed.clean &= of_one.clean;
            closed.partitions.extend(of_one.partitions);
        }
        for syncer in std::mem::take(&mut self.syncers) {
            closed.clean &= syncer.join().is_ok();
        }
        for _ in &self.readers {
            let _ = self.to_readers.send(ReadCommand::Stop);
        }
        for reader in std::mem::take(&mut self.readers) {
            let _ = reader.join();
        }
        closed.clean &= self.stats.syncs_failed.get() == 0;
        let touched = lock(&self.touched).clone();
        let untouched = self.remembered.manifest.values();
        closed
            .partitions
            .extend(untouched.filter(|entry| !touched.contains(&entry.partition)).cloned());
        startup::leave(&*self.files.fs, &self.data_dir, closed, now)
    }
}

/// A thread whose panic ends the process: nobody could tell what it had done.
fn spawn<R: Send + 'static>(
    name: String,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<JoinHandle<R>, StartError> {
    struct Abort;
    impl Drop for Abort {
        fn drop(&mut self) {
            if thread::panicking() {
                log::error!("a storage thread has failed; the process ends");
                std::process::abort();
            }
        }
    }
    let guarded = move || {
        let _abort = Abort;
        work()
    };
    thread::Builder::new()
        .name(name)
        .spawn(guarded)
        .map_err(|error| StartError::Thread(error.to_string()))
}
