//! The data directory into which topics are imported: a new one, or one of a Chronik that was stopped cleanly.
//!
//! ```text
//!  new:      everything is written to DIR.importing; then that is renamed to DIR
//!  existing: A  partitions are written to DIR/chronik-import
//!            B  their marks are written; the clean marker goes: from here on a crash means an unclean start
//!            C  the partitions' directories are renamed into place; nobody knows them yet
//!            D  the groups' positions follow in a segment of their own; those in unknown topics do not count
//!            E  the records that make the topics known follow in another, whose name appears in one step
//!            F  manifest and marker are as after a clean stop
//! ```
//!
//! A start after a crash before E sets what lies around unknown aside; after E everything is there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::catalog::{Catalog, Topic};
use super::commits::{Commits, Entry};
use super::journal::{self, Pair};
use super::source::{FILE_BYTES_MAX, read_meta};
use super::{Around, TransferError, kraft, refuse, staging};
use crate::base::ids::{PartitionId, ProducerId, TopicId};
use crate::base::time::WallMs;
use crate::broker::random::Random;
use crate::broker::topic_table::{METADATA_TOPIC, OFFSETS_TOPIC};
use crate::storage::adopt::{self, Destination};
use crate::storage::fs::{Fs, LockGuard, is_absent, read_file, replace_file};
use crate::storage::job::StorageError;
use crate::storage::manifest::{self, Manifest, ManifestPartition};
use crate::storage::marks;
use crate::storage::meta::{CLEAN_MARKER, FORMAT, META_PROPERTIES, MetaProperties};
use crate::wire::messages::internal::metadata::{
    MetadataRecord, ProducerIdsRecord, RegisterBrokerRecord,
};

/// Bytes of records between two index entries: Kafka's default.
pub(super) const INDEX_INTERVAL_BYTES: u64 = 4096;
/// Where partitions are put together in a directory that is in use.
const STAGING: &str = "chronik-import";
/// The file of marks that holds between B and F: no writer has this number.
const MARKS_OF_NOBODY: u32 = 65_535;

/// What is to be made known.
pub(super) struct Import {
    pub(super) cluster_id: String,
    pub(super) node_id: i32,
    pub(super) topics: Vec<Topic>,
    pub(super) partitions: Vec<ManifestPartition>,
    pub(super) commits: Vec<Entry>,
    pub(super) next_producer_id: ProducerId,
    pub(super) leader_epoch: i32,
}

/// A data directory of ours that has topics already.
struct Existing {
    meta: MetaProperties,
    manifest: Manifest,
    catalog: Catalog,
    commits: Commits,
    _lock: LockGuard,
}

/// The data directory.
pub(super) struct Target {
    fs: Arc<dyn Fs>,
    now: WallMs,
    random: Random,
    dir: PathBuf,
    /// Where partitions are put together.
    pub(super) staging: PathBuf,
    existing: Option<Existing>,
}

impl Target {
    /// Makes room, or says why there is none. Nothing that matters is changed yet.
    pub(super) fn open(dir: &Path, around: &Around) -> Result<Target, TransferError> {
        let fs = &*around.fs;
        let entries = match fs.read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let existing = match read_meta(fs, dir)? {
            Some(meta) => Some(Existing::open(fs, dir, meta)?),
            None if entries.is_empty() => None,
            None => {
                let reason = "is not empty, and no data directory of Chronik";
                return refuse(format!("{} {reason}", dir.display()));
            }
        };
        let staging = match &existing {
            Some(_) => dir.join(STAGING),
            None => staging::beside(dir, ".importing")?,
        };
        staging::begin(fs, &staging)?;
        Ok(Target {
            fs: Arc::clone(&around.fs),
            now: around.now,
            random: Random::new(around.seed),
            dir: dir.to_owned(),
            staging,
            existing,
        })
    }

    /// The node to which the directory belongs, if it is not new.
    pub(super) fn node_id(&self) -> Option<i32> {
        self.existing.as_ref().map(|existing| existing.meta.node_id)
    }

    /// Refuses topics that are there already.
    pub(super) fn check_names(&self, topics: &[Topic]) -> Result<(), TransferError> {
        let Some(existing) = &self.existing else { return Ok(()) };
        let taken = topics.iter().filter(|topic| {
            let mut known = existing.catalog.topics();
            known.any(|known| known.name == topic.name || known.id == topic.id)
        });
        let reason = |topic: &Topic| format!("there is a topic {} already", topic.name);
        let reasons: Vec<String> = taken.map(reason).collect();
        if reasons.is_empty() { Ok(()) } else { Err(TransferError::Refused(reasons)) }
    }

