//! DeleteGroups and OffsetDelete: which groups and commits may go, what goes with them, and when that is answered.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod support;

use chronik::base::ids::PartitionId;
use chronik::base::payload::Bytes;
use chronik::storage::job::{Disk, DiskState, Outcome};
use chronik::wire::api::Response;
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::internal::offsets::OffsetsKey;
use chronik::wire::messages::*;
use support::*;

const GROUP: &str = "g";

fn commit(group: &str, topic: &str, index: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition {
        partition_index: index,
        committed_offset: offset,
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: topic.into(),
        partitions: vec![partition],
        ..OffsetCommitRequestTopic::default()
    };
    OffsetCommitRequest { group_id: group.into(), topics: vec![topic], ..Default::default() }
}

fn fetch_all(group: &str) -> OffsetFetchRequest {
    let group =
        OffsetFetchRequestGroup { group_id: group.into(), topics: None, ..Default::default() };
    OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() }
}

fn delete(groups: &[&str]) -> DeleteGroupsRequest {
    DeleteGroupsRequest { groups_names: groups.iter().map(|name| (*name).to_owned()).collect() }
}

fn describe(group: &str) -> DescribeGroupsRequest {
    DescribeGroupsRequest { groups: vec![group.into()], ..DescribeGroupsRequest::default() }
}

fn forget(topics: &[(&str, &[i32])]) -> OffsetDeleteRequest {
    let topic = |(name, partitions): &(&str, &[i32])| OffsetDeleteRequestTopic {
        name: (*name).to_owned(),
        partitions: partitions
            .iter()
            .map(|index| OffsetDeleteRequestPartition { partition_index: *index })
            .collect(),
    };
    OffsetDeleteRequest { group_id: GROUP.into(), topics: topics.iter().map(topic).collect() }
}

/// Asks to join as somebody who tells the leader this.
fn join_with(metadata: &[u8]) -> JoinGroupRequest {
    let metadata = Bytes::from(metadata);
    let protocols = vec![JoinGroupRequestProtocol { name: "range".into(), metadata }];
    JoinGroupRequest { protocols, ..join_alone(GROUP) }
}

/// Asks to join as a consumer that wants these topics.
fn join_for(topics: &[&str]) -> JoinGroupRequest {
    let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
    let subscription = ConsumerProtocolSubscription { topics, ..Default::default() };
    join_with(&subscription.encode(3).unwrap())
}

/// Topic, partition and error.
type Answer = (String, i32, ErrorCode);

fn answer(topic: &str, index: i32, error: ErrorCode) -> Answer {
    (topic.to_owned(), index, error)
}

/// What a test asks of the broker, in the words of groups.
trait Groups {
    fn commits(&mut self, request: OffsetCommitRequest);
    fn committed(&mut self, group: &str) -> Vec<(String, i32, i64)>;
    fn deletes(&mut self, groups: &[&str]) -> Vec<(String, ErrorCode)>;
    fn listed(&mut self) -> Vec<String>;
    fn state(&mut self, group: &str) -> String;
    fn member(&mut self, request: JoinGroupRequest) -> (i32, String);
    fn leaves(&mut self, member: &str);
    fn forgets(&mut self, request: OffsetDeleteRequest) -> (ErrorCode, Vec<Answer>);
    fn joined_with_commits(&mut self, request: JoinGroupRequest) -> (i32, String);
}

impl Groups for Harness {
    fn commits(&mut self, request: OffsetCommitRequest) {
        let response = self.ask(request);
        let Response::OffsetCommit(response) = response else { panic!("{response:?}") };
        assert_eq!(response.topics[0].partitions[0].error_code, 0);
    }

    fn committed(&mut self, group: &str) -> Vec<(String, i32, i64)> {
        let response = self.ask(fetch_all(group));
        let Response::OffsetFetch(response) = response else { panic!("{response:?}") };
        let mut found = Vec::new();
        for topic in &response.groups[0].topics {
            for part in &topic.partitions {
                found.push((topic.name.clone(), part.partition_index, part.committed_offset));
            }
        }
        found
    }

