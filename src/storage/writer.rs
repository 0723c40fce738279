//! The thread that owns a share of the partitions: it alone writes to them, in the order of the jobs.
//!
//! It takes all jobs that wait, puts the appends of each partition together for one write, hands what is to be synced to
//! its syncer, and reports all outcomes at once.

mod rounds;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, RwLock};

use super::compaction::{self, Progress, Round};
use super::files::Files;
use super::job::{
    Append, AppendError, Appended, Job, LogConfig, Open, Opened, Origin, Outcome, StorageError,
    Upkeep,
};
use super::log::Log;
use super::manifest::ManifestPartition;
use super::marks::Mark;
use super::outcomes::Outcomes;
use super::partition::{Found, Partition, SyncWork, dir_of};
use super::queue::Giver;
use super::reader::ReadCommand;
use super::recovery;
use super::syncer::SyncCommand;
use crate::base::ids::{Offset, PartitionId, Ticket};
use crate::base::metrics::StorageCounters;
use crate::base::planted::{Bug, is_planted};

type AppendResult = Result<Appended, AppendError>;

/// Most jobs that are taken before their outcomes are reported.
const JOBS_MAX: usize = 1024;

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

/// What the last stop left behind.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// What the manifest says, after a clean stop.
    pub(super) manifest: BTreeMap<PartitionId, ManifestPartition>,
    /// The durable marks; after a clean stop, the ends.
    pub(super) marks: BTreeMap<PartitionId, Mark>,
    /// Whether no mark was lost: a partition without one is new.
    pub(super) marks_whole: bool,
    /// Whether the files of marks say the same.
    pub(super) marks_written: bool,
    /// Whether everything was synced after an unclean stop.
    pub(super) synced: bool,
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
    pub(super) partitions: BTreeMap<PartitionId, Partition>,
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

/// Appends of each partition, in the order of their first.
#[derive(Default)]
struct Groups {
    appends: Vec<(PartitionId, Vec<Append>)>,
    /// Where each is among them.
    places: BTreeMap<PartitionId, usize>,
}

impl Groups {
    fn add(&mut self, append: Append) {
        let place = self.begin(append.partition);
        if let Some((_, group)) = self.appends.get_mut(place) {
            group.push(append);
        }
    }

    /// Has a partition looked after, even if nothing new comes. Gives its place.
    fn begin(&mut self, partition: PartitionId) -> usize {
        *self.places.entry(partition).or_insert_with(|| {
            self.appends.push((partition, Vec::new()));
            self.appends.len() - 1
        })
    }
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

    /// Writes all groups, reports, and has synced what somebody waits for.
    fn append_groups(&mut self, groups: &mut Groups, report: &mut Report) {
        groups.places.clear();
        let mut to_sync = Vec::new();
        for (id, mut appends) in groups.appends.drain(..) {
            if let Some(held) = self.held.remove(&id) {
                // What waits for room on the disk goes before what has come since.
                appends.splice(0..0, held);
            }
            if self.append(id, appends, report) {
                to_sync.push(id);
            }
        }
        if to_sync.is_empty() {
            return;
        }
        // The outcomes of the appends come before those of the syncs.
        self.outcomes.report(report.outcomes.drain(..), !report.loud);
        report.loud = false;
        for id in to_sync {
            self.send_sync(id, true);
        }
    }

    /// Has synced what a partition has written. `false`: there is no such partition.
    fn send_sync(&mut self, id: PartitionId, awaited: bool) -> bool {
        let Some(partition) = self.partitions.get_mut(&id) else { return false };
        let work = SyncWork { awaited, ..partition.take_sync() };
        let _ = self.syncer.send(SyncCommand::Work(work));
        true
    }

    fn count(&self, appended: &Appended, origin: Origin) {
        self.stats.written_bytes.add(appended.bytes);
        if origin == Origin::Client && !appended.duplicate {
            let records = appended.end_offset.saturating_sub(appended.base_offset);
            self.stats.records.add(u64::try_from(records).unwrap_or(0));
            self.stats.payload_bytes.add(appended.bytes);
        }
    }

