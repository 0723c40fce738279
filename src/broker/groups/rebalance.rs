//! The rebalance: members join, a generation is made, its members ask for their shares.
//!
//! ```text
//!            a member comes                 everybody joined (A), or the time is over (B)
//!  Empty ───────────────────► Preparing ─────────────────────────────────────────────────► Completing
//!    ▲                        ▲   ▲   │ nobody is left (C)                                  │    │
//!    └────────────────────────┼───┼───┘      a member comes, goes or changes (D)            │    │
//!                             │   └─────────────────────────────────────────────────────────┘    │
//!                             │ (D), or somebody did not ask for its share in time (E)           │ the leader's
//!                             └───────────────────────── Stable ◄────────────────────────────────┘ shares (F)
//! ```

use std::sync::Arc;

use super::records::GroupRecord;
use super::shared::{Call, MemberNumber, Timer};
use super::state::{Group, InitialDelay, Member, State};
use crate::broker::event::RequestId;
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::internal::offsets::GroupMetadataValue;
use crate::wire::messages::{JoinGroupResponse, JoinGroupResponseMember, SyncGroupResponse};

/// How long a new member may wait for its first generation, in milliseconds. It has no session until then.
const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 300_000;
/// The shortest time between two attempts to find a leader, in milliseconds.
const ELECTION_RETRY_MS_MIN: i64 = 1_000;

impl Group {
    /// A member was heard of: its session begins anew.
    pub(super) fn heard(&mut self, call: &mut Call<'_, '_>, number: MemberNumber) {
        let Some(member) = self.members.get_mut(&number) else { return };
        let timeout_ms = if member.is_new {
            NEW_MEMBER_JOIN_TIMEOUT_MS
        } else {
            i64::from(member.session_timeout_ms)
        };
        member.expires = call.ctx.now.mono.plus_ms(timeout_ms);
        let timer = Timer::Session(self.number, number);
        if call.shared.timers.get(timer).is_none_or(|at| at > member.expires) {
            call.shared.timers.set(timer, member.expires);
        }
    }

    /// A member has joined the generation to come; `request` is answered when there is one.
    pub(super) fn await_join(
        &mut self,
        call: &mut Call<'_, '_>,
        number: MemberNumber,
        request: RequestId,
    ) {
        self.refuse_join(call, number, ErrorCode::RebalanceInProgress);
        self.set_joined(number, true);
        if let Some(member) = self.members.get_mut(&number) {
            member.join_request = Some(request);
            call.shared.waiting.insert(request, (self.number, number));
        }
    }

    /// Answers a waiting JoinGroup.
    pub(super) fn answer_join(
        &mut self,
        call: &mut Call<'_, '_>,
        number: MemberNumber,
        response: JoinGroupResponse,
    ) {
        let member = self.members.get_mut(&number);
        if let Some(request) = member.and_then(|member| member.join_request.take()) {
            call.shared.waiting.remove(&request);
            call.ctx.reply_after(self.position, request, response);
        }
    }

    fn refuse_join(&mut self, call: &mut Call<'_, '_>, number: MemberNumber, error: ErrorCode) {
        let id = self.members.get(&number).map(|member| member.id.to_string());
        self.answer_join(call, number, join_error(error, id.unwrap_or_default()));
    }

    /// Answers a waiting SyncGroup. Answers whether there was one.
    pub(super) fn answer_sync(
        &mut self,
        call: &mut Call<'_, '_>,
        number: MemberNumber,
        response: SyncGroupResponse,
    ) -> bool {
        let member = self.members.get_mut(&number);
        let request = member.and_then(|member| member.sync_request.take());
        if let Some(request) = request {
            call.shared.waiting.remove(&request);
            call.ctx.reply_after(self.position, request, response);
        }
        request.is_some()
    }

    /// Tells a static member's former self, if it waits for something, that somebody has its place.
    pub(super) fn fence(&mut self, call: &mut Call<'_, '_>, number: MemberNumber) {
        self.refuse_join(call, number, ErrorCode::FencedInstanceId);
        self.answer_sync(call, number, sync_error(ErrorCode::FencedInstanceId));
    }

    /// Takes a member out. Who waits for a generation as this member is told to begin anew.
    pub(super) fn remove(&mut self, call: &mut Call<'_, '_>, number: MemberNumber) {
        self.answer_join(call, number, join_error(ErrorCode::UnknownMemberId, String::new()));
        self.answer_sync(call, number, sync_error(ErrorCode::UnknownMemberId));
        self.take(call.shared, number);
    }

