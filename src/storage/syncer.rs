//! Beside each writer, the thread that waits for the disk: one sync serves all who wait for the same file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use super::files::Files;
use super::fs::is_absent;
use super::job::{Outcome, StorageError};
use super::log::Log;
use super::mark_file::Marks;
use super::marks::Mark;
use super::outcomes::Outcomes;
use super::partition::SyncWork;
use super::queue::Giver;
use super::reader::ReadCommand;
use super::segment::DELETED_SUFFIX;
use crate::base::ids::{PartitionId, Ticket};
use crate::base::metrics::StorageCounters;
use crate::base::planted::{Bug, is_planted};
use crate::base::time::Mono;

/// What a writer asks of its syncer.
#[derive(Debug)]
pub(super) enum SyncCommand {
    /// Syncs, and reports unless nobody waits.
    Work(SyncWork),
    /// Syncs, has the log's first offset in its durable mark, and only then goes on.
    Trim(SyncWork, Afterwards),
    /// A partition's files do not reach as far as its mark said. The mark is right before anything that is appended
    /// counts; if it cannot be written, nothing ever does.
    Lower(Arc<Log>, Mark),
    /// Syncs, and brings both sides of the durable mark up to date at once.
    Mark(SyncWork),
    /// A partition is gone.
    Forget(PartitionId),
    /// Nothing follows.
    Stop,
}

/// What comes after a log's first offset is durable.
#[derive(Debug)]
pub(super) enum Afterwards {
    /// Somebody waits for it.
    Report(Ticket),
    /// These files hold nothing that is needed any more.
    Remove(Leaving),
}

/// Files of segments that are no longer part of a log.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    pub(super) paths: Vec<PathBuf>,
    /// How many segments they are.
    pub(super) segments: u64,
    /// How many bytes of records those had.
    pub(super) bytes: u64,
}

/// A log whose first offset is to be durable.
struct Trim {
    log: Arc<Log>,
    mark: Mark,
    afterwards: Afterwards,
}

/// The thread's state.
#[derive(Debug)]
pub(super) struct Syncer {
    files: Arc<Files>,
    outcomes: Arc<Outcomes>,
    stats: Arc<StorageCounters>,
    readers: Giver<ReadCommand>,
    marks: Marks,
}

impl Syncer {
    pub(super) fn new(
        files: Arc<Files>,
        outcomes: Arc<Outcomes>,
        stats: Arc<StorageCounters>,
        readers: Giver<ReadCommand>,
        marks: Marks,
    ) -> Syncer {
        Syncer { files, outcomes, stats, readers, marks }
    }

    /// Works until it is told to stop.
    pub(super) fn run(mut self, commands: &Receiver<SyncCommand>) {
        let begun = now();
        let mono = || Mono::default() + now().saturating_duration_since(begun);
        loop {
            let first = match self.marks.due() {
                None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => commands.recv_timeout(at.since(mono())),
            };
            let first = match first {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(SyncCommand::Stop),
            };
            if self.turn(first.into_iter().chain(commands.try_iter()), mono) {
                return;
            }
        }
    }

    /// Does all that waits, and writes the marks if it is time. `true`: it was told to stop.
    pub(super) fn turn(
        &mut self,
        commands: impl Iterator<Item = SyncCommand>,
        now: impl Fn() -> Mono,
    ) -> bool {
        let stop = self.work(commands, now());
        if stop || self.marks.due().is_some_and(|at| at <= now()) {
            // The marks say what went wrong, and when to try again.
            let _ = self.marks.write(now());
        }
        stop
    }

