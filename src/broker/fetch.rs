//! Fetch (key 1): gives records, or waits for them.
//!
//! A fetch is tried: what can be seen without the disk is decided at once, the rest is one read job. It is answered
//!
//! - A. when a partition has an error or is out of range,
//! - B. when at least `min_bytes` were found,
//! - C. when it may not wait (any more): `max_wait_ms` is over, or the client will send nothing more,
//! - D. and is tried again when a partition's end moved while it was read.
//!
//! Otherwise it is parked until enough bytes have become visible, which is counted without reading, or until its
//! deadline. Sessions (KIP-227) are never created: answering with session 0 is what a broker does whose cache is full.

use std::collections::BTreeMap;

use super::context::Context;
use super::event::RequestId;
use super::partition::{Partition, PartitionState};
use super::topic_table::TopicTable;
use super::waiters::Waiters;
use crate::base::ids::{ConnId, PartitionId, Ticket};
use crate::base::payload::Payload;
use crate::base::planted::{Bug, is_planted};
use crate::base::time::Mono;
use crate::record::compression::Codec;
use crate::storage::job::{AbortedTransaction, Job, Read, ReadError, ReadPart};
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::{
    FetchRequest, FetchRequestPartition, FetchRequestTopic, FetchResponse,
    FetchResponseAbortedTransaction, FetchResponseEpochEndOffset, FetchResponsePartition,
    FetchResponseTopic,
};
use crate::wire::records::Records;

/// The isolation level of clients that pass over what was aborted (KIP-98).
const READ_COMMITTED: i8 = 1;

/// Everything that is being fetched.
#[derive(Debug, Default)]
pub struct Fetch {
    last_ticket: u64,
    fetches: BTreeMap<Ticket, Pending>,
    /// The same by request, so that those of one connection are found without looking at all.
    tickets: BTreeMap<RequestId, Ticket>,
    /// What all of them take in memory.
    bytes_waiting: usize,
    waiters: Waiters<PartitionId>,
}

/// A fetch that has not been answered.
#[derive(Debug)]
struct Pending {
    id: RequestId,
    request: Box<FetchRequest>,
    /// What it takes in memory, roughly.
    bytes: usize,
    deadline: Mono,
    /// Whether it must be answered with what the next read finds.
    is_last_try: bool,
    /// The answer so far, and what the running read will add to it.
    response: FetchResponse,
    failed: bool,
    reads: Vec<Place>,
    /// What was visible in each partition when it was tried, and how much it found.
    seen: Vec<Seen>,
    bytes_found: u64,
}

/// Where a read's records belong in the answer.
#[derive(Clone, Copy, Debug)]
struct Place {
    topic: usize,
    partition: usize,
}

/// How far a partition was visible.
#[derive(Clone, Copy, Debug)]
struct Seen {
    partition: PartitionId,
    visible_bytes: u64,
}

impl Fetch {
    /// A client wants records.
    pub fn handle(
        &mut self,
        ctx: &mut Context<'_>,
        topics: &TopicTable,
        id: RequestId,
        request: Box<FetchRequest>,
    ) {
        if let Some(error) = refuse(&request) {
            let response = FetchResponse { error_code: error.code(), ..FetchResponse::default() };
            return ctx.reply(id, response);
        }
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let deadline = ctx.now.mono.plus_ms(i64::from(request.max_wait_ms));
        let bytes = memory_of(&request);
        let has_room = self.bytes_waiting + bytes <= ctx.options.limits.waiting_fetch_bytes;
        self.bytes_waiting += bytes;
        let pending = Pending {
            id,
            is_last_try: request.max_wait_ms <= 0 || !has_room,
            bytes,
            request,
            deadline,
            response: FetchResponse::default(),
            failed: false,
            reads: Vec::new(),
            seen: Vec::new(),
            bytes_found: 0,
        };
        self.fetches.insert(ticket, pending);
        self.tickets.insert(id, ticket);
        self.attempt(ctx, topics, ticket);
    }

    fn attempt(&mut self, ctx: &mut Context<'_>, topics: &TopicTable, ticket: Ticket) {
        self.waiters.leave(ticket);
        let Some(pending) = self.fetches.get_mut(&ticket) else { return };
        let parts = pending.look(topics, ctx.journal.leader_epoch());
        if parts.is_empty() {
            return self.settle(ctx, topics, ticket);
        }
        let request = &pending.request;
        let limits = &ctx.options.limits;
        let limit =
            if request.magic_max < 2 { limits.converted_fetch_bytes } else { limits.fetch_bytes };
        let bytes_max = usize::try_from(request.max_bytes).unwrap_or(0).min(limit);
        ctx.job(Job::Read(Read {
            ticket,
            bytes_max,
            whole_first_batch: !request.strict_byte_limit,
            parts,
            magic_max: request.magic_max,
            committed: request.isolation_level == READ_COMMITTED,
        }));
    }

