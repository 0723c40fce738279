//! What a partition's directory holds when it is opened: told by the manifest after a clean stop, found out otherwise.
//!
//! After an unclean stop the tail is synced and read again from the disk: from the durable mark on; all of it if there
//! is none because the partition is new; the last two segments if the marks were lost. The log ends at the first batch
//! that is not whole and good. What is cut and still holds a whole batch is kept in a `.tail` file.

use std::path::Path;
use std::sync::Arc;

use super::checkpoint::{EpochCheckpoint, LEADER_EPOCHS};
use super::earlier_batches::EarlierBatches;
use super::files::Files;
use super::fs::{File, Fs, OpenMode, is_absent, read_file, read_full, replace_file};
use super::job::{LogConfig, ReadError, StorageError};
use super::log::View;
use super::manifest::ManifestPartition;
use super::marks::Mark;
use super::meta::{PARTITION_METADATA, PartitionMetadata};
use super::partition::Found;
use super::producers::Producers;
use super::scan::{HEADERS, Scan, ScanError, WHOLE};
use super::segment::{LOG_SUFFIX, OnDisk, Segment, file_name, parse_file_name};
use super::snapshot::{self, ProducerSnapshot};
use crate::base::ids::{Offset, TopicId};
use crate::record::batch::{BatchHeader, HEADER_SIZE, verify_crc};

/// How the name of a file of cut bytes ends.
const TAIL_SUFFIX: &str = ".tail";
/// Most bytes that are kept aside.
const TAIL_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most bytes of a small file beside the log.
const SMALL_FILE_MAX: usize = 64 * 1024 * 1024;

/// Makes a partition's directory, durably.
pub(super) fn create(
    fs: &dyn Fs,
    data_dir: &Path,
    dir: &Path,
    topic_id: TopicId,
) -> Result<Found, StorageError> {
    fs.create_dir(dir)?;
    write_metadata(fs, dir, topic_id)?;
    fs.sync_dir(dir)?;
    fs.sync_dir(data_dir)?;
    let (segments, epochs, snapshots) = (Vec::new(), Vec::new(), Vec::new());
    Ok(Found { log_start: 0, end: 0, segments, epochs, snapshots })
}

fn write_metadata(fs: &dyn Fs, dir: &Path, topic_id: TopicId) -> Result<(), StorageError> {
    let metadata = PartitionMetadata { topic_id };
    replace_file(fs, &dir.join(PARTITION_METADATA), &metadata.encode())
}

/// Whose a directory is. `None`: it does not say.
pub(super) fn owner(fs: &dyn Fs, dir: &Path) -> Result<Option<TopicId>, StorageError> {
    let path = dir.join(PARTITION_METADATA);
    let Some(bytes) = read_file(fs, &path, SMALL_FILE_MAX)? else { return Ok(None) };
    match PartitionMetadata::decode(&bytes) {
        Ok(metadata) => Ok(Some(metadata.topic_id)),
        Err(error) => {
            log::warn!("{}: {error}", path.display());
            Ok(None)
        }
    }
}

/// Refuses the directory of another topic; marks one that belongs to nobody as ours.
fn claim(fs: &dyn Fs, dir: &Path, topic_id: TopicId) -> Result<(), StorageError> {
    match owner(fs, dir)? {
        Some(found) if found == topic_id => Ok(()),
        Some(found) => {
            let reason = format!("the directory belongs to topic {found}, not to {topic_id}");
            Err(StorageError::content("open", dir, reason))
        }
        None => {
            write_metadata(fs, dir, topic_id)?;
            fs.sync_dir(dir)
        }
    }
}

/// What the manifest of a clean stop says.
pub(super) fn from_manifest(dir: &Path, manifest: &ManifestPartition, config: &LogConfig) -> Found {
    let interval = config.index_interval_bytes;
    let segments = manifest.segments.iter().map(|told| Segment::told(dir, interval, told));
    Found {
        log_start: manifest.log_start,
        end: manifest.log_end,
        segments: segments.collect(),
        epochs: manifest.epochs.clone(),
        snapshots: manifest.snapshots.clone(),
    }
}

/// What is known of a partition before its directory is looked at.
pub(super) struct Known<'a> {
    /// Its durable mark.
    pub(super) mark: Option<&'a Mark>,
    /// Whether no mark was lost.
    pub(super) marks_whole: bool,
}

