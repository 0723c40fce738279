//! One round of compaction: the way through a log, first for the keys, then for the records.
//!
//! ```text
//!  Map ──► (a transaction is met) ──► Survey ──► Map ──► Clean ──► Ready ──► swap ──► Clean … ──► merge ──► Done
//! ```
//!
//! A group of segments becomes one, which is no larger than a segment may be. What comes out is often much smaller than what
//! went in: so the new segments are put together once more at the end, without a look at their records. The last batch of a group stays, if need be without records: so the new file says where it ends, and a swap that a crash
//! has interrupted can be completed by it. A segment alone that loses nothing is not written anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::filter::{Fate, Filter, LastBatch};
use super::map::OffsetMap;
use super::output::{Output, discard};
use super::transactions::{Survey, Transactions};
use super::walk::{Closed, Trouble, Walk, is_of_transaction};
use super::{Limits, Permit};
use crate::base::ids::{Offset, ProducerId};
use crate::base::time::WallMs;
use crate::record::batch::BatchHeader;
use crate::record::records::RecordReader;
use crate::storage::files::Files;
use crate::storage::fs::{Fs, as_u64};
use crate::storage::job::{LogConfig, StorageError};
use crate::storage::log::Log;
use crate::storage::segment::Segment;
use crate::storage::validate::DECOMPRESSED_BYTES_MAX;

