//! What all workers of storage share, and the way to them: it makes the workers, hands each job to the one whose it is,
//! and does at the start and at the stop what concerns the data directory as a whole.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use super::compaction::cleaned::Cleaned;
use super::compaction::{self, Turnstile};
use super::damage::DamagePolicy;
use super::directories;
use super::files::{Files, lock};
use super::fs::{LockGuard, is_absent};
use super::job::{
    FoundPartition, Job, LogConfig, Open, Opened, Outcome, ReadError, StorageError, Upkeep,
};
use super::lost_journal;
use super::mark_file::Marks;
use super::outcomes::{Outcomes, Wake};
use super::pool::Options;
use super::queue::{Giver, Taker, queue};
use super::reader::{ReadCommand, Reader};
use super::recovery;
use super::registry::Registry;
use super::remembered::Remembered;
use super::segment::{Segment, Step};
use super::space::Space;
use super::startup::{self, StartError, Started};
use super::syncer::{Hands, SyncCommand, Syncer};
use super::writer::{self, Closed, WriteCommand, Writer};
use crate::base::ids::{Offset, PartitionId, Ticket, TopicId};
use crate::base::metrics::StorageCounters;
use crate::base::payload::Bytes;
use crate::base::time::WallMs;
use crate::record::batch::BatchHeader;

/// What all workers share, and the way to them.
#[derive(Debug)]
pub(super) struct Hub {
    data_dir: PathBuf,
    /// Whether partitions are taken in that are recorded nowhere.
    adopt: bool,
    pub(super) files: Arc<Files>,
    registry: Arc<Registry>,
    remembered: Arc<Remembered>,
    pub(super) outcomes: Arc<Outcomes>,
    pub(super) stats: Arc<StorageCounters>,
    to_writers: Arc<Vec<Giver<WriteCommand>>>,
    compaction: Arc<compaction::Shared>,
    pub(super) to_readers: Giver<ReadCommand>,
    journal: Mutex<BTreeSet<PartitionId>>,
    /// Partitions that are no longer what the manifest of the last stop says, and not open.
    gone: Mutex<BTreeSet<PartitionId>>,
    _lock: LockGuard,
}

/// Jobs on their way, sorted by whose they are.
struct Shares {
    reads: Vec<ReadCommand>,
    /// One share for each writer.
    writes: Vec<Vec<WriteCommand>>,
}

impl Shares {
    fn new(writers: usize) -> Shares {
        Shares {
            reads: Vec::new(),
            writes: std::iter::repeat_with(Vec::new).take(writers).collect(),
        }
    }

    fn write(&mut self, number: usize, command: WriteCommand) {
        if let Some(share) = self.writes.get_mut(number) {
            share.push(command);
        }
    }
}

/// Those who work, each with its queue.
pub(super) struct Workers {
    pub(super) writers: Vec<(Writer, Taker<WriteCommand>)>,
    pub(super) syncers: Vec<(Syncer, Taker<SyncCommand>)>,
    pub(super) reader: Reader,
    pub(super) reads: Taker<ReadCommand>,
}