    /// A read has returned.
    pub fn read(
        &mut self,
        ctx: &mut Context<'_>,
        topics: &TopicTable,
        ticket: Ticket,
        parts: Vec<Result<Vec<Payload>, ReadError>>,
        aborted: Vec<Vec<AbortedTransaction>>,
    ) {
        let Some(pending) = self.fetches.get_mut(&ticket) else { return };
        let places = std::mem::take(&mut pending.reads);
        let aborted = aborted.into_iter().map(Some).chain(std::iter::repeat(None));
        for ((place, result), aborted) in places.into_iter().zip(parts).zip(aborted) {
            let Some(answer) = answer_mut(&mut pending.response, place) else { continue };
            match result {
                Ok(parts) => {
                    let records = Records { parts };
                    pending.bytes_found += records.len() as u64;
                    answer.records = Some(records);
                    if let Some(answer) = &mut answer.aborted_transactions {
                        answer.extend(aborted.unwrap_or_default().iter().map(told));
                    }
                }
                Err(error) => {
                    answer.error_code = error_of(&error).code();
                    pending.failed = true;
                }
            }
        }
        self.settle(ctx, topics, ticket);
    }

    /// Answers, tries again, or parks.
    fn settle(&mut self, ctx: &mut Context<'_>, topics: &TopicTable, ticket: Ticket) {
        let Some(pending) = self.fetches.get_mut(&ticket) else { return };
        let enough = pending.bytes_found >= pending.bytes_wanted();
        let is_late = pending.is_last_try || ctx.now.mono >= pending.deadline;
        if pending.failed || enough || is_late {
            if let Some(pending) = self.take(ticket) {
                ctx.reply(pending.id, pending.response); // A, B, C
            }
        } else if pending.bytes_growing(topics) + pending.bytes_found >= pending.bytes_wanted() {
            self.attempt(ctx, topics, ticket); // D
        } else {
            // What was found is found again; until then it need not hold memory and files.
            pending.response = FetchResponse::default();
            let keys = pending.seen.iter().map(|seen| seen.partition).collect();
            self.waiters.park(ticket, keys, pending.deadline);
        }
    }

    fn take(&mut self, ticket: Ticket) -> Option<Pending> {
        self.waiters.leave(ticket);
        let pending = self.fetches.remove(&ticket)?;
        self.tickets.remove(&pending.id);
        self.bytes_waiting = self.bytes_waiting.saturating_sub(pending.bytes);
        Some(pending)
    }

    fn of_connection(&self, conn: ConnId) -> Vec<Ticket> {
        self.tickets.range(RequestId::all_of(conn)).map(|(_, ticket)| *ticket).collect()
    }

    /// A partition's visible end moved, or it failed or is gone: tries those who wait for it and may now have enough.
    pub fn progress(&mut self, ctx: &mut Context<'_>, topics: &TopicTable, partition: PartitionId) {
        let online = topics.partition(partition).filter(|partition| partition.is_online());
        let visible_bytes = online.map(|partition| partition.visible_bytes);
        let waiting: Vec<Ticket> = self.waiters.waiting_for(partition).collect();
        for ticket in waiting {
            let Some(pending) = self.fetches.get_mut(&ticket) else { continue };
            if pending.may_have_enough(partition, visible_bytes) {
                self.attempt(ctx, topics, ticket);
            }
        }
    }

    /// A log begins later: those who wait for what is gone need not wait any longer.
    pub fn log_start_rose(
        &mut self,
        ctx: &mut Context<'_>,
        topics: &TopicTable,
        partition: PartitionId,
    ) {
        let waiting: Vec<Ticket> = self.waiters.waiting_for(partition).collect();
        for ticket in waiting {
            self.attempt(ctx, topics, ticket);
        }
    }

    /// Answers those who have waited long enough.
    pub fn tick(&mut self, ctx: &mut Context<'_>, topics: &TopicTable) {
        while let Some(ticket) = self.waiters.pop_due(ctx.now.mono) {
            self.end_wait(ctx, topics, ticket);
        }
    }

    /// The client will send nothing more: what it waits for is answered with what there is.
    pub fn input_ended(&mut self, ctx: &mut Context<'_>, topics: &TopicTable, conn: ConnId) {
        for ticket in self.of_connection(conn) {
            let is_reading = self.fetches.get(&ticket).is_some_and(|p| !p.reads.is_empty());
            if is_reading {
                if let Some(pending) = self.fetches.get_mut(&ticket) {
                    pending.is_last_try = true;
                }
            } else {
                self.end_wait(ctx, topics, ticket);
            }
        }
    }