    /// When the marks are to be written, if something has to be.
    #[cfg(feature = "testing")]
    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.marks.due()
    }

    /// Does what is asked, one sync per file. `true`: it was told to stop.
    fn work(&mut self, commands: impl Iterator<Item = SyncCommand>, now: Mono) -> bool {
        let mut works = Waiting::default();
        let (mut trims, mut forgotten) = (Vec::new(), Vec::new());
        let mut to_mark = Vec::new();
        let mut stop = false;
        for command in commands {
            match command {
                SyncCommand::Work(work) => works.add(work),
                SyncCommand::Mark(work) => {
                    to_mark.push((Arc::clone(&work.log), work.mark()));
                    works.add(work);
                }
                SyncCommand::Trim(work, afterwards) => {
                    let (log, mark) = (Arc::clone(&work.log), work.mark());
                    trims.push(Trim { log, mark, afterwards });
                    works.add(work);
                }
                SyncCommand::Lower(log, mark) => {
                    self.marks.note(mark, now);
                    if let Err(error) = self.marks.write(now) {
                        log.fail(error);
                    }
                }
                SyncCommand::Forget(partition) => forgotten.push(partition),
                SyncCommand::Stop => stop = true,
            }
        }
        for work in works.works {
            let outcome = self.sync(work, now);
            self.outcomes.report(vec![outcome], false);
        }
        if !to_mark.is_empty() {
            self.mark(to_mark, now);
        }
        if !trims.is_empty() {
            self.trim(trims, now);
        }
        for partition in forgotten {
            self.marks.forget(partition);
        }
        stop
    }

    /// Brings durable marks up to date, all with one write.
    fn mark(&mut self, to_mark: Vec<(Arc<Log>, Mark)>, now: Mono) {
        let is_synced =
            |(log, mark): &(Arc<Log>, Mark)| log.failure().is_none() && log.synced() >= mark.end;
        let synced: Vec<(Arc<Log>, Mark)> = to_mark.into_iter().filter(is_synced).collect();
        let marks: Vec<Mark> = synced.iter().map(|(_, mark)| *mark).collect();
        match self.marks.write_both_sides(&marks, now) {
            Ok(()) => synced.iter().for_each(|(log, mark)| log.publish_marked(mark.segment_base)),
            Err(error) => log::warn!("{error}"),
        }
    }

    /// One round of marks for all; what is in the way afterwards goes only if it could be written.
    fn trim(&mut self, trims: Vec<Trim>, now: Mono) {
        for trim in &trims {
            // A mark must not be ahead of the disk.
            if trim.log.failure().is_none() && trim.log.synced() >= trim.mark.end {
                self.marks.note_start(trim.mark, now);
            }
        }
        let early = is_planted(Bug::TrimNotDurable);
        let written = if early { Ok(()) } else { self.marks.write(now) };
        for Trim { log, mark, afterwards } in trims {
            let gone = || StorageError::content("trim", &log.dir, "the partition was removed");
            let failure = log.failure().cloned().or_else(|| log.is_removed().then(gone));
            let result = failure.map_or_else(|| written.clone(), Err);
            match (afterwards, result) {
                (Afterwards::Report(ticket), result) => {
                    let (partition, result) = (log.partition, result.map(|()| mark.log_start));
                    self.outcomes
                        .report(vec![Outcome::Trimmed { ticket, partition, result }], false);
                }
                (Afterwards::Remove(leaving), Ok(())) => self.remove(&log, leaving),
                (Afterwards::Remove(_), Err(error)) => log::warn!("nothing is removed: {error}"),
            }
        }
    }

    /// Renames what leaves, as Kafka does, and leaves the unlinking, which may take its time, to the readers.
    fn remove(&self, log: &Log, leaving: Leaving) {
        let mut renamed = Vec::with_capacity(leaving.paths.len());
        log.while_there(|| {
            for path in leaving.paths {
                let mut name = path.clone().into_os_string();
                name.push(DELETED_SUFFIX);
                match self.files.fs.rename(&path, Path::new(&name)) {
                    Ok(()) => renamed.push(PathBuf::from(name)),
                    Err(error) if is_absent(&error) => {}
                    Err(error) => log::warn!("{error}"),
                }
            }
        });
        self.stats.segments_removed.add(leaving.segments);
        self.stats.segment_bytes_removed.add(leaving.bytes);
        self.readers.put(ReadCommand::Unlink(renamed));
    }

    fn sync(&mut self, work: SyncWork, now: Mono) -> Outcome {
        let partition = work.log.partition;
        let outcome = |end, result| Outcome::Synced { partition, end, result };
        if let Some(error) = work.log.failure() {
            return outcome(work.end, Err(error.clone()));
        }
        if work.log.is_removed() {
            let gone = StorageError::content("sync", &work.log.dir, "the partition was removed");
            return outcome(work.end, Err(gone));
        }
        // What was written while this work waited in the queue is covered, too, if it is in the same files.
        let (end, segment_base, segment_bytes) = match work.log.end_and_bytes() {
            newest if work.active && newest.1 == work.segment_base => newest,
            _ => (work.end, work.segment_base, work.segment_bytes),
        };
        // An earlier sync of the same files covered this one; files beside the log come with new names.
        if !work.names && !work.cut && work.log.synced() >= work.end {
            return outcome(work.log.synced(), Ok(()));
        }
        let log_start = work.log.log_start().min(end);
        let mark = Mark { round: 0, partition, log_start, end, segment_base, segment_bytes };
        if is_planted(Bug::MarkBeforeData) {
            self.marks.note(mark, now);
            let _ = self.marks.write(now);
        }
        if let Err(error) = self.sync_files(&work) {
            // The directory of a partition that was removed meanwhile has another name, and nobody misses the sync.
            if !work.log.is_removed() {
                self.stats.syncs_failed.increment();
                work.log.fail(error.clone());
            }
            return outcome(end, Err(error));
        }
        work.log.publish_synced(end);
        self.marks.note(mark, now);
        outcome(end, Ok(()))
    }

    fn sync_files(&self, work: &SyncWork) -> Result<(), StorageError> {
        if is_planted(Bug::NoSync) {
            return Ok(());
        }
        for dirty in &work.files {
            let begun = now();
            let mut result = dirty.file.sync_data();
            if is_planted(Bug::SyncAgain) {
                result = result.or_else(|_| dirty.file.sync_data());
            }
            self.stats.sync.observe(now().saturating_duration_since(begun));
            result.map_err(|error| StorageError::io("sync", &dirty.path, &error))?;
        }
        if work.names && !is_planted(Bug::NamesNotSynced) {
            self.files.with_descriptors(|| self.files.fs.sync_dir(&work.log.dir))
        } else {
            Ok(())
        }
    }
}

/// Work that waits, one for each partition, in the order of the first.
#[derive(Default)]
struct Waiting {
    works: Vec<SyncWork>,
    places: BTreeMap<PartitionId, usize>,
}

impl Waiting {
    /// Adds work; work for the same partition becomes one.
    fn add(&mut self, work: SyncWork) {
        let place = *self.places.entry(work.log.partition).or_insert(self.works.len());
        let Some(other) = self.works.get_mut(place) else {
            self.works.push(work);
            return;
        };
        other.active = work.active || (other.active && other.segment_base == work.segment_base);
        (other.end, other.segment_base, other.segment_bytes) =
            (work.end, work.segment_base, work.segment_bytes);
        other.names |= work.names;
        other.cut |= work.cut;
        for dirty in work.files {
            if !other.files.iter().any(|known| Arc::ptr_eq(&known.file, &dirty.file)) {
                other.files.push(dirty);
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the pool's threads measure their own waiting")]
fn now() -> Instant {
    Instant::now()
}
