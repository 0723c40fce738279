//! What must be true, kept apart from what the broker believes: a simple reference that knows only what was sent and
//! what was answered.

pub(crate) mod batch;
mod changes;
mod commits;
mod groups;
mod log;
mod topics;

pub(crate) use changes::{Changes, SETTING};
pub(crate) use commits::{Commits, Key};
pub(crate) use groups::{Group, SESSION_MS};
pub(crate) use log::{Floor, Log, Sent};
pub(crate) use topics::{TOPICS, Topics};

use std::collections::{BTreeMap, BTreeSet};

use chronik::base::ids::{PartitionId, TopicId};
use chronik::base::time::Mono;

/// Everything that is known.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) topics: Topics,
    pub(crate) changes: BTreeMap<TopicId, Changes>,
    pub(crate) logs: BTreeMap<PartitionId, Log>,
    pub(crate) commits: Commits,
    pub(crate) group: Group,
    /// Whether the disk was made to fail in this run: else nobody is told that it did.
    pub(crate) disk_may_fail: bool,
    producer_ids: BTreeSet<i64>,
    last_batch: u64,
}

impl Model {
    /// The number of the next batch.
    pub(crate) fn next_batch(&mut self) -> u64 {
        self.last_batch += 1;
        self.last_batch
    }

    /// What may have changed about a topic.
    pub(crate) fn changes_of(&mut self, topic: usize, id: TopicId) -> &mut Changes {
        let spec = &TOPICS[topic];
        self.changes.entry(id).or_insert_with(|| Changes::new(spec.partitions, spec.configs))
    }

    /// A topic exists under this id, with as many partitions as are known.
    pub(crate) fn topic_exists(&mut self, topic: usize, id: TopicId) {
        let spec = &TOPICS[topic];
        for index in 0..self.changes_of(topic, id).known() {
            let log = self.logs.entry(PartitionId { topic: id, index }).or_default();
            log.compact = spec.compact;
            log.retained |= spec.retained;
        }
    }

    /// A producer was given its number.
    pub(crate) fn producer_id(&mut self, id: i64) -> Result<(), String> {
        if self.producer_ids.insert(id) {
            Ok(())
        } else {
            Err(format!("producer id {id} was given twice"))
        }
    }

    /// The process ended. `power_cut`: what was not on the disk may be gone.
    pub(crate) fn ended(&mut self, power_cut: bool) {
        for log in self.logs.values_mut() {
            log.ended(power_cut);
        }
        self.commits.ended(self.disk_may_fail);
        self.topics.ended();
    }

    /// The process serves again.
    pub(crate) fn started(&mut self, now: Mono) {
        self.group.restarted(now);
        self.synced();
    }

    /// Everything is on the disk.
    pub(crate) fn synced(&mut self) {
        self.logs.values_mut().for_each(Log::synced);
    }

    /// The partitions of the topics that exist, or may.
    pub(crate) fn partitions(&self) -> Vec<PartitionId> {
        let alive: BTreeSet<TopicId> = self.topics.alive().map(|(_, id)| id).collect();
        self.logs.keys().filter(|id| alive.contains(&id.topic)).copied().collect()
    }
}
