//! Commits: who may store a position, what is answered, how long it lasts.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod support;

use chronik::base::ids::{PartitionId, TopicId};
use chronik::base::payload::Bytes;
use chronik::broker::event::Event;
use chronik::broker::options::{GroupOptions, Limits, Options};
use chronik::wire::api::Response;
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::internal::offsets::{OffsetCommitValue, OffsetsKey};
use chronik::wire::messages::*;
use support::*;

const GROUP: &str = "g";
const DAY_MS: i64 = 24 * 3_600_000;

fn commit(topic: &str, index: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition {
        partition_index: index,
        committed_offset: offset,
        committed_leader_epoch: 5,
        committed_metadata: Some("note".into()),
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: topic.into(),
        partitions: vec![partition],
        ..OffsetCommitRequestTopic::default()
    };
    OffsetCommitRequest { group_id: GROUP.into(), topics: vec![topic], ..Default::default() }
}

fn fetch_of(topics: Option<Vec<OffsetFetchRequestGroupTopic>>) -> OffsetFetchRequest {
    let group = OffsetFetchRequestGroup { group_id: GROUP.into(), topics, ..Default::default() };
    OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() }
}

fn of_topic(name: &str, partitions: &[i32]) -> OffsetFetchRequestGroupTopic {
    OffsetFetchRequestGroupTopic {
        name: name.into(),
        partition_indexes: partitions.to_vec(),
        ..OffsetFetchRequestGroupTopic::default()
    }
}

/// What a test asks of the broker, in the words of commits.
trait Commits {
    fn commits(&mut self, request: OffsetCommitRequest) -> ErrorCode;
    fn fetches(&mut self, request: OffsetFetchRequest) -> OffsetFetchResponseGroup;
    fn committed(&mut self, topic: &str, index: i32) -> i64;
    fn member(&mut self) -> (i32, String);
    fn tick(&mut self);
}

