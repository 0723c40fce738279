//! ListOffsets (key 2) and OffsetForLeaderEpoch (key 23): where a log begins, ends, and stood at a time.

use std::collections::BTreeMap;

use super::context::Context;
use super::event::RequestId;
use super::fetch::check_leader_epoch;
use super::partition::Partition;
use super::topic_table::TopicTable;
use crate::base::ids::{ConnId, Offset, PartitionId, Ticket};
use crate::storage::job::{FindTimes, Job, ReadError, TimeQuery, TimeTarget, TimedOffset};
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::{
    ListOffsetsRequest, ListOffsetsRequestPartition, ListOffsetsResponse,
    ListOffsetsResponsePartition, ListOffsetsResponseTopic, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochRequestPartition, OffsetForLeaderEpochResponse,
    OffsetForLeaderEpochResponseEpochEndOffset, OffsetForLeaderEpochResponseTopic,
};

/// The end of what is visible.
const LATEST: i64 = -1;
/// The start of the log.
const EARLIEST: i64 = -2;
/// The record with the largest timestamp (KIP-734).
const MAX_TIMESTAMP: i64 = -3;
/// The start of what lies on this broker's disk: of everything (KIP-405).
const EARLIEST_LOCAL: i64 = -4;
/// The end of what lies in remote storage (KIP-1005): there is none.
const LATEST_TIERED: i64 = -5;
/// The start of what waits for upload to remote storage (KIP-1023): there is none.
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// Searches by time that storage has not answered.
#[derive(Debug, Default)]
pub struct Offsets {
    last_ticket: u64,
    searches: BTreeMap<Ticket, Search>,
}

#[derive(Debug)]
struct Search {
    id: RequestId,
    response: ListOffsetsResponse,
    /// Whether the results are starts of segments.
    wants_starts: bool,
    /// Where each query's result belongs: topic and partition in the answer.
    places: Vec<(usize, usize)>,
}

/// What is known of one partition without the disk.
enum Found {
    Answer(ListOffsetsResponsePartition),
    Query(TimeQuery),
}

impl Offsets {
    /// A client asks for offsets.
    pub fn list(
        &mut self,
        ctx: &mut Context<'_>,
        topics: &TopicTable,
        id: RequestId,
        request: &ListOffsetsRequest,
    ) {
        let mut response = ListOffsetsResponse::default();
        let (mut queries, mut places) = (Vec::new(), Vec::new());
        for wanted in &request.topics {
            let mut topic =
                ListOffsetsResponseTopic { name: wanted.name.clone(), partitions: vec![] };
            let mut counts = BTreeMap::<i32, usize>::new();
            for part in &wanted.partitions {
                *counts.entry(part.partition_index).or_default() += 1;
            }
            for part in &wanted.partitions {
                let blank = ListOffsetsResponsePartition {
                    partition_index: part.partition_index,
                    ..ListOffsetsResponsePartition::default()
                };
                let found = match counts.get_mut(&part.partition_index).map(std::mem::take) {
                    Some(1) => look(ctx, topics, request, &wanted.name, part),
                    Some(0) | None => continue, // has its error already
                    Some(_) => Err(ErrorCode::InvalidRequest),
                };
                match found {
                    Ok(Found::Answer(answer)) => topic.partitions.push(answer),
                    Ok(Found::Query(query)) => {
                        places.push((response.topics.len(), topic.partitions.len()));
                        queries.push(query);
                        topic.partitions.push(blank);
                    }
                    Err(error) => {
                        let error_code = error.code();
                        topic.partitions.push(ListOffsetsResponsePartition { error_code, ..blank });
                    }
                }
            }
            response.topics.push(topic);
        }
        if queries.is_empty() {
            return ctx.reply(id, response);
        }
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let wants_starts = request.wants_starts;
        self.searches.insert(ticket, Search { id, response, wants_starts, places });
        ctx.job(Job::FindTimes(FindTimes { ticket, queries }));
    }

    /// Storage has searched.
    pub fn found(
        &mut self,
        ctx: &mut Context<'_>,
        ticket: Ticket,
        results: Vec<Result<Vec<TimedOffset>, ReadError>>,
    ) {
        let Some(search) = self.searches.remove(&ticket) else { return };
        let Search { id, mut response, wants_starts, places } = search;
        for ((topic, partition), result) in places.into_iter().zip(results) {
            let topic = response.topics.get_mut(topic);
            let Some(answer) = topic.and_then(|t| t.partitions.get_mut(partition)) else {
                continue;
            };
            match result {
                Ok(starts) if wants_starts => {
                    answer.old_style_offsets = starts.iter().map(|start| start.offset).collect();
                }
                Ok(found) => {
                    if let Some(found) = found.first() {
                        answer.timestamp = found.timestamp;
                        answer.offset = found.offset;
                        answer.leader_epoch = found.leader_epoch;
                    }
                }
                Err(ReadError::UnknownPartition) => {
                    answer.error_code = ErrorCode::UnknownTopicOrPartition.code();
                }
                Err(ReadError::Corrupt) => answer.error_code = ErrorCode::CorruptMessage.code(),
                Err(_) => answer.error_code = ErrorCode::KafkaStorageError.code(),
            }
        }
        ctx.reply(id, response);
    }

