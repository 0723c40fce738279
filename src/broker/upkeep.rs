//! When each partition is looked after: storage says when it wants that, by the wall clock, and here is the deadline.
//!
//! One deadline per partition that has something to close or remove some day; none for an empty one, and no round over
//! all. Deadlines for space do not wait for a clock that can be trusted, those for age do.
//!
//! Where `chronik.log.total.bytes` is set and all logs together are larger, the partition whose oldest closed segment is the
//! oldest of all gives that one up, and so on. Where no partition has a closed segment the largest log gives up what it
//! has. Topics without `delete` in their cleanup policy count, and are spared.

use std::collections::BTreeMap;

use super::context::Context;
use super::topic_table::TopicTable;
use super::wall_clock::WallClock;
use crate::base::deadlines::Deadlines;
use crate::base::ids::{PartitionId, TopicId};
use crate::base::time::{Mono, Now, WallMs};
use crate::storage::job::{self, Job, Upkept};

/// How long a partition is left alone after it was looked after, in milliseconds.
const REST_MS: i64 = 1_000;
/// Most partitions that are looked after at a time: whoever appends waits behind them.
const RUNNING_MAX: usize = 16;

/// What the partitions wait for.
#[derive(Debug, Default)]
pub struct Upkeep {
    clock: WallClock,
    wanted: BTreeMap<PartitionId, Wanted>,
    deadlines: Deadlines<PartitionId>,
    /// How many storage is at.
    running: usize,
    /// The partition that is giving up a segment because all logs together are too large.
    freeing: Option<PartitionId>,
    /// When the next one may be asked for that.
    free_from: Mono,
    /// Whether that is waited for.
    is_short: bool,
}

/// What is known of one partition that wants to be looked after.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    /// As storage said.
    due: Option<WallMs>,
    /// Not before then.
    rested: Mono,
    /// Whether storage is at it: then it will say when it wants it again.
    is_running: bool,
    /// Whether something came up that storage may not have seen when it looked.
    is_stale: bool,
}

impl Upkeep {
    /// The clock as it is trusted.
    #[must_use]
    pub fn clock(&self) -> &WallClock {
        &self.clock
    }

    /// The broker wrote something down at this time, perhaps before it was started.
    pub fn wrote(&mut self, wall: WallMs) {
        self.clock.wrote(wall);
    }

    /// Records were appended to a partition that wants to be looked after at this time.
    pub fn appended(&mut self, now: Now, partition: PartitionId, due: Option<WallMs>) {
        if self.wanted.get(&partition).and_then(|wanted| wanted.due) != due {
            self.want(now, partition, due);
        }
    }

    /// A partition wants to be looked after at another time than before.
    pub fn want(&mut self, now: Now, partition: PartitionId, due: Option<WallMs>) {
        let wanted = self.wanted.entry(partition).or_default();
        wanted.due = due;
        if !wanted.is_running {
            self.arm(now, partition);
        }
    }

    /// A partition's first offset was raised: whole segments may lie below it. Storage may have looked after it just
    /// before.
    pub fn trimmed(&mut self, now: Now, partition: PartitionId) {
        self.wanted.entry(partition).or_default().is_stale = true;
        self.want(now, partition, Some(0));
    }

    /// A partition was opened. What it wants need not be the first thing after a start.
    pub fn opened(&mut self, now: Now, partition: PartitionId, due: Option<WallMs>) {
        const AFTER_START_MS: i64 = 10_000;
        if due.is_none() {
            return;
        }
        self.wanted.entry(partition).or_default().rested = now.mono.plus_ms(AFTER_START_MS);
        self.want(now, partition, due);
    }

    fn arm(&mut self, now: Now, partition: PartitionId) {
        let Some(wanted) = self.wanted.get(&partition).copied() else { return };
        let Some(due) = wanted.due else {
            self.wanted.remove(&partition);
            return self.deadlines.remove(partition);
        };
        let at = if due <= 0 {
            now.mono
        } else {
            let trusted = self.clock.trusted_at(now);
            let at = now.mono.plus_ms(due.saturating_sub(now.wall));
            let Some(trusted) = trusted else { return self.deadlines.remove(partition) };
            at.max(trusted)
        };
        self.deadlines.set(partition, at.max(wanted.rested));
    }

    /// Looks at the wall clock. Answers whether it jumped.
    pub fn observe(&mut self, now: Now) -> bool {
        self.clock.observe(now)
    }

    /// The wall clock was set: what waits for it is computed anew.
    pub fn clock_was_set(&mut self, now: Now) {
        self.clock.observe(now);
        let waiting: Vec<PartitionId> = self.wanted.keys().copied().collect();
        for partition in waiting {
            if self.wanted.get(&partition).is_some_and(|wanted| !wanted.is_running) {
                self.arm(now, partition);
            }
        }
    }