/// Finds out what a directory holds after an unclean stop. `None`: there is no such directory.
pub(super) fn examine(
    files: &Files,
    dir: &Path,
    topic_id: TopicId,
    known: &Known<'_>,
    config: &LogConfig,
) -> Result<Option<Found>, StorageError> {
    let entries = match files.fs.read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    claim(&*files.fs, dir, topic_id)?;
    let of = |suffix: &str| -> Vec<Offset> {
        entries.iter().filter_map(|entry| parse_file_name(&entry.name, suffix)).collect()
    };
    let mut tail = Tail {
        fs: &*files.fs,
        dir,
        config,
        bases: of(LOG_SUFFIX),
        epochs: read_epochs(&*files.fs, dir)?,
        segments: Vec::new(),
    };
    let known_epochs = tail.epochs.clone();
    let mark = known.mark;
    let end = tail.recover(known)?;
    let first = tail.segments.first().map_or(end, |segment| segment.base());
    let log_start = mark.map_or(first, |mark| mark.log_start.clamp(first, end.max(first)));
    if tail.epochs != known_epochs {
        let checkpoint = EpochCheckpoint { epochs: tail.epochs.clone() };
        replace_file(&*files.fs, &dir.join(LEADER_EPOCHS), &checkpoint.encode())?;
    }
    let mut snapshots = of(snapshot::SUFFIX);
    for beyond in snapshots.iter().filter(|offset| **offset > end) {
        remove_snapshot(&*files.fs, dir, *beyond);
    }
    snapshots.retain(|offset| *offset <= end);
    files.fs.sync_dir(dir)?;
    Ok(Some(Found { log_start, end, segments: tail.segments, epochs: tail.epochs, snapshots }))
}

fn read_epochs(fs: &dyn Fs, dir: &Path) -> Result<Vec<(i32, Offset)>, StorageError> {
    let path = dir.join(LEADER_EPOCHS);
    let Some(bytes) = read_file(fs, &path, SMALL_FILE_MAX)? else { return Ok(Vec::new()) };
    Ok(EpochCheckpoint::decode(&bytes).map(|checkpoint| checkpoint.epochs).unwrap_or_else(
        |error| {
            log::warn!("{}: {error}", path.display());
            Vec::new()
        },
    ))
}

fn remove_snapshot(fs: &dyn Fs, dir: &Path, offset: Offset) {
    for name in [ProducerSnapshot::file_name(offset), EarlierBatches::file_name(offset)] {
        match fs.remove_file(&dir.join(name)) {
            Err(error) if !is_absent(&error) => log::warn!("{error}"),
            _ => {}
        }
    }
}

/// Where the scan of a log's tail begins.
struct Start {
    segment: usize,
    position: u64,
    offset: Offset,
    /// Whether it is where the durable mark says.
    marked: bool,
}

/// The end of a log, being found.
struct Tail<'a> {
    fs: &'a dyn Fs,
    dir: &'a Path,
    config: &'a LogConfig,
    bases: Vec<Offset>,
    epochs: Vec<(i32, Offset)>,
    segments: Vec<Arc<Segment>>,
}

