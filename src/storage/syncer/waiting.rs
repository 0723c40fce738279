//! What waits for the disk, one piece of work for each partition: first that which somebody waits for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::base::ids::PartitionId;
use crate::storage::partition::SyncWork;

/// Work that waits. A partition whose work is awaited may stand in both queues.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    works: BTreeMap<PartitionId, SyncWork>,
    awaited: VecDeque<PartitionId>,
    others: VecDeque<Next>,
}

/// What comes next of that which nobody waits for.
#[derive(Debug)]
enum Next {
    Partition(PartitionId),
    /// Somebody wants to know when all before this is done.
    Signal,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.works.is_empty() && self.others.is_empty()
    }

    /// Asks to be told when all that waits now is done.
    pub(super) fn add_signal(&mut self) {
        self.others.push_back(Next::Signal);
    }

    /// Adds work; work for the same partition becomes one.
    pub(super) fn add(&mut self, work: SyncWork) {
        let id = work.log.partition;
        let known = self.works.get_mut(&id);
        if known.as_ref().is_none_or(|known| work.awaited && !known.awaited) {
            match work.awaited {
                true => self.awaited.push_back(id),
                false => self.others.push_back(Next::Partition(id)),
            }
        }
        match known {
            Some(known) => merge(known, work),
            None => drop(self.works.insert(id, work)),
        }
    }

    /// Adds what a partition had to sync before all that waits of it now.
    pub(super) fn add_earlier(&mut self, mut earlier: SyncWork) {
        match self.works.get_mut(&earlier.log.partition) {
            Some(known) => {
                std::mem::swap(known, &mut earlier);
                merge(known, earlier);
            }
            None => self.add(earlier),
        }
    }

    /// How many partitions may wait that nobody waits for.
    pub(super) fn others(&self) -> usize {
        self.others.len()
    }

    /// Takes what somebody waits for, in the order of the first.
    pub(super) fn take_awaited(&mut self) -> Vec<SyncWork> {
        let works = &mut self.works;
        self.awaited.drain(..).filter_map(|id| works.remove(&id)).collect()
    }

    /// Takes at most so much of the rest, in the order of the first. `true`: after that somebody is to be told.
    pub(super) fn take_others(&mut self, count: usize) -> (Vec<SyncWork>, bool) {
        let mut taken = Vec::new();
        while taken.len() < count {
            match self.others.pop_front() {
                Some(Next::Partition(id)) => taken.extend(self.works.remove(&id)),
                Some(Next::Signal) => return (taken, true),
                None => break,
            }
        }
        (taken, false)
    }
}

fn merge(known: &mut SyncWork, work: SyncWork) {
    known.active = work.active || (known.active && known.segment_base == work.segment_base);
    (known.end, known.segment_base, known.segment_bytes) =
        (work.end, work.segment_base, work.segment_bytes);
    known.names |= work.names;
    known.cut |= work.cut;
    known.snapshot = known.snapshot.max(work.snapshot);
    known.awaited |= work.awaited;
    for dirty in work.files {
        if !known.files.iter().any(|file| Arc::ptr_eq(&file.file, &dirty.file)) {
            known.files.push(dirty);
        }
    }
}
