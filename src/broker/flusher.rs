//! Written records that nobody waits for: they are synced within `log.flush.interval.ms`.
//!
//! The deadline exists only while something is dirty.

use std::collections::BTreeSet;

use super::context::Context;
use crate::base::ids::PartitionId;
use crate::base::planted::{Bug, is_planted};
use crate::base::time::Mono;
use crate::storage::job::Job;

/// Partitions with records that are not on the disk.
#[derive(Debug, Default)]
pub struct Flusher {
    dirty: BTreeSet<PartitionId>,
    deadline: Option<Mono>,
}

impl Flusher {
    /// A partition has records that nobody asked to sync.
    pub fn dirty(&mut self, ctx: &Context<'_>, partition: PartitionId) {
        self.dirty.insert(partition);
        let deadline = ctx.now.mono.plus_ms(ctx.options.flush_interval_ms);
        self.deadline.get_or_insert(deadline);
    }

    /// Has everything synced if it is time.
    pub fn tick(&mut self, ctx: &mut Context<'_>) {
        if self.deadline.is_none_or(|deadline| deadline > ctx.now.mono) {
            return;
        }
        self.deadline = self.deadline.filter(|_| is_planted(Bug::DeadlineLeft));
        for partition in std::mem::take(&mut self.dirty) {
            ctx.job(Job::Sync { partition, awaited: false });
        }
    }

    /// When the next sync is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.deadline
    }
}
