//! The aborted transactions of a segment, as the `.txnindex` beside it tells. Librdkafka reads only what was committed
//! unless told otherwise, so every fetch asks: a segment without any, which is nearly every one, is looked at once.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::{Segment, TRANSACTIONS_SUFFIX};
use crate::storage::aborted::{self, AbortedTransaction};
use crate::storage::files::Files;
use crate::storage::format::FormatError;
use crate::storage::fs::read_file;
use crate::storage::job::{ReadError, StorageError};

/// Most bytes of one segment's transaction index.
const INDEX_BYTES_MAX: usize = 64 << 20;
/// Most transactions that are remembered: 16 KiB. Where there are more, the file is read each time.
const REMEMBERED_MAX: usize = 512;

/// Empty before the first look. What is behind the name changes only together with the segment: compaction puts a new
/// one in its place.
pub(super) type Remembered = OnceLock<Box<[AbortedTransaction]>>;

impl Segment {
    /// By rising offset of the marker.
    pub(in crate::storage) fn aborted(
        &self,
        files: &Files,
    ) -> Result<Cow<'_, [AbortedTransaction]>, ReadError> {
        if let Some(known) = self.aborted.get() {
            return Ok(Cow::Borrowed(known));
        }
        let found = self.read_aborted(files)?;
        if found.len() > REMEMBERED_MAX {
            return Ok(Cow::Owned(found));
        }
        Ok(Cow::Borrowed(self.aborted.get_or_init(|| found.into_boxed_slice())))
    }

    /// There is no file, and none will come.
    pub(in crate::storage) fn has_no_aborted(&self) {
        let _ = self.aborted.set(Box::default());
    }

    fn read_aborted(&self, files: &Files) -> Result<Vec<AbortedTransaction>, ReadError> {
        let path = self.log.path().with_extension(TRANSACTIONS_SUFFIX.trim_start_matches('.'));
        let Some(bytes) = read_file(&*files.fs, &path, INDEX_BYTES_MAX)? else {
            return Ok(Vec::new());
        };
        let damaged = |error: FormatError| {
            ReadError::Storage(StorageError::content("read", &path, error.to_string()))
        };
        aborted::decode(&bytes).map_err(damaged)
    }
}
