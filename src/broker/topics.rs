//! CreateTopics (key 19) and DeleteTopics (key 20).
//!
//! Creation: records synced, then the directories, then the answer. Deletion: record synced, directories renamed out of
//! the way, commits forgotten, then the answer, and only then is the name free.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::context::Context;
use super::event::RequestId;
use super::journal::{JournalRecord, Position};
use super::metadata_records::{config_tombstone, partition_tombstone, to_journal};
use super::options::Options;
use super::partition::PartitionState;
use super::topic_configs::{self, TopicConfigs};
use super::topic_plan::{Plan, Refusal, TOPIC_RESOURCE, describe, plan, records_of};
use super::topic_table::{Topic, TopicTable, is_internal};
use crate::base::ids::{ConnId, PartitionId, Ticket, TopicId};
use crate::base::planted::{Bug, is_planted};
use crate::storage::job::{Job, Open, Opened, StorageError};
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::internal::metadata::{MetadataRecord, RemoveTopicRecord};
use crate::wire::messages::{
    CreateTopicsRequest, CreateTopicsRequestTopic, CreateTopicsResponse, CreateTopicsResponseTopic,
    DeleteTopicsRequest, DeleteTopicsRequestTopic, DeleteTopicsResponse, DeleteTopicsResponseTopic,
};

/// Topics on their way in and out.
#[derive(Debug, Default)]
pub struct Topics {
    last_ticket: u64,
    creating: BTreeMap<RequestId, Creating>,
    deleting: BTreeMap<RequestId, Deleting>,
    /// Directories that a deletion waits for.
    leaving: BTreeMap<TopicId, BTreeSet<PartitionId>>,
}

#[derive(Debug)]
struct Creating {
    response: CreateTopicsResponse,
    awaited: BTreeSet<TopicId>,
}

#[derive(Debug)]
struct Deleting {
    response: DeleteTopicsResponse,
    awaited: BTreeSet<TopicId>,
    /// The journal's position after the commits were forgotten.
    position: Position,
}

impl Topics {
    /// A client wants topics.
    pub fn create(
        &mut self,
        ctx: &mut Context<'_>,
        table: &mut TopicTable,
        id: RequestId,
        request: &CreateTopicsRequest,
    ) {
        let mut response = CreateTopicsResponse::default();
        let mut awaited = BTreeSet::new();
        let mut counts = BTreeMap::<&str, usize>::new();
        for wanted in &request.topics {
            *counts.entry(&wanted.name).or_default() += 1;
        }
        for wanted in &request.topics {
            let planned = match counts.get_mut(wanted.name.as_str()).map(std::mem::take) {
                Some(1) => plan(table, ctx.options, wanted),
                Some(0) | None => continue, // has its answer already
                Some(_) => {
                    let reason = "the topic is named twice in the request";
                    Err((ErrorCode::InvalidRequest, reason.into()))
                }
            };
            let made = planned.and_then(|plan| {
                if request.validate_only {
                    // Like Kafka, an id that nothing will have.
                    let id = ctx.random.topic_id();
                    return Ok(describe(ctx.options, &wanted.name, id, &plan));
                }
                let id = self.make(ctx, table, &wanted.name, &plan)?;
                awaited.insert(id);
                Ok(describe(ctx.options, &wanted.name, id, &plan))
            });
            response.topics.push(made.unwrap_or_else(|refusal| refused(&wanted.name, refusal)));
        }
        if awaited.is_empty() {
            // That a topic exists, or does not, may be news that is not durable yet.
            ctx.reply_after(ctx.journal.end(), id, response);
        } else {
            self.creating.insert(id, Creating { response, awaited });
        }
    }

