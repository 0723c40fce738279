//! The data directory at both ends of a run: whose it is, whether the last stop was a clean one, and what a clean stop
//! leaves behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::checkpoint::{
    HIGH_WATERMARKS, LOG_STARTS, OffsetCheckpoint, PartitionOffset, RECOVERY_POINTS,
};
use super::directories;
use super::files::{Files, SYNC_ALL_FROM};
use super::format::{FormatError, FormatProblem};
use super::fs::{DirEntry, Fs, LockGuard, is_absent, read_file, replace_file};
use super::job::StorageError;
use super::lost_journal;
use super::manifest::{self, Manifest, ManifestPartition, StoredManifest};
use super::mark_file::Marks;
use super::meta::{CLEAN_MARKER, CleanMarker, FORMAT, META_PROPERTIES, MetaProperties};
use super::pool::Options;
use super::recovery;
use super::remembered::{self, Homes, Remembered};
use super::writer::Closed;
use crate::base::ids::{Offset, PartitionId, TopicId};
use crate::base::planted::{Bug, is_planted};
use crate::base::time::WallMs;

/// The file whose lock says that the directory is in use.
const LOCK: &str = ".lock";
/// Most bytes of a small file of text.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// What was found in the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Whether the last stop was a clean one, or there was none.
    pub clean: bool,
    /// Whether the directory is new.
    pub new: bool,
    /// The cluster's id.
    pub cluster_id: String,
    /// The directory's id (KIP-858).
    pub directory_id: TopicId,
    /// This node.
    pub node_id: i32,
    /// When the last clean stop was, as far as the clock was believed.
    pub stopped_at: Option<WallMs>,
}

