//! What writer, syncer and readers share of one partition: where its log begins and ends, and its segments.
//!
//! The writer publishes; the others look. Neither `log_start` nor `synced` is ever beyond `end`; what is deleted need not be
//! synced first.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
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
    /// Where the last segment's log file ends.
    pub(super) end_bytes: u64,
    /// By rising base offset; there is at least one.
    pub(super) segments: Arc<Vec<Arc<Segment>>>,
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
    /// The base offset of the segment in which the durable mark lies, or -1.
    marked: AtomicI64,
    /// The newest snapshot of the producers that is on the disk for sure, or -1.
    snapshot: AtomicI64,
    /// Held while compaction changes what is behind the names of files.
    replacing: Mutex<()>,
    /// How often that was begun.
    replaced: AtomicU64,
    /// Boxed: it is rare, and there may be many logs.
    failed: OnceLock<Box<StorageError>>,
    removed: AtomicBool,
    /// Held by who changes names in the directory beside the writer, and by who gives the directory another name.
    names: Mutex<()>,
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
        Arc::new(Log {
            partition,
            topic,
            dir,
            view: Mutex::new(view),
            synced,
            marked: AtomicI64::new(-1),
            snapshot: AtomicI64::new(-1),
            replacing: Mutex::new(()),
            replaced: AtomicU64::new(0),
            failed: OnceLock::new(),
            removed: AtomicBool::new(false),
            names: Mutex::new(()),
        })
    }

    pub(super) fn view(&self) -> View {
        lock(&self.view).clone()
    }

    /// Reads from the log: again, if compaction has changed what is behind the names of files meanwhile. What is open by
    /// then stays as it was.
    pub(super) fn read<T>(&self, mut read: impl FnMut(&View) -> T) -> T {
        loop {
            let (view, before) = {
                let _between = lock(&self.replacing);
                (self.view(), self.replaced.load(Ordering::Acquire))
            };
            let found = read(&view);
            if self.replaced.load(Ordering::Acquire) == before {
                return found;
            }
        }
    }

    /// Whether these segments are part of the log, one after the other, and none of them is its last.
    pub(super) fn has_run(&self, run: &[Arc<Segment>]) -> bool {
        let view = lock(&self.view);
        let [closed @ .., _] = view.segments.as_slice() else { return false };
        first_of(closed, run).is_some()
    }

    /// Puts a segment in the place of a run of others, once `change` has done that with their files.
    pub(super) fn replace(
        &self,
        run: &[Arc<Segment>],
        new: &Arc<Segment>,
        change: impl FnOnce() -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let _during = lock(&self.replacing);
        self.replaced.fetch_add(1, Ordering::AcqRel);
        change()?;
        let mut view = lock(&self.view);
        let segments = Arc::make_mut(&mut view.segments);
        if let Some(first) = first_of(segments, run) {
            segments.splice(first..first.saturating_add(run.len()), [Arc::clone(new)]);
        }
        Ok(())
    }

    /// The base offset of the segment in which the durable mark lies, or -1: what lies below is on the disk, and no
    /// start looks for a place in it.
    pub(super) fn marked(&self) -> Offset {
        self.marked.load(Ordering::Acquire)
    }

    pub(super) fn publish_marked(&self, base: Offset) {
        self.marked.store(base, Ordering::Release);
    }

    /// The newest snapshot of the producers that is on the disk for sure, or -1.
    pub(super) fn snapshot(&self) -> Offset {
        self.snapshot.load(Ordering::Acquire)
    }

    pub(super) fn publish_snapshot(&self, offset: Offset) {
        self.snapshot.fetch_max(offset, Ordering::AcqRel);
    }

    /// The end, the base offset of the segment that it lies in, and the bytes of that segment.
    pub(super) fn end_and_bytes(&self) -> (Offset, Offset, u64) {
        let view = lock(&self.view);
        let last = view.segments.last();
        // The end is published after the bytes, so the bytes may be ahead; a mark must not be.
        (view.end, last.map_or(0, |segment| segment.base()), view.end_bytes)
    }

    pub(super) fn log_start(&self) -> Offset {
        lock(&self.view).log_start
    }

    /// Whether a segment still belongs to the log.
    pub(super) fn has_segment(&self, segment: &Arc<Segment>) -> bool {
        let view = lock(&self.view);
        view.segments.iter().any(|known| Arc::ptr_eq(known, segment))
    }

    pub(super) fn publish_end(&self, end: Offset, end_bytes: u64) {
        let mut view = lock(&self.view);
        (view.end, view.end_bytes) = (end, end_bytes);
    }

    pub(super) fn publish_segment(&self, segment: Arc<Segment>) {
        let mut view = lock(&self.view);
        Arc::make_mut(&mut view.segments).push(segment);
        view.end_bytes = 0;
    }

    /// The log begins later from now on.
    pub(super) fn publish_log_start(&self, log_start: Offset) {
        let mut view = lock(&self.view);
        view.log_start = view.log_start.max(log_start);
    }

    /// Takes the first so many segments out. The last one always stays.
    pub(super) fn drop_first(&self, count: usize) -> Vec<Arc<Segment>> {
        let mut view = lock(&self.view);
        let count = count.min(view.segments.len().saturating_sub(1));
        Arc::make_mut(&mut view.segments).drain(..count).collect()
    }

    /// The directory is about to go.
    pub(super) fn remove(&self) {
        let _names = lock(&self.names);
        self.removed.store(true, Ordering::Release);
    }

    /// Changes names in the directory, unless it is another topic's by now.
    pub(super) fn while_there(&self, change: impl FnOnce()) {
        let _names = lock(&self.names);
        if !self.is_removed() {
            change();
        }
    }

    pub(super) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
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
        self.failed.get().map(|error| &**error)
    }

    /// Takes the partition offline. The first reason stays.
    pub(super) fn fail(&self, error: StorageError) {
        log::error!("{} goes offline until restart: {error}", self.dir.display());
        let _ = self.failed.set(Box::new(error));
    }
}

/// Where a run of segments begins among others.
fn first_of(segments: &[Arc<Segment>], run: &[Arc<Segment>]) -> Option<usize> {
    let first = run.first()?;
    let start = segments.iter().position(|segment| Arc::ptr_eq(segment, first))?;
    let found = segments.get(start..start.checked_add(run.len())?)?;
    found.iter().zip(run).all(|(found, wanted)| Arc::ptr_eq(found, wanted)).then_some(start)
}
