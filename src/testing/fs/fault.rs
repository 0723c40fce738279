//! What goes wrong on the simulated disk, and when.

use std::io;
use std::path::Path;

use rustix::io::Errno;

/// A thing that a process asks of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Opens a file, making or emptying it perhaps.
    Open,
    /// Reads bytes of a file.
    Read,
    /// Writes bytes of a file.
    Write,
    /// Syncs a file.
    SyncData,
    /// Cuts or extends a file.
    SetLen,
    /// Sets space aside for a file.
    Allocate,
    /// Makes a directory.
    CreateDir,
    /// Renames a file or directory.
    Rename,
    /// Removes a file or directory.
    Remove,
    /// Lists a directory.
    ReadDir,
    /// Syncs the names in a directory.
    SyncDir,
    /// Syncs everything.
    SyncAll,
}

/// When something goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// From the operation with this number on, as [`super::SimFs::operations`] counts them.
    Operation(u64),
    /// When this is asked of a file or directory whose path contains the text.
    Path(String, Operation),
}

/// What goes wrong. A kind that an operation cannot meet does not count as met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The disk fails.
    Eio,
    /// The disk is full, for what needs room.
    Enospc,
    /// A write ends after so many bytes, without an error.
    Short(usize),
    /// A sync fails: the pages look clean afterwards and are not on the disk.
    SyncFails,
    /// Too many files are open.
    Emfile,
    /// The file system has become read-only.
    Erofs,
    /// A signal came before anything was read or written.
    Eintr,
}

/// A fault to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When.
    pub at: At,
    /// What.
    pub kind: Kind,
    /// How many operations meet it; `u32::MAX`: all.
    pub times: u32,
}

impl Operation {
    /// Whether it changes something or makes a change durable: these are counted. Opening a file is, if it makes or
    /// empties one.
    pub(super) fn counts(self) -> bool {
        !matches!(self, Operation::Read | Operation::ReadDir | Operation::Open)
    }

    pub(super) fn is_sync(self) -> bool {
        matches!(self, Operation::SyncData | Operation::SyncDir | Operation::SyncAll)
    }
}

impl Kind {
    fn can_meet(self, operation: Operation, makes: bool) -> bool {
        match self {
            Kind::Eio => true,
            Kind::Short(_) => operation == Operation::Write,
            Kind::SyncFails => operation.is_sync(),
            Kind::Emfile => matches!(
                operation,
                Operation::Open | Operation::ReadDir | Operation::SyncDir | Operation::SyncAll
            ),
            Kind::Enospc => makes || matches!(operation, Operation::Write | Operation::CreateDir),
            Kind::Erofs => makes || (operation.counts() && !operation.is_sync()),
            Kind::Eintr => matches!(operation, Operation::Read | Operation::Write),
        }
    }

    /// The error; `None`: there is none.
    pub(super) fn error(self) -> Option<io::Error> {
        let errno = match self {
            Kind::Short(_) => return None,
            Kind::Eio | Kind::SyncFails => Errno::IO,
            Kind::Enospc => Errno::NOSPC,
            Kind::Emfile => Errno::MFILE,
            Kind::Erofs => Errno::ROFS,
            Kind::Eintr => Errno::INTR,
        };
        Some(errno.into())
    }
}

impl Fault {
    /// Whether the file system is read-only at this operation and stays so for a while.
    pub(super) fn is_read_only(&self, number: u64) -> bool {
        let here = matches!(self.at, At::Operation(first) if first <= number);
        here && self.kind == Kind::Erofs && self.times > 0
    }

    /// Whether this operation meets it; `makes`: opening makes or empties a file.
    pub(super) fn is_met(
        &self,
        operation: Operation,
        number: u64,
        path: &Path,
        makes: bool,
    ) -> bool {
        let here = match &self.at {
            At::Operation(first) => (operation.counts() || makes) && number >= *first,
            At::Path(part, wanted) => {
                operation == *wanted && path.to_string_lossy().contains(&**part)
            }
        };
        here && self.times > 0 && self.kind.can_meet(operation, makes)
    }
}