    /// Appends to one partition. `true`: somebody waits for the sync.
    fn append(&mut self, id: PartitionId, appends: Vec<Append>, report: &mut Report) -> bool {
        let results = self.write(id, &appends);
        let mut asked: Vec<(Ticket, bool, Origin, AppendResult)> =
            Vec::with_capacity(appends.len());
        for (append, result) in appends.into_iter().zip(results) {
            let error = storage_error(&result).filter(|error| error.may_pass());
            if let Some(error) = error.filter(|_| append.origin == Origin::Broker) {
                let held = self.held.entry(id).or_default();
                if held.is_empty() {
                    self.files.space.insist(error);
                }
                held.push(append);
            } else {
                // The records' memory is free before anybody hears that it could be.
                asked.push((append.ticket, append.sync, append.origin, result));
            }
        }
        let mut wanted = false;
        for (ticket, sync, origin, result) in asked {
            match &result {
                Ok(appended) => {
                    self.count(appended, origin);
                    wanted |= sync;
                    report.loud |= !sync;
                }
                Err(error) => {
                    self.count_refused(error);
                    report.loud = true;
                }
            }
            report.outcomes.push(Outcome::Appended { ticket, partition: id, result });
        }
        wanted
    }

    /// Writes appends in order. Where the disk is full, the broker's own are tried again with ever less ballast.
    fn write(&mut self, id: PartitionId, appends: &[Append]) -> Vec<AppendResult> {
        let Some(partition) = self.partitions.get_mut(&id) else {
            return appends.iter().map(|_| Err(AppendError::UnknownPartition)).collect();
        };
        let space = &self.files.space;
        let mut results: Vec<AppendResult> = Vec::with_capacity(appends.len());
        loop {
            let rest = appends.get(results.len()..).unwrap_or_default();
            results.extend(partition.append_all(rest));
            let refused = results.iter().position(|result| storage_error(result).is_some());
            let Some((first, error)) =
                refused.and_then(|at| Some((at, storage_error(results.get(at)?)?.clone())))
            else {
                return results;
            };
            space.look(None);
            let behind = appends.get(first..).unwrap_or_default();
            let is_ours = behind.iter().any(|append| append.origin == Origin::Broker);
            if !(is_ours && error.is_out_of_space() && space.release()) {
                return results;
            }
            results.truncate(first);
        }
    }

    fn retry_held(&self, groups: &mut Groups) {
        for partition in self.held.keys() {
            groups.begin(*partition);
        }
    }

    fn count_refused(&self, error: &AppendError) {
        match error {
            AppendError::NoSpace => self.stats.refused_for_space.increment(),
            AppendError::Storage(_) | AppendError::Offline(_) => {
                self.stats.writes_failed.increment();
            }
            _ => {}
        }
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
        if let Some(mark) = self.remembered.marks.get(&id) {
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
        self.partitions.insert(id, partition);
        Ok(opened)
    }

    /// What the partition's directory holds; makes the directory if there is none.
    fn find(&self, open: &Open, dir: &Path) -> Result<Found, StorageError> {
        let id = open.partition;
        // Gaps stay where they are when the configuration changes.
        let compact = open.config.compact || self.compaction.cleaned.knows(&open.topic, id.index);
        let config = &LogConfig { compact, ..LogConfig::clone(&open.config) };
        if let Some(manifest) = self.remembered.manifest.get(&id) {
            if *manifest.topic == *open.topic {
                return Ok(recovery::from_manifest(dir, manifest, config));
            }
        }
        let mark = self.remembered.marks.get(&id);
        let known = recovery::Known {
            mark,
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
        let known = |id| self.remembered.marks.contains_key(id);
        let clean = !self.unopened.keys().any(known);
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

/// Why the disk refused an append, which a later one may not meet.
fn storage_error(result: &AppendResult) -> Option<&StorageError> {
    match result {
        Err(AppendError::Storage(error)) => Some(error),
        _ => None,
    }
}
