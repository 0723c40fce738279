//! What a writer hands to its syncer: the files of a partition that the disk may not have yet, and what is true once it has.

use std::sync::Arc;

use crate::base::ids::Offset;
use crate::storage::dirty::Dirty;
use crate::storage::log::Log;
use crate::storage::marks::Mark;

/// What has to be synced so that everything written so far is on the disk.
#[derive(Debug)]
pub(in crate::storage) struct SyncWork {
    pub(in crate::storage) log: Arc<Log>,
    pub(in crate::storage) end: Offset,
    pub(in crate::storage) segment_base: Offset,
    pub(in crate::storage) segment_bytes: u64,
    pub(in crate::storage) files: Vec<Dirty>,
    /// Whether the segment that `end` lies in is among the files.
    pub(in crate::storage) active: bool,
    /// Whether the directory has new names.
    pub(in crate::storage) names: bool,
    /// Whether a failed write was cut off again, which no earlier sync has made durable.
    pub(in crate::storage) cut: bool,
    /// The newest whole snapshot of the producers.
    pub(in crate::storage) snapshot: Option<Offset>,
    /// Whether somebody waits for it.
    pub(in crate::storage) awaited: bool,
}

impl SyncWork {
    /// The same, with somebody who waits for it.
    pub(in crate::storage) fn awaited(self) -> SyncWork {
        SyncWork { awaited: true, ..self }
    }

    /// The mark once this is done.
    pub(in crate::storage) fn mark(&self) -> Mark {
        Mark {
            round: 0,
            partition: self.log.partition,
            log_start: self.log.log_start().min(self.end),
            end: self.end,
            segment_base: self.segment_base,
            segment_bytes: self.segment_bytes,
        }
    }

    /// Leaves out what is beside the log, because the whole file system was synced.
    pub(in crate::storage) fn keep_log_alone(&mut self) {
        self.files.retain(is_log);
        self.names = false;
    }
}

/// Whether a file is a segment's log, and not beside it.
pub(super) fn is_log(dirty: &Dirty) -> bool {
    dirty.path.extension().is_some_and(|kind| kind == "log")
}
