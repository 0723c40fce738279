//! One partition as its writer owns it: appends, rolls, and what is kept beside the log.
//!
//! Everything that others see (the end, the indexes, the producers' sequences) moves after the write has succeeded; a
//! write that failed is undone before the next, or the partition goes offline.

mod append;
pub(super) mod compaction;
mod found;
mod snapshots;
mod sync_work;
mod upkeep;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::{EpochCheckpoint, LEADER_EPOCHS};
use super::dirty::Dirty;
use super::files::Files;
use super::fs::{File, replace_file_unsynced};
use super::job::{LogConfig, Opened, ReadError, StorageError};
use super::log::Log;
use super::manifest::ManifestPartition;
use super::marks::Mark;
use super::producers::Producers;
use super::segment::Segment;
use crate::base::ids::Offset;
use crate::base::time::WallMs;
pub(super) use found::{Beside, Found};
pub(super) use sync_work::SyncWork;
use sync_work::is_log;

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
    /// How many all these were when they were counted last.
    producers_told: usize,
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
            producers_told: 0,
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
        let begins_compaction = config.compact && !self.config.compact;
        self.config = config;
        // There may be as many as there are partitions at once: no file is opened for that.
        self.note_due_at_open();
        self.compaction_configured(begins_compaction);
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
            self.dirty.push(self.files.unsynced.add(path.to_owned(), Arc::clone(file)));
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
        self.dirty.push(self.files.unsynced.add(path, file));
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
    pub(super) fn sync_beside(&mut self) -> Result<(), StorageError> {
        let (logs, beside) = std::mem::take(&mut self.dirty).into_iter().partition(is_log);
        self.dirty = logs;
        let beside: Vec<Dirty> = beside;
        for dirty in beside {
            let synced = dirty.file.sync_data();
            synced.map_err(|error| StorageError::io("sync", &dirty.path, &error))?;
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
