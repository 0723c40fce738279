//! A group: who is in it, what its members support, and where its rebalance stands.
//!
//! Between two records a group runs ahead in memory: members come, the generation rises. After a restart it stands
//! at its last record, and its members find out by their next heartbeat.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::commits::Commits;
use super::shared::{GroupNumber, MemberNumber, Shared, Timer};
use crate::base::payload::Bytes;
use crate::base::time::{Mono, WallMs};
use crate::broker::event::RequestId;
use crate::broker::journal::Position;
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::JoinGroupRequestProtocol;

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has no member.
    Empty,
    /// Members are joining; `initial` while an empty group waits for more of them.
    PreparingRebalance { initial: Option<InitialDelay> },
    /// The members have a generation; the leader divides the work.
    CompletingRebalance,
    /// Everybody has, or may fetch, a share of the work.
    Stable,
}

/// How an empty group waits for further members before its first generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InitialDelay {
    /// How much longer it may wait after the present delay.
    pub(super) remaining_ms: i64,
    /// Whether a member came during the present delay.
    pub(super) member_came: bool,
}

impl State {
    /// Kafka's name for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance { .. } => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }

    /// Whether members are joining.
    pub(super) fn is_preparing(self) -> bool {
        matches!(self, State::PreparingRebalance { .. })
    }
}

/// A member.
#[derive(Debug)]
pub(super) struct Member {
    /// Its id, given by the coordinator. A static member gets a new one whenever it starts.
    pub(super) id: Arc<str>,
    /// The own lasting name of a static member (KIP-345).
    pub(super) instance: Option<Arc<str>>,
    pub(super) client_id: Arc<str>,
    /// Its address with Java's slash before it, as tools know it.
    pub(super) client_host: Arc<str>,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    /// What it supports, best first.
    pub(super) protocols: Vec<JoinGroupRequestProtocol>,
    /// Its share of the work, as last recorded.
    pub(super) assignment: Bytes,
    /// Whether it has joined the generation to come.
    pub(super) joined: bool,
    /// Its JoinGroup that waits for an answer.
    pub(super) join_request: Option<RequestId>,
    /// Its SyncGroup that waits for an answer.
    pub(super) sync_request: Option<RequestId>,
    /// Whether it has not seen a generation yet: then it cannot send heartbeats.
    pub(super) is_new: bool,
    /// Whether it was told its id, so that it can come back with it.
    pub(super) knows_id: bool,
    /// When it is out unless it is heard of before.
    pub(super) expires: Mono,
}

/// What a group, a member or a protocol takes beside its texts, in bytes.
const GROUP_BYTES: usize = 512;
const MEMBER_BYTES: usize = 256;
const PROTOCOL_BYTES: usize = 64;

/// What these protocols take, in bytes.
pub(super) fn protocol_bytes(protocols: &[JoinGroupRequestProtocol]) -> usize {
    protocols.iter().map(|p| PROTOCOL_BYTES + p.name.len() + p.metadata.len()).sum()
}

impl Member {
    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let instance = self.instance.as_ref().map_or(0, |instance| instance.len());
        MEMBER_BYTES
            + self.id.len()
            + instance
            + self.client_id.len()
            + self.client_host.len()
            + protocol_bytes(&self.protocols)
            + self.assignment.len()
    }

    /// What it tells the leader under this protocol.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|supported| supported.name == protocol);
        found.map(|supported| supported.metadata.clone()).unwrap_or_default()
    }

    fn protocol_names(&self) -> BTreeSet<String> {
        self.protocols.iter().map(|protocol| protocol.name.clone()).collect()
    }
}

/// A group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: Arc<str>,
    pub(super) number: GroupNumber,
    pub(super) state: State,
    /// Since when it is what it is, by the wall clock; -1 if that is not known.
    pub(super) state_since: WallMs,
    pub(super) generation: i32,
    /// What kind of group it is; `None` if it only has commits.
    pub(super) protocol_type: Option<String>,
    /// The protocol that was chosen.
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<MemberNumber>,
    /// Members in the order in which they came.
    pub(super) members: BTreeMap<MemberNumber, Member>,
    /// Ids that were given out and have not come back with a JoinGroup (KIP-394).
    pub(super) pending: BTreeMap<MemberNumber, Arc<str>>,
    /// Members and pending ones by their ids.
    pub(super) ids: BTreeMap<Arc<str>, MemberNumber>,
    /// Static members by their own names.
    pub(super) instances: BTreeMap<Arc<str>, MemberNumber>,
    /// How many members support each protocol.
    supporters: BTreeMap<String, usize>,
    /// How many members have joined the generation to come.
    pub(super) joined: usize,
    /// Members of this generation that have not asked for their share.
    pub(super) unsynced: BTreeSet<MemberNumber>,
    pub(super) commits: Commits,
    /// The journal's position of the last change.
    pub(super) position: Position,
    /// Whether the journal has a generation of it.
    pub(super) recorded: bool,
}

