//! Many partitions that nobody waits for: the volume is synced once instead of the files of each. That may take long, for
//! others may have written to it as well, so meanwhile what somebody waits for goes on.

use std::collections::BTreeMap;
use std::io;

use super::sync::mark_of;
use super::{Syncer, Waiter};
use crate::base::ids::PartitionId;
use crate::base::planted::{Bug, is_planted};
use crate::base::time::Mono;
use crate::storage::marks::Mark;
use crate::storage::partition::SyncWork;

/// What the volume is syncing.
#[derive(Debug)]
pub(super) struct Together {
    /// With how far each was written when that began.
    works: BTreeMap<PartitionId, (SyncWork, Mark)>,
    /// Whether somebody is to be told when all this is done.
    signal: bool,
}

impl Together {
    /// Takes a partition out, because somebody waits for it now.
    pub(super) fn take(&mut self, partition: PartitionId) -> Option<SyncWork> {
        self.works.remove(&partition).map(|(work, _)| work)
    }
}

impl Syncer {
    /// Has the volume synced if that is better. `false`: it is not.
    pub(super) fn begin_together(&mut self, now: Mono) -> bool {
        if self.is_stopping || !self.hands.files.are_better_together(self.waiting.others()) {
            return false;
        }
        let (works, signal) = self.waiting.take_others(usize::MAX);
        let marked = |work: SyncWork| {
            let mark = mark_of(&work);
            (mark.partition, (work, mark))
        };
        let works = works.into_iter().map(marked).collect();
        self.together = Some(Together { works, signal });
        let is_ordered = self.crew.as_ref().map(|(crew, own)| crew.sync_volume(own.giver()));
        if is_ordered == Some(false) {
            let synced = self.hands.sync_volume();
            self.end_together(synced, now);
        }
        true
    }

    /// Whether it waits for the volume.
    #[cfg(feature = "testing")]
    pub(in crate::storage) fn is_syncing_volume(&self) -> bool {
        self.together.is_some()
    }

    /// The volume is synced. If something was lost each file's own sync says whether it was its.
    pub(super) fn end_together(&mut self, synced: io::Result<()>, now: Mono) {
        let Some(Together { works, signal }) = self.together.take() else { return };
        let synced = if is_planted(Bug::LossIgnored) { Ok(()) } else { synced };
        match synced {
            Ok(()) => {
                let done = works.values().map(|(work, mark)| self.hands.covered(work, *mark));
                let done = done.collect();
                self.report(done, now);
            }
            Err(error) => {
                log::warn!("the volume of the data directory may have lost something: {error}");
                self.sync(works.into_values().map(|(work, _)| work).collect(), now);
            }
        }
        if signal {
            self.writer.iter().for_each(Waiter::tell);
        }
    }
}
