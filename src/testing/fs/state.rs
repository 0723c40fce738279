//! What the simulated disk knows beside its content, and what becomes of each operation.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::disk::{Disk, Node};
use super::fault::{Fault, Kind, Operation};
use super::file::SimFile;
use super::node::{FileChange, FileNode, NodeId};
use crate::base::time::WallMs;
use crate::broker::random::Random;
use crate::storage::fs::{OpenMode, as_u64};

#[derive(Default)]
pub(super) struct State {
    pub(super) disk: Disk,
    pub(super) operations: u64,
    pub(super) crash_at: Option<u64>,
    pub(super) crashed: bool,
    pub(super) faults: Vec<Fault>,
    pub(super) capacity: Option<u64>,
    pub(super) now: WallMs,
    pub(super) locked: BTreeSet<NodeId>,
    /// `None`: nobody wants to know.
    pub(super) history: Option<Vec<String>>,
}

const IO_ERROR: i32 = Errno::IO.raw_os_error();

/// What becomes of an operation.
enum Verdict {
    Done,
    /// A write ends after so many bytes.
    Short(usize),
    /// The process dies within it.
    Dies,
}

pub(super) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn dead() -> io::Error {
    Errno::IO.into()
}

impl State {
    /// Counts an operation and says what becomes of it.
    fn begin(&mut self, operation: Operation, path: &Path, makes: bool) -> io::Result<Verdict> {
        self.alive()?;
        let number = self.operations;
        if operation.counts() || makes {
            self.operations += 1;
            if let Some(history) = &mut self.history {
                history.push(format!("{number}: {operation:?} {}", path.display()));
            }
            if self.crash_at.is_some_and(|at| at <= number) {
                self.crashed = true;
                return Ok(Verdict::Dies);
            }
        }
        let met = self.faults.iter_mut().find(|f| f.is_met(operation, number, path, makes));
        let Some(fault) = met else { return Ok(Verdict::Done) };
        fault.times = if fault.times == u32::MAX { u32::MAX } else { fault.times - 1 };
        match (fault.kind, fault.kind.error()) {
            (Kind::Short(len), _) => Ok(Verdict::Short(len)),
            (_, Some(error)) => Err(error),
            (_, None) => Ok(Verdict::Done),
        }
    }

    /// As [`State::begin`], for what happens whole or not at all.
    pub(super) fn gate(&mut self, operation: Operation, path: &Path) -> io::Result<()> {
        match self.begin(operation, path, false)? {
            Verdict::Dies => Err(dead()),
            _ => Ok(()),
        }
    }

    /// Makes one file or directory durable, or all; if the disk fails, what should have become durable never will.
    pub(super) fn sync(
        &mut self,
        operation: Operation,
        path: &Path,
        node: Option<NodeId>,
    ) -> io::Result<()> {
        let result = self.gate(operation, path);
        let failed = matches!(&result, Err(error) if error.raw_os_error() == Some(IO_ERROR));
        if result.is_ok() || (failed && !self.crashed) {
            self.disk.sync(node, result.is_ok());
        }
        result
    }

    /// Whether the process lives and can ask for anything.
    pub(super) fn alive(&self) -> io::Result<()> {
        if self.crashed { Err(dead()) } else { Ok(()) }
    }

    /// How many of `len` bytes there is room for.
    fn room(&self, node: NodeId, position: usize, len: usize) -> io::Result<usize> {
        let Some(capacity) = self.capacity else { return Ok(len) };
        let size = self.disk.file(node)?.live.len();
        let free = usize::try_from(capacity.saturating_sub(self.disk.used())).unwrap_or(usize::MAX);
        let inside = size.saturating_sub(position);
        Ok(len.min(inside.saturating_add(free)))
    }

    pub(super) fn write(
        &mut self,
        handle: &SimFile,
        bytes: &[u8],
        position: u64,
    ) -> io::Result<usize> {
        let verdict = self.begin(Operation::Write, &handle.path, false)?;
        if !handle.writable {
            return Err(Errno::BADF.into());
        }
        let position = usize::try_from(position).map_err(|_| Errno::FBIG)?;
        let len = match verdict {
            Verdict::Done => bytes.len(),
            Verdict::Short(len) => len.min(bytes.len()),
            Verdict::Dies => self.torn_at_death(bytes.len()),
        };
        let fits = self.room(handle.node, position, len)?;
        if fits == 0 && len > 0 && !self.crashed {
            return Err(Errno::NOSPC.into());
        }
        if fits > 0 {
            let bytes = Arc::from(bytes.get(..fits).unwrap_or_default());
            self.disk.change_file(handle.node, FileChange::Write(position, bytes), self.now)?;
        }
        if self.crashed { Err(dead()) } else { Ok(fits) }
    }

    /// A process that is killed within a write has handed over some of the bytes: none, all, or a part.
    fn torn_at_death(&self, len: usize) -> usize {
        let mut random = Random::new(self.operations);
        match random.next_u64() % 4 {
            0 => 0,
            1 => len,
            _ => usize::try_from(random.next_u64() % (as_u64(len) + 1)).unwrap_or(len),
        }
    }

    pub(super) fn open(&mut self, path: &Path, mode: OpenMode) -> io::Result<NodeId> {
        let found = self.disk.find(path).ok();
        let makes = match mode {
            OpenMode::Read | OpenMode::Write => false,
            OpenMode::Create => found.is_none(),
            OpenMode::Truncate => true,
        };
        if matches!(self.begin(Operation::Open, path, makes)?, Verdict::Dies) {
            return Err(dead());
        }
        let Some(node) = found else {
            if !makes {
                return Err(Errno::NOENT.into());
            }
            return self.disk.make(path, Node::File(FileNode::durable(Arc::default(), self.now)));
        };
        let len = self.disk.file(node)?.live.len();
        if mode == OpenMode::Truncate && len > 0 {
            self.disk.change_file(node, FileChange::SetLen(0), self.now)?;
        }
        Ok(node)
    }
}
