//! The thread that owns a share of the partitions: it alone writes to them, in the order of the jobs.
//!
//! It takes all jobs that wait, puts the appends of each partition together for one write, hands what is to be synced to
//! its syncer, and reports all outcomes at once.

mod appends;
mod rounds;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::compaction::{self, Progress, Round};
use super::directories;
use super::files::Files;
use super::fs::is_absent;
use super::job::{Append, Job, LogConfig, Open, Opened, Outcome, StorageError, Upkeep};
use super::log::Log;
use super::manifest::ManifestPartition;
use super::outcomes::Outcomes;
use super::partition::{Beside, Found, Partition, SyncWork, dir_of};
use super::producers::{self, PRODUCERS_MAX, Producers};
use super::queue::{Giver, Taker};
use super::reader::ReadCommand;
use super::recovery;
use super::registry::{Registry, Resting};
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
    /// Has everything synced, so that nobody needs the descriptors any more.
    SyncAll,
    /// What was unsynced when that was asked for is synced: tries again what waits for it.
    AllSynced,
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
    pub(super) syncer: Giver<SyncCommand>,
    pub(super) readers: Giver<ReadCommand>,
    /// Those that do not rest. Boxed: a tree's leaves have room for up to twice what is in them.
    pub(super) partitions: BTreeMap<PartitionId, Box<Partition>>,
    /// The broker's own appends that found no room on the disk, those behind them, and those that would make too many unsynced
    /// files: they are not refused, they wait.
    pub(super) held: BTreeMap<PartitionId, Vec<Append>>,
    /// Whether everything is being synced so that there will be fewer unsynced files.
    pub(super) is_syncing_all: bool,
    /// Directories that could not be opened.
    pub(super) unopened: BTreeMap<PartitionId, PathBuf>,
    /// How many producers are remembered, or were when some were forgotten last, and more since.
    pub(super) producers: usize,
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
    pub(super) fn run(mut self, commands: &Taker<WriteCommand>) -> Closed {
        let mut taken = VecDeque::new();
        while commands.take_all(&mut taken, None) {
            while !taken.is_empty() {
                if self.turn(taken.drain(..taken.len().min(JOBS_MAX))) {
                    return self.close();
                }
            }
            taken.shrink_to(JOBS_MAX);
        }
        // Dropped without a stop: as after a crash.
        Closed::default()
    }

    /// Does all that waits and reports. `true`: it was told to stop.
    pub(super) fn turn(&mut self, commands: impl Iterator<Item = WriteCommand>) -> bool {
        let mut report = Report::default();
        let mut groups = Groups::default();
        let mut syncs = Vec::new();
        let mut stop = false;
        for command in commands {
            if !matches!(command, WriteCommand::Job(Job::Sync { .. })) {
                self.hand_over(&mut syncs);
            }
            match command {
                WriteCommand::Job(Job::Append(append)) => groups.add(append),
                WriteCommand::Job(Job::LookForSpace) => {
                    self.files.space.look_again();
                    self.retry_held(&mut groups);
                }
                WriteCommand::RetryHeld => self.retry_held(&mut groups),
                WriteCommand::SyncAll => {
                    if !self.is_syncing_all {
                        self.sync_all_dirty(&mut report);
                    }
                }
                WriteCommand::AllSynced => {
                    self.is_syncing_all = false;
                    if !is_planted(Bug::HeldForgotten) {
                        self.retry_held(&mut groups);
                    }
                }
                WriteCommand::Job(Job::Sync { partition, awaited }) => {
                    self.append_groups(&mut groups, &mut report);
                    syncs.extend(self.sync(partition, awaited, &mut report));
                }
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
        self.hand_over(&mut syncs);
        self.append_groups(&mut groups, &mut report);
        self.outcomes.report(report.outcomes.drain(..), !report.loud);
        stop
    }

    /// Hands over what is to be synced, all at once: the syncer sees how much it is. It goes before whatever else its
    /// partitions have for the syncer.
    fn hand_over(&self, syncs: &mut Vec<SyncCommand>) {
        if !syncs.is_empty() {
            self.syncer.put_all(syncs.drain(..));
        }
    }

    fn do_job(&mut self, job: Job, report: &mut Report) {
        match job {
            Job::Open(open) => {
                let (ticket, partition) = (open.ticket, open.partition);
                let result = self.open(&open);
                report.loud = true;
                report.outcomes.push(Outcome::Opened { ticket, partition, result });
            }
            Job::Configure { partition, config } => self.configure(partition, config, report),
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
            // These went to the readers or were done before.
            Job::Append(_)
            | Job::Sync { .. }
            | Job::Read(_)
            | Job::FindTimes(_)
            | Job::Convert(_)
            | Job::LookForSpace
            | Job::Warm { .. } => {}
        }
    }

    fn configure(&mut self, id: PartitionId, config: Arc<LogConfig>, report: &mut Report) {
        self.wake(id);
        let mut due = None;
        if let Some(partition) = self.partitions.get_mut(&id) {
            if partition.ends_compaction(&config) {
                let log = Arc::clone(&partition.log);
                self.note_gaps(&log);
            }
        }
        if let Some(partition) = self.partitions.get_mut(&id) {
            partition.configure(config);
            due = partition.wanted_at();
            if let Some(round) = partition.take_vain_round() {
                self.give_up(round);
            }
        }
        report.loud = true;
        report.outcomes.push(Outcome::Configured { partition: id, due });
    }

    /// A log is compacted no more. Another broker may have left gaps before it was imported: no start must take them for
    /// damage.
    fn note_gaps(&self, log: &Log) {
        if log.end_and_bytes().1 == 0 {
            return;
        }
        let (cleaned, fs) = (&self.compaction.cleaned, &self.files.fs);
        let noted = self.with_whatever_it_takes(|| {
            if cleaned.begin(&log.topic, log.partition.index)? {
                fs.sync_dir(&self.data_dir)?;
            }
            Ok(())
        });
        noted.unwrap_or_else(|error| log::warn!("{error}"));
    }

    /// The syncer says when it is done.
    fn trim(
        &mut self,
        ticket: Ticket,
        id: PartitionId,
        offset: Offset,
    ) -> Result<(), StorageError> {
        self.wake(id);
        let none = || StorageError::content("trim", &self.data_dir, "no such partition");
        let partition = self.partitions.get_mut(&id).ok_or_else(none)?;
        self.syncer.put(partition.trim(ticket, offset)?);
        Ok(())
    }

    fn upkeep(&mut self, upkeep: &Upkeep, report: &mut Report) {
        self.wake(upkeep.partition);
        let Some(partition) = self.partitions.get_mut(&upkeep.partition) else { return };
        if let Some(command) = partition.upkeep(upkeep) {
            self.syncer.put(command);
        }
        self.compact(upkeep);
        let Some(partition) = self.partitions.get_mut(&upkeep.partition) else { return };
        partition.note_compaction_due();
        report.loud = true;
        report.outcomes.push(Outcome::Upkept(partition.upkept()));
        let more = partition.more_producers();
        self.count_producers(more);
    }

    /// More producers are remembered. Where they are too many some are forgotten.
    pub(super) fn count_producers(&mut self, more: usize) {
        self.producers = self.producers.saturating_add(more);
        if self.producers <= PRODUCERS_MAX {
            return;
        }
        let known = self.partitions.values_mut().flat_map(|partition| partition.known_producers());
        let known: Vec<&mut Producers> = known.collect();
        if known.iter().map(|producers| producers.len()).sum::<usize>() > PRODUCERS_MAX {
            producers::forget_silent(known);
        }
        let counts = self.partitions.values_mut().map(|partition| partition.count_producers());
        self.producers = counts.sum();
    }

    /// What syncs everything that a partition has written. `None`: there is no such partition.
    fn sync_work(&mut self, id: PartitionId, awaited: bool) -> Option<SyncCommand> {
        self.wake(id);
        let partition = self.partitions.get_mut(&id)?;
        Some(SyncCommand::Work(SyncWork { awaited, ..partition.take_sync() }))
    }

    /// What a partition has to sync. If there is no such partition, that is reported.
    fn sync(&mut self, id: PartitionId, awaited: bool, report: &mut Report) -> Option<SyncCommand> {
        let work = self.sync_work(id, awaited);
        if work.is_none() {
            let error = StorageError::content("sync", &self.data_dir, "no such partition");
            let (end, result) = (0, Err(error));
            report.loud = true;
            report.outcomes.push(Outcome::Synced { partition: id, end, result });
        }
        work
    }

    fn open(&mut self, open: &Open) -> Result<Opened, StorageError> {
        let id = open.partition;
        if let Some(known) = self.partitions.get(&id) {
            return Ok(known.opened());
        }
        if let Some(opened) = self.open_described(open) {
            return Ok(opened);
        }
        let dir = dir_of(&self.data_dir, &open.topic, id.index);
        if let Some(gone) = self.registry.take_from_the_way(&dir) {
            self.move_away(gone, dir.clone())?;
        }
        let found = self.with_whatever_it_takes(|| self.find(open, &dir)).inspect_err(|_| {
            self.unopened.insert(id, dir.clone());
        })?;
        self.unopened.remove(&id);
        let (topic, config) = (Arc::clone(&open.topic), Arc::clone(&open.config));
        let (log, beside) = found.into_log(id, topic, dir, config.index_interval_bytes);
        let partition = self.partition(log, beside, config);
        if let Some(mark) = self.remembered.mark(id) {
            let end = partition.mark();
            if end.end >= mark.end {
                if self.remembered.marks_written {
                    partition.log.publish_marked(mark.segment_base);
                }
            } else {
                let log = Arc::clone(&partition.log);
                self.syncer.put(SyncCommand::Lower(log, end));
            }
        }
        let opened = partition.opened();
        self.registry.insert(Arc::clone(&partition.log));
        self.partitions.insert(id, Box::new(partition));
        Ok(opened)
    }

    /// Opens a partition that the last clean stop has described, and leaves it at rest. `None`: it has not.
    fn open_described(&self, open: &Open) -> Option<Opened> {
        let (id, topic) = (open.partition, &open.topic);
        let resting = Resting {
            topic: Arc::clone(topic),
            config: Arc::clone(&open.config),
            gaps: self.has_gaps(open),
            writer: self.number,
        };
        let (log, beside) = self.registry.described(id, &resting)?;
        let opened = self.partition(log, beside, Arc::clone(&open.config)).opened();
        self.registry.rest(id, resting);
        Some(opened)
    }

    /// A partition that rests rests no more.
    fn wake(&mut self, id: PartitionId) {
        if self.partitions.contains_key(&id) {
            return;
        }
        if let Some((log, beside, resting)) = self.registry.wake(id) {
            let partition = self.partition(log, beside, resting.config);
            self.partitions.insert(id, Box::new(partition));
        }
    }

    fn partition(&self, log: Arc<Log>, beside: Beside, config: Arc<LogConfig>) -> Partition {
        let (index, end) = (log.partition.index, log.end_and_bytes().0);
        let cleaned_to = self.compaction.cleaned.of(&log.topic, index, end);
        let mut partition = Partition::new(log, beside, config, Arc::clone(&self.files));
        partition.set_cleaned(cleaned_to);
        partition
    }

    /// Whether compaction may have removed records, which stays so when the configuration changes.
    fn has_gaps(&self, open: &Open) -> bool {
        open.config.compact || self.compaction.cleaned.knows(&open.topic, open.partition.index)
    }

    /// What the partition's directory holds; makes the directory if there is none.
    fn find(&self, open: &Open, dir: &Path) -> Result<Found, StorageError> {
        let id = open.partition;
        let config = &LogConfig { compact: self.has_gaps(open), ..LogConfig::clone(&open.config) };
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

    /// Removes a partition, or one that could not be opened.
    fn remove(&mut self, id: PartitionId) -> Result<(), StorageError> {
        self.wake(id);
        let dir = if let Some(partition) = self.partitions.remove(&id) {
            partition.log.remove();
            self.registry.remove(id);
            self.syncer.put(SyncCommand::Forget(id));
            partition.log.dir.clone()
        } else {
            let Some(dir) = self.unopened.get(&id).cloned() else { return Ok(()) };
            let owner = recovery::owner(&*self.files.fs, &dir)?;
            self.unopened.remove(&id);
            if owner != Some(id.topic) {
                return Ok(());
            }
            dir
        };
        self.move_away(id, dir)
    }

    /// Renames the directory of a partition that is gone; the readers unlink it when they have time. If the disk refuses
    /// that, it is tried again when the directory's name is wanted.
    fn move_away(&self, id: PartitionId, dir: PathBuf) -> Result<(), StorageError> {
        self.try_move_away(id, &dir).inspect_err(|_| self.registry.leave_in_the_way(dir, id))
    }

    fn try_move_away(&self, id: PartitionId, dir: &Path) -> Result<(), StorageError> {
        let (fs, suffix) = (&*self.files.fs, directories::DELETE_SUFFIX);
        let moved = self.with_whatever_it_takes(|| {
            directories::set_aside(fs, &self.data_dir, dir, id.topic, suffix)
        });
        let gone = match moved {
            Ok(gone) => Some(gone),
            // It was moved before, and that was not durable.
            Err(error) if is_absent(&error) => None,
            Err(error) => return Err(error),
        };
        self.with_whatever_it_takes(|| fs.sync_dir(&self.data_dir))?;
        gone.into_iter().for_each(|gone| self.readers.put(ReadCommand::RemoveTree(gone)));
        Ok(())
    }

    /// Does something that has to be, at the cost of the ballast and of open files.
    fn with_whatever_it_takes<T>(
        &self,
        mut act: impl FnMut() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.files.space.with_ballast(|| self.files.with_descriptors(&mut act))
    }

    /// Closes all partitions; the syncer has everything when this returns.
    pub(super) fn close(mut self) -> Closed {
        // The manifest could not say what is in a partition that holds records and was never opened.
        let clean = !self.unopened.keys().any(|id| self.remembered.knows(*id));
        let mut closed = Closed { partitions: Vec::new(), clean };
        for id in self.registry.read_alone(self.number) {
            // Indexes that were missed and made anew last.
            self.wake(id);
        }
        let (mut dirty, dirty_max) = (0usize, self.files.dirty_max());
        // A volume that has lost something says nothing any more: then each file is synced.
        let can_sync_all = !self.files.has_volume_lost();
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
                closed.clean &= close_beside(partition, can_sync_all);
            }
        }
        let together = dirty > dirty_max && can_sync_all;
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
                self.syncer.put(SyncCommand::Work(work));
            }
        }
        self.syncer.put(SyncCommand::Stop);
        closed
    }
}

/// Closes what is dirty beside a log that is about to be closed: it is synced with everything, or else here. `false`: that
/// has failed.
fn close_beside(partition: &mut Partition, can_sync_all: bool) -> bool {
    if can_sync_all {
        partition.let_go_beside();
        return true;
    }
    partition.sync_beside().inspect_err(|error| log::error!("{error}")).is_ok()
}
