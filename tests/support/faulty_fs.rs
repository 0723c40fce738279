//! The real file system, with faults on demand in the files whose names match.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "only tests use this")]

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use chronik::base::payload::RangeFile;
use chronik::storage::fs::{DirEntry, File, Fs, LockGuard, OpenMode, RealFs, Room, Volume};
use chronik::storage::job::StorageError;

pub(crate) const EIO: i32 = 5;
pub(crate) const ENOSPC: i32 = 28;

/// Which calls fail.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Files whose path contains this.
    pub(crate) path: Mutex<String>,
    pub(crate) sync: AtomicBool,
    pub(crate) sync_dir: AtomicBool,
    pub(crate) open: AtomicBool,
    pub(crate) read: AtomicBool,
    /// The error number of opens that fail; 0: EIO.
    pub(crate) errno: AtomicU64,
    /// Bytes of a write that still succeed; then the disk is full.
    pub(crate) room: AtomicU64,
    pub(crate) full: AtomicBool,
    pub(crate) set_len: AtomicBool,
    pub(crate) syncs: AtomicU64,
    pub(crate) volume_syncs: AtomicU64,
    /// What the file system says is free; `None`: what the real one says.
    pub(crate) free: Mutex<Option<u64>>,
    pub(crate) read_only: AtomicBool,
    /// How often files whose path contains `path` were opened, or were to be.
    pub(crate) opens: AtomicU64,
    /// Files that are open, and the most that were.
    pub(crate) open_now: AtomicU64,
    pub(crate) open_most: AtomicU64,
}

fn failure(action: &'static str, path: &Path, errno: i32) -> StorageError {
    StorageError::io(action, path, &io::Error::from_raw_os_error(errno))
}

#[derive(Debug, Default)]
pub(crate) struct FaultyFs {
    real: RealFs,
    pub(crate) faults: Arc<Faults>,
}

#[derive(Debug)]
struct FaultyFile {
    real: Arc<dyn File>,
    faults: Arc<Faults>,
    path: String,
}

impl FaultyFile {
    fn hit(&self, flag: &AtomicBool) -> bool {
        flag.load(Ordering::SeqCst) && self.path.contains(&*self.faults.path.lock().unwrap())
    }

    /// Writes no more than so many bytes.
    fn write_some(&self, buffers: &[IoSlice<'_>], position: u64, most: usize) -> io::Result<usize> {
        let all: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.to_vec()).collect();
        self.real.write_at(&[IoSlice::new(&all[..most.min(all.len())])], position)
    }
}

impl Drop for FaultyFile {
    fn drop(&mut self) {
        self.faults.open_now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl RangeFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        if self.hit(&self.faults.read) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.real.read_at(buffer, position)
    }

    fn read_at_nowait(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.real.read_at_nowait(buffer, position)
    }
}

impl File for FaultyFile {
    fn write_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        if !self.hit(&self.faults.full) {
            return self.real.write_at(buffers, position);
        }
        let room = self.faults.room.swap(0, Ordering::SeqCst) as usize;
        if room == 0 {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        self.write_some(buffers, position, room)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.path.ends_with(".log") {
            self.faults.syncs.fetch_add(1, Ordering::SeqCst);
        }
        if self.hit(&self.faults.sync) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.real.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.hit(&self.faults.set_len) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.real.set_len(len)
    }

    fn size(&self) -> io::Result<u64> {
        self.real.size()
    }

    fn modified(&self) -> io::Result<i64> {
        self.real.modified()
    }

    fn drop_cache(&self) {
        self.real.drop_cache();
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.real.allocate(len)
    }

    fn as_range(self: Arc<Self>) -> Arc<dyn RangeFile> {
        self
    }
}

#[derive(Debug)]
struct FaultyVolume {
    real: Arc<dyn Volume>,
    faults: Arc<Faults>,
}

impl Volume for FaultyVolume {
    fn sync(&self) -> io::Result<()> {
        self.faults.volume_syncs.fetch_add(1, Ordering::SeqCst);
        // It has the files that fail, too.
        if self.faults.sync.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.real.sync()
    }

    fn tells_of_losses(&self) -> bool {
        true
    }
}

impl FaultyFs {
    fn refuse(
        &self,
        flag: &AtomicBool,
        action: &'static str,
        path: &Path,
    ) -> Result<(), StorageError> {
        let matches = || path.display().to_string().contains(&*self.faults.path.lock().unwrap());
        if flag.load(Ordering::SeqCst) && matches() {
            let errno = match self.faults.errno.load(Ordering::SeqCst) {
                0 => EIO,
                errno => errno as i32,
            };
            return Err(failure(action, path, errno));
        }
        Ok(())
    }
}

impl Fs for FaultyFs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>, StorageError> {
        let counts = path.to_str().unwrap().contains(&*self.faults.path.lock().unwrap());
        self.faults.opens.fetch_add(u64::from(counts), Ordering::SeqCst);
        self.refuse(&self.faults.open, "open", path)?;
        let real = self.real.open(path, mode)?;
        let path = path.display().to_string();
        let open = self.faults.open_now.fetch_add(1, Ordering::SeqCst) + 1;
        self.faults.open_most.fetch_max(open, Ordering::SeqCst);
        Ok(Arc::new(FaultyFile { real, faults: Arc::clone(&self.faults), path }))
    }

    fn create_dir(&self, path: &Path) -> Result<(), StorageError> {
        self.real.create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), StorageError> {
        self.real.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<(), StorageError> {
        self.real.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<(), StorageError> {
        self.real.remove_dir(path)
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>, StorageError> {
        self.real.read_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<(), StorageError> {
        self.refuse(&self.faults.sync_dir, "sync", path)?;
        self.real.sync_dir(path)
    }

    fn volume(&self, directory: &Path) -> Result<Arc<dyn Volume>, StorageError> {
        let real = self.real.volume(directory)?;
        Ok(Arc::new(FaultyVolume { real, faults: Arc::clone(&self.faults) }))
    }

    fn room(&self, path: &Path) -> Result<Room, StorageError> {
        let real = self.real.room(path)?;
        let free = self.faults.free.lock().unwrap().unwrap_or(real.free);
        let read_only = self.faults.read_only.load(Ordering::SeqCst);
        Ok(Room { free, total: real.total, read_only })
    }

    fn try_lock(&self, path: &Path) -> Result<Option<LockGuard>, StorageError> {
        self.real.try_lock(path)
    }
}
