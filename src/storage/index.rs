//! Kafka's sparse indexes: from offset to position (`.index`) and from timestamp to offset (`.timeindex`).
//!
//! ```text
//!  .index      entries of  8 bytes: offset - base offset (4), position of its batch (4)
//!  .timeindex  entries of 12 bytes: largest timestamp so far (8), offset of its batch - base offset (4)
//! ```
//!
//! An offset in an index is the last offset of a batch. Entries rise in every field. The newest entries of a segment
//! are in memory, where appends and reads of the tail meet; the file has the others and is open only while it is
//! read or written.

use std::path::Path;
use std::sync::Arc;

use super::fs::{File, Fs, OpenMode, as_u64, is_absent, read_full, write_full};
use super::job::StorageError;
use crate::base::payload::RangeFile;

/// Entries in memory at which they go to the file.
const KEPT_MAX: usize = 512;
/// Most bytes of an index that are read at once; whatever lies behind them is found by walking over the log.
const LOADED_MAX: usize = 64 << 20;
/// Bytes of the largest entry.
const ENTRY_SIZE_MAX: usize = 12;
/// Entries that are read at once when a search has come that near.
const READ_TOGETHER: usize = 128;
/// Entries that stay in memory then.
const KEPT_AFTER: usize = 128;

/// One entry of fixed size.
pub(super) trait Entry: Copy + PartialEq + std::fmt::Debug {
    /// Bytes of an entry.
    const SIZE: usize;
    fn write(&self, out: &mut Vec<u8>);
    fn read(bytes: &[u8]) -> Option<Self>;
    /// Whether `self` may stand directly before `next`.
    fn before(&self, next: &Self) -> bool;
}

/// Where the batch with this last offset begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OffsetEntry {
    /// From the segment's base offset.
    pub(super) offset: u32,
    pub(super) position: u32,
}

/// The largest timestamp of all batches up to and including the one with this last offset, which has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeEntry {
    pub(super) timestamp: i64,
    /// From the segment's base offset.
    pub(super) offset: u32,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

impl Entry for OffsetEntry {
    const SIZE: usize = 8;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.offset.to_be_bytes());
        out.extend(self.position.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<OffsetEntry> {
        Some(OffsetEntry { offset: u32_at(bytes, 0)?, position: u32_at(bytes, 4)? })
    }

    fn before(&self, next: &OffsetEntry) -> bool {
        self.offset < next.offset && self.position < next.position
    }
}

impl Entry for TimeEntry {
    const SIZE: usize = 12;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.timestamp.to_be_bytes());
        out.extend(self.offset.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<TimeEntry> {
        let timestamp = i64::from_be_bytes(bytes.get(..8)?.try_into().ok()?);
        Some(TimeEntry { timestamp, offset: u32_at(bytes, 8)? })
    }

    fn before(&self, next: &TimeEntry) -> bool {
        self.timestamp < next.timestamp && self.offset < next.offset
    }
}

/// One index of one segment. `in_file + (kept entries not yet written)` is the number of entries.
#[derive(Debug)]
pub(super) struct Index<E> {
    /// Entries in the file.
    in_file: usize,
    /// Which entry the first kept one is. Never beyond `in_file`.
    kept_from: usize,
    kept: Vec<E>,
    /// Whether the file has just the entries that it should.
    flushed: bool,
}

/// Where a search has to go on.
pub(super) enum Found<E> {
    /// The answer: the last entry that matched, if any.
    Entry(Option<E>),
    /// None in memory: it is among the first so many entries of the file.
    InFile(usize),
}

impl<E: Entry> Index<E> {
    /// Of a new segment: whatever the file holds is not ours.
    pub(super) fn new() -> Index<E> {
        Index { in_file: 0, kept_from: 0, kept: Vec::new(), flushed: false }
    }

    /// Of a segment whose file has this many good entries.
    pub(super) fn with_file(entries: usize) -> Index<E> {
        Index { in_file: entries, kept_from: entries, kept: Vec::new(), flushed: true }
    }

    /// Of a segment whose file has this many good entries, and perhaps others behind them.
    pub(super) fn cut_to(entries: usize) -> Index<E> {
        Index { flushed: false, ..Index::with_file(entries) }
    }

    pub(super) fn len(&self) -> usize {
        self.kept_from + self.kept.len()
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.flushed
    }

    pub(super) fn push(&mut self, entry: E) {
        self.kept.push(entry);
        self.flushed = false;
    }

    /// Whether the file should be brought up to date, so that memory stays bounded.
    pub(super) fn is_long(&self) -> bool {
        self.kept.len() >= KEPT_MAX
    }

    /// The last entry that matches; those that match come before those that do not.
    pub(super) fn find(&self, matches: impl Fn(&E) -> bool) -> Found<E> {
        let count = self.kept.partition_point(&matches);
        match count.checked_sub(1).and_then(|last| self.kept.get(last)) {
            Some(entry) => Found::Entry(Some(*entry)),
            None if self.kept_from == 0 => Found::Entry(None),
            None => Found::InFile(self.kept_from),
        }
    }

