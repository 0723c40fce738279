//! OffsetCommit (key 8): the positions that groups store.
//!
//! A group may consist of commits alone: consumers that choose their partitions themselves, and tools, commit without
//! a generation while the group has no member.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Groups;
use super::records::GroupRecord;
use super::shared::{Call, Shared, Timer};
use super::state::{Group, State};
use crate::base::ids::{Offset, TopicId};
use crate::base::planted::{Bug, is_planted};
use crate::base::time::WallMs;
use crate::broker::context::Context;
use crate::broker::event::RequestId;
use crate::broker::journal::Position;
use crate::broker::topic_table::{Topic, TopicTable};
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::internal::offsets::OffsetCommitValue;
use crate::wire::messages::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

/// A stored position.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Commit {
    /// Offset of the next record to read.
    pub(super) offset: Offset,
    /// The epoch of the last record read, or -1 (KIP-320).
    pub(super) leader_epoch: i32,
    /// What the client stores with it.
    pub(super) metadata: Box<str>,
    /// When it was made.
    pub(super) committed_at: WallMs,
    /// When it is to be forgotten, if the client said so (OffsetCommit v2 to v4).
    pub(super) expires_at: Option<WallMs>,
    /// Which topic had the name. Zero if that is not known.
    pub(super) topic: TopicId,
}

/// What a position takes beside its note, in bytes.
const COMMIT_BYTES: usize = 128;

impl Commit {
    fn bytes(&self) -> usize {
        COMMIT_BYTES + self.metadata.len()
    }
}

/// The positions of one group, by topic and partition.
#[derive(Debug, Default)]
pub(super) struct Commits {
    topics: BTreeMap<Arc<str>, BTreeMap<i32, Commit>>,
}

impl Commits {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Topics by name, and their partitions.
    pub(super) fn topics(&self) -> impl Iterator<Item = (&Arc<str>, &BTreeMap<i32, Commit>)> {
        self.topics.iter()
    }

    /// What they take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.iter().map(|(_, _, commit)| commit.bytes()).sum()
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, i32, &Commit)> {
        self.topics.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(partition, commit)| (topic, *partition, commit))
        })
    }

    /// All of them, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Arc<str>, &mut Commit)> {
        self.topics.iter_mut().flat_map(|(topic, partitions)| {
            partitions.values_mut().map(move |commit| (topic, commit))
        })
    }

    /// One of them.
    pub(super) fn get(&self, topic: &str, partition: i32) -> Option<&Commit> {
        self.topics.get(topic)?.get(&partition)
    }

    /// Takes over a record.
    pub(super) fn replay(
        &mut self,
        shared: &mut Shared,
        topic: &Arc<str>,
        partition: i32,
        value: Option<OffsetCommitValue>,
    ) {
        if let Some(value) = value {
            let commit = Commit {
                offset: value.offset,
                leader_epoch: value.leader_epoch,
                metadata: value.metadata.into(),
                committed_at: value.commit_timestamp,
                expires_at: Some(value.expire_timestamp).filter(|at| *at >= 0),
                topic: value.topic_id,
            };
            let after = commit.bytes();
            let partitions = self.topics.entry(Arc::clone(topic)).or_default();
            let before = partitions.insert(partition, commit);
            shared.weigh(before.as_ref().map_or(0, Commit::bytes), after);
        } else if let Some(partitions) = self.topics.get_mut(topic) {
            let before = partitions.remove(&partition);
            shared.weigh(before.as_ref().map_or(0, Commit::bytes), 0);
            if partitions.is_empty() {
                self.topics.remove(topic);
            }
        }
    }
}

impl Groups {
    /// Stores positions. The answer waits for its own records only.
    pub fn commit(
        &mut self,
        ctx: &mut Context<'_>,
        id: RequestId,
        request: &OffsetCommitRequest,
        topics: &TopicTable,
    ) {
        let places = request.topics.iter().flat_map(|topic| {
            let found = topics.resolve(&topic.name, topic.topic_id);
            topic.partitions.iter().filter_map(move |p| found?.partition(p.partition_index))
        });
        let admitted = if places.count() > 0 { self.admit(ctx, request) } else { Ok(()) };
        let store = |group: &mut Group, call: &mut Call<'_, '_>| {
            group.commit(call, request, topics, admitted)
        };
        let (position, response) = match self.enter(ctx, &request.group_id, store) {
            Some(answer) => answer,
            None => (Position::default(), refuse(request, topics, admitted)),
        };
        ctx.reply_after(position, id, response);
    }