/// Opens the data directory and makes the workers.
pub(super) fn assemble(
    options: &Options,
    wake: Wake,
) -> Result<(Hub, Workers, Started), StartError> {
    let (outcomes, fs) = (Outcomes::new(wake), Arc::clone(&options.fs));
    let (data_dir, reporter) = (options.data_dir.clone(), Arc::clone(&outcomes));
    let space = Space::new(Arc::clone(&fs), data_dir, options.space, reporter);
    let stats = Arc::new(StorageCounters::default());
    let files = Files::new(fs, space, options.files, options.damage, Arc::clone(&stats));
    let writer_count = options.writers.max(1).saturating_add(1);
    let opened = startup::open(options, &files, writer_count)?;
    let (to_readers, reads) = queue();
    let compaction = compaction::Shared {
        limits: options.compaction,
        turnstile: Turnstile::default(),
        cleaned: Cleaned::load(Arc::clone(&options.fs), &options.data_dir),
    };
    let remembered = Arc::new(opened.remembered);
    let registry = Registry::new(options.data_dir.clone(), Arc::clone(&remembered));
    let mut hub = Hub {
        data_dir: options.data_dir.clone(),
        adopt: options.adopt,
        files,
        registry: Arc::new(registry),
        remembered,
        outcomes,
        stats,
        to_writers: Arc::new(Vec::new()),
        compaction: Arc::new(compaction),
        to_readers,
        journal: Mutex::new(opened.journal),
        gone: Mutex::default(),
        _lock: opened.lock,
    };
    let (mut writers, mut syncers, mut to_writers) = (Vec::new(), Vec::new(), Vec::new());
    for (number, marks) in opened.marks.into_iter().enumerate() {
        let (to_syncer, syncs) = queue();
        syncers.push((hub.syncer(marks), syncs));
        let (to_writer, jobs) = queue();
        writers.push((hub.writer(number, to_syncer), jobs));
        to_writers.push(to_writer);
    }
    hub.to_writers = Arc::new(to_writers);
    for (number, (syncer, _)) in syncers.iter_mut().enumerate() {
        syncer.serve(number, Arc::downgrade(&hub.to_writers));
    }
    let reader = Reader {
        files: Arc::clone(&hub.files),
        registry: Arc::clone(&hub.registry),
        outcomes: Arc::clone(&hub.outcomes),
        conversions: Arc::clone(&options.conversions),
        writers: Arc::downgrade(&hub.to_writers),
    };
    Ok((hub, Workers { writers, syncers, reader, reads }, opened.started))
}

impl Hub {
    fn syncer(&self, marks: Marks) -> Syncer {
        Syncer::new(self.hands(), self.to_readers.clone(), marks)
    }

    /// What it takes to sync.
    pub(super) fn hands(&self) -> Hands {
        let (files, outcomes) = (Arc::clone(&self.files), Arc::clone(&self.outcomes));
        Hands { files, outcomes, stats: Arc::clone(&self.stats) }
    }

    fn writer(&self, number: usize, syncer: Giver<SyncCommand>) -> Writer {
        Writer {
            number,
            compaction: Arc::clone(&self.compaction),
            data_dir: self.data_dir.clone(),
            files: Arc::clone(&self.files),
            registry: Arc::clone(&self.registry),
            remembered: Arc::clone(&self.remembered),
            outcomes: Arc::clone(&self.outcomes),
            stats: Arc::clone(&self.stats),
            syncer,
            readers: self.to_readers.clone(),
            held: BTreeMap::new(),
            is_syncing_all: false,
            partitions: BTreeMap::new(),
            unopened: BTreeMap::new(),
            producers: 0,
        }
    }

    pub(super) fn submit(&self, job: Job) {
        self.submit_all(std::iter::once(job));
    }

    /// Each worker gets all of its jobs at once: one that was asleep does not begin with the first alone.
    pub(super) fn submit_all(&self, jobs: impl Iterator<Item = Job>) {
        let mut jobs = jobs.peekable();
        if jobs.peek().is_none() {
            return;
        }
        let mut shares = Shares::new(self.to_writers.len());
        for job in jobs {
            self.add_to_share(&mut shares, job);
        }
        if !shares.reads.is_empty() {
            self.to_readers.put_all(shares.reads);
        }
        let shares = self.to_writers.iter().zip(shares.writes);
        shares
            .filter(|(_, share)| !share.is_empty())
            .for_each(|(writer, share)| writer.put_all(share));
    }

