//! Which aborted transactions touch a range of records, for clients that read only what was committed.

use super::Reader;
use crate::base::ids::Offset;
use crate::storage::aborted::{self, AbortedTransaction};
use crate::storage::format::FormatError;
use crate::storage::fs::read_file;
use crate::storage::job::{ReadError, StorageError};
use crate::storage::log::View;
use crate::storage::segment::Segment;

/// Most bytes of one segment's transaction index.
const INDEX_BYTES_MAX: usize = 64 << 20;

impl Reader {
    /// Those with records in `from..to`. Their markers lie behind `from`, perhaps in a later segment; an entry that says
    /// that everything below `to` has ended is the last that counts.
    pub(super) fn aborted_in(
        &self,
        view: &View,
        from: Offset,
        to: Offset,
    ) -> Result<Vec<AbortedTransaction>, ReadError> {
        let mut found = Vec::new();
        if from >= to {
            return Ok(found);
        }
        for (segment, _) in view.from(from) {
            for entry in self.aborted_of(segment)? {
                if entry.last_offset >= from && entry.first_offset < to {
                    found.push(entry);
                }
                if entry.last_stable_offset >= to {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    fn aborted_of(&self, segment: &Segment) -> Result<Vec<AbortedTransaction>, ReadError> {
        let path = segment.log().path().with_extension("txnindex");
        let Some(bytes) = read_file(&*self.files.fs, &path, INDEX_BYTES_MAX)? else {
            return Ok(Vec::new());
        };
        let damaged = |error: FormatError| {
            ReadError::Storage(StorageError::content("read", &path, error.to_string()))
        };
        aborted::decode(&bytes).map_err(damaged)
    }
}
