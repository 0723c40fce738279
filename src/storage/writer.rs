//! The thread that owns a share of the partitions: it alone writes to them, in the order of the jobs.
//!
//! It takes all jobs that wait, puts the appends of each partition together for one write, hands what is to be synced to
//! its syncer, and reports all outcomes at once.

mod appends;
mod rounds;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, RwLock};

use super::compaction::{self, Progress, Round};
use super::files::Files;
use super::job::{Append, Job, LogConfig, Open, Opened, Outcome, StorageError, Upkeep};
use super::log::Log;
use super::manifest::ManifestPartition;
use super::outcomes::Outcomes;
use super::partition::{Found, Partition, SyncWork, dir_of};
use super::queue::Giver;
use super::reader::ReadCommand;
use super::recovery;
use super::remembered::Remembered;
use super::syncer::SyncCommand;
use crate::base::ids::{Offset, PartitionId, Ticket};
use crate::base::metrics::StorageCounters;
use crate::base::planted::{Bug, is_planted};
use appends::Groups;

/// Most jobs that are taken before their outcomes are reported.
const JOBS_MAX: usize = 1024;

/// The writer, beside the journal's 0, to which a partition belongs.
pub(super) fn writer_of(partition: PartitionId, writers: usize) -> usize {
    let [.., a, b] = partition.topic.0;
    let index = usize::try_from(partition.index).unwrap_or(0);
    let spread = usize::from(u16::from_be_bytes([a, b])).wrapping_add(index);
    match spread.checked_rem(writers.saturating_sub(1)) {
        Some(number) => number + 1,
        None => 0,
    }
}

/// The open partitions, as readers find them.
#[derive(Debug, Default)]
pub(super) struct Registry {
    logs: RwLock<HashMap<PartitionId, Arc<Log>>>,
}

impl Registry {
    pub(super) fn get(&self, partition: PartitionId) -> Option<Arc<Log>> {
        let logs = self.logs.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        logs.get(&partition).cloned()
    }

    fn insert(&self, log: Arc<Log>) {
        let mut logs = self.logs.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        logs.insert(log.partition, log);
    }

    fn remove(&self, partition: PartitionId) {
        let mut logs = self.logs.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        logs.remove(&partition);
    }
}

/// What a writer is asked to do.
#[derive(Debug)]
pub(super) enum WriteCommand {
    /// A job of the broker.
    Job(Job),
    /// Opens a partition for somebody who waits.
    Open(Open, Sender<Result<Opened, StorageError>>),
    /// A piece of a round of compaction is done.
    Compacted(Box<Round>, Progress),
    /// Tries again what found no room on the disk.
    RetryHeld,
    /// Closes everything; nothing follows.
    Stop,
}

/// The thread's state.
pub(super) struct Writer {
    pub(super) number: usize,
    pub(super) compaction: Arc<compaction::Shared>,
    pub(super) data_dir: PathBuf,
    pub(super) files: Arc<Files>,
    pub(super) registry: Arc<Registry>,
    pub(super) remembered: Arc<Remembered>,
    pub(super) outcomes: Arc<Outcomes>,
    pub(super) stats: Arc<StorageCounters>,
    pub(super) syncer: Sender<SyncCommand>,
    pub(super) readers: Giver<ReadCommand>,
    /// Boxed: a tree's leaves have room for up to twice what is in them.
    pub(super) partitions: BTreeMap<PartitionId, Box<Partition>>,
    /// The broker's own appends that found no room on the disk, and those behind them: they are not refused, they wait.
    pub(super) held: BTreeMap<PartitionId, Vec<Append>>,
    /// Directories that could not be opened.
    pub(super) unopened: BTreeMap<PartitionId, PathBuf>,
}

/// What a clean stop of one writer leaves for the manifest.
#[derive(Debug, Default)]
pub(super) struct Closed {
    pub(super) partitions: Vec<ManifestPartition>,
    /// Whether every partition could be closed properly.
    pub(super) clean: bool,
}

impl Closed {
    /// Adds what another writer leaves.
    pub(super) fn add(&mut self, other: Closed) {
        self.clean &= other.clean;
        self.partitions.extend(other.partitions);
    }
}

/// Outcomes on their way, and whether one of them must ring the bell.
#[derive(Default)]
struct Report {
    outcomes: Vec<Outcome>,
    loud: bool,
}

impl Writer {
    /// Works until it is told to stop; then closes all partitions. The syncer stops after it.
    pub(super) fn run(mut self, commands: &Receiver<WriteCommand>) -> Closed {
        while let Ok(first) = commands.recv() {
            let waiting = std::iter::once(first).chain(commands.try_iter().take(JOBS_MAX));
            if self.turn(waiting) {
                return self.close();
            }
        }
        // Dropped without a stop: as after a crash.
        Closed::default()
    }