    /// A topic that somebody asked about without creating it.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn create_automatically(
        &mut self,
        ctx: &mut Context<'_>,
        table: &mut TopicTable,
        name: &str,
    ) -> Result<TopicId, Refusal> {
        let wanted = CreateTopicsRequestTopic {
            name: name.to_owned(),
            num_partitions: -1,
            replication_factor: -1,
            ..CreateTopicsRequestTopic::default()
        };
        let plan = plan(table, ctx.options, &wanted)?;
        self.make(ctx, table, name, &plan)
    }

    /// A topic of the broker's own.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn create_internal(
        &mut self,
        ctx: &mut Context<'_>,
        table: &mut TopicTable,
        name: &str,
    ) -> Result<TopicId, Refusal> {
        let configs = topic_configs::of_journal();
        self.make(ctx, table, name, &Plan { partitions: 1, configs })
    }

    /// Records a topic and, once that is durable, has its directories made.
    fn make(
        &mut self,
        ctx: &mut Context<'_>,
        table: &mut TopicTable,
        name: &str,
        plan: &Plan,
    ) -> Result<TopicId, Refusal> {
        if ctx.journal.is_full() {
            return Err((ErrorCode::KafkaStorageError, "the disk is full".into()));
        }
        let topic_id = ctx.random.topic_id();
        let records = records_of(name, topic_id, plan, ctx.options.node_id);
        commit(ctx, table, &records)?;
        let Some(topic) = table.get(name) else { return Ok(topic_id) };
        for partition in topic.partition_ids() {
            let ticket = self.ticket();
            ctx.job_after(topic.position, open_job(ticket, partition, topic));
        }
        Ok(topic_id)
    }

    fn ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    /// The jobs that open every partition that the journal knows: at start.
    pub fn open_all(&mut self, ctx: &mut Context<'_>, table: &TopicTable) {
        for topic in table.iter() {
            for partition in topic.partition_ids() {
                if table.partition(partition).is_some_and(|p| p.state == PartitionState::Opening) {
                    let ticket = self.ticket();
                    ctx.job_after(topic.position, open_job(ticket, partition, topic));
                }
            }
        }
    }

    /// A partition is open, or cannot be. Answers the topic's id if that was its last.
    pub fn opened(
        &mut self,
        ctx: &mut Context<'_>,
        table: &mut TopicTable,
        partition: PartitionId,
        result: Result<Opened, StorageError>,
    ) -> Option<TopicId> {
        let known = table.partition_mut(partition)?;
        match result {
            Ok(opened) => known.opened(opened),
            Err(error) => known.state = PartitionState::Offline(error),
        }
        let topic = table.by_id_mut(partition.topic).filter(|topic| topic.is_ready())?;
        topic.is_made = true;
        let (id, position) = (topic.id, topic.position);
        let failed = topic.partitions.iter().any(|p| !p.is_online());
        let mut done = Vec::new();
        for (request, creating) in &mut self.creating {
            if creating.awaited.remove(&id) {
                if failed {
                    mark_failed(&mut creating.response, id);
                }
                if creating.awaited.is_empty() {
                    done.push(*request);
                }
            }
        }
        for request in done {
            if let Some(creating) = self.creating.remove(&request) {
                ctx.reply_after(position, request, creating.response);
            }
        }
        Some(id)
    }

    /// A client wants topics gone.
    pub fn delete(
        &mut self,
        ctx: &mut Context<'_>,
        table: &mut TopicTable,
        id: RequestId,
        request: &DeleteTopicsRequest,
    ) {
        let mut response = DeleteTopicsResponse::default();
        let mut awaited = BTreeSet::new();
        let mut position = Position::default();
        for (wanted, admitted) in each_once(table, &request.topics) {
            let name = wanted.name.clone();
            let mut answer =
                DeleteTopicsResponseTopic { name, topic_id: wanted.topic_id, ..Default::default() };
            let removed = admitted.and_then(|()| self.remove(ctx, table, wanted));
            match removed {
                Ok((topic_id, name)) => {
                    awaited.insert(topic_id);
                    position = ctx.journal.end();
                    (answer.topic_id, answer.name) = (topic_id, Some(name.to_string()));
                }
                Err((error, reason)) => {
                    answer.error_code = error.code();
                    answer.error_message = Some(reason);
                }
            }
            response.responses.push(answer);
        }
        if awaited.is_empty() {
            // That a topic exists, or does not, may be news that is not durable yet.
            ctx.reply_after(ctx.journal.end(), id, response);
        } else {
            self.deleting.insert(id, Deleting { response, awaited, position });
        }
    }

    fn remove(
        &mut self,
        ctx: &mut Context<'_>,
        table: &mut TopicTable,
        wanted: &DeleteTopicsRequestTopic,
    ) -> Result<(TopicId, Arc<str>), Refusal> {
        let topic = table.resolve(wanted.name.as_deref().unwrap_or_default(), wanted.topic_id);
        let topic = match topic {
            _ if !ctx.options.delete_topics => {
                let reason = "delete.topic.enable is false".into();
                return Err((ErrorCode::TopicDeletionDisabled, reason));
            }
            Some(topic) => topic,
            None if wanted.topic_id.is_zero() => {
                return Err((ErrorCode::UnknownTopicOrPartition, "there is no such topic".into()));
            }
            None => {
                return Err((ErrorCode::UnknownTopicId, "there is no topic with this id".into()));
            }
        };
        if is_internal(&topic.name) {
            return Err((ErrorCode::InvalidRequest, "the topic is the broker's own".into()));
        }
        if !topic.is_ready() {
            return Err(if topic.is_made {
                (ErrorCode::RequestTimedOut, "partitions of the topic are being created".into())
            } else {
                (ErrorCode::UnknownTopicOrPartition, "the topic is being created".into())
            });
        }
        let (topic_id, name) = (topic.id, Arc::clone(&topic.name));
        let partitions: BTreeSet<PartitionId> = topic.partition_ids().collect();
        let mut tombstones: Vec<JournalRecord> =
            partitions.iter().map(|id| partition_tombstone(topic_id, id.index)).collect();
        let configs = topic.configs.keys();
        tombstones.extend(configs.map(|key| config_tombstone(TOPIC_RESOURCE, &name, key)));
        commit(ctx, table, &[MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id })])?;
        for tombstone in tombstones {
            ctx.journal.append(tombstone);
        }
        let early = is_planted(Bug::RemovedBeforeRecorded);
        let position = if early { Position::default() } else { ctx.journal.end() };
        for partition in &partitions {
            let ticket = self.ticket();
            ctx.job_after(position, Job::Remove { ticket, partition: *partition });
        }
        self.leaving.insert(topic_id, partitions);
        Ok((topic_id, name))
    }

    /// The topic whose last directory this is, if it is on its way out.
    #[must_use]
    pub fn last_of(&self, partition: PartitionId) -> Option<TopicId> {
        let waiting = self.leaving.get(&partition.topic)?;
        (waiting.len() == 1 && waiting.contains(&partition)).then_some(partition.topic)
    }

    /// A partition's directory is out of the way, or cannot be moved. `position`: the journal's position after the
    /// topic's commits were forgotten.
    pub fn removed(
        &mut self,
        ctx: &mut Context<'_>,
        table: &mut TopicTable,
        partition: PartitionId,
        result: &Result<(), StorageError>,
        position: Position,
    ) {
        let Some(waiting) = self.leaving.get_mut(&partition.topic) else { return };
        waiting.remove(&partition);
        let is_last = waiting.is_empty();
        let failed = result.is_err();
        let mut done = Vec::new();
        for (request, deleting) in &mut self.deleting {
            if !deleting.awaited.contains(&partition.topic) {
                continue;
            }
            if failed {
                let mut answers = deleting.response.responses.iter_mut();
                if let Some(answer) = answers.find(|answer| answer.topic_id == partition.topic) {
                    answer.error_code = ErrorCode::KafkaStorageError.code();
                }
            }
            deleting.position = deleting.position.max(position);
            if is_last {
                deleting.awaited.remove(&partition.topic);
                if deleting.awaited.is_empty() {
                    done.push(*request);
                }
            }
        }
        if is_last {
            self.leaving.remove(&partition.topic);
            table.name_is_free(partition.topic);
        }
        for request in done {
            if let Some(deleting) = self.deleting.remove(&request) {
                ctx.reply_after(deleting.position, request, deleting.response);
            }
        }
    }

    /// A connection is gone. What it asked for happens all the same.
    pub fn disconnected(&mut self, conn: ConnId) {
        self.creating.retain(|id, _| id.conn != conn);
        self.deleting.retain(|id, _| id.conn != conn);
    }
}