    /// Gives up: what was put together is removed.
    pub(super) fn give_up(&self) {
        if let Err(error) = adopt::remove_tree(&*self.fs, &self.staging) {
            log::warn!("{error}");
        }
    }

    /// Makes everything known that was put together.
    pub(super) fn finish(mut self, import: Import) -> Result<(), TransferError> {
        match self.existing.take() {
            Some(existing) => self.finish_existing(existing, import),
            None => self.finish_new(import),
        }
    }

    fn finish_new(&mut self, import: Import) -> Result<(), TransferError> {
        let fs = &*Arc::clone(&self.fs);
        let (staging, node_id) = (self.staging.clone(), import.node_id);
        let offsets = Topic {
            name: OFFSETS_TOPIC.to_owned(),
            id: self.random.topic_id(),
            partitions: [0].into(),
            configs: crate::broker::topic_configs::of_journal(),
        };
        let mut partitions = import.partitions;
        let mut records = Vec::new();
        let mut topics = import.topics;
        if !import.commits.is_empty() {
            let batches =
                journal::batches(0, import.leader_epoch, self.now, &pairs(&import.commits))?;
            let to = self.journal_at(&staging, OFFSETS_TOPIC);
            partitions.push(adopt::write_log(
                &self.to(&to, offsets.id, OFFSETS_TOPIC),
                0,
                &batches,
            )?);
            topics.push(offsets);
        }
        for topic in &topics {
            records.extend(kraft::topic_records(topic, node_id, None));
        }
        records.extend(self.figures(node_id, import.leader_epoch, import.next_producer_id));
        let records = kraft::keyed(&records)?;
        let batches = journal::batches(0, import.leader_epoch, self.now, &records)?;
        let to = self.journal_at(&staging, METADATA_TOPIC);
        partitions.push(adopt::write_log(
            &self.to(&to, TopicId::METADATA, METADATA_TOPIC),
            0,
            &batches,
        )?);
        let meta = MetaProperties {
            cluster_id: import.cluster_id,
            node_id,
            directory_id: Some(self.random.topic_id()),
            format: FORMAT,
        };
        replace_file(fs, &staging.join(META_PROPERTIES), &meta.encode())?;
        adopt::leave_clean(&self.fs, &staging, partitions, self.now)?;
        Ok(staging::put_in_place(fs, &staging, &self.dir)?)
    }

    fn finish_existing(&mut self, existing: Existing, import: Import) -> Result<(), TransferError> {
        let fs = &*Arc::clone(&self.fs);
        let node_id = existing.meta.node_id;
        let mut known = existing.manifest.partitions;
        // B
        let together: Vec<_> = known.iter().chain(&import.partitions).cloned().collect();
        let marks = adopt::marks_of(MARKS_OF_NOBODY, &together);
        let marks_path = self.dir.join(marks::file_name(MARKS_OF_NOBODY));
        replace_file(fs, &marks_path, &marks.encode())?;
        fs.sync_dir(&self.dir)?;
        fs.remove_file(&self.dir.join(CLEAN_MARKER))?;
        fs.sync_dir(&self.dir)?;
        // C
        for partition in &import.partitions {
            let name = format!("{}-{}", partition.topic, partition.partition.index);
            fs.rename(&self.staging.join(&name), &self.dir.join(&name))?;
        }
        fs.sync_dir(&self.dir)?;
        // What is removed later must not be what was moved.
        fs.sync_dir(&self.staging)?;
        // D
        let epoch =
            i32::try_from(existing.catalog.broker_epoch).unwrap_or(0).max(import.leader_epoch);
        let is_new = |entry: &&Entry| entry.is_position || !existing.commits.contains(&entry.key);
        let commits: Vec<Entry> = import.commits.iter().filter(is_new).cloned().collect();
        self.extend(&mut known, OFFSETS_TOPIC, epoch, &pairs(&commits))?;
        // E
        let mut records = Vec::new();
        for topic in &import.topics {
            records.extend(kraft::topic_records(topic, node_id, None));
        }
        let next = existing.catalog.next_producer_id.max(import.next_producer_id);
        records.extend(self.figures(node_id, epoch, next));
        self.extend(&mut known, METADATA_TOPIC, epoch, &kraft::keyed(&records)?)?;
        // F
        known.extend(import.partitions);
        fs.remove_file(&marks_path)?;
        adopt::remove_tree(fs, &self.staging)?;
        Ok(adopt::leave_clean(&self.fs, &self.dir, known, self.now)?)
    }

