//! Consumer groups: who is in, who leads, who gets what, and what a restart leaves.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail"
)]

mod support;

use chronik::base::ids::{PartitionId, TopicId};
use chronik::base::payload::Bytes;
use chronik::broker::event::{Event, RequestId};
use chronik::broker::options::{GroupOptions, Limits, Options};
use chronik::wire::api::Response;
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::internal::offsets::{GroupMetadataValue, OffsetsKey};
use chronik::wire::messages::*;
use support::*;

const SESSION_MS: i32 = 10_000;
const REBALANCE_MS: i32 = 60_000;
const GROUP: &str = "g";

fn protocols(names: &[&str]) -> Vec<JoinGroupRequestProtocol> {
    let protocol = |name: &&str| JoinGroupRequestProtocol {
        name: (*name).to_owned(),
        metadata: Bytes::from(format!("metadata of {name}").as_bytes()),
    };
    names.iter().map(protocol).collect()
}

fn join(member_id: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: GROUP.into(),
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        member_id: member_id.into(),
        protocol_type: "consumer".into(),
        protocols: protocols(&["range"]),
        ..JoinGroupRequest::default()
    }
}

fn old_join(member_id: &str) -> JoinGroupRequest {
    JoinGroupRequest { must_know_member_id: false, ..join(member_id) }
}

fn static_join(instance: &str) -> JoinGroupRequest {
    JoinGroupRequest { group_instance_id: Some(instance.into()), ..join("") }
}

fn sync(generation_id: i32, member_id: &str, assignments: &[(&str, &str)]) -> SyncGroupRequest {
    let assignment = |(member, share): &(&str, &str)| SyncGroupRequestAssignment {
        member_id: (*member).to_owned(),
        assignment: Bytes::from(share.as_bytes()),
    };
    SyncGroupRequest {
        group_id: GROUP.into(),
        generation_id,
        member_id: member_id.into(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        assignments: assignments.iter().map(assignment).collect(),
        ..SyncGroupRequest::default()
    }
}

fn heartbeat(generation_id: i32, member_id: &str) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: GROUP.into(),
        generation_id,
        member_id: member_id.into(),
        ..HeartbeatRequest::default()
    }
}

fn leave(member_id: &str, instance: Option<&str>) -> LeaveGroupRequest {
    let member = LeaveGroupRequestMember {
        member_id: member_id.into(),
        group_instance_id: instance.map(Into::into),
        ..LeaveGroupRequestMember::default()
    };
    LeaveGroupRequest { group_id: GROUP.into(), members: vec![member], ..Default::default() }
}

/// What a test asks of the broker, in the words of groups.
trait Members {
    fn joined(&mut self, id: RequestId) -> Option<JoinGroupResponse>;
    fn synced(&mut self, id: RequestId) -> Option<SyncGroupResponse>;
    fn asks_to_join(&mut self, request: JoinGroupRequest) -> JoinGroupResponse;
    fn asks_to_sync(&mut self, request: SyncGroupRequest) -> SyncGroupResponse;
    fn beats(&mut self, generation: i32, member: &str) -> ErrorCode;
    fn leaves(&mut self, member: &str, instance: Option<&str>) -> ErrorCode;
    fn new_id(&mut self) -> String;
    fn two_joined(&mut self) -> (String, String);
    fn state(&mut self) -> DescribeGroupsResponseGroup;
    fn stable(&mut self, slots: &[usize]) -> (i32, Vec<String>);
    fn tick(&mut self);
}

impl Members for Harness {
    fn joined(&mut self, id: RequestId) -> Option<JoinGroupResponse> {
        match self.reply(id)? {
            Response::JoinGroup(response) => Some(*response),
            other => panic!("{other:?}"),
        }
    }

    fn synced(&mut self, id: RequestId) -> Option<SyncGroupResponse> {
        match self.reply(id)? {
            Response::SyncGroup(response) => Some(*response),
            other => panic!("{other:?}"),
        }
    }

    fn asks_to_join(&mut self, request: JoinGroupRequest) -> JoinGroupResponse {
        let id = self.send(request);
        self.settle();
        self.tick();
        self.joined(id).expect("an answer to the JoinGroup")
    }

    fn asks_to_sync(&mut self, request: SyncGroupRequest) -> SyncGroupResponse {
        let id = self.send(request);
        self.settle();
        self.synced(id).expect("an answer to the SyncGroup")
    }

