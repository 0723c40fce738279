//! One segment of a log: a run of batches in one `.log` file, with its two sparse indexes.
//!
//! The partition's writer appends to the last segment; readers look up positions in all of them. A segment holds
//! sizes and the newest index entries, so what lies behind stays on the disk and costs neither memory nor a descriptor.

mod aborted;
mod age;
mod seek;
mod stops;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::compaction::output::with_suffix;
use super::damage::{Damage, Ledger};
use super::files::{Files, LazyFile, lock};
use super::fs::File;
use super::index::{Index, IndexFile, OffsetEntry, TimeEntry};
use super::job::{ReadError, StorageError};
use super::manifest::ManifestSegment;
use super::scan::Met;
use crate::base::ids::Offset;
use crate::base::time::WallMs;
use crate::record::NO_TIMESTAMP;
pub(super) use seek::Place;
use stops::Stops;
use walk::Anchor;
pub(super) use walk::{Step, Walk};

/// How the name of a log file ends.
pub(super) const LOG_SUFFIX: &str = ".log";

/// How the name of Kafka's transaction index ends.
pub(super) const TRANSACTIONS_SUFFIX: &str = ".txnindex";
/// What the name of a file ends with that is about to be unlinked.
pub(super) const DELETED_SUFFIX: &str = ".deleted";
/// How the names of a segment's other files end.
pub(super) const BESIDE_SUFFIXES: [&str; 3] = [".index", ".timeindex", TRANSACTIONS_SUFFIX];

/// The name of a segment's file of one kind.
pub(super) fn file_name(base: Offset, suffix: &str) -> String {
    format!("{base:020}{suffix}")
}

/// The base offset in the name of a file with this suffix.
pub(super) fn parse_file_name(name: &str, suffix: &str) -> Option<Offset> {
    let digits = name.strip_suffix(suffix)?;
    let plain = digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// A batch's largest timestamp and last offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Largest {
    pub(super) timestamp: i64,
    pub(super) offset: Offset,
}

/// What is known of the index files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Indexed {
    /// Everything: the indexes in memory are complete.
    Yes,
    /// They were closed properly, but not looked at yet.
    OnDisk,
    /// A crash may have torn them: entries of batches at or above this position are worth nothing.
    Doubted(u64),
}

/// Which bytes and offsets there are.
#[derive(Clone, Copy, Debug)]
struct Extent {
    /// Bytes of the log file.
    size: u64,
    /// The offset behind them.
    end: Offset,
    /// Bytes from here on were written, or checked at the start, by this process.
    own_from: u64,
    /// The offset there.
    own_offset: Offset,
    /// Whether compaction may have removed records.
    gaps: bool,
}

#[derive(Debug)]
struct State {
    extent: Extent,
    indexed: Indexed,
    offsets: Index<OffsetEntry>,
    times: Index<TimeEntry>,
    /// Bytes appended since the last index entry.
    since_entry: u64,
    first_timestamp: Option<i64>,
    largest: Option<Largest>,
    /// The timestamp in the last entry of the time index.
    last_time: Option<i64>,
    /// The largest timestamp as the manifest had it.
    told_largest: Option<i64>,
    /// When it was last written, by the wall clock. `None`: the file may tell.
    written: Option<WallMs>,
    /// Whether this process wrote to it.
    is_own: bool,
    /// Where the last reads stopped.
    stops: Stops,
}

/// How a segment was found on the disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnDisk {
    /// Bytes of its log file.
    pub(super) size: u64,
    /// Where a crash may have left its indexes wrong.
    pub(super) doubted: Option<u64>,
    /// Bytes from here on were checked just now.
    pub(super) good_from: u64,
    /// The offset there.
    pub(super) good_offset: Offset,
    /// The offset behind it.
    pub(super) end: Offset,
}

/// A file that the disk may not have yet.
#[derive(Debug)]
pub(super) struct Dirty {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn File>,
}

/// One segment.
#[derive(Debug)]
pub(super) struct Segment {
    base: Offset,
    /// Bytes between two index entries.
    interval: u64,
    log: Arc<LazyFile>,
    state: Mutex<State>,
    /// What is known of its bytes. Locked for a moment, also while the state is.
    ledger: Mutex<Ledger>,
    /// Its aborted transactions, once somebody has looked.
    aborted: aborted::Remembered,
}

/// How the segments of one partition are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Bytes between two index entries.
    pub(super) interval: u64,
    /// Whether compaction may have removed records.
    pub(super) gaps: bool,
}

