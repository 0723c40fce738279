//! The open partitions, as readers and writers find them.
//!
//! A partition that the last clean stop has described is opened without a look at its directory: it *rests*, and takes
//! little more memory than that description. Whoever needs its log first wakes the log; only its writer has use for the
//! partition itself.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard};

use super::files::lock;
use super::job::LogConfig;
use super::log::Log;
use super::partition::{Beside, dir_of};
use super::recovery;
use super::remembered::Remembered;
use super::segment::Shape;
use crate::base::ids::PartitionId;

/// How a partition was opened that rests.
#[derive(Clone, Debug)]
pub(super) struct Resting {
    /// The topic's name, which names the directory.
    pub(super) topic: Arc<str>,
    pub(super) config: Arc<LogConfig>,
    /// Whether compaction may have removed records.
    pub(super) gaps: bool,
    /// The number of the writer whose it is.
    pub(super) writer: usize,
}

#[derive(Debug)]
struct Entry {
    /// `None`: it rests, and nobody has read it yet.
    log: Option<Arc<Log>>,
    /// `None`: its writer has it.
    resting: Option<Resting>,
}

/// All open partitions.
#[derive(Debug)]
pub(super) struct Registry {
    data_dir: PathBuf,
    remembered: Arc<Remembered>,
    entries: RwLock<HashMap<PartitionId, Entry>>,
    /// Directories of partitions that are gone, where the disk has refused to move them away.
    in_the_way: Mutex<BTreeMap<PathBuf, PartitionId>>,
}

impl Registry {
    pub(super) fn new(data_dir: PathBuf, remembered: Arc<Remembered>) -> Registry {
        Registry { data_dir, remembered, entries: RwLock::default(), in_the_way: Mutex::default() }
    }

    /// The log of an open partition.
    pub(super) fn get(&self, partition: PartitionId) -> Option<Arc<Log>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = &entries.get(&partition)?.log {
            return Some(Arc::clone(log));
        }
        drop(entries);
        let mut entries = self.lock();
        let entry = entries.get_mut(&partition)?;
        if let (None, Some(resting)) = (&entry.log, &entry.resting) {
            entry.log = self.described(partition, resting).map(|(log, _)| log);
        }
        entry.log.clone()
    }

    /// Adds a partition that its writer has.
    pub(super) fn insert(&self, log: Arc<Log>) {
        self.lock().insert(log.partition, Entry { log: Some(log), resting: None });
    }

    /// Adds a partition that rests, unless it is open already.
    pub(super) fn rest(&self, partition: PartitionId, resting: Resting) {
        let entry = Entry { log: None, resting: Some(resting) };
        self.lock().entry(partition).or_insert(entry);
    }

    /// Hands over a partition that rests to its writer. `None`: there is no such partition, or the writer has it.
    pub(super) fn wake(&self, partition: PartitionId) -> Option<(Arc<Log>, Beside, Resting)> {
        let mut entries = self.lock();
        let entry = entries.get_mut(&partition)?;
        let resting = entry.resting.take()?;
        let (log, beside) = self.described(partition, &resting)?;
        Some((Arc::clone(entry.log.get_or_insert(log)), beside, resting))
    }

    /// The partitions of one writer that rest though their logs were read.
    pub(super) fn read_alone(&self, writer: usize) -> Vec<PartitionId> {
        let entries = self.lock();
        let is_its = |resting: &Resting| resting.writer == writer;
        let found = entries
            .iter()
            .filter(|(_, entry)| entry.log.is_some() && entry.resting.as_ref().is_some_and(is_its));
        found.map(|(partition, _)| *partition).collect()
    }

    pub(super) fn remove(&self, partition: PartitionId) {
        self.lock().remove(&partition);
    }

    /// A partition's directory stays in the way of the next one of its name.
    pub(super) fn leave_in_the_way(&self, dir: PathBuf, partition: PartitionId) {
        lock(&self.in_the_way).insert(dir, partition);
    }

    /// Whose directory is in the way of a new one. Who asks moves it, or leaves it there again.
    pub(super) fn take_from_the_way(&self, dir: &Path) -> Option<PartitionId> {
        lock(&self.in_the_way).remove(dir)
    }

    /// The log of a partition as the last clean stop has described it, and what is beside it. `None`: it has not, or
    /// under another topic's name.
    pub(super) fn described(
        &self,
        partition: PartitionId,
        resting: &Resting,
    ) -> Option<(Arc<Log>, Beside)> {
        let told = self.remembered.manifest.get(partition)?;
        if *told.topic != *resting.topic {
            return None;
        }
        let dir = dir_of(&self.data_dir, &resting.topic, partition.index);
        let shape = Shape { interval: resting.config.index_interval_bytes, gaps: resting.gaps };
        let found = recovery::from_manifest(&dir, &told, shape);
        let (log, beside) =
            found.into_log(partition, Arc::clone(&resting.topic), dir, shape.interval);
        if self.remembered.marks_written {
            log.publish_marked(log.end_and_bytes().1);
        }
        Some((log, beside))
    }

    fn lock(&self) -> RwLockWriteGuard<'_, HashMap<PartitionId, Entry>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}
