//! An open file of the simulated disk, and a lock that is held.

use std::fmt;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::fault::Operation;
use super::node::{FileChange, NodeId};
use super::state::{State, lock};
use crate::base::payload::RangeFile;
use crate::base::time::WallMs;
use crate::storage::fs::{File, Volume, as_u64};

/// An open file.
pub(super) struct SimFile {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) node: NodeId,
    /// The name under which it was opened.
    pub(super) path: PathBuf,
    pub(super) writable: bool,
    /// Of how many losses this handle has told, or was opened after.
    pub(super) seen: AtomicU64,
    pub(super) _handle: Arc<()>,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl RangeFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut state = lock(&self.state);
        state.gate(Operation::Read, &self.path)?;
        let content = &state.disk.file(self.node)?.live;
        let from = usize::try_from(position).unwrap_or(usize::MAX);
        let rest = content.get(from..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(place), Some(bytes)) = (buffer.get_mut(..count), rest.get(..count)) {
            place.copy_from_slice(bytes);
        }
        Ok(count)
    }

    fn read_at_nowait(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.read_at(buffer, position)
    }
}

impl File for SimFile {
    fn write_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        let all = buffers.iter().flat_map(|buffer| buffer.iter().copied()).collect::<Vec<u8>>();
        lock(&self.state).write(self, &all, position)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        let synced = state.sync(Operation::SyncData, &self.path, Some(self.node));
        let losses = state.disk.file(self.node)?.losses();
        synced.and(tell(&self.seen, losses))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        lock(&self.state).allocate(self, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.gate(Operation::SetLen, &self.path)?;
        if !self.writable {
            return Err(Errno::INVAL.into());
        }
        let len = usize::try_from(len).map_err(|_| Errno::FBIG)?;
        let now = state.now;
        state.disk.change_file(self.node, FileChange::SetLen(len), now)
    }

    fn size(&self) -> io::Result<u64> {
        let state = lock(&self.state);
        state.alive()?;
        Ok(as_u64(state.disk.file(self.node)?.live.len()))
    }

    fn modified(&self) -> io::Result<WallMs> {
        let state = lock(&self.state);
        state.alive()?;
        Ok(state.disk.file(self.node)?.modified)
    }

    fn drop_cache(&self) {
        let mut state = lock(&self.state);
        if !state.crashed {
            if let Ok(file) = state.disk.file_mut(self.node) {
                file.drop_cache();
            }
        }
    }

    fn as_range(self: Arc<Self>) -> Arc<dyn RangeFile> {
        self
    }
}

/// Whoever has not told of the last loss tells of it once.
fn tell(seen: &AtomicU64, losses: u64) -> io::Result<()> {
    if seen.swap(losses, Ordering::Relaxed) < losses { Err(Errno::IO.into()) } else { Ok(()) }
}

/// The disk as a whole.
pub(super) struct SimVolume {
    pub(super) state: Arc<Mutex<State>>,
    /// The directory by which it was opened.
    pub(super) path: PathBuf,
    pub(super) seen: AtomicU64,
}

impl fmt::Debug for SimVolume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimVolume").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Volume for SimVolume {
    fn sync(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        let synced = state.sync(Operation::SyncAll, &self.path, None);
        let losses = state.disk.losses();
        synced.and(tell(&self.seen, losses))
    }

    fn tells_of_losses(&self) -> bool {
        true
    }
}

/// A lock that a process holds.
pub(super) struct SimLock {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) node: NodeId,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        lock(&self.state).locked.remove(&self.node);
    }
}