/// The topics that a deletion names, each once, with what is wrong with how it does that.
fn each_once<'r>(
    table: &TopicTable,
    topics: &'r [DeleteTopicsRequestTopic],
) -> Vec<(&'r DeleteTopicsRequestTopic, Result<(), Refusal>)> {
    // By id where there is one, so that a name and the same topic's id are twice the same.
    let key = |wanted: &'r DeleteTopicsRequestTopic| match wanted.name.as_deref() {
        Some(name) if wanted.topic_id.is_zero() => match table.get(name) {
            Some(topic) => (topic.id, None),
            None => (TopicId::ZERO, Some(name)),
        },
        _ => (wanted.topic_id, None),
    };
    let mut counts = BTreeMap::<(TopicId, Option<&str>), usize>::new();
    for wanted in topics {
        *counts.entry(key(wanted)).or_default() += 1;
    }
    let mut once = Vec::new();
    for wanted in topics {
        let refuse = |reason: &str| Err((ErrorCode::InvalidRequest, reason.to_owned()));
        let admitted = match (wanted.name.is_some(), !wanted.topic_id.is_zero()) {
            (false, false) => refuse("a topic has neither name nor id"),
            (true, true) => refuse("a topic has both name and id"),
            _ => match counts.get_mut(&key(wanted)).map(std::mem::take) {
                Some(1) => Ok(()),
                Some(0) | None => continue, // has its answer already
                Some(_) => refuse("a topic is named twice"),
            },
        };
        once.push((wanted, admitted));
    }
    once
}