    fn add_to_share(&self, shares: &mut Shares, job: Job) {
        let partition = match &job {
            Job::Read(_) | Job::FindTimes(_) | Job::Convert(_) | Job::Warm { .. } => {
                return shares.reads.push(ReadCommand::Job(job));
            }
            Job::LookForSpace => {
                for number in 1..self.to_writers.len() {
                    shares.write(number, WriteCommand::RetryHeld);
                }
                return shares.write(0, WriteCommand::Job(job));
            }
            Job::Open(open) => {
                self.note_topic(open);
                open.partition
            }
            Job::Remove { partition, .. } => {
                self.note_gone(*partition);
                *partition
            }
            Job::Append(append) => append.partition,
            Job::Sync { partition, .. }
            | Job::Configure { partition, .. }
            | Job::Trim { partition, .. }
            | Job::Upkeep(Upkeep { partition, .. }) => *partition,
        };
        shares.write(self.writer_of(partition), WriteCommand::Job(job));
    }

    fn note_gone(&self, partition: PartitionId) {
        if self.remembered.manifest.has(partition) {
            lock(&self.gone).insert(partition);
        }
    }

    fn note_topic(&self, open: &Open) {
        if directories::is_journal(&open.topic) {
            lock(&self.journal).insert(open.partition);
        }
    }

    fn writer_of(&self, partition: PartitionId) -> usize {
        match lock(&self.journal).contains(&partition) {
            true => 0,
            false => writer::writer_of(partition, self.to_writers.len()),
        }
    }

    pub(super) fn take_outcomes(&self, taken: &mut Vec<Outcome>) {
        self.outcomes.take(taken);
    }

    /// Asks for a partition of the journal to be opened; the answer comes once its writer has worked.
    pub(super) fn open_journal(
        &self,
        partition: PartitionId,
        topic: &str,
        config: &Arc<LogConfig>,
    ) -> Receiver<Result<Opened, StorageError>> {
        let (topic, config) = (Arc::from(topic), Arc::clone(config));
        let open = Open { ticket: Ticket(0), partition, topic, config };
        self.note_topic(&open);
        let (reply, answer) = channel();
        if let Some(writer) = self.to_writers.get(self.writer_of(partition)) {
            writer.put(WriteCommand::Open(open, reply));
        }
        answer
    }

    pub(super) fn writer_is_gone(&self) -> StorageError {
        StorageError::content("open", &self.data_dir, "the writer has ended")
    }

    /// Hands over all batches of an open partition, in order.
    pub(super) fn read_journal(
        &self,
        partition: PartitionId,
        visit: &mut dyn FnMut(&BatchHeader, &Bytes),
    ) -> Result<(), StorageError> {
        let log = self.registry.get(partition).ok_or_else(|| self.writer_is_gone())?;
        let view = log.view();
        for (segment, _) in view.from(view.log_start) {
            self.read_journal_segment(segment, view.log_start, visit)?;
        }
        Ok(())
    }

    /// What a damaged record said is not guessed: the journal is read over damage only if the operator says so.
    fn read_journal_segment(
        &self,
        segment: &Segment,
        log_start: Offset,
        visit: &mut dyn FnMut(&BatchHeader, &Bytes),
    ) -> Result<(), StorageError> {
        let path = segment.log().path();
        let storage_error = |error: ReadError| match error {
            ReadError::Storage(error) => error,
            _ => StorageError::content("read", path, "it is damaged"),
        };
        let walk = segment.walk_from_start(&self.files);
        let mut walk = match walk {
            Err(ReadError::Storage(error)) if is_absent(&error) => {
                segment.note_missing(&self.files);
                segment.walk_from_start(&self.files)
            }
            walk => walk,
        }
        .map_err(storage_error)?;
        while let Some(step) = walk.next().map_err(storage_error)? {
            match step {
                Step::Batch(met) if met.header.last_offset() < log_start => {}
                Step::Batch(met) => {
                    let bytes = Bytes::from(walk.whole(&met).map_err(storage_error)?);
                    visit(&met.header, &bytes);
                }
                Step::Damage(damage) if damage.next <= log_start => {}
                Step::Damage(_) if self.files.damage == DamagePolicy::Skip => {}
                Step::Damage(damage) => {
                    let reason = format!(
                        "the journal is damaged at {damage}. Restore the file from a copy; or start with \
                         chronik.damage=skip to go on without what was recorded there"
                    );
                    return Err(StorageError::content("read", path, reason));
                }
            }
        }
        Ok(())
    }