    /// Does all that waits and reports. `true`: it was told to stop.
    pub(super) fn turn(&mut self, commands: impl Iterator<Item = WriteCommand>) -> bool {
        let mut report = Report::default();
        let mut groups = Groups::default();
        let mut stop = false;
        for command in commands {
            match command {
                WriteCommand::Job(Job::Append(append)) => groups.add(append),
                WriteCommand::Job(Job::LookForSpace) => {
                    self.files.space.look_again();
                    self.retry_held(&mut groups);
                }
                WriteCommand::RetryHeld => self.retry_held(&mut groups),
                WriteCommand::Job(job) => {
                    self.append_groups(&mut groups, &mut report);
                    self.do_job(job, &mut report);
                }
                WriteCommand::Compacted(round, progress) => {
                    self.compacted(round, progress, &mut report);
                }
                WriteCommand::Open(open, reply) => {
                    let _ = reply.send(self.open(&open));
                }
                WriteCommand::Stop => {
                    self.retry_held(&mut groups);
                    stop = true;
                }
            }
        }
        self.append_groups(&mut groups, &mut report);
        self.outcomes.report(report.outcomes.drain(..), !report.loud);
        stop
    }

    fn do_job(&mut self, job: Job, report: &mut Report) {
        match job {
            Job::Open(open) => {
                let (ticket, partition) = (open.ticket, open.partition);
                let result = self.open(&open);
                report.loud = true;
                report.outcomes.push(Outcome::Opened { ticket, partition, result });
            }
            Job::Sync { partition, awaited } => self.sync(partition, awaited, report),
            Job::Configure { partition, config } => self.configure(partition, config),
            Job::Trim { ticket, partition, offset } => {
                if let Err(error) = self.trim(ticket, partition, offset) {
                    let result = Err(error);
                    report.loud = true;
                    report.outcomes.push(Outcome::Trimmed { ticket, partition, result });
                }
            }
            Job::Upkeep(upkeep) => self.upkeep(&upkeep, report),
            Job::Remove { ticket, partition } => {
                let result = self.remove(partition);
                report.loud = true;
                report.outcomes.push(Outcome::Removed { ticket, partition, result });
            }
            // These went to the readers or were grouped.
            Job::Append(_)
            | Job::Read(_)
            | Job::FindTimes(_)
            | Job::Convert(_)
            | Job::LookForSpace
            | Job::Warm { .. } => {}
        }
    }

    fn configure(&mut self, id: PartitionId, config: Arc<LogConfig>) {
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        if partition.ends_compaction(&config) {
            // Another broker may have left gaps before the log was imported: no start must take them for damage.
            let begun = self.compaction.cleaned.begin(&partition.log.topic, id.index);
            begun
                .and_then(|new| if new { self.files.fs.sync_dir(&self.data_dir) } else { Ok(()) })
                .unwrap_or_else(|error| log::warn!("{error}"));
        }
        partition.configure(config);
    }

    /// The syncer says when it is done.
    fn trim(
        &mut self,
        ticket: Ticket,
        id: PartitionId,
        offset: Offset,
    ) -> Result<(), StorageError> {
        let none = || StorageError::content("trim", &self.data_dir, "no such partition");
        let partition = self.partitions.get_mut(&id).ok_or_else(none)?;
        let _ = self.syncer.send(partition.trim(ticket, offset)?);
        Ok(())
    }

    fn upkeep(&mut self, upkeep: &Upkeep, report: &mut Report) {
        let Some(partition) = self.partitions.get_mut(&upkeep.partition) else { return };
        if let Some(command) = partition.upkeep(upkeep) {
            let _ = self.syncer.send(command);
        }
        self.compact(upkeep);
        let Some(partition) = self.partitions.get_mut(&upkeep.partition) else { return };
        partition.note_compaction_due();
        report.loud = true;
        report.outcomes.push(Outcome::Upkept(partition.upkept()));
    }

    /// Has synced what a partition has written. `false`: there is no such partition.
    fn send_sync(&mut self, id: PartitionId, awaited: bool) -> bool {
        let Some(partition) = self.partitions.get_mut(&id) else { return false };
        let work = SyncWork { awaited, ..partition.take_sync() };
        let _ = self.syncer.send(SyncCommand::Work(work));
        true
    }

    fn sync(&mut self, id: PartitionId, awaited: bool, report: &mut Report) {
        if !self.send_sync(id, awaited) {
            let error = StorageError::content("sync", &self.data_dir, "no such partition");
            let (end, result) = (0, Err(error));
            report.loud = true;
            report.outcomes.push(Outcome::Synced { partition: id, end, result });
        }
    }

