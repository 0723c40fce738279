//! What a partition's directory holds when it is opened: told by the manifest after a clean stop, found out otherwise.
//!
//! After an unclean stop the tail is synced and read again from the disk: from the durable mark on; all of it if there
//! is none because the partition is new; the last two segments if the marks were lost. The log ends at the first batch
//! that is not whole and good. What is cut and still holds a whole batch is kept in a `.tail` file.

mod aside;
mod beside;
mod epochs;
mod swap;
mod tail;

use std::path::Path;

use super::checkpoint::LEADER_EPOCHS;
use super::earlier_batches::EarlierBatches;
use super::files::Files;
use super::format::FormatError;
use super::fs::{Fs, OpenMode, is_absent, read_file, read_file_from_disk, replace_file};
use super::job::{LogConfig, ReadError, StorageError};
use super::log::View;
use super::manifest::ManifestPartition;
use super::marks::Mark;
use super::meta::{PARTITION_METADATA, PartitionMetadata};
use super::partition::Found;
use super::producers::{self, PRODUCERS_MAX, Producers};
use super::segment::{LOG_SUFFIX, Segment, Shape, Step, parse_file_name};
use super::snapshot::{self, ProducerSnapshot};
use crate::base::ids::{Offset, TopicId};
use crate::base::metrics::Counter;
use crate::base::planted::{Bug, is_planted};
use tail::Tail;

/// Most bytes of `partition.metadata`.
const METADATA_BYTES_MAX: usize = 4096;
/// Most bytes of a producer snapshot, and of what goes with it: hundreds of thousands of producers.
const SNAPSHOT_BYTES_MAX: usize = 16 << 20;

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
    if !is_planted(Bug::DirectoryNotSynced) {
        fs.sync_dir(data_dir)?;
    }
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
    let Some(bytes) = read_file(fs, &path, METADATA_BYTES_MAX)? else { return Ok(None) };
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
        Some(found) if !is_misread(found, topic_id) => {
            let reason = format!("the directory belongs to topic {found}, not to {topic_id}");
            Err(StorageError::content("open", dir, reason))
        }
        Some(_) | None => {
            write_metadata(fs, dir, topic_id)?;
            fs.sync_dir(dir)
        }
    }
}

/// Whether what a directory says is its topic's id but for one character: nothing but damage makes two random ids so
/// alike.
pub(super) fn is_misread(found: TopicId, topic_id: TopicId) -> bool {
    let (found, known) = (found.to_string(), topic_id.to_string());
    found.bytes().zip(known.bytes()).filter(|(a, b)| a != b).count() == 1
}

/// The newest leader epoch that a directory's checkpoint knows; -1: none.
pub(super) fn newest_epoch(fs: &dyn Fs, dir: &Path) -> Result<i32, StorageError> {
    let epochs = epochs::read(fs, dir)?.unwrap_or_default();
    Ok(epochs.last().map_or(-1, |(epoch, _)| *epoch))
}

/// What the manifest of a clean stop says.
pub(super) fn from_manifest(dir: &Path, manifest: &ManifestPartition, shape: Shape) -> Found {
    let ends = manifest.segments.iter().skip(1).map(|told| told.base).chain([manifest.log_end]);
    let segments = manifest.segments.iter().zip(ends);
    let segments = segments.map(|(told, end)| Segment::told(dir, shape, told, end));
    let mut log_start = manifest.log_start;
    if log_start > manifest.log_end {
        log::error!("{}: the log begins behind its end; that is ignored", dir.display());
        log_start = manifest.segments.first().map_or(manifest.log_end, |told| told.base);
    }
    Found {
        log_start,
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
    /// Counts the bytes that are read to find where logs end.
    pub(super) scanned: &'a Counter,
}

impl Known<'_> {
    /// Whether nothing in it was ever known to be on the disk.
    fn is_new(&self) -> bool {
        self.mark.is_none() && self.marks_whole
    }
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
    let entries = if swap::settle(&*files.fs, dir)? { files.fs.read_dir(dir)? } else { entries };
    let of = |suffix: &str| -> Vec<Offset> {
        entries.iter().filter_map(|entry| parse_file_name(&entry.name, suffix)).collect()
    };
    let known_epochs = epochs::read(&*files.fs, dir)?;
    let mut tail = Tail {
        fs: &*files.fs,
        dir,
        config,
        synced: known.synced,
        scanned: known.scanned,
        bases: of(LOG_SUFFIX),
        epochs: known_epochs.clone().unwrap_or_default(),
        segments: Vec::new(),
        is_cut_short: false,
    };
    let mark = known.mark;
    let end = tail.recover(known)?;
    let log_start = tail.first_offset(mark, end);
    tail.stand_in(log_start, end);
    let Tail { segments, mut epochs, .. } = tail;
    if known_epochs.is_none() {
        epochs = epochs::from_log(files, &segments)?;
    }
    let mut changed = beside::tidy(&*files.fs, dir, &entries, &segments) || !known.synced;
    if known_epochs.unwrap_or_default() != epochs {
        epochs::write(&*files.fs, dir, &epochs);
        changed = true;
    }
    let mut snapshots = of(snapshot::SUFFIX);
    let doubted = |offset: &Offset| *offset > end && !is_planted(Bug::SnapshotAhead);
    let reached = snapshots.partition_point(|offset| !doubted(offset));
    for beyond in snapshots.split_off(reached) {
        remove_snapshot(&*files.fs, dir, beyond);
        changed = true;
    }
    if !known.synced {
        sync_beside(&*files.fs, dir, &snapshots)?;
    }
    if changed {
        files.fs.sync_dir(dir)?;
        // Without a mark it may have been made just now, by an attempt that ended before its name was durable.
        if let (None, Some(data_dir)) = (mark, dir.parent()) {
            files.fs.sync_dir(data_dir)?;
        }
    }
    Ok(Some(Found { log_start, end, segments, epochs, snapshots }))
}

