//! Produce (key 0): appends batches, and answers when each partition has kept its promise.
//!
//! The way of one partition's records, and where it can end:
//!
//! ```text
//! request ─► refused (A)
//!         ─► converting, if the format is old or the topic wants another compression ─► refused (B)
//!         ─► appending ─► refused by storage (C)
//!         ─► written ─► acks=0: done (D)
//!                    ─► acks=1: done when the high watermark has passed it (E)
//!                    ─► acks=all: done when the disk has it (F)
//!                    ─► the disk fails: storage error (G)
//! ```
//!
//! Records for a partition keep the order of their arrival, also behind some that are being converted.

mod format;
mod refusal;

use std::collections::{BTreeMap, VecDeque};

use slab::Slab;

use super::context::Context;
use super::event::{Effect, RequestId};
use super::options::Durability;
use super::partition::Partition;
use super::topic_table::{Topic, TopicTable, is_internal};
use crate::base::by_conn::ByConn;
use crate::base::ids::{ConnId, Offset, PartitionId, Ticket};
use crate::base::payload::Bytes;
use crate::base::planted::{Bug, is_planted};
use crate::storage::job::{Append, AppendError, Appended, Convert, Job, Origin};
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::{
    ProduceRequest, ProduceRequestPartition, ProduceResponse, ProduceResponsePartition,
    ProduceResponseTopic,
};
use format::{check_format, codec_of, is_old_format};
use refusal::{breaks_a_rule, record_errors, refusal_of};

/// Most bytes that records may take when they are decompressed in order to be converted.
const DECOMPRESSED_BYTES_MAX: usize = 16 << 20;

/// Requests and appends for which there stays room.
const KEPT: usize = 1024;

/// Everything that is being produced.
#[derive(Debug, Default)]
pub struct Produce {
    /// Also those of connections that have gone: what they sent is appended all the same.
    requests: Slab<Pending>,
    /// Connections that have produced and are still there: who has gone needs no answer.
    present: ByConn<()>,
    /// By ticket. A ticket is given to another append once storage has answered its own.
    slots: Slab<Slot>,
    /// Appends that wait behind one that is being converted.
    queued: BTreeMap<PartitionId, VecDeque<Queued>>,
    /// Written records whose promise is not kept yet.
    promised: BTreeMap<PartitionId, Vec<Promise>>,
}

/// A request that has not been answered.
#[derive(Debug)]
struct Pending {
    id: RequestId,
    acks: i16,
    response: ProduceResponse,
    /// Partitions without a result, and one while the request is looked at.
    open: usize,
    failed: bool,
}

/// One partition of one request.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Where the request is among all that wait.
    request: usize,
    topic: usize,
    place: usize,
    partition: PartitionId,
    needs_sync: bool,
}

/// An append that waits for its turn.
#[derive(Debug)]
struct Queued {
    ticket: Ticket,
    /// `None`: still being converted.
    records: Option<Bytes>,
}

/// A promise: `slot` is done when the disk has, or clients may see, everything below `end`.
#[derive(Debug)]
struct Promise {
    slot: Slot,
    end: Offset,
}

