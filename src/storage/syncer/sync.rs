//! One sync of one partition: what it covers, and what becomes of the partition if it fails.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::base::metrics::StorageCounters;
use crate::base::planted::{Bug, is_planted};
use crate::storage::files::Files;
use crate::storage::job::{Outcome, StorageError};
use crate::storage::marks::Mark;
use crate::storage::outcomes::Outcomes;
use crate::storage::partition::SyncWork;

/// What it takes to sync: any thread may have it.
#[derive(Clone, Debug)]
pub(in crate::storage) struct Hands {
    pub(in crate::storage) files: Arc<Files>,
    pub(in crate::storage) outcomes: Arc<Outcomes>,
    pub(in crate::storage) stats: Arc<StorageCounters>,
}

/// What a sync has led to.
#[derive(Debug)]
pub(super) struct Done {
    /// Nobody has heard of it yet.
    pub(super) outcome: Option<Outcome>,
    /// What the disk has now and did not have before.
    pub(super) mark: Option<Mark>,
}

impl Hands {
    /// Does one piece of work. Who waits for it hears of it at once.
    pub(super) fn work_off(&self, work: &SyncWork) -> Done {
        self.done(work, self.sync(work))
    }

    /// The volume was synced after `mark` was taken: the work is done.
    pub(super) fn covered(&self, work: &SyncWork, mark: Mark) -> Done {
        let checked = check(work).and_then(|()| self.check_volume(work));
        self.done(work, checked.map(|()| Hands::publish(work, mark)))
    }

    /// Syncs the volume of the data directory.
    pub(in crate::storage) fn sync_volume(&self) -> io::Result<()> {
        let begun = now();
        let synced = self.files.sync_volume();
        self.stats.sync.observe(now().saturating_duration_since(begun));
        synced
    }

    fn done(&self, work: &SyncWork, covered: Result<Covered, StorageError>) -> Done {
        let partition = work.log.partition;
        let (end, mark, result) = match covered {
            Ok(Covered::Now(mark)) => (mark.end, Some(mark), Ok(())),
            Ok(Covered::Before) => (work.log.synced(), None, Ok(())),
            Err(error) => (work.end, None, Err(error)),
        };
        let outcome = Outcome::Synced { partition, end, result };
        if !work.awaited {
            return Done { outcome: Some(outcome), mark };
        }
        self.outcomes.report(vec![outcome], false);
        Done { outcome: None, mark }
    }

    fn sync(&self, work: &SyncWork) -> Result<Covered, StorageError> {
        check(work)?;
        self.check_volume(work)?;
        // An earlier sync of the same files covered this one; files beside the log come with new names.
        if !work.names && !work.cut && work.log.synced() >= work.end {
            return Ok(Covered::Before);
        }
        let mark = mark_of(work);
        if let Err(error) = self.sync_files(work) {
            // The directory of a partition that was removed meanwhile has another name, and nobody misses the sync.
            if !work.log.is_removed() {
                self.stats.syncs_failed.increment();
                work.log.fail(error.clone());
            }
            return Err(error);
        }
        Ok(Hands::publish(work, mark))
    }

    /// After a failed sync of everything no sync counts any more.
    fn check_volume(&self, work: &SyncWork) -> Result<(), StorageError> {
        let Some(error) = self.files.sync_all_failure() else { return Ok(()) };
        work.log.fail(error.clone());
        Err(error.clone())
    }

    fn publish(work: &SyncWork, mark: Mark) -> Covered {
        work.log.publish_synced(mark.end);
        work.snapshot.into_iter().for_each(|offset| work.log.publish_snapshot(offset));
        Covered::Now(mark)
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

/// Whether a sync was needed.
enum Covered {
    /// An earlier one was enough.
    Before,
    /// This is what the disk has now.
    Now(Mark),
}

/// Whether a partition can be synced at all.
pub(super) fn check(work: &SyncWork) -> Result<(), StorageError> {
    if let Some(error) = work.log.failure() {
        return Err(error.clone());
    }
    if work.log.is_removed() {
        return Err(StorageError::content("sync", &work.log.dir, "the partition was removed"));
    }
    Ok(())
}

/// The mark once this is done. What was written while the work waited is covered, too, if it is in the same files.
pub(super) fn mark_of(work: &SyncWork) -> Mark {
    let told = work.mark();
    match work.log.end_and_bytes() {
        (end, base, segment_bytes) if work.active && base == work.segment_base => {
            Mark { log_start: work.log.log_start().min(end), end, segment_bytes, ..told }
        }
        _ => told,
    }
}

#[expect(clippy::disallowed_methods, reason = "the pool's threads measure their own waiting")]
pub(super) fn now() -> Instant {
    Instant::now()
}
