//! A lost `__cluster_metadata`: partitions whose topics nobody knows any more, and how they are taken in again.
//!
//! Nothing is deleted and nothing set aside for want of the journal. A start that misses it ends, unless the operator
//! asked for the topics to be recorded anew by what their directories say.

use std::path::Path;

use super::directories;
use super::fs::{Fs, is_absent};
use super::job::{FoundPartition, StorageError};
use super::partition::compaction::SWAP;
use super::recovery;
use super::remembered::Remembered;
use super::segment::{LOG_SUFFIX, parse_file_name};
use crate::base::ids::{PartitionId, TopicId};

const METADATA_DIR: &str = "__cluster_metadata-0";
const METADATA: PartitionId = PartitionId { topic: TopicId::METADATA, index: 0 };

/// Refuses a directory whose journal was there at the last stop and is gone; where it is to be made anew, forgets how
/// long the old one was. Nothing is changed on the disk.
pub(super) fn check(
    fs: &dyn Fs,
    data_dir: &Path,
    remembered: &mut Remembered,
    adopt: bool,
) -> Result<(), StorageError> {
    let end = remembered.mark(METADATA).map_or(0, |mark| mark.end);
    if end == 0 || has_log(fs, &data_dir.join(METADATA_DIR))? || find(fs, data_dir)?.is_empty() {
        return Ok(());
    }
    if !adopt {
        return Err(refusal(data_dir));
    }
    remembered.forget(METADATA);
    Ok(())
}

/// Why a start without the journal ends, and the ways out.
pub(super) fn refusal(data_dir: &Path) -> StorageError {
    let reason = "the log in which the topics are recorded is missing or empty, but there are partitions. They are left \
                  as they are. Restore this directory from a copy; or start once with -o chronik.metadata.lost=adopt \
                  to record the topics anew as their directories name them, without their configurations";
    StorageError::content("read", &data_dir.join(METADATA_DIR), reason)
}

fn has_log(fs: &dyn Fs, dir: &Path) -> Result<bool, StorageError> {
    let entries = match fs.read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    // A crash may have left of the only segment but the one that is about to take its place.
    let is_log =
        |name: &str| parse_file_name(name.strip_suffix(SWAP).unwrap_or(name), LOG_SUFFIX).is_some();
    for entry in entries.iter().filter(|entry| is_log(&entry.name)) {
        let path = dir.join(&entry.name);
        let file = fs.open(&path, super::fs::OpenMode::Read)?;
        if file.size().map_err(|error| StorageError::io("read", &path, &error))? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The directories of partitions, but for that of the journal.
pub(super) fn find(fs: &dyn Fs, data_dir: &Path) -> Result<Vec<FoundPartition>, StorageError> {
    let mut found = Vec::new();
    for entry in fs.read_dir(data_dir)?.into_iter().filter(|entry| entry.is_dir) {
        let Some((topic, index)) = directories::parse(&entry.name) else { continue };
        if entry.name == METADATA_DIR {
            continue;
        }
        let dir = data_dir.join(&entry.name);
        let topic_id = recovery::owner(fs, &dir)?;
        let leader_epoch = recovery::newest_epoch(fs, &dir)?;
        found.push(FoundPartition { topic: topic.to_owned(), topic_id, index, leader_epoch });
    }
    Ok(found)
}