    /// Looks after what is due.
    pub fn tick(&mut self, ctx: &mut Context<'_>, table: &TopicTable) {
        self.look_after_due(ctx);
        self.free(ctx, table);
    }

    fn look_after_due(&mut self, ctx: &mut Context<'_>) {
        while self.running < RUNNING_MAX {
            let Some(partition) = self.deadlines.pop_due(ctx.now.mono) else { return };
            self.look_after(ctx, partition, false);
        }
    }

    fn look_after(&mut self, ctx: &mut Context<'_>, partition: PartitionId, free: bool) {
        let wanted = self.wanted.entry(partition).or_default();
        self.running += usize::from(!wanted.is_running);
        wanted.is_running = true;
        wanted.is_stale = false;
        self.deadlines.remove(partition);
        ctx.job(Job::Upkeep(job::Upkeep {
            partition,
            now: ctx.now.wall,
            expire: self.clock.is_trusted(ctx.now),
            stepped: self.clock.jumped_to(),
            free,
        }));
    }

    /// A partition was looked after. Answers whether its log begins later now.
    pub fn upkept(
        &mut self,
        ctx: &mut Context<'_>,
        table: &mut TopicTable,
        upkept: &Upkept,
    ) -> bool {
        let id = upkept.partition;
        let rested = ctx.now.mono.plus_ms(REST_MS);
        let before = table.partition(id).map_or(0, |partition| partition.bytes);
        let begins_later = table.upkept(upkept);
        if self.freeing == Some(id) {
            self.freeing = None;
            if upkept.bytes >= before {
                // It was not on the disk yet.
                self.free_from = rested;
            }
        }
        if table.partition(id).is_none() && ctx.journal.log_of(id).is_none() {
            self.forget(id);
            return false;
        }
        let wanted = self.wanted.entry(id).or_default();
        let is_stale = wanted.is_stale;
        self.running -= usize::from(wanted.is_running);
        (wanted.is_running, wanted.rested) = (false, rested);
        self.want(ctx.now, id, if is_stale { Some(0) } else { upkept.due });
        self.look_after_due(ctx);
        self.free(ctx, table);
        begins_later
    }

    /// Asks for a segment to be given up if all logs together are too large.
    pub fn free(&mut self, ctx: &mut Context<'_>, table: &TopicTable) {
        let is_over = ctx.options.log_bytes_max.is_some_and(|most| table.bytes() > most);
        self.is_short = is_over && self.freeing.is_none();
        if !self.is_short || ctx.now.mono < self.free_from {
            return;
        }
        if let Some(partition) = find_spare(table) {
            self.freeing = Some(partition);
            self.is_short = false;
            self.look_after(ctx, partition, true);
        } else {
            // Nothing can be done before more is written.
            self.is_short = false;
            self.free_from = ctx.now.mono.plus_ms(REST_MS);
        }
    }

    /// A partition is gone.
    fn forget(&mut self, partition: PartitionId) {
        let wanted = self.wanted.remove(&partition);
        self.running -= usize::from(wanted.is_some_and(|wanted| wanted.is_running));
        self.deadlines.remove(partition);
        self.freeing = self.freeing.filter(|freeing| *freeing != partition);
    }

    /// A topic is gone.
    pub fn forget_topic(&mut self, topic: TopicId) {
        let all = PartitionId { topic, index: 0 }..=PartitionId { topic, index: i32::MAX };
        let gone: Vec<PartitionId> = self.wanted.range(all).map(|(id, _)| *id).collect();
        gone.into_iter().for_each(|id| self.forget(id));
    }

    /// When something is due next. `None`: not before something happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        let free = self.is_short.then_some(self.free_from);
        let due = self.deadlines.next().filter(|_| self.running < RUNNING_MAX);
        due.into_iter().chain(free).min()
    }
}

/// The partition whose oldest closed segment is the oldest of all, else the largest.
fn find_spare(table: &TopicTable) -> Option<PartitionId> {
    let (mut oldest, mut largest) = (None, None);
    for topic in table.iter().filter(|topic| topic.log_config.delete) {
        for (id, partition) in topic.partition_ids().zip(&topic.partitions) {
            if !partition.is_online() || partition.bytes == 0 {
                continue;
            }
            if let Some(from) = partition.oldest {
                oldest = [oldest, Some((from, id))].into_iter().flatten().min();
            }
            largest = largest.max(Some((partition.bytes, id)));
        }
    }
    oldest.map(|(_, id)| id).or(largest.map(|(_, id)| id))
}
