//! DeleteGroups: which groups may go, what goes with them, and when that is answered.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod support;

use chronik::base::ids::PartitionId;
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

/// What a test asks of the broker, in the words of groups.
trait Groups {
    fn commits(&mut self, request: OffsetCommitRequest);
    fn committed(&mut self, group: &str) -> Vec<(String, i32, i64)>;
    fn deletes(&mut self, groups: &[&str]) -> Vec<(String, ErrorCode)>;
    fn listed(&mut self) -> Vec<String>;
    fn state(&mut self, group: &str) -> String;
    fn member(&mut self, request: JoinGroupRequest) -> (i32, String);
    fn leaves(&mut self, member: &str);
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
    let disk = |state| Outcome::Disk(Disk { state, free: 0, reserve: 1, ballast: 0 });
    h.outcomes.push_back(disk(DiskState::Spent));
    h.settle();
    assert_eq!(h.deletes(&[GROUP]), [result(GROUP, ErrorCode::CoordinatorNotAvailable)]);
    assert_eq!(h.committed(GROUP), [("t".to_owned(), 0, 1)]);
    h.outcomes.push_back(disk(DiskState::Ready));
    h.settle();
    assert_eq!(h.deletes(&[GROUP]), [result(GROUP, ErrorCode::None)]);
}
