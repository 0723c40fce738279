//! The table of topics: by name, by id, and what is on its way out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::journal::Position;
use super::partition::{Partition, PartitionState};
use crate::base::ids::{PartitionId, TopicId};
use crate::storage::job::{LogConfig, Upkept};

/// Kafka's topic of groups and commits.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// Kafka's topic of transactions.
pub const TRANSACTIONS_TOPIC: &str = "__transaction_state";
/// The log of topics, configurations and blocks of producer ids.
pub const METADATA_TOPIC: &str = "__cluster_metadata";
/// Kafka's topic of share groups.
pub const SHARE_TOPIC: &str = "__share_group_state";

/// Whether a name is one of Kafka's own, which clients may read and not write.
#[must_use]
pub fn is_internal(name: &str) -> bool {
    [OFFSETS_TOPIC, TRANSACTIONS_TOPIC, METADATA_TOPIC, SHARE_TOPIC].contains(&name)
}

/// One topic.
#[derive(Debug)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// Its identity.
    pub id: TopicId,
    /// Its partitions, by number.
    pub partitions: Vec<Partition>,
    /// Whether those that it was created with have, or had, their directories.
    pub is_made: bool,
    /// What was configured for it.
    pub configs: BTreeMap<String, String>,
    /// What that means for storage.
    pub log_config: Arc<LogConfig>,
    /// The compression that its batches must have, by Kafka's codec number; `None`: the producer's.
    pub codec: Option<u8>,
    /// The journal's position of its last change.
    pub position: Position,
}

impl Topic {
    /// One of its partitions.
    #[must_use]
    pub fn partition(&self, index: i32) -> Option<&Partition> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    /// The identities of its partitions.
    pub fn partition_ids(&self) -> impl Iterator<Item = PartitionId> + use<> {
        let topic = self.id;
        let count = i32::try_from(self.partitions.len()).unwrap_or(i32::MAX);
        (0..count).map(move |index| PartitionId { topic, index })
    }

    /// Whether every partition has its directory.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        // They are opened in order, so the last are the last.
        !self.partitions.iter().rev().any(|p| matches!(p.state, PartitionState::Opening))
    }
}

/// All topics.
#[derive(Debug, Default)]
pub struct TopicTable {
    topics: BTreeMap<Arc<str>, Topic>,
    names: BTreeMap<TopicId, Arc<str>>,
    /// Names with `_` for `.`, which metrics cannot tell apart.
    plain_names: BTreeMap<String, Arc<str>>,
    /// Names that are not free yet: the topic is deleted, its directories are not yet out of the way.
    leaving: BTreeMap<TopicId, Arc<str>>,
    /// The same, to be found by name.
    leaving_names: BTreeSet<Arc<str>>,
    /// Topics that the journal says were deleted, and whose directories may still be there.
    removed: BTreeSet<TopicId>,
    /// The journal's position of the newest removal.
    removal: Position,
    partition_count: usize,
    bytes: u64,
}

impl TopicTable {
    /// Adds a topic.
    pub fn insert(&mut self, topic: Topic) {
        self.partition_count += topic.partitions.len();
        self.names.insert(topic.id, Arc::clone(&topic.name));
        self.plain_names.insert(plain(&topic.name), Arc::clone(&topic.name));
        self.topics.insert(Arc::clone(&topic.name), topic);
    }

    /// Adds a partition to a topic; its directory is on its way.
    pub fn add_partition(&mut self, topic: TopicId, position: Position) {
        if let Some(topic) = self.by_id_mut(topic) {
            topic.partitions.push(Partition::default());
            topic.position = position;
            self.partition_count += 1;
        }
    }

    /// The journal's position after which it is sure that what is not here is gone.
    #[must_use]
    pub fn removal(&self) -> Position {
        self.removal
    }

    /// Takes a topic out. Its name stays taken until [`TopicTable::name_is_free`].
    pub fn remove(&mut self, id: TopicId, position: Position) -> Option<Topic> {
        self.removed.insert(id);
        self.removal = position;
        let name = self.names.remove(&id)?;
        let topic = self.topics.remove(&name)?;
        self.plain_names.remove(&plain(&name));
        self.partition_count -= topic.partitions.len();
        let bytes: u64 = topic.partitions.iter().map(|partition| partition.bytes).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        self.leaving_names.insert(Arc::clone(&name));
        self.leaving.insert(id, name);
        Some(topic)
    }

    /// The directories of a deleted topic are out of the way.
    pub fn name_is_free(&mut self, id: TopicId) {
        if let Some(name) = self.leaving.remove(&id) {
            self.leaving_names.remove(&name);
        }
        self.removed.remove(&id);
    }

    /// The directories of all topics that were deleted before the start are out of the way.
    pub fn names_are_free(&mut self) {
        self.leaving.clear();
        self.leaving_names.clear();
        self.removed.clear();
    }

    /// Whether a deleted topic's directories are still in the way of this name.
    #[must_use]
    pub fn is_leaving(&self, name: &str) -> bool {
        self.leaving_names.contains(name)
    }

    /// Topics that were deleted and may have left directories behind.
    pub fn removed(&self) -> impl Iterator<Item = TopicId> {
        self.removed.iter().copied()
    }

    /// A topic by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    /// A topic by name, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Topic> {
        self.topics.get_mut(name)
    }

    /// A topic by id.
    #[must_use]
    pub fn by_id(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(self.names.get(&id)?)
    }

    /// A topic by id, to be changed.
    pub fn by_id_mut(&mut self, id: TopicId) -> Option<&mut Topic> {
        self.topics.get_mut(self.names.get(&id)?)
    }

    /// A topic by id if there is one, else by name: requests carry one or the other, by version.
    #[must_use]
    pub fn resolve(&self, name: &str, id: TopicId) -> Option<&Topic> {
        if id.is_zero() { self.get(name) } else { self.by_id(id) }
    }

    /// A partition.
    #[must_use]
    pub fn partition(&self, id: PartitionId) -> Option<&Partition> {
        self.by_id(id.topic)?.partition(id.index)
    }

    /// A partition, to be changed.
    pub fn partition_mut(&mut self, id: PartitionId) -> Option<&mut Partition> {
        let index = usize::try_from(id.index).ok()?;
        self.by_id_mut(id.topic)?.partitions.get_mut(index)
    }

    /// All topics in order of names.
    pub fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.topics.values()
    }

    /// Number of topics.
    #[must_use]
    pub fn len(&self) -> usize {
        self.topics.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Number of partitions of all topics.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// Bytes in the logs of all topics.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A log was opened, or has grown, by so many bytes.
    pub fn grew(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// A log was looked after. Answers whether it begins later now.
    pub fn upkept(&mut self, upkept: &Upkept) -> bool {
        let Some(partition) = self.partition_mut(upkept.partition) else { return false };
        let before = std::mem::replace(&mut partition.bytes, upkept.bytes);
        (partition.oldest, partition.due) = (upkept.oldest, upkept.due);
        let begins_later = partition.raise_log_start(upkept.log_start);
        self.bytes = self.bytes.saturating_sub(before) + upkept.bytes;
        begins_later
    }

    /// A topic whose name differs from this one only in `.` and `_`, which metrics cannot tell apart.
    #[must_use]
    pub fn collides(&self, name: &str) -> Option<&Topic> {
        self.topics.get(self.plain_names.get(&plain(name))?)
    }
}

fn plain(name: &str) -> String {
    name.replace('.', "_")
}