    fn deletes(&mut self, groups: &[&str]) -> Vec<(String, ErrorCode)> {
        let response = self.ask(delete(groups));
        let Response::DeleteGroups(response) = response else { panic!("{response:?}") };
        let result = |result: DeleteGroupsResponseResult| {
            assert_eq!(result.error_message.is_some(), result.error_code != 0);
            (result.group_id, ErrorCode::from_code(result.error_code).unwrap())
        };
        response.results.into_iter().map(result).collect()
    }

    fn listed(&mut self) -> Vec<String> {
        let response = self.ask(ListGroupsRequest::default());
        let Response::ListGroups(response) = response else { panic!("{response:?}") };
        response.groups.into_iter().map(|group| group.group_id).collect()
    }

    fn state(&mut self, group: &str) -> String {
        let response = self.ask(describe(group));
        let Response::DescribeGroups(response) = response else { panic!("{response:?}") };
        response.groups[0].group_state.clone()
    }

    /// The only member of a stable group.
    fn member(&mut self, request: JoinGroupRequest) -> (i32, String) {
        let id = self.send(request);
        self.advance_ms(0);
        let Some(Response::JoinGroup(joined)) = self.reply(id) else { panic!("no answer") };
        let sync = SyncGroupRequest {
            group_id: GROUP.into(),
            generation_id: joined.generation_id,
            member_id: joined.member_id.clone(),
            must_name_protocol: false,
            ..SyncGroupRequest::default()
        };
        let Response::SyncGroup(synced) = self.ask(sync) else { panic!("another answer") };
        assert_eq!(synced.error_code, 0);
        assert_eq!(self.state(GROUP), "Stable");
        (joined.generation_id, joined.member_id)
    }

    fn leaves(&mut self, member: &str) {
        let member = LeaveGroupRequestMember { member_id: member.into(), ..Default::default() };
        let request = LeaveGroupRequest {
            group_id: GROUP.into(),
            members: vec![member],
            ..Default::default()
        };
        self.ask(request);
        assert_eq!(self.state(GROUP), "Empty");
    }

    fn forgets(&mut self, request: OffsetDeleteRequest) -> (ErrorCode, Vec<Answer>) {
        let response = self.ask(request);
        let Response::OffsetDelete(response) = response else { panic!("{response:?}") };
        let error = |code| ErrorCode::from_code(code).unwrap();
        let mut answers = Vec::new();
        for topic in response.topics {
            for part in topic.partitions {
                answers.push(answer(&topic.name, part.partition_index, error(part.error_code)));
            }
        }
        (error(response.error_code), answers)
    }

    /// As `member`, that has committed in both topics.
    fn joined_with_commits(&mut self, request: JoinGroupRequest) -> (i32, String) {
        let (generation, member) = self.member(request);
        for topic in ["t", "u"] {
            self.commits(OffsetCommitRequest {
                generation_id_or_member_epoch: generation,
                member_id: member.clone(),
                ..commit(GROUP, topic, 0, 5)
            });
        }
        (generation, member)
    }
}

fn with_topics() -> Harness {
    let mut h = with_topic();
    h.create_topic("u", 1);
    h
}

fn with_topic() -> Harness {
    let mut h = Harness::new();
    h.create_topic("t", 2);
    h
}

fn result(group: &str, error: ErrorCode) -> (String, ErrorCode) {
    (group.to_owned(), error)
}

/// The keys of the groups' log that have a value, as it would be read at a start.
fn kept(h: &Harness) -> Vec<OffsetsKey> {
    let id = h.id_of("__consumer_offsets", 0);
    let mut kept: Vec<OffsetsKey> = Vec::new();
    for (key, value) in h.records(PartitionId { topic: id.topic, index: 0 }) {
        let key = OffsetsKey::decode(&key).unwrap();
        kept.retain(|known| *known != key);
        if value.is_some() {
            kept.push(key);
        }
    }
    kept
}