    /// The set of members, or what they support, changed.
    pub(super) fn rebalance(&mut self, call: &mut Call<'_, '_>) {
        if self.state.is_preparing() {
            self.complete_join_if_ready(call);
        } else {
            self.prepare_rebalance(call);
        }
    }

    /// Members are gone: a group that has a generation needs another one.
    pub(super) fn members_gone(&mut self, call: &mut Call<'_, '_>) {
        if self.state != State::Empty {
            self.rebalance(call);
        }
    }

    /// Everybody has to join anew (D, E).
    pub(super) fn prepare_rebalance(&mut self, call: &mut Call<'_, '_>) {
        let numbers: Vec<MemberNumber> = self.members.keys().copied().collect();
        for number in numbers {
            if self.answer_sync(call, number, sync_error(ErrorCode::RebalanceInProgress)) {
                self.heard(call, number);
            }
        }
        self.unsynced.clear();
        call.shared.timers.remove(Timer::Sync(self.number));
        if self.state == State::Empty {
            self.begin_initial_delay(call);
            return;
        }
        self.state = State::PreparingRebalance { initial: None };
        if self.all_joined() {
            self.complete_join(call);
        } else {
            self.set_join_timer(call, self.rebalance_timeout_ms());
        }
    }

    fn set_join_timer(&self, call: &mut Call<'_, '_>, delay_ms: i64) {
        call.shared.timers.set(Timer::Join(self.number), call.ctx.now.mono.plus_ms(delay_ms));
    }

    /// An empty group waits a little, so that members that start together get one generation.
    fn begin_initial_delay(&mut self, call: &mut Call<'_, '_>) {
        let delay_ms = i64::from(call.ctx.options.groups.initial_rebalance_delay_ms);
        let remaining_ms = (self.rebalance_timeout_ms() - delay_ms).max(0);
        let initial = InitialDelay { remaining_ms, member_came: false };
        self.state = State::PreparingRebalance { initial: Some(initial) };
        self.set_join_timer(call, delay_ms);
    }

    /// A member came: an initial delay may be prolonged.
    pub(super) fn member_came(&mut self) {
        if let State::PreparingRebalance { initial: Some(initial) } = &mut self.state {
            initial.member_came = true;
        }
    }

    /// Makes the generation if everybody is there (A). An initial delay is waited for in any case.
    pub(super) fn complete_join_if_ready(&mut self, call: &mut Call<'_, '_>) {
        if self.state == (State::PreparingRebalance { initial: None }) && self.all_joined() {
            self.complete_join(call);
        }
    }

    /// The time to join is over (B), or an initial delay is.
    pub(super) fn join_time_over(&mut self, call: &mut Call<'_, '_>) {
        let State::PreparingRebalance { initial } = self.state else { return };
        match initial {
            Some(InitialDelay { remaining_ms, member_came: true }) if remaining_ms > 0 => {
                let most_ms = i64::from(call.ctx.options.groups.initial_rebalance_delay_ms);
                let delay_ms = most_ms.min(remaining_ms);
                let remaining_ms = remaining_ms - delay_ms;
                let again = InitialDelay { remaining_ms, member_came: false };
                self.state = State::PreparingRebalance { initial: Some(again) };
                self.set_join_timer(call, delay_ms);
            }
            _ => self.complete_join(call),
        }
    }

