//! Compaction: of each key the newest record stays (`cleanup.policy=compact`, KIP-58, KIP-534).
//!
//! ```text
//!  closed segments   [ clean ............ | dirty ........ ] [ active ]
//!                                          └─ 1. keys and newest offsets into a map of bounded size
//!                     └─ 2. all of them, batch by batch, into new segments beside the old: .cleaned
//!                            3. the writer puts each new one in the place of its old ones: .swap, .deleted
//! ```
//!
//! A [`Round`] goes between a reader, which does the next bounded piece of the work, and the partition's writer, which
//! swaps what is finished. One round runs at a time, so that there is one map. What a round could not cover because the
//! map was full is dirty still. The offset up to which a log is clean is kept in Kafka's `cleaner-offset-checkpoint`.
//!
//! | module           | what it knows                                             |
//! |------------------|-----------------------------------------------------------|
//! | [`map`]          | newest offsets by the hashes of keys                      |
//! | [`filter`]       | what becomes of one batch                                 |
//! | [`transactions`] | aborted data and markers                                  |
//! | [`output`]       | the files of a new segment                                |
//! | [`walk`]         | batches of several segments                               |
//! | [`round`]        | the way through a log, piece by piece                     |
//! | [`cleaned`]      | up to where logs are clean                                |
//!
//! The swap is the writer's: [`super::partition`]; what a crash leaves of it is sorted out by [`super::recovery`].

pub(super) mod cleaned;
mod filter;
mod map;
pub(super) mod output;
mod round;
mod transactions;
mod walk;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::job::LogConfig;
use crate::base::ids::Offset;
use cleaned::Cleaned;
pub(super) use filter::LastBatch;
pub(super) use round::{Home, Plan, Progress, Ready, Round};
pub(super) use walk::Closed;

/// What the operator allows compaction to take (`log.cleaner.*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Whether there is any (`log.cleaner.enable`).
    pub enabled: bool,
    /// Most bytes of the map of keys (`log.cleaner.dedupe.buffer.size`), taken while a round runs.
    pub map_bytes: usize,
    /// The part of the map, in thousandths, that is filled (`log.cleaner.io.buffer.load.factor`).
    pub map_load_permille: usize,
    /// Most bytes read and written in a second (`log.cleaner.io.max.bytes.per.second`).
    pub bytes_per_second: u64,
    /// How long to wait before a round that failed is tried again, in milliseconds (`log.cleaner.backoff.ms`).
    pub backoff_ms: i64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            enabled: true,
            map_bytes: 4 << 20,
            map_load_permille: 900,
            bytes_per_second: u64::MAX,
            backoff_ms: 15_000,
        }
    }
}

/// What all writers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) turnstile: Turnstile,
    pub(super) cleaned: Cleaned,
}

/// The leave to run a round, of which there is one.
#[derive(Debug, Default)]
pub(super) struct Turnstile(Arc<AtomicBool>);

/// Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit(Arc<AtomicBool>);

impl Turnstile {
    /// Takes the leave, if nobody has it.
    pub(super) fn enter(&self) -> Option<Permit> {
        let entered = !self.0.swap(true, Ordering::AcqRel);
        entered.then(|| Permit(Arc::clone(&self.0)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// How much of the closed part of a log is dirty, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dirt {
    dirty: u64,
    all: u64,
}

impl Dirt {
    /// Of segments and the offset at which each ends.
    pub(super) fn of(closed: &[Closed], cleaned_to: Offset) -> Dirt {
        let mut dirt = Dirt::default();
        closed.iter().for_each(|segment| dirt.add(segment, cleaned_to));
        dirt
    }

    /// One segment more.
    pub(super) fn add(&mut self, (segment, end): &Closed, cleaned_to: Offset) {
        self.all = self.all.saturating_add(segment.size());
        if *end > cleaned_to {
            self.dirty = self.dirty.saturating_add(segment.size());
        }
    }

    /// Whether it is more than the configuration tolerates.
    pub(super) fn is_too_much(self, config: &LogConfig) -> bool {
        let tolerated = u128::from(self.all) * u128::from(config.min_dirty_permille);
        u128::from(self.dirty) * 1000 > tolerated
    }

    /// Whether there is any.
    pub(super) fn is_any(self) -> bool {
        self.dirty > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_round_runs_at_a_time() {
        let turnstile = Turnstile::default();
        let first = turnstile.enter();
        assert!(first.is_some() && turnstile.enter().is_none());
        drop(first);
        assert!(turnstile.enter().is_some());
    }
}