    fn end_wait(&mut self, ctx: &mut Context<'_>, topics: &TopicTable, ticket: Ticket) {
        if let Some(pending) = self.fetches.get_mut(&ticket) {
            pending.is_last_try = true;
            self.attempt(ctx, topics, ticket);
        }
    }

    /// A connection is gone.
    pub fn disconnected(&mut self, conn: ConnId) {
        for ticket in self.of_connection(conn) {
            self.take(ticket);
        }
    }

    /// The nearest deadline of a fetch that waits.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.waiters.next_deadline()
    }

    /// How many fetches wait for records.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// What must always hold: a fetch that is not being read is parked.
    ///
    /// # Errors
    /// What does not.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        let parked = self.fetches.values().filter(|pending| pending.reads.is_empty()).count();
        if parked != self.waiters.len() {
            return Err("a fetch waits for nothing");
        }
        let known = self.tickets.len() == self.fetches.len();
        if known { Ok(()) } else { Err("a fetch is not found by its request") }
    }
}

impl Pending {
    fn bytes_wanted(&self) -> u64 {
        u64::try_from(self.request.min_bytes).unwrap_or(0)
    }

    /// Counts what became visible in one partition; `None`: it can be used no more. Answers whether another try is
    /// worth it.
    fn may_have_enough(&mut self, partition: PartitionId, visible_bytes: Option<u64>) -> bool {
        let Some(visible_bytes) = visible_bytes else { return true };
        for seen in self.seen.iter_mut().filter(|seen| seen.partition == partition) {
            self.bytes_found += visible_bytes.saturating_sub(seen.visible_bytes);
            seen.visible_bytes = visible_bytes;
        }
        self.bytes_found >= self.bytes_wanted()
    }

    /// Bytes that became visible since it was tried.
    fn bytes_growing(&self, topics: &TopicTable) -> u64 {
        let grown = |seen: &Seen| {
            let now = topics.partition(seen.partition).map_or(0, |p| p.visible_bytes);
            now.saturating_sub(seen.visible_bytes)
        };
        self.seen.iter().map(grown).sum()
    }

    /// Makes the answer without records, and says what must be read for it.
    fn look(&mut self, topics: &TopicTable, leader_epoch: i32) -> Vec<ReadPart> {
        self.response = FetchResponse::default();
        (self.failed, self.bytes_found) = (false, 0);
        self.reads.clear();
        self.seen.clear();
        let mut parts = Vec::new();
        let request = std::mem::take(&mut self.request);
        for wanted in &request.topics {
            let mut answers = Vec::with_capacity(wanted.partitions.len());
            for part in &wanted.partitions {
                let (answer, read) = self.look_at(topics, &request, wanted, part, leader_epoch);
                self.failed |= answer.error_code != 0 || answer.diverging_epoch.epoch >= 0;
                if let Some(read) = read {
                    let topic = self.response.responses.len();
                    self.reads.push(Place { topic, partition: answers.len() });
                    parts.push(read);
                }
                answers.push(answer);
            }
            self.response.responses.push(FetchResponseTopic {
                topic: wanted.topic.clone(),
                topic_id: wanted.topic_id,
                partitions: answers,
            });
        }
        self.request = request;
        parts
    }

    fn look_at(
        &mut self,
        topics: &TopicTable,
        request: &FetchRequest,
        wanted: &FetchRequestTopic,
        part: &FetchRequestPartition,
        leader_epoch: i32,
    ) -> (FetchResponsePartition, Option<ReadPart>) {
        let mut answer = FetchResponsePartition {
            partition_index: part.partition,
            high_watermark: -1,
            aborted_transactions: (request.isolation_level == READ_COMMITTED).then(Vec::new),
            records: Some(Records::default()),
            ..FetchResponsePartition::default()
        };
        let (id, partition) = match find(topics, request, wanted, part, leader_epoch) {
            Ok(found) => found,
            Err(error) => {
                answer.error_code = error.code();
                if matches!(error, ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition) {
                    answer.aborted_transactions = Some(Vec::new());
                }
                return (answer, None);
            }
        };
        let high_watermark = partition.high_watermark;
        let visible_bytes = partition.visible_bytes;
        self.seen.push(Seen { partition: id, visible_bytes });
        let is_inside = (partition.log_start..=partition.end).contains(&part.fetch_offset);
        // Like Kafka, no offsets beside the error: clients ask ListOffsets for them.
        if !is_inside || part.last_fetched_epoch > leader_epoch {
            answer.error_code = ErrorCode::OffsetOutOfRange.code();
            return (answer, None);
        }
        answer.high_watermark = high_watermark;
        answer.last_stable_offset = high_watermark;
        answer.log_start_offset = partition.log_start;
        if let Some(diverging) = diverging(partition, part) {
            answer.diverging_epoch = diverging;
            return (answer, None);
        }
        let bytes_max = usize::try_from(part.partition_max_bytes).unwrap_or(0);
        let read = (part.fetch_offset < high_watermark).then_some(ReadPart {
            partition: id,
            offset: part.fetch_offset,
            end: if is_planted(Bug::ReadBeyondWatermark) { partition.end } else { high_watermark },
            bytes_max,
        });
        (answer, read)
    }
}