    /// Whether the group takes the commit. A commit from outside makes the group.
    fn admit(
        &mut self,
        ctx: &mut Context<'_>,
        request: &OffsetCommitRequest,
    ) -> Result<(), ErrorCode> {
        if ctx.journal.is_full() {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        if request.generation_id_or_member_epoch < 0 {
            self.create(ctx, &request.group_id)?;
        }
        let admit = |group: &mut Group, call: &mut Call<'_, '_>| group.admit(call, request);
        // Not through `enter`, which would take a group away that was made just now.
        let group = self.groups.get_mut(&*request.group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        admit(group, &mut Call { ctx, shared: &mut self.shared })
    }

    /// Topics are gone: their commits are forgotten. Answers the journal's position after that.
    pub fn topics_deleted(&mut self, ctx: &mut Context<'_>, gone: &BTreeSet<TopicId>) -> Position {
        if gone.is_empty() {
            return Position::default();
        }
        self.forget(ctx, |_, commit| gone.contains(&commit.topic))
    }

    /// Forgets the commits of topics that are gone, or were made anew. What does not know its topic takes the one that
    /// has the name.
    pub(super) fn forget_topics(&mut self, ctx: &mut Context<'_>, topics: &TopicTable) {
        for group in self.groups.values_mut() {
            for (name, commit) in group.commits.iter_mut() {
                if let (true, Some(topic)) = (commit.topic.is_zero(), topics.get(name)) {
                    commit.topic = topic.id;
                }
            }
        }
        self.forget(ctx, |name, commit| topics.get(name).is_none_or(|t| t.id != commit.topic));
    }

    /// Lowers commits beyond their logs' ends, which a power cut may have taken back. Answers how many there were.
    pub fn clamp(&mut self, ctx: &mut Context<'_>, topics: &TopicTable) -> usize {
        let mut call = Call { ctx, shared: &mut self.shared };
        self.groups.values_mut().map(|group| group.clamp(&mut call, topics)).sum()
    }

    fn forget(&mut self, ctx: &mut Context<'_>, goes: impl Fn(&str, &Commit) -> bool) -> Position {
        let mut position = Position::default();
        let names: Vec<Arc<str>> = self.groups.keys().cloned().collect();
        for name in names {
            let forget = |group: &mut Group, call: &mut Call<'_, '_>| {
                group.forget(call, &goes).then_some(group.position)
            };
            if let Some(Some(after)) = self.enter(ctx, &name, forget) {
                position = position.max(after);
            }
        }
        position
    }
}

impl Group {
    fn admit(
        &mut self,
        call: &mut Call<'_, '_>,
        request: &OffsetCommitRequest,
    ) -> Result<(), ErrorCode> {
        let generation = request.generation_id_or_member_epoch;
        if generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        let instance = request.group_instance_id.as_deref();
        if generation < 0 && request.member_id.is_empty() && instance.is_none() {
            return Err(ErrorCode::UnknownMemberId);
        }
        let number = self.validate(&request.member_id, instance)?;
        if generation != self.generation && !is_planted(Bug::OldGenerationCommits) {
            return Err(ErrorCode::IllegalGeneration);
        }
        if self.state == State::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        self.heard(call, number);
        Ok(())
    }

    fn commit(
        &mut self,
        call: &mut Call<'_, '_>,
        request: &OffsetCommitRequest,
        topics: &TopicTable,
        admitted: Result<(), ErrorCode>,
    ) -> (Position, OffsetCommitResponse) {
        let mut response = refuse(request, topics, admitted);
        let mut position = Position::default();
        for (wanted, answer) in request.topics.iter().zip(&mut response.topics) {
            let Some(topic) = topics.resolve(&wanted.name, wanted.topic_id) else { continue };
            for (partition, answer) in wanted.partitions.iter().zip(&mut answer.partitions) {
                if answer.error_code != 0 {
                    continue;
                }
                match self.store(call, request.retention_time_ms, topic, partition) {
                    Ok(()) => position = self.position,
                    Err(error) => answer.error_code = error.code(),
                }
            }
        }
        (position, response)
    }

    fn store(
        &mut self,
        call: &mut Call<'_, '_>,
        retention_ms: i64,
        topic: &Topic,
        partition: &OffsetCommitRequestPartition,
    ) -> Result<(), ErrorCode> {
        let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
        let length_max = call.ctx.options.groups.offset_metadata_bytes_max;
        // Java counts the units of UTF-16, of which there are never more than bytes.
        if metadata.len() > length_max && metadata.encode_utf16().count() > length_max {
            return Err(ErrorCode::OffsetMetadataTooLarge);
        }
        let before = self.commits.get(&topic.name, partition.partition_index);
        let (before, after) = (before.map_or(0, Commit::bytes), COMMIT_BYTES + metadata.len());
        if !call.shared.has_room(before, after, call.ctx.options.limits.group_bytes) {
            return Err(ErrorCode::InvalidCommitOffsetSize);
        }
        let now = call.ctx.now.wall;
        let committed_at =
            if partition.commit_timestamp < 0 { now } else { partition.commit_timestamp };
        let value = OffsetCommitValue {
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: metadata.to_owned(),
            commit_timestamp: committed_at,
            expire_timestamp: if retention_ms < 0 { -1 } else { now.saturating_add(retention_ms) },
            topic_id: topic.id,
        };
        if retention_ms >= 0 {
            // It may be the next to expire.
            call.shared.timers.remove(Timer::Expiry(self.number));
        }
        self.record_commit(call, &topic.name, partition.partition_index, Some(value))
    }

    /// Records a position, or that it is forgotten, and takes that over.
    pub(super) fn record_commit(
        &mut self,
        call: &mut Call<'_, '_>,
        topic: &Arc<str>,
        partition: i32,
        value: Option<OffsetCommitValue>,
    ) -> Result<(), ErrorCode> {
        let group = Arc::clone(&self.name);
        let (topic, replayed) = (Arc::clone(topic), value.clone());
        let record = GroupRecord::Commit { group, topic: Arc::clone(&topic), partition, value };
        self.position = call.append(&record)?;
        self.commits.replay(call.shared, &topic, partition, replayed);
        Ok(())
    }

    fn clamp(&mut self, call: &mut Call<'_, '_>, topics: &TopicTable) -> usize {
        let beyond = |(name, index, commit): (&Arc<str>, i32, &Commit)| {
            let topic = topics.get(name).filter(|topic| topic.id == commit.topic)?;
            let end = topic.partition(index).filter(|partition| partition.is_online())?.end;
            let value = OffsetCommitValue { offset: end, ..commit_value(commit) };
            (commit.offset > end).then(|| (Arc::clone(name), index, value))
        };
        let beyond: Vec<(Arc<str>, i32, OffsetCommitValue)> =
            self.commits.iter().filter_map(beyond).collect();
        let lower = |(name, index, value)| self.record_commit(call, &name, index, Some(value));
        beyond.into_iter().map(lower).filter(Result::is_ok).count()
    }

    /// Forgets some commits. Answers whether there were any.
    pub(super) fn forget(
        &mut self,
        call: &mut Call<'_, '_>,
        goes: impl Fn(&str, &Commit) -> bool,
    ) -> bool {
        let gone = self.commits.iter().filter(|(topic, _, commit)| goes(topic, commit));
        let gone: Vec<(Arc<str>, i32)> =
            gone.map(|(topic, partition, _)| (Arc::clone(topic), partition)).collect();
        let mut any = false;
        for (topic, partition) in gone {
            any |= self.record_commit(call, &topic, partition, None).is_ok();
        }
        if any {
            // What is left may expire at another time; without commits the group itself does.
            call.shared.timers.remove(Timer::Expiry(self.number));
        }
        any
    }
}

/// The answer with the errors that are known before anything is stored.
fn refuse(
    request: &OffsetCommitRequest,
    topics: &TopicTable,
    admitted: Result<(), ErrorCode>,
) -> OffsetCommitResponse {
    let unknown = if request.by_topic_id {
        ErrorCode::UnknownTopicId
    } else {
        ErrorCode::UnknownTopicOrPartition
    };
    let mut response = OffsetCommitResponse::default();
    for wanted in &request.topics {
        let topic = topics.resolve(&wanted.name, wanted.topic_id);
        let partition = |partition: &OffsetCommitRequestPartition| {
            let index = partition.partition_index;
            let error = match topic {
                None => unknown,
                Some(topic) if topic.partition(index).is_none() => {
                    ErrorCode::UnknownTopicOrPartition
                }
                Some(_) => admitted.err().unwrap_or(ErrorCode::None),
            };
            OffsetCommitResponsePartition { partition_index: index, error_code: error.code() }
        };
        response.topics.push(OffsetCommitResponseTopic {
            name: wanted.name.clone(),
            topic_id: wanted.topic_id,
            partitions: wanted.partitions.iter().map(partition).collect(),
        });
    }
    response
}

fn commit_value(commit: &Commit) -> OffsetCommitValue {
    OffsetCommitValue {
        offset: commit.offset,
        leader_epoch: commit.leader_epoch,
        metadata: commit.metadata.to_string(),
        commit_timestamp: commit.committed_at,
        expire_timestamp: commit.expires_at.unwrap_or(-1),
        topic_id: commit.topic,
    }
}