    /// Makes the generation. Dynamic members that have not joined are out; static ones keep their place until their
    /// session ends, or until they do not ask for their share.
    fn complete_join(&mut self, call: &mut Call<'_, '_>) {
        call.shared.timers.remove(Timer::Join(self.number));
        let absent = |member: &Member| !member.joined && member.instance.is_none();
        let gone: Vec<MemberNumber> =
            self.members.iter().filter(|(_, m)| absent(m)).map(|(number, _)| *number).collect();
        for number in gone {
            self.remove(call, number);
        }
        if !self.members.is_empty() && !self.elect_joined_leader() {
            let again_ms = self.rebalance_timeout_ms().max(ELECTION_RETRY_MS_MIN);
            self.state = State::PreparingRebalance { initial: None };
            self.set_join_timer(call, again_ms);
            return;
        }
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.become_empty(call);
        } else {
            self.begin_generation(call);
        }
    }

    /// Nobody is left (C).
    fn become_empty(&mut self, call: &mut Call<'_, '_>) {
        self.state = State::Empty;
        self.protocol = None;
        self.leader = None;
        self.state_since = call.ctx.now.wall;
        let value = self.snapshot(self.state_since, |member| member.assignment.clone());
        // It cannot fail: names were checked when the members came. If it did, the members were back after a restart
        // and out again after their sessions.
        let _ = self.record(call, value);
    }

    fn begin_generation(&mut self, call: &mut Call<'_, '_>) {
        self.protocol = self.vote();
        self.state = State::CompletingRebalance;
        self.state_since = call.ctx.now.wall;
        let numbers: Vec<MemberNumber> = self.members.keys().copied().collect();
        self.unsynced = numbers.iter().copied().collect();
        for number in numbers {
            let response = self.joined_response(number);
            self.answer_join(call, number, response);
            let Some(member) = self.members.get_mut(&number) else { continue };
            member.is_new = false;
            member.knows_id = true;
            if member.joined {
                self.set_joined(number, false);
                self.heard(call, number);
            }
        }
        let until = call.ctx.now.mono.plus_ms(self.rebalance_timeout_ms());
        call.shared.timers.set(Timer::Sync(self.number), until);
    }

    /// The present generation as a member learns it; the leader also learns the members.
    pub(super) fn joined_response(&self, number: MemberNumber) -> JoinGroupResponse {
        let protocol = self.protocol.clone().unwrap_or_default();
        let member = |member: &Member| JoinGroupResponseMember {
            member_id: member.id.to_string(),
            group_instance_id: member.instance.as_ref().map(ToString::to_string),
            metadata: member.metadata(&protocol),
        };
        let is_leader = self.leader == Some(number);
        // Nobody else's answer may cost a walk over the members: everybody gets one.
        let members = if is_leader { self.members.values().map(member).collect() } else { vec![] };
        let id = self.members.get(&number).map(|member| member.id.to_string());
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            leader: self.leader_id(),
            member_id: id.unwrap_or_default(),
            members,
            ..JoinGroupResponse::default()
        }
    }

    /// Some members of the generation did not ask for their share in time (E): they are out.
    pub(super) fn sync_time_over(&mut self, call: &mut Call<'_, '_>) {
        if self.unsynced.is_empty() {
            return;
        }
        for number in std::mem::take(&mut self.unsynced) {
            self.remove(call, number);
        }
        self.prepare_rebalance(call);
    }

    /// A member's session may be over.
    pub(super) fn session_over(&mut self, call: &mut Call<'_, '_>, number: MemberNumber) {
        if self.pending.contains_key(&number) {
            self.take(call.shared, number);
            return self.complete_join_if_ready(call);
        }
        let Some(member) = self.members.get(&number) else { return };
        if member.expires > call.ctx.now.mono {
            let timer = Timer::Session(self.number, number);
            return call.shared.timers.set(timer, member.expires);
        }
        // Who waits for us is not late. Only a new member may not wait for ever: it may have gone without a word.
        let waits_for_us = member.joined || member.sync_request.is_some();
        if member.is_new || !waits_for_us {
            self.remove(call, number);
            self.members_gone(call);
        }
    }

    /// Records a generation, and takes it over.
    ///
    /// # Errors
    /// If a name is longer than a record can hold.
    pub(super) fn record(
        &mut self,
        call: &mut Call<'_, '_>,
        value: GroupMetadataValue,
    ) -> Result<(), ErrorCode> {
        let group = Arc::clone(&self.name);
        let record = GroupRecord::Group { group, value: Some(value.clone()) };
        self.position = call.append(&record)?;
        self.replay(call.shared, value);
        Ok(())
    }

    /// The client whose member waits has stopped sending: what it waits for will not come any more.
    pub(super) fn give_up(
        &mut self,
        call: &mut Call<'_, '_>,
        number: MemberNumber,
        request: RequestId,
    ) {
        if self.members.get(&number).is_some_and(|m| m.join_request == Some(request)) {
            self.refuse_join(call, number, ErrorCode::RebalanceInProgress);
        } else if self.answer_sync(call, number, sync_error(ErrorCode::RebalanceInProgress)) {
            self.heard(call, number);
        }
    }
}

/// A JoinGroup's refusal.
pub(super) fn join_error(error: ErrorCode, member_id: String) -> JoinGroupResponse {
    JoinGroupResponse {
        error_code: error.code(),
        member_id,
        protocol_name: None,
        ..JoinGroupResponse::default()
    }
}

/// A SyncGroup's refusal.
pub(super) fn sync_error(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse { error_code: error.code(), ..SyncGroupResponse::default() }
}
