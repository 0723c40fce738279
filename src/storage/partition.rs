//! One partition as its writer owns it: appends, rolls, and what is kept beside the log.
//!
//! Everything that others see (the end, the indexes, the producers' sequences) moves after the write has succeeded; a
//! write that failed is undone before the next, or the partition goes offline.

mod append;
pub(super) mod compaction;
mod upkeep;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::{EpochCheckpoint, LEADER_EPOCHS};
use super::earlier_batches::EarlierBatches;
use super::files::Files;
use super::fs::{File, OpenMode, replace_file_unsynced, write_full};
use super::job::{LogConfig, Opened, ReadError, StorageError};
use super::log::{Log, View};
use super::manifest::ManifestPartition;
use super::marks::Mark;
use super::producers::Producers;
use super::segment::{Dirty, Segment};
use super::snapshot::ProducerSnapshot;
use crate::base::epochs::cut_below;
use crate::base::ids::{Offset, PartitionId};
use crate::base::time::WallMs;

/// So many bytes that idempotent producers write, too, are followed by a snapshot: a start need not read more to know them.
const SNAPSHOT_EVERY_BYTES: u64 = 16 << 20;

/// What a partition's directory was found to hold.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) log_start: Offset,
    pub(super) end: Offset,
    /// By rising base offset; at least one.
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) epochs: Vec<(i32, Offset)>,
    /// Offsets of the producer snapshots, rising.
    pub(super) snapshots: Vec<Offset>,
}

/// What a partition's directory holds beside its log.
#[derive(Debug)]
pub(super) struct Beside {
    epochs: Vec<(i32, Offset)>,
    snapshots: Vec<Offset>,
}