#[test]
fn an_empty_group_goes_with_its_commits_and_does_not_come_back() {
    let mut h = with_topic();
    let (_, member) = h.member(join_alone(GROUP));
    h.leaves(&member);
    h.commits(commit(GROUP, "t", 0, 5));
    h.commits(commit(GROUP, "t", 1, 6));
    h.commits(commit("other", "t", 0, 7));
    assert_eq!(h.deletes(&[GROUP]), [result(GROUP, ErrorCode::None)]);
    for is_restarted in [false, true] {
        if is_restarted {
            h.restart();
        }
        assert_eq!(h.listed(), ["other"]);
        assert_eq!(h.state(GROUP), "Dead");
        assert_eq!(h.committed(GROUP), []);
        assert_eq!(h.committed("other"), [("t".to_owned(), 0, 7)]);
        assert_eq!(h.deletes(&[GROUP]), [result(GROUP, ErrorCode::GroupIdNotFound)]);
        assert_eq!(kept(&h).len(), 1, "every other record has its tombstone");
    }
}

#[test]
fn a_group_of_commits_alone_can_go() {
    let mut h = with_topic();
    h.commits(commit(GROUP, "t", 0, 5));
    assert_eq!(h.deletes(&[GROUP]), [result(GROUP, ErrorCode::None)]);
    h.restart();
    assert_eq!((h.listed(), h.committed(GROUP)), (vec![], vec![]));
}

#[test]
fn a_group_with_members_stays_whatever_it_is_at() {
    let mut h = with_topic();
    let (_, member) = h.member(join_alone(GROUP));
    h.commits(OffsetCommitRequest {
        generation_id_or_member_epoch: 1,
        member_id: member.clone(),
        ..commit(GROUP, "t", 0, 5)
    });
    let refused = [result(GROUP, ErrorCode::NonEmptyGroup)];
    assert_eq!(h.deletes(&[GROUP]), refused, "Stable");
    h.send_from(1, join_alone(GROUP));
    h.settle();
    assert_eq!(h.state(GROUP), "PreparingRebalance");
    assert_eq!(h.deletes(&[GROUP]), refused);
    let again = JoinGroupRequest { member_id: member, ..join_alone(GROUP) };
    h.send_from(2, again);
    h.settle();
    assert_eq!(h.state(GROUP), "CompletingRebalance");
    assert_eq!(h.deletes(&[GROUP]), refused);
    assert_eq!(h.committed(GROUP), [("t".to_owned(), 0, 5)]);
}

#[test]
fn each_group_has_a_result_of_its_own_and_is_asked_for_once() {
    let mut h = with_topic();
    h.commits(commit("a", "t", 0, 1));
    h.commits(commit("", "t", 0, 1));
    h.member(join_alone(GROUP));
    let expected = [
        result("a", ErrorCode::None),
        result("none", ErrorCode::GroupIdNotFound),
        result(GROUP, ErrorCode::NonEmptyGroup),
        result("", ErrorCode::None),
    ];
    assert_eq!(h.deletes(&["a", "none", GROUP, "", "a", "none"]), expected);
    assert_eq!(h.deletes(&[]), []);
    assert_eq!(h.deletes(&[""]), [result("", ErrorCode::GroupIdNotFound)]);
}

#[test]
fn a_deletion_is_answered_when_the_disk_knows_and_so_is_what_others_see_of_it() {
    for is_made_anew in [false, true] {
        let mut h = with_topic();
        h.commits(commit(GROUP, "t", 0, 1));
        h.hold_syncs = true;
        let deletion = h.send(delete(&[GROUP]));
        h.settle();
        assert_eq!(h.broker.groups().summaries().count(), 0);
        if is_made_anew {
            h.send(join_alone(GROUP));
        }
        let again = h.send(delete(&[GROUP]));
        let positions = h.send(fetch_all(GROUP));
        let description = h.send(describe(GROUP));
        let list = h.send(ListGroupsRequest::default());
        h.settle();
        let ids = [deletion, again, positions, description, list];
        for id in ids {
            assert!(!h.is_answered(id), "a power cut may bring the group back");
        }
        h.release_syncs();
        assert!(ids.into_iter().all(|id| h.is_answered(id)));
    }
}

