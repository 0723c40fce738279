//! One segment of a copy: its log, its indexes and its aborted transactions.

use std::sync::Arc;

use super::{Destination, directory};
use crate::base::ids::Offset;
use crate::record::batch::BatchHeader;
use crate::storage::aborted::{self, AbortedTransaction};
use crate::storage::files::Files;
use crate::storage::fs::{File, OpenMode, as_u64, replace_file, write_full};
use crate::storage::job::{ReadError, StorageError};
use crate::storage::manifest::ManifestSegment;
use crate::storage::scan::Met;
use crate::storage::segment::{LOG_SUFFIX, Segment, file_name};

/// Bytes that are written at once.
const BUFFER_BYTES: usize = 1 << 20;

/// A segment in the making.
pub(super) struct SegmentWriter {
    files: Arc<Files>,
    segment: Arc<Segment>,
    /// `None`: the log is there already.
    file: Option<Arc<dyn File>>,
    /// Bytes of all batches so far; those in the buffer are the last of them.
    bytes: u64,
    buffer: Vec<u8>,
}

impl SegmentWriter {
    /// Of a log that is written here.
    pub(super) fn create(
        to: &Destination<'_>,
        files: &Arc<Files>,
        base: Offset,
    ) -> Result<SegmentWriter, StorageError> {
        let path = to.dir.join(file_name(base, LOG_SUFFIX));
        let file = to.fs.open(&path, OpenMode::Truncate)?;
        Ok(SegmentWriter {
            files: Arc::clone(files),
            segment: Segment::new(to.dir, base, to.index_interval_bytes),
            file: Some(file),
            bytes: 0,
            buffer: Vec::new(),
        })
    }

    /// Of a log that is written already and whose batches are noted now.
    pub(super) fn behind(
        to: &Destination<'_>,
        base: Offset,
    ) -> Result<SegmentWriter, StorageError> {
        Ok(SegmentWriter {
            files: directory::files(to.fs, to.dir),
            segment: Segment::new(to.dir, base, to.index_interval_bytes),
            file: None,
            bytes: 0,
            buffer: Vec::new(),
        })
    }

    /// Writes a batch behind the last.
    pub(super) fn append(&mut self, batch: &[u8], header: BatchHeader) -> Result<(), StorageError> {
        self.buffer.extend_from_slice(batch);
        self.note(header);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        if self.segment.wants_index_flush() {
            self.segment.flush_indexes(&self.files)?;
        }
        Ok(())
    }

    /// Takes note of a batch for the indexes.
    pub(super) fn note(&mut self, header: BatchHeader) {
        let met = Met { header, position: self.bytes };
        self.bytes = met.end();
        self.segment.note_written(&[met]);
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        if let Some(file) = &self.file {
            let position = self.bytes.saturating_sub(as_u64(self.buffer.len()));
            write_full(&**file, &self.buffer, position)
                .map_err(|error| StorageError::io("write", self.segment.log().path(), &error))?;
        }
        self.buffer.clear();
        Ok(())
    }

    /// Writes what is left and has all of it synced, but for the names.
    pub(super) fn finish(
        mut self,
        aborted: &[AbortedTransaction],
    ) -> Result<ManifestSegment, StorageError> {
        self.flush()?;
        let path = self.segment.log().path();
        if let Some(file) = &self.file {
            file.sync_data().map_err(|error| StorageError::io("sync", path, &error))?;
        }
        let manifest = self.segment.manifest();
        let indexes = self.segment.close_indexes(&self.files).map_err(|error| match error {
            ReadError::Storage(error) => error,
            _ => StorageError::content("index", path, "the copy cannot be read"),
        })?;
        for index in indexes {
            let synced = index.file.sync_data();
            synced.map_err(|error| StorageError::io("sync", &index.path, &error))?;
        }
        if !aborted.is_empty() {
            let path = path.with_extension(aborted::SUFFIX.trim_start_matches('.'));
            replace_file(&*self.files.fs, &path, &aborted::encode(aborted))?;
        }
        Ok(manifest)
    }
}
