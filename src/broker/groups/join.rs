//! JoinGroup (key 11): a member comes, or comes back.
//!
//! Who comes first without an id is given one: at once, with error MEMBER_ID_REQUIRED, if the client understands that
//! (KIP-394), else with the generation. A static member that starts anew takes its former self's place without a
//! rebalance (KIP-345).

use std::sync::Arc;

use super::Groups;
use super::rebalance::join_error;
use super::shared::{Call, MemberNumber, Timer};
use super::state::{Group, Member, State, protocol_bytes};
use crate::base::payload::Bytes;
use crate::base::time::Mono;
use crate::broker::context::Context;
use crate::broker::event::{Client, RequestId};
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::{JoinGroupRequest, JoinGroupRequestProtocol};

/// Most characters of a client's name that become part of a member id.
const ID_PREFIX_CHARS_MAX: usize = 255;
/// Most bytes of a name, by the protocol.
const NAME_BYTES_MAX: usize = 32_767;

/// A JoinGroup and who sent it.
#[derive(Clone, Copy)]
struct Join<'r> {
    id: RequestId,
    client: &'r Client,
    request: &'r JoinGroupRequest,
}

impl Groups {
    /// A member joins. It is answered when there is a generation.
    pub fn join(
        &mut self,
        ctx: &mut Context<'_>,
        id: RequestId,
        client: &Client,
        request: &JoinGroupRequest,
    ) {
        if let Err(error) = self.try_join(ctx, Join { id, client, request }) {
            ctx.reply(id, join_error(error, request.member_id.clone()));
        }
    }

    fn try_join(&mut self, ctx: &mut Context<'_>, join: Join<'_>) -> Result<(), ErrorCode> {
        let request = join.request;
        check_names(request)?;
        let (options, limits) = (&ctx.options.groups, &ctx.options.limits);
        let sessions = options.session_timeout_ms_min..=options.session_timeout_ms_max;
        if !sessions.contains(&request.session_timeout_ms) {
            return Err(ErrorCode::InvalidSessionTimeout);
        }
        if request.member_id.is_empty() {
            if ctx.journal.is_full() {
                return Err(ErrorCode::CoordinatorNotAvailable);
            }
            if self.shared.member_count >= limits.members {
                return Err(ErrorCode::GroupMaxSizeReached);
            }
            self.create(ctx, &request.group_id)?;
        }
        let join = |group: &mut Group, call: &mut Call<'_, '_>| group.join(call, join);
        self.enter(ctx, &request.group_id, join).unwrap_or(Err(ErrorCode::UnknownMemberId))
    }
}

/// Names have to fit into records and answers, which know shorter ones than flexible requests do.
fn check_names(request: &JoinGroupRequest) -> Result<(), ErrorCode> {
    if request.group_id.is_empty() || request.group_id.len() > NAME_BYTES_MAX {
        return Err(ErrorCode::InvalidGroupId);
    }
    let protocols = request.protocols.iter().map(|protocol| &protocol.name);
    let names = protocols.chain([&request.protocol_type]).chain(&request.group_instance_id);
    if names.into_iter().any(|name| name.len() > NAME_BYTES_MAX) {
        return Err(ErrorCode::InvalidRequest);
    }
    Ok(())
}