/// Records a change, and replays it at once.
pub(super) fn commit(
    ctx: &mut Context<'_>,
    table: &mut TopicTable,
    records: &[MetadataRecord],
) -> Result<(), Refusal> {
    let encoded: Result<Vec<JournalRecord>, _> = records.iter().map(to_journal).collect();
    let encoded = encoded.map_err(|error| (ErrorCode::UnknownServerError, error.to_string()))?;
    for (record, encoded) in records.iter().zip(encoded) {
        let position = ctx.journal.append(encoded);
        replay(table, ctx.options, record, position);
    }
    Ok(())
}

/// Records a topic whose partitions are there already. Its configuration is lost, but for that of an internal one; a
/// default must not delete what that kept.
pub fn adopt(
    ctx: &mut Context<'_>,
    table: &mut TopicTable,
    (name, id): (&str, Option<TopicId>),
    partitions: i32,
) -> Result<(), Refusal> {
    if usize::try_from(partitions).map_or(true, |count| count > ctx.options.limits.partitions) {
        return Err((
            ErrorCode::InvalidPartitions,
            format!("{partitions} partitions are too many"),
        ));
    }
    let topic_id = id.unwrap_or_else(|| ctx.random.topic_id());
    let is_ours = name.starts_with("__");
    let configs =
        if is_ours { topic_configs::of_journal() } else { topic_configs::that_keep_all() };
    let records = records_of(name, topic_id, &Plan { partitions, configs }, ctx.options.node_id);
    commit(ctx, table, &records)
}

/// Applies a record about topics: live, and when the journal is read at start.
pub fn replay(
    table: &mut TopicTable,
    options: &Options,
    record: &MetadataRecord,
    position: Position,
) {
    match record {
        MetadataRecord::Topic(record) => {
            let configs = TopicConfigs::new();
            table.insert(Topic {
                name: Arc::from(record.name.as_str()),
                id: record.topic_id,
                partitions: Vec::new(),
                is_made: false,
                log_config: Arc::new(topic_configs::log_config(&configs, &options.settings)),
                codec: topic_configs::codec(&configs, &options.settings),
                configs,
                position,
            });
        }
        MetadataRecord::Partition(record) => table.add_partition(record.topic_id, position),
        MetadataRecord::Config(record) => {
            let Some(topic) = table.get_mut(&record.resource_name) else { return };
            match &record.value {
                Some(value) => topic.configs.insert(record.name.clone(), value.clone()),
                None => topic.configs.remove(&record.name),
            };
            topic.log_config =
                Arc::new(topic_configs::log_config(&topic.configs, &options.settings));
            topic.codec = topic_configs::codec(&topic.configs, &options.settings);
            topic.position = position;
        }
        MetadataRecord::RemoveTopic(record) => {
            table.remove(record.topic_id, position);
        }
        MetadataRecord::RegisterBroker(_)
        | MetadataRecord::FeatureLevel(_)
        | MetadataRecord::ProducerIds(_) => {}
    }
}

/// What has a partition's directory made, or opens it.
pub(super) fn open_job(ticket: Ticket, partition: PartitionId, topic: &Topic) -> Job {
    Job::Open(Open {
        ticket,
        partition,
        topic: Arc::clone(&topic.name),
        config: Arc::clone(&topic.log_config),
    })
}

fn refused(name: &str, (error, reason): Refusal) -> CreateTopicsResponseTopic {
    CreateTopicsResponseTopic {
        name: name.to_owned(),
        error_code: error.code(),
        error_message: Some(reason),
        ..CreateTopicsResponseTopic::default()
    }
}

fn mark_failed(response: &mut CreateTopicsResponse, id: TopicId) {
    if let Some(answer) = response.topics.iter_mut().find(|answer| answer.topic_id == id) {
        answer.error_code = ErrorCode::KafkaStorageError.code();
        answer.error_message = Some("the topic's directory cannot be made".into());
    }
}
