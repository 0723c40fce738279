//! When partitions are looked after, what the wall clock has to say in it, and the bound on all logs together.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod support;

use chronik::base::time::Mono;
use chronik::broker::options::Options;
use chronik::wire::api::Response;
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::*;
use support::*;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// A broker with a topic of one partition that storage wants to look after so much later.
fn with_due(after_ms: i64) -> Harness {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let due = h.now.wall + after_ms;
    let id = h.id_of("t", 0);
    h.wants(id, Some(due), None);
    h.ask(produce("t", 0, 1, batch(1)));
    h.advance_ms(1_000); // what was written is synced
    h
}

fn deadline_in(h: &Harness) -> Option<i64> {
    let at = h.broker.next_deadline()?;
    Some(i64::try_from(at.since(h.now.mono).as_millis()).unwrap())
}

#[test]
fn an_empty_partition_has_no_deadline() {
    let mut h = Harness::new();
    h.create_topic("t", 100);
    assert_eq!(h.broker.next_deadline(), None);
    h.restart();
    assert_eq!(h.broker.next_deadline(), None);
    assert!(h.upkeeps.is_empty());
}

#[test]
fn a_partition_is_looked_after_when_storage_wants_it_and_not_before() {
    let mut h = with_due(HOUR);
    assert_eq!(deadline_in(&h), Some(HOUR - 1_000));
    h.advance_ms(HOUR - 1_001);
    assert!(h.upkeeps.is_empty());
    let next = h.now.wall + DAY;
    let id = h.id_of("t", 0);
    h.wants(id, Some(next), None);
    h.advance_ms(1);
    let [upkeep] = h.upkeeps[..] else { panic!("{:?}", h.upkeeps) };
    assert_eq!((upkeep.partition, upkeep.now, upkeep.expire), (id, h.now.wall, true));
    assert_eq!((upkeep.stepped, upkeep.free), (0, false));
    assert_eq!(deadline_in(&h), Some(DAY - 1), "as storage said then");
    h.wants(id, None, None);
    h.advance_ms(DAY);
    assert_eq!((h.upkeeps.len(), h.broker.next_deadline()), (2, None), "nothing is left to do");
}

#[test]
fn appends_move_no_deadline_that_storage_does_not() {
    let mut h = with_due(HOUR);
    for _ in 0..10 {
        h.ask(produce("t", 0, 1, batch(1)));
        h.advance_ms(60_000);
    }
    assert!(h.upkeeps.is_empty());
    let id = h.id_of("t", 0);
    h.wants(id, Some(h.now.wall + 5), None);
    h.ask(produce("t", 0, 1, batch(1)));
    h.advance_ms(5);
    assert_eq!(h.upkeeps.len(), 1, "an earlier one counts");
}

#[test]
fn what_storage_cannot_do_yet_is_not_asked_for_in_a_loop() {
    let mut h = with_due(HOUR);
    let id = h.id_of("t", 0);
    h.wants(id, Some(0), None);
    h.ask(produce("t", 0, -1, batch(1)));
    h.advance_ms(0);
    assert_eq!(h.upkeeps.len(), 1);
    for _ in 0..100 {
        h.ask(produce("t", 0, -1, batch(1)));
        h.advance_ms(10);
    }
    assert_eq!(h.upkeeps.len(), 2, "once a second");
}

#[test]
fn of_many_partitions_only_a_few_are_looked_after_at_a_time() {
    let mut h = Harness::new();
    h.create_topic("t", 100);
    let due = h.now.wall + HOUR;
    for index in 0..100 {
        let id = h.id_of("t", index);
        h.wants(id, Some(due), None);
        h.ask(produce("t", index, -1, batch(1)));
        h.wants(id, None, None);
    }
    h.now.mono = h.now.mono.plus_ms(HOUR);
    h.now.wall = due;
    h.tick_broker();
    assert_eq!(h.upkeeps.len(), 16);
    assert_eq!(h.broker.next_deadline(), None, "the others' turn comes with an answer");
    let answered = h.step();
    assert!(answered && h.upkeeps.len() == 17);
    h.settle();
    assert_eq!((h.upkeeps.len(), h.broker.next_deadline()), (100, None));
}

#[test]
fn deadlines_follow_the_wall_clock_when_it_is_set() {
    let mut h = with_due(10 * HOUR);
    h.set_clock(h.now.wall + 4 * HOUR);
    assert_eq!(deadline_in(&h), Some(6 * HOUR - 1_000));
    h.set_clock(h.now.wall - 8 * HOUR);
    // A clock behind what the broker wrote down is not trusted until it has caught up, which is before that.
    assert_eq!(deadline_in(&h), Some(14 * HOUR - 1_000));
}