impl Commits for Harness {
    fn commits(&mut self, request: OffsetCommitRequest) -> ErrorCode {
        match self.ask(request) {
            Response::OffsetCommit(response) => {
                ErrorCode::from_code(response.topics[0].partitions[0].error_code).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    fn fetches(&mut self, request: OffsetFetchRequest) -> OffsetFetchResponseGroup {
        match self.ask(request) {
            Response::OffsetFetch(mut response) => response.groups.remove(0),
            other => panic!("{other:?}"),
        }
    }

    fn committed(&mut self, topic: &str, index: i32) -> i64 {
        let group = self.fetches(fetch_of(Some(vec![of_topic(topic, &[index])])));
        assert_eq!(group.topics[0].partitions[0].error_code, 0);
        group.topics[0].partitions[0].committed_offset
    }

    /// A member of a generation whose leader, it, has not divided the work.
    fn member(&mut self) -> (i32, String) {
        let id = self.send(join_alone(GROUP));
        self.tick();
        match self.reply(id) {
            Some(Response::JoinGroup(joined)) => (joined.generation_id, joined.member_id),
            other => panic!("{other:?}"),
        }
    }

    fn tick(&mut self) {
        self.advance_ms(0);
        self.broker.check_invariants().unwrap();
    }
}

fn sync(generation_id: i32, member_id: &str) -> SyncGroupRequest {
    SyncGroupRequest {
        group_id: GROUP.into(),
        generation_id,
        member_id: member_id.into(),
        must_name_protocol: false,
        ..SyncGroupRequest::default()
    }
}

fn as_member(generation: i32, member: &str) -> OffsetCommitRequest {
    OffsetCommitRequest {
        generation_id_or_member_epoch: generation,
        member_id: member.into(),
        ..commit("t", 0, 7)
    }
}

fn with_topic() -> Harness {
    let mut h = Harness::new();
    h.create_topic("t", 2);
    h
}

#[test]
fn a_commit_from_outside_makes_a_group_and_comes_back_whole() {
    let mut h = with_topic();
    assert_eq!(h.commits(commit("t", 1, 42)), ErrorCode::None);
    let group = h.fetches(fetch_of(Some(vec![of_topic("t", &[1, 0]), of_topic("u", &[0])])));
    let part = |topic: usize, index: usize| {
        let p = &group.topics[topic].partitions[index];
        let note = p.metadata.as_deref().unwrap();
        (p.partition_index, p.committed_offset, p.committed_leader_epoch, note, p.error_code)
    };
    assert_eq!(part(0, 0), (1, 42, 5, "note", 0));
    assert_eq!(part(0, 1), (0, -1, -1, "", 0));
    assert_eq!(part(1, 0), (0, -1, -1, "", 0));
    let Response::ListGroups(groups) = h.ask(ListGroupsRequest::default()) else { panic!() };
    let group = &groups.groups[0];
    assert_eq!((&*group.group_id, &*group.group_state, &*group.protocol_type), ("g", "Empty", ""));
    assert_eq!(group.group_type, "classic");
}

#[test]
fn a_commit_is_answered_after_the_disk_has_it() {
    let mut h = with_topic();
    h.hold_syncs = true;
    let id = h.send(commit("t", 0, 0));
    h.settle();
    assert!(!h.is_answered(id));
    let read = h.send_from(1, fetch_of(None));
    h.settle();
    assert!(!h.is_answered(read), "nobody builds on what a power cut may take back");
    h.release_syncs();
    assert!(h.is_answered(id) && h.is_answered(read));
}

#[test]
fn everything_is_fetched_by_naming_nothing() {
    let mut h = with_topic();
    h.create_topic("a", 1);
    h.commits(commit("t", 1, 1));
    h.commits(commit("t", 0, 2));
    h.commits(commit("a", 0, 3));
    let group = h.fetches(fetch_of(None));
    let all: Vec<(&str, i32, i64)> = (group.topics.iter())
        .flat_map(|t| {
            t.partitions.iter().map(|p| (&*t.name, p.partition_index, p.committed_offset))
        })
        .collect();
    assert_eq!(all, [("a", 0, 3), ("t", 0, 2), ("t", 1, 1)]);
    let mut other = fetch_of(None);
    other.groups[0].group_id = "other".into();
    assert!(h.fetches(other).topics.is_empty());
}

#[test]
fn several_groups_are_asked_for_at_once() {
    let mut h = with_topic();
    h.commits(commit("t", 0, 1));
    h.commits(OffsetCommitRequest { group_id: "h".into(), ..commit("t", 0, 2) });
    let mut request = fetch_of(None);
    request
        .groups
        .push(OffsetFetchRequestGroup { group_id: "h".into(), ..request.groups[0].clone() });
    let Response::OffsetFetch(response) = h.ask(request) else { panic!() };
    let offset = |index: usize| response.groups[index].topics[0].partitions[0].committed_offset;
    assert_eq!((offset(0), offset(1)), (1, 2));
}

#[test]
fn topics_are_found_by_their_ids() {
    let mut h = with_topic();
    let topic_id = h.broker.topics().get("t").unwrap().id;
    let mut request = OffsetCommitRequest { by_topic_id: true, ..commit("", 0, 9) };
    request.topics[0].topic_id = topic_id;
    assert_eq!(h.commits(request.clone()), ErrorCode::None);
    request.topics[0].topic_id = TopicId([9; 16]);
    assert_eq!(h.commits(request), ErrorCode::UnknownTopicId);
    let by_id = |id| OffsetFetchRequest {
        by_topic_id: true,
        ..fetch_of(Some(vec![OffsetFetchRequestGroupTopic { topic_id: id, ..of_topic("", &[0]) }]))
    };
    let known = h.fetches(by_id(topic_id));
    assert_eq!(known.topics[0].topic_id, topic_id);
    assert_eq!(known.topics[0].partitions[0].committed_offset, 9);
    let unknown = h.fetches(by_id(TopicId([9; 16])));
    let part = &unknown.topics[0].partitions[0];
    assert_eq!(part.error_code, ErrorCode::UnknownTopicId.code());
    assert_eq!(part.committed_offset, -1);
}

#[test]
fn unknown_topics_and_partitions_do_not_fail_the_others() {
    let mut h = with_topic();
    let mut request = commit("t", 0, 1);
    request.topics[0].partitions.push(commit("t", 9, 1).topics[0].partitions[0].clone());
    request.topics.push(commit("nowhere", 0, 1).topics.remove(0));
    let Response::OffsetCommit(response) = h.ask(request) else { panic!() };
    let codes: Vec<i16> =
        response.topics.iter().flat_map(|t| &t.partitions).map(|p| p.error_code).collect();
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(codes, [0, unknown, unknown]);
    assert_eq!(h.committed("t", 0), 1);
}

#[test]
fn a_note_that_is_too_long_is_refused_and_counted_as_java_does() {
    let mut h = with_topic();
    let noted = |note: String| {
        let mut request = commit("t", 0, 1);
        request.topics[0].partitions[0].committed_metadata = Some(note);
        request
    };
    assert_eq!(h.commits(noted("x".repeat(4097))), ErrorCode::OffsetMetadataTooLarge);
    assert_eq!(h.broker.groups().summaries().count(), 0, "a refused commit leaves no group");
    assert_eq!(h.commits(noted("ä".repeat(4096))), ErrorCode::None);
    assert_eq!(h.commits(noted("𝄞".repeat(2049))), ErrorCode::OffsetMetadataTooLarge);
}

#[test]
fn members_commit_with_their_generation_and_nobody_else_does() {
    let mut h = with_topic();
    let (generation, member) = h.member();
    assert_eq!(h.commits(as_member(generation, &member)), ErrorCode::RebalanceInProgress);
    h.ask(sync(generation, &member));
    let cases = [
        (as_member(generation, &member), ErrorCode::None),
        (as_member(generation + 1, &member), ErrorCode::IllegalGeneration),
        (as_member(-1, &member), ErrorCode::IllegalGeneration),
        (as_member(generation, "nobody"), ErrorCode::UnknownMemberId),
        (as_member(-1, ""), ErrorCode::UnknownMemberId),
        (
            OffsetCommitRequest {
                group_instance_id: Some("i".into()),
                ..as_member(generation, &member)
            },
            ErrorCode::UnknownMemberId,
        ),
        (
            OffsetCommitRequest { group_id: "other".into(), ..as_member(3, "m") },
            ErrorCode::GroupIdNotFound,
        ),
    ];
    for (request, expected) in cases {
        let text = format!("{request:?}");
        assert_eq!(h.commits(request), expected, "{text}");
    }
    let leaving = LeaveGroupRequestMember { member_id: member.clone(), ..Default::default() };
    let leave = LeaveGroupRequest {
        group_id: GROUP.into(),
        members: vec![leaving],
        ..LeaveGroupRequest::default()
    };
    h.ask(leave);
    assert_eq!(h.commits(as_member(-1, "")), ErrorCode::None, "a tool resets an empty group");
    assert_eq!(h.commits(as_member(generation, &member)), ErrorCode::UnknownMemberId);
}

#[test]
fn a_commit_is_a_sign_of_life() {
    let mut h = with_topic();
    let (generation, member) = h.member();
    h.ask(sync(generation, &member));
    for _ in 0..5 {
        h.advance_ms(9_000);
        assert_eq!(h.commits(as_member(generation, &member)), ErrorCode::None);
    }
}

#[test]
fn members_still_commit_while_the_others_join() {
    let mut h = with_topic();
    let (generation, member) = h.member();
    h.ask(sync(generation, &member));
    let request = JoinGroupRequest {
        group_id: GROUP.into(),
        session_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".into(), ..Default::default() }],
        must_know_member_id: false,
        ..JoinGroupRequest::default()
    };
    h.send_from(5, request);
    assert_eq!(h.commits(as_member(generation, &member)), ErrorCode::None);
}

#[test]
fn a_restart_keeps_commits() {
    let mut h = with_topic();
    h.commits(commit("t", 0, 1));
    h.commits(commit("t", 1, 8));
    h.commits(commit("t", 0, 2));
    let before = h.fetches(fetch_of(None));
    h.restart();
    assert_eq!(h.fetches(fetch_of(None)), before);
    assert_eq!(h.committed("t", 0), 2);
}

#[test]
fn a_deleted_topics_commits_are_gone_and_do_not_come_back_with_its_name() {
    let mut h = with_topic();
    h.create_topic("u", 1);
    h.commits(commit("t", 0, 1));
    h.commits(commit("u", 0, 2));
    let topic = DeleteTopicsRequestTopic { name: Some("t".into()), ..Default::default() };
    let request =
        DeleteTopicsRequest { topics: vec![topic], timeout_ms: 1000, ..Default::default() };
    let Response::DeleteTopics(response) = h.ask(request) else { panic!() };
    assert_eq!(response.responses[0].error_code, 0);
    h.create_topic("t", 2);
    assert_eq!((h.committed("t", 0), h.committed("u", 0)), (-1, 2));
    h.restart();
    assert_eq!((h.committed("t", 0), h.committed("u", 0)), (-1, 2));
}

#[test]
fn commits_are_forgotten_only_when_their_topics_removal_is_durable() {
    let mut h = with_topic();
    h.commits(commit("t", 0, 1));
    let topic = h.broker.topics().get("__consumer_offsets").unwrap().id;
    let offsets = PartitionId { topic, index: 0 };
    let before = h.records(offsets).len();
    h.hold_syncs = true;
    let topic = DeleteTopicsRequestTopic { name: Some("t".into()), ..Default::default() };
    let id = h.send(DeleteTopicsRequest { topics: vec![topic], ..Default::default() });
    h.settle();
    assert_eq!(h.records(offsets).len(), before, "the topic would come back without its commits");
    h.release_syncs();
    assert!(h.is_answered(id));
    assert!(h.records(offsets).len() > before);
}

#[test]
fn records_have_kafkas_form() {
    let mut h = with_topic();
    h.commits(commit("t", 1, 42));
    let retained = OffsetCommitRequest { retention_time_ms: 1000, ..commit("t", 0, 43) };
    h.commits(retained);
    let topic = h.broker.topics().get("__consumer_offsets").unwrap().id;
    let records = h.records(PartitionId { topic, index: 0 });
    // OffsetCommitKey: version 1, group, topic, partition.
    assert_eq!(&*records[0].0, [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 1]);
    let value = records[0].1.as_ref().unwrap();
    let mut expected = vec![0, 4];
    expected.extend(42_i64.to_be_bytes());
    expected.extend(5_i32.to_be_bytes());
    expected.extend(b"\x05note");
    expected.extend(h.now.wall.to_be_bytes());
    // One tagged field: number 0, 16 bytes, the topic's id.
    expected.extend([1, 0, 16]);
    expected.extend(h.broker.topics().get("t").unwrap().id.0);
    assert_eq!(&**value, expected);
    // With a retention time of its own: version 1, without a leader epoch.
    let value = records[1].1.as_ref().unwrap();
    let mut expected = vec![0, 1];
    expected.extend(43_i64.to_be_bytes());
    expected.extend(b"\x00\x04note");
    expected.extend(h.now.wall.to_be_bytes());
    expected.extend((h.now.wall + 1000).to_be_bytes());
    assert_eq!(&**value, expected);
}

#[test]
fn commits_of_older_kafkas_are_read() {
    let mut h = with_topic();
    let key = Bytes::from(&b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x00"[..]);
    let journal = chronik::broker::journal::Log::Offsets;
    for (version, value) in [0_i16, 1, 2, 3, 4].map(|version| {
        let value = OffsetCommitValue { offset: 10 + i64::from(version), ..Default::default() };
        (version, Bytes::from(value.encode(version).unwrap()))
    }) {
        h.broker.recover(journal, &key, Some(&value)).unwrap();
        assert_eq!(h.committed("t", 0), 10 + i64::from(version));
    }
    h.broker.recover(journal, &key, None).unwrap();
    assert_eq!(h.broker.groups().summaries().count(), 0);
}

#[test]
fn commits_expire_after_their_retention_and_the_group_with_them() {
    let mut h = with_topic();
    h.commits(commit("t", 0, 1));
    h.advance_ms(DAY_MS);
    h.commits(commit("t", 1, 2));
    h.advance_ms(6 * DAY_MS - 1);
    assert_eq!((h.committed("t", 0), h.committed("t", 1)), (1, 2));
    h.advance_ms(1);
    assert_eq!((h.committed("t", 0), h.committed("t", 1)), (-1, 2));
    h.advance_ms(DAY_MS);
    assert_eq!(h.committed("t", 1), -1);
    assert_eq!(h.broker.groups().summaries().count(), 0);
    assert_eq!(h.broker.next_deadline(), None);
    h.restart();
    assert_eq!(h.committed("t", 1), -1);
}

#[test]
fn that_a_group_has_expired_is_told_when_the_disk_knows() {
    for is_made_anew in [false, true] {
        let mut h = with_topic();
        h.commits(commit("t", 0, 1));
        h.hold_syncs = true;
        h.advance_ms(7 * DAY_MS);
        assert_eq!(h.broker.groups().summaries().count(), 0);
        if is_made_anew {
            // A new group of that name: whatever it is told, the old one must not come back.
            h.send(join_alone(GROUP));
        }
        let positions = h.send(fetch_of(Some(vec![of_topic("t", &[0])])));
        let description = h.send(DescribeGroupsRequest {
            groups: vec![GROUP.into()],
            ..DescribeGroupsRequest::default()
        });
        let list = h.send(ListGroupsRequest::default());
        for id in [positions, description, list] {
            assert!(!h.is_answered(id), "a power cut may bring the group back");
        }
        h.release_syncs();
        let Some(Response::OffsetFetch(told)) = h.reply(positions) else { panic!("no answer") };
        assert_eq!(told.groups[0].topics[0].partitions[0].committed_offset, -1);
        assert!(h.is_answered(description) && h.is_answered(list));
    }
}

#[test]
fn commits_do_not_expire_while_the_group_has_members() {
    let mut h = with_topic();
    let (generation, member) = h.member();
    h.ask(sync(generation, &member));
    h.commits(as_member(generation, &member));
    for _ in 0..10 {
        h.now.wall += DAY_MS;
        h.advance_ms(5_000);
        h.ask(HeartbeatRequest {
            group_id: GROUP.into(),
            generation_id: generation,
            member_id: member.clone(),
            ..HeartbeatRequest::default()
        });
    }
    assert_eq!(h.committed("t", 0), 7);
    h.advance_ms(10_000);
    h.advance_ms(7 * DAY_MS - 1);
    assert_eq!(h.committed("t", 0), 7, "the age counts from when the group became empty");
    h.advance_ms(1);
    assert_eq!(h.committed("t", 0), -1);
}

/// A deadline that nobody could meet would be due again at once, for ever.
#[test]
fn commits_do_not_expire_while_somebody_has_an_id_to_join_with() {
    let mut h = with_topic();
    h.commits(OffsetCommitRequest { retention_time_ms: 60_000, ..commit("t", 0, 1) });
    h.advance_ms(50_000);
    let protocols = vec![JoinGroupRequestProtocol { name: "range".into(), ..Default::default() }];
    let refused = h.ask(JoinGroupRequest {
        group_id: GROUP.into(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        protocol_type: "consumer".into(),
        protocols,
        must_know_member_id: true,
        ..JoinGroupRequest::default()
    });
    let Response::JoinGroup(refused) = refused else { panic!("{refused:?}") };
    assert_eq!(refused.error_code, ErrorCode::MemberIdRequired.code());
    h.advance_ms(29_999);
    assert_eq!(h.committed("t", 0), 1);
    h.advance_ms(1);
    assert_eq!(h.committed("t", 0), -1, "the id was not used in time");
}

#[test]
fn a_retention_time_of_its_own_lets_a_commit_expire_earlier() {
    let mut h = with_topic();
    h.commits(commit("t", 1, 2));
    h.commits(OffsetCommitRequest { retention_time_ms: 60_000, ..commit("t", 0, 1) });
    h.advance_ms(59_999);
    assert_eq!(h.committed("t", 0), 1);
    h.advance_ms(1);
    assert_eq!((h.committed("t", 0), h.committed("t", 1)), (-1, 2));
}

#[test]
fn a_group_whose_last_commit_goes_with_its_topic_is_forgotten_soon_after() {
    let mut h = with_topic();
    let (_, member) = h.member();
    let leaving = LeaveGroupRequestMember { member_id: member, ..Default::default() };
    h.ask(LeaveGroupRequest {
        group_id: GROUP.into(),
        members: vec![leaving],
        ..Default::default()
    });
    h.commits(commit("t", 0, 1));
    let topic = DeleteTopicsRequestTopic { name: Some("t".into()), ..Default::default() };
    h.ask(DeleteTopicsRequest { topics: vec![topic], timeout_ms: 1000, ..Default::default() });
    assert_eq!(h.broker.groups().summaries().count(), 1);
    h.advance_ms(600_000);
    assert_eq!(h.broker.groups().summaries().count(), 0);
}

#[test]
fn a_commit_beyond_the_logs_end_is_lowered_at_the_start() {
    let mut h = with_topic();
    h.ask(produce("t", 0, -1, batch(3)));
    h.commits(commit("t", 0, 5));
    h.commits(commit("t", 1, 0));
    let mut out = Vec::new();
    assert_eq!(h.broker.clamp_commits(h.now, &mut out), 1);
    h.tick();
    assert_eq!((h.committed("t", 0), h.committed("t", 1)), (3, 0));
    h.restart();
    assert_eq!(h.committed("t", 0), 3);
}

#[test]
fn nothing_expires_while_the_clock_is_wrong() {
    let mut h = with_topic();
    let right = h.now.wall;
    h.now.wall = 0;
    h.restart();
    h.commits(commit("t", 0, 1));
    h.advance_ms(30 * DAY_MS);
    assert_eq!((h.committed("t", 0), h.broker.next_deadline()), (1, None));
    h.now.wall = right;
    h.advance_ms(0);
    h.advance_ms(7 * DAY_MS - 1);
    assert_eq!(h.committed("t", 0), 1, "the age counts from when the clock was set");
    h.advance_ms(1);
    assert_eq!(h.committed("t", 0), -1);
}

#[test]
fn nothing_expires_while_the_clock_of_a_start_far_ahead_may_still_be_set_right() {
    let mut h = with_topic();
    let right = h.now.wall;
    h.commits(commit("t", 0, 1));
    h.stopped_at = Some(right);
    h.now.wall += 3650 * DAY_MS;
    h.restart();
    h.advance_ms(599_999);
    assert_eq!(h.committed("t", 0), 1);
    h.set_clock(right);
    h.advance_ms(6 * DAY_MS);
    assert_eq!(h.committed("t", 0), 1);
    h.advance_ms(2 * DAY_MS);
    assert_eq!(h.committed("t", 0), -1);
}

#[test]
fn groups_that_commits_make_are_limited() {
    let limits = Limits { groups: 1, ..Limits::default() };
    let mut h = Harness::with(Options { limits, ..Options::default() });
    h.create_topic("t", 2);
    assert_eq!(h.commits(commit("t", 0, 1)), ErrorCode::None);
    let other = OffsetCommitRequest { group_id: "other".into(), ..commit("t", 0, 1) };
    assert_eq!(h.commits(other), ErrorCode::CoordinatorNotAvailable);
}

#[test]
fn commits_show_in_metrics() {
    let groups = GroupOptions::default();
    let mut h = Harness::with(Options { groups, ..Options::default() });
    h.create_topic("t", 2);
    h.commits(commit("t", 1, 42));
    let shown: Vec<_> = (h.broker.groups().commits())
        .map(|c| (c.group.to_owned(), c.topic.to_owned(), c.partition, c.offset))
        .collect();
    assert_eq!(shown, [("g".to_owned(), "t".to_owned(), 1, 42)]);
    let topic = h.broker.topics().get("__consumer_offsets").unwrap().id;
    let (key, _) = h.records(PartitionId { topic, index: 0 }).remove(0);
    assert!(matches!(OffsetsKey::decode(&key).unwrap(), OffsetsKey::OffsetCommit(_)));
}

#[test]
fn a_commit_asks_once_for_the_sync_of_what_it_commits() {
    let mut h = with_topic();
    h.ask(produce("t", 0, 1, batch(3)));
    h.hold_syncs = true;
    let id = h.send_from(1, commit("t", 0, 3));
    for _ in 0..5 {
        let produced = h.send(produce("t", 0, 1, batch(1)));
        h.settle();
        assert!(h.is_answered(produced) && !h.is_answered(id));
    }
    assert_eq!(h.jobs.iter().filter(|job| *job == "Sync").count(), 1);
    h.release_syncs();
    assert!(h.is_answered(id));
}

#[test]
fn a_commit_of_a_connection_that_is_gone_is_forgotten() {
    let mut h = with_topic();
    h.ask(produce("t", 0, 1, batch(1)));
    h.hold_syncs = true;
    let gone = h.send_from(1, commit("t", 0, 1));
    let stays = h.send_from(2, commit("t", 0, 1));
    h.handle(Event::Disconnected(conn(1)));
    h.release_syncs();
    assert!(h.is_answered(stays) && !h.is_answered(gone));
}

#[test]
fn a_commit_beyond_what_all_groups_may_keep_is_refused_and_those_that_are_kept_move_on() {
    let limits = Limits { group_bytes: 5_000, ..Limits::default() };
    let mut h = Harness::with(Options { limits, ..Options::default() });
    h.create_topic("t", 100);
    let stored = (0..100).map(|index| h.commits(commit("t", index, 1)));
    let stored: Vec<bool> = stored.map(|error| error == ErrorCode::None).collect();
    let count = stored.iter().filter(|stored| **stored).count();
    assert!(stored[..count].iter().all(|stored| *stored) && (10..50).contains(&count), "{count}");
    assert_eq!(h.commits(commit("t", 99, 1)), ErrorCode::InvalidCommitOffsetSize);
    assert_eq!(h.commits(commit("t", 0, 2)), ErrorCode::None, "it takes no more than before");
    h.broker.check_invariants().unwrap();
}
