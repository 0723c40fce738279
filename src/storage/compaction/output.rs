//! The segment that takes the place of others: written beside them under names of its own, and on the disk before
//! anybody hears of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::ids::Offset;
use crate::base::planted::{Bug, is_planted};
use crate::record::batch::BatchHeader;
use crate::storage::files::Files;
use crate::storage::fs::{File, Fs, OpenMode, as_u64, is_absent, read_file, write_full};
use crate::storage::job::{ReadError, StorageError};
use crate::storage::scan::Met;
use crate::storage::segment::{Segment, TRANSACTIONS_SUFFIX};

/// How the names of files end that are being written; Kafka's.
pub(in crate::storage) const CLEANED: &str = ".cleaned";
/// Bytes that are written at once.
const WRITE_BYTES: usize = 256 * 1024;
/// Most bytes of a transaction index.
const TRANSACTIONS_BYTES_MAX: usize = 64 << 20;

/// A path with one more ending.
pub(in crate::storage) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The files of a segment in the order in which they may go: the log last, as the others mean nothing without it.
pub(in crate::storage) fn files_of(segment: &Segment) -> [PathBuf; 4] {
    let log = segment.log().path();
    let transactions = log.with_extension(TRANSACTIONS_SUFFIX.trim_start_matches('.'));
    [segment.index_path(), segment.time_index_path(), transactions, log.to_owned()]
}

/// A segment being written.
#[derive(Debug)]
pub(super) struct Output {
    segment: Arc<Segment>,
    path: PathBuf,
    file: Arc<dyn File>,
    buffer: Vec<u8>,
    /// Bytes that are in the file.
    written: u64,
}

impl Output {
    pub(super) fn create(
        files: &Files,
        dir: &Path,
        base: Offset,
        interval: u64,
    ) -> Result<Output, StorageError> {
        let segment = Segment::compacted(dir, base, interval);
        let path = with_suffix(segment.log().path(), CLEANED);
        let file = files.fs.open(&path, OpenMode::Truncate)?;
        Ok(Output { segment, path, file, buffer: Vec::new(), written: 0 })
    }

    /// What it becomes.
    pub(super) fn segment(&self) -> &Segment {
        &self.segment
    }

    /// Bytes so far.
    pub(super) fn size(&self) -> u64 {
        self.written.saturating_add(as_u64(self.buffer.len()))
    }

    /// Whether the indexes have room for more.
    pub(super) fn has_room(&self, index_bytes_max: u64) -> bool {
        !self.segment.is_index_full(index_bytes_max)
    }

    /// Appends a whole batch.
    pub(super) fn push(
        &mut self,
        files: &Files,
        header: &BatchHeader,
        batch: &[u8],
    ) -> Result<(), StorageError> {
        self.segment.note_written(&[Met { header: *header, position: self.size() }]);
        self.buffer.extend_from_slice(batch);
        if self.buffer.len() >= WRITE_BYTES {
            self.write()?;
        }
        if self.segment.wants_index_flush() {
            self.segment.flush_indexes_as(files, CLEANED)?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), StorageError> {
        write_full(&*self.file, &self.buffer, self.written)
            .map_err(|error| StorageError::io("write", &self.path, &error))?;
        self.written = self.size();
        self.buffer.clear();
        Ok(())
    }

    /// Completes all files and syncs them. Their names are not durable yet.
    pub(super) fn finish(
        &mut self,
        files: &Files,
        old: &[Arc<Segment>],
    ) -> Result<Arc<Segment>, StorageError> {
        self.write()?;
        self.copy_transactions(&*files.fs, old)?;
        self.segment.take_age(files, old);
        let indexes = self.segment.close_indexes_as(files, CLEANED).map_err(|error| {
            let ReadError::Storage(error) = error else {
                return StorageError::content("write", &self.path, "its indexes cannot be made");
            };
            error
        })?;
        let io = |error| StorageError::io("sync", &self.path, &error);
        if !is_planted(Bug::SwapNotSynced) {
            self.file.sync_data().map_err(io)?;
        }
        for dirty in indexes {
            let io = |error| StorageError::io("sync", &dirty.path, &error);
            dirty.file.sync_data().map_err(io)?;
        }
        Ok(Arc::clone(&self.segment))
    }

    /// A transaction index speaks of offsets, which stay: those of the old segments follow each other in the new one.
    fn copy_transactions(&self, fs: &dyn Fs, old: &[Arc<Segment>]) -> Result<(), StorageError> {
        let mut all = Vec::new();
        for segment in old {
            let [_, _, path, _] = files_of(segment);
            all.extend(read_file(fs, &path, TRANSACTIONS_BYTES_MAX)?.unwrap_or_default());
        }
        if all.is_empty() {
            self.segment.has_no_aborted();
            return Ok(());
        }
        let [_, _, path, _] = files_of(&self.segment);
        let path = with_suffix(&path, CLEANED);
        let file = fs.open(&path, OpenMode::Truncate)?;
        write_full(&*file, &all, 0).map_err(|error| StorageError::io("write", &path, &error))?;
        file.sync_data().map_err(|error| StorageError::io("sync", &path, &error))
    }
}

/// Removes what was written for a segment that nobody will use, as far as that is possible: the next start, or the next
/// round, does the rest.
pub(in crate::storage) fn discard(fs: &dyn Fs, segment: &Segment) {
    for path in files_of(segment) {
        match fs.remove_file(&with_suffix(&path, CLEANED)) {
            Err(error) if !is_absent(&error) => log::warn!("{error}"),
            _ => {}
        }
    }
}

impl Output {
    /// Gives up.
    pub(super) fn discard(self, fs: &dyn Fs) {
        discard(fs, &self.segment);
    }
}
