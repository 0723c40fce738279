//! Looking things up in a segment: where a batch is, where the last one ends that fits, which has a timestamp.

use super::{Anchor, Extent, Largest, Segment, Step, Stop, Walk};
use crate::base::ids::Offset;
use crate::record::NO_TIMESTAMP;
use crate::storage::damage::Damage;
use crate::storage::files::{Files, lock};
use crate::storage::index::{Found, IndexFile, OffsetEntry, TimeEntry};
use crate::storage::job::ReadError;
use crate::storage::scan::Met;

/// What is found at an offset.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) enum Place {
    /// The batch that holds it, or the next one.
    Batch(Met),
    /// Nothing that could be served before [`Damage::next`].
    Damage(Damage),
    /// The segment ends before it.
    End,
}

/// What a walk meets at an offset.
fn find_in(mut walk: Walk<'_>, offset: Offset) -> Result<Place, ReadError> {
    while let Some(step) = walk.next()? {
        match step {
            Step::Batch(met) if met.header.last_offset() >= offset => {
                return Ok(Place::Batch(met));
            }
            Step::Damage(damage) if damage.next > offset => return Ok(Place::Damage(damage)),
            Step::Batch(_) | Step::Damage(_) => {}
        }
    }
    Ok(Place::End)
}

impl Segment {
    /// The largest timestamp of the batches that begin at `from` or behind it, and below `end`.
    pub(in crate::storage) fn largest_between(
        &self,
        files: &Files,
        from: Offset,
        end: Offset,
    ) -> Result<Option<Largest>, ReadError> {
        // The indexes know of the largest from the segment's start only.
        let (mut found, mut walk) = if from > self.base {
            (None, self.walk_near(files, from)?)
        } else {
            self.walk_from_largest(files, end)?
        };
        while let Some(step) = walk.next()? {
            let Step::Batch(met) = step else { continue };
            if met.header.base_offset >= end {
                break;
            }
            let timestamp = met.header.max_timestamp;
            if met.header.record_count == 0 || met.header.base_offset < from {
                continue;
            }
            if found.is_none_or(|largest| timestamp > largest.timestamp) {
                found = Some(Largest { timestamp, offset: met.header.last_offset() });
            }
        }
        Ok(found.filter(|largest| largest.timestamp > NO_TIMESTAMP))
    }

