//! SyncGroup (14), Heartbeat (12) and LeaveGroup (13): a member's life within a generation.

use super::Groups;
use super::rebalance::sync_error;
use super::shared::{Call, MemberNumber, Timer};
use super::state::{Group, State};
use crate::base::payload::Bytes;
use crate::broker::context::Context;
use crate::broker::event::RequestId;
use crate::broker::journal::Position;
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::{
    ConsumerProtocolAssignment, HeartbeatRequest, HeartbeatResponse, LeaveGroupRequest,
    LeaveGroupRequestMember, LeaveGroupResponse, LeaveGroupResponseMember, SyncGroupRequest,
    SyncGroupResponse,
};

/// The protocol type of Kafka's own consumers, whose assignments are known.
pub(super) const CONSUMER: &str = "consumer";

impl Groups {
    /// A member asks for its share of the work; the leader brings everybody's.
    pub fn sync(&mut self, ctx: &mut Context<'_>, id: RequestId, request: &SyncGroupRequest) {
        let sync = |group: &mut Group, call: &mut Call<'_, '_>| group.sync(call, id, request);
        let result = match request.group_id.as_str() {
            "" => Err(ErrorCode::InvalidGroupId),
            name => self.enter(ctx, name, sync).unwrap_or(Err(ErrorCode::UnknownMemberId)),
        };
        if let Err(error) = result {
            ctx.reply(id, sync_error(error));
        }
    }

    /// A member is alive. This reports no durable fact, so it waits for nothing.
    pub fn heartbeat(&mut self, ctx: &mut Context<'_>, id: RequestId, request: &HeartbeatRequest) {
        let beat = |group: &mut Group, call: &mut Call<'_, '_>| group.heartbeat(call, request);
        let result = match request.group_id.as_str() {
            "" => Err(ErrorCode::InvalidGroupId),
            name => self.enter(ctx, name, beat).unwrap_or(Err(ErrorCode::UnknownMemberId)),
        };
        let error_code = result.err().unwrap_or(ErrorCode::None).code();
        ctx.reply(id, HeartbeatResponse { error_code, ..HeartbeatResponse::default() });
    }

    /// Members leave.
    pub fn leave(&mut self, ctx: &mut Context<'_>, id: RequestId, request: &LeaveGroupRequest) {
        if request.group_id.is_empty() {
            let error_code = ErrorCode::InvalidGroupId.code();
            let response = LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() };
            return ctx.reply(id, response);
        }
        let leave = |group: &mut Group, call: &mut Call<'_, '_>| group.leave(call, request);
        let nobody =
            || (Position::default(), vec![Err(ErrorCode::UnknownMemberId); request.members.len()]);
        let (position, results) = self.enter(ctx, &request.group_id, leave).unwrap_or_else(nobody);
        let member = |(member, result): (&LeaveGroupRequestMember, Result<(), ErrorCode>)| {
            LeaveGroupResponseMember {
                member_id: member.member_id.clone(),
                group_instance_id: member.group_instance_id.clone(),
                error_code: result.err().unwrap_or(ErrorCode::None).code(),
            }
        };
        let members = request.members.iter().zip(results).map(member).collect();
        let response = LeaveGroupResponse { members, ..LeaveGroupResponse::default() };
        ctx.reply_after(position, id, response);
    }
}

