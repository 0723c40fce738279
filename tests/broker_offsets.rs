//! ListOffsets and OffsetForLeaderEpoch: what is known of a log without reading it.
#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod support;

use chronik::storage::job::{Outcome, TimedOffset};
use chronik::wire::api::Response;
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::*;
use support::*;

fn list(timestamps: &[(i32, i64)]) -> ListOffsetsRequest {
    let part = |(partition_index, timestamp): &(i32, i64)| ListOffsetsRequestPartition {
        partition_index: *partition_index,
        timestamp: *timestamp,
        ..ListOffsetsRequestPartition::default()
    };
    let topic = ListOffsetsRequestTopic {
        name: "t".into(),
        partitions: timestamps.iter().map(part).collect(),
    };
    ListOffsetsRequest { topics: vec![topic], ..ListOffsetsRequest::default() }
}

fn listed(response: Response) -> Vec<ListOffsetsResponsePartition> {
    let Response::ListOffsets(response) = response else { panic!("another answer") };
    response.topics[0].partitions.clone()
}

#[test]
fn a_special_timestamp_that_the_version_does_not_know_is_unsupported() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    for (known_from, timestamp, expected) in [
        (-2, -2, ErrorCode::None),
        (-2, -3, ErrorCode::UnsupportedVersion),
        (-3, -4, ErrorCode::UnsupportedVersion),
        (-4, -4, ErrorCode::None),
        (-5, -6, ErrorCode::UnsupportedVersion),
        (-6, -6, ErrorCode::None),
        (-6, -7, ErrorCode::UnsupportedVersion),
    ] {
        let request =
            ListOffsetsRequest { special_timestamp_min: known_from, ..list(&[(0, timestamp)]) };
        let code = listed(h.ask(request))[0].error_code;
        assert_eq!(code, expected.code(), "{timestamp} where {known_from} is the last");
    }
}

#[test]
fn version_0_asks_for_starts_of_segments() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let now = h.now.wall;
    let mut ask = |timestamp, max_num_offsets, found: &[i64]| {
        let mut request = ListOffsetsRequest {
            special_timestamp_min: -2,
            wants_starts: true,
            ..list(&[(0, timestamp)])
        };
        request.topics[0].partitions[0].max_num_offsets = max_num_offsets;
        let id = h.send(request);
        if let Some(Outcome::Times { results, .. }) = h.outcomes.front_mut() {
            let start =
                |offset: &i64| TimedOffset { timestamp: -1, offset: *offset, leader_epoch: -1 };
            *results = vec![Ok(found.iter().map(start).collect())];
        }
        h.settle();
        let answer = listed(h.reply(id).expect("an answer")).remove(0);
        assert_eq!((answer.timestamp, answer.offset, answer.leader_epoch), (-1, -1, -1));
        (answer.error_code, answer.old_style_offsets)
    };
    for timestamp in [-1, 0, now, i64::MAX] {
        assert_eq!(ask(timestamp, 3, &[9, 5, 1]), (0, vec![9, 5, 1]), "{timestamp}");
        assert_eq!(ask(timestamp, 3, &[]), (0, vec![]), "{timestamp}");
    }
    assert_eq!(ask(-2, 3, &[]), (0, vec![0]));
    assert_eq!(ask(-2, 0, &[]), (0, vec![]));
    for timestamp in [-1, -2, now] {
        let refused = ask(timestamp, -1, &[]).0;
        assert_eq!(refused, ErrorCode::InvalidRequest.code(), "{timestamp}");
    }
}

#[test]
fn a_partition_that_is_named_twice_is_answered_once_with_an_error() {
    let mut h = Harness::new();
    h.create_topic("t", 2);
    let answers = listed(h.ask(list(&[(0, -1), (1, -1), (0, -2)])));
    let codes: Vec<(i32, i16)> =
        answers.iter().map(|part| (part.partition_index, part.error_code)).collect();
    assert_eq!(codes, [(0, ErrorCode::InvalidRequest.code()), (1, 0)]);
}

#[test]
fn an_empty_log_has_the_leaders_epoch() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    for timestamp in [-1, -2, -4] {
        let answer = &listed(h.ask(list(&[(0, timestamp)])))[0];
        assert_eq!((answer.offset, answer.leader_epoch), (0, 0), "{timestamp}");
    }
}