/// Why a partition's records are refused, with a reason in words.
type Refusal = (ErrorCode, Option<&'static str>);

impl Produce {
    /// A client wants records appended.
    pub fn handle(
        &mut self,
        ctx: &mut Context<'_>,
        topics: &TopicTable,
        id: RequestId,
        request: ProduceRequest,
    ) {
        let response = skeleton(&request);
        let open: usize = request.topic_data.iter().map(|topic| topic.partition_data.len()).sum();
        let acks = request.acks;
        // One more than there are: it is not answered before all of it is looked at.
        if self.present.get(id.conn).is_none() {
            self.present.insert(id.conn, ());
        }
        let pending = Pending { id, acks, response, open: open + 1, failed: false };
        let key = self.requests.insert(pending);
        for (place_of_topic, data) in request.topic_data.iter().enumerate() {
            let topic = topics.resolve(&data.name, data.topic_id);
            for (place, part) in data.partition_data.iter().enumerate() {
                let partition = PartitionId {
                    topic: topic.map(|t| t.id).unwrap_or_default(),
                    index: part.index,
                };
                let slot = Slot {
                    request: key,
                    topic: place_of_topic,
                    place,
                    partition,
                    needs_sync: needs_sync(acks, ctx.options.durability),
                };
                match self.admit(&request, topic, part) {
                    // The disk is full since the start; the epoch that the batch would carry is recorded nowhere.
                    Ok(_) if !ctx.journal.is_epoch_durable() => {
                        self.refuse(ctx, slot, refusal_of(&AppendError::NoSpace));
                    }
                    Ok((topic, records)) => self.start(ctx, slot, topic, records),
                    Err(refusal) => self.refuse(ctx, slot, refusal),
                }
            }
        }
        let names = request.topic_data.into_iter().map(|data| data.name);
        self.close_one(ctx, key, |pending| {
            for (answer, name) in pending.response.responses.iter_mut().zip(names) {
                answer.name = name;
            }
        });
    }

    /// Case A: what can be seen to be wrong before anything is done.
    fn admit<'t>(
        &self,
        request: &ProduceRequest,
        topic: Option<&'t Topic>,
        part: &ProduceRequestPartition,
    ) -> Result<(&'t Topic, Bytes), Refusal> {
        if !(-1..=1).contains(&request.acks) {
            return Err((ErrorCode::InvalidRequiredAcks, None));
        }
        let unknown = if request.by_topic_id {
            ErrorCode::UnknownTopicId
        } else {
            ErrorCode::UnknownTopicOrPartition
        };
        let topic = topic.ok_or((unknown, None))?;
        if is_internal(&topic.name) {
            return Err((ErrorCode::InvalidTopicException, Some("the topic is the broker's own")));
        }
        let partition =
            topic.partition(part.index).ok_or((ErrorCode::UnknownTopicOrPartition, None))?;
        check_usable(partition)?;
        let records = part.records.as_ref().and_then(|records| records.as_bytes());
        let records = records.filter(|records| !records.is_empty());
        let records = records.ok_or((ErrorCode::InvalidRecord, Some("there are no records")))?;
        let records = check_format(request, records)?;
        Ok((topic, records))
    }

    fn start(&mut self, ctx: &mut Context<'_>, slot: Slot, topic: &Topic, records: Bytes) {
        let ticket = ticket_of(self.slots.insert(slot));
        let codec = topic.codec.filter(|codec| codec_of(&records) != Some(*codec));
        if is_old_format(&records) || codec.is_some() {
            ctx.job(Job::Convert(Convert {
                ticket,
                records,
                codec: topic.codec,
                batch_bytes_max: topic.log_config.batch_bytes_max,
                decompressed_bytes_max: DECOMPRESSED_BYTES_MAX,
            }));
            let queue = self.queued.entry(slot.partition).or_default();
            queue.push_back(Queued { ticket, records: None });
        } else if let Some(queue) = self.queued.get_mut(&slot.partition) {
            queue.push_back(Queued { ticket, records: Some(records) });
        } else {
            append(ctx, ticket, slot, records);
        }
    }

    /// Records were converted, or cannot be (case B).
    pub fn converted(
        &mut self,
        ctx: &mut Context<'_>,
        topics: &TopicTable,
        ticket: Ticket,
        result: Result<Bytes, AppendError>,
    ) {
        let Some(slot) = self.slots.get(key_of(ticket)).copied() else { return };
        let Some(queue) = self.queued.get_mut(&slot.partition) else { return };
        match result {
            Ok(records) => {
                if let Some(queued) = queue.iter_mut().find(|queued| queued.ticket == ticket) {
                    queued.records = Some(records);
                }
            }
            Err(error) => {
                queue.retain(|queued| queued.ticket != ticket);
                self.slots.try_remove(key_of(ticket));
                let log_start = topics.partition(slot.partition).map_or(-1, |log| log.log_start);
                self.refuse_records(ctx, slot, log_start, &error);
            }
        }
        self.append_what_is_ready(ctx, slot.partition);
    }

    fn append_what_is_ready(&mut self, ctx: &mut Context<'_>, partition: PartitionId) {
        let Some(queue) = self.queued.get_mut(&partition) else { return };
        while let Some(records) = queue.front_mut().and_then(|queued| queued.records.take()) {
            if let Some(Queued { ticket, .. }) = queue.pop_front() {
                if let Some(slot) = self.slots.get(key_of(ticket)) {
                    append(ctx, ticket, *slot, records);
                }
            }
        }
        if queue.is_empty() {
            self.queued.remove(&partition);
        }
    }

    /// Storage has written records, or refused them (case C). The partition knows already. Answers whether the
    /// records need a sync that nobody has asked for.
    pub fn appended(
        &mut self,
        ctx: &mut Context<'_>,
        ticket: Ticket,
        log_start: Offset,
        result: &Result<Appended, AppendError>,
    ) -> bool {
        let Some(slot) = self.slots.try_remove(key_of(ticket)) else { return false };
        let appended = match result {
            Ok(appended) => appended,
            Err(error) => {
                self.refuse_records(ctx, slot, log_start, error);
                return false;
            }
        };
        let Some(pending) = self.requests.get_mut(slot.request) else { return !slot.needs_sync };
        if let Some(answer) = answer_mut(&mut pending.response, slot) {
            answer.base_offset = appended.base_offset;
            answer.log_append_time_ms = appended.log_append_time;
            answer.log_start_offset = appended.log_start;
        }
        let early = is_planted(Bug::AcknowledgedAtWrite)
            || (is_planted(Bug::DuplicateBeforeSync) && appended.duplicate);
        if pending.acks == 0 || early {
            self.done(ctx, slot); // D
        } else {
            let promise = Promise { slot, end: appended.end_offset };
            self.promised.entry(slot.partition).or_default().push(promise);
        }
        !slot.needs_sync
    }

    /// Whether the records of this job must be on the disk before they are seen.
    #[must_use]
    pub fn needs_sync(&self, ticket: Ticket) -> bool {
        self.slots.get(key_of(ticket)).is_some_and(|slot| slot.needs_sync)
    }

    /// A partition has made progress, has failed, or is gone (`None`): keeps the promises that can be kept.
    pub fn progress(
        &mut self,
        ctx: &mut Context<'_>,
        id: PartitionId,
        partition: Option<&Partition>,
    ) {
        let Some(promises) = self.promised.remove(&id) else { return };
        let mut kept_back = Vec::new();
        for promise in promises {
            match partition.map(|partition| (partition, check_usable(partition))) {
                None => self.refuse(ctx, promise.slot, (ErrorCode::UnknownTopicOrPartition, None)),
                Some((_, Err(refusal))) => self.refuse(ctx, promise.slot, refusal), // G
                Some((partition, Ok(()))) => {
                    let reached = if promise.slot.needs_sync {
                        partition.synced // F
                    } else {
                        partition.high_watermark // E
                    };
                    if reached >= promise.end {
                        self.done(ctx, promise.slot);
                    } else {
                        kept_back.push(promise);
                    }
                }
            }
        }
        if !kept_back.is_empty() {
            self.promised.insert(id, kept_back);
        }
    }

    /// A connection is gone: nobody waits for its answers.
    pub fn disconnected(&mut self, conn: ConnId) {
        self.present.remove(conn);
    }

    fn answer_mut(&mut self, slot: Slot) -> Option<&mut ProduceResponsePartition> {
        answer_mut(&mut self.requests.get_mut(slot.request)?.response, slot)
    }

    /// Refuses records for what storage has found.
    fn refuse_records(
        &mut self,
        ctx: &mut Context<'_>,
        slot: Slot,
        log_start: Offset,
        error: &AppendError,
    ) {
        if let Some(answer) = self.answer_mut(slot).filter(|_| breaks_a_rule(error)) {
            // Kafka says it also to those whose records break a rule.
            answer.log_start_offset = log_start;
            answer.record_errors = record_errors(error);
        }
        self.refuse(ctx, slot, refusal_of(error));
    }

    fn refuse(&mut self, ctx: &mut Context<'_>, slot: Slot, (error, reason): Refusal) {
        self.close_one(ctx, slot.request, |pending| {
            pending.failed = true;
            if let Some(answer) = answer_mut(&mut pending.response, slot) {
                answer.error_code = error.code();
                answer.base_offset = -1;
                answer.error_message = reason.map(str::to_owned);
            }
        });
    }

    fn done(&mut self, ctx: &mut Context<'_>, slot: Slot) {
        self.close_one(ctx, slot.request, |_| ());
    }

    /// One thing less that the request waits for, which adds something to its answer. After the last one it is answered.
    fn close_one(&mut self, ctx: &mut Context<'_>, key: usize, add: impl FnOnce(&mut Pending)) {
        let Some(pending) = self.requests.get_mut(key) else { return };
        add(pending);
        pending.open = pending.open.saturating_sub(1);
        if pending.open > 0 {
            return;
        }
        let done = self.requests.try_remove(key);
        let Some(Pending { id, acks, response, failed, .. }) = done else { return };
        if self.present.get(id.conn).is_none() {
            // Nobody waits for it.
        } else if acks == 0 {
            ctx.out.push(Effect::Silence { to: id, failed });
        } else {
            ctx.reply(id, response);
        }
        self.let_go();
    }

    /// The room that a burst took does not stay.
    fn let_go(&mut self) {
        if self.requests.is_empty() && self.requests.capacity() > KEPT {
            self.requests = Slab::new();
        }
        if self.slots.is_empty() && self.slots.capacity() > KEPT {
            self.slots = Slab::new();
        }
    }

    /// How many requests wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.requests.len()
    }
}

