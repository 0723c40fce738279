//! What can be wrong with an append, with a read, and with the disk.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Why batches were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// So little room is left on the disk that clients' records are refused. A later append may succeed.
    NoSpace,
    /// The disk refused. Nothing of them is in the log, and a later append may succeed.
    Storage(StorageError),
    /// The disk failed the partition, which takes nothing more until the next start.
    Offline(StorageError),
    /// They are damaged: wrong length, magic or checksum.
    Corrupt(&'static str),
    /// They are whole but break a rule, or are malformed under a right checksum.
    Invalid(&'static str),
    /// Records without a key, for a compacted topic: the places of the first of them in their batch.
    Keyless(Vec<i32>),
    /// Larger than `max.message.bytes`.
    TooLarge,
    /// A timestamp is too far from the broker's time.
    TimestampOutOfRange,
    /// The producer's sequence has a gap.
    SequenceGap,
    /// The producer's epoch is older than one already seen.
    FencedProducer,
    /// The compression is not supported for this use.
    UnsupportedCompression,
    /// There is no such partition (any more).
    UnknownPartition,
}

/// Why records cannot be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The disk refused.
    Storage(StorageError),
    /// The offset is no longer, or not yet, in the log.
    OutOfRange,
    /// The records are damaged.
    Corrupt,
    /// The client does not know the compression.
    UnsupportedCompression,
    /// There is no such partition (any more).
    UnknownPartition,
}

/// What the disk said, about which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageError {
    /// What was tried: `open`, `write`, `sync`, …
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// The operating system's error number, if it was an operating system's error.
    pub errno: Option<i32>,
    /// The reason in words.
    pub reason: String,
}

impl StorageError {
    /// An error of the operating system.
    #[must_use]
    pub fn io(action: &'static str, path: &Path, error: &io::Error) -> StorageError {
        StorageError {
            action,
            path: path.to_owned(),
            errno: error.raw_os_error(),
            reason: error.to_string(),
        }
    }

    /// Whether there was no room: the disk is full, or a quota is used up.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        self.is_any_of(&[Errno::NOSPC, Errno::DQUOT])
    }

    /// Whether the file system is read-only.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.is_any_of(&[Errno::ROFS])
    }

    /// Whether there was no descriptor left.
    #[must_use]
    pub fn is_out_of_descriptors(&self) -> bool {
        self.is_any_of(&[Errno::MFILE, Errno::NFILE])
    }

    /// Whether the same may succeed later without anybody's doing here.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.is_out_of_space()
            || self.is_read_only()
            || self.is_out_of_descriptors()
            || self.is_any_of(&[Errno::NOMEM, Errno::AGAIN, Errno::INTR])
    }

    fn is_any_of(&self, known: &[Errno]) -> bool {
        self.errno.is_some_and(|errno| known.iter().any(|known| known.raw_os_error() == errno))
    }

    /// A file that is not what it should be.
    #[must_use]
    pub fn content(action: &'static str, path: &Path, reason: impl Into<String>) -> StorageError {
        StorageError { action, path: path.to_owned(), errno: None, reason: reason.into() }
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.action, self.path.display(), self.reason)
    }
}

impl std::error::Error for StorageError {}

impl From<StorageError> for AppendError {
    fn from(error: StorageError) -> AppendError {
        AppendError::Storage(error)
    }
}

impl From<StorageError> for ReadError {
    fn from(error: StorageError) -> ReadError {
        ReadError::Storage(error)
    }
}
