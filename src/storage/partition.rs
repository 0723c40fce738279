//! One partition as its writer owns it: appends, rolls, and what is kept beside the log.
//!
//! Everything that others see (the end, the indexes, the producers' sequences) moves after the write has succeeded; a
//! write that failed is undone before the next, or the partition goes offline.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::{EpochCheckpoint, LEADER_EPOCHS};
use super::earlier_batches::EarlierBatches;
use super::files::Files;
use super::fs::{File, OpenMode, replace_file, write_full, write_slices};
use super::job::{
    Append, AppendError, Appended, LogConfig, Opened, Origin, ReadError, StorageError,
};
use super::log::Log;
use super::manifest::ManifestPartition;
use super::producers::{Producers, Undo};
use super::scan::Met;
use super::segment::Segment;
use super::snapshot::ProducerSnapshot;
use super::validate::{self, Candidate, Stamped};
use crate::base::ids::{Offset, PartitionId};
use crate::base::time::WallMs;
use crate::record::NO_TIMESTAMP;

/// Kafka's positions are signed 32-bit numbers.
const SEGMENT_BYTES_MAX: u64 = 0x7fff_ffff;

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

/// A file that the disk may not have yet.
#[derive(Debug)]
pub(super) struct Dirty {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn File>,
}

/// What has to be synced so that everything written so far is on the disk.
#[derive(Debug)]
pub(super) struct SyncWork {
    pub(super) log: Arc<Log>,
    pub(super) end: Offset,
    pub(super) segment_base: Offset,
    pub(super) segment_bytes: u64,
    pub(super) files: Vec<Dirty>,
    /// Whether the directory has new names.
    pub(super) names: bool,
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
    snapshots: Vec<Offset>,
    dirty: Vec<Dirty>,
    names_dirty: bool,
    /// When the active segment was made, for records that have no timestamp.
    active_since: Option<WallMs>,
    /// Whether the active segment's file was found to be as long as it should be.
    size_checked: bool,
}

/// Batches on their way into one write.
#[derive(Default)]
struct Staged {
    batches: Vec<Stamped>,
    written: Vec<Met>,
    bytes: u64,
    undo: Undo,
    epochs: Vec<(i32, Offset)>,
    /// Which of the results rest on this write.
    results: Vec<usize>,
}

type AppendResult = Result<Appended, AppendError>;

impl Partition {
    pub(super) fn new(
        partition: PartitionId,
        topic: Arc<str>,
        dir: PathBuf,
        config: Arc<LogConfig>,
        files: Arc<Files>,
        found: Found,
    ) -> Partition {
        let active = match found.segments.last() {
            Some(last) => Arc::clone(last),
            None => Segment::new(&dir, found.end, config.index_interval_bytes),
        };
        let view = super::log::View {
            log_start: found.log_start,
            end: found.end,
            end_bytes: active.size(),
            segments: Arc::new(if found.segments.is_empty() {
                vec![Arc::clone(&active)]
            } else {
                found.segments
            }),
        };
        let log = Log::new(partition, topic, dir, view);
        Partition {
            log,
            config,
            files,
            active,
            log_start: found.log_start,
            end: found.end,
            epochs: found.epochs,
            producers: None,
            snapshots: found.snapshots,
            dirty: Vec::new(),
            names_dirty: false,
            active_since: None,
            size_checked: false,
        }
    }

    pub(super) fn opened(&self) -> Opened {
        let bytes = self.log.view().segments.iter().map(|segment| segment.size()).sum();
        let epochs = self.epochs.clone();
        Opened { log_start: self.log_start, log_end: self.end, bytes, epochs }
    }

    pub(super) fn configure(&mut self, config: Arc<LogConfig>) {
        self.config = config;
    }