    fn open(&mut self, open: &Open) -> Result<Opened, StorageError> {
        let id = open.partition;
        if let Some(known) = self.partitions.get(&id) {
            return Ok(known.opened());
        }
        let dir = dir_of(&self.data_dir, &open.topic, id.index);
        let found =
            self.files.space.with_ballast(|| self.files.with_descriptors(|| self.find(open, &dir)));
        let found = found.inspect_err(|_| {
            self.unopened.insert(id, dir.clone());
        })?;
        self.unopened.remove(&id);
        let (topic, config) = (Arc::clone(&open.topic), Arc::clone(&open.config));
        let cleaned_to = self.compaction.cleaned.of(&topic, id.index, found.end);
        let mut partition = Partition::new(id, topic, dir, config, Arc::clone(&self.files), found);
        partition.set_cleaned(cleaned_to);
        if let Some(mark) = self.remembered.mark(id) {
            let end = partition.mark();
            if end.end >= mark.end {
                if self.remembered.marks_written {
                    partition.log.publish_marked(mark.segment_base);
                }
            } else {
                let log = Arc::clone(&partition.log);
                let _ = self.syncer.send(SyncCommand::Lower(log, end));
            }
        }
        let opened = partition.opened();
        self.registry.insert(Arc::clone(&partition.log));
        self.partitions.insert(id, Box::new(partition));
        Ok(opened)
    }

    /// What the partition's directory holds; makes the directory if there is none.
    fn find(&self, open: &Open, dir: &Path) -> Result<Found, StorageError> {
        let id = open.partition;
        // Gaps stay where they are when the configuration changes.
        let compact = open.config.compact || self.compaction.cleaned.knows(&open.topic, id.index);
        let config = &LogConfig { compact, ..LogConfig::clone(&open.config) };
        if let Some(manifest) = self.remembered.manifest.get(id) {
            if *manifest.topic == *open.topic {
                return Ok(recovery::from_manifest(dir, &manifest, config));
            }
        }
        let mark = self.remembered.mark(id);
        let known = recovery::Known {
            mark: mark.as_ref(),
            marks_whole: self.remembered.marks_whole,
            synced: self.remembered.synced,
            scanned: &self.stats.scanned_bytes,
        };
        let found = recovery::examine(&self.files, dir, id.topic, &known, config)?;
        match found {
            Some(found) => Ok(found),
            None => {
                // What an earlier topic of this name has left.
                self.compaction.cleaned.forget(&open.topic, id.index)?;
                recovery::create(&*self.files.fs, &self.data_dir, dir, id.topic)
            }
        }
    }

    /// Renames the directory durably; the readers unlink it when they have time.
    fn remove(&mut self, id: PartitionId) -> Result<(), StorageError> {
        let fs = &*self.files.fs;
        let dir = if let Some(partition) = self.partitions.remove(&id) {
            partition.log.remove();
            self.registry.remove(id);
            let _ = self.syncer.send(SyncCommand::Forget(id));
            partition.log.dir.clone()
        } else {
            match self.unopened.remove(&id) {
                Some(dir) if recovery::owner(fs, &dir)? == Some(id.topic) => dir,
                _ => return Ok(()),
            }
        };
        let suffix = super::directories::DELETE_SUFFIX;
        let gone = super::directories::set_aside(fs, &self.data_dir, &dir, id.topic, suffix)?;
        fs.sync_dir(&self.data_dir)?;
        self.readers.put(ReadCommand::RemoveTree(gone));
        Ok(())
    }

    /// Closes all partitions; the syncer has everything when this returns.
    pub(super) fn close(mut self) -> Closed {
        // The manifest could not say what is in a partition that holds records and was never opened.
        let clean = !self.unopened.keys().any(|id| self.remembered.knows(*id));
        let mut closed = Closed { partitions: Vec::new(), clean };
        let (mut dirty, dirty_max) = (0usize, self.files.dirty_max());
        for partition in self.partitions.values_mut() {
            let files = &self.files;
            match files.space.with_ballast(|| files.with_descriptors(|| partition.close())) {
                Ok(()) => closed.partitions.push(partition.manifest()),
                Err(error) => {
                    log::error!("{error}");
                    closed.clean = false;
                }
            }
            dirty += usize::from(partition.is_dirty());
            if dirty > dirty_max {
                // There may be more of them than descriptors.
                partition.let_go_beside();
            }
        }
        let together = dirty > dirty_max;
        if together {
            closed.clean &= self.files.sync_all(&self.data_dir).is_ok();
        }
        for partition in self.partitions.values_mut().filter(|partition| partition.is_dirty()) {
            let mut work = partition.take_sync();
            if together {
                // Only the logs' own descriptors know of a write that failed before.
                work.keep_log_alone();
            }
            if !is_planted(Bug::CleanMarkerFirst) {
                let _ = self.syncer.send(SyncCommand::Work(work));
            }
        }
        let _ = self.syncer.send(SyncCommand::Stop);
        closed
    }
}
