//! Commits of records that are not on the disk yet: the partition is synced first.
//!
//! Otherwise a power cut could take the records and leave the commit, and the group would skip what is written next.

use std::collections::BTreeSet;

use super::context::Context;
use super::event::{Client, RequestId};
use super::options::Durability;
use super::topic_table::TopicTable;
use crate::base::ids::{ConnId, PartitionId};
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
    waiting: Vec<(Commit, BTreeSet<PartitionId>)>,
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
            Durability::Os => BTreeSet::new(),
            Durability::Group | Durability::Always => ahead_of_disk(topics, &commit.request),
        };
        if ahead.is_empty() {
            return Some(commit);
        }
        for partition in &ahead {
            ctx.job(Job::Sync { partition: *partition });
        }
        self.waiting.push((commit, ahead));
        None
    }

    /// A partition was synced, has failed or is gone: gives back the commits that waited for it last.
    pub fn progress(&mut self, partition: PartitionId) -> Vec<Commit> {
        let mut ready = Vec::new();
        let mut waiting = Vec::new();
        for (commit, mut ahead) in std::mem::take(&mut self.waiting) {
            ahead.remove(&partition);
            if ahead.is_empty() {
                ready.push(commit);
            } else {
                waiting.push((commit, ahead));
            }
        }
        self.waiting = waiting;
        ready
    }

    /// A connection is gone.
    pub fn disconnected(&mut self, conn: ConnId) {
        self.waiting.retain(|(commit, _)| commit.id.conn != conn);
    }
}

fn ahead_of_disk(topics: &TopicTable, request: &OffsetCommitRequest) -> BTreeSet<PartitionId> {
    let mut ahead = BTreeSet::new();
    for wanted in &request.topics {
        let Some(topic) = topics.resolve(&wanted.name, wanted.topic_id) else { continue };
        for part in &wanted.partitions {
            let Some(partition) = topic.partition(part.partition_index) else { continue };
            let written = part.committed_offset.min(partition.end);
            if partition.is_online() && written > partition.synced {
                ahead.insert(PartitionId { topic: topic.id, index: part.partition_index });
            }
        }
    }
    ahead
}