/// What a request and the answer in the making take in memory, roughly.
fn memory_of(request: &FetchRequest) -> usize {
    let partitions: usize = request.topics.iter().map(|topic| topic.partitions.len()).sum();
    let names: usize = request.topics.iter().map(|topic| topic.topic.len()).sum();
    let one = size_of::<FetchRequestPartition>() + size_of::<FetchResponsePartition>();
    let topic = size_of::<FetchRequestTopic>() + size_of::<FetchResponseTopic>();
    size_of::<Pending>() + partitions * one + request.topics.len() * topic + 2 * names
}

fn told(aborted: &AbortedTransaction) -> FetchResponseAbortedTransaction {
    let AbortedTransaction { producer_id, first_offset, .. } = *aborted;
    FetchResponseAbortedTransaction { producer_id, first_offset }
}

/// What refuses the whole request.
fn refuse(request: &FetchRequest) -> Option<ErrorCode> {
    if request.replica_id >= 0 || request.replica_state.replica_id >= 0 {
        return Some(ErrorCode::InvalidRequest); // there are no followers
    }
    // Epochs -1 and 0 end what session there was and ask in full; the others go on with a session, and none is kept.
    let is_full = matches!(request.session_epoch, -1 | 0);
    (!is_full).then_some(ErrorCode::FetchSessionIdNotFound)
}

fn find<'t>(
    topics: &'t TopicTable,
    request: &FetchRequest,
    wanted: &FetchRequestTopic,
    part: &FetchRequestPartition,
    leader_epoch: i32,
) -> Result<(PartitionId, &'t Partition), ErrorCode> {
    let topic = topics.resolve(&wanted.topic, wanted.topic_id);
    let topic = match topic {
        Some(topic) => topic,
        None if request.by_topic_id => return Err(ErrorCode::UnknownTopicId),
        None => return Err(ErrorCode::UnknownTopicOrPartition),
    };
    let partition = topic.partition(part.partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    // Fetch takes every negative epoch for none; its siblings only -1.
    check_leader_epoch(part.current_leader_epoch.max(-1), leader_epoch)?;
    // As Kafka has it: a client that does not know zstd may know it all the same, unless the topic insists.
    if topic.codec == Some(Codec::Zstd.number()) && !request.understands_zstd {
        return Err(ErrorCode::UnsupportedCompressionType);
    }
    match partition.state {
        PartitionState::Online => {
            Ok((PartitionId { topic: topic.id, index: part.partition }, partition))
        }
        PartitionState::Opening => Err(ErrorCode::UnknownTopicOrPartition),
        PartitionState::Offline(_) => Err(ErrorCode::KafkaStorageError),
    }
}

/// What a client believes of the leader epoch, against what is (KIP-320). -1: it believes nothing.
pub(super) fn check_leader_epoch(believed: i32, actual: i32) -> Result<(), ErrorCode> {
    match believed {
        -1 => Ok(()),
        _ if believed > actual => Err(ErrorCode::UnknownLeaderEpoch),
        _ if believed < actual => Err(ErrorCode::FencedLeaderEpoch),
        _ => Ok(()),
    }
}

/// Where the client's log and this one part, if the client said what it fetched last (KIP-595).
fn diverging(
    partition: &Partition,
    part: &FetchRequestPartition,
) -> Option<FetchResponseEpochEndOffset> {
    if part.last_fetched_epoch < 0 {
        return None;
    }
    let (epoch, end_offset) = partition.end_of_epoch(part.last_fetched_epoch)?;
    let parts = epoch < part.last_fetched_epoch || end_offset < part.fetch_offset;
    parts.then_some(FetchResponseEpochEndOffset { epoch, end_offset })
}

fn error_of(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::Storage(_) => ErrorCode::KafkaStorageError,
        ReadError::OutOfRange => ErrorCode::OffsetOutOfRange,
        ReadError::Corrupt => ErrorCode::CorruptMessage,
        ReadError::UnsupportedCompression => ErrorCode::UnsupportedCompressionType,
        ReadError::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
    }
}

fn answer_mut(response: &mut FetchResponse, place: Place) -> Option<&mut FetchResponsePartition> {
    response.responses.get_mut(place.topic)?.partitions.get_mut(place.partition)
}