    /// The largest timestamp up to an index entry below `end`, and a walk from there.
    fn walk_from_largest<'a>(
        &'a self,
        files: &'a Files,
        end: Offset,
    ) -> Result<(Option<Largest>, Walk<'a>), ReadError> {
        let relative = end.saturating_sub(self.base);
        let (entry, walk) =
            self.walk_by_index(files, |entry| i64::from(entry.offset) < relative)?;
        let Some(entry) = entry else { return Ok((None, walk)) };
        // Both indexes have their entries for the same batches.
        let known = self.search_times(files, |time| time.offset <= entry.offset)?;
        Ok((known.map(|known| self.largest_of(&known)), walk))
    }

    /// A walk from the batch of the last index entry that matches, or from the start; and that entry.
    fn walk_by_index<'a>(
        &'a self,
        files: &'a Files,
        matches: impl Fn(&OffsetEntry) -> bool,
    ) -> Result<(Option<OffsetEntry>, Walk<'a>), ReadError> {
        let (entry, extent) = self.search_offsets(files, &matches)?;
        let anchor = entry.map_or(Anchor::Start, Anchor::Entry);
        if let Some(walk) = Walk::begin(self, files, extent, anchor)? {
            return Ok((entry, walk));
        }
        self.doubt_indexes();
        let (entry, extent) = self.search_offsets(files, &matches)?;
        let anchor = entry.map_or(Anchor::Start, Anchor::Entry);
        match Walk::begin(self, files, extent, anchor)? {
            Some(walk) => Ok((entry, walk)),
            None => Ok((None, self.walk_from_start(files)?)),
        }
    }

    /// A walk over all batches, in need of no index.
    pub(in crate::storage) fn walk_from_start<'a>(
        &'a self,
        files: &'a Files,
    ) -> Result<Walk<'a>, ReadError> {
        let extent = lock(&self.state).extent;
        Walk::begin(self, files, extent, Anchor::Start)?.ok_or(ReadError::Corrupt)
    }

    /// A walk from the batch that holds an offset on, or from one before it.
    pub(in crate::storage) fn walk_near<'a>(
        &'a self,
        files: &'a Files,
        offset: Offset,
    ) -> Result<Walk<'a>, ReadError> {
        let relative = offset.saturating_sub(self.base);
        let near = |entry: &OffsetEntry| i64::from(entry.offset) <= relative;
        Ok(self.walk_by_index(files, near)?.1)
    }

    /// The last index entry that matches.
    fn search_offsets(
        &self,
        files: &Files,
        matches: impl Fn(&OffsetEntry) -> bool,
    ) -> Result<(Option<OffsetEntry>, Extent), ReadError> {
        let (found, extent) = {
            let state = self.indexed(files)?;
            (state.offsets.find(&matches), state.extent)
        };
        let entry = match found {
            Found::Entry(entry) => entry,
            Found::InFile(count) => {
                let path = self.index_path();
                match IndexFile::open(&*files.fs, &path)? {
                    Some(index) => index.find(count, matches)?,
                    None => None,
                }
            }
        };
        Ok((entry.filter(|entry| u64::from(entry.position) < extent.size), extent))
    }

    /// What is found at an offset.
    pub(in crate::storage) fn find(
        &self,
        files: &Files,
        offset: Offset,
    ) -> Result<Place, ReadError> {
        match self.stop_at(offset) {
            Some(stop) => self.find_behind(files, stop),
            None => find_in(self.walk_near(files, offset)?, offset),
        }
    }

    /// What is found at the offset of a place between batches.
    pub(in crate::storage) fn find_behind(
        &self,
        files: &Files,
        stop: Stop,
    ) -> Result<Place, ReadError> {
        let extent = lock(&self.state).extent;
        let walk = Walk::begin(self, files, extent, Anchor::Stop(stop))?;
        find_in(walk.ok_or(ReadError::Corrupt)?, stop.offset)
    }

    /// Whether these bytes were written by this process, or found good by it.
    pub(in crate::storage) fn is_checked(&self, from: u64, to: u64) -> bool {
        let own_from = lock(&self.state).extent.own_from;
        from >= own_from || lock(&self.ledger).are_good(from, to.min(own_from))
    }

    /// Where the last batch ends that lies wholly within `bytes_max` bytes of the beginning of `first`, begins below
    /// `end`, and has no damage before it; and the offset there. At least `first` itself.
    pub(in crate::storage) fn whole_batches(
        &self,
        files: &Files,
        first: &Met,
        bytes_max: u64,
        end: Offset,
    ) -> Result<(u64, Offset), ReadError> {
        let limit = first.position.saturating_add(bytes_max);
        let mut walk = self.walk_within(files, first, limit, end)?;
        // All that lies before the walk is wanted, also if the batch that it begins with does not fit any more.
        let mut whole = walk.here().max((first.end(), first.header.next_offset()));
        while let Some(Step::Batch(met)) = walk.next()? {
            if met.end() > limit || met.header.base_offset >= end {
                break;
            }
            whole = whole.max((met.end(), met.header.next_offset()));
        }
        Ok(whole)
    }

    /// A walk that ends up at `limit` or at `end`: from near there, where all that lies before it is known to be good.
    fn walk_within<'a>(
        &'a self,
        files: &'a Files,
        first: &Met,
        limit: u64,
        end: Offset,
    ) -> Result<Walk<'a>, ReadError> {
        let relative = end.saturating_sub(self.base);
        let near = |entry: &OffsetEntry| {
            u64::from(entry.position) <= limit && i64::from(entry.offset) < relative
        };
        let (entry, extent) = self.search_offsets(files, near)?;
        let is_known = |entry: &OffsetEntry| {
            let (from, to) = (first.end(), u64::from(entry.position));
            let ledger = lock(&self.ledger);
            from < to
                && (from >= extent.own_from || ledger.are_good(from, to.min(extent.own_from)))
                && !ledger.is_damaged(from, to)
        };
        if let Some(entry) = entry.filter(is_known) {
            if let Some(walk) = Walk::begin(self, files, extent, Anchor::Entry(entry))? {
                return Ok(walk);
            }
        }
        let offset = u32::try_from(first.header.last_offset().saturating_sub(self.base));
        match (offset, u32::try_from(first.position)) {
            (Ok(offset), Ok(position)) => {
                let entry = OffsetEntry { offset, position };
                let walk = Walk::begin(self, files, extent, Anchor::Entry(entry))?;
                walk.ok_or(ReadError::Corrupt)
            }
            _ => Err(ReadError::Corrupt),
        }
    }

    /// A walk that meets the first record of this timestamp or later, in a segment that has one.
    pub(in crate::storage) fn walk_to_time<'a>(
        &'a self,
        files: &'a Files,
        timestamp: i64,
    ) -> Result<Walk<'a>, ReadError> {
        match self.search_times(files, |entry| entry.timestamp < timestamp)? {
            Some(entry) => self.walk_near(files, self.base.saturating_add(i64::from(entry.offset))),
            None => self.walk_from_start(files),
        }
    }

    /// The last entry of the time index that matches, if the log has what it says; else the index is made anew.
    fn search_times(
        &self,
        files: &Files,
        matches: impl Fn(&TimeEntry) -> bool,
    ) -> Result<Option<TimeEntry>, ReadError> {
        let Some(entry) = self.time_entry(files, &matches)? else { return Ok(None) };
        let (at, extent) = self.search_offsets(files, |at| at.offset <= entry.offset)?;
        if self.holds(files, extent, at, &entry)? {
            return Ok(Some(entry));
        }
        self.doubt_indexes();
        self.time_entry(files, &matches)
    }

    fn time_entry(
        &self,
        files: &Files,
        matches: impl Fn(&TimeEntry) -> bool,
    ) -> Result<Option<TimeEntry>, ReadError> {
        let found = self.indexed(files)?.times.find(&matches);
        match found {
            Found::Entry(entry) => Ok(entry),
            Found::InFile(count) => {
                let path = self.time_index_path();
                match IndexFile::open(&*files.fs, &path)? {
                    Some(index) => Ok(index.find(count, matches)?),
                    None => Ok(None),
                }
            }
        }
    }
}
