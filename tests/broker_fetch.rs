//! Fetch: what is given, and how it waits.

mod support;

use chronik::broker::event::Event;
use chronik::broker::options::{Limits, Options};
use chronik::wire::api::Response;
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::*;
use support::*;

fn with_records(count: usize) -> Harness {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    for _ in 0..count {
        h.ask(produce("t", 0, -1, batch(1)));
    }
    h
}

#[test]
fn what_is_there_comes_at_once() {
    let mut h = with_records(3);
    let response = h.ask(fetch("t", 0, 1));
    let part = fetched(&response);
    assert_eq!((part.error_code, part.high_watermark, part.log_start_offset), (0, 3, 0));
    assert_eq!(record_count(part), 2);
}

#[test]
fn an_empty_fetch_waits_and_is_woken_by_the_append() {
    let mut h = with_records(1);
    let id = h.send(fetch("t", 0, 1));
    h.settle();
    assert!(!h.is_answered(id));
    h.ask(produce("t", 0, -1, batch(2)));
    let response = h.reply(id).expect("woken");
    assert_eq!(record_count(fetched(&response)), 2);
    assert_eq!(h.broker.next_deadline(), None);
}

#[test]
fn an_empty_fetch_ends_at_max_wait_with_an_empty_set() {
    let mut h = with_records(1);
    let id = h.send(fetch("t", 0, 1));
    h.settle();
    h.advance_ms(499);
    assert!(!h.is_answered(id));
    h.advance_ms(1);
    let response = h.reply(id).expect("the time is up");
    let part = fetched(&response);
    assert_eq!((part.error_code, record_count(part)), (0, 0));
    assert!(part.records.is_some(), "an empty set, never null");
}

#[test]
fn fetch_wakes_when_min_bytes_arrive() {
    let mut h = with_records(0);
    let one = batch(1).len();
    let min_bytes = i32::try_from(one * 2).unwrap();
    let id = h.send(FetchRequest { min_bytes, ..fetch("t", 0, 0) });
    h.ask(produce("t", 0, -1, batch(1)));
    assert!(!h.is_answered(id), "half of it is not enough");
    let reads = h.jobs.iter().filter(|job| *job == "Read").count();
    assert_eq!(reads, 0, "what is not enough is counted, not read");
    h.ask(produce("t", 0, -1, batch(1)));
    assert_eq!(record_count(fetched(&h.reply(id).unwrap())), 2);
}

#[test]
fn more_than_an_answer_may_hold_is_not_waited_for() {
    let mut h = with_records(1);
    let one = i32::try_from(batch(1).len()).unwrap();
    let id = h.send(FetchRequest { min_bytes: one * 2, max_bytes: one, ..fetch("t", 0, 0) });
    h.settle();
    assert_eq!(record_count(fetched(&h.reply(id).expect("not parked"))), 1);
}

#[test]
fn what_becomes_visible_while_it_is_read_is_not_missed() {
    let mut h = with_records(1);
    let one = i32::try_from(batch(1).len()).unwrap();
    let id = h.send(FetchRequest { min_bytes: one * 2, ..fetch("t", 0, 0) });
    // The read is on its way; the append overtakes it.
    let read = h.outcomes.pop_front().unwrap();
    h.ask(produce("t", 0, -1, batch(1)));
    h.handle(Event::Outcome(read));
    h.settle();
    assert_eq!(record_count(fetched(&h.reply(id).expect("not parked"))), 2);
}

#[test]
fn no_wait_is_answered_at_once() {
    let mut h = with_records(0);
    let id = h.send(FetchRequest { max_wait_ms: 0, ..fetch("t", 0, 0) });
    assert!(h.is_answered(id));
    let id = h.send(FetchRequest { min_bytes: 0, ..fetch("t", 0, 0) });
    assert!(h.is_answered(id));
}

#[test]
fn unsynced_records_of_acks_all_are_not_seen() {
    let mut h = with_records(0);
    h.hold_syncs = true;
    h.send_from(1, produce("t", 0, -1, batch(1)));
    h.settle();
    let response = h.ask(FetchRequest { max_wait_ms: 0, ..fetch("t", 0, 0) });
    assert_eq!((fetched(&response).high_watermark, record_count(fetched(&response))), (0, 0));
}

#[test]
fn errors_answer_immediately_and_say_nothing_of_the_log() {
    let mut h = with_records(2);
    let beyond = h.ask(fetch("t", 0, 3));
    let part = fetched(&beyond);
    assert_eq!(part.error_code, ErrorCode::OffsetOutOfRange.code());
    assert_eq!((part.high_watermark, part.log_start_offset), (-1, -1), "as Kafka has it");
    assert_eq!(part.aborted_transactions, None);
    let unknown = h.ask(fetch("x", 0, 0));
    assert_eq!(fetched(&unknown).error_code, ErrorCode::UnknownTopicOrPartition.code());
    assert_eq!(fetched(&unknown).aborted_transactions, Some(vec![]));
    let by_id = h.ask(FetchRequest { by_topic_id: true, ..fetch("", 0, 0) });
    assert_eq!(fetched(&by_id).error_code, ErrorCode::UnknownTopicId.code());
}

