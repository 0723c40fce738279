//! One segment of a log: a run of batches in one `.log` file, with its two sparse indexes.
//!
//! The partition's writer appends to the last segment; readers look up positions in all of them. A segment holds
//! sizes and the newest index entries, so what lies behind stays on the disk and costs neither memory nor a descriptor.

mod aborted;
mod age;
mod doubt;
mod indexes;
mod seek;
mod stops;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::damage::{Damage, Ledger};
use super::files::{Files, LazyFile, lock};
use super::index::{Index, OffsetEntry, TimeEntry};
use super::job::ReadError;
use super::manifest::ManifestSegment;
use super::scan::Met;
use crate::base::ids::Offset;
use crate::base::time::WallMs;
use crate::record::NO_TIMESTAMP;
use indexes::Indexed;
pub(super) use seek::Place;
pub(super) use stops::Stop;
use stops::Stops;
use walk::Anchor;
pub(super) use walk::{Step, Walk};

/// Most bytes of a log file: Kafka's positions are signed 32-bit numbers.
pub(super) const SEGMENT_BYTES_MAX: u64 = 0x7fff_ffff;

/// How the name of a log file ends.
pub(super) const LOG_SUFFIX: &str = ".log";

/// How the name of Kafka's transaction index ends.
pub(super) const TRANSACTIONS_SUFFIX: &str = ".txnindex";
/// What the name of a file ends with that is about to be unlinked.
pub(super) const DELETED_SUFFIX: &str = ".deleted";
/// How the names of a segment's two indexes end.
pub(super) const INDEX_SUFFIXES: [&str; 2] = [".index", ".timeindex"];
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

    /// Takes note of batches that were written at the end.
    pub(super) fn note_written(&self, written: &[Met]) {
        let mut state = lock(&self.state);
        for met in written {
            state.note(self.base, self.interval, met);
            state.extent.size = met.end();
            state.extent.end = met.header.next_offset();
        }
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