impl Found {
    /// The log, with a segment to append to, and what is beside it.
    pub(super) fn into_log(
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

/// What has to be synced so that everything written so far is on the disk.
#[derive(Debug)]
pub(super) struct SyncWork {
    pub(super) log: Arc<Log>,
    pub(super) end: Offset,
    pub(super) segment_base: Offset,
    pub(super) segment_bytes: u64,
    pub(super) files: Vec<Dirty>,
    /// Whether the segment that `end` lies in is among the files.
    pub(super) active: bool,
    /// Whether the directory has new names.
    pub(super) names: bool,
    /// Whether a failed write was cut off again, which no earlier sync has made durable.
    pub(super) cut: bool,
    /// The newest whole snapshot of the producers.
    pub(super) snapshot: Option<Offset>,
    /// Whether somebody waits for it.
    pub(super) awaited: bool,
}

impl SyncWork {
    /// The same, with somebody who waits for it.
    pub(super) fn awaited(self) -> SyncWork {
        SyncWork { awaited: true, ..self }
    }

    /// The mark once this is done.
    pub(super) fn mark(&self) -> Mark {
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
    pub(super) fn keep_log_alone(&mut self) {
        self.files.retain(is_log);
        self.names = false;
    }
}

fn is_log(dirty: &Dirty) -> bool {
    dirty.path.extension().is_some_and(|kind| kind == "log")
}

/// A partition, owned by one writer.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) log: Arc<Log>,
    config: Arc<LogConfig>,
    files: Arc<Files>,
    active: Arc<Segment>,
    log_start: Offset,
    end: Offset,
    epochs: Vec<(i32, Offset)>,
    /// `None`: not read yet.
    producers: Option<Producers>,
    /// Those of whom a first batch was refused before the others were read.
    refused: Producers,
    snapshots: Vec<Offset>,
    /// The newest of them that is known to be whole.
    whole: Option<Offset>,
    /// The one that tells what the segments removed so far told.
    anchor: Option<Offset>,
    /// Bytes that were appended since the newest of them.
    since_snapshot: u64,
    dirty: Vec<Dirty>,
    names_dirty: bool,
    /// Whether a failed write was cut off again since the last sync.
    cut: bool,
    /// When the active segment got its first record here, by the wall clock.
    active_since: Option<WallMs>,
    /// Bytes of all segments but the active one.
    closed_bytes: u64,
    /// What is known of when upkeep is wanted.
    due: upkeep::Due,
    /// Whether the active segment's file was found to be as long as it should be.
    size_checked: bool,
    compaction: compaction::Compaction,
}

impl Partition {
    /// A partition as it was found, whose log nobody has written to.
    pub(super) fn new(
        log: Arc<Log>,
        beside: Beside,
        config: Arc<LogConfig>,
        files: Arc<Files>,
    ) -> Partition {
        let view = log.view();
        let active = match view.segments.last() {
            Some(last) => Arc::clone(last),
            None => Segment::begin(&log.dir, view.end, config.index_interval_bytes),
        };
        let closed = view.segments.iter().rev().skip(1);
        let closed_bytes = closed.map(|segment| segment.size()).sum();
        let mut opened = Partition {
            log,
            config,
            files,
            active,
            log_start: view.log_start,
            end: view.end,
            epochs: beside.epochs,
            producers: None,
            refused: Producers::default(),
            whole: None,
            anchor: None,
            snapshots: beside.snapshots,
            since_snapshot: 0,
            dirty: Vec::new(),
            names_dirty: false,
            cut: false,
            active_since: None,
            closed_bytes,
            due: upkeep::Due::default(),
            size_checked: false,
            compaction: compaction::Compaction::default(),
        };
        opened.note_due_at_open();
        opened
    }

    pub(super) fn opened(&self) -> Opened {
        let (bytes, epochs) = (self.bytes(), self.epochs.clone());
        let (oldest, due) = (self.due.oldest, self.wanted_at());
        Opened { log_start: self.log_start, log_end: self.end, bytes, epochs, oldest, due }
    }

    pub(super) fn configure(&mut self, config: Arc<LogConfig>) {
        self.config = config;
        self.note_due();
    }

    /// Whether `config` ends its compaction.
    pub(super) fn ends_compaction(&self, config: &LogConfig) -> bool {
        self.config.compact && !config.compact
    }

    /// Whether something was written that no sync was asked for yet.
    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || self.names_dirty
    }

    /// Closes what is dirty beside the log, because the whole file system is about to be synced.
    pub(super) fn let_go_beside(&mut self) {
        let before = self.dirty.len();
        self.dirty.retain(is_log);
        self.names_dirty |= self.dirty.len() < before;
    }

    /// One descriptor for each file: the first, which learns of every error since.
    fn note_dirty(&mut self, new: Dirty) {
        if !self.dirty.iter().any(|dirty| dirty.path == new.path) {
            self.dirty.push(new);
        }
    }

    /// The same for the file that is appended to.
    fn note_log_dirty(&mut self, file: &Arc<dyn File>) {
        let path = self.active.log().path();
        if !self.dirty.iter().any(|dirty| dirty.path == path) {
            self.dirty.push(Dirty { path: path.to_owned(), file: Arc::clone(file) });
        }
    }

    /// An index that cannot be written is no reason to refuse records: it is made anew when it is missed.
    fn flush_indexes(&self) {
        if let Err(error) = self.active.flush_indexes(&self.files) {
            log::warn!("{error}");
        }
    }

    /// The file is synced with the log. If a power cut comes before, the batches tell what it said.
    fn write_epochs(&mut self, epochs: &[(i32, Offset)]) -> Result<(), StorageError> {
        let checkpoint = EpochCheckpoint { epochs: epochs.to_vec() };
        let path = self.log.dir.join(LEADER_EPOCHS);
        self.names_dirty = true;
        let file = replace_file_unsynced(&*self.files.fs, &path, &checkpoint.encode())?;
        self.dirty.retain(|dirty| dirty.path != path);
        self.dirty.push(Dirty { path, file });
        Ok(())
    }

    /// Closes the active segment and begins the next at the current end.
    pub(super) fn roll(&mut self) -> Result<(), StorageError> {
        self.close_active()?;
        self.write_snapshot()?;
        self.begin_segment();
        Ok(())
    }

    /// Begins a segment at the current end.
    fn begin_segment(&mut self) {
        let interval = self.config.index_interval_bytes;
        let next = Segment::begin(&self.log.dir, self.end, interval);
        self.closed_bytes = self.closed_bytes.saturating_add(self.active.size());
        self.active = Arc::clone(&next);
        self.active_since = None;
        self.size_checked = false;
        self.names_dirty = true;
        self.log.publish_segment(next);
    }

    /// Completes the indexes of the active segment; they are synced with the log. A segment without a record has no
    /// files yet.
    fn close_active(&mut self) -> Result<(), StorageError> {
        self.close_segment(&Arc::clone(&self.active))
    }

    fn close_segment(&mut self, segment: &Segment) -> Result<(), StorageError> {
        if segment.size() == 0 {
            return Ok(());
        }
        match segment.close_indexes(&self.files) {
            Ok(written) => written.into_iter().for_each(|file| self.note_dirty(file)),
            Err(ReadError::Storage(error)) => return Err(error),
            Err(_) => log::warn!("{} is damaged", segment.log().path().display()),
        }
        self.names_dirty = true;
        Ok(())
    }

    /// Writes who wrote what below the current end, so that the next start need not read it. Two snapshots stay, and
    /// the newest of those that are on the disk for sure.
    pub(super) fn write_snapshot(&mut self) -> Result<(), StorageError> {
        if self.whole == Some(self.end) {
            return Ok(());
        }
        self.since_snapshot = 0;
        let (snapshot, earlier) = self.producers()?.to_snapshot();
        // A crash may leave one of the two: producers without the other file are known for incomplete.
        if !snapshot.producers.is_empty() {
            self.write_beside(&EarlierBatches::file_name(self.end), &earlier.encode())?;
        }
        self.write_beside(&ProducerSnapshot::file_name(self.end), &snapshot.encode())?;
        self.names_dirty = true;
        self.whole = Some(self.end);
        self.snapshots.retain(|offset| *offset != self.end);
        self.snapshots.push(self.end);
        self.forget_snapshots();
        Ok(())
    }

    /// Beside the anchor the newest two stay, or more, until all but one of them are on the disk.
    fn forget_snapshots(&mut self) {
        let synced = self.log.synced();
        let mut others: Vec<Offset> = self.snapshots.clone();
        others.retain(|offset| Some(*offset) != self.anchor);
        while let [old, second, _, ..] = others[..] {
            if second >= synced {
                break;
            }
            others.remove(0);
            self.snapshots.retain(|offset| *offset != old);
            for path in self.snapshot_paths(old) {
                let _ = self.files.fs.remove_file(&path);
            }
        }
    }

    fn snapshot_paths(&self, offset: Offset) -> [PathBuf; 2] {
        let names = [ProducerSnapshot::file_name(offset), EarlierBatches::file_name(offset)];
        names.map(|name| self.log.dir.join(name))
    }

    /// Writes a snapshot if much was appended since the last one and there are producers to remember.
    fn snapshot_now_and_then(&mut self, bytes: u64) {
        self.since_snapshot = self.since_snapshot.saturating_add(bytes);
        let none = self.producers.as_ref().is_none_or(Producers::is_empty);
        if none || self.since_snapshot < SNAPSHOT_EVERY_BYTES {
            return;
        }
        if let Err(error) = self.write_snapshot() {
            log::warn!("{error}");
            self.since_snapshot = 0;
        }
    }

    fn write_beside(&mut self, name: &str, content: &[u8]) -> Result<(), StorageError> {
        let path = self.log.dir.join(name);
        let files = &self.files;
        let file = files.with_descriptors(|| files.fs.open(&path, OpenMode::Truncate))?;
        write_full(&*file, content, 0).map_err(|error| {
            // Half a file is worth nothing, and may take the room that there is.
            let _ = files.fs.remove_file(&path);
            StorageError::io("write", &path, &error)
        })?;
        self.note_dirty(Dirty { path, file });
        Ok(())
    }

    /// The producers; reads them from the newest snapshot and the batches behind it when first asked.
    fn producers(&mut self) -> Result<&mut Producers, StorageError> {
        let producers = match self.producers.take() {
            Some(producers) => producers,
            None => {
                let (view, snapshots) = (self.log.view(), &mut self.snapshots);
                let (files, dir) = (&self.files, &self.log.dir);
                let (mut producers, whole) =
                    super::recovery::load_producers(files, dir, &view, snapshots)?;
                (self.whole, self.anchor) = (whole, whole);
                // Whatever is there at a start is on the disk.
                whole.into_iter().for_each(|offset| self.log.publish_snapshot(offset));
                producers.add_unknown(std::mem::take(&mut self.refused));
                producers
            }
        };
        Ok(self.producers.insert(producers))
    }

    /// The mark of a partition that is on the disk as a whole.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            round: 0,
            partition: self.log.partition,
            log_start: self.log_start,
            end: self.end,
            segment_base: self.active.base(),
            segment_bytes: self.active.size(),
        }
    }

    /// Hands over what has to be synced. The caller sees to it that it is, in order.
    pub(super) fn take_sync(&mut self) -> SyncWork {
        let active = self.dirty.iter().any(|dirty| dirty.path == self.active.log().path());
        SyncWork {
            log: Arc::clone(&self.log),
            end: self.end,
            segment_base: self.active.base(),
            segment_bytes: self.active.size(),
            files: std::mem::take(&mut self.dirty),
            active,
            names: std::mem::take(&mut self.names_dirty),
            cut: std::mem::take(&mut self.cut),
            snapshot: self.whole,
            awaited: false,
        }
    }

    /// Brings everything beside the log up to date before a clean stop. What was written is synced by the caller.
    pub(super) fn close(&mut self) -> Result<(), StorageError> {
        if let Some(error) = self.log.failure() {
            return Err(error.clone());
        }
        // Besides the active one those whose indexes a crash may have torn: made anew, they last.
        for segment in self.log.view().segments.iter() {
            if !segment.are_indexes_flushed() {
                self.close_segment(segment)?;
                if segment.base() != self.active.base() {
                    self.sync_beside()?;
                }
            }
        }
        let untouched = self.producers.as_ref().is_none_or(Producers::is_empty);
        if untouched { Ok(()) } else { self.write_snapshot() }
    }

    /// Syncs and closes what is dirty beside the log: there may be more of it than descriptors.
    fn sync_beside(&mut self) -> Result<(), StorageError> {
        let (logs, beside) = std::mem::take(&mut self.dirty).into_iter().partition(is_log);
        self.dirty = logs;
        let beside: Vec<Dirty> = beside;
        for Dirty { path, file } in beside {
            file.sync_data().map_err(|error| StorageError::io("sync", &path, &error))?;
        }
        Ok(())
    }

    /// What the manifest of a clean stop says of this partition.
    pub(super) fn manifest(&self) -> ManifestPartition {
        let segments = self.log.view().segments;
        ManifestPartition {
            partition: self.log.partition,
            topic: self.log.topic.to_string(),
            log_start: self.log_start,
            log_end: self.end,
            segments: segments.iter().map(|segment| segment.manifest()).collect(),
            snapshots: self.snapshots.clone(),
            epochs: self.epochs.clone(),
        }
    }
}

/// The directory of a partition.
pub(super) fn dir_of(data_dir: &Path, topic: &str, index: i32) -> PathBuf {
    data_dir.join(format!("{topic}-{index}"))
}
