//! One round of compaction: the way through a log, first for the keys, then for the records.
//!
//! ```text
//!  Map ──► (a transaction is met) ──► Survey ──► Map ──► Clean ──► Ready ──► swap ──► Clean … ──► merge ──► Done
//! ```
//!
//! A group of segments becomes one, which is no larger than a segment may be. What comes out is often much smaller than what
//! went in: so the new segments are put together once more at the end, without a look at their records. The last batch of a group stays, if need be without records: so the new file says where it ends, and a swap that a crash
//! has interrupted can be completed by it. A segment alone that loses nothing is not written anew.

mod cleaning;
mod mapping;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::filter::{Filter, LastBatch};
use super::map::OffsetMap;
use super::output::Output;
use super::transactions::{Survey, Transactions};
use super::walk::{Closed, Walk};
use super::{Limits, Permit};
use crate::base::ids::{Offset, ProducerId};
use crate::base::time::WallMs;
use crate::storage::files::Files;
use crate::storage::fs::{Fs, as_u64};
use crate::storage::job::{LogConfig, StorageError};
use crate::storage::log::Log;
use crate::storage::segment::Segment;

/// What a round is to do.
#[derive(Debug)]
pub(in crate::storage) struct Plan {
    pub(in crate::storage) log: Arc<Log>,
    pub(in crate::storage) config: Arc<LogConfig>,
    /// The closed segments that may be compacted, from the first of the log on.
    pub(in crate::storage) segments: Vec<Closed>,
    /// What lies below is clean.
    pub(in crate::storage) dirty_from: Offset,
    /// The wall time, if it can be trusted.
    pub(in crate::storage) clock: Option<WallMs>,
    pub(in crate::storage) producers: BTreeMap<ProducerId, LastBatch>,
}

/// Segments and the one that is to take their place.
#[derive(Debug)]
pub(in crate::storage) struct Ready {
    pub(in crate::storage) old: Vec<Arc<Segment>>,
    pub(in crate::storage) new: Arc<Segment>,
}

/// What came of a piece of work.
#[derive(Debug)]
pub(in crate::storage) enum Progress {
    /// There is more to do.
    Again,
    /// Something is finished, and there is more to do.
    Ready(Ready),
    /// All is done.
    Done,
    /// It cannot go on; nothing is left of what was not swapped.
    Failed(StorageError),
    /// The partition is gone.
    Gone,
}

/// What a round has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::storage) struct Work {
    pub(in crate::storage) bytes_read: u64,
    pub(in crate::storage) bytes_written: u64,
    /// Segments that are damaged and stay as they are.
    pub(in crate::storage) damaged: u64,
}

#[derive(Debug)]
enum Stage {
    /// Keys and offsets go into the map.
    Map(Walk),
    /// Transactions are looked for from a segment on; the map goes on there.
    Survey { walk: Walk, survey: Survey, back: usize },
    /// Segments are cleaned.
    Clean(Group),
    /// Nothing is left to do.
    Over,
}

/// What a step of cleaning leads to.
enum Turn {
    GoOn,
    /// Something goes, so the group is read once more from its beginning, and written this time.
    Write,
    EndOfGroup,
    Over,
}

/// Segments that become one.
#[derive(Debug)]
struct Group {
    first: usize,
    walk: Walk,
    /// `None`: so far nothing has to be written.
    output: Option<Output>,
    /// The segment that comes after the present one, if that belongs to the group.
    next: Option<usize>,
    /// The state of transactions at its beginning.
    transactions: BTreeSet<ProducerId>,
}

/// A round on its way.
#[derive(Debug)]
pub(in crate::storage) struct Round {
    pub(in crate::storage) log: Arc<Log>,
    config: Arc<LogConfig>,
    segments: Vec<Closed>,
    dirty_from: Offset,
    /// Nothing from here on is touched.
    bound: Offset,
    surveyed: bool,
    filter: Filter,
    stage: Stage,
    /// What became of the segments so far.
    done: Vec<Closed>,
    /// Whether all are cleaned, and small ones are put together.
    merging: bool,
    /// The base offsets of damaged segments.
    damaged: BTreeSet<Offset>,
    work: Work,
    home: Home,
    _permit: Permit,
}

