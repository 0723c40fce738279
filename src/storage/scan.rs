//! A walk over the batches of a log file: headers only, or whole batches with their checksums.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::fs::{File, as_u64, read_full};
use super::job::{ReadError, StorageError};
use crate::record::batch::{BatchHeader, CRC_FROM, HEADER_SIZE};

/// Bytes read at once when only headers are wanted.
pub(super) const HEADERS: usize = 8 * 1024;
/// Bytes read at once when all of the file is wanted.
pub(super) const WHOLE: usize = 256 * 1024;

/// Why a walk ended early.
#[derive(Debug)]
pub(super) enum ScanError {
    /// The disk refused.
    Io(io::Error),
    /// What stands here is not a whole, good batch.
    Bad,
}

impl ScanError {
    /// The error of a read from `path`.
    pub(super) fn of_read(self, path: &Path) -> ReadError {
        match self {
            ScanError::Io(error) => ReadError::Storage(StorageError::io("read", path, &error)),
            ScanError::Bad => ReadError::Corrupt,
        }
    }
}

/// A batch met on a walk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Met {
    pub(super) header: BatchHeader,
    /// Where its first byte is.
    pub(super) position: u64,
}

impl Met {
    /// Where the next batch begins.
    pub(super) fn end(&self) -> u64 {
        self.position.saturating_add(as_u64(self.header.size_in_bytes()))
    }
}

/// A place in a log file where a batch begins, and a window of bytes around it.
pub(super) struct Scan {
    file: Arc<dyn File>,
    position: u64,
    end: u64,
    window: Vec<u8>,
    window_at: u64,
    window_bytes: usize,
    /// What the window grows to while the walk goes on.
    window_bytes_max: usize,
}

impl Scan {
    /// Walks from `position` to `end`, both between batches, reading `window_bytes` at a time.
    pub(super) fn new(file: Arc<dyn File>, position: u64, end: u64, window_bytes: usize) -> Scan {
        let (window, window_at, window_bytes_max) = (Vec::new(), 0, window_bytes);
        Scan { file, position, end, window, window_at, window_bytes, window_bytes_max }
    }

    /// Looks at a file up to `end`, reading more at a time the longer that goes on.
    pub(super) fn growing(file: Arc<dyn File>, end: u64) -> Scan {
        Scan { window_bytes_max: WHOLE, ..Scan::new(file, 0, end, HEADERS) }
    }

    /// Where the next batch begins, or where the walk ended.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The next batch's header. `None`: the walk is over.
    pub(super) fn next(&mut self) -> Result<Option<Met>, ScanError> {
        if self.position >= self.end {
            return Ok(None);
        }
        let met = self.look(self.position)?;
        self.position = met.end();
        Ok(Some(met))
    }

    /// The header of the batch that begins at `position`, all of which must lie below the end.
    pub(super) fn look(&mut self, position: u64) -> Result<Met, ScanError> {
        let bytes = self.bytes(position, HEADER_SIZE)?;
        let header = BatchHeader::read(bytes).map_err(|_| ScanError::Bad)?;
        let met = Met { header, position };
        let sane = header.base_offset >= 0 && header.last_offset_delta >= 0;
        if sane && met.end() <= self.end { Ok(met) } else { Err(ScanError::Bad) }
    }

    /// The next batch whose checksum is right and whose offsets lie at or above `least`.
    pub(super) fn next_good(&mut self, least: i64) -> Result<Option<Met>, ScanError> {
        let start = self.position;
        let Some(met) = self.next()? else { return Ok(None) };
        if met.header.base_offset < least || !self.is_sound(&met)? {
            self.position = start;
            return Err(ScanError::Bad);
        }
        Ok(Some(met))
    }

    /// Whether a batch's checksum is right. It is taken window by window: a length that lies costs no memory.
    pub(super) fn is_sound(&mut self, met: &Met) -> Result<bool, ScanError> {
        let mut position = met.position.saturating_add(as_u64(CRC_FROM));
        let mut crc = 0;
        while position < met.end() {
            let piece = self.piece(position, met.end())?;
            crc = crc32c::crc32c_append(crc, piece);
            position = position.saturating_add(as_u64(piece.len()));
        }
        Ok(crc == met.header.crc)
    }

    /// Up to `len` bytes at `position`, fewer where the file or the walk ends.
    pub(super) fn some(&mut self, position: u64, len: usize) -> Result<&[u8], ScanError> {
        let left = usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX);
        self.fill(position, len.min(left))?;
        Ok(&self.window)
    }

    /// All bytes of a batch that was met.
    pub(super) fn whole(&mut self, met: &Met) -> Result<&[u8], ScanError> {
        self.bytes(met.position, met.header.size_in_bytes())
    }

    /// As many of the bytes from `position` to `end` as the window holds, at least one.
    fn piece(&mut self, position: u64, end: u64) -> Result<&[u8], ScanError> {
        let wanted = usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX);
        let held = self.place(position).map_or(0, |skip| self.window.len().saturating_sub(skip));
        let len = if held > 0 { held.min(wanted) } else { wanted.min(self.window_bytes) };
        self.bytes(position, len)
    }

    /// Where in the window a position is, if not before it.
    fn place(&self, position: u64) -> Option<usize> {
        usize::try_from(position.checked_sub(self.window_at)?).ok()
    }

    fn bytes(&mut self, position: u64, len: usize) -> Result<&[u8], ScanError> {
        let left = usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX);
        if len > left {
            return Err(ScanError::Bad);
        }
        let held = self.place(position);
        let held = held.filter(|skip| skip.saturating_add(len) <= self.window.len());
        let skip = match held {
            Some(skip) => skip,
            None => {
                self.fill(position, len.max(self.window_bytes).min(left))?;
                self.window_bytes = self.window_bytes.saturating_mul(2).min(self.window_bytes_max);
                0
            }
        };
        self.window.get(skip..skip.saturating_add(len)).ok_or(ScanError::Bad)
    }

    fn fill(&mut self, position: u64, len: usize) -> Result<(), ScanError> {
        self.window.resize(len, 0);
        let read = read_full(&*self.file, &mut self.window, position);
        let read = read.inspect_err(|_| self.window.clear()).map_err(ScanError::Io)?;
        self.window.truncate(read);
        self.window_at = position;
        Ok(())
    }
}