impl Group {
    /// A group of which nothing is known.
    pub(super) fn new(name: Arc<str>, number: GroupNumber) -> Group {
        Group {
            name,
            number,
            state: State::Empty,
            state_since: -1,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            pending: BTreeMap::new(),
            ids: BTreeMap::new(),
            instances: BTreeMap::new(),
            supporters: BTreeMap::new(),
            joined: 0,
            unsynced: BTreeSet::new(),
            commits: Commits::default(),
            position: Position::default(),
            recorded: false,
        }
    }

    /// What it takes without members and commits, in bytes.
    pub(super) fn own_bytes(&self) -> usize {
        GROUP_BYTES + self.name.len()
    }

    /// All that it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let members: usize = self.members.values().map(Member::bytes).sum();
        self.own_bytes() + members + self.commits.bytes()
    }

    /// Changes what a member says or is given.
    pub(super) fn change(
        &mut self,
        shared: &mut Shared,
        number: MemberNumber,
        change: impl FnOnce(&mut Member),
    ) {
        if let Some(member) = self.members.get_mut(&number) {
            let before = member.bytes();
            change(member);
            shared.weigh(before, member.bytes());
        }
    }

    /// Whether nothing would be lost with it.
    pub(super) fn is_nothing(&self) -> bool {
        self.state == State::Empty
            && self.pending.is_empty()
            && self.commits.is_empty()
            && !self.recorded
    }

    /// The member that a request names.
    ///
    /// # Errors
    /// If there is none, or the static member has another id by now.
    pub(super) fn validate(
        &self,
        member_id: &str,
        instance: Option<&str>,
    ) -> Result<MemberNumber, ErrorCode> {
        let number = self.ids.get(member_id).filter(|number| self.members.contains_key(number));
        if let Some(instance) = instance {
            let current = self.instances.get(instance).ok_or(ErrorCode::UnknownMemberId)?;
            if number != Some(current) {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        number.copied().ok_or(ErrorCode::UnknownMemberId)
    }

    /// Whether a member with these protocols has one in common with everybody else.
    pub(super) fn supports(
        &self,
        protocol_type: &str,
        protocols: &[JoinGroupRequestProtocol],
    ) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|protocol| self.is_candidate(&protocol.name))
    }

    fn is_candidate(&self, protocol: &str) -> bool {
        self.supporters.get(protocol).copied().unwrap_or(0) == self.members.len()
    }

    /// The protocol with the most votes among those that everybody supports. Each member votes for the one it likes
    /// best; of equals the first by name wins.
    pub(super) fn vote(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let liked = member.protocols.iter().find(|protocol| self.is_candidate(&protocol.name));
            *votes.entry(liked.map_or("", |protocol| &protocol.name)).or_default() += 1;
        }
        let most = votes.into_iter().rev().max_by_key(|(_, count)| *count);
        most.map(|(protocol, _)| protocol.to_owned())
    }

    /// Whether everybody who is known has joined the generation to come.
    pub(super) fn all_joined(&self) -> bool {
        self.joined == self.members.len() && self.pending.is_empty()
    }

    /// How long the slowest member may take to join again, in milliseconds.
    pub(super) fn rebalance_timeout_ms(&self) -> i64 {
        let longest = self.members.values().map(|member| member.rebalance_timeout_ms).max();
        i64::from(longest.unwrap_or(0))
    }

    /// The leader's id, or empty.
    pub(super) fn leader_id(&self) -> String {
        let leader = self.leader.and_then(|number| self.members.get(&number));
        leader.map(|member| member.id.to_string()).unwrap_or_default()
    }

    /// Makes somebody the leader who has joined. Answers whether there is such a member.
    pub(super) fn elect_joined_leader(&mut self) -> bool {
        let joined = |number: &MemberNumber| self.members.get(number).is_some_and(|m| m.joined);
        if !self.leader.is_some_and(|leader| joined(&leader)) {
            let Some(elected) = self.members.keys().copied().find(joined) else { return false };
            self.leader = Some(elected);
        }
        true
    }

    /// Puts a member in.
    pub(super) fn insert(&mut self, shared: &mut Shared, number: MemberNumber, member: Member) {
        if self.pending.remove(&number).is_none() {
            shared.member_count += 1;
        }
        shared.weigh(0, member.bytes());
        self.ids.insert(Arc::clone(&member.id), number);
        if let Some(instance) = &member.instance {
            self.instances.insert(Arc::clone(instance), number);
        }
        self.count(member.protocol_names(), true);
        self.leader.get_or_insert(number);
        self.members.insert(number, member);
    }

    /// Takes a member, or a pending one, out. Its requests are the caller's to answer.
    pub(super) fn take(&mut self, shared: &mut Shared, number: MemberNumber) -> Option<Member> {
        shared.timers.remove(Timer::Session(self.number, number));
        if let Some(id) = self.pending.remove(&number) {
            self.ids.remove(&id);
            shared.member_count -= 1;
        }
        let member = self.members.remove(&number)?;
        shared.member_count -= 1;
        shared.weigh(member.bytes(), 0);
        self.ids.remove(&member.id);
        if let Some(instance) = &member.instance {
            self.instances.remove(instance);
        }
        self.count(member.protocol_names(), false);
        self.joined -= usize::from(member.joined);
        self.unsynced.remove(&number);
        if self.leader == Some(number) {
            self.leader = self.members.keys().next().copied();
        }
        for request in [member.join_request, member.sync_request].into_iter().flatten() {
            shared.waiting.remove(&request);
        }
        Some(member)
    }

    /// Gives a static member, which started anew, its new id. Answers the old one.
    pub(super) fn rename(
        &mut self,
        shared: &mut Shared,
        number: MemberNumber,
        id: Arc<str>,
    ) -> Option<Arc<str>> {
        let mut old = None;
        self.change(shared, number, |member| {
            old = Some(std::mem::replace(&mut member.id, Arc::clone(&id)));
        });
        self.ids.remove(old.as_ref()?);
        self.ids.insert(id, number);
        old
    }

    /// Replaces what a member supports.
    pub(super) fn set_protocols(
        &mut self,
        shared: &mut Shared,
        number: MemberNumber,
        protocols: Vec<JoinGroupRequestProtocol>,
    ) {
        let (mut before, mut after) = (BTreeSet::new(), BTreeSet::new());
        self.change(shared, number, |member| {
            before = member.protocol_names();
            member.protocols = protocols;
            after = member.protocol_names();
        });
        self.count(before, false);
        self.count(after, true);
    }

    fn count(&mut self, protocols: BTreeSet<String>, more: bool) {
        for protocol in protocols {
            let supporters = self.supporters.entry(protocol.clone()).or_default();
            *supporters = if more { *supporters + 1 } else { supporters.saturating_sub(1) };
            if *supporters == 0 {
                self.supporters.remove(&protocol);
            }
        }
    }

    /// Marks who has joined the generation to come.
    pub(super) fn set_joined(&mut self, number: MemberNumber, joined: bool) {
        if let Some(member) = self.members.get_mut(&number)
            && member.joined != joined
        {
            member.joined = joined;
            self.joined = if joined { self.joined + 1 } else { self.joined - 1 };
        }
    }

    /// What must always hold.
    ///
    /// # Errors
    /// What does not.
    pub(super) fn check_invariants(&self) -> Result<(), &'static str> {
        let rules = [
            (self.state != State::Empty || self.members.is_empty(), "an empty group has members"),
            (
                self.members.is_empty()
                    || self.leader.is_some_and(|n| self.members.contains_key(&n)),
                "the leader is not a member",
            ),
            (
                self.joined == self.members.values().filter(|member| member.joined).count(),
                "the count of joined members is wrong",
            ),
            (
                self.ids.len() == self.members.len() + self.pending.len(),
                "there are more or fewer ids than members",
            ),
            (
                self.instances.len()
                    == self.members.values().filter(|member| member.instance.is_some()).count(),
                "there are more or fewer instances than static members",
            ),
            (
                self.unsynced.iter().all(|number| self.members.contains_key(number)),
                "somebody who is not a member has not synced",
            ),
            (
                self.state.is_preparing()
                    || self.members.values().all(|m| m.join_request.is_none()),
                "a join waits although no rebalance is prepared",
            ),
            (
                self.state == State::CompletingRebalance
                    || self.members.values().all(|m| m.sync_request.is_none()),
                "a sync waits although no rebalance is being completed",
            ),
            (
                self.members
                    .values()
                    .all(|m| m.protocols.iter().any(|p| self.is_candidate(&p.name))),
                "a member supports nothing that everybody supports",
            ),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(rule))
    }
}
