//! Fetch (key 1): gives records, or waits for them.
//!
//! A fetch is tried: what can be seen without the disk is decided at once. What was written last is known to be in
//! which range of which file; the rest is one read job. It is answered
//!
//! - A. when a partition has an error or is out of range,
//! - B. when at least `min_bytes` were found,
//! - C. when it may not wait (any more): `max_wait_ms` is over, or the client will send nothing more,
//! - D. and is tried again when a partition's end moved while it was read.
//!
//! Otherwise it is parked until enough bytes have become visible, which is counted without reading, or until its
//! deadline. Sessions (KIP-227) are never created: answering with session 0 is what a broker does whose cache is full.

mod pending;
mod tails;

use std::collections::BTreeMap;

use super::context::Context;
use super::event::RequestId;
use super::topic_table::TopicTable;
use super::waiters::Waiters;
use crate::base::ids::{ConnId, Offset, PartitionId, Ticket};
use crate::base::payload::Payload;
use crate::base::time::Mono;
use crate::storage::job::{AbortedTransaction, Ahead, Appended, Job, ReadError};
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::{FetchRequest, FetchResponse};
use pending::Pending;
use tails::Tails;

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
    tails: Tails,
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
        let mut pending = Pending::new(id, request, deadline);
        let has_room = self.bytes_waiting + pending.bytes <= ctx.options.limits.waiting_fetch_bytes;
        self.bytes_waiting += pending.bytes;
        pending.is_last_try |= !has_room;
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
        let read = pending.read(ticket, parts, &ctx.options.limits);
        if let Some(ranges) = self.tails.ranges(&read) {
            pending.found(ranges);
            return self.settle(ctx, topics, ticket);
        }
        self.tails.want(&read);
        ctx.job(Job::Read(read));
    }

    /// Records were written, which nobody may see yet.
    pub fn appended(&mut self, partition: PartitionId, appended: &Appended) {
        let is_awaited = self.waiters.waiting_for(partition).next().is_some();
        self.tails.appended(partition, appended, is_awaited);
    }

    /// A reader has found where that is which somebody will ask for next.
    pub fn ahead(&mut self, topics: &TopicTable, ahead: Ahead) {
        let online = topics.partition(ahead.partition).filter(|partition| partition.is_online());
        let log_start = online.map(|partition| partition.log_start);
        // Files that were removed meanwhile are not held.
        let begin = ahead.begins.first().map(|(offset, _)| *offset);
        if log_start.is_some() && begin >= log_start {
            self.tails.look_ahead(ahead);
        }
    }

    /// A log was looked after: the segment that was written last may be closed.
    pub fn upkept(&mut self, partition: PartitionId) {
        self.tails.forget(partition);
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
        pending.was_read(parts, aborted);
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
            self.waiters.park(ticket, pending.park(), pending.deadline);
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
        if visible_bytes.is_none() {
            self.tails.forget(partition);
        }
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
            let is_reading = self.fetches.get(&ticket).is_some_and(Pending::is_being_read);
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

    /// What must always hold: a fetch that is not being read is parked, and a tail ends where its log ends.
    ///
    /// # Errors
    /// What does not.
    pub fn check_invariants(&self, topics: &TopicTable) -> Result<(), &'static str> {
        let end_of = |id: PartitionId| -> Option<Offset> {
            topics.partition(id).filter(|partition| partition.is_online()).map(|p| p.end)
        };
        self.tails.check(end_of)?;
        let parked = self.fetches.values().filter(|pending| !pending.is_being_read()).count();
        if parked != self.waiters.len() {
            return Err("a fetch waits for nothing");
        }
        let known = self.tickets.len() == self.fetches.len();
        if known { Ok(()) } else { Err("a fetch is not found by its request") }
    }
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

/// What a client believes of the leader epoch, against what is (KIP-320). -1: it believes nothing.
pub(super) fn check_leader_epoch(believed: i32, actual: i32) -> Result<(), ErrorCode> {
    match believed {
        -1 => Ok(()),
        _ if believed > actual => Err(ErrorCode::UnknownLeaderEpoch),
        _ if believed < actual => Err(ErrorCode::FencedLeaderEpoch),
        _ => Ok(()),
    }
}
