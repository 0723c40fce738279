//! The file that frames are written to.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FallocateFlags, Mode, OFlags};

/// Bytes of one write that fills a file.
const FILL_BYTES: usize = 1 << 20;

/// What is written to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Medium {
    /// A file that grows, as a log does.
    New,
    /// One that grows into blocks that are reserved for it.
    Reserved,
    /// A file whose blocks and pages are there already.
    Reuse,
}

/// A file that is written from its beginning to a size, and then anew.
struct Growing {
    file: OwnedFd,
    medium: Medium,
    bytes_max: u64,
    position: u64,
}

impl Growing {
    /// Creates `path`.
    fn create(path: &Path, medium: Medium, bytes_max: u64) -> io::Result<Growing> {
        let file = match medium {
            Medium::New => open(path)?,
            Medium::Reserved => reserved(path, bytes_max)?,
            Medium::Reuse => filled(path, bytes_max)?,
        };
        Ok(Growing { file, medium, bytes_max, position: 0 })
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if self.position >= self.bytes_max {
            self.begin_anew()?;
        }
        while !bytes.is_empty() {
            let written = rustix::io::pwrite(&self.file, bytes, self.position)?;
            self.position += u64::try_from(written).unwrap_or_default();
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Pages that were never synced are given back without a write to the disk.
    fn begin_anew(&mut self) -> io::Result<()> {
        self.position = 0;
        if self.medium != Medium::Reuse {
            rustix::fs::ftruncate(&self.file, 0)?;
        }
        if self.medium == Medium::Reserved {
            reserve(&self.file, self.bytes_max)?;
        }
        Ok(())
    }
}

/// Files that are written to in turn, as logs of as many partitions are.
pub(super) struct Target {
    files: Vec<Growing>,
    next: usize,
}

impl Target {
    /// Creates as many files, whose names begin with `path`; together they have so many bytes at most.
    pub(super) fn create(
        path: &Path,
        count: usize,
        medium: Medium,
        bytes_max: u64,
    ) -> io::Result<Target> {
        let each = bytes_max.div_ceil(u64::try_from(count).unwrap_or(u64::MAX));
        let file =
            |number: usize| Growing::create(&path.with_extension(number.to_string()), medium, each);
        Ok(Target { files: (0..count).map(file).collect::<io::Result<_>>()?, next: 0 })
    }

    /// Writes what the caller's checksum has just covered.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let number = self.next % self.files.len().max(1);
        self.next = number + 1;
        self.files.get_mut(number).map_or(Ok(()), |file| file.write(bytes))
    }

    /// The same files, for another thread to sync.
    pub(super) fn handles(&self) -> io::Result<Vec<OwnedFd>> {
        self.files.iter().map(|growing| growing.file.try_clone()).collect()
    }

    /// Returns when the disk has what was written.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.files.iter().try_for_each(|growing| Ok(rustix::fs::fdatasync(&growing.file)?))
    }
}

/// Creates `path` without a byte, and with room for `bytes` bytes.
fn reserved(path: &Path, bytes: u64) -> io::Result<OwnedFd> {
    let file = open(path)?;
    reserve(&file, bytes)?;
    rustix::fs::fsync(&file)?;
    Ok(file)
}

fn reserve(file: &OwnedFd, bytes: u64) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes)?)
}

/// Creates `path` with `bytes` bytes that are on the disk and in the cache.
pub(super) fn filled(path: &Path, bytes: u64) -> io::Result<OwnedFd> {
    let file = open(path)?;
    let piece = vec![0x5a; FILL_BYTES];
    let mut position = 0;
    while position < bytes {
        position += u64::try_from(rustix::io::pwrite(&file, &piece, position)?).unwrap_or_default();
    }
    rustix::fs::fsync(&file)?;
    Ok(file)
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?)
}