    /// A connection is gone.
    pub fn disconnected(&mut self, conn: ConnId) {
        self.searches.retain(|_, search| search.id.conn != conn);
    }
}

fn usable<'t>(
    topics: &'t TopicTable,
    name: &str,
    index: i32,
    epochs: (i32, i32),
) -> Result<(PartitionId, &'t Partition), ErrorCode> {
    let topic = topics.get(name).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let partition = topic.partition(index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let (believed, actual) = epochs;
    check_leader_epoch(believed, actual)?;
    if !partition.is_online() {
        return Err(ErrorCode::KafkaStorageError);
    }
    Ok((PartitionId { topic: topic.id, index }, partition))
}

fn look(
    ctx: &Context<'_>,
    topics: &TopicTable,
    request: &ListOffsetsRequest,
    name: &str,
    part: &ListOffsetsRequestPartition,
) -> Result<Found, ErrorCode> {
    let leader_epoch = ctx.journal.leader_epoch();
    let epochs = (part.current_leader_epoch, leader_epoch);
    let (id, partition) = usable(topics, name, part.partition_index, epochs)?;
    let query =
        |target| Found::Query(TimeQuery { partition: id, target, end: partition.high_watermark });
    let mut answer = ListOffsetsResponsePartition {
        partition_index: part.partition_index,
        ..ListOffsetsResponsePartition::default()
    };
    if part.timestamp < request.special_timestamp_min {
        return Err(ErrorCode::UnsupportedVersion);
    }
    if request.wants_starts {
        return starts(ctx, part, answer, partition.log_start, query);
    }
    match part.timestamp {
        LATEST => {
            answer.offset = partition.high_watermark;
            answer.leader_epoch = leader_epoch;
        }
        EARLIEST | EARLIEST_LOCAL => {
            answer.offset = partition.log_start;
            let is_empty = partition.log_start == partition.end;
            answer.leader_epoch =
                if is_empty { leader_epoch } else { partition.epoch_at(partition.log_start) };
        }
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => {}
        MAX_TIMESTAMP => return Ok(query(TimeTarget::Largest)),
        time if time >= 0 => return Ok(query(TimeTarget::AtOrAfter(time))),
        _ => return Err(ErrorCode::UnsupportedVersion),
    }
    Ok(Found::Answer(answer))
}

/// What v0 asks for: starts of segments, newest first.
fn starts(
    ctx: &Context<'_>,
    part: &ListOffsetsRequestPartition,
    answer: ListOffsetsResponsePartition,
    log_start: Offset,
    query: impl Fn(TimeTarget) -> Found,
) -> Result<Found, ErrorCode> {
    let count = usize::try_from(part.max_num_offsets).map_err(|_| ErrorCode::InvalidRequest)?;
    if part.timestamp == EARLIEST {
        let old_style_offsets = [log_start].into_iter().take(count).collect();
        return Ok(Found::Answer(ListOffsetsResponsePartition { old_style_offsets, ..answer }));
    }
    // The end is a start of now.
    let is_past = (0..ctx.now.wall).contains(&part.timestamp);
    Ok(query(TimeTarget::Starts(count, is_past.then_some(part.timestamp))))
}

/// A client asks where an epoch ended, to see whether its own log was cut (KIP-320).
pub fn for_leader_epoch(
    ctx: &mut Context<'_>,
    topics: &TopicTable,
    id: RequestId,
    request: &OffsetForLeaderEpochRequest,
) {
    let leader_epoch = ctx.journal.leader_epoch();
    let answer = |topic: &str, part: &OffsetForLeaderEpochRequestPartition| {
        let mut answer = OffsetForLeaderEpochResponseEpochEndOffset {
            partition: part.partition,
            ..OffsetForLeaderEpochResponseEpochEndOffset::default()
        };
        let epochs = (part.current_leader_epoch, leader_epoch);
        match usable(topics, topic, part.partition, epochs) {
            Ok((_, partition)) => {
                let end = if part.leader_epoch == leader_epoch {
                    Some((leader_epoch, partition.high_watermark))
                } else if part.leader_epoch > leader_epoch {
                    None
                } else {
                    partition.end_of_epoch(part.leader_epoch)
                };
                (answer.leader_epoch, answer.end_offset) = end.unwrap_or((-1, -1));
            }
            Err(error) => answer.error_code = error.code(),
        }
        answer
    };
    let mut response = OffsetForLeaderEpochResponse::default();
    for wanted in &request.topics {
        response.topics.push(OffsetForLeaderEpochResponseTopic {
            topic: wanted.topic.clone(),
            partitions: wanted.partitions.iter().map(|part| answer(&wanted.topic, part)).collect(),
        });
    }
    ctx.reply(id, response);
}