/// Kafka's positions are signed 32-bit numbers.
const SEGMENT_BYTES_MAX: u64 = 0x7fff_ffff;

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

    fn map_batch(&mut self, files: &Files) -> Result<Progress, StorageError> {
        let Stage::Map(walk) = &mut self.stage else { return Ok(Progress::Done) };
        let number = walk.number;
        let Some(closed) = self.segments.get(number) else { return self.begin_cleaning(files) };
        let met = match walk.next(files, closed) {
            Ok(Some(met)) => met,
            Ok(None) => {
                self.stage = Stage::Map(Walk::at(number + 1));
                return Ok(Progress::Again);
            }
            Err(trouble) => return self.skip_in_map(number, trouble),
        };
        let header = met.header;
        self.work.bytes_read += as_u64(header.size_in_bytes());
        if is_of_transaction(&header) && !self.surveyed {
            let survey = Survey::default();
            self.stage = Stage::Survey { walk: Walk::at(number), survey, back: number };
            return Ok(Progress::Again);
        }
        if header.base_offset >= self.bound {
            return self.begin_cleaning(files);
        }
        let counts = header.last_offset() >= self.dirty_from
            && !header.is_control()
            && !self.filter.transactions.is_aborted(&header);
        if !counts {
            return Ok(Progress::Again);
        }
        let (map, dirty_from) = (&mut self.filter.map, self.dirty_from);
        let put = walk.whole(&closed.0, &met).and_then(|batch| put_keys(map, batch, dirty_from));
        match put {
            Ok(None) => Ok(Progress::Again),
            Ok(Some(full_at)) => {
                self.bound = full_at;
                self.begin_cleaning(files)
            }
            Err(trouble) => self.skip_in_map(number, trouble),
        }
    }

    fn skip_in_map(&mut self, number: usize, trouble: Trouble) -> Result<Progress, StorageError> {
        match trouble {
            Trouble::Storage(error) => Err(error),
            Trouble::Damaged => {
                self.note_damage(number);
                self.stage = Stage::Map(Walk::at(number + 1));
                Ok(Progress::Again)
            }
        }
    }

    fn survey_batch(&mut self, files: &Files) -> Result<Progress, StorageError> {
        let Stage::Survey { walk, survey, back } = &mut self.stage else {
            return Ok(Progress::Done);
        };
        let number = walk.number;
        let Some(closed) = self.segments.get(number) else {
            let survey = std::mem::take(survey);
            let back = *back;
            self.bound = self.bound.min(survey.first_open().unwrap_or(Offset::MAX));
            self.filter.transactions = survey.into_transactions();
            self.surveyed = true;
            self.stage = Stage::Map(Walk::at(back));
            return Ok(Progress::Again);
        };
        let noted = walk.next(files, closed).and_then(|found| {
            let Some(met) = found else { return Ok(false) };
            let batch = walk.whole(&closed.0, &met)?;
            self.work.bytes_read += as_u64(batch.len());
            survey.meet(&met.header, batch)?;
            Ok(true)
        });
        match noted {
            Ok(true) => {}
            Ok(false) => *walk = Walk::at(number + 1),
            Err(Trouble::Storage(error)) => return Err(error),
            Err(Trouble::Damaged) => {
                // A marker may be in what cannot be read.
                self.bound = self.bound.min(closed.0.base());
                *walk = Walk::at(number + 1);
                self.note_damage(number);
            }
        }
        Ok(Progress::Again)
    }

    /// The keys are known.
    fn begin_cleaning(&mut self, files: &Files) -> Result<Progress, StorageError> {
        let dirty_from = self.dirty_from;
        self.filter.covered = self.bound.max(dirty_from);
        if self.bound <= dirty_from {
            return Ok(Progress::Done);
        }
        self.begin_group(files, 0).map(|()| Progress::Again)
    }

    /// Damaged segments are left out, and those that begin behind what the map covers.
    fn begin_group(&mut self, files: &Files, mut first: usize) -> Result<(), StorageError> {
        while let Some(closed) = self.segments.get(first) {
            let is_damaged = self.damaged.contains(&closed.0.base());
            if !is_damaged && (!self.merging || self.merges(first)) {
                break;
            }
            self.filter.keep_tombstones |= is_damaged;
            self.done.push(closed.clone());
            first += 1;
        }
        let transactions = self.filter.transactions.on_the_way();
        let mut group =
            Group { first, walk: Walk::at(first), output: None, next: None, transactions };
        if self.merges(first) {
            group.output = self.create_output(files, first)?;
        }
        self.stage = Stage::Clean(group);
        Ok(())
    }

    /// Whether a segment and the next are small enough to become one.
    fn merges(&self, first: usize) -> bool {
        self.segments.get(first).is_some_and(|(segment, _)| {
            let next = self.next_with_records(first);
            next.is_some_and(|next| self.fits(first, next, segment.size()))
        })
    }

    /// All is cleaned; what came out small is put together.
    fn begin_merging(&mut self, files: &Files) -> Result<Progress, StorageError> {
        if std::mem::replace(&mut self.merging, true) {
            return Ok(Progress::Done);
        }
        self.segments = std::mem::take(&mut self.done);
        self.begin_group(files, 0).map(|()| Progress::Again)
    }

    fn create_output(&self, files: &Files, first: usize) -> Result<Option<Output>, StorageError> {
        let Some((segment, _)) = self.segments.get(first) else { return Ok(None) };
        let interval = self.config.index_interval_bytes;
        Output::create(files, &self.log.dir, segment.base(), interval).map(Some)
    }

    fn clean_batch(&mut self, files: &Files) -> Result<Progress, StorageError> {
        let Stage::Clean(mut group) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return Ok(Progress::Done);
        };
        match self.clean_next(files, &mut group) {
            Ok(Turn::GoOn) => {
                self.stage = Stage::Clean(group);
                Ok(Progress::Again)
            }
            Ok(Turn::Over) => self.begin_merging(files),
            Ok(Turn::Write) => {
                self.go_back(&mut group);
                group.output = self.create_output(files, group.first)?;
                self.stage = Stage::Clean(group);
                Ok(Progress::Again)
            }
            Ok(Turn::EndOfGroup) => self.finish_group(files, group),
            Err(Trouble::Damaged) => {
                self.note_damage(group.walk.number);
                self.go_back(&mut group);
                let first = group.first;
                self.stage = Stage::Clean(group);
                self.give_up(&*files.fs);
                self.begin_group(files, first).map(|()| Progress::Again)
            }
            Err(Trouble::Storage(error)) => {
                self.stage = Stage::Clean(group);
                Err(error)
            }
        }
    }

    /// To the beginning of the group.
    fn go_back(&mut self, group: &mut Group) {
        self.filter.transactions.go_back(group.transactions.clone());
        group.walk = Walk::at(group.first);
        group.next = None;
    }

    fn clean_next(&mut self, files: &Files, group: &mut Group) -> Result<Turn, Trouble> {
        let number = group.walk.number;
        let Some(closed) = self.segments.get(number) else { return Ok(Turn::Over) };
        if closed.0.base() >= self.filter.covered {
            return Ok(Turn::Over);
        }
        let size = closed.0.size();
        if size == 0 {
            group.next = self.joins(group, 0);
        }
        let Some(met) = group.walk.next(files, closed)? else {
            return Ok(match group.next.take() {
                Some(next) => {
                    group.walk = Walk::at(next);
                    Turn::GoOn
                }
                None => Turn::EndOfGroup,
            });
        };
        let header = met.header;
        let bytes = as_u64(header.size_in_bytes());
        self.work.bytes_read += bytes;
        let at_end = met.end() >= size;
        if at_end {
            group.next = self.joins(group, bytes);
        }
        let is_last = at_end && group.next.is_none();
        let batch = group.walk.whole(&closed.0, &met)?;
        let fate =
            if self.merging { Fate::Stays } else { self.filter.judge(&header, batch, is_last)? };
        let Some(output) = &mut group.output else {
            return Ok(if fate == Fate::Stays { Turn::GoOn } else { Turn::Write });
        };
        let before = output.size();
        match fate {
            Fate::Stays => output.push(files, &header, batch)?,
            Fate::Becomes(batch) => output.push(files, &BatchHeader::read(&batch)?, &batch)?,
            Fate::Goes => {}
        }
        self.work.bytes_written += output.size().saturating_sub(before);
        Ok(Turn::GoOn)
    }

    fn finish_group(&mut self, files: &Files, mut group: Group) -> Result<Progress, StorageError> {
        let next = group.walk.number + 1;
        let members = self.segments.get(group.first..next).unwrap_or_default();
        let end = members.last().map_or(0, |(_, end)| *end);
        let Some(mut output) = group.output.take() else {
            self.done.extend_from_slice(members);
            return self.begin_group(files, next).map(|()| Progress::Again);
        };
        let old: Vec<Arc<Segment>> = members.iter().map(|(s, _)| Arc::clone(s)).collect();
        let finished = output.finish(files, &old);
        let new = finished.inspect_err(|_| discard(&*files.fs, output.segment()))?;
        self.done.push((Arc::clone(&new), end));
        if let Err(error) = self.begin_group(files, next) {
            discard(&*files.fs, &new);
            return Err(error);
        }
        Ok(Progress::Ready(Ready { old, new }))
    }

    /// The next segment that has records.
    fn next_with_records(&self, number: usize) -> Option<usize> {
        let behind = self.segments.iter().enumerate().skip(number + 1);
        let mut inside = behind.take_while(|(_, (s, _))| s.base() < self.filter.covered);
        inside.find(|(_, (segment, _))| segment.size() > 0).map(|(number, _)| number)
    }

    /// Whether a segment can join a group that begins with `first` and takes so many bytes without it.
    fn fits(&self, first: usize, next: usize, bytes: u64) -> bool {
        let (Some((first, _)), Some((segment, end))) =
            (self.segments.get(first), self.segments.get(next))
        else {
            return false;
        };
        let limit = self.config.segment_bytes.min(SEGMENT_BYTES_MAX);
        !self.damaged.contains(&segment.base())
            && !self.damaged.contains(&first.base())
            && bytes.saturating_add(segment.size()) <= limit
            && end.saturating_sub(first.base()) <= i64::from(i32::MAX)
    }

    /// The segment behind the present one, if there is room for it in the output, which takes `more` bytes first.
    fn joins(&self, group: &Group, more: u64) -> Option<usize> {
        let output = group.output.as_ref()?;
        let next = self.next_with_records(group.walk.number)?;
        let (segment, _) = self.segments.get(next)?;
        let entries = segment.size() / self.config.index_interval_bytes.max(1) + 2;
        let index_bytes = self.config.index_bytes_max.saturating_sub(entries.saturating_mul(12));
        let fits = self.fits(group.first, next, output.size().saturating_add(more));
        (fits && output.has_room(index_bytes)).then_some(next)
    }
}

/// Puts the keys of a batch into the map. `Some`: it is full, and the record at this offset has no place in it.
fn put_keys(
    map: &mut OffsetMap,
    batch: &[u8],
    dirty_from: Offset,
) -> Result<Option<Offset>, Trouble> {
    let mut reader = RecordReader::open(batch, DECOMPRESSED_BYTES_MAX)?;
    while let Some(record) = reader.next()? {
        let Some(key) = record.key.filter(|_| record.offset >= dirty_from) else { continue };
        if !map.put(key, record.offset) {
            return Ok(Some(record.offset));
        }
    }
    Ok(None)
}