#[test]
fn who_was_given_an_id_and_has_not_come_begins_anew() {
    let mut h = with_topic();
    h.commits(commit(GROUP, "t", 0, 1));
    let wanted = JoinGroupRequest { must_know_member_id: true, ..join_alone(GROUP) };
    let Response::JoinGroup(refused) = h.ask(wanted.clone()) else { panic!("another answer") };
    assert_eq!(refused.error_code, ErrorCode::MemberIdRequired.code());
    assert_eq!(h.deletes(&[GROUP]), [result(GROUP, ErrorCode::None)]);
    let late = JoinGroupRequest { member_id: refused.member_id, ..wanted };
    let Response::JoinGroup(refused) = h.ask(late) else { panic!("another answer") };
    assert_eq!(refused.error_code, ErrorCode::UnknownMemberId.code());
}

#[test]
fn a_group_made_after_the_deletion_begins_anew_and_stays() {
    let mut h = with_topic();
    let (_, member) = h.member(join_alone(GROUP));
    h.leaves(&member);
    h.deletes(&[GROUP]);
    let (generation, _) = h.member(join_alone(GROUP));
    assert_eq!(generation, 1);
    h.restart();
    assert_eq!(h.state(GROUP), "Stable");
}

#[test]
fn nothing_goes_while_the_journal_has_no_room() {
    let mut h = with_topic();
    h.commits(commit(GROUP, "t", 0, 1));
    let disk = |state| Outcome::Disk(Disk { state, free: 0, total: 2, reserve: 1, ballast: 0 });
    h.outcomes.push_back(disk(DiskState::Spent));
    h.settle();
    assert_eq!(h.deletes(&[GROUP]), [result(GROUP, ErrorCode::CoordinatorNotAvailable)]);
    assert_eq!(h.committed(GROUP), [("t".to_owned(), 0, 1)]);
    h.outcomes.push_back(disk(DiskState::Ready));
    h.settle();
    assert_eq!(h.deletes(&[GROUP]), [result(GROUP, ErrorCode::None)]);
}

#[test]
fn commits_of_an_empty_group_are_forgotten_one_by_one() {
    let mut h = with_topics();
    let (_, member) = h.joined_with_commits(join_for(&["t"]));
    h.leaves(&member);
    h.commits(commit(GROUP, "t", 1, 6));
    let wanted = forget(&[("t", &[0, 7]), ("none", &[0]), ("u", &[])]);
    let expected = vec![
        answer("none", 0, ErrorCode::UnknownTopicOrPartition),
        answer("t", 0, ErrorCode::None),
        answer("t", 7, ErrorCode::UnknownTopicOrPartition),
    ];
    assert_eq!(h.forgets(wanted.clone()), (ErrorCode::None, expected.clone()));
    for is_restarted in [false, true] {
        if is_restarted {
            h.restart();
        }
        let left = [("t".to_owned(), 1, 6), ("u".to_owned(), 0, 5)];
        assert_eq!(h.committed(GROUP), left);
        let again = h.forgets(wanted.clone());
        assert_eq!(again, (ErrorCode::None, expected.clone()), "what is not there is gone");
    }
}

#[test]
fn a_topic_that_is_named_twice_is_answered_once() {
    let mut h = with_topics();
    h.commits(commit(GROUP, "t", 0, 5));
    let (error, answers) = h.forgets(forget(&[("t", &[0]), ("u", &[0]), ("t", &[1, 1])]));
    let none = |topic, index| answer(topic, index, ErrorCode::None);
    assert_eq!(error, ErrorCode::None);
    assert_eq!(answers, [none("t", 0), none("t", 1), none("t", 1), none("u", 0)]);
}

