//! CreatePartitions (key 37): topics get more partitions (KIP-195).
//!
//! As with creation: records synced, then the directories, then the answer. There is no way back.

use std::collections::{BTreeMap, BTreeSet};

use super::context::Context;
use super::distinct::named_twice;
use super::event::RequestId;
use super::journal::Position;
use super::partition::Partition;
use super::topic_plan::{Refusal, partition_records};
use super::topic_table::{Topic, TopicTable, is_internal};
use super::topics::{commit, open_job};
use crate::base::ids::{ConnId, PartitionId, Ticket, TopicId};
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::{
    CreatePartitionsRequest, CreatePartitionsRequestTopic, CreatePartitionsResponse,
    CreatePartitionsResponseTopic,
};

/// Partitions on their way in.
#[derive(Debug, Default)]
pub struct CreatePartitions {
    last_ticket: u64,
    pending: BTreeMap<RequestId, Pending>,
}

#[derive(Debug)]
struct Pending {
    response: CreatePartitionsResponse,
    position: Position,
    /// Topics whose directories are not there yet: the places of their answers, and their first new partitions.
    awaited: BTreeMap<TopicId, (usize, i32)>,
}

impl CreatePartitions {
    /// A client wants more partitions.
    pub fn handle(
        &mut self,
        ctx: &mut Context<'_>,
        table: &mut TopicTable,
        id: RequestId,
        request: &CreatePartitionsRequest,
    ) {
        let mut response = CreatePartitionsResponse::default();
        let mut awaited = BTreeMap::new();
        let twice = named_twice(request.topics.iter().map(|topic| topic.name.as_str()));
        let mut answered = BTreeSet::new();
        for wanted in &request.topics {
            if !answered.insert(wanted.name.as_str()) {
                continue;
            }
            let mut answer = CreatePartitionsResponseTopic {
                name: wanted.name.clone(),
                ..CreatePartitionsResponseTopic::default()
            };
            let grown = if twice.contains(wanted.name.as_str()) {
                let reason = "the topic is named twice in the request";
                Err((ErrorCode::InvalidRequest, reason.to_owned()))
            } else {
                self.grow(ctx, table, wanted, request.validate_only)
            };
            match grown {
                Ok(Some((topic, first))) => {
                    awaited.insert(topic, (response.results.len(), first));
                }
                Ok(None) => {}
                Err((error, reason)) => {
                    answer.error_code = error.code();
                    answer.error_message = Some(reason);
                }
            }
            response.results.push(answer);
        }
        // That a topic exists, or does not, may be news that is not durable yet.
        let position = ctx.journal.end();
        if awaited.is_empty() {
            ctx.reply_after(position, id, response);
        } else {
            self.pending.insert(id, Pending { response, position, awaited });
        }
    }

    /// Records a topic's new partitions and, once that is durable, has their directories made. Answers the topic and the
    /// first of them; `None`: it would work.
    fn grow(
        &mut self,
        ctx: &mut Context<'_>,
        table: &mut TopicTable,
        wanted: &CreatePartitionsRequestTopic,
        validate_only: bool,
    ) -> Result<Option<(TopicId, i32)>, Refusal> {
        let topic = check(ctx, table, wanted)?;
        if validate_only {
            return Ok(None);
        }
        if ctx.journal.is_full() {
            return Err((ErrorCode::KafkaStorageError, "the disk is full".into()));
        }
        let (topic_id, first) = (topic.id, count_of(topic));
        let added = first..wanted.count;
        let records = partition_records(topic_id, added.clone(), ctx.options.node_id);
        commit(ctx, table, &records.collect::<Vec<_>>())?;
        let Some(topic) = table.by_id(topic_id) else { return Ok(None) };
        for index in added {
            self.last_ticket += 1;
            let partition = PartitionId { topic: topic_id, index };
            ctx.job_after(topic.position, open_job(Ticket(self.last_ticket), partition, topic));
        }
        Ok(Some((topic_id, first)))
    }

    /// A topic has its directories, or will not have them: answers those who waited for it last.
    pub fn topic_ready(&mut self, ctx: &mut Context<'_>, table: &TopicTable, topic: TopicId) {
        let mut ready = Vec::new();
        for (id, pending) in &mut self.pending {
            let Some((answer, first)) = pending.awaited.remove(&topic) else { continue };
            let answer = pending.response.results.get_mut(answer);
            if let Some(answer) = answer.filter(|_| !are_online(table, topic, first)) {
                answer.error_code = ErrorCode::KafkaStorageError.code();
                answer.error_message = Some("a partition's directory cannot be made".into());
            }
            if pending.awaited.is_empty() {
                ready.push(*id);
            }
        }
        for id in ready {
            if let Some(pending) = self.pending.remove(&id) {
                ctx.reply_after(pending.position, id, pending.response);
            }
        }
    }

    /// A connection is gone. What it asked for happens all the same.
    pub fn disconnected(&mut self, conn: ConnId) {
        self.pending.retain(|id, _| id.conn != conn);
    }
}

/// Whether a topic's partitions from this one on can be used.
fn are_online(table: &TopicTable, topic: TopicId, first: i32) -> bool {
    let first = usize::try_from(first).unwrap_or(0);
    let new = table.by_id(topic).and_then(|topic| topic.partitions.get(first..));
    new.is_some_and(|new| new.iter().all(Partition::is_online))
}

fn count_of(topic: &Topic) -> i32 {
    i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)
}

/// The topic that is wanted larger, if it can be.
fn check<'t>(
    ctx: &Context<'_>,
    table: &'t TopicTable,
    wanted: &CreatePartitionsRequestTopic,
) -> Result<&'t Topic, Refusal> {
    let refuse = |error, reason: String| Err((error, reason));
    let Some(topic) = table.get(&wanted.name) else {
        return refuse(ErrorCode::UnknownTopicOrPartition, "there is no such topic".into());
    };
    if is_internal(&topic.name) {
        return refuse(ErrorCode::InvalidRequest, "the topic is the broker's own".into());
    }
    if !topic.is_ready() {
        let reason = "partitions of the topic are being created";
        return refuse(ErrorCode::RequestTimedOut, reason.into());
    }
    let count = count_of(topic);
    if wanted.count <= count {
        let reason = format!("the topic has {count} partitions, and there can only be more");
        return refuse(ErrorCode::InvalidPartitions, reason);
    }
    let more = usize::try_from(wanted.count - count).unwrap_or(usize::MAX);
    if let Some(assignments) = &wanted.assignments {
        if assignments.len() != more {
            let reason = format!("{more} new partitions, but places for {}", assignments.len());
            return refuse(ErrorCode::InvalidReplicaAssignment, reason);
        }
        if assignments.iter().any(|place| place.broker_ids != [ctx.options.node_id]) {
            let reason = "there is this one broker";
            return refuse(ErrorCode::InvalidReplicaAssignment, reason.into());
        }
    }
    let room = ctx.options.limits.partitions.saturating_sub(table.partition_count());
    if more > room {
        let reason = format!("the broker holds no more than {room} further partitions");
        return refuse(ErrorCode::PolicyViolation, reason);
    }
    Ok(topic)
}
