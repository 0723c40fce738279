//! Consumer groups in the classic protocol: their members, generations and commits.
//!
//! A group's state is recorded when its leader has divided the work and when its last member is gone; every commit is
//! a record of its own. Keys and values are those of Kafka's `__consumer_offsets`. Durable state changes only by
//! replaying such a record.
//!
//! More groups than the limit allows are refused with COORDINATOR_NOT_AVAILABLE, which clients try again; more
//! members than the limit allows with GROUP_MAX_SIZE_REACHED. What all groups keep together has a limit in bytes, too.

mod commits;
mod deletion;
mod describe;
mod expiry;
mod fetch_offsets;
mod join;
mod offset_delete;
mod rebalance;
mod records;
mod shared;
mod snapshot;
mod state;
mod sync;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::context::Context;
use super::event::RequestId;
use super::journal::Position;
use super::topic_table::TopicTable;
use crate::base::ids::{ConnId, Offset};
use crate::base::payload::Bytes;
use crate::base::planted::{Bug, is_planted};
use crate::base::time::{Mono, is_sane};
use crate::wire::error::DecodeError;
use crate::wire::error_code::ErrorCode;
use records::GroupRecord;
use shared::{Call, GroupNumber, MemberNumber, Shared, Timer};
use state::Group;

/// All groups.
#[derive(Debug, Default)]
pub struct Groups {
    groups: BTreeMap<Arc<str>, Group>,
    names: BTreeMap<GroupNumber, Arc<str>>,
    shared: Shared,
}

/// A group as metrics show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupSummary<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its state in Kafka's words.
    pub state: &'static str,
    /// Number of members.
    pub members: usize,
    /// The generation's number.
    pub generation: i32,
}

/// A stored position as metrics show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitSummary<'a> {
    /// The group's name.
    pub group: &'a str,
    /// The topic's name.
    pub topic: &'a str,
    /// The partition's number.
    pub partition: i32,
    /// Offset of the next record to read.
    pub offset: Offset,
}