/// Where a round comes from.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct Home {
    /// The writer, by number.
    pub(in crate::storage) writer: usize,
    /// The wall time when the round, or this part of it, began.
    pub(in crate::storage) begun: WallMs,
    /// Bytes that were read and written before that.
    pub(in crate::storage) moved: u64,
}

impl Round {
    pub(in crate::storage) fn new(
        plan: Plan,
        limits: &Limits,
        home: Home,
        permit: Permit,
    ) -> Round {
        let bound = plan.segments.last().map_or(plan.dirty_from, |(_, end)| *end);
        let dirty = bound.saturating_sub(plan.dirty_from);
        let keys = usize::try_from(dirty).unwrap_or(0);
        let first = plan.segments.partition_point(|(_, end)| *end <= plan.dirty_from);
        let filter = Filter {
            map: OffsetMap::new(limits.map_bytes, keys, limits.map_load_permille),
            covered: bound,
            clock: plan.clock,
            delete_retention_ms: plan.config.delete_retention_ms,
            producers: plan.producers,
            transactions: Transactions::default(),
            keep_tombstones: false,
        };
        Round {
            log: plan.log,
            config: plan.config,
            segments: plan.segments,
            dirty_from: plan.dirty_from,
            bound,
            surveyed: false,
            filter,
            stage: Stage::Map(Walk::at(first)),
            done: Vec::new(),
            merging: false,
            damaged: BTreeSet::new(),
            work: Work::default(),
            home,
            _permit: permit,
        }
    }

    /// The offset up to which the log is clean when the round is done.
    pub(in crate::storage) fn covered(&self) -> Offset {
        self.filter.covered
    }

    /// The writer that it belongs to.
    pub(in crate::storage) fn writer(&self) -> usize {
        self.home.writer
    }

    /// The wall time, if it could be trusted when the round began.
    pub(in crate::storage) fn clock(&self) -> Option<WallMs> {
        self.filter.clock
    }

    /// Until when it has to rest so that no more bytes are moved in a second than is allowed.
    pub(in crate::storage) fn rests_until(&self, limits: &Limits) -> Option<WallMs> {
        let moved = self.moved().saturating_sub(self.home.moved);
        if moved < limits.bytes_per_second {
            return None;
        }
        let ms = moved.saturating_mul(1000) / limits.bytes_per_second.max(1);
        Some(self.home.begun.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)))
    }

    /// It has rested.
    pub(in crate::storage) fn resume(&mut self, now: WallMs) {
        (self.home.begun, self.home.moved) = (now, self.moved());
    }

    fn moved(&self) -> u64 {
        self.work.bytes_read.saturating_add(self.work.bytes_written)
    }

    /// What it has done so far.
    pub(in crate::storage) fn work(&self) -> Work {
        Work { damaged: as_u64(self.damaged.len()), ..self.work }
    }

    /// Goes on until about so many bytes were read and written.
    pub(in crate::storage) fn go_on(&mut self, files: &Files, bytes: u64) -> Progress {
        let until = self.moved().saturating_add(bytes);
        loop {
            if self.log.is_removed() {
                self.give_up(&*files.fs);
                return Progress::Gone;
            }
            let progress = match &self.stage {
                Stage::Map(_) => self.map_batch(files),
                Stage::Survey { .. } => self.survey_batch(files),
                Stage::Clean(_) => self.clean_batch(files),
                Stage::Over => Ok(Progress::Done),
            };
            match progress {
                Ok(Progress::Again) if self.moved() < until => {}
                Ok(progress) => return progress,
                Err(error) => {
                    self.give_up(&*files.fs);
                    return Progress::Failed(error);
                }
            }
        }
    }

    /// Removes what was begun.
    pub(in crate::storage) fn give_up(&mut self, fs: &dyn Fs) {
        if let Stage::Clean(group) = &mut self.stage {
            if let Some(output) = group.output.take() {
                output.discard(fs);
            }
        }
    }

    fn note_damage(&mut self, number: usize) {
        let Some((segment, _)) = self.segments.get(number) else { return };
        if self.damaged.insert(segment.base()) {
            let path = segment.log().path().display();
            log::error!("{path} is damaged and is not compacted; tombstones behind it stay");
        }
    }
}
