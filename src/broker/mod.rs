//! The broker: a state machine without I/O.
//!
//! Events go in, effects come out. It never sees a socket, a file, a clock, a thread or a source of randomness:
//! they are handed in (the moment, a seed) or sent out ([`event::Effect`]).
//!
//! One file per family of requests; what they share is here: the table of topics, the journal, and who is told when a
//! partition makes progress. Siblings do not reach into each other.

pub mod alter_configs;
pub mod commit_gate;
pub mod configs;
pub mod context;
pub mod coordinator;
pub mod create_partitions;
pub mod delete_records;
pub mod disk;
mod dispatch;
mod distinct;
pub mod event;
pub mod fetch;
pub mod flusher;
pub mod groups;
pub mod journal;
pub mod log_dirs;
pub mod metadata;
pub mod metadata_records;
pub mod offsets;
pub mod options;
pub mod partition;
pub mod produce;
pub mod producer_ids;
pub mod random;
mod recovery;
pub mod topic_configs;
pub mod topic_plan;
pub mod topic_table;
pub mod topics;
pub mod upkeep;
pub mod versions;
pub mod waiters;
pub mod wall_clock;

use std::collections::BTreeSet;
use std::time::Duration;

use alter_configs::AlterConfigs;
use commit_gate::CommitGate;
use context::Context;
use create_partitions::CreatePartitions;
use delete_records::DeleteRecords;
use disk::DiskWatch;
use event::{Effect, Event};
use fetch::Fetch;
use flusher::Flusher;
use groups::Groups;
use journal::Journal;
use log_dirs::LogDirs;
use metadata::Metadata;
use offsets::Offsets;
use options::{Durability, Options};
use partition::PartitionState;
use produce::Produce;
use producer_ids::ProducerIds;
use random::Random;
use topic_table::TopicTable;
use topics::Topics;
use upkeep::Upkeep;

use crate::base::ids::{ConnId, Offset, PartitionId, Ticket, TopicId};
use crate::base::time::{Mono, Now, WallMs};
use crate::storage::job::{AppendError, Appended, Outcome, StorageError};

/// All of the broker's state.
#[derive(Debug)]
pub struct Broker {
    options: Options,
    random: Random,
    journal: Journal,
    state: State,
}

/// The state of each family.
#[derive(Debug, Default)]
struct State {
    table: TopicTable,
    topics: Topics,
    create_partitions: CreatePartitions,
    alter_configs: AlterConfigs,
    metadata: Metadata,
    produce: Produce,
    fetch: Fetch,
    offsets: Offsets,
    producer_ids: ProducerIds,
    groups: Groups,
    commit_gate: CommitGate,
    flusher: Flusher,
    upkeep: Upkeep,
    delete_records: DeleteRecords,
    disk: DiskWatch,
    log_dirs: LogDirs,
}

impl Broker {
    /// A broker that knows nothing yet. `seed` decides every identity it will give.
    #[must_use]
    pub fn new(options: Options, seed: u64) -> Broker {
        let random = Random::new(seed);
        Broker { options, random, journal: Journal::default(), state: State::default() }
    }