impl Tail<'_> {
    /// Scans, cuts and syncs; gives the log's end.
    fn recover(&mut self, known: &Known<'_>) -> Result<Offset, StorageError> {
        let Some(start) = self.start(known)? else {
            // Offsets that were given out are not given out again.
            return Ok(known.mark.map_or(0, |mark| mark.end));
        };
        let bases = self.bases.split_off(start.segment.min(self.bases.len()));
        for base in std::mem::take(&mut self.bases) {
            let size = self.size(base)?;
            let doubted = (!start.marked).then_some(size);
            self.keep(base, OnDisk { size, doubted, good_from: size });
        }
        let (mut next, mut position) = (start.offset, start.position);
        for (number, base) in bases.iter().enumerate() {
            let follows =
                number == 0 || *base == next || (*base > next && self.may_have_gaps(&start));
            if !follows {
                self.remove_segments(bases.get(number..).unwrap_or_default(), next)?;
                break;
            }
            next = next.max(*base);
            let (end, whole) = self.scan_segment(*base, position, next, &start)?;
            let doubted = Some(if number == 0 && start.marked { position } else { 0 });
            self.keep_scanned(*base, doubted, position)?;
            next = end;
            position = 0;
            if !whole {
                self.remove_segments(bases.get(number + 1..).unwrap_or_default(), next)?;
                break;
            }
        }
        self.epochs.retain(|(_, from)| *from < next);
        Ok(next)
    }

    /// The mark's place, the beginning of the log, or that of the segment before the last.
    fn start(&self, known: &Known<'_>) -> Result<Option<Start>, StorageError> {
        if let Some(mark) = known.mark {
            let found = self.bases.binary_search(&mark.segment_base).ok();
            if let Some(segment) = found {
                if self.size(mark.segment_base)? >= mark.segment_bytes {
                    let (position, offset) = (mark.segment_bytes, mark.end);
                    return Ok(Some(Start { segment, position, offset, marked: true }));
                }
            }
            log::error!("{} has lost records below offset {}", self.dir.display(), mark.end);
        }
        let new = known.mark.is_none() && known.marks_whole;
        let segment = if new { 0 } else { self.bases.len().saturating_sub(2) };
        let offset = self.bases.get(segment).copied();
        Ok(offset.map(|offset| Start { segment, position: 0, offset, marked: false }))
    }

    /// Compaction leaves gaps, but not above the mark.
    fn may_have_gaps(&self, start: &Start) -> bool {
        !start.marked && self.config.compact
    }

    fn size(&self, base: Offset) -> Result<u64, StorageError> {
        let path = self.dir.join(file_name(base, LOG_SUFFIX));
        let file = self.fs.open(&path, OpenMode::Read)?;
        file.size().map_err(|error| StorageError::io("read", &path, &error))
    }

    fn keep(&mut self, base: Offset, state: OnDisk) {
        let interval = self.config.index_interval_bytes;
        self.segments.push(Segment::on_disk(self.dir, base, interval, state));
    }

    fn keep_scanned(
        &mut self,
        base: Offset,
        doubted: Option<u64>,
        good_from: u64,
    ) -> Result<(), StorageError> {
        let size = self.size(base)?;
        self.keep(base, OnDisk { size, doubted, good_from });
        Ok(())
    }

    /// Syncs a segment, scans it from `position` and cuts what is not good. Gives the next offset and whether the
    /// segment was good to its end.
    fn scan_segment(
        &mut self,
        base: Offset,
        position: u64,
        offset: Offset,
        start: &Start,
    ) -> Result<(Offset, bool), StorageError> {
        let path = self.dir.join(file_name(base, LOG_SUFFIX));
        let file = self.fs.open(&path, OpenMode::Write)?;
        file.sync_data().map_err(|error| StorageError::io("sync", &path, &error))?;
        file.drop_cache();
        let size = file.size().map_err(|error| StorageError::io("read", &path, &error))?;
        let mut scan = Scan::new(Arc::clone(&file), position, size, WHOLE);
        let mut next = offset;
        loop {
            match scan.next_good(next) {
                Ok(Some(met)) if met.header.base_offset == next || self.may_have_gaps(start) => {
                    self.note_epoch(&met.header);
                    next = met.header.next_offset();
                }
                Ok(None) => return Ok((next, true)),
                Ok(Some(met)) => {
                    self.cut(&path, &file, met.position, next)?;
                    return Ok((next, false));
                }
                Err(ScanError::Bad) => {
                    self.cut(&path, &file, scan.position(), next)?;
                    return Ok((next, false));
                }
                Err(ScanError::Io(error)) => return Err(StorageError::io("read", &path, &error)),
            }
        }
    }

    fn note_epoch(&mut self, header: &BatchHeader) {
        let newest = self.epochs.last().map_or(-1, |(epoch, _)| *epoch);
        if header.partition_leader_epoch > newest {
            self.epochs.push((header.partition_leader_epoch, header.base_offset));
        }
    }

    /// Cuts a log file, durably.
    fn cut(
        &self,
        path: &Path,
        file: &Arc<dyn File>,
        position: u64,
        offset: Offset,
    ) -> Result<(), StorageError> {
        let size = file.size().map_err(|error| StorageError::io("read", path, &error))?;
        log::warn!(
            "{}: {} bytes behind offset {offset} are no whole batch and are cut off",
            path.display(),
            size.saturating_sub(position)
        );
        self.keep_aside(&**file, position, size, offset);
        file.set_len(position).map_err(|error| StorageError::io("truncate", path, &error))?;
        file.sync_data().map_err(|error| StorageError::io("sync", path, &error))
    }

    /// Removes segments that nothing connects to the log any more.
    fn remove_segments(&self, bases: &[Offset], offset: Offset) -> Result<(), StorageError> {
        for base in bases {
            let path = self.dir.join(file_name(*base, LOG_SUFFIX));
            log::warn!("{} does not follow offset {offset} and is removed", path.display());
            if let Ok(file) = self.fs.open(&path, OpenMode::Read) {
                self.keep_aside(&*file, 0, file.size().unwrap_or(0), *base);
            }
            for suffix in [".index", ".timeindex"] {
                let _ = self.fs.remove_file(&self.dir.join(file_name(*base, suffix)));
            }
            self.fs.remove_file(&path)?;
        }
        Ok(())
    }

    /// Keeps bytes that hold a whole batch, as far as there is room. Recovery does not depend on it.
    fn keep_aside(&self, file: &dyn File, from: u64, to: u64, offset: Offset) {
        let len = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(TAIL_BYTES_MAX)];
        let read = read_full(file, &mut bytes, from).unwrap_or(0);
        bytes.truncate(read);
        if !holds_whole_batch(&bytes) {
            return;
        }
        let path = self.dir.join(file_name(offset, TAIL_SUFFIX));
        match replace_file(self.fs, &path, &bytes) {
            Ok(()) => log::warn!("{} keeps {read} bytes that were cut off", path.display()),
            Err(error) => log::warn!("{error}"),
        }
    }
}

