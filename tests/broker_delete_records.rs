//! DeleteRecords: what may go, what is answered, and when.
#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod support;

use chronik::wire::api::Response;
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::*;
use support::*;

fn delete(parts: &[(&str, i32, i64)]) -> DeleteRecordsRequest {
    let topic = |(name, partition_index, offset): &(&str, i32, i64)| DeleteRecordsRequestTopic {
        name: (*name).to_owned(),
        partitions: vec![DeleteRecordsRequestPartition {
            partition_index: *partition_index,
            offset: *offset,
        }],
    };
    DeleteRecordsRequest { topics: parts.iter().map(topic).collect(), timeout_ms: 1000 }
}

fn answers(response: Response) -> Vec<(i64, ErrorCode)> {
    let Response::DeleteRecords(response) = response else { panic!("another answer") };
    let parts = response.topics.iter().flat_map(|topic| &topic.partitions);
    let error = |code| ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError);
    parts.map(|part| (part.low_watermark, error(part.error_code))).collect()
}

fn earliest(h: &mut Harness) -> i64 {
    let part = ListOffsetsRequestPartition { timestamp: -2, ..Default::default() };
    let topic = ListOffsetsRequestTopic { name: "t".into(), partitions: vec![part] };
    let request = ListOffsetsRequest { topics: vec![topic], ..ListOffsetsRequest::default() };
    let Response::ListOffsets(listed) = h.ask(request) else { panic!("another answer") };
    listed.topics[0].partitions[0].offset
}

fn with_ten() -> Harness {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    for _ in 0..5 {
        h.ask(produce("t", 0, -1, batch(2)));
    }
    h
}

#[test]
fn the_log_begins_at_the_offset_from_then_on() {
    let mut h = with_ten();
    assert_eq!(answers(h.ask(delete(&[("t", 0, 4)]))), [(4, ErrorCode::None)]);
    assert_eq!(earliest(&mut h), 4);
    let below = h.ask(fetch("t", 0, 3));
    assert_eq!(fetched(&below).error_code, ErrorCode::OffsetOutOfRange.code());
    let there = h.ask(fetch("t", 0, 4));
    assert_eq!((fetched(&there).error_code, fetched(&there).log_start_offset), (0, 4));
    h.ask(produce("t", 0, -1, batch(1)));
    assert_eq!(earliest(&mut h), 4, "an append does not take it back");
    assert_eq!(answers(h.ask(delete(&[("t", 0, 2)]))), [(4, ErrorCode::None)]);
    h.restart();
    assert_eq!(earliest(&mut h), 4);
}

#[test]
fn minus_one_is_the_high_watermark_and_nothing_beyond_it_can_go() {
    let mut h = with_ten();
    let out_of_range = [(-1, ErrorCode::OffsetOutOfRange)];
    for offset in [11, i64::MAX, -2, i64::MIN] {
        assert_eq!(answers(h.ask(delete(&[("t", 0, offset)]))), out_of_range, "{offset}");
    }
    h.hold_syncs = true;
    h.send(produce("t", 0, -1, batch(3)));
    h.settle();
    assert_eq!(answers(h.ask(delete(&[("t", 0, 11)]))), out_of_range, "it cannot be seen yet");
    assert_eq!(answers(h.ask(delete(&[("t", 0, -1)]))), [(10, ErrorCode::None)]);
    h.release_syncs();
    assert_eq!(answers(h.ask(delete(&[("t", 0, -1)]))), [(13, ErrorCode::None)]);
    assert_eq!(answers(h.ask(delete(&[("t", 0, 13)]))), [(13, ErrorCode::None)]);
}

#[test]
fn what_cannot_be_deleted_is_refused_by_its_name() {
    let mut h = with_ten();
    h.create_topic_with("compacted", &[("cleanup.policy", "compact")]);
    h.create_topic_with("both", &[("cleanup.policy", "compact,delete")]);
    let asked = [
        ("none", 0, 0),
        ("t", 1, 0),
        ("__consumer_offsets", 0, 0),
        ("compacted", 0, 0),
        ("both", 0, 0),
        ("t", 0, 4),
    ];
    let expected = [
        (-1, ErrorCode::UnknownTopicOrPartition),
        (-1, ErrorCode::UnknownTopicOrPartition),
        (-1, ErrorCode::InvalidTopicException),
        (-1, ErrorCode::PolicyViolation),
        (0, ErrorCode::None),
        (4, ErrorCode::None),
    ];
    assert_eq!(answers(h.ask(delete(&asked))), expected, "one answer, in the request's order");
    assert_eq!(answers(h.ask(delete(&[]))), []);
    let none = DeleteRecordsRequestTopic { name: "t".into(), partitions: vec![] };
    let nothing = DeleteRecordsRequest { topics: vec![none], timeout_ms: 1000 };
    assert_eq!(answers(h.ask(nothing)), []);
}

#[test]
fn a_partition_that_is_named_twice_is_asked_once_for_the_last() {
    let mut h = with_ten();
    h.jobs.clear();
    assert_eq!(
        answers(h.ask(delete(&[("t", 0, 4), ("t", 0, 6)]))),
        [(6, ErrorCode::None)],
        "as Kafka takes it"
    );
    assert_eq!(h.jobs.iter().filter(|job| *job == "Trim").count(), 1);
}

#[test]
fn segments_below_are_looked_after_at_once() {
    let mut h = with_ten();
    let id = h.id_of("t", 0);
    let before = h.broker.topics().bytes();
    h.ask(delete(&[("t", 0, 4)]));
    h.advance_ms(0);
    assert_eq!(h.upkeeps.len(), 1);
    assert_eq!(h.upkeeps[0].partition, id);
    assert!(h.broker.topics().bytes() < before);
}

#[test]
fn a_commit_below_the_first_offset_is_fine() {
    let mut h = with_ten();
    h.ask(delete(&[("t", 0, 8)]));
    let commit = OffsetCommitRequest {
        group_id: "g".into(),
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: 2,
                ..OffsetCommitRequestPartition::default()
            }],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    };
    let Response::OffsetCommit(response) = h.ask(commit) else { panic!("another answer") };
    assert_eq!(response.topics[0].partitions[0].error_code, 0);
}

#[test]
fn a_connection_that_goes_leaves_nothing_behind() {
    let mut h = with_ten();
    let id = h.send(delete(&[("t", 0, 4)]));
    h.handle(chronik::broker::event::Event::Disconnected(conn(0)));
    h.settle();
    assert!(!h.is_answered(id));
    assert_eq!(earliest(&mut h), 4, "it happens all the same");
}
