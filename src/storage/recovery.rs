//! What a partition's directory holds when it is opened: told by the manifest after a clean stop, found out otherwise.
//!
//! After an unclean stop the tail is synced and read again from the disk: from the durable mark on; all of it if there
//! is none because the partition is new; the last two segments if the marks were lost. The log ends at the first batch
//! that is not whole and good. What is cut and still holds a whole batch is kept in a `.tail` file.

mod tail;

use std::path::Path;

use super::checkpoint::{EpochCheckpoint, LEADER_EPOCHS};
use super::earlier_batches::EarlierBatches;
use super::files::Files;
use super::fs::{DirEntry, Fs, is_absent, read_file, replace_file};
use super::job::{LogConfig, ReadError, StorageError};
use super::log::View;
use super::manifest::ManifestPartition;
use super::marks::Mark;
use super::meta::{PARTITION_METADATA, PartitionMetadata};
use super::partition::Found;
use super::producers::Producers;
use super::scan::{HEADERS, Scan};
use super::segment::{BESIDE_SUFFIXES, DELETED_SUFFIX, LOG_SUFFIX, Segment, parse_file_name};
use super::snapshot::{self, ProducerSnapshot};
use crate::base::ids::{Offset, TopicId};
use tail::Tail;

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
    /// Whether everything in the directory is durable as it is.
    pub(super) synced: bool,
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
        kept: Vec::new(),
        kept_name: None,
        changed: !known.synced,
    };
    let known_epochs = tail.epochs.clone();
    let mark = known.mark;
    let end = tail.recover(known)?;
    let first = tail.segments.first().map_or(end, |segment| segment.base());
    let log_start = mark.map_or(first, |mark| log_start(dir, mark.log_start, first, end));
    remove_leftovers(&*files.fs, dir, &entries, log_start);
    if tail.epochs != known_epochs {
        let checkpoint = EpochCheckpoint { epochs: tail.epochs.clone() };
        // The next epoch writes them again; a full disk is no reason not to start.
        let path = dir.join(LEADER_EPOCHS);
        replace_file(&*files.fs, &path, &checkpoint.encode())
            .unwrap_or_else(|error| log::warn!("{error}"));
    }
    let mut snapshots = of(snapshot::SUFFIX);
    for beyond in snapshots.iter().filter(|offset| **offset > end) {
        remove_snapshot(&*files.fs, dir, *beyond);
        tail.changed = true;
    }
    snapshots.retain(|offset| *offset <= end);
    if tail.changed {
        files.fs.sync_dir(dir)?;
    }
    Ok(Some(Found { log_start, end, segments: tail.segments, epochs: tail.epochs, snapshots }))
}

/// The first offset that the mark tells, unless there is no such offset: that is damage, and hides nothing.
fn log_start(dir: &Path, told: Offset, first: Offset, end: Offset) -> Offset {
    if told > end.max(first) {
        log::error!("{}: the first offset {told} lies beyond the end {end}", dir.display());
        return first;
    }
    told.max(first)
}

/// Unlinks what a crash left of segments on their way out.
fn remove_leftovers(fs: &dyn Fs, dir: &Path, entries: &[DirEntry], log_start: Offset) {
    let has_log = |base| entries.iter().any(|e| parse_file_name(&e.name, LOG_SUFFIX) == Some(base));
    let is_orphan = |name: &str| {
        let base = BESIDE_SUFFIXES.iter().find_map(|suffix| parse_file_name(name, suffix));
        base.is_some_and(|base| base < log_start && !has_log(base))
    };
    for entry in entries.iter().filter(|entry| !entry.is_dir) {
        if entry.name.ends_with(DELETED_SUFFIX) || is_orphan(&entry.name) {
            fs.remove_file(&dir.join(&entry.name)).unwrap_or_else(|error| log::warn!("{error}"));
        }
    }
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
    let path = dir.join(EarlierBatches::file_name(offset));
    let earlier = match read_file(fs, &path, SMALL_FILE_MAX)? {
        Some(bytes) => EarlierBatches::decode(&bytes),
        // Kafka writes none.
        None => Ok(EarlierBatches::default()),
    };
    let earlier = match earlier {
        Ok(earlier) => earlier,
        Err(error) => {
            log::warn!("{}: {error}", path.display());
            return Ok(None);
        }
    };
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