impl Group {
    fn sync(
        &mut self,
        call: &mut Call<'_, '_>,
        id: RequestId,
        request: &SyncGroupRequest,
    ) -> Result<(), ErrorCode> {
        let number = self.validate(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        self.check_protocol(request)?;
        if self.state.is_preparing() {
            return Err(ErrorCode::RebalanceInProgress);
        }
        self.unsynced.remove(&number);
        if self.unsynced.is_empty() {
            call.shared.timers.remove(Timer::Sync(self.number));
        }
        if self.state == State::Stable {
            self.heard(call, number);
            call.ctx.reply_after(self.position, id, self.synced_response(number));
            return Ok(());
        }
        self.answer_sync(call, number, sync_error(ErrorCode::RebalanceInProgress));
        if let Some(member) = self.members.get_mut(&number) {
            member.sync_request = Some(id);
            call.shared.waiting.insert(id, (self.number, number));
        }
        if self.leader == Some(number) {
            self.complete_generation(call, request);
        }
        Ok(())
    }

    fn check_protocol(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        let fits = |said: &Option<String>, chosen: &Option<String>| match said {
            Some(said) => chosen.as_ref().is_none_or(|chosen| chosen == said),
            None => !request.must_name_protocol,
        };
        let both = fits(&request.protocol_type, &self.protocol_type)
            && fits(&request.protocol_name, &self.protocol);
        if both { Ok(()) } else { Err(ErrorCode::InconsistentGroupProtocol) }
    }

    /// The leader has divided the work (case F of the rebalance): that is recorded, then everybody gets its share.
    fn complete_generation(&mut self, call: &mut Call<'_, '_>, request: &SyncGroupRequest) {
        let shares: std::collections::BTreeMap<&str, &Bytes> =
            request.assignments.iter().map(|a| (a.member_id.as_str(), &a.assignment)).collect();
        let nothing = self.empty_share();
        let value = self.snapshot(call.ctx.now.wall, |member| {
            let share = shares.get(&*member.id).filter(|share| !share.is_empty());
            // A copy: what the request shares with its frame would keep the frame in memory.
            share.map_or_else(|| nothing.clone(), |share| Bytes::from(&***share))
        });
        let before: usize = self.members.values().map(|member| member.assignment.len()).sum();
        let after = value.members.iter().map(|member| member.assignment.len()).sum();
        let result = if call.ctx.journal.is_full() {
            Err(ErrorCode::CoordinatorNotAvailable)
        } else if call.shared.has_room(before, after, call.ctx.options.limits.group_bytes) {
            self.record(call, value)
        } else {
            Err(ErrorCode::GroupMaxSizeReached)
        };
        let numbers: Vec<MemberNumber> = self.members.keys().copied().collect();
        for number in numbers {
            let response = match result {
                Ok(()) => self.synced_response(number),
                Err(error) => sync_error(error),
            };
            if self.answer_sync(call, number, response) {
                self.heard(call, number);
            }
        }
        if result.is_err() {
            self.prepare_rebalance(call);
        }
    }

    /// The share of a member for whom the leader has none. Consumers cannot read no bytes at all.
    fn empty_share(&self) -> Bytes {
        if self.protocol_type.as_deref() != Some(CONSUMER) {
            return Bytes::new();
        }
        ConsumerProtocolAssignment::default().encode(0).map(Bytes::from).unwrap_or_default()
    }

    fn synced_response(&self, number: MemberNumber) -> SyncGroupResponse {
        let assignment = self.members.get(&number).map(|member| member.assignment.clone());
        SyncGroupResponse {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            assignment: assignment.unwrap_or_default(),
            ..SyncGroupResponse::default()
        }
    }

    fn heartbeat(
        &mut self,
        call: &mut Call<'_, '_>,
        request: &HeartbeatRequest,
    ) -> Result<(), ErrorCode> {
        let number = self.validate(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        self.heard(call, number);
        match self.state {
            State::Empty => Err(ErrorCode::UnknownMemberId),
            State::PreparingRebalance { .. } => Err(ErrorCode::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    fn leave(
        &mut self,
        call: &mut Call<'_, '_>,
        request: &LeaveGroupRequest,
    ) -> (Position, Vec<Result<(), ErrorCode>>) {
        let results: Vec<Result<(), ErrorCode>> =
            request.members.iter().map(|member| self.leave_one(call, member)).collect();
        if results.iter().any(Result::is_ok) {
            self.members_gone(call);
        }
        (self.position, results)
    }

    /// A member is named by its id, or by an administrator by the own name of a static member.
    fn leave_one(
        &mut self,
        call: &mut Call<'_, '_>,
        member: &LeaveGroupRequestMember,
    ) -> Result<(), ErrorCode> {
        let instance = member.group_instance_id.as_deref();
        let pending = self.ids.get(member.member_id.as_str()).copied();
        let number = match (member.member_id.as_str(), instance) {
            ("", None) => return Err(ErrorCode::UnknownMemberId),
            ("", Some(instance)) => {
                *self.instances.get(instance).ok_or(ErrorCode::UnknownMemberId)?
            }
            (id, instance) => match pending.filter(|number| self.pending.contains_key(number)) {
                Some(number) => number,
                None => self.validate(id, instance)?,
            },
        };
        self.remove(call, number);
        Ok(())
    }
}
