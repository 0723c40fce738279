//! The end of a log after an unclean stop: scanned, cut where it is torn, and synced.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Known;
use super::aside::Aside;
use super::epochs::{self, Epochs};
use crate::base::ids::Offset;
use crate::base::metrics::Counter;
use crate::base::planted::{Bug, is_planted};
use crate::storage::fs::{File, Fs, OpenMode};
use crate::storage::job::{LogConfig, StorageError};
use crate::storage::marks::Mark;
use crate::storage::scan::{Scan, ScanError, WHOLE};
use crate::storage::segment::{LOG_SUFFIX, OnDisk, Segment, Shape, file_name};

/// Where the scan of a log's tail begins.
struct Start {
    segment: usize,
    position: u64,
    offset: Offset,
    /// Whether it is where the durable mark says.
    marked: bool,
    /// Whether what lies below the mark ends before it.
    is_lost: bool,
    /// Whether no mark was ever written.
    is_new: bool,
}

/// A segment that is not good from a position on.
struct Torn {
    path: PathBuf,
    file: Arc<dyn File>,
    position: u64,
    size: u64,
}

/// The end of a log, being found.
pub(super) struct Tail<'a> {
    pub(super) fs: &'a dyn Fs,
    pub(super) dir: &'a Path,
    pub(super) config: &'a LogConfig,
    /// Whether everything was synced together: to sync a file again costs a flush of the disk, however clean it is.
    pub(super) synced: bool,
    pub(super) scanned: &'a Counter,
    pub(super) bases: Vec<Offset>,
    pub(super) epochs: Epochs,
    pub(super) segments: Vec<Arc<Segment>>,
    /// Whether the last segment is not the one to append to: it ends before the log does, or was closed.
    pub(super) is_cut_short: bool,
}

