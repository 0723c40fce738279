//! A segment's two indexes: kept up to date by appends, written to their files, and found again in them, or in the log
//! where the files cannot be trusted.

use std::path::PathBuf;
use std::sync::MutexGuard;

use super::walk::Anchor;
use super::{Extent, Largest, Segment, State, Step, Walk};
use crate::base::ids::Offset;
use crate::record::NO_TIMESTAMP;
use crate::storage::compaction::output::with_suffix;
use crate::storage::dirty::Dirty;
use crate::storage::files::{Files, lock};
use crate::storage::index::{Index, IndexFile, OffsetEntry, TimeEntry};
use crate::storage::job::{ReadError, StorageError};
use crate::storage::scan::Met;

/// What is known of the index files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Indexed {
    /// Everything: the indexes in memory are complete.
    Yes,
    /// They were closed properly, but not looked at yet.
    OnDisk,
    /// A crash may have torn them: entries of batches at or above this position are worth nothing.
    Doubted(u64),
}

impl Segment {
    pub(in crate::storage) fn index_path(&self) -> PathBuf {
        self.log.path().with_extension("index")
    }

    pub(in crate::storage) fn time_index_path(&self) -> PathBuf {
        self.log.path().with_extension("timeindex")
    }

    /// Whether an index has no room for the entries of one more append.
    pub(in crate::storage) fn is_index_full(&self, index_bytes_max: u64) -> bool {
        let state = lock(&self.state);
        let entries = |size: u64| usize::try_from(index_bytes_max / size).unwrap_or(usize::MAX);
        // The time index gets one more entry when the segment is closed.
        state.offsets.len() >= entries(8) || state.times.len().saturating_add(1) >= entries(12)
    }

    /// Whether so much of the indexes is in memory that it should go to their files.
    pub(in crate::storage) fn wants_index_flush(&self) -> bool {
        let state = lock(&self.state);
        state.offsets.is_long() || state.times.is_long()
    }

    /// Brings the index files up to date. Gives them, as they may have to be synced.
    pub(in crate::storage) fn flush_indexes(
        &self,
        files: &Files,
    ) -> Result<Vec<Dirty>, StorageError> {
        self.flush_indexes_as(files, "")
    }

    /// The same, into files whose names have one more ending: those of a segment that is yet to get its place.
    pub(in crate::storage) fn flush_indexes_as(
        &self,
        files: &Files,
        suffix: &str,
    ) -> Result<Vec<Dirty>, StorageError> {
        let mut state = lock(&self.state);
        if state.indexed != Indexed::Yes {
            return Ok(Vec::new());
        }
        let index = with_suffix(&self.index_path(), suffix);
        let times = with_suffix(&self.time_index_path(), suffix);
        let index_file = state.offsets.flush(&*files.fs, &index)?;
        let times_file = state.times.flush(&*files.fs, &times)?;
        let unsynced = &files.unsynced;
        Ok(vec![unsynced.add(index, index_file), unsynced.add(times, times_file)])
    }

    /// Whether the index files are as they should be.
    pub(in crate::storage) fn are_indexes_flushed(&self) -> bool {
        let state = lock(&self.state);
        match state.indexed {
            Indexed::Yes => state.offsets.is_flushed() && state.times.is_flushed(),
            Indexed::OnDisk => true,
            Indexed::Doubted(_) => false,
        }
    }

    /// Gives the time index its last entry and forgets what is in memory. Nothing is appended afterwards, or only
    /// after a restart. Gives the index files, to be synced.
    pub(in crate::storage) fn close_indexes(&self, files: &Files) -> Result<Vec<Dirty>, ReadError> {
        self.close_indexes_as(files, "")
    }

    /// The same, into files whose names have one more ending.
    pub(in crate::storage) fn close_indexes_as(
        &self,
        files: &Files,
        suffix: &str,
    ) -> Result<Vec<Dirty>, ReadError> {
        {
            let mut state = self.indexed(files)?;
            state.note_time(self.base);
        }
        let written = self.flush_indexes_as(files, suffix)?;
        let mut state = lock(&self.state);
        state.offsets.rest();
        state.times.rest();
        Ok(written)
    }