#[test]
fn in_1970_nothing_is_due_and_ten_minutes_after_the_clock_is_set_it_may_be() {
    let mut h = Harness::new();
    h.set_clock(5_000);
    h.create_topic("t", 1);
    let id = h.id_of("t", 0);
    h.wants(id, Some(1), None);
    h.ask(produce("t", 0, -1, batch(1)));
    assert_eq!(h.broker.next_deadline(), None);
    h.advance_ms(DAY);
    let today = 1_800_000_000_000;
    h.set_clock(today);
    h.advance_ms(599_999);
    assert!(h.upkeeps.is_empty());
    h.wants(id, None, None);
    h.advance_ms(1);
    let [upkeep] = h.upkeeps[..] else { panic!("{:?}", h.upkeeps) };
    assert!(upkeep.expire);
    assert_eq!(upkeep.stepped, today, "what was written before is no older than that");
}

#[test]
fn space_is_made_though_the_clock_is_wrong() {
    let mut h = Harness::new();
    h.set_clock(5_000);
    h.create_topic("t", 1);
    let id = h.id_of("t", 0);
    h.wants(id, Some(0), None);
    h.ask(produce("t", 0, -1, batch(1)));
    h.wants(id, Some(1), None);
    h.advance_ms(10_000);
    let [upkeep] = h.upkeeps[..] else { panic!("{:?}", h.upkeeps) };
    assert!(!upkeep.expire);
    assert_eq!(h.broker.next_deadline(), None, "and nothing for its age");
}

/// A commit of a group that never has a member.
fn commit_alone() -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: "alone".into(),
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: 3,
                ..OffsetCommitRequestPartition::default()
            }],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    }
}

/// How many topics that group has commits of.
fn stored(h: &mut Harness) -> usize {
    let group =
        OffsetFetchRequestGroup { group_id: "alone".into(), topics: None, ..Default::default() };
    let all = OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() };
    let Response::OffsetFetch(fetched) = h.ask(all) else { panic!("no commits") };
    fetched.groups[0].topics.len()
}

#[test]
fn a_jump_of_ten_years_moves_no_session_no_wait_and_no_commit() {
    for jump in [10 * YEAR, -10 * YEAR] {
        let mut h = Harness::new();
        h.set_clock(h.now.wall + 20 * YEAR);
        h.advance_ms(DAY); // the start is long ago
        h.create_topic("t", 1);
        h.ask(produce("t", 0, -1, batch(5)));
        h.ask(commit_alone());
        let joining = h.send(join_alone("g"));
        h.advance_ms(0);
        let Some(Response::JoinGroup(joined)) = h.reply(joining) else { panic!("no member") };
        let waiting = h.send_from(1, FetchRequest { max_wait_ms: 30_000, ..fetch("t", 0, 5) });
        let before: Option<Mono> = h.broker.next_deadline();

        h.set_clock(h.now.wall + jump);
        assert_eq!(h.broker.next_deadline(), before, "{jump}");
        assert!(!h.is_answered(waiting), "{jump}");
        h.advance_ms(9_000);
        let heartbeat = HeartbeatRequest {
            group_id: "g".into(),
            generation_id: joined.generation_id,
            member_id: joined.member_id.clone(),
            ..HeartbeatRequest::default()
        };
        let Response::Heartbeat(beat) = h.ask(heartbeat.clone()) else { panic!("no heartbeat") };
        assert_ne!(beat.error_code, ErrorCode::UnknownMemberId.code(), "{jump}");
        h.advance_ms(9_999);
        let Response::Heartbeat(beat) = h.ask(heartbeat.clone()) else { panic!("no heartbeat") };
        assert_ne!(beat.error_code, ErrorCode::UnknownMemberId.code(), "{jump}");
        h.advance_ms(10_000);
        let Response::Heartbeat(beat) = h.ask(heartbeat) else { panic!("no heartbeat") };
        assert_eq!(beat.error_code, ErrorCode::UnknownMemberId.code(), "the session ends in time");
        assert!(!h.is_answered(waiting), "{jump}");
        h.advance_ms(1_001);
        assert!(h.is_answered(waiting), "the fetch's wait ends in time");

        // The commit is as old as the jump.
        h.advance_ms(7 * DAY - 30_001);
        assert_eq!(stored(&mut h), 1, "{jump}");
        h.advance_ms(30_001);
        assert_eq!(stored(&mut h), 0, "{jump}");
    }
}

