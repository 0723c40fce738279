//! Beside each writer, the thread that waits for the disk: one sync serves all who wait for the same file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use super::files::Files;
use super::job::{Outcome, StorageError};
use super::log::Log;
use super::mark_file::Marks;
use super::marks::Mark;
use super::outcomes::Outcomes;
use super::partition::SyncWork;
use crate::base::ids::PartitionId;
use crate::base::metrics::StorageCounters;
use crate::base::time::Mono;

/// What a writer asks of its syncer.
#[derive(Debug)]
pub(super) enum SyncCommand {
    /// Syncs, and reports unless nobody waits.
    Work(SyncWork),
    /// A partition's files do not reach as far as its mark said. The mark is right before anything that is appended
    /// counts; if it cannot be written, nothing ever does.
    Lower(Arc<Log>, Mark),
    /// A partition is gone.
    Forget(PartitionId),
    /// Nothing follows.
    Stop,
}

/// The thread's state.
#[derive(Debug)]
pub(super) struct Syncer {
    files: Arc<Files>,
    outcomes: Arc<Outcomes>,
    stats: Arc<StorageCounters>,
    marks: Marks,
}

impl Syncer {
    pub(super) fn new(
        files: Arc<Files>,
        outcomes: Arc<Outcomes>,
        stats: Arc<StorageCounters>,
        marks: Marks,
    ) -> Syncer {
        Syncer { files, outcomes, stats, marks }
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
        let mut forgotten = Vec::new();
        let mut stop = false;
        for command in commands {
            match command {
                SyncCommand::Work(work) => works.add(work),
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
        for partition in forgotten {
            self.marks.forget(partition);
        }
        stop
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
        if !work.names && work.log.synced() >= work.end {
            return outcome(work.log.synced(), Ok(()));
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
        let log_start = work.log.log_start();
        let mark = Mark { round: 0, partition, log_start, end, segment_base, segment_bytes };
        self.marks.note(mark, now);
        outcome(end, Ok(()))
    }

    fn sync_files(&self, work: &SyncWork) -> Result<(), StorageError> {
        for dirty in &work.files {
            let begun = now();
            let result = dirty.file.sync_data();
            self.stats.sync.observe(now().saturating_duration_since(begun));
            result.map_err(|error| StorageError::io("sync", &dirty.path, &error))?;
        }
        if work.names {
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
