//! JoinGroup (11), Heartbeat (12), LeaveGroup (13), SyncGroup (14): the life of a group's member.
//!
//! JoinGroup: v1 adds the rebalance timeout, v2 the throttle time, from v4 on a new member first gets its id and joins
//! again with it (KIP-394), v5 adds static members (KIP-345), v6 is flexible, v7 returns the protocol's type, v8 gives
//! a reason (KIP-800), v9 lets the leader skip the assignment (KIP-814). SyncGroup and Heartbeat: v1 adds the throttle
//! time, v3 static members, v4 is flexible, SyncGroup v5 checks the protocol (KIP-559). LeaveGroup: v1 adds the
//! throttle time, v3 takes several members, v4 is flexible, v5 gives a reason. A rebalance timeout that the version
//! lacks is the session timeout, and a single leaving member is moved into the list.

use crate::base::payload::Bytes;
use crate::message;

message! {
    /// Joins a group, or joins it again when it rebalances.
    pub struct JoinGroupRequest {
        /// The group's name.
        [0..] group_id: String;
        /// The member is out after this time without a heartbeat, in milliseconds.
        [0..] session_timeout_ms: i32;
        /// How long members have to join again, in milliseconds; -1 where the version has none.
        [1.., ignorable] rebalance_timeout_ms: i32 = -1;
        /// The member's id; empty when it joins for the first time.
        [0..] member_id: String;
        /// The member's own lasting name, if it is a static member (KIP-345).
        [5..] [null 5..] group_instance_id: Option<String>;
        /// What kind of group it is: `consumer`, `connect`, …
        [0..] protocol_type: String;
        /// What the member supports, best first.
        [0..] protocols: Vec<JoinGroupRequestProtocol>;
        /// Why, for people (KIP-800).
        [8.., ignorable] [null 8..] reason: Option<String>;
    }
    facts {
        /// A new member gets its id first, with MEMBER_ID_REQUIRED, and joins again (v4 and later, KIP-394).
        must_know_member_id: bool = true;
        /// A leader can be told not to divide the work anew (v9 and later, KIP-814).
        may_skip_assignment: bool = true;
    }

    /// One way of dividing the work that the member supports.
    pub struct JoinGroupRequestProtocol {
        /// The protocol's name.
        [0..] name: String;
        /// What the member tells the leader.
        [0..] metadata: Bytes;
    }

    /// The new generation; its leader also learns all members.
    pub struct JoinGroupResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [2.., ignorable] throttle_time_ms: i32;
        /// The error, or 0.
        [0..] error_code: i16;
        /// The generation's number, or -1.
        [0..] generation_id: i32 = -1;
        /// What kind of group it is: `consumer`, `connect`, …
        [7.., ignorable] [null 7..] protocol_type: Option<String>;
        /// The protocol that was chosen.
        [0..] [null 7..] protocol_name: Option<String> = Some(String::new());
        /// The leader's member id.
        [0..] leader: String;
        /// Whether the leader is not to divide the work anew (KIP-814).
        [9..] skip_assignment: bool;
        /// The member's id, given by the coordinator.
        [0..] member_id: String;
        /// All members; empty except for the leader.
        [0..] members: Vec<JoinGroupResponseMember>;
    }

    /// A member as the leader sees it.
    pub struct JoinGroupResponseMember {
        /// The member's id, given by the coordinator.
        [0..] member_id: String;
        /// The member's own lasting name, if it is a static member (KIP-345).
        [5.., ignorable] [null 5..] group_instance_id: Option<String>;
        /// What the member tells the leader.
        [0..] metadata: Bytes;
    }

    /// Says that the member is alive.
    pub struct HeartbeatRequest {
        /// The group's name.
        [0..] group_id: String;
        /// The generation that the member belongs to.
        [0..] generation_id: i32;
        /// The member's id, given by the coordinator.
        [0..] member_id: String;
        /// The member's own lasting name, if it is a static member (KIP-345).
        [3..] [null 3..] group_instance_id: Option<String>;
    }

    /// Whether the member still belongs to its generation.
    pub struct HeartbeatResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [1.., ignorable] throttle_time_ms: i32;
        /// The error, or 0.
        [0..] error_code: i16;
    }

    /// Takes members out of a group.
    pub struct LeaveGroupRequest {
        /// The group's name.
        [0..] group_id: String;
        /// The member that leaves, before v3.
        [0..=2] member_id: String;
        /// The members that leave.
        [3..] members: Vec<LeaveGroupRequestMember>;
    }

    /// A member that leaves (KIP-345).
    pub struct LeaveGroupRequestMember {
        /// The member's id, given by the coordinator.
        [3..] member_id: String;
        /// The member's own lasting name, if it is a static member (KIP-345).
        [3..] [null 3..] group_instance_id: Option<String>;
        /// Why, for people (KIP-800).
        [5.., ignorable] [null 5..] reason: Option<String>;
    }

    /// Which members are out.
    pub struct LeaveGroupResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [1.., ignorable] throttle_time_ms: i32;
        /// The error, or 0.
        [0..] error_code: i16;
        /// By member.
        [3..] members: Vec<LeaveGroupResponseMember>;
    }

    /// One member's result.
    pub struct LeaveGroupResponseMember {
        /// The member's id, given by the coordinator.
        [3..] member_id: String;
        /// The member's own lasting name, if it is a static member (KIP-345).
        [3..] [null 3..] group_instance_id: Option<String> = Some(String::new());
        /// The error, or 0.
        [3..] error_code: i16;
    }

    /// Fetches the member's share of the work; the leader's request carries everybody's.
    pub struct SyncGroupRequest {
        /// The group's name.
        [0..] group_id: String;
        /// The generation that the member belongs to.
        [0..] generation_id: i32;
        /// The member's id, given by the coordinator.
        [0..] member_id: String;
        /// The member's own lasting name, if it is a static member (KIP-345).
        [3..] [null 3..] group_instance_id: Option<String>;
        /// What kind of group it is: `consumer`, `connect`, …
        [5.., ignorable] [null 5..] protocol_type: Option<String>;
        /// The protocol that was chosen.
        [5.., ignorable] [null 5..] protocol_name: Option<String>;
        /// By member; empty except from the leader.
        [0..] assignments: Vec<SyncGroupRequestAssignment>;
    }
    facts {
        /// The member has to say which protocol it follows (v5 and later, KIP-559).
        must_name_protocol: bool = true;
    }

    /// One member's share.
    pub struct SyncGroupRequestAssignment {
        /// The member's id, given by the coordinator.
        [0..] member_id: String;
        /// The member's share of the work.
        [0..] assignment: Bytes;
    }

    /// The member's share of the work.
    pub struct SyncGroupResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [1.., ignorable] throttle_time_ms: i32;
        /// The error, or 0.
        [0..] error_code: i16;
        /// What kind of group it is: `consumer`, `connect`, …
        [5.., ignorable] [null 5..] protocol_type: Option<String>;
        /// The protocol that was chosen.
        [5.., ignorable] [null 5..] protocol_name: Option<String>;
        /// The member's share of the work.
        [0..] assignment: Bytes;
    }
}
