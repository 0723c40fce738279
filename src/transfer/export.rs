//! The export: a log directory with which a Kafka node starts, as broker and controller in one.
//!
//! Batches get leader epoch 0, as in a topic that was just made. The first start of the node reads topics and settings
//! from a bootstrap file, as it reads what `kafka-storage format` leaves; the groups' positions lie in the partitions of
//! `__consumer_offsets` in which Kafka looks for them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::catalog::{Catalog, Topic};
use super::commits::{Commits, Entry};
use super::journal::{self, Pair};
use super::source::{FILE_BYTES_MAX, Source};
use super::target::INDEX_INTERVAL_BYTES;
use super::{Around, Globs, TransferError, bootstrap, kraft, refuse, staging};
use crate::base::ids::{Offset, PartitionId, TopicId};
use crate::base::payload::Bytes;
use crate::broker::random::Random;
use crate::broker::topic_configs;
use crate::broker::topic_table::{METADATA_TOPIC, OFFSETS_TOPIC, is_internal};
use crate::storage::adopt::{self, Copied, Destination, Original};
use crate::storage::fs::{is_absent, read_file, replace_file};
use crate::storage::job::StorageError;
use crate::storage::manifest::{self, Manifest, ManifestPartition};
use crate::storage::meta::{META_PROPERTIES, MetaProperties};
use crate::wire::messages::internal::offsets::OffsetCommitValue;

/// The epoch of every batch: that of a new topic.
const LEADER_EPOCH: i32 = 0;

/// What was asked for.
pub(super) struct Wanted {
    pub(super) to: PathBuf,
    pub(super) topics: Globs,
    pub(super) offsets_partitions: u32,
    pub(super) data_dir: PathBuf,
}

/// The directory that is read.
struct Stopped {
    source: Source,
    catalog: Catalog,
    log_starts: BTreeMap<PartitionId, Offset>,
}

/// Does it.
pub(super) fn run(
    wanted: &Wanted,
    around: &Around,
    out: &mut dyn Write,
) -> Result<(), TransferError> {
    let fs = &*around.fs;
    let stopped = Stopped::open(wanted, around)?;
    staging::check_apart(&wanted.to, &wanted.data_dir)?;
    match fs.read_dir(&wanted.to) {
        Ok(entries) if entries.is_empty() => {}
        Ok(_) => return refuse(format!("{} is there already", wanted.to.display())),
        Err(error) if is_absent(&error) => {}
        Err(error) => return Err(error.into()),
    }
    let staging = staging::beside(&wanted.to, ".exporting")?;
    staging::begin(fs, &staging)?;
    let mut export = Export { wanted, around, stopped: &stopped, staging: &staging, out };
    match export.fill() {
        Ok(()) => Ok(staging::put_in_place(fs, &staging, &wanted.to)?),
        Err(error) => {
            if let Err(error) = adopt::remove_tree(fs, &staging) {
                log::warn!("{error}");
            }
            Err(error)
        }
    }?;
    let (to, id) = (wanted.to.display(), stopped.source.meta.node_id);
    Ok(writeln!(out, "done; start Kafka with log.dirs={to} and node.id={id}, its own controller")?)
}

impl Stopped {
    fn open(wanted: &Wanted, around: &Around) -> Result<Stopped, TransferError> {
        let (fs, dir) = (&*around.fs, &*wanted.data_dir);
        let source = Source::open(fs, dir)?;
        if source.meta.format == 0 {
            return refuse(format!("{} is Kafka's own", dir.display()));
        }
        let path = dir.join(manifest::FILE_NAME);
        let manifest = match read_file(fs, &path, FILE_BYTES_MAX)? {
            Some(bytes) if source.clean => Manifest::decode(&bytes),
            _ => {
                let reason = "was not stopped cleanly: start and stop its broker once";
                return refuse(format!("{} {reason}", dir.display()));
            }
        };
        let manifest =
            manifest.map_err(|error| StorageError::content("read", &path, error.to_string()))?;
        let catalog = Catalog::read(fs, &dir.join(format!("{METADATA_TOPIC}-0")), false)?;
        let logs = manifest.partitions.iter();
        let log_starts = logs.map(|log| (log.partition, log.log_start)).collect();
        Ok(Stopped { source, catalog, log_starts })
    }
}

/// An export on its way.
struct Export<'a> {
    wanted: &'a Wanted,
    around: &'a Around,
    stopped: &'a Stopped,
    staging: &'a Path,
    out: &'a mut dyn Write,
}