/// Why the data directory cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// Another process uses it.
    Locked(PathBuf),
    /// The disk refused, or a file is not what it should be.
    Storage(StorageError),
    /// A newer version wrote it.
    FromTheFuture {
        /// The file that says so.
        path: PathBuf,
        /// In words.
        reason: String,
    },
    /// It belongs to another node, or to another program.
    Foreign {
        /// The file that says so.
        path: PathBuf,
        /// In words.
        reason: String,
    },
    /// No thread could be started.
    Thread(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Locked(path) => {
                write!(f, "{} is locked: another process uses this data directory", path.display())
            }
            StartError::Storage(error) => write!(f, "{error}"),
            StartError::FromTheFuture { path, reason } | StartError::Foreign { path, reason } => {
                write!(f, "{}: {reason}", path.display())
            }
            StartError::Thread(reason) => write!(f, "start a thread: {reason}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<StorageError> for StartError {
    fn from(error: StorageError) -> StartError {
        StartError::Storage(error)
    }
}

/// An open data directory.
pub(super) struct OpenedDir {
    pub(super) started: Started,
    pub(super) lock: LockGuard,
    pub(super) remembered: Remembered,
    /// The partitions of the topics that the broker keeps for itself, which are writer 0's.
    pub(super) journal: BTreeSet<PartitionId>,
    /// One for each writer.
    pub(super) marks: Vec<Marks>,
}

/// Opens the data directory. An error leaves it as it was.
pub(super) fn open(
    options: &Options,
    files: &Files,
    writer_count: usize,
) -> Result<OpenedDir, StartError> {
    let (fs, data_dir) = (&*options.fs, &*options.data_dir);
    // A directory that is refused is left as it is, without even a lock; what counts is read under the lock.
    read_meta(options)?;
    let lock = lock(fs, data_dir)?;
    let known = read_meta(options)?;
    let entries = fs.read_dir(data_dir)?;
    let new = known.is_none();
    if new && entries.iter().any(|entry| entry.is_dir && directories::parse(&entry.name).is_some())
    {
        let reason = "there are partitions beside it, but the file is missing".to_owned();
        return Err(StartError::Foreign { path: data_dir.join(META_PROPERTIES), reason });
    }
    if let (true, Some(parent)) = (new, parent_of(data_dir)) {
        // A start may have broken off between making the directory and syncing its name.
        match fs.sync_dir(parent) {
            Err(error) if is_out_of_reach(&error) => {}
            synced => synced?,
        }
    }
    files.open_volume(data_dir)?;
    files.space.open()?;
    let meta = match known {
        Some(meta) => meta,
        None => write_meta(options)?,
    };
    let manifest = match read_file(fs, &data_dir.join(CLEAN_MARKER), TEXT_BYTES_MAX)? {
        Some(_) => remembered::read_manifest(fs, data_dir)?,
        None => None,
    };
    let clean = new || manifest.is_some();
    let stopped_at = manifest.as_ref().map(StoredManifest::stopped_at);
    let journal = journal_partitions(fs, data_dir, &entries)?;
    let (mut remembered, told_by) = match manifest {
        Some(manifest) => (Remembered { manifest, ..Remembered::default() }, BTreeMap::new()),
        None => remembered::read_marks(fs, data_dir, &entries)?,
    };
    lost_journal::check(fs, data_dir, &mut remembered, options.adopt)?;
    if !clean && remembered.marks.len() > SYNC_ALL_FROM {
        // The syncs of the tails to come have nothing left to wait for.
        remembered.synced = files.can_believe_volume() && files.sync_volume().is_ok();
    }
    let homes = Homes { told_by, journal: &journal, writer_count };
    let stored = remembered::marks_files(&entries).count();
    let can_stay = clean && stored == writer_count;
    let kept = || remembered::kept_marks(files, data_dir, &remembered, &homes);
    let marks = match can_stay.then(kept).flatten() {
        Some(marks) => marks,
        None => remembered::write_marks(files, data_dir, &remembered, &homes)?,
    };
    remembered.marks_written = marks.iter().all(Marks::is_written);
    // From here on a crash makes the next start an unclean one.
    let marker = if is_planted(Bug::CleanMarkerKept) { "none" } else { CLEAN_MARKER };
    match fs.remove_file(&data_dir.join(marker)) {
        Err(error) if !is_absent(&error) => return Err(error.into()),
        _ => fs.sync_dir(data_dir)?,
    }
    files.space.look(None);
    let started = Started {
        clean,
        new,
        cluster_id: meta.cluster_id,
        directory_id: meta.directory_id.unwrap_or_default(),
        node_id: meta.node_id,
        stopped_at,
    };
    Ok(OpenedDir { started, lock, remembered, journal, marks })
}

/// Makes the directory if there is none, and locks it.
fn lock(fs: &dyn Fs, data_dir: &Path) -> Result<LockGuard, StartError> {
    let path = data_dir.join(LOCK);
    let locked = match fs.try_lock(&path) {
        Err(error) if is_absent(&error) => {
            make_dirs(fs, data_dir)?;
            fs.try_lock(&path)
        }
        locked => locked,
    };
    locked?.ok_or(StartError::Locked(path))
}

/// Whose the directories of the journal's topics are. One that does not say is nobody's yet.
fn journal_partitions(
    fs: &dyn Fs,
    data_dir: &Path,
    entries: &[DirEntry],
) -> Result<BTreeSet<PartitionId>, StorageError> {
    let mut found = BTreeSet::new();
    for entry in entries.iter().filter(|entry| entry.is_dir) {
        let Some((topic, index)) = directories::parse(&entry.name) else { continue };
        if directories::is_journal(topic) {
            let owner = recovery::owner(fs, &data_dir.join(&entry.name))?;
            found.extend(owner.map(|topic| PartitionId { topic, index }));
        }
    }
    Ok(found)
}

/// Makes a directory and those above it.
fn make_dirs(fs: &dyn Fs, dir: &Path) -> Result<(), StorageError> {
    match fs.create_dir(dir) {
        Err(error) if is_absent(&error) => {
            let Some(parent) = parent_of(dir).filter(|parent| fs.read_dir(parent).is_err()) else {
                return Err(error);
            };
            make_dirs(fs, parent)?;
            fs.create_dir(dir)
        }
        made => made,
    }?;
    parent_of(dir).map_or(Ok(()), |parent| fs.sync_dir(parent))
}

/// Whether a directory above ours is one that we may not sync, or that has nothing to sync: somebody else made ours there.
fn is_out_of_reach(error: &StorageError) -> bool {
    let refusals = [Errno::ACCESS, Errno::PERM, Errno::ROFS, Errno::INVAL];
    refusals.iter().any(|errno| error.errno == Some(errno.raw_os_error()))
}

/// The directory in which a directory's name stands, if the path tells.
fn parent_of(dir: &Path) -> Option<&Path> {
    dir.parent().filter(|parent| !parent.as_os_str().is_empty())
}

/// What `meta.properties` says; `None`: the directory is new.
fn read_meta(options: &Options) -> Result<Option<MetaProperties>, StartError> {
    let path = options.data_dir.join(META_PROPERTIES);
    let Some(bytes) = read_file(&*options.fs, &path, TEXT_BYTES_MAX)? else { return Ok(None) };
    let meta = MetaProperties::decode(&bytes).map_err(|error| of_format(&path, &error))?;
    if meta.format == 0 {
        let reason = "the directory was written by Kafka; import it instead".to_owned();
        return Err(StartError::Foreign { path, reason });
    }
    if meta.node_id != options.node_id {
        let reason =
            format!("it belongs to node {}, this is node {}", meta.node_id, options.node_id);
        return Err(StartError::Foreign { path, reason });
    }
    if let Some(asked) = options.cluster_id.as_ref().filter(|asked| **asked != meta.cluster_id) {
        let reason = format!("it belongs to cluster {}, this is cluster {asked}", meta.cluster_id);
        return Err(StartError::Foreign { path, reason });
    }
    Ok(Some(meta))
}

pub(super) fn of_format(path: &Path, error: &FormatError) -> StartError {
    match error.problem {
        FormatProblem::Version { .. } => {
            StartError::FromTheFuture { path: path.to_owned(), reason: error.to_string() }
        }
        _ => StartError::Storage(StorageError::content("read", path, error.to_string())),
    }
}

fn write_meta(options: &Options) -> Result<MetaProperties, StorageError> {
    let meta = MetaProperties {
        cluster_id: options.cluster_id.as_ref().unwrap_or(&options.new_cluster_id).clone(),
        node_id: options.node_id,
        directory_id: Some(options.new_directory_id),
        format: FORMAT,
    };
    let path = options.data_dir.join(META_PROPERTIES);
    replace_file(&*options.fs, &path, &meta.encode())?;
    options.fs.sync_dir(&options.data_dir)?;
    Ok(meta)
}

/// Leaves what a clean start needs, and Kafka's own checkpoints; the marker comes last.
pub(super) fn leave(
    files: &Files,
    data_dir: &Path,
    closed: Closed,
    now: WallMs,
) -> Result<(), StorageError> {
    if !closed.clean {
        let reason = "some partitions could not be closed; the next start checks all";
        return Err(StorageError::content("stop", data_dir, reason));
    }
    let mut partitions = closed.partitions;
    partitions.sort_by_key(|entry| entry.partition);
    write_checkpoints(files, data_dir, &partitions)?;
    let manifest = Manifest { stopped_at: now, partitions };
    replace(files, data_dir, manifest::FILE_NAME, &manifest.encode())?;
    mark_clean(files, data_dir)
}

/// Kafka's own checkpoints.
pub(super) fn write_checkpoints(
    files: &Files,
    data_dir: &Path,
    partitions: &[ManifestPartition],
) -> Result<(), StorageError> {
    let checkpoint = |offset: fn(&ManifestPartition) -> Offset| OffsetCheckpoint {
        entries: partitions
            .iter()
            .map(|entry| PartitionOffset {
                topic: entry.topic.clone(),
                partition: entry.partition.index,
                offset: offset(entry),
            })
            .collect(),
    };
    let ends = checkpoint(|entry| entry.log_end).encode();
    let starts = checkpoint(|entry| entry.log_start).encode();
    replace(files, data_dir, RECOVERY_POINTS, &ends)?;
    replace(files, data_dir, HIGH_WATERMARKS, &ends)?;
    replace(files, data_dir, LOG_STARTS, &starts)
}

/// Writes the marker of a clean stop, behind everything else.
pub(super) fn mark_clean(files: &Files, data_dir: &Path) -> Result<(), StorageError> {
    files.fs.sync_dir(data_dir)?;
    let marker = CleanMarker { broker_epoch: -1 };
    replace(files, data_dir, CLEAN_MARKER, &marker.encode())?;
    files.fs.sync_dir(data_dir)
}

fn replace(files: &Files, data_dir: &Path, name: &str, content: &[u8]) -> Result<(), StorageError> {
    let path = data_dir.join(name);
    files.space.with_ballast(|| replace_file(&*files.fs, &path, content))
}
