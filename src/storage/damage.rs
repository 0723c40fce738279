//! Damage below the durable mark: what stands in a log's file and is no batch, or not the one that belongs there.
//!
//! Nothing is cut. A range of bytes, and the offsets that it should have held, is fenced off once, when it is met
//! first: counted, logged and remembered, so that nobody looks for the batch behind it again. Beside the damage a
//! segment remembers which bytes were found good, so that they are checked once.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::base::ids::Offset;
use crate::base::metrics::StorageCounters;

/// What becomes of a fetch that meets damage (`chronik.damage`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DamagePolicy {
    /// It is refused with CORRUPT_MESSAGE: somebody has to decide.
    #[default]
    Fence,
    /// It is served from the next good batch on: the operator has decided.
    Skip,
}

/// Ranges that are logged for one segment; of those that follow only the number counts.
const LOGGED_MAX: usize = 100;
/// Runs of good bytes that one segment remembers. What does not fit is checked again.
const RUNS_MAX: usize = 256;

/// A range of a segment that cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// The first byte.
    pub(super) from: u64,
    /// Where the next good batch begins, or the end. It is `from` where records are missing without a trace.
    pub(super) to: u64,
    /// The first offset that is lost.
    pub(super) first: Offset,
    /// The next offset that is not.
    pub(super) next: Offset,
    /// In words.
    pub(super) why: &'static str,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { from, to, first, next, why } = self;
        write!(f, "bytes {from} to {to}, offsets {first} to {next}: {why}")
    }
}

/// What is known of the bytes of one segment.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Good bytes, from and to; rising, and not touching each other.
    good: Vec<(u64, u64)>,
    /// By rising position and offset.
    damages: Vec<Damage>,
    /// Where the damage is counted, if there is any.
    counted: Option<Arc<StorageCounters>>,
}

impl Ledger {
    /// Whether the batch at this position was found good.
    pub(super) fn is_good(&self, position: u64) -> bool {
        self.are_good(position, position.saturating_add(1))
    }

    /// Whether all these bytes were found good.
    pub(super) fn are_good(&self, from: u64, to: u64) -> bool {
        let after = self.good.partition_point(|(begin, _)| *begin <= from);
        let run = after.checked_sub(1).and_then(|last| self.good.get(last));
        run.is_some_and(|(_, end)| to <= *end)
    }

    /// Remembers whole batches that were found good.
    pub(super) fn note_good(&mut self, from: u64, to: u64) {
        let first = self.good.partition_point(|(_, end)| *end < from);
        let last = self.good.partition_point(|(begin, _)| *begin <= to);
        let touched = self.good.get(first..last).unwrap_or_default();
        if touched.is_empty() && self.good.len() >= RUNS_MAX {
            return;
        }
        let from = touched.first().map_or(from, |(begin, _)| from.min(*begin));
        let to = touched.last().map_or(to, |(_, end)| to.max(*end));
        self.good.splice(first..last, [(from, to)]);
    }

    /// The damage that a walk meets at this position, where `expected` is the next offset.
    pub(super) fn damage_at(&self, position: u64, expected: Offset) -> Option<Damage> {
        let known = |damage: &&Damage| damage.from == position && damage.next > expected;
        let first = self.damages.partition_point(|damage| damage.from < position);
        self.damages.get(first..)?.iter().take(2).find(known).copied()
    }

    /// Whether any damage lies between two positions.
    pub(super) fn is_damaged(&self, from: u64, to: u64) -> bool {
        self.damages.iter().any(|damage| damage.from < to && from <= damage.to)
    }

    /// Whether all of a file of this size is damaged.
    pub(super) fn are_lost(&self, size: u64) -> bool {
        self.damages.first().is_some_and(|damage| damage.from == 0 && damage.to >= size)
    }

    /// Fences a range off.
    pub(super) fn note_damage(
        &mut self,
        damage: Damage,
        path: &Path,
        policy: DamagePolicy,
        stats: &Arc<StorageCounters>,
    ) {
        let key = |damage: &Damage| (damage.from, damage.first);
        let place = self.damages.partition_point(|known| key(known) < key(&damage));
        if self.damages.get(place).is_some_and(|known| key(known) == key(&damage)) {
            return;
        }
        self.damages.insert(place, damage);
        count(stats, &[damage], 1);
        self.counted = Some(Arc::clone(stats));
        let fate = match policy {
            DamagePolicy::Fence => "a fetch there is refused",
            DamagePolicy::Skip => "it is passed over",
        };
        match self.damages.len().cmp(&LOGGED_MAX) {
            std::cmp::Ordering::Less => {
                log::error!("{} is damaged: {damage}; {fate}", path.display())
            }
            std::cmp::Ordering::Equal => {
                log::error!(
                    "{} is damaged in many places: chronik check tells all",
                    path.display()
                );
            }
            std::cmp::Ordering::Greater => {}
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if let Some(stats) = &self.counted {
            count(stats, &self.damages, -1);
        }
    }
}

fn count(stats: &StorageCounters, damages: &[Damage], sign: i64) {
    let bytes: u64 = damages.iter().map(|damage| damage.to.saturating_sub(damage.from)).sum();
    let ranges = i64::try_from(damages.len()).unwrap_or(i64::MAX);
    stats.damaged_ranges.add(sign.saturating_mul(ranges));
    stats.damaged_bytes.add(sign.saturating_mul(i64::try_from(bytes).unwrap_or(i64::MAX)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_runs_grow_together() {
        let mut ledger = Ledger::default();
        ledger.note_good(100, 200);
        ledger.note_good(300, 400);
        assert!(ledger.is_good(100) && ledger.is_good(199) && !ledger.is_good(200));
        assert!(!ledger.are_good(100, 300));
        ledger.note_good(200, 300);
        assert_eq!(ledger.good, [(100, 400)]);
        ledger.note_good(0, 50);
        ledger.note_good(40, 500);
        assert_eq!(ledger.good, [(0, 500)]);
    }

    #[test]
    fn damage_is_counted_once_and_no_more_when_its_segment_is_gone() {
        let stats = Arc::new(StorageCounters::default());
        let mut ledger = Ledger::default();
        let damage = Damage { from: 61, to: 161, first: 3, next: 5, why: "for a test" };
        for _ in 0..2 {
            ledger.note_damage(damage, Path::new("log"), DamagePolicy::Fence, &stats);
        }
        let gauges = || (stats.damaged_ranges.get(), stats.damaged_bytes.get());
        assert_eq!(gauges(), (1, 100));
        assert_eq!(ledger.damage_at(61, 3), Some(damage));
        assert_eq!(ledger.damage_at(61, 5), None);
        drop(ledger);
        assert_eq!(gauges(), (0, 0));
    }
}