impl Groups {
    /// Replays a record of the journal.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn recover(&mut self, key: &Bytes, value: Option<&Bytes>) -> Result<(), DecodeError> {
        if let Some(record) = GroupRecord::decode(key, value)? {
            let is_group = matches!(record, GroupRecord::Group { .. });
            if is_group && is_planted(Bug::GroupsForgotten) {
                return Ok(());
            }
            self.replay(record);
        }
        Ok(())
    }

    /// Everything was replayed: sessions begin anew, and commits of topics that are gone are forgotten.
    pub fn loaded(&mut self, ctx: &mut Context<'_>, topics: &TopicTable) {
        self.forget_topics(ctx, topics);
        let shared = &mut self.shared;
        for group in self.groups.values_mut() {
            let numbers: Vec<MemberNumber> = group.members.keys().copied().collect();
            for number in numbers {
                group.heard(&mut Call { ctx, shared }, number);
            }
        }
        self.clock_stepped(ctx.now, 0, ctx.options.groups.offsets_retention_ms);
    }

    /// Changes what a record says: at the start, and where the change is no single group's.
    fn replay(&mut self, record: GroupRecord) {
        match record {
            GroupRecord::Group { group: name, value: None } => self.remove(&name),
            GroupRecord::Group { group: name, value: Some(value) } => {
                let shared = &mut self.shared;
                let group = entry(&mut self.groups, &mut self.names, shared, &name);
                group.replay(shared, value);
            }
            GroupRecord::Commit { group: name, topic, partition, value } => {
                let group = entry(&mut self.groups, &mut self.names, &mut self.shared, &name);
                group.commits.replay(&mut self.shared, &topic, partition, value);
                if group.is_nothing() {
                    self.remove(&name);
                }
            }
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, ctx: &mut Context<'_>) {
        if self.shared.clock_sane_since.is_none() && is_sane(ctx.now.wall) {
            let jumped_to = self.shared.clock_jumped_to;
            self.clock_stepped(ctx.now, jumped_to, ctx.options.groups.offsets_retention_ms);
        }
        while let Some(timer) = self.shared.timers.pop_due(ctx.now.mono) {
            let (Timer::Session(number, _)
            | Timer::Join(number)
            | Timer::Sync(number)
            | Timer::Expiry(number)) = timer;
            let Some(name) = self.names.get(&number).cloned() else { continue };
            match timer {
                Timer::Session(_, member) => {
                    self.enter(ctx, &name, |group, call| group.session_over(call, member));
                }
                Timer::Join(_) => {
                    self.enter(ctx, &name, Group::join_time_over);
                }
                Timer::Sync(_) => {
                    self.enter(ctx, &name, Group::sync_time_over);
                }
                Timer::Expiry(_) => self.expire(ctx, &name),
            }
        }
    }

    /// When something is due next. `None`: not before something happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.shared.timers.next()
    }

    /// The process was held up: nobody could be heard of for that long, so sessions are longer by it.
    pub fn held_up(&mut self, length: Duration) {
        for member in self.groups.values_mut().flat_map(|group| group.members.values_mut()) {
            member.expires = member.expires + length;
        }
    }

    /// The client will send nothing more: what it waits for is answered now.
    pub fn input_ended(&mut self, ctx: &mut Context<'_>, conn: ConnId) {
        self.disconnected(conn);
        for (request, name, number) in self.waiting_on(conn) {
            let give_up = |group: &mut Group, call: &mut Call<'_, '_>| {
                group.give_up(call, number, request);
            };
            self.enter(ctx, &name, give_up);
        }
    }

    /// A connection is gone. Members that wait for a generation and know their ids may come back on another one; who
    /// was not told an id cannot, and is out at the next tick.
    pub fn disconnected(&mut self, conn: ConnId) {
        for (_, name, number) in self.waiting_on(conn) {
            let Some(group) = self.groups.get_mut(&name) else { continue };
            let timer = Timer::Session(group.number, number);
            let Some(member) = group.members.get_mut(&number) else { continue };
            if member.is_new && !member.knows_id && member.instance.is_none() {
                member.expires = Mono::default();
                self.shared.timers.set(timer, member.expires);
            }
        }
    }

    fn waiting_on(&self, conn: ConnId) -> Vec<(RequestId, Arc<str>, MemberNumber)> {
        let mut found = Vec::new();
        for (request, (group, member)) in self.shared.waiting.range(RequestId::all_of(conn)) {
            if let Some(name) = self.names.get(group) {
                found.push((*request, Arc::clone(name), *member));
            }
        }
        found
    }

    /// Every group, for metrics.
    pub fn summaries(&self) -> impl Iterator<Item = GroupSummary<'_>> {
        self.groups.values().map(|group| GroupSummary {
            name: &group.name,
            state: group.state.name(),
            members: group.members.len(),
            generation: group.generation,
        })
    }

    /// Every stored position, for metrics.
    pub fn commits(&self) -> impl Iterator<Item = CommitSummary<'_>> {
        self.groups.values().flat_map(|group| {
            group.commits.iter().map(|(topic, partition, commit)| CommitSummary {
                group: &group.name,
                topic,
                partition,
                offset: commit.offset,
            })
        })
    }

    /// What must hold between calls.
    ///
    /// # Errors
    /// What does not.
    pub fn check_invariants(&self) -> Result<(), String> {
        let mut members = 0;
        let mut waiting = 0;
        for (name, group) in &self.groups {
            group.check_invariants().map_err(|rule| format!("group {name}: {rule}"))?;
            members += group.members.len() + group.pending.len();
            let requests = |member: &state::Member| {
                usize::from(member.join_request.is_some())
                    + usize::from(member.sync_request.is_some())
            };
            waiting += group.members.values().map(requests).sum::<usize>();
            if group.is_nothing() {
                return Err(format!("group {name} is nothing"));
            }
            if self.names.get(&group.number) != Some(name) {
                return Err(format!("group {name} is not found by its number"));
            }
        }
        if members != self.shared.member_count {
            return Err("the count of members of all groups is wrong".to_owned());
        }
        if self.groups.values().map(Group::bytes).sum::<usize>() != self.shared.bytes {
            return Err("the bytes that all groups keep are counted wrong".to_owned());
        }
        if waiting != self.shared.waiting.len() {
            return Err("the requests that wait are not those of the members".to_owned());
        }
        if self.names.len() != self.groups.len() {
            return Err("there are more or fewer numbers than groups".to_owned());
        }
        Ok(())
    }

    /// Makes a group unless there is one.
    ///
    /// # Errors
    /// If there are as many as there may be.
    fn create(&mut self, ctx: &Context<'_>, name: &str) -> Result<(), ErrorCode> {
        if !self.groups.contains_key(name) {
            let limits = &ctx.options.limits;
            let has_room = self.shared.has_room(0, name.len(), limits.group_bytes);
            if self.groups.len() >= limits.groups || !has_room {
                return Err(ErrorCode::CoordinatorNotAvailable);
            }
            let shared = &mut self.shared;
            entry(&mut self.groups, &mut self.names, shared, name).state_since = ctx.now.wall;
        }
        Ok(())
    }

    /// Calls into a group, if there is one, and looks after it: one that is nothing any more goes, one that has become
    /// empty gets its expiry.
    fn enter<R>(
        &mut self,
        ctx: &mut Context<'_>,
        name: &str,
        act: impl FnOnce(&mut Group, &mut Call<'_, '_>) -> R,
    ) -> Option<R> {
        let shared = &mut self.shared;
        let group = self.groups.get_mut(name)?;
        let result = act(group, &mut Call { ctx, shared });
        if group.is_nothing() {
            self.remove(name);
        } else {
            shared.look_after_expiry(group, ctx.now, ctx.options.groups.offsets_retention_ms);
        }
        Some(result)
    }

    /// What an answer waits for that says something of a group, or that there is none.
    fn position(&self, name: &str) -> Position {
        self.groups.get(name).map_or(self.shared.removed, |group| group.position)
    }

    fn remove(&mut self, name: &str) {
        let Some(mut group) = self.groups.remove(name) else { return };
        let members = group.members.keys().chain(group.pending.keys());
        for number in members.copied().collect::<Vec<_>>() {
            group.take(&mut self.shared, number);
        }
        self.shared.removed = self.shared.removed.max(group.position);
        self.shared.weigh(group.own_bytes() + group.commits.bytes(), 0);
        let number = group.number;
        for timer in [Timer::Join(number), Timer::Sync(number), Timer::Expiry(number)] {
            self.shared.timers.remove(timer);
        }
        self.names.remove(&number);
    }
}

/// The group with this name, made if there is none.
fn entry<'g>(
    groups: &'g mut BTreeMap<Arc<str>, Group>,
    names: &mut BTreeMap<GroupNumber, Arc<str>>,
    shared: &mut Shared,
    name: &str,
) -> &'g mut Group {
    let name: Arc<str> = groups.get_key_value(name).map_or(name.into(), |(name, _)| name.clone());
    groups.entry(Arc::clone(&name)).or_insert_with(|| {
        let number = shared.next_group();
        names.insert(number, Arc::clone(&name));
        let mut group = Group::new(name, number);
        // Of an earlier group of this name the end may not be on the disk yet.
        group.position = shared.removed;
        shared.weigh(0, group.own_bytes());
        group
    })
}
