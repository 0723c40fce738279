//! What the last stop left behind of each partition: its part of the manifest, or after a crash its durable mark. The
//! start reads it, and sees to it that the marks say the same, each in the file of the writer that has the partition now.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::files::Files;
use super::format::{FormatError, FormatProblem};
use super::fs::{DirEntry, Fs, read_file, replace_file};
use super::job::StorageError;
use super::manifest::{self, ManifestPartition, StoredManifest};
use super::mark_file::Marks;
use super::marks::{self, Mark, MarksFile};
use super::startup::{StartError, of_format};
use super::writer::writer_of;
use crate::base::ids::PartitionId;

/// Most bytes of the manifest, and of a file of marks: those of a million partitions.
const FILE_BYTES_MAX: usize = 256 << 20;

/// What the last stop left behind.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// What the manifest says, after a clean stop.
    pub(super) manifest: StoredManifest,
    /// The durable marks, after any other.
    pub(super) marks: BTreeMap<PartitionId, Mark>,
    /// Whether no mark was lost: a partition without one is new.
    pub(super) marks_whole: bool,
    /// Whether the files of marks say the same.
    pub(super) marks_written: bool,
    /// Whether everything was synced after an unclean stop.
    pub(super) synced: bool,
}

impl Remembered {
    /// Up to where a partition is known to be on the disk: after a clean stop, to its end.
    pub(super) fn mark(&self, partition: PartitionId) -> Option<Mark> {
        let told = || self.manifest.get(partition).map(|entry| mark_of(&entry));
        self.marks.get(&partition).copied().or_else(told)
    }

    /// Whether anything is known of a partition.
    pub(super) fn knows(&self, partition: PartitionId) -> bool {
        self.marks.contains_key(&partition) || self.manifest.has(partition)
    }

    /// Forgets a partition.
    pub(super) fn forget(&mut self, partition: PartitionId) {
        self.marks.remove(&partition);
        self.manifest.forget(partition);
    }

    fn all_marks(&self) -> impl Iterator<Item = Mark> {
        let told = self.manifest.iter().map(|entry| mark_of(&entry));
        self.marks.values().copied().chain(told)
    }

    /// What belongs into the file of each writer.
    fn files(&self, homes: &Homes<'_>) -> Vec<MarksFile> {
        let mut files = vec![MarksFile::default(); homes.writer_count];
        for (number, file) in files.iter_mut().enumerate() {
            file.writer = u32::try_from(number).unwrap_or(u32::MAX);
        }
        for mark in self.all_marks() {
            if let Some(file) = files.get_mut(homes.of(mark.partition)) {
                file.marks.insert(mark.partition, mark);
            }
        }
        files
    }
}

pub(super) fn mark_of(entry: &ManifestPartition) -> Mark {
    let last = entry.segments.last();
    Mark {
        round: 0,
        partition: entry.partition,
        log_start: entry.log_start,
        end: entry.log_end,
        segment_base: last.map_or(entry.log_end, |segment| segment.base),
        segment_bytes: last.map_or(0, |segment| segment.bytes),
    }
}

/// The manifest of a clean stop, which is of no use if it is damaged. `None`: the stop was as good as a crash.
pub(super) fn read_manifest(
    fs: &dyn Fs,
    data_dir: &Path,
) -> Result<Option<StoredManifest>, StartError> {
    let path = data_dir.join(manifest::FILE_NAME);
    let Some(bytes) = read_file(fs, &path, FILE_BYTES_MAX)? else { return Ok(None) };
    match StoredManifest::open(bytes) {
        Ok(manifest) => Ok(Some(manifest)),
        Err(error) if is_from_the_future(&error) => Err(of_format(&path, &error)),
        Err(error) => {
            log::warn!("{}: {error}; starting as after a crash", path.display());
            Ok(None)
        }
    }
}

fn is_from_the_future(error: &FormatError) -> bool {
    matches!(error.problem, FormatProblem::Version { .. })
}

