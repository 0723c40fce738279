//! What writer, syncer and readers share of one partition: where its log begins and ends, and its segments.
//!
//! The writer publishes; the others look. `log_start <= synced <= end` holds at every moment.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::files::lock;
use super::job::StorageError;
use super::segment::Segment;
use crate::base::ids::{Offset, PartitionId};

/// The published state of a log.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) log_start: Offset,
    /// The next offset: everything below is written.
    pub(super) end: Offset,
    /// By rising base offset; there is at least one.
    pub(super) segments: Vec<Arc<Segment>>,
}

impl View {
    /// The segments from the one that may hold `offset` on, each with the offset at which the next begins.
    pub(super) fn from(&self, offset: Offset) -> impl Iterator<Item = (&Arc<Segment>, Offset)> {
        let after = self.segments.partition_point(|segment| segment.base() <= offset);
        let first = after.saturating_sub(1);
        let nexts = self.segments.iter().skip(first + 1).map(|segment| segment.base());
        self.segments.iter().skip(first).zip(nexts.chain([self.end]))
    }
}

/// One partition's log.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) partition: PartitionId,
    pub(super) topic: Arc<str>,
    pub(super) dir: PathBuf,
    view: Mutex<View>,
    synced: AtomicI64,
    failed: OnceLock<StorageError>,
}

impl Log {
    /// A log that is on the disk as a whole.
    pub(super) fn new(
        partition: PartitionId,
        topic: Arc<str>,
        dir: PathBuf,
        view: View,
    ) -> Arc<Log> {
        let synced = AtomicI64::new(view.end);
        Arc::new(Log { partition, topic, dir, view: Mutex::new(view), synced, failed: OnceLock::new() })
    }

    pub(super) fn view(&self) -> View {
        lock(&self.view).clone()
    }

    /// The end, and the base offset of the segment that it lies in.
    pub(super) fn end(&self) -> (Offset, Offset) {
        let view = lock(&self.view);
        (view.end, view.segments.last().map_or(0, |segment| segment.base()))
    }

    pub(super) fn publish_end(&self, end: Offset) {
        lock(&self.view).end = end;
    }

    pub(super) fn publish_segment(&self, segment: Arc<Segment>) {
        lock(&self.view).segments.push(segment);
    }

    /// The first offset that may not be on the disk.
    pub(super) fn synced(&self) -> Offset {
        self.synced.load(Ordering::Acquire)
    }

    pub(super) fn publish_synced(&self, end: Offset) {
        self.synced.fetch_max(end, Ordering::AcqRel);
    }

    /// Why the partition is offline, if it is.
    pub(super) fn failure(&self) -> Option<&StorageError> {
        self.failed.get()
    }

    /// Takes the partition offline. The first reason stays.
    pub(super) fn fail(&self, error: StorageError) {
        log::error!("{} goes offline until restart: {error}", self.dir.display());
        let _ = self.failed.set(error);
    }
}