/// Whether a good batch begins anywhere in these bytes.
fn holds_whole_batch(bytes: &[u8]) -> bool {
    const MAGIC_AT: usize = 16;
    let begins = |at: &usize| {
        let rest = bytes.get(*at..).unwrap_or_default();
        let Ok(header) = BatchHeader::read(rest) else { return false };
        header.base_offset >= 0
            && rest.get(..header.size_in_bytes()).is_some_and(|batch| verify_crc(batch).is_ok())
    };
    let candidates = bytes.iter().enumerate().filter(|(_, byte)| **byte == 2);
    let starts = candidates.filter_map(|(at, _)| at.checked_sub(MAGIC_AT));
    bytes.len() >= HEADER_SIZE && starts.filter(begins).take(1).count() > 0
}

/// Who wrote what, from the newest good snapshot and the batches behind it.
pub(super) fn load_producers(
    files: &Files,
    dir: &Path,
    view: &View,
    snapshots: &mut Vec<Offset>,
) -> Result<Producers, StorageError> {
    let mut from = view.log_start;
    let mut producers = Producers::default();
    while let Some(newest) = snapshots.last().copied() {
        if let Some(found) = read_snapshot(&*files.fs, dir, newest)? {
            (from, producers) = (newest, found);
            break;
        }
        remove_snapshot(&*files.fs, dir, newest);
        snapshots.pop();
    }
    for (segment, end) in view.from(from) {
        if from >= end {
            continue;
        }
        let walked = note_batches(files, segment, from, &mut producers);
        match walked {
            Err(ReadError::Storage(error)) => return Err(error),
            Err(_) => log::warn!("{} is damaged", segment.log().path().display()),
            Ok(()) => {}
        }
    }
    Ok(producers)
}

fn read_snapshot(
    fs: &dyn Fs,
    dir: &Path,
    offset: Offset,
) -> Result<Option<Producers>, StorageError> {
    let path = dir.join(ProducerSnapshot::file_name(offset));
    let Some(bytes) = read_file(fs, &path, SMALL_FILE_MAX)? else { return Ok(None) };
    let snapshot = match ProducerSnapshot::decode(&bytes) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            log::warn!("{}: {error}", path.display());
            return Ok(None);
        }
    };
    let beside = read_file(fs, &dir.join(EarlierBatches::file_name(offset)), SMALL_FILE_MAX)?;
    let earlier = beside.and_then(|bytes| EarlierBatches::decode(&bytes).ok()).unwrap_or_default();
    Ok(Some(Producers::from_snapshot(&snapshot, &earlier)))
}

fn note_batches(
    files: &Files,
    segment: &Segment,
    from: Offset,
    producers: &mut Producers,
) -> Result<(), ReadError> {
    let Some(first) = segment.locate(files, from)? else { return Ok(()) };
    let file = files.get(segment.log())?;
    let mut scan = Scan::new(file, first.position, segment.size(), HEADERS);
    while let Some(met) = scan.next().map_err(|error| error.of_read(segment.log().path()))? {
        if met.header.base_offset >= from {
            producers.note(&met.header, None);
        }
    }
    Ok(())
}