    /// Makes the indexes known, from their files or from the log.
    pub(super) fn indexed(&self, files: &Files) -> Result<MutexGuard<'_, State>, ReadError> {
        let mut state = lock(&self.state);
        let doubted = match state.indexed {
            Indexed::Yes => return Ok(state),
            Indexed::OnDisk => None,
            Indexed::Doubted(from) => Some(from),
        };
        let from = self.load_indexes(files, &mut state, doubted)?;
        let walked = match from {
            Some(from) => self.walk_into(files, &mut state, from)?,
            None => false,
        };
        if !walked {
            state.forget_indexes();
            self.walk_into(files, &mut state, None)?;
        }
        state.indexed = Indexed::Yes;
        Ok(state)
    }

    /// Reads what the index files hold. `None`: they cannot be right. Else the entry from which to walk on.
    fn load_indexes(
        &self,
        files: &Files,
        state: &mut State,
        doubted: Option<u64>,
    ) -> Result<Option<Option<OffsetEntry>>, ReadError> {
        let (index_path, time_path) = (self.index_path(), self.time_index_path());
        let index = IndexFile::open(&*files.fs, &index_path)?;
        let times = IndexFile::open(&*files.fs, &time_path)?;
        let (Some(index), Some(times)) = (index, times) else { return Ok(None) };
        if let Some(from) = doubted {
            let mut good: Vec<OffsetEntry> = index.load()?;
            good.retain(|entry| u64::from(entry.position) < from);
            let mut good_times: Vec<TimeEntry> = times.load()?;
            let end = good.last().map(|entry| entry.offset);
            good_times.retain(|entry| end.is_some_and(|end| entry.offset <= end));
            // What the time index has lost is found again by walking from where it ends.
            let known = good_times.last().map_or(0, |entry| entry.offset);
            good.truncate(good.partition_point(|entry| entry.offset <= known));
            if let Some(entry) = good_times.last() {
                let at = good.last().copied();
                if !self.holds(files, state.extent, at, entry)? {
                    return Ok(None);
                }
            }
            state.offsets = Index::cut_to(good.len());
            state.times = Index::cut_to(good_times.len());
            state.largest = good_times.last().map(|entry| self.largest_of(entry));
            state.last_time = good_times.last().map(|entry| entry.timestamp);
            return Ok(Some(good.last().copied()));
        }
        let last: Option<OffsetEntry> = index.last()?;
        let last_time: Option<TimeEntry> = times.last()?;
        let size = state.extent.size;
        if last.is_some_and(|entry| u64::from(entry.position) >= size || entry.offset == 0) {
            return Ok(None);
        }
        // Kafka fills the files with zeros while it runs.
        if last_time.is_some_and(|entry| entry.offset == 0 && entry.timestamp == 0) {
            return Ok(None);
        }
        if let Some(entry) = last_time {
            let count = index.count::<OffsetEntry>()?;
            let at = index.find(count, |at: &OffsetEntry| at.offset <= entry.offset)?;
            if !self.holds(files, state.extent, at, &entry)? {
                return Ok(None);
            }
        }
        state.offsets = Index::with_file(index.count::<OffsetEntry>()?);
        state.times = Index::with_file(times.count::<TimeEntry>()?);
        state.largest = last_time.map(|entry| self.largest_of(&entry));
        state.last_time = last_time.map(|entry| entry.timestamp);
        Ok(Some(last))
    }

    pub(super) fn largest_of(&self, entry: &TimeEntry) -> Largest {
        let offset = self.base.saturating_add(i64::from(entry.offset));
        Largest { timestamp: entry.timestamp, offset }
    }

    /// Whether an entry of the time index says what the log says; `at`: an entry of the offset index at or before it.
    pub(super) fn holds(
        &self,
        files: &Files,
        extent: Extent,
        at: Option<OffsetEntry>,
        entry: &TimeEntry,
    ) -> Result<bool, ReadError> {
        let offset = self.base.saturating_add(i64::from(entry.offset));
        let anchor = at.map_or(Anchor::Start, Anchor::Entry);
        let Some(mut walk) = Walk::begin(self, files, extent, anchor)? else { return Ok(false) };
        while let Some(step) = walk.next()? {
            match step {
                Step::Batch(met) if met.header.last_offset() < offset => {}
                Step::Batch(met) => {
                    let is_there = met.header.base_offset <= offset;
                    return Ok(is_there && met.header.max_timestamp == entry.timestamp);
                }
                Step::Damage(damage) if damage.next <= offset => {}
                Step::Damage(_) => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Walks over the batches behind the last index entry and notes them. `false`: the log contradicts the entry.
    fn walk_into(
        &self,
        files: &Files,
        state: &mut State,
        from: Option<OffsetEntry>,
    ) -> Result<bool, ReadError> {
        let anchor = from.map_or(Anchor::Start, Anchor::Entry);
        let Some(mut walk) = Walk::begin(self, files, state.extent, anchor)? else {
            return Ok(false);
        };
        let mut is_known = from.is_some();
        while let Some(step) = walk.next()? {
            let Step::Batch(met) = step else { continue };
            if std::mem::take(&mut is_known) {
                state.since_entry = met.end().saturating_sub(met.position);
                state.note_largest(&met);
            } else {
                state.note(self.base, self.interval, &met);
            }
        }
        Ok(true)
    }
}

impl State {
    /// Kafka's rule: an entry for the batch that comes after more than `interval` bytes.
    pub(super) fn note(&mut self, base: Offset, interval: u64, met: &Met) {
        if self.first_timestamp.is_none() && met.position == 0 {
            self.first_timestamp = Some(met.header.max_timestamp);
        }
        self.note_largest(met);
        if self.since_entry > interval {
            let offset = u32::try_from(met.header.last_offset().saturating_sub(base));
            if let (Ok(offset), Ok(position)) = (offset, u32::try_from(met.position)) {
                self.offsets.push(OffsetEntry { offset, position });
                self.note_time(base);
            }
            self.since_entry = 0;
        }
        self.since_entry = self.since_entry.saturating_add(met.end().saturating_sub(met.position));
    }

    /// A batch that compaction has emptied has a timestamp, but no record that a search could find.
    fn note_largest(&mut self, met: &Met) {
        if met.header.record_count == 0 {
            return;
        }
        let (timestamp, offset) = (met.header.max_timestamp, met.header.last_offset());
        let known = self.largest.map_or(NO_TIMESTAMP, |largest| largest.timestamp);
        if timestamp > known {
            self.largest = Some(Largest { timestamp, offset });
        }
    }

    fn note_time(&mut self, base: Offset) {
        let Some(largest) = self.largest else { return };
        let Ok(offset) = u32::try_from(largest.offset.saturating_sub(base)) else { return };
        let entry = TimeEntry { timestamp: largest.timestamp, offset };
        if self.last_time.is_none_or(|last| last < largest.timestamp) {
            self.last_time = Some(largest.timestamp);
            self.times.push(entry);
        }
    }

    fn forget_indexes(&mut self) {
        self.offsets = Index::new();
        self.times = Index::new();
        self.since_entry = 0;
        self.largest = None;
        self.last_time = None;
    }
}
