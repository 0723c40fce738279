//! The disk behind two traits, so that a fake can stand in: everything that storage does with files is here.
//!
//! A [`File`] is read and written by position and has no cursor. An [`Fs`] names things by path; its errors carry
//! the path and what was tried. Nothing is durable before it is synced: a file's bytes by [`File::sync_data`], a name
//! by [`Fs::sync_dir`] of the directory that holds it.

mod real;

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use super::job::StorageError;
use crate::base::payload::RangeFile;
use crate::base::planted::{Bug, is_planted};
use crate::base::time::WallMs;
pub use real::RealFs;

/// An open file.
pub trait File: RangeFile {
    /// Writes the buffers one after the other from `position`; may write fewer bytes than there are.
    ///
    /// # Errors
    /// What the operating system says.
    fn write_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<usize>;

    /// Waits until the disk has the bytes and the length.
    ///
    /// # Errors
    /// What the operating system says. After an error nothing is known about any write since the last success.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts or extends the file.
    ///
    /// # Errors
    /// What the operating system says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Bytes in the file.
    ///
    /// # Errors
    /// What the operating system says.
    fn size(&self) -> io::Result<u64>;

    /// When the file was last written, as the file system has it. 1970: it cannot tell.
    ///
    /// # Errors
    /// What the operating system says.
    fn modified(&self) -> io::Result<WallMs> {
        Ok(0)
    }

    /// Forgets the clean pages that the kernel keeps, so that the next read sees the disk. Best effort.
    fn drop_cache(&self);

    /// Sets aside disk space for a file of this length, and makes it that long.
    ///
    /// # Errors
    /// What the operating system says; [`io::ErrorKind::Unsupported`] where nothing can be set aside.
    fn allocate(&self, len: u64) -> io::Result<()> {
        let _ = len;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The same file, for those who only read ranges.
    fn as_range(self: Arc<Self>) -> Arc<dyn RangeFile>;
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// It must exist; it is only read.
    Read,
    /// It must exist.
    Write,
    /// It is made if there is none.
    Create,
    /// It is made if there is none, and emptied if there is.
    Truncate,
}

/// What a directory holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The name without the directory.
    pub name: String,
    /// Whether it is a directory itself.
    pub is_dir: bool,
}

/// How much room a file system has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that we may still write.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
    /// Whether nothing can be written at all.
    pub read_only: bool,
}

/// Holds a lock until it is dropped.
pub type LockGuard = Box<dyn Any + Send + Sync>;

/// What holds our files and perhaps those of others, as a whole.
pub trait Volume: Send + Sync + fmt::Debug {
    /// Makes everything durable that was written to it.
    ///
    /// # Errors
    /// What the operating system says. Something may be lost then that was written since this was opened or last synced,
    /// by whomever.
    fn sync(&self) -> io::Result<()>;

    /// Whether a sync without an error is known to mean that nothing is lost. Where it is not, a file's own sync tells.
    fn tells_of_losses(&self) -> bool;
}

/// A file system.
pub trait Fs: Send + Sync + fmt::Debug {
    /// Opens a file.
    ///
    /// # Errors
    /// What the operating system says.
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>, StorageError>;

    /// Makes a directory; its parent must exist, it must not.
    ///
    /// # Errors
    /// What the operating system says.
    fn create_dir(&self, path: &Path) -> Result<(), StorageError>;

    /// Gives a file or directory another name, replacing a file of that name.
    ///
    /// # Errors
    /// What the operating system says.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), StorageError>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the operating system says.
    fn remove_file(&self, path: &Path) -> Result<(), StorageError>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// What the operating system says.
    fn remove_dir(&self, path: &Path) -> Result<(), StorageError>;

    /// The entries of a directory, ordered by name. Names that are not UTF-8 are left out: none of ours are.
    ///
    /// # Errors
    /// What the operating system says.
    fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>, StorageError>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// What the operating system says.
    fn sync_dir(&self, path: &Path) -> Result<(), StorageError>;

    /// The volume that holds a directory.
    ///
    /// # Errors
    /// What the operating system says.
    fn volume(&self, directory: &Path) -> Result<Arc<dyn Volume>, StorageError>;

    /// How much room the file system has that holds `path`. A file system that cannot tell has plenty.
    ///
    /// # Errors
    /// What the operating system says.
    fn room(&self, path: &Path) -> Result<Room, StorageError> {
        let _ = path;
        Ok(Room { free: u64::MAX, total: u64::MAX, read_only: false })
    }

    /// Takes the lock on a file, making the file if there is none. `None`: somebody else has it.
    ///
    /// # Errors
    /// What the operating system says.
    fn try_lock(&self, path: &Path) -> Result<Option<LockGuard>, StorageError>;