impl Export<'_> {
    fn fill(&mut self) -> Result<(), TransferError> {
        let fs = &*self.around.fs;
        let mut random = Random::new(self.around.seed);
        let globs = &self.wanted.topics;
        let chosen = |topic: &&Topic| !is_internal(&topic.name) && globs.match_name(&topic.name);
        let mut topics: Vec<Topic> =
            self.stopped.catalog.topics().filter(chosen).cloned().collect();
        globs.check_chosen(&topics)?;
        let mut partitions = Vec::new();
        for topic in &topics {
            for index in &topic.partitions {
                partitions.push(self.copy(topic, *index)?);
            }
        }
        let offsets = Topic {
            name: OFFSETS_TOPIC.to_owned(),
            id: random.topic_id(),
            partitions: (0..i32::try_from(self.wanted.offsets_partitions).unwrap_or(1)).collect(),
            configs: topic_configs::of_journal(),
        };
        partitions.extend(self.commits(&topics, &offsets)?);
        topics.push(offsets);
        self.stopped.source.check_unused(fs)?;
        let meta = MetaProperties {
            cluster_id: self.stopped.source.meta.cluster_id.clone(),
            node_id: self.stopped.source.meta.node_id,
            directory_id: Some(random.topic_id()),
            format: 0,
        };
        bootstrap::write(self.around, self.staging, &meta, &topics, &self.stopped.catalog)?;
        replace_file(fs, &self.staging.join(META_PROPERTIES), &meta.encode())?;
        Ok(adopt::leave_clean_for_kafka(&self.around.fs, self.staging, &partitions)?)
    }

    fn copy(&mut self, topic: &Topic, index: i32) -> Result<ManifestPartition, TransferError> {
        let name = format!("{}-{index}", topic.name);
        let partition = PartitionId { topic: topic.id, index };
        let original = Original {
            dir: &self.wanted.data_dir.join(&name),
            log_start: self.stopped.log_starts.get(&partition).copied(),
            torn_from: None,
        };
        let interval = topic.configs.get("index.interval.bytes");
        let destination = Destination {
            fs: &self.around.fs,
            dir: &self.staging.join(&name),
            partition,
            topic: &topic.name,
            index_interval_bytes: interval
                .and_then(|text| text.parse().ok())
                .unwrap_or(INDEX_INTERVAL_BYTES),
            leader_epoch: Some(LEADER_EPOCH),
            abort_open: None,
        };
        let copied: Copied = adopt::copy_log(&original, &destination)?;
        let (start, end) = (copied.manifest.log_start, copied.manifest.log_end);
        writeln!(self.out, "{name}: offsets {start} to {end}, {} bytes", copied.bytes)?;
        Ok(copied.manifest)
    }

    /// The groups' positions, each in the partition that is the group's.
    fn commits(
        &mut self,
        topics: &[Topic],
        offsets: &Topic,
    ) -> Result<Vec<ManifestPartition>, TransferError> {
        let mut commits = Commits::default();
        let dir = self.wanted.data_dir.join(format!("{OFFSETS_TOPIC}-0"));
        if self.stopped.catalog.named(OFFSETS_TOPIC).is_some() {
            commits.read(&*self.around.fs, &dir, false)?;
        }
        let names: BTreeSet<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        let entries = commits.of_topics(|name| names.contains(name));
        let mut homes: BTreeMap<i32, Vec<Pair>> = BTreeMap::new();
        let positions = entries.iter().filter(|entry| entry.is_position).count();
        for entry in entries {
            let home = home_of(&entry.group, self.wanted.offsets_partitions);
            homes.entry(home).or_default().push((Some(entry.key.clone()), without_epoch(entry)?));
        }
        writeln!(self.out, "{positions} positions of groups")?;
        let write = |(index, records): (i32, Vec<Pair>)| {
            let batches = journal::batches(0, LEADER_EPOCH, self.around.now, &records)?;
            let destination = Destination {
                fs: &self.around.fs,
                dir: &self.staging.join(format!("{OFFSETS_TOPIC}-{index}")),
                partition: PartitionId { topic: offsets.id, index },
                topic: OFFSETS_TOPIC,
                index_interval_bytes: INDEX_INTERVAL_BYTES,
                leader_epoch: Some(LEADER_EPOCH),
                abort_open: None,
            };
            Ok(adopt::write_log(&destination, 0, &batches)?)
        };
        homes.into_iter().map(write).collect()
    }
}

/// The partition of `__consumer_offsets` that holds a group: Java's hash of its name, without the sign, modulo their
/// number.
fn home_of(group: &str, partitions: u32) -> i32 {
    let hash = group
        .encode_utf16()
        .fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Kafka takes the one number whose negative does not exist for 0.
    let positive = hash.checked_abs().unwrap_or(0).unsigned_abs();
    i32::try_from(positive.checked_rem(partitions).unwrap_or(0)).unwrap_or(0)
}

/// A position without the leader epoch that it had here, in the version that every Kafka 4 reads.
fn without_epoch(entry: Entry) -> Result<Vec<u8>, TransferError> {
    if !entry.is_position {
        return Ok(entry.value);
    }
    let value = OffsetCommitValue::decode(&Bytes::from(entry.value)).map_err(|error| {
        StorageError::content("read", Path::new(OFFSETS_TOPIC), error.to_string())
    })?;
    let plain = OffsetCommitValue { leader_epoch: -1, topic_id: TopicId::ZERO, ..value };
    let version = if plain.expire_timestamp >= 0 { 1 } else { OffsetCommitValue::VERSION };
    plain.encode(version).map_err(kraft::unwritable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_live_where_kafka_looks_for_them() {
        // Where Kafka 4.4.0 put their commits; the hash of the second is negative.
        for (group, home) in [("readers", 28), ("ünïcode readers", 10), ("in-a-transaction", 44)]
        {
            assert_eq!(home_of(group, 50), home, "{group}");
        }
    }
}