#[test]
fn a_fetch_that_waits_for_what_is_gone_is_told() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    h.ask(produce("t", 0, -1, batch(2)));
    let waiting = h.send(FetchRequest { min_bytes: 1 << 20, ..fetch("t", 0, 0) });
    h.settle();
    assert!(!h.is_answered(waiting));
    let id = h.id_of("t", 0);
    h.wants(id, Some(0), None);
    h.trim(id, 2);
    h.ask(produce("t", 0, -1, batch(1)));
    h.advance_ms(0);
    let answer = h.reply(waiting).unwrap();
    assert_eq!(fetched(&answer).error_code, ErrorCode::OffsetOutOfRange.code());
}

fn with_bound(bytes: u64) -> Harness {
    let options = Options { cluster_id: "cluster".into(), ..Options::default() };
    Harness::with(Options { log_bytes_max: Some(bytes), ..options })
}

#[test]
fn beyond_the_bound_of_all_logs_the_oldest_segment_of_all_goes() {
    let one = batch(1).len() as u64;
    let mut h = with_bound(5 * one);
    for topic in ["a", "b"] {
        h.create_topic(topic, 1);
    }
    h.create_topic_with("c", &[("cleanup.policy", "compact")]);
    let ids = ["a", "b", "c"].map(|topic| h.id_of(topic, 0));
    for (id, oldest) in ids.into_iter().zip([200, 100, 1]) {
        h.wants(id, None, Some(oldest));
    }
    let keyed = || {
        let mut builder = chronik::record::builder::BatchBuilder::new(Default::default()).unwrap();
        builder.append(1_800_000_000_000, None, Some(b"value 0"), &[]).unwrap();
        chronik::base::payload::Bytes::from_vec(builder.finish().unwrap())
    };
    let write = |h: &mut Harness, topic: &str| {
        h.ask(produce(topic, 0, -1, keyed()));
    };
    write(&mut h, "c");
    write(&mut h, "a");
    write(&mut h, "a");
    write(&mut h, "b");
    write(&mut h, "b");
    // The broker's own topics count, too.
    let own = h.broker.topics().bytes() - 5 * one;
    assert_eq!(own, 0);
    assert!(h.upkeeps.is_empty(), "the bound is not passed yet");
    write(&mut h, "c");
    let freed: Vec<_> = h.upkeeps.iter().map(|upkeep| (upkeep.partition, upkeep.free)).collect();
    assert_eq!(freed, [(ids[1], true)], "the oldest that may go");
    assert_eq!(h.broker.topics().bytes(), 5 * one);
    assert_eq!(h.broker.topics().partition(ids[1]).unwrap().log_start, 1);
    h.wants(ids[1], None, Some(300));
    write(&mut h, "b");
    h.wants(ids[1], None, Some(300));
    write(&mut h, "b");
    let freed: Vec<_> = h.upkeeps[1..].iter().map(|upkeep| upkeep.partition).collect();
    assert_eq!(freed[0], ids[0], "by now the other is older: {freed:?}");
    assert_eq!(h.broker.topics().bytes(), 5 * one);
}

#[test]
fn where_no_segment_is_closed_the_largest_log_gives_up_what_it_has() {
    let one = batch(1).len() as u64;
    let mut h = with_bound(3 * one);
    h.create_topic("a", 1);
    h.create_topic("b", 1);
    h.ask(produce("a", 0, -1, batch(1)));
    h.ask(produce("b", 0, -1, batch(1)));
    h.ask(produce("b", 0, -1, batch(1)));
    h.ask(produce("a", 0, -1, batch(1)));
    assert_eq!(h.upkeeps.len(), 1);
    assert!(h.broker.topics().bytes() <= 3 * one);
}

#[test]
fn a_deleted_topic_frees_its_bytes_and_has_no_deadline() {
    let mut h = with_due(HOUR);
    assert!(h.broker.topics().bytes() > 0);
    let topic = DeleteTopicsRequestTopic { name: Some("t".into()), ..Default::default() };
    h.ask(DeleteTopicsRequest { topics: vec![topic], ..DeleteTopicsRequest::default() });
    assert_eq!((h.broker.topics().bytes(), h.broker.next_deadline()), (0, None));
}