    /// Appends records to a log of the journal, in a segment of their own.
    fn extend(
        &self,
        known: &mut [ManifestPartition],
        topic: &str,
        epoch: i32,
        records: &[Pair],
    ) -> Result<(), TransferError> {
        if records.is_empty() {
            return Ok(());
        }
        let Some(log) = known.iter_mut().find(|log| log.topic == topic) else {
            return refuse(format!("{} has no {topic}", self.dir.display()));
        };
        let batches = journal::batches(log.log_end, epoch, self.now, records)?;
        let dir = self.journal_at(&self.dir, topic);
        let to = self.to(&dir, log.partition.topic, topic);
        let (segment, end) = adopt::write_segment(&to, log.log_end, &batches)?;
        self.fs.sync_dir(&dir)?;
        // One that nothing was written to has the same name.
        log.segments.retain(|known| known.base < segment.base);
        log.segments.push(segment);
        if log.epochs.last().is_none_or(|(newest, _)| *newest < epoch) {
            log.epochs.push((epoch, log.log_end));
        }
        log.log_end = end;
        Ok(())
    }

    /// The leader epoch, which no batch may be ahead of, and the ids that were given out.
    fn figures(&mut self, node_id: i32, epoch: i32, next_id: ProducerId) -> [MetadataRecord; 2] {
        let epoch = i64::from(epoch.max(0));
        [
            MetadataRecord::RegisterBroker(RegisterBrokerRecord {
                broker_id: node_id,
                incarnation_id: self.random.topic_id(),
                broker_epoch: epoch,
                fenced: false,
                ..RegisterBrokerRecord::default()
            }),
            MetadataRecord::ProducerIds(ProducerIdsRecord {
                broker_id: node_id,
                broker_epoch: epoch,
                next_producer_id: next_id,
            }),
        ]
    }

    fn journal_at(&self, dir: &Path, topic: &str) -> PathBuf {
        dir.join(format!("{topic}-0"))
    }

    fn to<'a>(&'a self, dir: &'a Path, topic_id: TopicId, topic: &'a str) -> Destination<'a> {
        Destination {
            fs: &self.fs,
            dir,
            partition: PartitionId { topic: topic_id, index: 0 },
            topic,
            index_interval_bytes: INDEX_INTERVAL_BYTES,
            leader_epoch: None,
            abort_open: None,
        }
    }
}

impl Existing {
    fn open(fs: &dyn Fs, dir: &Path, meta: MetaProperties) -> Result<Existing, TransferError> {
        let named = dir.display();
        if meta.format == 0 {
            return refuse(format!("{named} is Kafka's own; name another directory"));
        }
        let unclean =
            || refuse(format!("{named} was not stopped cleanly: start and stop its broker once"));
        // What is refused is left without even a lock; what counts is read under it.
        if !adopt::is_clean(fs, dir)? {
            return unclean();
        }
        let Some(lock) = fs.try_lock(&dir.join(".lock"))? else {
            return refuse(format!("{named} is in use: stop its broker first"));
        };
        let path = dir.join(manifest::FILE_NAME);
        let manifest = match (adopt::is_clean(fs, dir)?, read_file(fs, &path, FILE_BYTES_MAX)?) {
            (true, Some(bytes)) => Manifest::decode(&bytes),
            _ => return unclean(),
        };
        let manifest =
            manifest.map_err(|error| StorageError::content("read", &path, error.to_string()))?;
        let metadata = dir.join(format!("{METADATA_TOPIC}-0"));
        let catalog = Catalog::read(fs, &metadata, false)?;
        let mut commits = Commits::default();
        if manifest.partitions.iter().any(|log| log.topic == OFFSETS_TOPIC) {
            commits.read(fs, &dir.join(format!("{OFFSETS_TOPIC}-0")), false)?;
        }
        Ok(Existing { meta, manifest, catalog, commits, _lock: lock })
    }
}

fn pairs(entries: &[Entry]) -> Vec<Pair> {
    entries.iter().map(|entry| (Some(entry.key.clone()), entry.value.clone())).collect()
}

/// The settings that Chronik knows, and the names of those that it does not.
pub(super) fn known_configs(topic: &mut Topic) -> Vec<String> {
    let configs: BTreeMap<String, String> = std::mem::take(&mut topic.configs);
    let (known, unknown): (BTreeMap<_, _>, BTreeMap<_, _>) = configs
        .into_iter()
        .partition(|(key, value)| crate::broker::topic_configs::check(key, Some(value)).is_ok());
    topic.configs = known;
    unknown.into_keys().collect()
}
