//! Which aborted transactions touch a range of records, for clients that read only what was committed.

use super::Reader;
use crate::base::ids::Offset;
use crate::storage::aborted::AbortedTransaction;
use crate::storage::job::ReadError;
use crate::storage::log::View;

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
            for entry in &*segment.aborted(&self.files)? {
                if entry.last_offset >= from && entry.first_offset < to {
                    found.push(*entry);
                }
                if entry.last_stable_offset >= to {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }
}
