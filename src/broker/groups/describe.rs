//! DescribeGroups (key 15) and ListGroups (key 16): groups as tools see them.

use std::collections::BTreeMap;

use super::Groups;
use super::state::{Group, Member, State};
use crate::base::payload::Bytes;
use crate::broker::context::Context;
use crate::broker::event::RequestId;
use crate::broker::journal::Position;
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribeGroupsResponseGroup,
    DescribeGroupsResponseMember, ListGroupsRequest, ListGroupsResponse, ListGroupsResponseGroup,
};

/// What kind of groups these are, in the words of KIP-848.
const CLASSIC: &str = "classic";
/// What anybody may do with a group, as bits: read (3), delete (6), describe (8), describe (10) and alter (11) its
/// configuration. Kafka without an authorizer answers this, for groups that are not there too.
const OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

impl Groups {
    /// Describes groups.
    pub fn describe(&self, ctx: &mut Context<'_>, id: RequestId, request: &DescribeGroupsRequest) {
        let mut response = DescribeGroupsResponse::default();
        let mut position = Position::default();
        for name in &request.groups {
            let group = self.groups.get(&**name);
            position = position.max(self.position(name));
            let mut described = group.map_or_else(|| unknown(name), Group::describe);
            if request.include_authorized_operations {
                described.authorized_operations = OPERATIONS;
            }
            response.groups.push(described);
        }
        ctx.reply_after(position, id, response);
    }

    /// Lists the groups, all or those of some states and types.
    pub fn list(&self, ctx: &mut Context<'_>, id: RequestId, request: &ListGroupsRequest) {
        let wanted = |filter: &[String], word: &str| {
            filter.is_empty() || filter.iter().any(|one| one.trim().eq_ignore_ascii_case(word))
        };
        let mut response = ListGroupsResponse::default();
        // One that is not listed must not come back.
        let mut position = self.shared.removed;
        let is_type_wanted = wanted(&request.types_filter, CLASSIC);
        let mut states = BTreeMap::new();
        for group in self.groups.values().filter(|_| is_type_wanted) {
            let state = group.state.name();
            if *states.entry(state).or_insert_with(|| wanted(&request.states_filter, state)) {
                position = position.max(group.position);
                response.groups.push(ListGroupsResponseGroup {
                    group_id: group.name.to_string(),
                    protocol_type: group.protocol_type.clone().unwrap_or_default(),
                    group_state: state.to_owned(),
                    group_type: CLASSIC.to_owned(),
                });
            }
        }
        ctx.reply_after(position, id, response);
    }
}

fn unknown(name: &str) -> DescribeGroupsResponseGroup {
    DescribeGroupsResponseGroup {
        error_code: ErrorCode::GroupIdNotFound.code(),
        error_message: Some(format!("Group {name} not found.")),
        group_id: name.to_owned(),
        group_state: "Dead".to_owned(),
        ..DescribeGroupsResponseGroup::default()
    }
}

impl Group {
    fn describe(&self) -> DescribeGroupsResponseGroup {
        // Outside of a generation there is no protocol of which metadata could be shown.
        let chosen = self.protocol.as_deref().filter(|_| self.state == State::Stable);
        let member = |member: &Member| DescribeGroupsResponseMember {
            member_id: member.id.to_string(),
            group_instance_id: member.instance.as_ref().map(ToString::to_string),
            client_id: member.client_id.to_string(),
            client_host: member.client_host.to_string(),
            member_metadata: chosen.map_or_else(Bytes::new, |protocol| member.metadata(protocol)),
            member_assignment: member.assignment.clone(),
        };
        DescribeGroupsResponseGroup {
            group_id: self.name.to_string(),
            group_state: self.state.name().to_owned(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol_data: chosen.unwrap_or_default().to_owned(),
            members: self.members.values().map(member).collect(),
            ..DescribeGroupsResponseGroup::default()
        }
    }
}