/// Has the disk hold what a dead process may have left in memory. Whoever reads a snapshot sees whether it is whole; but
/// one that is read now may be needed later, when what it tells has left the log. So may the epochs.
fn sync_beside(fs: &dyn Fs, dir: &Path, snapshots: &[Offset]) -> Result<(), StorageError> {
    sync_if_there(fs, &dir.join(LEADER_EPOCHS))?;
    for offset in snapshots {
        sync_if_there(fs, &dir.join(ProducerSnapshot::file_name(*offset)))?;
        sync_if_there(fs, &dir.join(EarlierBatches::file_name(*offset)))?;
    }
    Ok(())
}

fn sync_if_there(fs: &dyn Fs, path: &Path) -> Result<(), StorageError> {
    match fs.open(path, OpenMode::Write) {
        Ok(file) => file.sync_data().map_err(|error| StorageError::io("sync", path, &error)),
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

fn remove_snapshot(fs: &dyn Fs, dir: &Path, offset: Offset) {
    for name in [ProducerSnapshot::file_name(offset), EarlierBatches::file_name(offset)] {
        match fs.remove_file(&dir.join(name)) {
            Err(error) if !is_absent(&error) => log::warn!("{error}"),
            _ => {}
        }
    }
}

/// Who wrote what, from the newest whole snapshot, whose offset is given, too, and the batches behind it.
pub(super) fn load_producers(
    files: &Files,
    dir: &Path,
    view: &View,
    snapshots: &mut Vec<Offset>,
) -> Result<(Producers, Option<Offset>), StorageError> {
    // Records that were deleted tell who wrote them as long as they are there.
    let mut from = view.segments.first().map_or(view.log_start, |first| first.base());
    let mut whole = None;
    let mut producers = Producers::default();
    let mut partial = None;
    for offset in snapshots.clone().into_iter().rev() {
        match read_snapshot(&*files.fs, dir, offset)? {
            Snapshot::Whole(found) => {
                (from, producers) = (offset, found);
                whole = Some(offset);
                break;
            }
            Snapshot::Partial(found) => drop(partial.get_or_insert(found)),
            Snapshot::Bad => {
                remove_snapshot(&*files.fs, dir, offset);
                snapshots.retain(|kept| *kept != offset);
            }
        }
    }
    for (segment, end) in view.from(from) {
        if from >= end {
            continue;
        }
        let mut walked = note_batches(files, segment, from, &mut producers);
        if matches!(&walked, Err(ReadError::Storage(error)) if is_absent(error)) {
            segment.note_missing(files);
            walked = note_batches(files, segment, from, &mut producers);
        }
        match walked {
            Err(ReadError::Storage(error)) => return Err(error),
            Err(_) => producers.doubt(),
            Ok(()) => {}
        }
    }
    // What it tells of producers whose batches are no longer in the log is told by nobody else.
    if let Some(partial) = partial {
        producers.add_unknown(partial);
    }
    Ok((producers, whole))
}

/// What a snapshot and the file that goes with it tell.
enum Snapshot {
    Whole(Producers),
    /// The last batch of each producer, not those before it: Kafka wrote it, or a crash left one file of the two.
    Partial(Producers),
    Bad,
}

fn read_snapshot(fs: &dyn Fs, dir: &Path, offset: Offset) -> Result<Snapshot, StorageError> {
    let path = dir.join(ProducerSnapshot::file_name(offset));
    let Some(snapshot) = read_small(fs, &path, ProducerSnapshot::decode)? else {
        return Ok(Snapshot::Bad);
    };
    let path = dir.join(EarlierBatches::file_name(offset));
    let earlier = read_small(fs, &path, EarlierBatches::decode)?;
    let producers = |earlier| Producers::from_snapshot(&snapshot, &earlier);
    Ok(match earlier {
        Some(earlier) => Snapshot::Whole(producers(earlier)),
        None if snapshot.producers.is_empty() => Snapshot::Whole(Producers::default()),
        None => Snapshot::Partial(producers(EarlierBatches::default())),
    })
}

/// What a file beside the log tells. `None`: it is not there, or not one of ours.
fn read_small<T>(
    fs: &dyn Fs,
    path: &Path,
    decode: fn(&[u8]) -> Result<T, FormatError>,
) -> Result<Option<T>, StorageError> {
    let damaged = |error: &dyn std::fmt::Display| log::warn!("{}: {error}", path.display());
    let bytes = match read_file_from_disk(fs, path, SNAPSHOT_BYTES_MAX) {
        // It is larger than any of ours.
        Err(error) if error.errno.is_none() => {
            damaged(&error);
            None
        }
        read => read?,
    };
    Ok(bytes.and_then(|bytes| decode(&bytes).inspect_err(|error| damaged(error)).ok()))
}

fn note_batches(
    files: &Files,
    segment: &Segment,
    from: Offset,
    producers: &mut Producers,
) -> Result<(), ReadError> {
    let mut walk = segment.walk_near(files, from)?;
    while let Some(step) = walk.next()? {
        match step {
            Step::Batch(met) if met.header.base_offset >= from => {
                producers.note(&met.header, 0, None);
                if producers.len() > PRODUCERS_MAX {
                    producers::forget_silent(vec![producers]);
                }
            }
            Step::Damage(damage) if damage.next > from => producers.doubt(),
            Step::Batch(_) | Step::Damage(_) => {}
        }
    }
    Ok(())
}