impl Segment {
    fn with_state(dir: &Path, base: Offset, interval: u64, state: State) -> Arc<Segment> {
        let log = LazyFile::new(dir.join(file_name(base, LOG_SUFFIX)));
        let (state, ledger) = (Mutex::new(state), Mutex::default());
        let aborted = aborted::Remembered::default();
        Arc::new(Segment { base, interval, log, state, ledger, aborted })
    }

    /// A new segment, which has no files yet.
    pub(super) fn new(dir: &Path, base: Offset, interval: u64) -> Arc<Segment> {
        let extent = Extent { size: 0, end: base, own_from: 0, own_offset: base, gaps: false };
        let state = State {
            extent,
            indexed: Indexed::Yes,
            offsets: Index::new(),
            times: Index::new(),
            since_entry: 0,
            first_timestamp: None,
            largest: None,
            last_time: None,
            told_largest: None,
            written: None,
            is_own: false,
            stops: Stops::default(),
        };
        Segment::with_state(dir, base, interval, state)
    }

    /// A new segment that has no transactions, because nobody but this process writes to it.
    pub(super) fn begin(dir: &Path, base: Offset, interval: u64) -> Arc<Segment> {
        let segment = Segment::new(dir, base, interval);
        segment.has_no_aborted();
        segment
    }

    /// A new segment, which compaction writes and which may have gaps.
    pub(super) fn compacted(dir: &Path, base: Offset, interval: u64) -> Arc<Segment> {
        let segment = Segment::new(dir, base, interval);
        lock(&segment.state).extent.gaps = true;
        segment
    }

    /// A segment as the manifest has it, up to the offset `end`.
    pub(super) fn told(
        dir: &Path,
        shape: Shape,
        told: &ManifestSegment,
        end: Offset,
    ) -> Arc<Segment> {
        let size = told.bytes;
        let found = OnDisk { size, doubted: None, good_from: size, good_offset: end, end };
        let segment = Segment::on_disk(dir, told.base, shape, found);
        {
            let mut state = lock(&segment.state);
            let known = |timestamp: i64| Some(timestamp).filter(|time| *time > NO_TIMESTAMP);
            state.first_timestamp = known(told.first_timestamp);
            state.told_largest = known(told.max_timestamp);
            state.written = known(told.written);
        }
        segment
    }

    /// A segment that is on the disk.
    pub(super) fn on_disk(dir: &Path, base: Offset, shape: Shape, found: OnDisk) -> Arc<Segment> {
        let extent = Extent {
            size: found.size,
            end: found.end,
            own_from: found.good_from,
            own_offset: found.good_offset,
            gaps: shape.gaps,
        };
        let state = State {
            extent,
            indexed: found.doubted.map_or(Indexed::OnDisk, Indexed::Doubted),
            offsets: Index::new(),
            times: Index::new(),
            since_entry: 0,
            first_timestamp: None,
            largest: None,
            last_time: None,
            told_largest: None,
            written: None,
            is_own: false,
            stops: Stops::default(),
        };
        Segment::with_state(dir, base, shape.interval, state)
    }

    pub(super) fn base(&self) -> Offset {
        self.base
    }

    pub(super) fn log(&self) -> &Arc<LazyFile> {
        &self.log
    }

    pub(super) fn size(&self) -> u64 {
        lock(&self.state).extent.size
    }

    /// The next segment begins at this offset: what is missing up to there is lost.
    pub(super) fn reach(&self, offset: Offset) {
        let mut state = lock(&self.state);
        let extent = &mut state.extent;
        extent.end = offset;
        if extent.own_from == extent.size {
            extent.own_offset = offset;
        }
    }

    /// Every file that it may have. The log comes last: what is beside it means nothing without it.
    pub(super) fn paths(&self) -> impl Iterator<Item = PathBuf> {
        let kinds = BESIDE_SUFFIXES.into_iter().chain([LOG_SUFFIX]);
        kinds.map(|suffix| self.log.path().with_extension(suffix.trim_start_matches('.')))
    }

    pub(super) fn index_path(&self) -> PathBuf {
        self.log.path().with_extension("index")
    }

    pub(super) fn time_index_path(&self) -> PathBuf {
        self.log.path().with_extension("timeindex")
    }

    /// The largest timestamp. `None`: there is no batch.
    pub(super) fn largest(&self, files: &Files) -> Result<Option<Largest>, ReadError> {
        Ok(self.indexed(files)?.largest)
    }

