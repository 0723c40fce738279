//! What opening a partition has found, and the log that is made of it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::epochs::cut_below;
use crate::base::ids::{Offset, PartitionId};
use crate::storage::log::{Log, View};
use crate::storage::segment::Segment;

/// What a partition's directory was found to hold.
#[derive(Debug)]
pub(in crate::storage) struct Found {
    pub(in crate::storage) log_start: Offset,
    pub(in crate::storage) end: Offset,
    /// By rising base offset; at least one.
    pub(in crate::storage) segments: Vec<Arc<Segment>>,
    pub(in crate::storage) epochs: Vec<(i32, Offset)>,
    /// Offsets of the producer snapshots, rising.
    pub(in crate::storage) snapshots: Vec<Offset>,
}

/// What a partition's directory holds beside its log.
#[derive(Debug)]
pub(in crate::storage) struct Beside {
    pub(super) epochs: Vec<(i32, Offset)>,
    pub(super) snapshots: Vec<Offset>,
}

impl Found {
    /// The log, with a segment to append to, and what is beside it.
    pub(in crate::storage) fn into_log(
        self,
        partition: PartitionId,
        topic: Arc<str>,
        dir: PathBuf,
        interval: u64,
    ) -> (Arc<Log>, Beside) {
        let mut segments = self.segments;
        if segments.is_empty() {
            segments.push(Segment::begin(&dir, self.end, interval));
        }
        let view = View {
            log_start: self.log_start,
            end: self.end,
            end_bytes: segments.last().map_or(0, |active| active.size()),
            segments: Arc::new(segments),
        };
        let (mut epochs, snapshots) = (self.epochs, self.snapshots);
        cut_below(&mut epochs, self.log_start);
        (Log::new(partition, topic, dir, view), Beside { epochs, snapshots })
    }
}
