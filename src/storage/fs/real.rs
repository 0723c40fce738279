//! The operating system's own files.

mod volume;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use rustix::fs::{FallocateFlags, FlockOperation, StatVfsMountFlags, fallocate};
use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};

use super::{DirEntry, File, Fs, LockGuard, OpenMode, Room, Volume, as_u64, is_absent};
use crate::base::metrics::DISK;
use crate::base::payload::RangeFile;
use crate::base::time::WallMs;
use crate::storage::job::StorageError;
use volume::RealVolume;

/// The operating system's own files.
#[derive(Debug, Default)]
pub struct RealFs;

#[derive(Debug)]
struct RealFile(fs::File);

impl RangeFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buffer, position)
    }

    fn read_at_nowait(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut slices = [IoSliceMut::new(buffer)];
        match rustix::io::preadv2(&self.0, &mut slices, position, ReadWriteFlags::NOWAIT) {
            Ok(count) => Ok(count),
            // Some file systems cannot tell; they are fast or nothing is.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.0.read_at(buffer, position),
            Err(Errno::AGAIN) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error.into()),
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

impl File for RealFile {
    fn write_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        let written = match buffers {
            [one] => self.0.write_at(one, position),
            many => Ok(rustix::io::pwritev(&self.0, many, position)?),
        }?;
        DISK.writes.increment();
        DISK.bytes.add(as_u64(written));
        Ok(written)
    }

    fn sync_data(&self) -> io::Result<()> {
        DISK.file_syncs.increment();
        self.0.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn modified(&self) -> io::Result<WallMs> {
        let modified = self.0.metadata()?.modified()?;
        let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(i64::try_from(since.as_millis()).unwrap_or(0))
    }

    fn drop_cache(&self) {
        let _ = rustix::fs::fadvise(&self.0, 0, None, rustix::fs::Advice::DontNeed);
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        Ok(retry_on_intr(|| fallocate(&self.0, FallocateFlags::empty(), 0, len))?)
    }

    fn as_range(self: Arc<Self>) -> Arc<dyn RangeFile> {
        self
    }
}

/// Turns an error of the operating system into ours.
fn because<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl Fn(io::Error) -> StorageError + use<'a> {
    move |error| {
        let mut told = StorageError::io(action, path, &error);
        if error.kind() == io::ErrorKind::PermissionDenied {
            let user = rustix::process::geteuid().as_raw();
            told.reason = format!("{} (as user id {user})", told.reason);
        }
        told
    }
}

impl Fs for RealFs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>, StorageError> {
        let mut options = fs::OpenOptions::new();
        options.read(true).mode(0o600);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::Write => options.write(true),
            OpenMode::Create => options.write(true).create(true),
            OpenMode::Truncate => options.write(true).create(true).truncate(true),
        };
        let file = options.open(path).map_err(because("open", path))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn create_dir(&self, path: &Path) -> Result<(), StorageError> {
        DISK.names.increment();
        fs::DirBuilder::new().mode(0o700).create(path).map_err(because("create directory", path))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the file that owns files")]
    fn rename(&self, from: &Path, to: &Path) -> Result<(), StorageError> {
        DISK.names.increment();
        fs::rename(from, to).map_err(because("rename", from))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the file that owns files")]
    fn remove_file(&self, path: &Path) -> Result<(), StorageError> {
        DISK.names.increment();
        fs::remove_file(path).map_err(because("remove", path))
    }

    fn remove_dir(&self, path: &Path) -> Result<(), StorageError> {
        DISK.names.increment();
        fs::remove_dir(path).map_err(because("remove", path))
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>, StorageError> {
        let entry = |entry: io::Result<fs::DirEntry>| -> io::Result<Option<DirEntry>> {
            let entry = entry?;
            let is_dir = entry.file_type()?.is_dir();
            Ok(entry.file_name().into_string().ok().map(|name| DirEntry { name, is_dir }))
        };
        let listed = fs::read_dir(path).map_err(because("list", path))?;
        let found: io::Result<Vec<Option<DirEntry>>> = listed.map(entry).collect();
        let mut entries: Vec<DirEntry> =
            found.map_err(because("list", path))?.into_iter().flatten().collect();
        entries.sort();
        Ok(entries)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the file that owns files")]
    fn sync_dir(&self, path: &Path) -> Result<(), StorageError> {
        DISK.directory_syncs.increment();
        let directory = fs::File::open(path).map_err(because("open", path))?;
        directory.sync_all().map_err(because("sync", path))
    }

    fn volume(&self, directory: &Path) -> Result<Arc<dyn Volume>, StorageError> {
        Ok(Arc::new(RealVolume::open(directory).map_err(because("open", directory))?))
    }

    fn room(&self, path: &Path) -> Result<Room, StorageError> {
        let told = retry_on_intr(|| rustix::fs::statvfs(path))
            .map_err(|errno| because("look at", path)(errno.into()))?;
        // What only the superuser may take is not ours, whoever we are.
        Ok(Room {
            free: told.f_bavail.saturating_mul(told.f_frsize),
            total: told.f_blocks.saturating_mul(told.f_frsize),
            read_only: told.f_flag.contains(StatVfsMountFlags::RDONLY),
        })
    }

    fn try_lock(&self, path: &Path) -> Result<Option<LockGuard>, StorageError> {
        let Some(name) = HeldName::take(path) else { return Ok(None) };
        let mut options = fs::OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = file.map_err(because("open", path))?;
        match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Box::new((file, name)))),
            Err(Errno::AGAIN | Errno::ACCESS) => Ok(None),
            Err(errno) => Err(because("lock", path)(errno.into())),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the file that owns files")]
    fn try_lock_shared(&self, path: &Path) -> Result<Option<LockGuard>, StorageError> {
        let Some(name) = HeldName::take(path) else { return Ok(None) };
        let file = match fs::File::open(path).map_err(because("open", path)) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(Some(Box::new(name))),
            Err(error) => return Err(error),
        };
        match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(Some(Box::new((file, name)))),
            Err(Errno::AGAIN | Errno::ACCESS) => Ok(None),
            Err(errno) => Err(because("lock", path)(errno.into())),
        }
    }
}

/// The locks that this process holds: an fcntl lock does not keep its own process out, and closing any descriptor of
/// the file would give it up.
static HELD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

struct HeldName(PathBuf);

impl HeldName {
    fn take(path: &Path) -> Option<HeldName> {
        let parent = path.parent().and_then(|parent| parent.canonicalize().ok());
        let name = match (parent, path.file_name()) {
            (Some(parent), Some(name)) => parent.join(name),
            _ => path.to_owned(),
        };
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let free = held.insert(name.clone());
        // Not eagerly: what is made is also dropped, which gives the name back.
        free.then(|| HeldName(name))
    }
}

impl Drop for HeldName {
    fn drop(&mut self) {
        HELD.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}