#[test]
fn what_is_wrong_with_the_group_is_said_of_the_whole() {
    let mut h = with_topics();
    let wanted = || forget(&[("t", &[0]), ("none", &[0])]);
    assert_eq!(h.forgets(wanted()), (ErrorCode::GroupIdNotFound, vec![]));
    let nameless = OffsetDeleteRequest { group_id: String::new(), ..wanted() };
    assert_eq!(h.forgets(nameless), (ErrorCode::InvalidGroupId, vec![]));
    let connect = JoinGroupRequest { protocol_type: "connect".into(), ..join_for(&["u"]) };
    let (_, member) = h.joined_with_commits(connect);
    assert_eq!(h.forgets(wanted()), (ErrorCode::NonEmptyGroup, vec![]));
    h.leaves(&member);
    let disk = |state| Outcome::Disk(Disk { state, free: 0, total: 2, reserve: 1, ballast: 0 });
    h.outcomes.push_back(disk(DiskState::Spent));
    h.settle();
    assert_eq!(h.forgets(wanted()), (ErrorCode::CoordinatorNotAvailable, vec![]));
    h.outcomes.push_back(disk(DiskState::Ready));
    h.settle();
    assert_eq!(h.forgets(wanted()).0, ErrorCode::None);
    assert_eq!(h.committed(GROUP), [("u".to_owned(), 0, 5)]);
}

#[test]
fn consumers_keep_the_commits_of_the_topics_that_they_want() {
    let both = || forget(&[("t", &[0]), ("u", &[0])]);
    let answers = |t, u| (ErrorCode::None, vec![answer("t", 0, t), answer("u", 0, u)]);
    let (kept, gone) = (ErrorCode::GroupSubscribedToTopic, ErrorCode::None);
    let cases = [
        (join_for(&["t", "x"]), answers(kept, gone)),
        (join_for(&[]), answers(gone, gone)),
        (join_with(b""), answers(kept, kept)),
        (join_with(b"no subscription"), answers(kept, kept)),
        // It says that it is of version 1, and ends like one of version 0.
        (join_with(b"\0\x01\0\0\0\x01\0\x01t\xff\xff\xff\xff"), answers(kept, gone)),
    ];
    for (request, expected) in cases {
        for is_restarted in [false, true] {
            let mut h = with_topics();
            h.joined_with_commits(request.clone());
            if is_restarted {
                h.restart();
            }
            assert_eq!(h.forgets(both()), expected, "{request:?}");
            let left = h.committed(GROUP).len();
            let kept = expected.1.iter().filter(|(_, _, error)| *error == kept).count();
            assert_eq!(left, kept);
        }
    }
}

#[test]
fn who_has_just_joined_wants_its_topics_too() {
    let mut h = with_topics();
    h.joined_with_commits(join_for(&["t"]));
    h.send_from(1, join_for(&["u"]));
    h.settle();
    assert_eq!(h.state(GROUP), "PreparingRebalance");
    let (_, answers) = h.forgets(forget(&[("t", &[0]), ("u", &[0])]));
    let kept = |topic| answer(topic, 0, ErrorCode::GroupSubscribedToTopic);
    assert_eq!(answers, [kept("t"), kept("u")]);
}

#[test]
fn that_commits_are_forgotten_is_answered_when_the_disk_knows() {
    let mut h = with_topics();
    h.commits(commit(GROUP, "t", 0, 5));
    h.commits(commit(GROUP, "u", 0, 5));
    h.hold_syncs = true;
    let ids = [
        h.send(forget(&[("t", &[0])])),
        h.send_from(1, fetch_all(GROUP)),
        h.send_from(2, forget(&[("t", &[0])])),
    ];
    h.settle();
    assert!(!ids.into_iter().any(|id| h.is_answered(id)), "a power cut may bring them back");
    h.release_syncs();
    assert!(ids.into_iter().all(|id| h.is_answered(id)));
}

#[test]
fn a_group_whose_last_commit_is_forgotten_goes_as_others_do() {
    let mut h = with_topic();
    h.commits(commit(GROUP, "t", 0, 5));
    h.forgets(forget(&[("t", &[0])]));
    assert_eq!(h.listed(), Vec::<String>::new(), "there is nothing to it");
    let (_, member) = h.member(join_for(&["t"]));
    h.leaves(&member);
    h.commits(commit(GROUP, "t", 0, 5));
    h.forgets(forget(&[("t", &[0])]));
    assert_eq!(h.listed(), [GROUP]);
    h.advance_ms(600_000);
    assert_eq!(h.listed(), Vec::<String>::new(), "an empty group without commits");
}
