//! What travels between layers without being copied: counted bytes, and ranges of files.

use std::fmt;
use std::io;
use std::ops::{Deref, Range};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, LazyLock};

use super::memory::Lease;
use super::spares::Spares;

/// A counted slice of a buffer: cheap to clone, and it keeps the buffer alive.
///
/// The buffer may hold a lease on a memory pool; the lease ends with the last slice. It may have a place to return to
/// then.
#[derive(Clone)]
pub struct Bytes {
    buffer: Arc<Buffer>,
    start: usize,
    end: usize,
}

struct Buffer {
    bytes: Vec<u8>,
    /// Where the bytes go before the lease ends.
    home: Option<Arc<Spares>>,
    _lease: Option<Lease>,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            home.put(std::mem::take(&mut self.bytes));
        }
    }
}

impl Bytes {
    /// The whole of `bytes`.
    #[must_use]
    pub fn from_vec(bytes: Vec<u8>) -> Bytes {
        Bytes::leased(bytes, None)
    }

    /// The whole of `bytes`, which were reserved from a memory pool.
    #[must_use]
    pub fn leased(bytes: Vec<u8>, lease: Option<Lease>) -> Bytes {
        let end = bytes.len();
        Bytes { buffer: Arc::new(Buffer { bytes, home: None, _lease: lease }), start: 0, end }
    }

    /// The first `len` of `bytes`, whose buffer goes to `home` with the last slice.
    #[must_use]
    pub fn lent(bytes: Vec<u8>, len: usize, lease: Lease, home: &Arc<Spares>) -> Bytes {
        let end = len.min(bytes.len());
        let home = Some(Arc::clone(home));
        Bytes { buffer: Arc::new(Buffer { bytes, home, _lease: Some(lease) }), start: 0, end }
    }

    /// No bytes. Takes no memory: messages have many of them as defaults.
    #[must_use]
    pub fn new() -> Bytes {
        static NOTHING: LazyLock<Bytes> = LazyLock::new(|| Bytes::from_vec(Vec::new()));
        NOTHING.clone()
    }

    /// A part of this slice, sharing its buffer. `None` if the range lies outside.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Option<Bytes> {
        if range.start > range.end || range.end > self.len() {
            return None;
        }
        let buffer = Arc::clone(&self.buffer);
        Some(Bytes { buffer, start: self.start + range.start, end: self.start + range.end })
    }

    /// The bytes as an owned vector: without a copy if this is the only slice and covers the buffer.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        let is_whole = self.start == 0 && self.end == self.buffer.bytes.len();
        match Arc::try_unwrap(self.buffer) {
            Ok(mut buffer) if is_whole => std::mem::take(&mut buffer.bytes),
            Ok(buffer) => buffer.bytes.get(self.start..self.end).unwrap_or_default().to_vec(),
            Err(shared) => shared.bytes.get(self.start..self.end).unwrap_or_default().to_vec(),
        }
    }
}

impl Default for Bytes {
    fn default() -> Bytes {
        Bytes::new()
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.buffer.bytes.get(self.start..self.end).unwrap_or_default()
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        Bytes::from_vec(bytes)
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Bytes {
        Bytes::from_vec(bytes.to_vec())
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Bytes) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())?;
        for byte in self.iter().take(24) {
            write!(f, " {byte:02x}")?;
        }
        if self.len() > 24 { write!(f, " …") } else { Ok(()) }
    }
}

/// A file from which ranges are sent. Reads name their position, so a file has no cursor to share.
pub trait RangeFile: Send + Sync + fmt::Debug {
    /// Fills `buffer` from `position`; fewer bytes only at the end of the file. May wait for the disk.
    ///
    /// # Errors
    /// What the operating system says.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// As [`RangeFile::read_at`], but only from memory.
    ///
    /// # Errors
    /// `WouldBlock` if not even the first byte is in the page cache; else what the operating system says.
    fn read_at_nowait(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// The operating system's file, from which it can send by itself. `None`: it has to be read.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A run of bytes of an open file. It holds the file, so the bytes stay readable after an unlink.
#[derive(Clone, Debug)]
pub struct FileRange {
    /// The file.
    pub file: Arc<dyn RangeFile>,
    /// Position of the first byte.
    pub position: u64,
    /// Number of bytes.
    pub len: usize,
}

impl FileRange {
    /// Whether `other` begins where this one ends.
    #[must_use]
    pub fn is_before(&self, other: &FileRange) -> bool {
        let end = self.position.checked_add(u64::try_from(self.len).unwrap_or(u64::MAX));
        Arc::ptr_eq(&self.file, &other.file) && end == Some(other.position)
    }
}

impl PartialEq for FileRange {
    fn eq(&self, other: &FileRange) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
            && (self.position, self.len) == (other.position, other.len)
    }
}

/// Bytes on their way out: in memory, or still in a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// In memory.
    Bytes(Bytes),
    /// In a file.
    File(FileRange),
}

impl Payload {
    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Payload::Bytes(bytes) => bytes.len(),
            Payload::File(range) => range.len,
        }
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_share_and_refuse_what_lies_outside() {
        let whole = Bytes::from_vec(vec![1, 2, 3, 4, 5]);
        let middle = whole.slice(1..4).unwrap();
        assert_eq!(&middle[..], [2, 3, 4]);
        assert_eq!(&middle.slice(1..2).unwrap()[..], [3]);
        assert_eq!(middle.slice(1..4), None);
        assert_eq!(middle.into_vec(), [2, 3, 4]);
        assert_eq!(whole.into_vec(), [1, 2, 3, 4, 5]);
    }
}