    /// The partitions that are there though nothing is recorded.
    pub(super) fn unrecorded(&self) -> Result<Vec<FoundPartition>, StorageError> {
        let found = lost_journal::find(&*self.files.fs, &self.data_dir)?;
        match found.is_empty() || self.adopt {
            true => Ok(found),
            false => Err(lost_journal::refusal(&self.data_dir)),
        }
    }

    pub(super) fn sort_out_directories(
        &self,
        known: &[(PartitionId, Arc<str>)],
        removed: &[TopicId],
    ) -> Result<(), StorageError> {
        let fs = &*self.files.fs;
        let is_told = |(id, topic): &&(PartitionId, Arc<str>)| {
            self.remembered.manifest.get(*id).is_some_and(|entry| *entry.topic == **topic)
        };
        let told = known.iter().filter(is_told).map(|(id, topic)| (&**topic, id.index));
        let told: HashSet<(&str, i32)> = told.collect();
        let named = known.iter().map(|(id, topic)| ((&**topic, id.index), id.topic));
        let names: HashMap<(&str, i32), TopicId> = named.collect();
        let known: HashSet<(&str, PartitionId)> =
            known.iter().map(|(partition, topic)| (&**topic, *partition)).collect();
        let mut renamed = false;
        for entry in fs.read_dir(&self.data_dir)?.into_iter().filter(|entry| entry.is_dir) {
            let dir = self.data_dir.join(&entry.name);
            if directories::is_leaving(&entry.name) {
                self.to_readers.put(ReadCommand::RemoveTree(dir));
                continue;
            }
            let Some((topic, index)) = directories::parse(&entry.name) else { continue };
            if told.contains(&(topic, index)) {
                continue;
            }
            let owner = recovery::owner(fs, &dir)?;
            let own = names.get(&(topic, index));
            if own.is_some_and(|own| owner.is_none_or(|id| recovery::is_misread(id, *own))) {
                // A crash came before it said whose it is, or what it says is damaged: opening it makes up for that.
                continue;
            }
            let id = owner.unwrap_or_default();
            if known.contains(&(topic, PartitionId { topic: id, index })) {
                continue;
            }
            renamed = true;
            self.note_gone(PartitionId { topic: id, index });
            if removed.contains(&id) {
                let suffix = directories::DELETE_SUFFIX;
                let gone = directories::set_aside(fs, &self.data_dir, &dir, id, suffix)?;
                self.to_readers.put(ReadCommand::RemoveTree(gone));
            } else {
                log::warn!("{} belongs to no topic known here; it is renamed", dir.display());
                directories::set_aside(fs, &self.data_dir, &dir, id, directories::STRAY_SUFFIX)?;
            }
        }
        if renamed { fs.sync_dir(&self.data_dir) } else { Ok(()) }
    }

    /// Leaves what a clean start needs.
    pub(super) fn leave(&self, mut closed: Closed, now: WallMs) -> Result<(), StorageError> {
        closed.clean &= self.stats.syncs_failed.get() == 0;
        let mut known = lock(&self.gone).clone();
        known.extend(closed.partitions.iter().map(|entry| entry.partition));
        closed.partitions.extend(self.remembered.manifest.iter_without(&known));
        startup::leave(&self.files, &self.data_dir, closed, now)
    }

    /// Closes what nobody uses, and has synced what is open until it is. `true`: something is closed already.
    pub(super) fn free_descriptors(&self) -> bool {
        let is_any_closed = self.files.close_idle();
        for writer in self.to_writers.iter() {
            writer.put(WriteCommand::SyncAll);
        }
        is_any_closed
    }

    /// Tells all writers that nothing follows.
    pub(super) fn stop_writers(&self) {
        for writer in self.to_writers.iter() {
            writer.put(WriteCommand::Stop);
        }
    }
}
