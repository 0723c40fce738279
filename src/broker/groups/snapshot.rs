//! What the journal knows of a group: its members and their shares, once a generation.

use std::collections::BTreeSet;

use super::shared::{MemberNumber, Shared};
use super::state::{Group, Member, State};
use crate::base::payload::Bytes;
use crate::base::time::{Mono, WallMs};
use crate::wire::messages::JoinGroupRequestProtocol;
use crate::wire::messages::internal::offsets::{GroupMetadataValue, GroupMetadataValueMember};

impl Group {
    /// What the journal is to know of the group, with these shares of the work.
    pub(super) fn snapshot(
        &self,
        state_since: WallMs,
        assignment: impl Fn(&Member) -> Bytes,
    ) -> GroupMetadataValue {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let member = |member: &Member| GroupMetadataValueMember {
            member_id: member.id.to_string(),
            group_instance_id: member.instance.as_ref().map(ToString::to_string),
            client_id: member.client_id.to_string(),
            client_host: member.client_host.to_string(),
            rebalance_timeout: member.rebalance_timeout_ms,
            session_timeout: member.session_timeout_ms,
            subscription: member.metadata(protocol),
            assignment: assignment(member),
        };
        GroupMetadataValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.map(|_| self.leader_id()),
            current_state_timestamp: state_since,
            members: self.members.values().map(member).collect(),
        }
    }

    /// Takes over a recorded generation. Members that are in it already keep what is not recorded: what they wait
    /// for, and which other protocols they support.
    pub(super) fn replay(&mut self, shared: &mut Shared, value: GroupMetadataValue) {
        let protocol = value.protocol.clone().unwrap_or_default();
        let stay: BTreeSet<&str> =
            value.members.iter().map(|member| member.member_id.as_str()).collect();
        let goes = |(_, member): &(&MemberNumber, &Member)| !stay.contains(&*member.id);
        let gone: Vec<MemberNumber> =
            self.members.iter().filter(goes).map(|(number, _)| *number).collect();
        for number in gone {
            self.take(shared, number);
        }
        for member in value.members {
            self.replay_member(shared, &protocol, member);
        }
        self.recorded = true;
        self.generation = value.generation;
        self.protocol_type = Some(value.protocol_type).filter(|kind| !kind.is_empty());
        self.protocol = value.protocol;
        self.leader = value.leader.and_then(|id| self.ids.get(id.as_str()).copied());
        self.state_since = value.current_state_timestamp;
        self.state = if self.members.is_empty() { State::Empty } else { State::Stable };
    }

    fn replay_member(
        &mut self,
        shared: &mut Shared,
        protocol: &str,
        value: GroupMetadataValueMember,
    ) {
        let known = self.ids.get(value.member_id.as_str()).copied();
        let number = known.unwrap_or_else(|| shared.next_member());
        let supported =
            JoinGroupRequestProtocol { name: protocol.to_owned(), metadata: value.subscription };
        let Some(member) = self.members.get(&number) else {
            let rebalance_timeout_ms = match value.rebalance_timeout {
                ..0 => value.session_timeout,
                timeout => timeout,
            };
            let member = Member {
                id: value.member_id.into(),
                instance: value.group_instance_id.map(Into::into),
                client_id: value.client_id.into(),
                client_host: value.client_host.into(),
                rebalance_timeout_ms,
                session_timeout_ms: value.session_timeout,
                protocols: vec![supported],
                assignment: value.assignment,
                joined: false,
                join_request: None,
                sync_request: None,
                is_new: false,
                knows_id: true,
                expires: Mono::default(),
            };
            return self.insert(shared, number, member);
        };
        let is_other = member.metadata(protocol) != supported.metadata;
        self.change(shared, number, |member| member.assignment = value.assignment);
        if is_other {
            self.set_protocols(shared, number, vec![supported]);
        }
    }
}