impl Tail<'_> {
    /// Scans, cuts and syncs; gives the log's end.
    pub(super) fn recover(&mut self, known: &Known<'_>) -> Result<Offset, StorageError> {
        let Some(start) = self.start(known)? else {
            // Offsets that were given out are not given out again.
            let mark = known.mark.filter(|_| !is_planted(Bug::EndForgotten));
            let end = mark.map_or(0, |mark| mark.end);
            self.epochs.retain(|(_, from)| *from < end);
            return Ok(end);
        };
        let bases = self.bases.split_off(start.segment.min(self.bases.len()));
        self.keep_below(&start, bases.first().copied())?;
        self.is_cut_short = start.is_lost && bases.is_empty();
        let (mut next, mut position) = (start.offset, start.position);
        for (number, base) in bases.iter().enumerate() {
            let follows = match number {
                0 => *base <= next,
                _ => *base == next || (*base > next && self.may_have_holes(&start, known)),
            };
            if !follows {
                self.cut(None, bases.get(number..).unwrap_or_default(), next)?;
                break;
            }
            self.meet(*base);
            next = next.max(*base);
            let scanned_from = next;
            let (end, torn) = self.scan_segment(*base, position, next, &start)?;
            if let Some(torn) = &torn {
                self.cut(Some(torn), bases.get(number + 1..).unwrap_or_default(), end)?;
            }
            let size = self.size(*base)?;
            let doubted = Some(if number == 0 && start.marked { position } else { 0 });
            let (good_from, good_offset) = (position, scanned_from);
            self.keep(*base, OnDisk { size, doubted, good_from, good_offset, end });
            next = end;
            position = 0;
            if torn.is_some() {
                break;
            }
        }
        self.is_cut_short |= self.lacks_active(known, &start, next);
        self.epochs.retain(|(_, from)| *from < next);
        Ok(next)
    }

    /// Whether the mark names a segment that has no file yet. It stays the one that is written to: were records
    /// appended to the one before it, the mark would be taken for the end of that one, however long it is by then.
    fn lacks_active(&self, known: &Known<'_>, start: &Start, end: Offset) -> bool {
        let is_ahead = |mark: &Mark| mark.segment_bytes == 0 && mark.segment_base == end;
        let last = self.segments.last();
        start.marked
            && known.mark.is_some_and(is_ahead)
            && last.is_some_and(|last| last.base() < end)
    }

    /// Where the log begins: where its mark says, or with its first segment. A log start beyond the end is damage, and
    /// not obeyed.
    pub(super) fn first_offset(&self, mark: Option<&Mark>, end: Offset) -> Offset {
        let first = self.segments.first().map_or(end, |segment| segment.base());
        match mark {
            Some(mark) if mark.log_start <= end => mark.log_start,
            Some(mark) => {
                let (dir, start) = (self.dir.display(), mark.log_start);
                log::error!("{dir}: the log begins at {start}, behind its end; that is ignored");
                first
            }
            None => first,
        }
    }

    /// Puts segments without a record where files are missing: at the beginning, so that the records that were there
    /// are known to be lost, and at the end, so that nothing is appended behind records that are missing.
    pub(super) fn stand_in(&mut self, log_start: Offset, end: Offset) {
        let first = self.segments.first().map_or(end, |segment| segment.base());
        if log_start < first {
            let (size, doubted, good_from, good_offset) = (0, None, 0, first);
            let state = OnDisk { size, doubted, good_from, good_offset, end: first };
            let shape = Shape { interval: self.config.index_interval_bytes, gaps: false };
            self.segments.insert(0, Segment::on_disk(self.dir, log_start, shape, state));
        }
        if self.is_cut_short {
            let interval = self.config.index_interval_bytes;
            self.segments.push(Segment::new(self.dir, end, interval));
        }
    }

    /// Keeps the segments below the one where the scan begins as they are.
    fn keep_below(&mut self, start: &Start, next: Option<Offset>) -> Result<(), StorageError> {
        let bases = std::mem::take(&mut self.bases);
        // Where the scan begins inside a segment, the one before it ends where that begins.
        let last = next.filter(|_| start.position > 0).unwrap_or(start.offset);
        let ends = bases.iter().skip(1).copied().chain([last]);
        for (base, end) in bases.iter().zip(ends) {
            if !start.marked && !self.synced {
                // Nobody knows whether it was: without this a kill, and a power cut later, leave a hole.
                self.sync(*base)?;
            }
            let size = self.size(*base)?;
            let doubted = (!start.marked || start.is_lost).then_some(size);
            self.keep(*base, OnDisk { size, doubted, good_from: size, good_offset: end, end });
        }
        Ok(())
    }

    /// The last segment kept so far ends no later than the next one begins; records may be missing between them.
    fn meet(&mut self, base: Offset) {
        if let Some(last) = self.segments.last() {
            last.reach(base);
        }
    }

    /// The mark's place, the beginning of the log, or that of the segment before the last.
    fn start(&self, known: &Known<'_>) -> Result<Option<Start>, StorageError> {
        if let Some(mark) = known.mark {
            if let Some(start) = self.start_at(mark)? {
                return Ok(Some(start));
            }
            if mark.end > mark.log_start {
                return Ok(Some(self.start_behind(mark)));
            }
        }
        let is_new = known.is_new();
        let segment = if is_new { 0 } else { self.bases.len().saturating_sub(2) };
        // A log that no mark tells of begins at 0: without its first segment nothing in it was ever synced.
        let offset = self.bases.get(segment).map(|base| if is_new { 0 } else { *base });
        let (position, marked, is_lost) = (0, false, false);
        Ok(offset.map(|offset| Start { segment, position, offset, marked, is_lost, is_new }))
    }

    /// The files do not reach up to the mark. What is missing was on the disk: it is damage, and its offsets are not
    /// given out again.
    fn start_behind(&self, mark: &Mark) -> Start {
        log::error!("{} has lost records below offset {}", self.dir.display(), mark.end);
        let segment = self.bases.partition_point(|base| *base < mark.end);
        let offset = self.bases.get(segment).copied().unwrap_or(mark.end);
        Start { segment, position: 0, offset, marked: true, is_lost: true, is_new: false }
    }

    /// The mark's place. `None`: the files do not reach that far.
    fn start_at(&self, mark: &Mark) -> Result<Option<Start>, StorageError> {
        let (offset, marked, is_lost, is_new) = (mark.end, true, false, false);
        let at = |segment, position| Start { segment, position, offset, marked, is_lost, is_new };
        match self.bases.binary_search(&mark.segment_base) {
            Ok(segment) => {
                let reached = self.size(mark.segment_base)? >= mark.segment_bytes;
                Ok(reached.then(|| at(segment, mark.segment_bytes)))
            }
            // A segment that nothing was written to has no file; the one before it is whole. Those behind it were begun
            // later, and a power cut may have left them without it.
            Err(next) if mark.segment_bytes == 0 => {
                let before = next.checked_sub(1);
                match before.and_then(|number| Some((number, *self.bases.get(number)?))) {
                    Some((number, base)) => Ok(Some(at(number, self.size(base)?))),
                    // Nothing is missing below it.
                    None if mark.log_start == mark.end && !self.bases.is_empty() => {
                        Ok(Some(at(0, 0)))
                    }
                    None => Ok(None),
                }
            }
            Err(_) => Ok(None),
        }
    }

    /// Compaction leaves gaps, but not above the mark, and not before there is one.
    fn may_have_gaps(&self, start: &Start) -> bool {
        !start.marked && !start.is_new && self.config.compact
    }

    /// Whether a segment may begin behind the end of the one before it: where nothing says up to where the disk had it,
    /// records that are missing are rather damage than a reason to remove those behind them.
    fn may_have_holes(&self, start: &Start, known: &Known<'_>) -> bool {
        self.may_have_gaps(start) || (!start.marked && !known.marks_whole)
    }

    fn size(&self, base: Offset) -> Result<u64, StorageError> {
        let path = self.dir.join(file_name(base, LOG_SUFFIX));
        let file = self.fs.open(&path, OpenMode::Read)?;
        file.size().map_err(|error| StorageError::io("read", &path, &error))
    }

    fn sync(&self, base: Offset) -> Result<(), StorageError> {
        let path = self.dir.join(file_name(base, LOG_SUFFIX));
        let file = self.fs.open(&path, OpenMode::Write)?;
        file.sync_data().map_err(|error| StorageError::io("sync", &path, &error))
    }

    fn keep(&mut self, base: Offset, state: OnDisk) {
        let shape = Shape { interval: self.config.index_interval_bytes, gaps: self.config.compact };
        self.segments.push(Segment::on_disk(self.dir, base, shape, state));
    }

    /// Syncs a segment and scans it from `position`. Gives the next offset, and what is not good, if there is any.
    fn scan_segment(
        &mut self,
        base: Offset,
        position: u64,
        offset: Offset,
        start: &Start,
    ) -> Result<(Offset, Option<Torn>), StorageError> {
        let path = self.dir.join(file_name(base, LOG_SUFFIX));
        let file = self.fs.open(&path, OpenMode::Write)?;
        if !self.synced {
            file.sync_data().map_err(|error| StorageError::io("sync", &path, &error))?;
        }
        if !is_planted(Bug::CachedPagesTrusted) {
            file.drop_cache();
        }
        let size = file.size().map_err(|error| StorageError::io("read", &path, &error))?;
        let mut scan = Scan::new(Arc::clone(&file), position, size, WHOLE);
        let mut next = offset;
        let position = loop {
            let begun = scan.position();
            let found = scan.next_good(next);
            self.scanned.add(scan.position().saturating_sub(begun));
            match found {
                Ok(Some(met)) if met.header.base_offset == next || self.may_have_gaps(start) => {
                    epochs::note(&mut self.epochs, &met.header);
                    next = met.header.next_offset();
                }
                Ok(None) => return Ok((next, None)),
                Ok(Some(_)) | Err(ScanError::Bad) => break begun,
                Err(ScanError::Io(error)) => return Err(StorageError::io("read", &path, &error)),
            }
        };
        Ok((next, Some(Torn { path, file, position, size })))
    }

    /// Cuts the log: a segment at a position, if one is torn, and the segments after it, which nothing connects to the
    /// log any more. The last goes first, and all of it durably, so that a crash in between leaves nothing that seems
    /// to connect.
    fn cut(
        &mut self,
        torn: Option<&Torn>,
        rest: &[Offset],
        offset: Offset,
    ) -> Result<(), StorageError> {
        let mut aside = Aside::new(self.fs, self.dir, offset);
        if let Some(torn) = torn {
            log::warn!(
                "{}: {} bytes behind offset {offset} are no whole batch and are cut off",
                torn.path.display(),
                torn.size.saturating_sub(torn.position)
            );
            aside.add(&torn.file, torn.position, torn.size);
        }
        for base in rest {
            let path = self.dir.join(file_name(*base, LOG_SUFFIX));
            log::warn!("{} does not follow offset {offset} and is removed", path.display());
            if let Ok(file) = self.fs.open(&path, OpenMode::Read) {
                aside.add(&file, 0, file.size().unwrap_or(0));
            }
        }
        // A full disk is no reason not to start.
        aside.finish().unwrap_or_else(|error| log::warn!("{error}"));
        for base in rest.iter().rev() {
            for suffix in [".index", ".timeindex", ".txnindex"] {
                let _ = self.fs.remove_file(&self.dir.join(file_name(*base, suffix)));
            }
            self.fs.remove_file(&self.dir.join(file_name(*base, LOG_SUFFIX)))?;
            self.fs.sync_dir(self.dir)?;
        }
        let Some(Torn { path, file, position, .. }) = torn else { return Ok(()) };
        if is_planted(Bug::TailNotCut) {
            return Ok(());
        }
        let position = if is_planted(Bug::CutBelowMark) { &0 } else { position };
        file.set_len(*position).map_err(|error| StorageError::io("truncate", path, &error))?;
        file.sync_data().map_err(|error| StorageError::io("sync", path, &error))
    }
}
