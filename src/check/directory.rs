//! The data directory: whose it is, what its own files say, and which partitions there are.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::CheckError;
use super::journal::Journal;
use super::partition::{self, Known};
use super::report::{Place, Report};
use crate::base::ids::{PartitionId, TopicId};
use crate::dump_log::damage_in;
use crate::dump_log::source::{self, Source};
use crate::storage::directories;
use crate::storage::manifest::{self, Manifest, ManifestPartition};
use crate::storage::marks::{self, Mark, MarksFile};
use crate::storage::meta::{CLEAN_MARKER, META_PROPERTIES};

/// The largest file that is read whole.
const FILE_BYTES_MAX: usize = 1 << 30;
const METADATA_DIR: &str = "__cluster_metadata-0";

/// A data directory.
pub(super) struct Directory {
    path: PathBuf,
    /// Whether the last stop was a clean one, and nobody has started since.
    clean: bool,
    marks: BTreeMap<PartitionId, Mark>,
    manifest: BTreeMap<PartitionId, ManifestPartition>,
    /// Directories, by name.
    entries: Vec<String>,
}

impl Directory {
    /// Reads the files in the directory itself, and tells what is wrong with them.
    pub(super) fn read(path: &Path, report: &mut Report<'_>) -> Result<Directory, CheckError> {
        let input = |error| CheckError::Input(path.to_owned(), error);
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(path).map_err(input)? {
            let entry = entry.map_err(input)?;
            if entry.file_type().map_err(input)?.is_dir() {
                entries.extend(entry.file_name().into_string().ok());
            }
        }
        entries.sort();
        let mut directory = Directory {
            path: path.to_owned(),
            clean: path.join(CLEAN_MARKER).exists(),
            marks: BTreeMap::new(),
            manifest: BTreeMap::new(),
            entries,
        };
        // Marks before logs: a running broker's logs only grow beyond them.
        directory.read_files(report)?;
        Ok(directory)
    }

    fn read_files(&mut self, report: &mut Report<'_>) -> io::Result<()> {
        if !self.path.join(META_PROPERTIES).exists() {
            report.damage(&self.path.join(META_PROPERTIES), Place::default(), "it is missing")?;
        }
        if !self.clean {
            let what = "there is no mark of a clean stop: a broker uses the directory, or the last one crashed. What lies \
                        above the durable marks may be torn, and is no damage";
            report.note(&self.path.join(CLEAN_MARKER), Place::default(), what)?;
        }
        for file in source::list(&self.path)? {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_stale = name == manifest::FILE_NAME && !self.clean;
            let found = match damage_in(&file) {
                Ok(found) => found,
                Err(error) => {
                    let what = format_args!("cannot be read: {error}");
                    report.damage(&file, Place::default(), what)?;
                    continue;
                }
            };
            for damage in found.into_iter().filter(|_| !is_stale) {
                let place = Place { position: damage.position, offsets: None };
                report.damage(&file, place, damage.what)?;
            }
            let mut source = Source::open(&file)?;
            if name.starts_with(marks::FILE_NAME_PREFIX) {
                self.read_marks(source.peek(0, FILE_BYTES_MAX)?);
            } else if name == manifest::FILE_NAME && self.clean {
                let decoded = Manifest::decode(source.peek(0, FILE_BYTES_MAX)?);
                let partitions = decoded.unwrap_or_default().partitions.into_iter();
                self.manifest = partitions.map(|entry| (entry.partition, entry)).collect();
            }
        }
        Ok(())
    }

    fn read_marks(&mut self, bytes: &[u8]) {
        let Ok(file) = MarksFile::decode(bytes) else { return };
        for (partition, mark) in file.marks {
            let known = self.marks.entry(partition).or_insert(mark);
            if known.end < mark.end {
                *known = mark;
            }
        }
    }

    /// Looks at all partitions: the journal first, which tells whose the others are.
    pub(super) fn check(&self, report: &mut Report<'_>) -> io::Result<()> {
        let mut journal = Journal::default();
        let partitions: Vec<(&str, &str, i32)> = self
            .entries
            .iter()
            .filter_map(|name| directories::parse(name).map(|(topic, n)| (name.as_str(), topic, n)))
            .collect();
        if self.entries.iter().any(|name| name == METADATA_DIR) {
            let known = self.known(TopicId::METADATA, 0, true);
            let dir = self.path.join(METADATA_DIR);
            partition::check(&dir, METADATA_DIR, &known, Some(&mut journal), report)?;
        }
        if !journal.has_records && partitions.iter().any(|(name, ..)| *name != METADATA_DIR) {
            let what = "the topics of the partitions beside it are recorded nowhere";
            report.damage(&self.path.join(METADATA_DIR), Place::default(), what)?;
        }
        let mut seen = BTreeSet::new();
        for (name, topic, index) in partitions.iter().filter(|(name, ..)| *name != METADATA_DIR) {
            let dir = self.path.join(name);
            let owner = partition::owner(&dir);
            let recorded = journal.topics.iter().find(|(_, (known, _))| known == topic);
            let id = recorded.map(|(id, _)| *id).or(owner).unwrap_or_default();
            self.check_owner(&dir, owner, recorded.map(|(id, _)| *id), report)?;
            seen.insert(PartitionId { topic: id, index: *index });
            let gaps = directories::is_journal(topic) || journal.compacted.contains(*topic);
            let known = self.known(id, *index, gaps);
            partition::check(&dir, name, &known, None, report)?;
        }
        self.check_absent(&journal, &seen, report)?;
        for name in &self.entries {
            if name.ends_with(directories::STRAY_SUFFIX) {
                let what = "set aside, because no topic that is known has it";
                report.note(&self.path.join(name), Place::default(), what)?;
            }
        }
        Ok(())
    }

    fn known(&self, topic: TopicId, index: i32, gaps: bool) -> Known<'_> {
        let id = PartitionId { topic, index };
        Known { mark: self.marks.get(&id), manifest: self.manifest.get(&id), gaps }
    }

    fn check_owner(
        &self,
        dir: &Path,
        owner: Option<TopicId>,
        recorded: Option<TopicId>,
        report: &mut Report<'_>,
    ) -> io::Result<()> {
        match (owner, recorded) {
            (Some(owner), Some(recorded)) if owner != recorded => {
                let what =
                    format_args!("it says that topic {owner} owns it, the journal says {recorded}");
                report.damage(dir, Place::default(), what)
            }
            (None, _) => {
                report.damage(dir, Place::default(), "it does not say which topic owns it")
            }
            (_, None) => {
                let what = "the journal knows no such topic; the next start sets it aside";
                report.note(dir, Place::default(), what)
            }
            _ => Ok(()),
        }
    }

    /// Partitions that are recorded and have no directory, though they had records.
    fn check_absent(
        &self,
        journal: &Journal,
        seen: &BTreeSet<PartitionId>,
        report: &mut Report<'_>,
    ) -> io::Result<()> {
        for (topic, (name, count)) in &journal.topics {
            for index in 0..*count {
                let id = PartitionId { topic: *topic, index };
                let of_mark = self.marks.get(&id).map(|mark| (mark.log_start, mark.end));
                let of_manifest = self.manifest.get(&id).map(|told| (told.log_start, told.log_end));
                let offsets = of_manifest.or(of_mark).filter(|(start, end)| start < end);
                if offsets.is_some() && !seen.contains(&id) {
                    let dir = self.path.join(format!("{name}-{index}"));
                    let place = Place { position: None, offsets };
                    report.damage(&dir, place, "the partition's directory is missing")?;
                }
            }
        }
        Ok(())
    }
}
