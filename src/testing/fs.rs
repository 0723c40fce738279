//! A disk in memory that keeps apart what processes see and what a power cut leaves, and that fails on demand.
//!
//! A file's bytes and length are durable after [`File::sync_data`], a name after [`Fs::sync_dir`] of its directory. Files
//! are apart from their names: a rename moves the entry, and whoever has a file open keeps it. What was not synced when
//! the power goes is there in part, see [`Image`]: of a write any 512-byte sectors. After a failed sync the pages look
//! clean and are not on the disk; a later sync does not write them, and [`File::drop_cache`] shows what the disk has. As on
//! Linux, the next sync by each handle that was open then fails, and that of the volume; those after it do not.
//!
//! Everything is decided by the calls and the seeds: no clock, no thread, no randomness of its own.

mod disk;
mod fault;
mod file;
mod node;
mod state;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use crate::base::time::WallMs;
use crate::storage::fs::{
    DirEntry, File, Fs, LockGuard, OpenMode, RealFs, Room, Volume, as_u64, write_full,
};
use crate::storage::job::StorageError;
use disk::{Disk, Node};
pub use fault::{At, Fault, Kind, Operation};
use file::{SimFile, SimLock, SimVolume};
use node::{DirNode, NodeId};
use state::{State, lock};

/// What a power cut leaves of the changes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image {
    /// None of them.
    Nothing,
    /// All of them.
    Everything,
    /// The first of them, in order; a write at the border is torn. The seed says how many.
    Prefix(u64),
    /// Some of them, as the seed says: of each sector, each length and each name all up to one or other of them.
    Random(u64),
}

/// The disk. Clones of the handle are the same disk.
pub struct SimFs {
    state: Arc<Mutex<State>>,
}

fn because<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl Fn(io::Error) -> StorageError + use<'a> {
    move |error| StorageError::io(action, path, &error)
}

impl SimFs {
    fn with(disk: Disk, now: WallMs) -> Arc<SimFs> {
        let state = State { disk, now, ..State::default() };
        Arc::new(SimFs { state: Arc::new(Mutex::new(state)) })
    }

    /// An empty disk: there is nothing but the root directory.
    #[must_use]
    pub fn new() -> Arc<SimFs> {
        SimFs::with(Disk::default(), 0)
    }

    /// Operations so far that changed something or made it durable.
    #[must_use]
    pub fn operations(&self) -> u64 {
        lock(&self.state).operations
    }

    /// Changes that a power cut could take back.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        lock(&self.state).disk.unsynced()
    }

    /// The process dies within the operation of this number: a write there may be torn, and nothing after it happens.
    pub fn crash_at(&self, operation: u64) {
        lock(&self.state).crash_at = Some(operation);
    }

    /// Whether the process has died.
    #[must_use]
    pub fn is_crashed(&self) -> bool {
        lock(&self.state).crashed
    }

    /// Something goes wrong from now on.
    pub fn fail(&self, fault: Fault) {
        lock(&self.state).faults.push(fault);
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        lock(&self.state).faults.clear();
    }

    /// The wall clock, for the times at which files are written; 1970 at first.
    pub fn set_now(&self, now: WallMs) {
        lock(&self.state).now = now;
    }

    /// Most bytes of all files together; `None`: any number.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        lock(&self.state).capacity = bytes;
    }

    /// Bytes that can still be written; `None`: any number.
    #[must_use]
    pub fn free(&self) -> Option<u64> {
        let state = lock(&self.state);
        state.capacity.map(|capacity| capacity.saturating_sub(state.disk.used()))
    }

    /// Another disk: this one after a power cut now. All that is left is durable.
    #[must_use]
    pub fn image(&self, how: Image) -> Arc<SimFs> {
        let state = lock(&self.state);
        SimFs::with(state.disk.image(how), state.now)
    }

    /// Another disk: this one after the process was killed. What was not synced is there, but still not durable.
    #[must_use]
    pub fn killed(&self) -> Arc<SimFs> {
        let state = lock(&self.state);
        SimFs::with(state.disk.killed(), state.now)
    }

    /// From now on every operation is noted for [`SimFs::history`].
    pub fn keep_history(&self) {
        lock(&self.state).history.get_or_insert_default();
    }

    /// The operations since then, each with its number.
    #[must_use]
    pub fn history(&self) -> Vec<String> {
        lock(&self.state).history.clone().unwrap_or_default()
    }

    /// Flips a bit of a file at rest, counted from the first byte's highest. `false`: there is no such bit.
    pub fn flip_bit(&self, path: &Path, bit: u64) -> bool {
        let mut state = lock(&self.state);
        let found = state.disk.find(path);
        let Ok(file) = found.and_then(|node| state.disk.file_mut(node)) else { return false };
        let Ok(at) = usize::try_from(bit / 8) else { return false };
        let flip = |content: &mut Arc<Vec<u8>>| match Arc::make_mut(content).get_mut(at) {
            Some(byte) => {
                *byte ^= 0x80 >> (bit % 8);
                true
            }
            None => false,
        };
        let is_on_disk = flip(&mut file.durable);
        flip(&mut file.live) || is_on_disk
    }

    /// A file's bytes, as processes see them.
    #[must_use]
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let state = lock(&self.state);
        let file = state.disk.find(path).and_then(|node| state.disk.file(node));
        file.ok().map(|file| Vec::clone(&file.live))
    }

    /// Every file, by path, with its size.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let mut files = Vec::new();
        lock(&self.state).disk.walk_all(&mut |path, _, node| {
            if let Node::File(file) = node {
                files.push((path.to_owned(), as_u64(file.live.len())));
            }
        });
        files
    }

    /// Puts all directories and files below a directory of the real file system.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn copy_to(&self, real_dir: &Path) -> Result<(), StorageError> {
        let mut result = Ok(());
        let copy = |path: &Path, node: &Node| match node {
            Node::Dir(_) => RealFs.create_dir(path),
            Node::File(file) => {
                let copy = RealFs.open(path, OpenMode::Truncate)?;
                write_full(&*copy, &file.live, 0).map_err(because("write", path))
            }
        };
        lock(&self.state).disk.walk_all(&mut |path, _, node| {
            if result.is_ok() {
                result = copy(&real_dir.join(path.strip_prefix("/").unwrap_or(path)), node);
            }
        });
        result
    }
}