    /// Something happened.
    pub fn handle(&mut self, event: Event, now: Now, out: &mut Vec<Effect>) {
        match event {
            Event::Request { id, client, request } => self.dispatch(id, client, request, now, out),
            Event::Outcome(outcome) => self.outcome(outcome, now, out),
            Event::InputEnded(conn) => {
                let (state, mut ctx) = self.split(now, out);
                state.fetch.input_ended(&mut ctx, &state.table, conn);
                state.groups.input_ended(&mut ctx, conn);
            }
            Event::Disconnected(conn) => self.disconnected(conn),
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.state.upkeep.observe(now) {
            // It may jump without being set: a machine that was asleep.
            self.clock_was_set(now);
        }
        let (state, mut ctx) = self.split(now, out);
        state.fetch.tick(&mut ctx, &state.table);
        state.groups.tick(&mut ctx);
        state.flusher.tick(&mut ctx);
        state.upkeep.tick(&mut ctx, &state.table);
        state.disk.tick(&mut ctx);
    }

    /// The loop was held up: nobody could be heard of for that long.
    pub fn held_up(&mut self, length: Duration) {
        self.state.groups.held_up(length);
    }

    /// Somebody set the wall clock.
    pub fn clock_was_set(&mut self, now: Now) {
        let retention_ms = self.options.groups.offsets_retention_ms;
        let State { upkeep, groups, .. } = &mut self.state;
        upkeep.clock_was_set(now);
        if let Some(at) = upkeep.clock().trusted_at(now) {
            groups.trust_clock_from(at);
        }
        groups.clock_stepped(now, upkeep.clock().jumped_to(), retention_ms);
    }

    /// Hands what the turn recorded to storage, as one batch per log.
    pub fn end_turn(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.journal.flush(now.wall, out);
    }

    /// When something is due next. `None`: not before something happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        let State { fetch, groups, flusher, upkeep, disk, .. } = &self.state;
        let deadlines = [
            fetch.next_deadline(),
            groups.next_deadline(),
            flusher.next_deadline(),
            upkeep.next_deadline(),
            disk.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The table of topics, for those who only look.
    #[must_use]
    pub fn topics(&self) -> &TopicTable {
        &self.state.table
    }

    /// The groups, for those who only look.
    #[must_use]
    pub fn groups(&self) -> &Groups {
        &self.state.groups
    }

    /// How it was told to behave.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What must hold between events.
    ///
    /// # Errors
    /// What does not.
    pub fn check_invariants(&self) -> Result<(), String> {
        for topic in self.state.table.iter() {
            for (index, partition) in topic.partitions.iter().enumerate() {
                partition
                    .check_invariants()
                    .map_err(|what| format!("{}-{index}: {what}", topic.name))?;
            }
        }
        self.state.groups.check_invariants()?;
        self.state.fetch.check_invariants(&self.state.table).map_err(str::to_owned)
    }

    fn split<'a>(&'a mut self, now: Now, out: &'a mut Vec<Effect>) -> (&'a mut State, Context<'a>) {
        let Broker { options, random, journal, state } = self;
        (state, Context { now, journal, random, options, out })
    }

    fn disconnected(&mut self, conn: ConnId) {
        let state = &mut self.state;
        state.topics.disconnected(conn);
        state.create_partitions.disconnected(conn);
        state.alter_configs.disconnected(conn);
        state.metadata.disconnected(conn);
        state.produce.disconnected(conn);
        state.fetch.disconnected(conn);
        state.offsets.disconnected(conn);
        state.groups.disconnected(conn);
        state.commit_gate.disconnected(conn);
        state.delete_records.disconnected(conn);
        state.log_dirs.disconnected(conn);
    }

    fn outcome(&mut self, outcome: Outcome, now: Now, out: &mut Vec<Effect>) {
        match outcome {
            Outcome::Appended { ticket, partition, result } => {
                self.appended(ticket, partition, result, now, out);
            }
            Outcome::Synced { partition, end, result } => {
                self.synced(partition, end, result, now, out);
            }
            Outcome::Read { ticket, parts, aborted } => {
                let (state, mut ctx) = self.split(now, out);
                state.fetch.read(&mut ctx, &state.table, ticket, parts, aborted);
            }
            Outcome::Ahead(ahead) => self.state.fetch.ahead(&self.state.table, ahead),
            Outcome::Times { ticket, results } => {
                let (state, mut ctx) = self.split(now, out);
                state.offsets.found(&mut ctx, ticket, results);
            }
            Outcome::Converted { ticket, result } => {
                let (state, mut ctx) = self.split(now, out);
                state.produce.converted(&mut ctx, &state.table, ticket, result);
            }
            Outcome::Opened { partition, result, .. } => {
                let (state, mut ctx) = self.split(now, out);
                if let (Ok(opened), Some(_)) = (&result, state.table.partition(partition)) {
                    state.table.grew(opened.bytes);
                    state.upkeep.opened(now, partition, opened.due);
                }
                let ready = state.topics.opened(&mut ctx, &mut state.table, partition, result);
                if let Some(topic) = ready {
                    state.create_partitions.topic_ready(&mut ctx, &state.table, topic);
                    state.metadata.topic_ready(&mut ctx, &state.table, topic);
                }
            }
            Outcome::Removed { partition, result, .. } => {
                let (state, mut ctx) = self.split(now, out);
                // Not before: a crash may still bring the topic back, and with it its commits.
                let gone: BTreeSet<TopicId> = state.topics.last_of(partition).into_iter().collect();
                gone.iter().for_each(|topic| state.upkeep.forget_topic(*topic));
                let position = state.groups.topics_deleted(&mut ctx, &gone);
                let table = &mut state.table;
                state.topics.removed(&mut ctx, table, partition, &result, position);
                self.progress(partition, now, out);
            }
            Outcome::Trimmed { ticket, partition, result } => {
                let (state, mut ctx) = self.split(now, out);
                let begins_later = match (state.table.partition_mut(partition), &result) {
                    (Some(partition), Ok(log_start)) => partition.raise_log_start(*log_start),
                    _ => false,
                };
                state.delete_records.trimmed(&mut ctx, ticket, &result);
                if begins_later {
                    state.upkeep.trimmed(now, partition);
                    self.log_start_rose(partition, now, out);
                }
            }
            Outcome::Configured { partition, due } => self.configured(partition, due, now, out),
            Outcome::Upkept(upkept) => {
                let (state, mut ctx) = self.split(now, out);
                state.fetch.upkept(upkept.partition);
                if state.upkeep.upkept(&mut ctx, &mut state.table, &upkept) {
                    self.log_start_rose(upkept.partition, now, out);
                }
            }
            Outcome::Disk(disk) => {
                let (state, mut ctx) = self.split(now, out);
                state.disk.told(&mut ctx, &disk);
                state.log_dirs.told(&mut ctx, &state.table, &disk);
            }
            Outcome::Warmed { .. } => {} // the server's own business
        }
    }

    fn configured(
        &mut self,
        id: PartitionId,
        due: Option<WallMs>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let (state, mut ctx) = self.split(now, out);
        if let Some(partition) = state.table.partition_mut(id) {
            partition.due = due;
            state.upkeep.want(now, id, due);
            state.upkeep.free(&mut ctx, &state.table);
        }
        state.alter_configs.configured(&mut ctx, id.topic);
    }

    fn appended(
        &mut self,
        ticket: Ticket,
        id: PartitionId,
        result: Result<Appended, AppendError>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let is_journal = self.journal.log_of(id).is_some();
        if let (true, Err(error)) = (is_journal, &result) {
            out.push(Effect::Fatal { reason: format!("the journal cannot be written: {error:?}") });
            return;
        }
        let (state, mut ctx) = self.split(now, out);
        let needs_sync = is_journal || state.produce.needs_sync(ticket);
        let partition = state.table.partition_mut(id);
        let mut moved = false;
        let log_start = partition.as_ref().map_or(-1, |partition| partition.log_start);
        if let (Some(partition), Ok(appended)) = (partition, &result) {
            let due = partition.due;
            moved = partition.written(appended, ctx.journal.leader_epoch(), needs_sync);
            state.fetch.appended(id, appended);
            if due != partition.due {
                state.upkeep.want(now, id, partition.due);
            }
            state.table.grew(appended.bytes);
        } else if let Ok(appended) = &result {
            state.upkeep.appended(now, id, appended.due);
        }
        state.upkeep.wrote(now.wall);
        state.upkeep.free(&mut ctx, &state.table);
        if let Err(AppendError::Offline(error)) = &result {
            fail(&mut state.table, id, error);
        }
        let is_unsynced =
            !is_journal && state.produce.appended(&mut ctx, ticket, log_start, &result);
        if is_unsynced && ctx.options.durability != Durability::Os {
            state.flusher.dirty(&ctx, id);
        }
        // What waits for the disk is told by the sync. A duplicate may be on the disk already.
        let is_duplicate = result.as_ref().is_ok_and(|appended| appended.duplicate);
        if moved || is_duplicate || result.is_err() {
            self.progress(id, now, out);
        }
    }

    fn synced(
        &mut self,
        id: PartitionId,
        end: Offset,
        result: Result<(), StorageError>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let log = self.journal.log_of(id);
        match (&result, log) {
            (Ok(()), Some(log)) => self.journal.synced(log, end, out),
            (Err(error), Some(_)) => {
                out.push(Effect::Fatal {
                    reason: format!("the journal cannot be synced: {error}"),
                });
            }
            (_, None) => {}
        }
        let table = &mut self.state.table;
        match (table.partition_mut(id), &result) {
            (Some(partition), Ok(())) => {
                partition.synced_to(end);
            }
            (_, Err(error)) => fail(table, id, error),
            (None, Ok(())) => {}
        }
        self.progress(id, now, out);
    }

    /// A log begins later: whoever waits for what was below hears of it.
    fn log_start_rose(&mut self, id: PartitionId, now: Now, out: &mut Vec<Effect>) {
        let (state, mut ctx) = self.split(now, out);
        state.fetch.log_start_rose(&mut ctx, &state.table, id);
        self.progress(id, now, out);
    }

    /// A partition's ends moved, or it failed or is gone: tells everybody who waits for that.
    fn progress(&mut self, id: PartitionId, now: Now, out: &mut Vec<Effect>) {
        let (state, mut ctx) = self.split(now, out);
        let ctx = &mut ctx;
        state.produce.progress(ctx, id, state.table.partition(id));
        state.fetch.progress(ctx, &state.table, id);
        for commit in state.commit_gate.progress(id, state.table.partition(id)) {
            state.groups.commit(ctx, commit.id, &commit.request, &state.table);
        }
    }
}

fn fail(table: &mut TopicTable, id: PartitionId, error: &StorageError) {
    if let Some(partition) = table.partition_mut(id) {
        partition.state = PartitionState::Offline(error.clone());
    }
}