/// Reads all files of marks. Gives also which writer's file had each partition's mark.
pub(super) fn read_marks(
    fs: &dyn Fs,
    data_dir: &Path,
    entries: &[DirEntry],
) -> Result<(Remembered, BTreeMap<PartitionId, usize>), StartError> {
    let (mut read, mut lost) = (0usize, 0usize);
    let mut found: BTreeMap<PartitionId, Mark> = BTreeMap::new();
    let mut told_by = BTreeMap::new();
    for name in marks_files(entries) {
        let path = data_dir.join(name);
        let Some(bytes) = read_file(fs, &path, FILE_BYTES_MAX)? else { continue };
        match MarksFile::decode(&bytes) {
            Ok(file) => {
                read += 1;
                lost += file.lost;
                for (partition, mark) in file.marks {
                    // The same twice, if a start broke off while it wrote the files anew.
                    if found.get(&partition).is_none_or(|kept| is_newer(kept, &mark)) {
                        found.insert(partition, mark);
                        told_by.insert(partition, as_usize(file.writer));
                    }
                }
            }
            Err(error) if is_from_the_future(&error) => return Err(of_format(&path, &error)),
            Err(error) => {
                lost += 1;
                log::warn!("{}: {error}", path.display());
            }
        }
    }
    let marks_whole = read > 0 && lost == 0;
    Ok((Remembered { marks: found, marks_whole, ..Remembered::default() }, told_by))
}

/// The names of the files of marks in the data directory.
pub(super) fn marks_files(entries: &[DirEntry]) -> impl Iterator<Item = &str> {
    let is_marks_file = |name: &&str| {
        name.strip_prefix(marks::FILE_NAME_PREFIX)
            .is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
    };
    let files = entries.iter().filter(|entry| !entry.is_dir);
    files.map(|entry| &*entry.name).filter(is_marks_file)
}

/// Whether the second of two marks of one partition says more. Neither its end nor its first offset goes back.
fn is_newer(kept: &Mark, mark: &Mark) -> bool {
    (kept.end, kept.log_start) < (mark.end, mark.log_start)
}

/// In whose file a partition's mark stands.
pub(super) struct Homes<'a> {
    /// In whose it was found.
    pub(super) told_by: BTreeMap<PartitionId, usize>,
    pub(super) journal: &'a BTreeSet<PartitionId>,
    pub(super) writer_count: usize,
}

impl Homes<'_> {
    fn of(&self, partition: PartitionId) -> usize {
        if self.journal.contains(&partition) { 0 } else { writer_of(partition, self.writer_count) }
    }

    /// Whether some mark changes its file.
    fn have_changed(&self) -> bool {
        self.told_by.iter().any(|(partition, writer)| self.of(*partition) != *writer)
    }
}

/// The files of marks as they are, if the one of each writer says just what it should. `None`: they are to be written anew.
pub(super) fn kept_marks(
    files: &Files,
    data_dir: &Path,
    remembered: &Remembered,
    homes: &Homes<'_>,
) -> Option<Vec<Marks>> {
    let keep = |content: MarksFile| {
        let path = data_dir.join(marks::file_name(content.writer));
        let bytes = read_file(&*files.fs, &path, FILE_BYTES_MAX).ok()??;
        Marks::kept(files, &path, &bytes, &content)
    };
    remembered.files(homes).into_iter().map(keep).collect()
}

/// Writes the marks anew, each to the file of the writer that has the partition now. If some change their file, all of
/// them go to one that no writer has, first: a crash in between loses none. On a full disk the files stay as they are,
/// which is behind at most, and are written when there is room.
pub(super) fn write_marks(
    files: &Files,
    data_dir: &Path,
    remembered: &Remembered,
    homes: &Homes<'_>,
) -> Result<Vec<Marks>, StorageError> {
    let (fs, writer_count) = (&*files.fs, homes.writer_count);
    let write = |file: MarksFile| {
        let path = data_dir.join(marks::file_name(file.writer));
        let bytes = file.encode();
        match files.space.with_ballast(|| replace_file(fs, &path, &bytes)) {
            Err(error) if error.is_out_of_space() && !homes.have_changed() => {
                log::warn!("{error}; it is written when there is room");
                Ok(Marks::unwritten(files, path, file))
            }
            written => written.and_then(|()| Marks::new(files, path, file)),
        }
    };
    if homes.have_changed() {
        let marks = remembered.all_marks().map(|mark| (mark.partition, mark)).collect();
        let writer = u32::try_from(writer_count).unwrap_or(u32::MAX);
        write(MarksFile { writer, marks, ..MarksFile::default() })?;
        fs.sync_dir(data_dir)?;
    }
    let written = remembered.files(homes).into_iter().map(write).collect::<Result<_, _>>()?;
    fs.sync_dir(data_dir)?;
    for name in marks_files(&fs.read_dir(data_dir)?) {
        let number =
            name.strip_prefix(marks::FILE_NAME_PREFIX).and_then(|n| n.parse::<usize>().ok());
        if number.is_none_or(|number| number >= writer_count) {
            fs.remove_file(&data_dir.join(name))?;
        }
    }
    Ok(written)
}

fn as_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