fn ticket_of(key: usize) -> Ticket {
    Ticket(u64::try_from(key).unwrap_or(u64::MAX))
}

fn key_of(ticket: Ticket) -> usize {
    usize::try_from(ticket.0).unwrap_or(usize::MAX)
}

/// Whether these records become visible only when the disk has them.
fn needs_sync(acks: i16, durability: Durability) -> bool {
    match durability {
        Durability::Group => acks == -1,
        Durability::Always => acks != 0,
        Durability::Os => false,
    }
}

fn append(ctx: &mut Context<'_>, ticket: Ticket, slot: Slot, records: Bytes) {
    let leader_epoch = ctx.journal.leader_epoch();
    ctx.job(Job::Append(Append {
        ticket,
        partition: slot.partition,
        records,
        sync: slot.needs_sync,
        leader_epoch,
        now: ctx.now.wall,
        origin: Origin::Client,
    }));
}

fn check_usable(partition: &Partition) -> Result<(), Refusal> {
    use super::partition::PartitionState::{Offline, Online, Opening};
    match partition.state {
        Online => Ok(()),
        Opening => {
            Err((ErrorCode::UnknownTopicOrPartition, Some("the partition is being created")))
        }
        Offline(_) => Err((ErrorCode::KafkaStorageError, Some("the partition's disk has failed"))),
    }
}

/// The answer with a place for every partition, in the request's order, without the names.
fn skeleton(request: &ProduceRequest) -> ProduceResponse {
    let topic = |data: &crate::wire::messages::ProduceRequestTopic| ProduceResponseTopic {
        name: String::new(),
        topic_id: data.topic_id,
        partition_responses: data
            .partition_data
            .iter()
            .map(|part| ProduceResponsePartition { index: part.index, ..Default::default() })
            .collect(),
    };
    ProduceResponse {
        responses: request.topic_data.iter().map(topic).collect(),
        ..ProduceResponse::default()
    }
}

fn answer_mut(response: &mut ProduceResponse, slot: Slot) -> Option<&mut ProduceResponsePartition> {
    response.responses.get_mut(slot.topic)?.partition_responses.get_mut(slot.place)
}