    /// Whether something was written that no sync was asked for yet.
    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || self.names_dirty
    }

    /// Appends in order, with one write for all that fit into the active segment. One result for each append.
    pub(super) fn append_all(&mut self, appends: &[Append]) -> Vec<AppendResult> {
        let mut results: Vec<AppendResult> = Vec::with_capacity(appends.len());
        let mut staged = Staged::default();
        for append in appends {
            let result = self.stage(append, &mut staged, &mut results);
            results.push(result);
        }
        // The results say what became of it.
        let _ = self.write(staged, &mut results);
        results
    }

    /// Checks one append and adds it to the write; what it says holds once the write has succeeded.
    fn stage(
        &mut self,
        append: &Append,
        staged: &mut Staged,
        results: &mut [AppendResult],
    ) -> AppendResult {
        if let Some(error) = self.log.failure() {
            return Err(error.clone().into());
        }
        let candidates = validate::check(append, &self.config)?;
        if let Some(duplicate) = self.find_duplicate(append, &candidates)? {
            staged.results.push(results.len());
            return Ok(duplicate);
        }
        let bytes: usize = candidates.iter().map(|batch| batch.bytes.len()).sum();
        let bytes = super::fs::as_u64(bytes);
        let count: i64 = candidates.iter().map(|c| i64::from(c.header.record_count)).sum();
        if self.wants_roll(append, &candidates, staged, bytes, count)? {
            // What was checked against a write that failed would have to be checked again.
            self.write(std::mem::take(staged), results)?;
            self.roll()?;
        }
        self.active_since.get_or_insert(append.now);
        let appended = self.add(append, candidates, staged)?;
        staged.results.push(results.len());
        Ok(appended)
    }

    fn next_offset(&self, staged: &Staged) -> Offset {
        staged.written.last().map_or(self.end, |met| met.header.next_offset())
    }

    fn add(
        &mut self,
        append: &Append,
        candidates: Vec<Candidate>,
        staged: &mut Staged,
    ) -> AppendResult {
        let base_offset = self.next_offset(staged);
        let time = self.config.log_append_time.then_some(append.now);
        let newest = staged.epochs.last().or(self.epochs.last()).map_or(-1, |(epoch, _)| *epoch);
        if append.leader_epoch > newest {
            staged.epochs.push((append.leader_epoch, base_offset));
        }
        let mut next = base_offset;
        let mut position = self.active.size().saturating_add(staged.bytes);
        let start = position;
        for candidate in candidates {
            let stamped = Stamped::new(candidate, next, append.leader_epoch, time)?;
            if let Some(producers) = &mut self.producers {
                producers.note(&stamped.header, Some(&mut staged.undo));
            }
            let met = Met { header: stamped.header, position };
            (next, position) = (stamped.header.next_offset(), met.end());
            staged.written.push(met);
            staged.batches.push(stamped);
        }
        staged.bytes = staged.bytes.saturating_add(position.saturating_sub(start));
        Ok(Appended {
            base_offset,
            end_offset: next,
            log_append_time: time.unwrap_or(NO_TIMESTAMP),
            log_start: self.log_start,
            bytes: position.saturating_sub(start),
            duplicate: false,
        })
    }

    /// Checks the sequences of idempotent producers. `Some`: the batch is in the log already.
    fn find_duplicate(
        &mut self,
        append: &Append,
        candidates: &[Candidate],
    ) -> Result<Option<Appended>, AppendError> {
        if !candidates.iter().any(|batch| batch.header.has_producer()) {
            return Ok(None);
        }
        let (log_start, stamped) = (self.log_start, self.config.log_append_time);
        let producers = self.producers()?;
        if append.origin == Origin::Broker {
            return Ok(None);
        }
        // Several batches of one producer in one append must follow each other.
        let mut ahead = None::<Producers>;
        for candidate in candidates {
            let known = ahead.as_ref().unwrap_or(producers);
            match known.check(&candidate.header)? {
                None => {}
                Some(original) if candidates.len() == 1 => {
                    return Ok(Some(Appended {
                        base_offset: original.base_offset(),
                        end_offset: original.last_offset.saturating_add(1),
                        log_append_time: if stamped { original.timestamp } else { NO_TIMESTAMP },
                        log_start,
                        bytes: 0,
                        duplicate: true,
                    }));
                }
                Some(_) => return Err(AppendError::SequenceGap),
            }
            if candidates.len() > 1 {
                ahead.get_or_insert_with(|| producers.clone()).note(&candidate.header, None);
            }
        }
        Ok(None)
    }

    fn wants_roll(
        &self,
        append: &Append,
        candidates: &[Candidate],
        staged: &Staged,
        bytes: u64,
        count: i64,
    ) -> Result<bool, AppendError> {
        let limit = self.config.segment_bytes.min(SEGMENT_BYTES_MAX);
        if bytes > limit {
            return Err(AppendError::TooLarge);
        }
        let size = self.active.size().saturating_add(staged.bytes);
        if size == 0 {
            return Ok(false);
        }
        let last = self.next_offset(staged).saturating_add(count);
        let far = last.saturating_sub(self.active.base()) > i64::from(i32::MAX);
        let full = size.saturating_add(bytes) > limit
            || self.active.is_index_full(self.config.index_bytes_max);
        Ok(far || full || self.is_old(append, candidates, staged)?)
    }

    /// As Kafka counts: from the first batch's timestamp to the newest one that comes, or by the broker's time for records
    /// without.
    fn is_old(
        &self,
        append: &Append,
        candidates: &[Candidate],
        staged: &Staged,
    ) -> Result<bool, AppendError> {
        let first = match self.active.first_timestamp(&self.files) {
            Ok(first) => first.or(staged.written.first().map(|met| met.header.max_timestamp)),
            Err(ReadError::Storage(error)) => return Err(error.into()),
            Err(_) => None,
        };
        let stamps = candidates.iter().map(|batch| batch.header.max_timestamp);
        let newest = if self.config.log_append_time { Some(append.now) } else { stamps.max() };
        let age = match (first.filter(|first| *first >= 0), newest) {
            (Some(first), Some(newest)) => newest.saturating_sub(first),
            _ => append.now.saturating_sub(self.active_since.unwrap_or(append.now)),
        };
        Ok(age > self.config.segment_ms)
    }

    /// Writes what was staged and publishes it, or takes it back.
    fn write(&mut self, staged: Staged, results: &mut [AppendResult]) -> Result<(), StorageError> {
        if staged.batches.is_empty() {
            return Ok(());
        }
        let written = self.try_write(&staged);
        match &written {
            Ok(()) => self.publish(&staged),
            Err(error) => {
                if let Some(producers) = &mut self.producers {
                    producers.take_back(staged.undo);
                }
                for number in staged.results {
                    if let Some(result) = results.get_mut(number) {
                        *result = Err(error.clone().into());
                    }
                }
            }
        }
        written
    }

    fn try_write(&mut self, staged: &Staged) -> Result<(), StorageError> {
        if !staged.epochs.is_empty() {
            let epochs = [&self.epochs[..], &staged.epochs[..]].concat();
            self.write_epochs(&epochs)?;
        }
        let size = self.active.size();
        if size == 0 {
            self.names_dirty = true;
        }
        let file = self.files.create(self.active.log())?;
        self.check_size(&*file, size)?;
        let mut slices: Vec<IoSlice<'_>> = Vec::with_capacity(staged.batches.len() * 2);
        for batch in &staged.batches {
            slices.push(IoSlice::new(&batch.head));
            slices.push(IoSlice::new(batch.body()));
        }
        let path = self.active.log().path();
        let Err(error) = write_slices(&*file, &mut slices, size) else {
            self.note_dirty(path.to_owned(), file);
            return Ok(());
        };
        let error = StorageError::io("write", path, &error);
        if let Err(undo) = file.set_len(size) {
            self.log.fail(StorageError::io("truncate", path, &undo));
        }
        Err(error)
    }

    /// A clean stop left the file as long as the manifest says. If it is not, somebody else was here.
    fn check_size(&mut self, file: &dyn File, size: u64) -> Result<(), StorageError> {
        if self.size_checked {
            return Ok(());
        }
        let path = self.active.log().path();
        let found = file.size().map_err(|error| StorageError::io("read", path, &error))?;
        if found != size {
            let reason = format!("the file has {found} bytes, but {size} were left in it");
            let error = StorageError::content("open", path, reason);
            self.log.fail(error.clone());
            return Err(error);
        }
        self.size_checked = true;
        Ok(())
    }

    fn note_dirty(&mut self, path: PathBuf, file: Arc<dyn File>) {
        if !self.dirty.iter().any(|dirty| Arc::ptr_eq(&dirty.file, &file)) {
            self.dirty.push(Dirty { path, file });
        }
    }

    fn publish(&mut self, staged: &Staged) {
        self.active.note_written(&staged.written);
        self.end = self.next_offset(staged);
        self.epochs.extend(&staged.epochs);
        self.log.publish_end(self.end, self.active.size());
        if self.active.wants_index_flush() {
            self.flush_indexes();
        }
    }

    /// An index that cannot be written is no reason to refuse records: it is made anew when it is missed.
    fn flush_indexes(&self) {
        if let Err(error) = self.active.flush_indexes(&self.files) {
            log::warn!("{error}");
        }
    }

    fn write_epochs(&mut self, epochs: &[(i32, Offset)]) -> Result<(), StorageError> {
        let checkpoint = EpochCheckpoint { epochs: epochs.to_vec() };
        let path = self.log.dir.join(LEADER_EPOCHS);
        self.names_dirty = true;
        replace_file(&*self.files.fs, &path, &checkpoint.encode())
    }

    /// Closes the active segment and begins the next at the current end.
    pub(super) fn roll(&mut self) -> Result<(), StorageError> {
        self.close_active()?;
        self.write_snapshot()?;
        let interval = self.config.index_interval_bytes;
        let next = Segment::new(&self.log.dir, self.end, interval);
        self.active = Arc::clone(&next);
        self.active_since = None;
        self.size_checked = false;
        self.names_dirty = true;
        self.log.publish_segment(next);
        Ok(())
    }

    /// Completes the indexes of the active segment; they are synced with the log.
    fn close_active(&mut self) -> Result<(), StorageError> {
        match self.active.close_indexes(&self.files) {
            Ok(()) => {}
            Err(ReadError::Storage(error)) => return Err(error),
            Err(_) => log::warn!("{} is damaged", self.active.log().path().display()),
        }
        self.names_dirty = true;
        for path in [self.active.index_path(), self.active.time_index_path()] {
            let file = self.files.fs.open(&path, OpenMode::Create)?;
            self.note_dirty(path, file);
        }
        Ok(())
    }

    /// Writes who wrote what below the current end, so that the next start need not read it. Two snapshots stay.
    pub(super) fn write_snapshot(&mut self) -> Result<(), StorageError> {
        if self.snapshots.last() == Some(&self.end) {
            return Ok(());
        }
        let (snapshot, earlier) = self.producers()?.to_snapshot();
        let name = ProducerSnapshot::file_name(self.end);
        self.write_beside(&name, &snapshot.encode())?;
        if !earlier.batches.is_empty() {
            self.write_beside(&EarlierBatches::file_name(self.end), &earlier.encode())?;
        }
        self.names_dirty = true;
        self.snapshots.push(self.end);
        while self.snapshots.len() > 2 {
            let old = self.snapshots.remove(0);
            for name in [ProducerSnapshot::file_name(old), EarlierBatches::file_name(old)] {
                let _ = self.files.fs.remove_file(&self.log.dir.join(name));
            }
        }
        Ok(())
    }

    fn write_beside(&mut self, name: &str, content: &[u8]) -> Result<(), StorageError> {
        let path = self.log.dir.join(name);
        let file = self.files.fs.open(&path, OpenMode::Truncate)?;
        write_full(&*file, content, 0).map_err(|e| StorageError::io("write", &path, &e))?;
        self.note_dirty(path, file);
        Ok(())
    }

    /// The producers; reads them from the newest snapshot and the batches behind it when first asked.
    fn producers(&mut self) -> Result<&mut Producers, StorageError> {
        let producers = match self.producers.take() {
            Some(producers) => producers,
            None => {
                let view = self.log.view();
                super::recovery::load_producers(
                    &self.files,
                    &self.log.dir,
                    &view,
                    &mut self.snapshots,
                )?
            }
        };
        Ok(self.producers.insert(producers))
    }

    /// Hands over what has to be synced. The caller sees to it that it is, in order.
    pub(super) fn take_sync(&mut self) -> SyncWork {
        SyncWork {
            log: Arc::clone(&self.log),
            end: self.end,
            segment_base: self.active.base(),
            segment_bytes: self.active.size(),
            files: std::mem::take(&mut self.dirty),
            names: std::mem::take(&mut self.names_dirty),
        }
    }

    /// Brings everything beside the log up to date before a clean stop. What was written is synced by the caller.
    pub(super) fn close(&mut self) -> Result<(), StorageError> {
        if let Some(error) = self.log.failure() {
            return Err(error.clone());
        }
        if !self.active.are_indexes_flushed() {
            self.close_active()?;
        }
        let untouched = self.producers.as_ref().is_none_or(Producers::is_empty);
        if untouched { Ok(()) } else { self.write_snapshot() }
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
