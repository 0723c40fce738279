//! DescribeGroups (key 15), ListGroups (key 16), DeleteGroups (key 42) and OffsetDelete (key 47): groups as tools see
//! them.
//!
//! DescribeGroups: v1 adds the throttle time, v3 authorized operations (KIP-430), v4 static members, v5 is flexible, v6
//! answers GROUP_ID_NOT_FOUND for an unknown group where older ones call it `Dead` (KIP-1043). ListGroups: v1 adds the
//! throttle time, v3 is flexible, v4 filters by state (KIP-518), v5 by type (KIP-848). DeleteGroups: v1 is v0, v2 is
//! flexible, v3 says why. OffsetDelete has one version (KIP-496).

use crate::base::payload::Bytes;
use crate::message;

message! {
    /// Asks for the state of groups.
    pub struct DescribeGroupsRequest {
        /// The groups' names.
        [0..] groups: Vec<String>;
        /// Whether to say what the client may do with each group (KIP-430).
        [3..] include_authorized_operations: bool;
    }

    /// The state of groups.
    pub struct DescribeGroupsResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [1.., ignorable] throttle_time_ms: i32;
        /// By group.
        [0..] groups: Vec<DescribeGroupsResponseGroup>;
    }

    /// One group.
    pub struct DescribeGroupsResponseGroup {
        /// The error, or 0.
        [0..] error_code: i16;
        /// What went wrong, for people; may be null.
        [6..] [null 6..] error_message: Option<String>;
        /// The group's name.
        [0..] group_id: String;
        /// The group's state, in words: `Empty`, `Stable`, …
        [0..] group_state: String;
        /// What kind of group it is: `consumer`, `connect`, …
        [0..] protocol_type: String;
        /// The protocol that was chosen; empty if none.
        [0..] protocol_data: String;
        /// The members.
        [0..] members: Vec<DescribeGroupsResponseMember>;
        /// What the client may do with the group as bits; the smallest number if not asked for.
        [3..] authorized_operations: i32 = i32::MIN;
    }

    /// One member.
    pub struct DescribeGroupsResponseMember {
        /// The member's id, given by the coordinator.
        [0..] member_id: String;
        /// The member's own lasting name, if it is a static member (KIP-345).
        [4.., ignorable] [null 4..] group_instance_id: Option<String>;
        /// The client's name for itself.
        [0..] client_id: String;
        /// The client's address.
        [0..] client_host: String;
        /// What the member told the leader when it joined.
        [0..] member_metadata: Bytes;
        /// The member's share of the work.
        [0..] member_assignment: Bytes;
    }

    /// Asks for all groups.
    pub struct ListGroupsRequest {
        /// Only groups in these states; empty: in any (KIP-518).
        [4..] states_filter: Vec<String>;
        /// Only groups of these types; empty: of any (KIP-848).
        [5..] types_filter: Vec<String>;
    }

    /// All groups.
    pub struct ListGroupsResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [1.., ignorable] throttle_time_ms: i32;
        /// The error, or 0.
        [0..] error_code: i16;
        /// The groups.
        [0..] groups: Vec<ListGroupsResponseGroup>;
    }

    /// One group.
    pub struct ListGroupsResponseGroup {
        /// The group's name.
        [0..] group_id: String;
        /// What kind of group it is: `consumer`, `connect`, …
        [0..] protocol_type: String;
        /// The group's state, in words: `Empty`, `Stable`, …
        [4.., ignorable] group_state: String;
        /// `classic`, `consumer` or `share`.
        [5.., ignorable] group_type: String;
    }
    /// Asks for groups to be deleted, with what they have stored.
    pub struct DeleteGroupsRequest {
        /// The groups' names.
        [0..] groups_names: Vec<String>;
    }

    /// Which groups are gone.
    pub struct DeleteGroupsResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [0..] throttle_time_ms: i32;
        /// By group.
        [0..] results: Vec<DeleteGroupsResponseResult>;
    }

    /// One group's result.
    pub struct DeleteGroupsResponseResult {
        /// The group's name.
        [0..] group_id: String;
        /// The error, or 0.
        [0..] error_code: i16;
        /// What went wrong, for people; may be null.
        [3.., ignorable] [null 3..] error_message: Option<String>;
    }
    /// Asks for positions that a group has stored to be forgotten.
    pub struct OffsetDeleteRequest {
        /// The group's name.
        [0..] group_id: String;
        /// By topic.
        [0..] topics: Vec<OffsetDeleteRequestTopic>;
    }

    /// What is to be forgotten of one topic.
    pub struct OffsetDeleteRequestTopic {
        /// The topic's name.
        [0..] name: String;
        /// By partition.
        [0..] partitions: Vec<OffsetDeleteRequestPartition>;
    }

    /// What is to be forgotten of one partition.
    pub struct OffsetDeleteRequestPartition {
        /// The partition's number.
        [0..] partition_index: i32;
    }

    /// Which positions are forgotten.
    pub struct OffsetDeleteResponse {
        /// The error, or 0.
        [0..] error_code: i16;
        /// How long the client is held back for its quota, in milliseconds.
        [0.., ignorable] throttle_time_ms: i32;
        /// By topic.
        [0..] topics: Vec<OffsetDeleteResponseTopic>;
    }

    /// One topic's results.
    pub struct OffsetDeleteResponseTopic {
        /// The topic's name.
        [0..] name: String;
        /// By partition.
        [0..] partitions: Vec<OffsetDeleteResponsePartition>;
    }

    /// One partition's result.
    pub struct OffsetDeleteResponsePartition {
        /// The partition's number.
        [0..] partition_index: i32;
        /// The error, or 0.
        [0..] error_code: i16;
    }
}
