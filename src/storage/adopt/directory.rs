//! The data directory around copied logs: what a clean stop would have left, and the marks for a crash in between.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::ids::TopicId;
use crate::base::metrics::StorageCounters;
use crate::base::time::WallMs;
use crate::storage::damage::DamagePolicy;
use crate::storage::files::Files;
use crate::storage::fs::{Fs, read_file};
use crate::storage::job::StorageError;
use crate::storage::manifest::ManifestPartition;
use crate::storage::marks::MarksFile;
use crate::storage::meta::CLEAN_MARKER;
use crate::storage::outcomes::Outcomes;
use crate::storage::pool::FileLimits;
use crate::storage::space::{Space, SpaceOptions};
use crate::storage::writer::Closed;
use crate::storage::{directories, recovery, remembered, startup};

/// Files that are open at once.
const OPEN_MAX: usize = 16;
/// Most bytes of the marker.
const MARKER_BYTES_MAX: usize = 4096;

/// The files of a directory that no broker uses: there is no reserve, no ballast, and nobody who would be told.
pub(super) fn files(fs: &Arc<dyn Fs>, data_dir: &Path) -> Arc<Files> {
    let outcomes = Outcomes::new(Arc::new(|| {}));
    let options = SpaceOptions { reserve_bytes: Some(0), ballast_bytes: 0 };
    let space = Space::new(Arc::clone(fs), data_dir.to_owned(), options, outcomes);
    let stats = Arc::new(StorageCounters::default());
    let limits = FileLimits { open: OPEN_MAX, unsynced: OPEN_MAX, together: usize::MAX };
    Files::new(Arc::clone(fs), space, limits, DamagePolicy::Fence, stats)
}

/// Whether the last stop was a clean one, Kafka's or ours.
///
/// # Errors
/// What the operating system says.
pub fn is_clean(fs: &dyn Fs, data_dir: &Path) -> Result<bool, StorageError> {
    Ok(read_file(fs, &data_dir.join(CLEAN_MARKER), MARKER_BYTES_MAX)?.is_some())
}

/// Leaves a data directory as a clean stop does: checkpoints, the manifest, the marker last.
///
/// # Errors
/// What the operating system says.
pub fn leave_clean(
    fs: &Arc<dyn Fs>,
    data_dir: &Path,
    partitions: Vec<ManifestPartition>,
    now: WallMs,
) -> Result<(), StorageError> {
    startup::leave(&files(fs, data_dir), data_dir, Closed { partitions, clean: true }, now)
}

/// Leaves a directory as a clean stop of Kafka does: checkpoints, and the marker last.
///
/// # Errors
/// What the operating system says.
pub fn leave_clean_for_kafka(
    fs: &Arc<dyn Fs>,
    data_dir: &Path,
    partitions: &[ManifestPartition],
) -> Result<(), StorageError> {
    let files = files(fs, data_dir);
    startup::write_checkpoints(&files, data_dir, partitions)?;
    startup::mark_clean(&files, data_dir)
}

/// The marks of partitions that are on the disk as a whole.
#[must_use]
pub fn marks_of(writer: u32, partitions: &[ManifestPartition]) -> MarksFile {
    let marks = partitions.iter().map(|entry| (entry.partition, remembered::mark_of(entry)));
    MarksFile { writer, marks: marks.collect(), ..MarksFile::default() }
}

/// A partition's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDirectory {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub index: i32,
    /// The topic's id, if the directory tells it.
    pub id: Option<TopicId>,
    /// Where it is.
    pub dir: PathBuf,
}

/// The partitions' directories, by name; not those that are on their way out or set aside.
///
/// # Errors
/// What the operating system says.
pub fn partition_directories(
    fs: &dyn Fs,
    data_dir: &Path,
) -> Result<Vec<PartitionDirectory>, StorageError> {
    let mut found = Vec::new();
    for entry in fs.read_dir(data_dir)?.into_iter().filter(|entry| entry.is_dir) {
        let Some((topic, index)) = directories::parse(&entry.name) else { continue };
        let dir = data_dir.join(&entry.name);
        let (topic, id) = (topic.to_owned(), recovery::owner(fs, &dir)?);
        found.push(PartitionDirectory { topic, index, id, dir });
    }
    Ok(found)
}

/// Unlinks a directory and all that is in it. That it is gone already is no error.
///
/// # Errors
/// What the operating system says.
pub fn remove_tree(fs: &dyn Fs, dir: &Path) -> Result<(), StorageError> {
    directories::remove_tree(fs, dir)
}