impl fmt::Debug for SimFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFs").field("operations", &self.operations()).finish_non_exhaustive()
    }
}

impl Fs for SimFs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>, StorageError> {
        let mut state = lock(&self.state);
        let node = state.open(path, mode).map_err(because("open", path))?;
        let file = state.disk.file(node).map_err(because("open", path))?;
        Ok(Arc::new(SimFile {
            state: Arc::clone(&self.state),
            node,
            path: path.to_owned(),
            writable: mode != OpenMode::Read,
            seen: AtomicU64::new(file.losses()),
            _handle: Arc::clone(&file.handles),
        }))
    }

    fn create_dir(&self, path: &Path) -> Result<(), StorageError> {
        let mut state = lock(&self.state);
        let made = state
            .gate(Operation::CreateDir, path)
            .and_then(|()| state.disk.make(path, Node::Dir(DirNode::default())));
        made.map(|_| ()).map_err(because("create directory", path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), StorageError> {
        let mut state = lock(&self.state);
        let moved = state.gate(Operation::Rename, from).and_then(|()| state.disk.rename(from, to));
        moved.map_err(because("rename", from))
    }

    fn remove_file(&self, path: &Path) -> Result<(), StorageError> {
        let mut state = lock(&self.state);
        let gone =
            state.gate(Operation::Remove, path).and_then(|()| state.disk.remove(path, false));
        gone.map_err(because("remove", path))
    }

    fn remove_dir(&self, path: &Path) -> Result<(), StorageError> {
        let mut state = lock(&self.state);
        let gone = state.gate(Operation::Remove, path).and_then(|()| state.disk.remove(path, true));
        gone.map_err(because("remove", path))
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>, StorageError> {
        let mut state = lock(&self.state);
        let list = |state: &mut State| -> io::Result<Vec<DirEntry>> {
            state.gate(Operation::ReadDir, path)?;
            let dir = state.disk.dir(state.disk.find(path)?)?;
            let entry = |(name, node): (&Arc<str>, &NodeId)| DirEntry {
                name: name.to_string(),
                is_dir: state.disk.is_dir(*node),
            };
            Ok(dir.live.iter().map(entry).collect())
        };
        list(&mut state).map_err(because("list", path))
    }

    fn sync_dir(&self, path: &Path) -> Result<(), StorageError> {
        let mut state = lock(&self.state);
        let found = state.disk.find(path).and_then(|node| state.disk.dir(node).map(|_| node));
        let synced = found.and_then(|node| state.sync(Operation::SyncDir, path, Some(node)));
        synced.map_err(because("sync", path))
    }

    fn volume(&self, directory: &Path) -> Result<Arc<dyn Volume>, StorageError> {
        let state = lock(&self.state);
        let found = state.disk.find(directory).and_then(|node| state.disk.dir(node).map(|_| ()));
        found.map_err(because("open", directory))?;
        let seen = AtomicU64::new(state.disk.losses());
        Ok(Arc::new(SimVolume { state: Arc::clone(&self.state), path: directory.to_owned(), seen }))
    }

    fn room(&self, path: &Path) -> Result<Room, StorageError> {
        let free = self.free().unwrap_or(u64::MAX);
        let state = lock(&self.state);
        state.alive().map_err(because("look at", path))?;
        let read_only = state.faults.iter().any(|fault| fault.is_read_only(state.operations));
        Ok(Room { free, total: state.capacity.unwrap_or(u64::MAX), read_only })
    }

    fn try_lock(&self, path: &Path) -> Result<Option<LockGuard>, StorageError> {
        let mut state = lock(&self.state);
        let node = state.open(path, OpenMode::Create).map_err(because("open", path))?;
        if !state.locked.insert(node) {
            return Ok(None);
        }
        Ok(Some(Box::new(SimLock { state: Arc::clone(&self.state), node })))
    }
}