    /// Writes the entries that the file lacks. Gives the file, which may have to be synced.
    pub(super) fn flush(
        &mut self,
        fs: &dyn Fs,
        path: &Path,
    ) -> Result<Arc<dyn File>, StorageError> {
        if self.flushed {
            return fs.open(path, OpenMode::Create);
        }
        let mode = if self.in_file == 0 { OpenMode::Truncate } else { OpenMode::Create };
        let file = fs.open(path, mode)?;
        let mut bytes = Vec::new();
        for entry in self.kept.iter().skip(self.in_file - self.kept_from) {
            entry.write(&mut bytes);
        }
        let at = self.in_file.saturating_mul(E::SIZE);
        let io = |error| StorageError::io("write", path, &error);
        write_full(&*file, &bytes, as_u64(at)).map_err(io)?;
        let end = self.len().saturating_mul(E::SIZE);
        if file.size().map_err(io)? > as_u64(end) {
            file.set_len(as_u64(end)).map_err(io)?;
        }
        self.in_file = self.len();
        self.flushed = true;
        let excess = self.kept.len().saturating_sub(KEPT_AFTER);
        self.kept.drain(..excess);
        self.kept_from += excess;
        Ok(file)
    }

    /// Forgets the entries in memory; a segment that is no longer written needs none.
    pub(super) fn rest(&mut self) {
        if self.flushed {
            self.kept_from = self.in_file;
            self.kept = Vec::new();
        }
    }
}

/// An index file, to be searched.
pub(super) struct IndexFile<'a> {
    path: &'a Path,
    file: Arc<dyn File>,
}

impl<'a> IndexFile<'a> {
    /// Opens the file; `None` if there is none.
    pub(super) fn open(fs: &dyn Fs, path: &'a Path) -> Result<Option<IndexFile<'a>>, StorageError> {
        match fs.open(path, OpenMode::Read) {
            Ok(file) => Ok(Some(IndexFile { path, file })),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn entry<E: Entry>(&self, number: usize) -> Result<Option<E>, StorageError> {
        let mut bytes = [0; ENTRY_SIZE_MAX];
        let Some(buffer) = bytes.get_mut(..E::SIZE) else { return Ok(None) };
        let at = as_u64(number.saturating_mul(E::SIZE));
        let file: &dyn File = &*self.file;
        let read =
            read_full(file, buffer, at).map_err(|e| StorageError::io("read", self.path, &e))?;
        Ok(if read == E::SIZE { E::read(buffer) } else { None })
    }

    /// The whole entries from `low` to `high`.
    fn entries<'b, E: Entry>(
        &self,
        low: usize,
        high: usize,
        bytes: &'b mut [u8],
    ) -> Result<impl Iterator<Item = E> + use<'b, E>, StorageError> {
        let wanted = high.saturating_sub(low).saturating_mul(E::SIZE).min(bytes.len());
        let buffer = bytes.get_mut(..wanted).unwrap_or_default();
        let at = as_u64(low.saturating_mul(E::SIZE));
        let file: &dyn File = &*self.file;
        let read =
            read_full(file, buffer, at).map_err(|e| StorageError::io("read", self.path, &e))?;
        Ok(buffer.get(..read).unwrap_or_default().chunks_exact(E::SIZE).filter_map(E::read))
    }

    /// The last of the first `count` entries that matches.
    pub(super) fn find<E: Entry>(
        &self,
        count: usize,
        matches: impl Fn(&E) -> bool,
    ) -> Result<Option<E>, StorageError> {
        let (mut low, mut high, mut best) = (0, count, None);
        while high - low > READ_TOGETHER {
            let middle = low + (high - low) / 2;
            match self.entry::<E>(middle)? {
                Some(entry) if matches(&entry) => {
                    best = Some(entry);
                    low = middle + 1;
                }
                _ => high = middle,
            }
        }
        let mut bytes = [0; READ_TOGETHER * ENTRY_SIZE_MAX];
        let entries = self.entries::<E>(low, high, &mut bytes)?;
        Ok(entries.take_while(|entry| matches(entry)).last().or(best))
    }

    /// The first entry that matches; those that do not come before those that do.
    pub(super) fn first<E: Entry>(
        &self,
        matches: impl Fn(&E) -> bool,
    ) -> Result<Option<E>, StorageError> {
        let (mut low, mut high, mut best) = (0, self.count::<E>()?, None);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.entry::<E>(middle)? {
                Some(entry) if matches(&entry) => {
                    best = Some(entry);
                    high = middle;
                }
                _ => low = middle + 1,
            }
        }
        Ok(best)
    }

    /// All whole entries, up to the first that does not rise: what lies behind it is not an index.
    pub(super) fn load<E: Entry>(&self) -> Result<Vec<E>, StorageError> {
        let io = |error| StorageError::io("read", self.path, &error);
        let size = usize::try_from(self.file.size().map_err(io)?).unwrap_or(0).min(LOADED_MAX);
        let mut bytes = vec![0; size];
        let range: &dyn RangeFile = &*self.file;
        let read = read_full(range, &mut bytes, 0).map_err(io)?;
        let mut entries: Vec<E> = Vec::with_capacity(read / E::SIZE);
        for entry in bytes.get(..read).unwrap_or_default().chunks_exact(E::SIZE).filter_map(E::read)
        {
            if entries.last().is_some_and(|last| !last.before(&entry)) {
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Whole entries by the file's size.
    pub(super) fn count<E: Entry>(&self) -> Result<usize, StorageError> {
        let size = self.file.size().map_err(|error| StorageError::io("read", self.path, &error))?;
        Ok(usize::try_from(size).unwrap_or(0) / E::SIZE)
    }

    /// The last entry, by the file's size.
    pub(super) fn last<E: Entry>(&self) -> Result<Option<E>, StorageError> {
        match self.count::<E>()?.checked_sub(1) {
            Some(last) => self.entry(last),
            None => Ok(None),
        }
    }
}