impl Group {
    fn join(&mut self, call: &mut Call<'_, '_>, join: Join<'_>) -> Result<(), ErrorCode> {
        let request = join.request;
        let known = self.ids.get(request.member_id.as_str()).copied();
        if !self.has_room(known, call.ctx.options.groups.size_max) {
            if let Some(number) = known {
                self.remove(call, number);
                self.complete_join_if_ready(call);
            }
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        if !self.has_room_for(call, join, known) {
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        if !self.supports(&request.protocol_type, &request.protocols) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        match known {
            _ if request.member_id.is_empty() => self.join_first(call, join),
            Some(number)
                if self.pending.contains_key(&number) && request.group_instance_id.is_none() =>
            {
                let id = Arc::from(request.member_id.as_str());
                self.add_member(call, join, (number, id), true);
                Ok(())
            }
            _ => self.join_again(call, join),
        }
    }

    /// Whether a member, known or new, does not make the group too large. While members are joining those count who
    /// have joined, so that the last to join is out if the limit was lowered.
    fn has_room(&self, known: Option<MemberNumber>, size_max: usize) -> bool {
        let member = known.and_then(|number| self.members.get(&number));
        match self.state {
            State::Empty => true,
            State::PreparingRebalance { .. } => {
                member.is_some_and(|member| member.joined) || self.joined < size_max
            }
            State::CompletingRebalance | State::Stable => {
                member.is_some() || self.members.len() < size_max
            }
        }
    }

    /// Whether all groups together have room for what the member says. The name is counted where it is not known.
    fn has_room_for(
        &self,
        call: &Call<'_, '_>,
        join: Join<'_>,
        known: Option<MemberNumber>,
    ) -> bool {
        let instance = join.request.group_instance_id.as_deref();
        let known = known.or_else(|| self.instances.get(instance?).copied());
        let member = known.and_then(|number| self.members.get(&number));
        let names = join.client.id.as_deref().map_or(0, str::len) + instance.map_or(0, str::len);
        let says = protocol_bytes(&join.request.protocols);
        let (before, after) = match member {
            Some(member) => (protocol_bytes(&member.protocols), says),
            None => (0, says + names),
        };
        call.shared.has_room(before, after, call.ctx.options.limits.group_bytes)
    }

    fn join_first(&mut self, call: &mut Call<'_, '_>, join: Join<'_>) -> Result<(), ErrorCode> {
        let request = join.request;
        let instance = request.group_instance_id.as_deref();
        let prefix = instance.or(join.client.id.as_deref()).unwrap_or_default();
        let prefix: String = prefix.chars().take(ID_PREFIX_CHARS_MAX).collect();
        let id: Arc<str> = format!("{prefix}-{}", call.ctx.random.uuid_text()).into();
        if let Some(number) = instance.and_then(|instance| self.instances.get(instance)).copied() {
            return self.replace_static_member(call, join, number, id);
        }
        let number = call.shared.next_member();
        if instance.is_none() && request.must_know_member_id {
            let until = call.ctx.now.mono.plus_ms(i64::from(request.session_timeout_ms));
            call.shared.timers.set(Timer::Session(self.number, number), until);
            call.shared.member_count += 1;
            call.ctx.reply(join.id, join_error(ErrorCode::MemberIdRequired, id.to_string()));
            self.ids.insert(Arc::clone(&id), number);
            self.pending.insert(number, id);
        } else {
            self.add_member(call, join, (number, id), false);
        }
        Ok(())
    }

    fn add_member(
        &mut self,
        call: &mut Call<'_, '_>,
        join: Join<'_>,
        (number, id): (MemberNumber, Arc<str>),
        knows_id: bool,
    ) {
        let request = join.request;
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        let member = Member {
            id,
            instance: request.group_instance_id.as_deref().map(Into::into),
            client_id: join.client.id.clone().unwrap_or_default(),
            client_host: format!("/{}", join.client.host).into(),
            rebalance_timeout_ms: rebalance_timeout_ms(request),
            session_timeout_ms: request.session_timeout_ms,
            protocols: own_protocols(request),
            assignment: Bytes::new(),
            joined: false,
            join_request: None,
            sync_request: None,
            is_new: true,
            knows_id,
            expires: Mono::default(),
        };
        self.insert(call.shared, number, member);
        self.member_came();
        self.await_join(call, number, join.id);
        self.heard(call, number);
        self.rebalance(call);
    }

    fn join_again(&mut self, call: &mut Call<'_, '_>, join: Join<'_>) -> Result<(), ErrorCode> {
        let request = join.request;
        let number = self.validate(&request.member_id, request.group_instance_id.as_deref())?;
        let is_leader = self.leader == Some(number);
        let member = self.members.get(&number).ok_or(ErrorCode::UnknownMemberId)?;
        let has_changed = member.protocols != request.protocols;
        let must_rebalance = match self.state {
            State::Empty => return Err(ErrorCode::UnknownMemberId),
            State::PreparingRebalance { .. } => true,
            State::CompletingRebalance => has_changed,
            State::Stable => has_changed || is_leader,
        };
        if must_rebalance {
            self.update(call, join, number);
            self.rebalance(call);
        } else {
            // The answer to the first JoinGroup got lost.
            call.ctx.reply_after(self.position, join.id, self.joined_response(number));
        }
        Ok(())
    }

    fn update(&mut self, call: &mut Call<'_, '_>, join: Join<'_>, number: MemberNumber) {
        let request = join.request;
        if let Some(member) = self.members.get_mut(&number) {
            member.rebalance_timeout_ms = rebalance_timeout_ms(request);
            member.session_timeout_ms = request.session_timeout_ms;
        }
        self.set_protocols(call.shared, number, own_protocols(request));
        self.await_join(call, number, join.id);
    }

    /// A static member started anew. If that changes nothing for the others, it goes on with its share of the work;
    /// if it is the leader, it is told not to divide the work anew (KIP-814), or not that it is the leader.
    fn replace_static_member(
        &mut self,
        call: &mut Call<'_, '_>,
        join: Join<'_>,
        number: MemberNumber,
        id: Arc<str>,
    ) -> Result<(), ErrorCode> {
        let leader_before = self.leader_id();
        self.fence(call, number);
        self.rename(call.shared, number, id);
        self.change(call.shared, number, |member| {
            member.client_id = join.client.id.clone().unwrap_or_default();
            member.client_host = format!("/{}", join.client.host).into();
        });
        self.update(call, join, number);
        self.heard(call, number);
        match self.state {
            State::Stable if self.vote() == self.protocol => {
                let value = self.snapshot(self.state_since, |member| member.assignment.clone());
                self.record(call, value)?;
                self.set_joined(number, false);
                let mut response = self.joined_response(number);
                if join.request.may_skip_assignment {
                    response.skip_assignment = self.leader == Some(number);
                } else {
                    response.leader = leader_before;
                    response.members.clear();
                }
                self.answer_join(call, number, response);
            }
            // The leader has the former id already, and its shares would miss this member.
            State::CompletingRebalance | State::Stable => self.prepare_rebalance(call),
            State::PreparingRebalance { .. } | State::Empty => self.complete_join_if_ready(call),
        }
        Ok(())
    }
}

/// A negative rebalance timeout is none.
fn rebalance_timeout_ms(request: &JoinGroupRequest) -> i32 {
    match request.rebalance_timeout_ms {
        ..0 => request.session_timeout_ms,
        timeout => timeout,
    }
}

/// A copy of the protocols: what the request shares with its frame would keep the frame in memory.
fn own_protocols(request: &JoinGroupRequest) -> Vec<JoinGroupRequestProtocol> {
    let own = |protocol: &JoinGroupRequestProtocol| JoinGroupRequestProtocol {
        name: protocol.name.clone(),
        metadata: Bytes::from(&*protocol.metadata),
    };
    request.protocols.iter().map(own).collect()
}