    fn beats(&mut self, generation: i32, member: &str) -> ErrorCode {
        match self.ask(heartbeat(generation, member)) {
            Response::Heartbeat(response) => ErrorCode::from_code(response.error_code).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn leaves(&mut self, member: &str, instance: Option<&str>) -> ErrorCode {
        match self.ask(leave(member, instance)) {
            Response::LeaveGroup(response) => {
                assert_eq!(response.error_code, 0);
                ErrorCode::from_code(response.members[0].error_code).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    /// The id that a new member is told to come back with.
    fn new_id(&mut self) -> String {
        let refused = self.asks_to_join(join(""));
        assert_eq!(refused.error_code, ErrorCode::MemberIdRequired.code());
        refused.member_id
    }

    /// Two members of a first generation that have not asked for their shares yet, the leader first.
    fn two_joined(&mut self) -> (String, String) {
        let (leader, follower) = (self.new_id(), self.new_id());
        self.send_from(1, join(&leader));
        self.send_from(2, join(&follower));
        self.tick();
        (leader, follower)
    }

    fn state(&mut self) -> DescribeGroupsResponseGroup {
        let request = DescribeGroupsRequest { groups: vec![GROUP.into()], ..Default::default() };
        match self.ask(request) {
            Response::DescribeGroups(mut response) => response.groups.remove(0),
            other => panic!("{other:?}"),
        }
    }

    /// Members on these connections that have their shares, the leader first.
    fn stable(&mut self, slots: &[usize]) -> (i32, Vec<String>) {
        let ids: Vec<String> = slots.iter().map(|_| self.new_id()).collect();
        let requests: Vec<RequestId> =
            slots.iter().zip(&ids).map(|(slot, id)| self.send_from(*slot, join(id))).collect();
        self.tick();
        let generations: Vec<i32> =
            requests.iter().map(|id| self.joined(*id).unwrap().generation_id).collect();
        let generation = generations[0];
        assert!(generations.iter().all(|other| *other == generation));
        let shares: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), id.as_str())).collect();
        for id in &ids {
            let response = self.send(sync(generation, id, &shares));
            self.settle();
            assert_eq!(&*self.synced(response).unwrap().assignment, id.as_bytes());
        }
        (generation, ids)
    }

    fn tick(&mut self) {
        self.advance_ms(0);
        self.broker.check_invariants().unwrap();
    }
}

#[test]
fn a_new_member_gets_its_id_first_and_joins_with_it() {
    let mut h = Harness::new();
    let refused = h.asks_to_join(join(""));
    assert_eq!(refused.error_code, ErrorCode::MemberIdRequired.code());
    assert!(refused.member_id.starts_with("tester-"), "{}", refused.member_id);
    assert_eq!(refused.member_id.len(), "tester-".len() + 36);
    let joined = h.asks_to_join(join(&refused.member_id));
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    assert_eq!(joined.leader, refused.member_id);
    assert_eq!(joined.members.len(), 1);
    assert_eq!(joined.protocol_name.as_deref(), Some("range"));
    assert_eq!(joined.protocol_type.as_deref(), Some("consumer"));
}

#[test]
fn an_old_client_joins_without_knowing_an_id() {
    let mut h = Harness::new();
    let joined = h.asks_to_join(old_join(""));
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    assert!(joined.member_id.starts_with("tester-"));
}

#[test]
fn an_id_that_is_not_used_is_forgotten_after_the_session_timeout() {
    let mut h = Harness::new();
    let id = h.new_id();
    h.advance_ms(i64::from(SESSION_MS) - 1);
    assert_eq!(h.asks_to_join(join(&id)).error_code, 0);
    let mut h = Harness::new();
    let id = h.new_id();
    h.advance_ms(i64::from(SESSION_MS));
    assert_eq!(h.asks_to_join(join(&id)).error_code, ErrorCode::UnknownMemberId.code());
    assert_eq!(h.broker.groups().summaries().count(), 0, "nothing is left of the group");
    assert_eq!(h.broker.next_deadline(), None);
}

#[test]
fn two_members_that_join_together_both_get_their_shares() {
    let mut h = Harness::new();
    let (generation, ids) = h.stable(&[1, 2]);
    assert_eq!(generation, 1);
    let state = h.state();
    assert_eq!(state.group_state, "Stable");
    assert_eq!(state.protocol_data, "range");
    assert_eq!(state.members.len(), 2);
    assert_eq!(&*state.members[0].member_assignment, ids[0].as_bytes());
    assert_eq!(&*state.members[0].member_metadata, b"metadata of range");
    assert_eq!(state.members[0].client_host, "/127.0.0.1");
    assert_eq!(state.members[0].client_id, "tester");
}

#[test]
fn only_the_leader_learns_the_members() {
    let mut h = Harness::new();
    let (a, b) = (h.new_id(), h.new_id());
    let (first, second) = (h.send_from(1, join(&a)), h.send_from(2, join(&b)));
    h.tick();
    let (first, second) = (h.joined(first).unwrap(), h.joined(second).unwrap());
    assert_eq!((first.leader.as_str(), second.leader.as_str()), (a.as_str(), a.as_str()));
    assert_eq!((first.members.len(), second.members.len()), (2, 0));
}

#[test]
fn a_second_member_rebalances_a_stable_group() {
    let mut h = Harness::new();
    let (_, ids) = h.stable(&[1]);
    let late = h.new_id();
    let late_join = h.send_from(2, join(&late));
    h.tick();
    assert!(!h.is_answered(late_join), "the first member has not joined again");
    assert_eq!(h.beats(1, &ids[0]), ErrorCode::RebalanceInProgress);
    let first = h.asks_to_join(join(&ids[0]));
    assert_eq!((first.error_code, first.generation_id, first.members.len()), (0, 2, 2));
    assert_eq!(h.joined(late_join).unwrap().generation_id, 2);
    assert_eq!(h.beats(1, &ids[0]), ErrorCode::IllegalGeneration);
    assert_eq!(h.beats(2, &ids[0]), ErrorCode::None);
}

#[test]
fn the_share_of_a_follower_waits_for_the_leader() {
    let mut h = Harness::new();
    let (a, b) = h.two_joined();
    let follower = h.send_from(2, sync(1, &b, &[]));
    h.settle();
    assert!(!h.is_answered(follower));
    assert_eq!(h.beats(1, &b), ErrorCode::None);
    let leader = h.asks_to_sync(sync(1, &a, &[(&a, "one"), (&b, "two")]));
    assert_eq!(&*leader.assignment, b"one");
    assert_eq!(leader.protocol_name.as_deref(), Some("range"));
    assert_eq!(&*h.synced(follower).unwrap().assignment, b"two");
    assert_eq!(&*h.asks_to_sync(sync(1, &b, &[])).assignment, b"two", "asked again");
}

#[test]
fn shares_are_answered_after_the_disk_has_them() {
    let mut h = Harness::new();
    let id = h.new_id();
    h.asks_to_join(join(&id));
    h.hold_syncs = true;
    let answer = h.send(sync(1, &id, &[(&id, "all")]));
    h.settle();
    assert!(!h.is_answered(answer));
    assert_eq!(h.beats(1, &id), ErrorCode::None, "a heartbeat waits for no disk");
    h.release_syncs();
    assert_eq!(&*h.synced(answer).unwrap().assignment, b"all");
}

#[test]
fn a_consumer_without_a_share_gets_an_empty_one_that_it_can_read() {
    let mut h = Harness::new();
    let id = h.new_id();
    h.asks_to_join(join(&id));
    let share = h.asks_to_sync(sync(1, &id, &[])).assignment;
    // ConsumerProtocolAssignment v0: version 0, no topics, null user data.
    assert_eq!(&*share, [0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
}

#[test]
fn a_follower_may_join_again_unchanged_without_a_rebalance() {
    let mut h = Harness::new();
    let (generation, ids) = h.stable(&[1, 2]);
    let again = h.asks_to_join(join(&ids[1]));
    assert_eq!((again.error_code, again.generation_id), (0, generation));
    assert!(again.members.is_empty());
    assert_eq!(h.state().group_state, "Stable");
}

#[test]
fn a_leader_that_joins_again_rebalances() {
    let mut h = Harness::new();
    let (generation, ids) = h.stable(&[1, 2]);
    let leader = h.send_from(1, join(&ids[0]));
    h.tick();
    assert!(!h.is_answered(leader));
    assert_eq!(h.beats(generation, &ids[1]), ErrorCode::RebalanceInProgress);
    assert_eq!(h.asks_to_join(join(&ids[1])).generation_id, generation + 1);
    assert_eq!(h.joined(leader).unwrap().members.len(), 2);
}

#[test]
fn a_follower_with_other_metadata_rebalances() {
    let mut h = Harness::new();
    let (generation, ids) = h.stable(&[1, 2]);
    let mut changed = join(&ids[1]);
    changed.protocols[0].metadata = Bytes::from(&b"more topics"[..]);
    let follower = h.send_from(2, changed);
    h.tick();
    assert!(!h.is_answered(follower));
    let leader = h.asks_to_join(join(&ids[0]));
    assert_eq!(leader.generation_id, generation + 1);
    let metadata: Vec<&[u8]> = leader.members.iter().map(|member| &*member.metadata).collect();
    assert!(metadata.contains(&&b"more topics"[..]));
}

#[test]
fn a_lost_answer_to_a_join_is_given_again_while_the_generation_completes() {
    let mut h = Harness::new();
    let id = h.new_id();
    let first = h.asks_to_join(join(&id));
    let again = h.asks_to_join(join(&id));
    assert_eq!(first, again);
}

#[test]
fn a_change_while_the_generation_completes_sends_the_waiting_back() {
    let mut h = Harness::new();
    let (a, b) = h.two_joined();
    let follower = h.send_from(2, sync(1, &b, &[]));
    let mut changed = join(&a);
    changed.protocols[0].metadata = Bytes::from(&b"changed"[..]);
    h.send_from(1, changed);
    h.settle();
    let error = h.synced(follower).unwrap().error_code;
    assert_eq!(error, ErrorCode::RebalanceInProgress.code());
    let late = h.asks_to_sync(sync(1, &b, &[]));
    assert_eq!(late.error_code, ErrorCode::RebalanceInProgress.code());
}

#[test]
fn the_protocol_with_most_votes_among_the_common_ones_wins() {
    let mut h = Harness::new();
    let liked: [&[&str]; 3] =
        [&["range", "roundrobin"], &["roundrobin", "range"], &["sticky", "roundrobin", "range"]];
    let ids: Vec<String> = liked.iter().map(|_| h.new_id()).collect();
    let requests: Vec<RequestId> = (ids.iter().zip(liked).enumerate())
        .map(|(slot, (id, names))| {
            h.send_from(slot, JoinGroupRequest { protocols: protocols(names), ..join(id) })
        })
        .collect();
    h.tick();
    for request in requests {
        assert_eq!(h.joined(request).unwrap().protocol_name.as_deref(), Some("roundrobin"));
    }
}

#[test]
fn members_without_a_common_protocol_or_type_are_refused() {
    let mut h = Harness::new();
    h.stable(&[1]);
    let cases = [
        JoinGroupRequest { protocols: protocols(&["sticky"]), ..old_join("") },
        JoinGroupRequest { protocols: Vec::new(), ..old_join("") },
        JoinGroupRequest { protocol_type: "connect".into(), ..old_join("") },
        JoinGroupRequest { group_id: "other".into(), protocols: Vec::new(), ..old_join("") },
        JoinGroupRequest { group_id: "other".into(), protocol_type: "".into(), ..old_join("") },
    ];
    for case in cases {
        let text = format!("{case:?}");
        let code = h.asks_to_join(case).error_code;
        assert_eq!(code, ErrorCode::InconsistentGroupProtocol.code(), "{text}");
    }
    assert_eq!(h.broker.groups().summaries().count(), 1, "refused members leave no group behind");
}

#[test]
fn what_is_wrong_with_a_join_has_its_name() {
    let mut h = Harness::new();
    let cases = [
        (JoinGroupRequest { group_id: "".into(), ..join("") }, ErrorCode::InvalidGroupId),
        (
            JoinGroupRequest { session_timeout_ms: 5_999, ..join("") },
            ErrorCode::InvalidSessionTimeout,
        ),
        (
            JoinGroupRequest { session_timeout_ms: 1_800_001, ..join("") },
            ErrorCode::InvalidSessionTimeout,
        ),
        (join("nobody"), ErrorCode::UnknownMemberId),
    ];
    for (request, expected) in cases {
        let response = h.asks_to_join(request.clone());
        assert_eq!(response.error_code, expected.code(), "{request:?}");
        assert_eq!((response.generation_id, response.member_id), (-1, request.member_id));
    }
}

#[test]
fn what_is_wrong_with_a_sync_has_its_name() {
    let mut h = Harness::new();
    let (generation, ids) = h.stable(&[1]);
    let right = sync(generation, &ids[0], &[]);
    let cases = [
        (SyncGroupRequest { group_id: "".into(), ..right.clone() }, ErrorCode::InvalidGroupId),
        (SyncGroupRequest { group_id: "x".into(), ..right.clone() }, ErrorCode::UnknownMemberId),
        (SyncGroupRequest { member_id: "x".into(), ..right.clone() }, ErrorCode::UnknownMemberId),
        (SyncGroupRequest { generation_id: 9, ..right.clone() }, ErrorCode::IllegalGeneration),
        (
            SyncGroupRequest { protocol_name: Some("sticky".into()), ..right.clone() },
            ErrorCode::InconsistentGroupProtocol,
        ),
        (
            SyncGroupRequest { protocol_type: Some("connect".into()), ..right.clone() },
            ErrorCode::InconsistentGroupProtocol,
        ),
        (
            SyncGroupRequest { protocol_name: None, ..right.clone() },
            ErrorCode::InconsistentGroupProtocol,
        ),
        (
            SyncGroupRequest {
                protocol_name: None,
                protocol_type: None,
                must_name_protocol: false,
                ..right
            },
            ErrorCode::None,
        ),
    ];
    for (request, expected) in cases {
        let text = format!("{request:?}");
        assert_eq!(h.asks_to_sync(request).error_code, expected.code(), "{text}");
    }
}

#[test]
fn a_silent_member_is_out_after_its_session_and_the_others_rebalance() {
    let mut h = Harness::new();
    let (generation, ids) = h.stable(&[1, 2]);
    for _ in 0..4 {
        h.advance_ms(4_000);
        let expected = h.beats(generation, &ids[0]);
        assert!(matches!(expected, ErrorCode::None | ErrorCode::RebalanceInProgress));
    }
    assert_eq!(h.beats(generation, &ids[1]), ErrorCode::UnknownMemberId);
    let alone = h.asks_to_join(join(&ids[0]));
    assert_eq!((alone.generation_id, alone.members.len()), (generation + 1, 1));
}

#[test]
fn who_asks_for_a_share_that_is_there_is_alive() {
    let mut h = Harness::new();
    let (a, b) = h.two_joined();
    assert_eq!(h.asks_to_sync(sync(1, &a, &[])).error_code, 0);
    h.advance_ms(6_000);
    assert_eq!(h.asks_to_sync(sync(1, &b, &[])).error_code, 0);
    assert_eq!(h.beats(1, &a), ErrorCode::None);
    h.advance_ms(6_000);
    assert_eq!((h.beats(1, &a), h.beats(1, &b)), (ErrorCode::None, ErrorCode::None));
}

#[test]
fn who_does_not_join_again_in_time_is_out() {
    let mut h = Harness::new();
    let (generation, ids) = h.stable(&[1, 2]);
    let leader = h.send_from(1, join(&ids[0]));
    for _ in 0..12 {
        assert!(!h.is_answered(leader));
        h.advance_ms(5_000);
        h.beats(generation, &ids[1]);
    }
    let joined = h.joined(leader).expect("the rebalance timeout has passed");
    assert_eq!((joined.generation_id, joined.members.len()), (generation + 1, 1));
    assert_eq!(h.beats(generation, &ids[1]), ErrorCode::UnknownMemberId);
}

#[test]
fn who_does_not_ask_for_its_share_in_time_is_out() {
    let mut h = Harness::new();
    let (a, b) = h.two_joined();
    assert_eq!(h.asks_to_sync(sync(1, &a, &[])).error_code, 0);
    for _ in 0..12 {
        assert_eq!((h.beats(1, &a), h.beats(1, &b)), (ErrorCode::None, ErrorCode::None));
        h.advance_ms(5_000);
    }
    assert_eq!(h.beats(1, &b), ErrorCode::UnknownMemberId);
    assert_eq!(h.beats(1, &a), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_leader_that_brings_no_shares_in_time_is_out() {
    let mut h = Harness::new();
    let (a, b) = h.two_joined();
    let follower = h.send_from(2, sync(1, &b, &[]));
    for _ in 0..12 {
        assert!(!h.is_answered(follower));
        h.beats(1, &a);
        h.advance_ms(5_000);
    }
    let error = h.synced(follower).unwrap().error_code;
    assert_eq!(error, ErrorCode::RebalanceInProgress.code());
    let alone = h.asks_to_join(join(&b));
    assert_eq!((alone.generation_id, alone.leader), (2, b));
}

#[test]
fn who_waits_for_a_generation_needs_no_heartbeat() {
    let mut h = Harness::new();
    let (_, ids) = h.stable(&[1, 2]);
    let leader = h.send_from(1, join(&ids[0]));
    for _ in 0..4 {
        h.advance_ms(9_000);
        h.beats(1, &ids[1]);
    }
    assert!(!h.is_answered(leader));
    assert_eq!(h.asks_to_join(join(&ids[1])).error_code, 0);
    assert_eq!(h.joined(leader).unwrap().members.len(), 2);
}

#[test]
fn a_new_member_without_a_word_is_out_after_five_minutes() {
    let mut h = Harness::new();
    let (_, ids) = h.stable(&[1]);
    let lasting = JoinGroupRequest { rebalance_timeout_ms: 3_600_000, ..join(&ids[0]) };
    let first = h.asks_to_join(lasting.clone());
    assert_eq!(first.generation_id, 2);
    let late = h.send_from(2, old_join(""));
    for _ in 0..60 {
        assert!(!h.is_answered(late));
        h.beats(2, &ids[0]);
        h.advance_ms(5_000);
    }
    assert_eq!(h.joined(late).unwrap().error_code, ErrorCode::UnknownMemberId.code());
}

#[test]
fn a_pending_member_holds_the_generation_up() {
    let mut h = Harness::new();
    let (_, ids) = h.stable(&[1]);
    let pending = h.new_id();
    let first = h.send_from(1, join(&ids[0]));
    h.tick();
    assert!(!h.is_answered(first), "somebody was given an id and will come");
    let second = h.asks_to_join(join(&pending));
    assert_eq!(second.generation_id, 2);
    assert_eq!(h.joined(first).unwrap().members.len(), 2);
    h.asks_to_sync(sync(2, &ids[0], &[]));
    let gone = h.new_id();
    let first = h.send_from(1, join(&ids[0]));
    let second = h.send_from(2, join(&pending));
    h.tick();
    assert!(!h.is_answered(first) && !h.is_answered(second));
    assert_eq!(h.leaves(&gone, None), ErrorCode::None);
    assert_eq!(h.joined(first).unwrap().generation_id, 3);
}

#[test]
fn a_member_that_leaves_rebalances_the_others_and_the_last_empties_the_group() {
    let mut h = Harness::new();
    let (generation, ids) = h.stable(&[1, 2]);
    assert_eq!(h.leaves("nobody", None), ErrorCode::UnknownMemberId);
    assert_eq!(h.leaves("", None), ErrorCode::UnknownMemberId);
    assert_eq!(h.leaves(&ids[0], None), ErrorCode::None);
    assert_eq!(h.beats(generation, &ids[1]), ErrorCode::RebalanceInProgress);
    let alone = h.asks_to_join(join(&ids[1]));
    assert_eq!((alone.generation_id, alone.leader), (generation + 1, ids[1].clone()));
    assert_eq!(h.leaves(&ids[1], None), ErrorCode::None);
    let state = h.state();
    assert_eq!((state.group_state.as_str(), state.members.len()), ("Empty", 0));
    assert_eq!(state.protocol_type, "consumer");
}

#[test]
fn leaving_a_group_that_is_not_there_is_an_error_per_member() {
    let mut h = Harness::new();
    assert_eq!(h.leaves("m", Some("i")), ErrorCode::UnknownMemberId);
    let request = LeaveGroupRequest { group_id: "".into(), ..leave("m", None) };
    let Response::LeaveGroup(response) = h.ask(request) else { panic!() };
    assert_eq!(response.error_code, ErrorCode::InvalidGroupId.code());
}

#[test]
fn a_member_that_leaves_while_it_waits_is_answered() {
    let mut h = Harness::new();
    let (_, ids) = h.stable(&[1, 2]);
    let waiting = h.send_from(1, join(&ids[0]));
    h.tick();
    assert_eq!(h.leaves(&ids[0], None), ErrorCode::None);
    assert_eq!(h.joined(waiting).unwrap().error_code, ErrorCode::UnknownMemberId.code());
}

#[test]
fn a_static_member_that_starts_anew_takes_its_place_without_a_rebalance() {
    let mut h = Harness::new();
    let first = h.asks_to_join(static_join("one"));
    assert_eq!((first.error_code, first.generation_id), (0, 1));
    assert!(first.member_id.starts_with("one-"));
    h.asks_to_sync(SyncGroupRequest {
        group_instance_id: Some("one".into()),
        ..sync(1, &first.member_id, &[(&first.member_id, "all")])
    });
    let second = h.asks_to_join(static_join("one"));
    assert_eq!((second.error_code, second.generation_id), (0, 1));
    assert_ne!(second.member_id, first.member_id);
    assert!(second.skip_assignment, "the leader goes on with what there is");
    assert_eq!((second.leader.as_str(), second.members.len()), (second.member_id.as_str(), 1));
    let share = h.asks_to_sync(sync(1, &second.member_id, &[])).assignment;
    assert_eq!(&*share, b"all");
    let stale = HeartbeatRequest {
        group_instance_id: Some("one".into()),
        ..heartbeat(1, &first.member_id)
    };
    let Response::Heartbeat(response) = h.ask(stale) else { panic!() };
    assert_eq!(response.error_code, ErrorCode::FencedInstanceId.code());
    assert_eq!(h.beats(1, &first.member_id), ErrorCode::UnknownMemberId);
    assert_eq!(h.leaves(&first.member_id, Some("one")), ErrorCode::FencedInstanceId);
}

#[test]
fn an_old_static_leader_that_starts_anew_does_not_learn_that_it_leads() {
    let mut h = Harness::new();
    let first = h.asks_to_join(static_join("one"));
    h.asks_to_sync(sync(1, &first.member_id, &[(&first.member_id, "all")]));
    let old = JoinGroupRequest { may_skip_assignment: false, ..static_join("one") };
    let second = h.asks_to_join(old);
    assert_eq!(second.leader, first.member_id);
    assert!(!second.skip_assignment && second.members.is_empty());
}

#[test]
fn a_static_member_that_changes_its_protocols_rebalances_when_it_starts_anew() {
    let mut h = Harness::new();
    let both = JoinGroupRequest { protocols: protocols(&["range", "rr"]), ..static_join("one") };
    let first = h.asks_to_join(both);
    h.asks_to_sync(sync(1, &first.member_id, &[]));
    let other = JoinGroupRequest { protocols: protocols(&["rr"]), ..static_join("one") };
    let second = h.asks_to_join(other);
    assert_eq!((second.generation_id, second.protocol_name.as_deref()), (2, Some("rr")));
}

#[test]
fn a_static_member_that_starts_anew_fences_its_waiting_former_self() {
    let mut h = Harness::new();
    let (_, ids) = h.stable(&[1]);
    let former = h.send_from(2, static_join("one"));
    h.tick();
    let present = h.send_from(3, static_join("one"));
    h.tick();
    assert_eq!(h.joined(former).unwrap().error_code, ErrorCode::FencedInstanceId.code());
    assert_eq!(h.asks_to_join(join(&ids[0])).members.len(), 2);
    let present = h.joined(present).unwrap();
    assert_eq!((present.error_code, present.generation_id), (0, 2));
    let follower = h.send_from(3, sync(2, &present.member_id, &[]));
    let anew = h.send_from(4, static_join("one"));
    h.tick();
    assert_eq!(h.synced(follower).unwrap().error_code, ErrorCode::FencedInstanceId.code());
    assert!(!h.is_answered(anew), "the leader has the former id: everybody joins again");
    assert_eq!(h.beats(2, &ids[0]), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_static_member_is_removed_by_its_own_name() {
    let mut h = Harness::new();
    let first = h.asks_to_join(static_join("one"));
    h.asks_to_sync(sync(1, &first.member_id, &[]));
    assert_eq!(h.leaves("", Some("two")), ErrorCode::UnknownMemberId);
    assert_eq!(h.leaves("", Some("one")), ErrorCode::None);
    assert_eq!(h.state().group_state, "Empty");
}

#[test]
fn a_static_member_keeps_its_place_in_a_rebalance_that_it_misses() {
    let mut h = Harness::new();
    let long = JoinGroupRequest { session_timeout_ms: 600_000, ..static_join("one") };
    let first = h.asks_to_join(long);
    h.asks_to_sync(sync(1, &first.member_id, &[]));
    let id = h.new_id();
    let other = h.send_from(2, join(&id));
    h.advance_ms(i64::from(REBALANCE_MS));
    let joined = h.joined(other).unwrap();
    assert_eq!((joined.generation_id, joined.members.len()), (2, 2));
    assert_eq!(joined.leader, id, "who is there leads");
    assert_eq!(h.beats(1, &first.member_id), ErrorCode::IllegalGeneration);
}

#[test]
fn limits_on_groups_and_members_have_their_names() {
    let options = Options {
        groups: GroupOptions { size_max: 2, ..GroupOptions::default() },
        limits: Limits { groups: 2, members: 4, ..Limits::default() },
        ..Options::default()
    };
    let mut h = Harness::with(options);
    let (_, ids) = h.stable(&[1, 2]);
    let full = h.asks_to_join(old_join(""));
    assert_eq!(full.error_code, ErrorCode::GroupMaxSizeReached.code());
    assert_eq!(h.asks_to_join(join(&ids[1])).error_code, 0, "members stay");
    let in_group = |name: &str| JoinGroupRequest { group_id: name.into(), ..old_join("") };
    assert_eq!(h.asks_to_join(in_group("second")).error_code, 0);
    let third = h.asks_to_join(in_group("third"));
    assert_eq!(third.error_code, ErrorCode::CoordinatorNotAvailable.code());
    let pending = JoinGroupRequest { must_know_member_id: true, ..in_group("second") };
    let pending = h.asks_to_join(pending);
    assert_eq!(pending.error_code, ErrorCode::MemberIdRequired.code());
    let fifth = h.asks_to_join(in_group("second"));
    assert_eq!(fifth.error_code, ErrorCode::GroupMaxSizeReached.code());
}

#[test]
fn what_all_groups_keep_is_bounded_and_who_needs_no_more_stays() {
    let limits = Limits { group_bytes: 20_000, ..Limits::default() };
    let mut h = Harness::with(Options { limits, ..Options::default() });
    let says = |member: &str, group: &str, bytes: usize| {
        let metadata = Bytes::from_vec(vec![7; bytes]);
        let protocols = vec![JoinGroupRequestProtocol { name: "range".into(), metadata }];
        JoinGroupRequest { group_id: group.into(), protocols, ..old_join(member) }
    };
    let first = h.asks_to_join(says("", "g", 8_000));
    assert_eq!(first.error_code, 0);
    let full = ErrorCode::GroupMaxSizeReached.code();
    assert_eq!(h.asks_to_join(says("", "other", 12_000)).error_code, full);
    assert_eq!(h.asks_to_join(says(&first.member_id, "g", 30_000)).error_code, full);
    assert_eq!(h.asks_to_join(says(&first.member_id, "g", 7_999)).error_code, 0);
    let share = "x".repeat(15_000);
    let synced = h.asks_to_sync(sync(2, &first.member_id, &[(&first.member_id, &share)]));
    assert_eq!(synced.error_code, full);
    assert_eq!(h.asks_to_join(says(&first.member_id, "g", 10)).error_code, 0);
    assert_eq!(h.asks_to_join(says("", "other", 12_000)).error_code, 0, "there is room again");
    h.broker.check_invariants().unwrap();
}

#[test]
fn an_initial_delay_collects_members_and_grows_with_them() {
    let groups = GroupOptions { initial_rebalance_delay_ms: 3_000, ..GroupOptions::default() };
    let mut h = Harness::with(Options { groups, ..Options::default() });
    let first = h.send_from(1, old_join(""));
    h.advance_ms(2_000);
    let second = h.send_from(2, old_join(""));
    h.advance_ms(1_000);
    h.advance_ms(2_999);
    assert!(!h.is_answered(first), "a member came, so the delay began anew");
    h.advance_ms(1);
    assert_eq!(h.joined(first).unwrap().members.len(), 2);
    assert_eq!(h.joined(second).unwrap().generation_id, 1);
}

#[test]
fn an_old_client_that_goes_before_its_first_generation_leaves_no_ghost() {
    let mut h = Harness::new();
    let (_, ids) = h.stable(&[1]);
    h.send_from(2, old_join(""));
    h.tick();
    h.handle(Event::Disconnected(conn(2)));
    h.tick();
    let first = h.asks_to_join(join(&ids[0]));
    assert_eq!(first.members.len(), 1);
}

#[test]
fn a_member_that_knows_its_id_may_come_back_on_another_connection() {
    let mut h = Harness::new();
    let (_, ids) = h.stable(&[1]);
    let late = h.new_id();
    h.send_from(2, join(&late));
    h.handle(Event::Disconnected(conn(2)));
    h.tick();
    let again = h.send_from(3, join(&late));
    assert_eq!(h.asks_to_join(join(&ids[0])).members.len(), 2);
    assert_eq!(h.joined(again).unwrap().generation_id, 2);
}

#[test]
fn who_stops_sending_is_answered_at_once() {
    let mut h = Harness::new();
    let (_, ids) = h.stable(&[1, 2]);
    let waiting = h.send_from(1, join(&ids[0]));
    h.handle(Event::InputEnded(conn(1)));
    assert_eq!(h.joined(waiting).unwrap().error_code, ErrorCode::RebalanceInProgress.code());
}

#[test]
fn a_restart_leaves_members_shares_and_generation_and_begins_sessions_anew() {
    let mut h = Harness::new();
    h.stable(&[1, 2]);
    let before = h.state();
    h.advance_ms(9_000);
    h.restart();
    assert_eq!(h.state(), before);
    h.advance_ms(9_000);
    let ids: Vec<String> = before.members.iter().map(|m| m.member_id.clone()).collect();
    assert_eq!(h.beats(1, &ids[0]), ErrorCode::None);
    assert_eq!(h.asks_to_sync(sync(1, &ids[1], &[])).assignment, ids[1].as_bytes().into());
    h.advance_ms(30_000);
    assert_eq!(h.beats(1, &ids[0]), ErrorCode::UnknownMemberId);
    let joined = h.asks_to_join(old_join(""));
    assert_eq!(joined.generation_id, 3, "generations never come again");
}

#[test]
fn a_restart_keeps_static_members() {
    let mut h = Harness::new();
    let first = h.asks_to_join(static_join("one"));
    h.asks_to_sync(sync(1, &first.member_id, &[(&first.member_id, "all")]));
    let second = h.asks_to_join(static_join("one"));
    h.restart();
    let state = h.state();
    assert_eq!(state.members[0].member_id, second.member_id);
    assert_eq!(state.members[0].group_instance_id.as_deref(), Some("one"));
    assert_eq!(&*state.members[0].member_assignment, b"all");
    let third = h.asks_to_join(static_join("one"));
    assert_eq!((third.generation_id, third.skip_assignment), (1, true));
}

#[test]
fn the_journal_has_one_record_per_generation_in_kafkas_form() {
    let mut h = Harness::new();
    let (_, ids) = h.stable(&[1]);
    let topics = h.broker.topics();
    let topic = topics.get("__consumer_offsets").unwrap().id;
    let records = h.records(PartitionId { topic, index: 0 });
    assert_eq!(records.len(), 1);
    let (key, value) = &records[0];
    // GroupMetadataKey: version 2, the group's name.
    assert_eq!(&**key, [0, 2, 0, 1, b'g']);
    let value = value.as_ref().unwrap();
    assert_eq!(value[..2], [0, 3]);
    let value = GroupMetadataValue::decode(value).unwrap();
    assert_eq!((value.generation, value.protocol.as_deref()), (1, Some("range")));
    assert_eq!(value.leader.as_ref(), Some(&ids[0]));
    assert_eq!(value.current_state_timestamp, h.now.wall);
    assert_eq!(value.members[0].rebalance_timeout, REBALANCE_MS);
    assert_eq!(value.members[0].session_timeout, SESSION_MS);
}

#[test]
fn an_empty_group_without_commits_is_forgotten_soon_after() {
    let mut h = Harness::new();
    let (_, ids) = h.stable(&[1]);
    h.leaves(&ids[0], None);
    h.advance_ms(599_000);
    assert_eq!(h.state().group_state, "Empty");
    h.advance_ms(1_000);
    assert_eq!(h.broker.groups().summaries().count(), 0);
    assert_eq!(h.broker.next_deadline(), None);
    let topic = h.broker.topics().get("__consumer_offsets").unwrap().id;
    let (key, value) = h.records(PartitionId { topic, index: 0 }).pop().unwrap();
    assert!(matches!(OffsetsKey::decode(&key).unwrap(), OffsetsKey::GroupMetadata(_)));
    assert_eq!(value, None);
    h.restart();
    assert_eq!(h.broker.groups().summaries().count(), 0);
}

#[test]
fn groups_are_described_and_listed_as_tools_expect() {
    let mut h = Harness::new();
    h.stable(&[1]);
    let other = JoinGroupRequest {
        group_id: "other".into(),
        protocol_type: "connect".into(),
        ..old_join("")
    };
    h.asks_to_join(other);
    let list = |h: &mut Harness, states: &[&str], types: &[&str]| {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let request =
            ListGroupsRequest { states_filter: words(states), types_filter: words(types) };
        let Response::ListGroups(response) = h.ask(request) else { panic!() };
        assert!(response.groups.iter().all(|group| group.group_type == "classic"));
        response.groups.into_iter().map(|group| group.group_id).collect::<Vec<_>>()
    };
    assert_eq!(list(&mut h, &[], &[]), ["g", "other"]);
    assert_eq!(list(&mut h, &["stable"], &["Classic"]), ["g"]);
    assert_eq!(list(&mut h, &["Empty", "CompletingRebalance"], &[]), ["other"]);
    assert!(list(&mut h, &[], &["consumer"]).is_empty());
    let request = DescribeGroupsRequest {
        groups: vec!["nowhere".into(), "other".into()],
        include_authorized_operations: true,
    };
    let Response::DescribeGroups(response) = h.ask(request) else { panic!() };
    let unknown = &response.groups[0];
    assert_eq!(unknown.error_code, ErrorCode::GroupIdNotFound.code());
    assert_eq!(unknown.group_state, "Dead");
    assert!(unknown.error_message.as_ref().unwrap().contains("nowhere"));
    let completing = &response.groups[1];
    assert_eq!(completing.group_state, "CompletingRebalance");
    assert_eq!(
        (completing.protocol_type.as_str(), completing.protocol_data.as_str()),
        ("connect", "")
    );
    assert_eq!(completing.members[0].member_metadata.len(), 0);
    assert_eq!((completing.authorized_operations, unknown.authorized_operations), (3400, 3400));
    assert_eq!(h.state().authorized_operations, i32::MIN);
}

#[test]
fn a_group_of_silent_static_members_does_not_spin() {
    let mut h = Harness::new();
    let silent = |instance| JoinGroupRequest {
        session_timeout_ms: 600_000,
        rebalance_timeout_ms: 1,
        ..static_join(instance)
    };
    let requests = ["one", "two", "three"].map(|instance| h.send_from(1, silent(instance)));
    h.tick();
    for request in requests {
        let id = h.joined(request).unwrap().member_id;
        h.send(sync(1, &id, &[]));
    }
    h.settle();
    assert_eq!(h.state().group_state, "Stable");
    assert_eq!(h.leaves("", Some("two")), ErrorCode::None);
    let mut deadlines = std::collections::BTreeSet::new();
    for _ in 0..50 {
        h.advance_ms(10);
        deadlines.extend(h.broker.next_deadline());
    }
    assert!(deadlines.len() < 3, "half a second has this many deadlines: {}", deadlines.len());
}

#[test]
fn coordinators_are_here_for_every_key_of_a_known_type() {
    let mut h = Harness::new();
    let find = |key_type, keys: &[&str]| FindCoordinatorRequest {
        key_type,
        coordinator_keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        ..FindCoordinatorRequest::default()
    };
    for key_type in [0, 1] {
        let Response::FindCoordinator(response) = h.ask(find(key_type, &["a", "b"])) else {
            panic!()
        };
        let found: Vec<_> = response.coordinators.iter().map(|c| (&*c.key, c.error_code)).collect();
        assert_eq!(found, [("a", 0), ("b", 0)]);
        assert_eq!(response.coordinators[0].host, "broker.example");
        assert_eq!((response.coordinators[0].port, response.coordinators[0].node_id), (9092, 0));
    }
    for key_type in [2, 7, -1] {
        let Response::FindCoordinator(response) = h.ask(find(key_type, &["a"])) else { panic!() };
        let first = &response.coordinators[0];
        assert_eq!(first.error_code, ErrorCode::InvalidRequest.code());
        assert_eq!((first.node_id, first.port), (-1, -1));
    }
}

#[test]
fn records_of_newer_kinds_of_groups_are_passed_over() {
    let mut h = Harness::new();
    let topic = h.broker.topics().get("__consumer_offsets").unwrap().id;
    assert_ne!(topic, TopicId::ZERO);
    // ConsumerGroupMetadataKey (KIP-848): version 3.
    let key = Bytes::from(&[0, 3, 0, 1, b'g'][..]);
    let journal = chronik::broker::journal::Log::Offsets;
    h.broker.recover(journal, &key, Some(&Bytes::from(&[0, 0, 0, 0, 0, 1][..]))).unwrap();
    assert_eq!(h.broker.groups().summaries().count(), 0);
    let damaged = Bytes::from(&[0, 2, 0, 9, b'g'][..]);
    assert!(h.broker.recover(journal, &damaged, None).is_err());
}

/// A sequence that a seed decides.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

/// What a sensible consumer does next.
#[derive(Clone, Copy, Default, PartialEq)]
enum Next {
    #[default]
    Join,
    Sync,
    Heartbeat,
}

/// A consumer that does one thing after the other, as its answers tell it, and now and then something foolish.
#[derive(Default)]
struct Actor {
    instance: Option<String>,
    member_id: String,
    generation: i32,
    leads: bool,
    next: Next,
    waits_for: Option<RequestId>,
    life: u64,
}

impl Actor {
    fn learn(&mut self, h: &mut Harness) {
        let Some(reply) = self.waits_for.and_then(|id| h.reply(id)) else { return };
        self.waits_for = None;
        match reply {
            Response::JoinGroup(joined) => match ErrorCode::from_code(joined.error_code).unwrap() {
                ErrorCode::None => {
                    assert_eq!(joined.members.is_empty(), joined.leader != joined.member_id);
                    self.leads = joined.leader == joined.member_id && !joined.skip_assignment;
                    self.member_id = joined.member_id;
                    self.generation = joined.generation_id;
                    self.next = Next::Sync;
                }
                ErrorCode::MemberIdRequired => self.member_id = joined.member_id,
                ErrorCode::RebalanceInProgress => {}
                _ => self.member_id = String::new(),
            },
            Response::SyncGroup(synced) => {
                let code = synced.error_code;
                self.next = if code == 0 { Next::Heartbeat } else { Next::Join };
                if [ErrorCode::UnknownMemberId.code(), ErrorCode::FencedInstanceId.code()]
                    .contains(&code)
                {
                    self.member_id = String::new();
                }
                assert!(
                    code != 0
                        || synced.assignment.starts_with(b"share")
                        || synced.assignment.len() == 10
                );
            }
            Response::Heartbeat(beat) if beat.error_code == 0 => {}
            Response::Heartbeat(_) | Response::LeaveGroup(_) => self.next = Next::Join,
            other => panic!("{other:?}"),
        }
    }

    fn act(&mut self, h: &mut Harness, slot: usize, dice: &mut Dice) {
        let connection = slot + 100 * usize::try_from(self.life).unwrap();
        if self.waits_for.is_some() {
            if dice.below(20) == 0 {
                h.handle(if dice.below(2) == 0 {
                    Event::Disconnected(conn(connection))
                } else {
                    Event::InputEnded(conn(connection))
                });
                self.life += 1;
                self.waits_for = None;
                if dice.below(2) == 0 {
                    self.member_id = String::new();
                }
            }
            return;
        }
        let names: &[&str] = [&["range"][..], &["range", "rr"], &["rr", "range"]][dice.below(3)];
        let instance = self.instance.clone();
        let sensible = match self.next {
            Next::Join => 0,
            Next::Sync => 5,
            Next::Heartbeat => 8,
        };
        let deed = if dice.below(10) < 8 { sensible } else { dice.below(12) };
        let request: chronik::wire::api::Request = match deed {
            0..5 => JoinGroupRequest {
                group_instance_id: instance,
                must_know_member_id: dice.below(3) > 0,
                may_skip_assignment: dice.below(2) > 0,
                protocols: protocols(names),
                rebalance_timeout_ms: [0, 5_000, REBALANCE_MS][dice.below(3)],
                ..join(&self.member_id)
            }
            .into(),
            5..8 => {
                let shares: &[(&str, &str)] =
                    if self.leads { &[(&self.member_id.clone(), "share")] } else { &[] };
                let request = sync(self.generation, &self.member_id, shares);
                SyncGroupRequest {
                    group_instance_id: instance,
                    must_name_protocol: false,
                    protocol_name: None,
                    ..request
                }
                .into()
            }
            8..11 => HeartbeatRequest {
                group_instance_id: instance,
                ..heartbeat(self.generation, &self.member_id)
            }
            .into(),
            _ => {
                let member = std::mem::take(&mut self.member_id);
                leave(&member, instance.as_deref()).into()
            }
        };
        self.waits_for = Some(h.send_from(connection, request));
    }
}

/// Each seed is one life of a group of six, two of them static. Every request gets one answer (the harness counts),
/// the invariants hold after each step, generations never go back, and a restart leaves what was recorded.
#[test]
fn whatever_members_do_the_group_stays_whole() {
    let chosen = std::env::var("CHRONIK_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = chosen.map_or(1..=60, |seed: u64| seed..=seed);
    for seed in seeds {
        println!("CHRONIK_SEED={seed}");
        live_a_life(seed);
    }
}

fn live_a_life(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut h = Harness::new();
    let mut actors: Vec<Actor> = (0..6).map(|_| Actor::default()).collect();
    actors[0].instance = Some("zero".into());
    actors[1].instance = Some("one".into());
    let mut highest = 0;
    for _ in 0..600 {
        let slot = dice.below(actors.len());
        actors[slot].learn(&mut h);
        actors[slot].act(&mut h, slot, &mut dice);
        h.settle();
        match dice.below(10) {
            0 => h.advance_ms(i64::try_from(dice.below(12_000)).unwrap()),
            1..7 => h.tick(),
            _ => {}
        }
        h.broker.check_invariants().unwrap();
        let generation = h.broker.groups().summaries().map(|group| group.generation).max();
        assert!(
            generation.is_none_or(|generation| generation >= highest),
            "a generation came again"
        );
        highest = generation.unwrap_or(0);
        if dice.below(100) == 0 {
            let before = h.state();
            h.restart();
            if before.group_state == "Stable" {
                assert_eq!(h.state().group_state, "Stable");
            }
            for actor in &mut actors {
                actor.waits_for = None;
                actor.life += 1;
            }
            highest = 0;
        }
    }
    for _ in 0..200 {
        h.advance_ms(5_000);
        h.broker.check_invariants().unwrap();
    }
    for actor in &mut actors {
        actor.learn(&mut h);
        assert!(actor.waits_for.is_none(), "a request without an answer");
    }
    assert_eq!(h.broker.groups().summaries().count(), 0, "nobody is left, so nothing is");
    assert_eq!(h.broker.next_deadline(), None);
}

#[test]
fn a_generation_too_large_for_the_journal_is_refused_and_the_broker_goes_on() {
    let mut h = Harness::new();
    let member = h.asks_to_join(old_join(""));
    let share = "x".repeat(5 << 20);
    let answer = h.asks_to_sync(SyncGroupRequest {
        protocol_type: None,
        protocol_name: None,
        must_name_protocol: false,
        ..sync(1, &member.member_id, &[(&member.member_id, &share)])
    });
    assert_eq!(answer.error_code, ErrorCode::UnknownServerError.code());
    h.create_topic("t", 1);
}