#[test]
fn a_wrong_leader_epoch_has_its_name() {
    let mut h = with_records(1);
    let fine = [(0, ErrorCode::None), (-1, ErrorCode::None), (-2, ErrorCode::None)];
    let cases = fine.into_iter().chain([(1, ErrorCode::UnknownLeaderEpoch)]);
    for (epoch, expected) in cases {
        let mut request = fetch("t", 0, 0);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        assert_eq!(fetched(&h.ask(request)).error_code, expected.code(), "epoch {epoch}");
    }
}

#[test]
fn a_client_that_fetched_from_a_later_epoch_is_out_of_range() {
    let mut h = with_records(1);
    let mut request = fetch("t", 0, 0);
    request.topics[0].partitions[0].last_fetched_epoch = 1;
    let response = h.ask(request);
    let part = fetched(&response);
    assert_eq!(part.error_code, ErrorCode::OffsetOutOfRange.code());
    assert_eq!(part.diverging_epoch.epoch, -1);
}

#[test]
fn sessions_are_declined_and_unknown_ones_refused() {
    let mut h = with_records(1);
    let cases = [(0, 0, 0), (0, -1, 0), (7, 0, 0), (7, -1, 0), (7, 1, 70), (0, 5, 70)];
    for (session_id, session_epoch, expected) in cases {
        let request = FetchRequest { session_id, session_epoch, ..fetch("t", 0, 0) };
        let Response::Fetch(response) = h.ask(request) else { panic!() };
        assert_eq!((response.error_code, response.session_id), (expected, 0));
    }
}

#[test]
fn a_follower_is_refused() {
    let mut h = with_records(1);
    let Response::Fetch(response) = h.ask(FetchRequest { replica_id: 1, ..fetch("t", 0, 0) })
    else {
        panic!()
    };
    assert_eq!(response.error_code, ErrorCode::InvalidRequest.code());
}

#[test]
fn a_client_that_ends_its_input_gets_its_answer_now() {
    let mut h = with_records(0);
    let id = h.send(fetch("t", 0, 0));
    h.handle(Event::InputEnded(conn(0)));
    h.settle();
    assert!(h.is_answered(id));
}

#[test]
fn a_connection_that_is_gone_leaves_nothing_behind() {
    let mut h = with_records(0);
    let id = h.send(fetch("t", 0, 0));
    h.handle(Event::Disconnected(conn(0)));
    h.ask(produce("t", 0, -1, batch(1)));
    assert!(!h.is_answered(id));
    assert_eq!(h.broker.next_deadline(), None);
}

#[test]
fn a_fetch_that_finds_no_room_to_wait_is_answered_at_once() {
    let limits = Limits { waiting_fetch_bytes: 2_000, ..Limits::default() };
    let mut h = Harness::with(Options { limits, ..Options::default() });
    h.create_topic("t", 1);
    let ids: Vec<_> = (0..10).map(|slot| h.send_from(slot, fetch("t", 0, 0))).collect();
    let answered = ids.iter().filter(|id| h.is_answered(**id)).count();
    assert!((1..10).contains(&answered), "{answered} of 10");
    h.advance_ms(500);
    assert!(ids.iter().all(|id| h.is_answered(*id)));
    let id = h.send(fetch("t", 0, 0));
    assert!(!h.is_answered(id), "the room has returned");
}

#[test]
fn zstd_is_kept_from_old_clients_only_where_the_topic_insists_on_it() {
    let mut h = Harness::new();
    h.create_topic("free", 1);
    h.create_topic_with("zstd", &[("compression.type", "zstd")]);
    for (topic, expected) in [("free", 0), ("zstd", ErrorCode::UnsupportedCompressionType.code())] {
        let request =
            FetchRequest { understands_zstd: false, max_wait_ms: 0, ..fetch(topic, 0, 0) };
        assert_eq!(fetched(&h.ask(request)).error_code, expected, "{topic}");
    }
}

#[test]
fn what_grows_in_several_partitions_adds_up() {
    let mut h = Harness::new();
    h.create_topic("t", 3);
    let mut request = fetch("t", 0, 0);
    let part = request.topics[0].partitions[0].clone();
    for partition in 1..3 {
        request.topics[0].partitions.push(FetchRequestPartition { partition, ..part.clone() });
    }
    request.min_bytes = i32::try_from(batch(1).len() * 3).unwrap();
    let id = h.send_from(1, request);
    h.settle();
    let reads = |h: &Harness| h.jobs.iter().filter(|job| *job == "Read").count();
    for partition in [0, 2] {
        h.ask(produce("t", partition, 1, batch(1)));
        assert!(!h.is_answered(id));
    }
    assert_eq!(reads(&h), 0, "counted without reading");
    h.ask(produce("t", 0, 1, batch(1)));
    assert!(h.is_answered(id));
    assert_eq!(reads(&h), 1);
}