    /// Keeps others from taking the lock on a file that is there, without changing anything; where there is no such
    /// file, nobody has it. `None`: somebody has the lock.
    ///
    /// # Errors
    /// What the operating system says.
    fn try_lock_shared(&self, _path: &Path) -> Result<Option<LockGuard>, StorageError> {
        // A file system of one process has nobody to keep out.
        Ok(Some(Box::new(())))
    }
}

/// Whether an error says that there is no such file.
#[must_use]
pub fn is_absent(error: &StorageError) -> bool {
    error.errno == Some(Errno::NOENT.raw_os_error())
}

/// The whole of a small file; `None` if there is none.
///
/// # Errors
/// What the operating system says; a file larger than `bytes_max` is an error too.
pub fn read_file(
    fs: &dyn Fs,
    path: &Path,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, StorageError> {
    let file = open_if_there(fs, path)?;
    file.map(|file| read_whole(&*file, path, bytes_max)).transpose()
}

/// As [`read_file`], of a file that an earlier process wrote. What the disk has refused to take from that, the kernel may
/// still show.
///
/// # Errors
/// As [`read_file`].
pub(super) fn read_file_from_disk(
    fs: &dyn Fs,
    path: &Path,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, StorageError> {
    let Some(file) = open_if_there(fs, path)? else { return Ok(None) };
    if !is_planted(Bug::CachedPagesTrusted) {
        file.drop_cache();
    }
    read_whole(&*file, path, bytes_max).map(Some)
}

fn open_if_there(fs: &dyn Fs, path: &Path) -> Result<Option<Arc<dyn File>>, StorageError> {
    match fs.open(path, OpenMode::Read) {
        Ok(file) => Ok(Some(file)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_whole(file: &dyn File, path: &Path, bytes_max: usize) -> Result<Vec<u8>, StorageError> {
    let io = |error: io::Error| StorageError::io("read", path, &error);
    let size = usize::try_from(file.size().map_err(io)?).unwrap_or(usize::MAX);
    if size > bytes_max {
        return Err(StorageError::content("read", path, format!("{size} bytes are too many")));
    }
    let mut bytes = vec![0; size];
    let read = read_full(file, &mut bytes, 0).map_err(io)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Replaces a file so that a crash leaves the old one or the new one. The directory is not synced.
///
/// # Errors
/// What the operating system says.
pub fn replace_file(fs: &dyn Fs, path: &Path, content: &[u8]) -> Result<(), StorageError> {
    let (temporary, file) = write_temporary(fs, path, content)?;
    let synced = file.sync_data().map_err(|error| StorageError::io("sync", &temporary, &error));
    or_remove(fs, &temporary, synced)?;
    fs.rename(&temporary, path)
}

/// Replaces a file; until it is synced, a power cut may leave the old one, the new one or an empty one. The directory
/// is not synced.
///
/// # Errors
/// What the operating system says.
pub fn replace_file_unsynced(
    fs: &dyn Fs,
    path: &Path,
    content: &[u8],
) -> Result<Arc<dyn File>, StorageError> {
    let (temporary, file) = write_temporary(fs, path, content)?;
    fs.rename(&temporary, path)?;
    Ok(file)
}

fn write_temporary(
    fs: &dyn Fs,
    path: &Path,
    content: &[u8],
) -> Result<(PathBuf, Arc<dyn File>), StorageError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    let file = fs.open(&temporary, OpenMode::Truncate)?;
    let written = write_full(&*file, content, 0)
        .map_err(|error| StorageError::io("write", &temporary, &error));
    or_remove(fs, &temporary, written)?;
    Ok((temporary, file))
}

/// Half a file is worth nothing, and may take the room that there is.
fn or_remove<T>(
    fs: &dyn Fs,
    temporary: &Path,
    result: Result<T, StorageError>,
) -> Result<T, StorageError> {
    if result.is_err() {
        let _ = fs.remove_file(temporary);
    }
    result
}

/// Reads until the buffer is full or the file ends.
///
/// # Errors
/// What the operating system says.
pub fn read_full<F: RangeFile + ?Sized>(
    file: &F,
    buffer: &mut [u8],
    position: u64,
) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, position.saturating_add(as_u64(done))) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes all of `content`.
///
/// # Errors
/// What the operating system says.
pub fn write_full(file: &dyn File, content: &[u8], position: u64) -> io::Result<()> {
    write_slices(file, &mut [IoSlice::new(content)], position)
}

/// Most buffers that one system call takes.
const SLICES_MAX: usize = 1024;

/// Writes all of the buffers, one after the other, with as few calls as possible.
///
/// # Errors
/// What the operating system says; some of the bytes may have been written.
pub fn write_slices(
    file: &dyn File,
    mut slices: &mut [IoSlice<'_>],
    mut position: u64,
) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        let some = slices.get(..SLICES_MAX).unwrap_or(slices);
        match file.write_at(some, position) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                position = position.saturating_add(as_u64(count));
                IoSlice::advance_slices(&mut slices, count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A size as a position. No platform has wider sizes.
#[must_use]
pub fn as_u64(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}