    /// The largest timestamp of the first batch, from which the segment's age counts.
    pub(super) fn first_timestamp(&self, files: &Files) -> Result<Option<i64>, ReadError> {
        let mut state = lock(&self.state);
        if state.first_timestamp.is_none() && state.extent.size > 0 {
            let walk = Walk::begin(self, files, state.extent, Anchor::Start)?;
            let mut walk = walk.ok_or(ReadError::Corrupt)?;
            while let Some(step) = walk.next()? {
                let Step::Batch(met) = step else { continue };
                state.first_timestamp = Some(met.header.max_timestamp);
                break;
            }
        }
        Ok(state.first_timestamp)
    }

    /// What the manifest of a clean stop says of this segment.
    pub(super) fn manifest(&self) -> ManifestSegment {
        let state = lock(&self.state);
        let largest = state.largest.map(|largest| largest.timestamp).max(state.told_largest);
        ManifestSegment {
            base: self.base,
            bytes: state.extent.size,
            first_timestamp: state.first_timestamp.unwrap_or(NO_TIMESTAMP),
            max_timestamp: largest.unwrap_or(NO_TIMESTAMP),
            written: state.written.unwrap_or(-1),
        }
    }

    /// Whether an index has no room for the entries of one more append.
    pub(super) fn is_index_full(&self, index_bytes_max: u64) -> bool {
        let state = lock(&self.state);
        let entries = |size: u64| usize::try_from(index_bytes_max / size).unwrap_or(usize::MAX);
        // The time index gets one more entry when the segment is closed.
        state.offsets.len() >= entries(8) || state.times.len().saturating_add(1) >= entries(12)
    }

    /// Takes note of batches that were written at the end.
    pub(super) fn note_written(&self, written: &[Met]) {
        let mut state = lock(&self.state);
        for met in written {
            state.note(self.base, self.interval, met);
            state.extent.size = met.end();
            state.extent.end = met.header.next_offset();
        }
    }

    /// Whether so much of the indexes is in memory that it should go to their files.
    pub(super) fn wants_index_flush(&self) -> bool {
        let state = lock(&self.state);
        state.offsets.is_long() || state.times.is_long()
    }

    /// Brings the index files up to date. Gives them, as they may have to be synced.
    pub(super) fn flush_indexes(&self, files: &Files) -> Result<Vec<Dirty>, StorageError> {
        self.flush_indexes_as(files, "")
    }

    /// The same, into files whose names have one more ending: those of a segment that is yet to get its place.
    pub(super) fn flush_indexes_as(
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
        Ok(vec![Dirty { path: index, file: index_file }, Dirty { path: times, file: times_file }])
    }

    /// Whether the index files are as they should be.
    pub(super) fn are_indexes_flushed(&self) -> bool {
        let state = lock(&self.state);
        match state.indexed {
            Indexed::Yes => state.offsets.is_flushed() && state.times.is_flushed(),
            Indexed::OnDisk => true,
            Indexed::Doubted(_) => false,
        }
    }

    /// Gives the time index its last entry and forgets what is in memory. Nothing is appended afterwards, or only
    /// after a restart. Gives the index files, to be synced.
    pub(super) fn close_indexes(&self, files: &Files) -> Result<Vec<Dirty>, ReadError> {
        self.close_indexes_as(files, "")
    }

    /// The same, into files whose names have one more ending.
    pub(super) fn close_indexes_as(
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
    fn indexed(&self, files: &Files) -> Result<MutexGuard<'_, State>, ReadError> {
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

    fn largest_of(&self, entry: &TimeEntry) -> Largest {
        let offset = self.base.saturating_add(i64::from(entry.offset));
        Largest { timestamp: entry.timestamp, offset }
    }

    /// Whether an entry of the time index says what the log says; `at`: an entry of the offset index at or before it.
    fn holds(
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

    /// Fences a range off, once.
    fn note_damage(&self, files: &Files, damage: Damage) {
        let (policy, stats) = (files.damage, &files.stats);
        lock(&self.ledger).note_damage(damage, self.log.path(), policy, stats);
    }

    /// There is no file, though there should be.
    pub(super) fn note_missing(&self, files: &Files) {
        let extent = lock(&self.state).extent;
        let (first, next, why) = (self.base, extent.end, "the file is missing");
        self.note_damage(files, Damage { from: 0, to: extent.size, first, next, why });
    }
}

impl State {
    /// Kafka's rule: an entry for the batch that comes after more than `interval` bytes.
    fn note(&mut self, base: Offset, interval: u64, met: &Met) {
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
