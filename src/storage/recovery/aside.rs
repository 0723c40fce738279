//! Keeps beside the log what recovery cuts off if it holds a whole batch: one `.tail` file per partition, bounded, copied
//! through a small window. Recovery does not depend on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::ids::Offset;
use crate::record::batch::{BatchHeader, HEADER_SIZE};
use crate::storage::fs::{File, Fs, OpenMode, as_u64, read_full, write_full};
use crate::storage::job::StorageError;
use crate::storage::scan::{HEADERS, Scan};
use crate::storage::segment::file_name;

/// How the name of a file of cut bytes ends.
const SUFFIX: &str = ".tail";
/// How it ends while it is written.
const UNFINISHED_SUFFIX: &str = ".tail.tmp";
/// Most bytes that are kept.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Bytes that are looked at or copied at once.
const WINDOW: usize = 256 * 1024;
/// How often, on average, a byte is looked at as part of what may be a batch.
const PASSES_MAX: u64 = 8;

/// What is kept of one partition.
pub(super) struct Aside<'a> {
    fs: &'a dyn Fs,
    dir: &'a Path,
    /// Where the first cut is; the file's name.
    offset: Offset,
    out: Option<Arc<dyn File>>,
    bytes: u64,
}

impl<'a> Aside<'a> {
    /// Nothing yet, of a log that is cut at `offset`.
    pub(super) fn new(fs: &'a dyn Fs, dir: &'a Path, offset: Offset) -> Aside<'a> {
        Aside { fs, dir, offset, out: None, bytes: 0 }
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.dir.join(file_name(self.offset, suffix))
    }

    /// Copies these bytes of a log file, as far as there is room, if a whole batch is among them.
    pub(super) fn add(&mut self, file: &Arc<dyn File>, from: u64, to: u64) {
        let to = to.min(from.saturating_add(BYTES_MAX.saturating_sub(self.bytes)));
        if !holds_whole_batch(file, from, to) {
            return;
        }
        if let Err(error) = self.copy(&**file, from, to) {
            log::warn!("{error}; the next start finds these bytes no more");
        }
    }

    fn copy(&mut self, file: &dyn File, from: u64, to: u64) -> Result<(), StorageError> {
        let path = self.path(UNFINISHED_SUFFIX);
        let io = |error| StorageError::io("write", &path, &error);
        let out = match self.out.clone() {
            Some(out) => out,
            None => self.fs.open(&path, OpenMode::Truncate)?,
        };
        self.out = Some(Arc::clone(&out));
        let mut window = vec![0; WINDOW];
        let mut position = from;
        while position < to {
            let wanted = usize::try_from(to - position).unwrap_or(WINDOW).min(WINDOW);
            let piece = window.get_mut(..wanted).unwrap_or_default();
            let read = read_full(file, piece, position).map_err(io)?;
            if read == 0 {
                break;
            }
            write_full(&*out, piece.get(..read).unwrap_or_default(), self.bytes).map_err(io)?;
            self.bytes = self.bytes.saturating_add(as_u64(read));
            position = position.saturating_add(as_u64(read));
        }
        Ok(())
    }

    /// Gives the file its name, durably, in place of that of an earlier recovery. After a crash inside recovery there is
    /// less left to keep: then the file that has more stays.
    pub(super) fn finish(self) -> Result<(), StorageError> {
        let Some(out) = &self.out else { return Ok(()) };
        let (unfinished, path) = (self.path(UNFINISHED_SUFFIX), self.path(SUFFIX));
        let kept = self
            .fs
            .open(&path, OpenMode::Read)
            .and_then(|file| file.size().map_err(|error| StorageError::io("read", &path, &error)));
        if kept.is_ok_and(|bytes| bytes >= self.bytes) {
            return self.fs.remove_file(&unfinished);
        }
        out.sync_data().map_err(|error| StorageError::io("sync", &unfinished, &error))?;
        for entry in self.fs.read_dir(self.dir)? {
            if entry.name.ends_with(SUFFIX) && !entry.is_dir {
                self.fs.remove_file(&self.dir.join(&entry.name))?;
            }
        }
        self.fs.rename(&unfinished, &path)?;
        self.fs.sync_dir(self.dir)?;
        log::warn!("{} keeps {} bytes that are cut off", path.display(), self.bytes);
        Ok(())
    }
}

/// Whether a good batch begins anywhere in these bytes. Bytes made to look like many long batches are taken for one
/// rather than all looked at.
fn holds_whole_batch(file: &Arc<dyn File>, from: u64, to: u64) -> bool {
    const MAGIC_AT: usize = 16;
    let mut patience = to.saturating_sub(from).saturating_mul(PASSES_MAX);
    let mut window = vec![0; WINDOW];
    let mut at = from;
    while at < to {
        let wanted = usize::try_from(to - at).unwrap_or(WINDOW).min(WINDOW);
        let piece = window.get_mut(..wanted).unwrap_or_default();
        let Ok(read) = read_full(&**file, piece, at) else { return false };
        let piece = piece.get(..read).unwrap_or_default();
        let starts = piece.len().saturating_sub(HEADER_SIZE - 1);
        for start in 0..starts {
            let rest = piece.get(start..).unwrap_or_default();
            if rest.get(MAGIC_AT) != Some(&2) {
                continue;
            }
            let Ok(header) = BatchHeader::read(rest) else { continue };
            let position = at.saturating_add(as_u64(start));
            let cost = as_u64(header.size_in_bytes().max(HEADERS));
            if position.saturating_add(as_u64(header.size_in_bytes())) > to {
                continue;
            }
            let Some(left) = patience.checked_sub(cost) else { return true };
            patience = left;
            let mut scan = Scan::new(Arc::clone(file), position, to, HEADERS);
            if matches!(scan.next_good(0), Ok(Some(_))) {
                return true;
            }
        }
        if starts == 0 {
            return false;
        }
        // The next window begins where no header could begin any more.
        at = at.saturating_add(as_u64(starts));
    }
    false
}
