//! A stopped Kafka node: its log directories, and what its copy of the cluster's metadata says of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::catalog::{Catalog, Topic};
use super::commits::Commits;
use super::source::Source;
use super::{Globs, TransferError, refuse};
use crate::base::ids::Offset;
use crate::broker::topic_table::{METADATA_TOPIC, OFFSETS_TOPIC, is_internal};
use crate::storage::adopt::{self, PartitionDirectory};
use crate::storage::checkpoint::{LOG_STARTS, RECOVERY_POINTS};
use crate::storage::fs::Fs;
use crate::storage::job::TOPIC_NAME_TAKEN;

/// A node that is held.
pub(super) struct Node {
    pub(super) sources: Vec<Source>,
    pub(super) catalog: Catalog,
    /// Whether the catalog is Kafka's, or was guessed from the directories.
    pub(super) has_metadata: bool,
    partitions: Vec<PartitionDirectory>,
    log_starts: BTreeMap<(String, i32), Offset>,
    recovery_points: BTreeMap<(String, i32), Offset>,
    unclean: bool,
}

impl Node {
    /// Takes hold of a node. `unclean`: it may have been killed.
    pub(super) fn open(
        fs: &dyn Fs,
        from: &[PathBuf],
        unclean: bool,
    ) -> Result<Node, TransferError> {
        let mut node = Node {
            sources: Vec::new(),
            catalog: Catalog::default(),
            has_metadata: false,
            partitions: Vec::new(),
            log_starts: BTreeMap::new(),
            recovery_points: BTreeMap::new(),
            unclean,
        };
        for dir in from {
            node.add(fs, Source::open(fs, dir)?)?;
        }
        if !node.has_metadata {
            for found in &node.partitions {
                if let Some(id) = found.id {
                    node.catalog.add_partition(&found.topic, id, found.index);
                }
            }
        }
        Ok(node)
    }

    fn add(&mut self, fs: &dyn Fs, source: Source) -> Result<(), TransferError> {
        let dir = source.dir.display();
        if source.meta.format > 0 {
            return refuse(format!("{dir} is Chronik's own: copy it as it is"));
        }
        if !source.clean && !self.unclean {
            return refuse(format!(
                "{dir} was not stopped cleanly: start and stop its Kafka once, or say --unclean"
            ));
        }
        let node = self.sources.first().map_or(source.meta.node_id, |first| first.meta.node_id);
        if source.meta.node_id != node {
            return refuse(format!("{dir} belongs to node {}, not {node}", source.meta.node_id));
        }
        self.log_starts.extend(source.checkpoint(fs, LOG_STARTS)?);
        self.recovery_points.extend(source.checkpoint(fs, RECOVERY_POINTS)?);
        for found in adopt::partition_directories(fs, &source.dir)? {
            if found.topic == METADATA_TOPIC {
                self.catalog = Catalog::read(fs, &found.dir, self.unclean)?;
                self.has_metadata = true;
            } else {
                self.partitions.push(found);
            }
        }
        self.sources.push(source);
        Ok(())
    }

    /// The topics to be copied, or why they cannot be.
    pub(super) fn select(&self, globs: &Globs) -> Result<Vec<Topic>, TransferError> {
        let wanted = |topic: &&Topic| !is_internal(&topic.name) && globs.match_name(&topic.name);
        let topics: Vec<Topic> = self.catalog.topics().filter(wanted).cloned().collect();
        let mut reasons = Vec::new();
        for topic in &topics {
            let name = &topic.name;
            for index in topic.partitions.iter().filter(|i| self.directory(topic, **i).is_none()) {
                reasons
                    .push(format!("{name}-{index} is not in these directories; leave out {name}"));
            }
            if name == TOPIC_NAME_TAKEN {
                reasons.push(format!("no topic can be named {name} here; leave it out"));
            }
            let tiered = topic.configs.get("remote.storage.enable");
            if tiered.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
                reasons.push(format!("{name} has records in tiered storage; leave it out"));
            }
        }
        if reasons.is_empty() { Ok(topics) } else { Err(TransferError::Refused(reasons)) }
    }

    /// The directories that hold records of topics which no metadata knows.
    pub(super) fn strays(&self) -> impl Iterator<Item = &PartitionDirectory> {
        self.partitions.iter().filter(|found| {
            let known = found.id.and_then(|id| self.catalog.topics().find(|topic| topic.id == id));
            known.is_none_or(|topic| topic.name != found.topic)
        })
    }

    /// A partition's directory.
    pub(super) fn directory(&self, topic: &Topic, index: i32) -> Option<&PartitionDirectory> {
        // Directories of Kafka before 2.8 do not tell whose they are.
        self.partitions.iter().find(|found| {
            let ours = found.id.is_none_or(|id| id == topic.id);
            ours && found.topic == topic.name && found.index == index
        })
    }

    /// Where a partition's log begins, if that is not where its first segment does.
    pub(super) fn log_start(&self, topic: &Topic, index: i32) -> Option<Offset> {
        self.log_starts.get(&(topic.name.clone(), index)).copied()
    }

    /// From where on a crash may have torn a partition's log.
    pub(super) fn torn_from(&self, topic: &Topic, index: i32) -> Option<Offset> {
        let point = self.recovery_points.get(&(topic.name.clone(), index)).copied();
        self.unclean.then(|| point.unwrap_or(0))
    }

    /// The groups and their positions.
    pub(super) fn commits(&self, fs: &dyn Fs) -> Result<Commits, TransferError> {
        let mut commits = Commits::default();
        for found in self.partitions.iter().filter(|found| found.topic == OFFSETS_TOPIC) {
            commits.read(fs, &found.dir, self.unclean)?;
        }
        Ok(commits)
    }
}
