//! The second way through a log: segments become new ones, without what the map knows a newer record for.

use std::sync::Arc;

use super::{Group, Progress, Ready, Round, Stage, Turn};
use crate::record::batch::BatchHeader;
use crate::storage::compaction::filter::Fate;
use crate::storage::compaction::output::{Output, discard};
use crate::storage::compaction::walk::{Trouble, Walk};
use crate::storage::files::Files;
use crate::storage::fs::as_u64;
use crate::storage::job::StorageError;
use crate::storage::segment::{SEGMENT_BYTES_MAX, Segment};

impl Round {
    /// The keys are known.
    pub(super) fn begin_cleaning(&mut self, files: &Files) -> Result<Progress, StorageError> {
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

    pub(super) fn clean_batch(&mut self, files: &Files) -> Result<Progress, StorageError> {
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
