//! Commits of records that are not on the disk yet: the partition is synced first.
//!
//! Otherwise a power cut could take the records and leave the commit, and the group would skip what is written next.

use std::collections::{BTreeMap, BTreeSet};

use super::context::Context;
use super::event::{Client, RequestId};
use super::options::Durability;
use super::partition::Partition;
use super::topic_table::TopicTable;
use crate::base::ids::{ConnId, Offset, PartitionId};
use crate::base::planted::{Bug, is_planted};
use crate::storage::job::Job;
use crate::wire::messages::OffsetCommitRequest;

/// A commit and who sent it.
#[derive(Debug)]
pub struct Commit {
    /// Where the answer goes.
    pub id: RequestId,
    /// Who sent it.
    pub client: Client,
    /// What is committed.
    pub request: Box<OffsetCommitRequest>,
}

/// Commits that wait for the disk.
#[derive(Debug, Default)]
pub struct CommitGate {
    waiting: BTreeMap<RequestId, Waiting>,
    /// Who waits for each partition.
    by_partition: BTreeMap<PartitionId, BTreeSet<RequestId>>,
}

/// A commit, and the offset below which the disk must have each of these partitions.
#[derive(Debug)]
struct Waiting {
    commit: Commit,
    ahead: BTreeMap<PartitionId, Offset>,
}

impl CommitGate {
    /// Gives the commit back if everything it commits is on the disk; else keeps it, and has that synced.
    pub fn admit(
        &mut self,
        ctx: &mut Context<'_>,
        topics: &TopicTable,
        commit: Commit,
    ) -> Option<Commit> {
        let ahead = match ctx.options.durability {
            _ if is_planted(Bug::CommitAheadOfData) => BTreeMap::new(),
            Durability::Os => BTreeMap::new(),
            Durability::Group | Durability::Always => ahead_of_disk(topics, &commit.request),
        };
        if ahead.is_empty() {
            return Some(commit);
        }
        for partition in ahead.keys() {
            self.by_partition.entry(*partition).or_default().insert(commit.id);
            ctx.job(Job::Sync { partition: *partition, awaited: true });
        }
        self.waiting.insert(commit.id, Waiting { commit, ahead });
        None
    }

    /// A partition made progress, has failed, or is gone (`None`): gives back the commits that waited for it last.
    pub fn progress(&mut self, id: PartitionId, partition: Option<&Partition>) -> Vec<Commit> {
        let Some(waiting) = self.by_partition.get(&id) else { return Vec::new() };
        let synced = partition.filter(|partition| partition.is_online()).map(|p| p.synced);
        let is_told = |request: &&RequestId| {
            let needed = self.waiting.get(request).and_then(|waiting| waiting.ahead.get(&id));
            needed.is_some_and(|needed| synced.is_none_or(|synced| synced >= *needed))
        };
        let told: Vec<RequestId> = waiting.iter().filter(is_told).copied().collect();
        told.into_iter().filter_map(|request| self.told(request, id)).collect()
    }

    /// One partition of a commit need not be waited for any more. Gives the commit back if that was the last.
    fn told(&mut self, request: RequestId, partition: PartitionId) -> Option<Commit> {
        self.leave(request, partition);
        let waiting = self.waiting.get_mut(&request)?;
        waiting.ahead.remove(&partition);
        if !waiting.ahead.is_empty() {
            return None;
        }
        self.waiting.remove(&request).map(|waiting| waiting.commit)
    }

    fn leave(&mut self, request: RequestId, partition: PartitionId) {
        if let Some(requests) = self.by_partition.get_mut(&partition) {
            requests.remove(&request);
            if requests.is_empty() {
                self.by_partition.remove(&partition);
            }
        }
    }

    /// A connection is gone.
    pub fn disconnected(&mut self, conn: ConnId) {
        let gone: Vec<RequestId> =
            self.waiting.range(RequestId::all_of(conn)).map(|(request, _)| *request).collect();
        for request in gone {
            let Some(waiting) = self.waiting.remove(&request) else { continue };
            for partition in waiting.ahead.keys() {
                self.leave(request, *partition);
            }
        }
    }
}

fn ahead_of_disk(
    topics: &TopicTable,
    request: &OffsetCommitRequest,
) -> BTreeMap<PartitionId, Offset> {
    let mut ahead = BTreeMap::new();
    for wanted in &request.topics {
        let Some(topic) = topics.resolve(&wanted.name, wanted.topic_id) else { continue };
        for part in &wanted.partitions {
            let Some(partition) = topic.partition(part.partition_index) else { continue };
            let written = part.committed_offset.min(partition.end);
            if partition.is_online() && written > partition.synced {
                let id = PartitionId { topic: topic.id, index: part.partition_index };
                let needed = ahead.entry(id).or_insert(written);
                *needed = written.max(*needed);
            }
        }
    }
    ahead
}
