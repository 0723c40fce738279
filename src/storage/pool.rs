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

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use super::compaction::Limits as CompactionLimits;
use super::damage::DamagePolicy;
use super::fs::{Fs, as_u64};
use super::hub::{Hub, assemble};
use super::job::{Disk, FoundPartition, Job, LogConfig, Opened, Outcome, StorageError};
pub use super::outcomes::Wake;
use super::reader::ReadCommand;
pub use super::space::SpaceOptions;
pub use super::startup::{StartError, Started};
use super::syncer::Crew;
use super::writer::Closed;
use crate::base::ids::{PartitionId, TopicId};
use crate::base::memory::Pool;
use crate::base::metrics::StorageCounters;
use crate::base::payload::Bytes;
use crate::base::time::WallMs;
use crate::record::batch::BatchHeader;

/// How many files there may be that take a descriptor, and how they are synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLimits {
    /// Files that are kept open though nobody needs them now.
    pub open: usize,
    /// Files that the disk may not have yet: each keeps its descriptor until it is synced. Where there are as many, appends to
    /// further partitions wait for the syncs. [`Storage::set_unsynced_max`] changes it.
    pub unsynced: usize,
    /// From so many partitions on that nobody waits for, one sync of the volume replaces those of their files.
    pub together: usize,
}

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
    /// How many files there may be that take a descriptor, and how they are synced.
    pub files: FileLimits,
    /// What becomes of reads that meet damage.
    pub damage: DamagePolicy,
    /// Whether partitions are taken in whose topics are recorded nowhere, because the journal is lost.
    pub adopt: bool,
    /// Memory of records that were converted for old clients, until they are sent.
    pub conversions: Arc<Pool>,
    /// What is kept free on the disk.
    pub space: SpaceOptions,
    /// The cluster's id, if it is to have a certain one; a directory of another cluster is refused.
    pub cluster_id: Option<String>,
    /// The cluster's id, if it may have any and the directory is new.
    pub new_cluster_id: String,
    /// The directory's id, if it is new.
    pub new_directory_id: TopicId,
    /// What compaction may take.
    pub compaction: CompactionLimits,
    /// This node; a directory of another node is refused.
    pub node_id: i32,
}

/// The threads.
#[derive(Debug)]
pub struct Storage {
    hub: Hub,
    writers: Vec<JoinHandle<Closed>>,
    syncers: Vec<JoinHandle<bool>>,
    readers: Vec<JoinHandle<()>>,
}

impl Storage {
    /// Opens the data directory and starts the threads. `wake` is called from them when outcomes are ready.
    ///
    /// # Errors
    /// Why the directory cannot be used; nothing in it was changed then.
    pub fn start(options: &Options, wake: Wake) -> Result<(Storage, Started), StartError> {
        let (hub, workers, started) = assemble(options, wake)?;
        let (writers, syncers, readers) = (Vec::new(), Vec::new(), Vec::new());
        let mut storage = Storage { hub, writers, syncers, readers };
        for (number, (writer, jobs)) in workers.writers.into_iter().enumerate() {
            let work = move || writer.run(&jobs);
            storage.writers.push(spawn(format!("writer-{number}"), work)?);
        }
        let crew = Arc::new(Crew::new(storage.hub.hands()));
        for (number, (mut syncer, syncs)) in workers.syncers.into_iter().enumerate() {
            syncer.join(&crew, &syncs);
            let work = move || syncer.run(&syncs);
            storage.syncers.push(spawn(format!("syncer-{number}"), work)?);
        }
        for number in 0..options.readers.max(1) {
            let (reader, reads) = (workers.reader.clone(), workers.reads.clone());
            let work = move || reader.run(&reads);
            storage.readers.push(spawn(format!("reader-{number}"), work)?);
        }
        Ok((storage, started))
    }

    /// Hands over a job.
    pub fn submit(&self, job: Job) {
        self.hub.submit(job);
    }

    /// Hands over several jobs, each worker's all at once: appends that come together are written and synced together.
    pub fn submit_all(&self, jobs: impl Iterator<Item = Job>) {
        self.hub.submit_all(jobs);
    }

    /// Moves all outcomes that are ready to the end of `taken`.
    pub fn take_outcomes(&self, taken: &mut Vec<Outcome>) {
        self.hub.take_outcomes(taken);
    }

    /// Waits until an outcome is ready, or for so long. For the start, before there is a loop to wake.
    pub fn wait_outcomes(&self, timeout: Duration) {
        self.hub.outcomes.wait(timeout);
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
        let answer = self.hub.open_journal(partition, topic, config);
        let opened = answer.recv().map_err(|_| self.hub.writer_is_gone())??;
        self.hub.read_journal(partition, visit)?;
        Ok(opened)
    }

    /// The partitions that are there though the journal has no record at all.
    ///
    /// # Errors
    /// If there are any, and they are not to be taken in.
    pub fn unrecorded(&self) -> Result<Vec<FoundPartition>, StorageError> {
        self.hub.unrecorded()
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
        self.hub.sort_out_directories(known, removed)
    }

    /// What storage counts.
    #[must_use]
    pub fn stats(&self) -> &Arc<StorageCounters> {
        &self.hub.stats
    }

    /// How the disk is, as of the last look.
    #[must_use]
    pub fn disk(&self) -> Disk {
        self.hub.files.space.disk()
    }

    /// Files that are open now.
    #[must_use]
    pub fn files_open(&self) -> u64 {
        as_u64(self.hub.files.open_count())
    }

    /// Files that the disk may not have yet; each takes a descriptor.
    #[must_use]
    pub fn files_unsynced(&self) -> usize {
        self.hub.files.unsynced.count()
    }

    /// How many of them there may be from now on.
    pub fn set_unsynced_max(&self, files: usize) {
        self.hub.files.set_unsynced_max(files);
    }

    /// Somebody else needs descriptors: closes what nobody uses, and has synced, soon, what is open until it is. `true`:
    /// something is closed already.
    #[must_use]
    pub fn free_descriptors(&self) -> bool {
        self.hub.free_descriptors()
    }

    /// Finishes all jobs, syncs everything, and leaves what a clean start needs, the marker last. `now` is the wall time;
    /// outcomes that are still reported can be taken by nobody.
    ///
    /// # Errors
    /// Why the stop is not a clean one. All threads have ended all the same.
    pub fn shutdown(mut self, now: WallMs) -> Result<(), StorageError> {
        self.hub.stop_writers();
        let mut closed = Closed { partitions: Vec::new(), clean: true };
        for writer in std::mem::take(&mut self.writers) {
            closed.add(writer.join().unwrap_or_default());
        }
        for syncer in std::mem::take(&mut self.syncers) {
            closed.clean &= syncer.join().unwrap_or(false);
        }
        for _ in &self.readers {
            self.hub.to_readers.put(ReadCommand::Stop);
        }
        for reader in std::mem::take(&mut self.readers) {
            let _ = reader.join();
        }
        self.hub.leave(closed, now)
    }
}

/// A thread whose panic ends the process: nobody could tell what it had done.
pub(super) fn spawn<R: Send + 'static>(
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
