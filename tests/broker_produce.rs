//! Produce: what is answered, when, and what is refused.

mod support;

use chronik::base::payload::Bytes;
use chronik::broker::event::Event;
use chronik::broker::options::{Durability, Options};
use chronik::storage::job::{AppendError, Outcome, StorageError};
use chronik::wire::api::Response;
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::*;
use support::*;

#[test]
fn acks_all_is_answered_after_the_disk_has_it() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    h.hold_syncs = true;
    let id = h.send(produce("t", 0, -1, batch(3)));
    h.settle();
    assert!(!h.is_answered(id), "answered before the sync");
    h.release_syncs();
    let response = h.reply(id).unwrap();
    let part = produced(&response);
    assert_eq!((part.error_code, part.base_offset, part.log_append_time_ms), (0, 0, -1));
}

#[test]
fn acks_one_is_answered_after_the_write() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    h.hold_syncs = true;
    let id = h.send(produce("t", 0, 1, batch(1)));
    h.settle();
    assert_eq!(produced(&h.reply(id).unwrap()).error_code, 0);
}

#[test]
fn acks_one_behind_an_unsynced_acks_all_waits_for_the_watermark() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    h.hold_syncs = true;
    let first = h.send(produce("t", 0, -1, batch(1)));
    let second = h.send_from(1, produce("t", 0, 1, batch(1)));
    h.settle();
    assert!(!h.is_answered(first) && !h.is_answered(second));
    h.release_syncs();
    assert!(h.is_answered(first));
    assert_eq!(produced(&h.reply(second).unwrap()).base_offset, 1);
}

#[test]
fn durability_always_holds_acks_one_back_too() {
    let options = Options { durability: Durability::Always, ..Options::default() };
    let mut h = Harness::with(options);
    h.create_topic("t", 1);
    h.hold_syncs = true;
    let id = h.send(produce("t", 0, 1, batch(1)));
    h.settle();
    assert!(!h.is_answered(id));
    h.release_syncs();
    assert!(h.is_answered(id));
}

#[test]
fn durability_os_waits_for_no_disk() {
    let options = Options { durability: Durability::Os, ..Options::default() };
    let mut h = Harness::with(options);
    h.create_topic("t", 1);
    h.hold_syncs = true;
    let id = h.send(produce("t", 0, -1, batch(1)));
    h.settle();
    assert!(h.is_answered(id));
}

#[test]
fn acks_zero_is_silent_and_tells_failure_by_closing() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let good = h.send(produce("t", 0, 0, batch(1)));
    let bad = h.send(produce("nowhere", 0, 0, batch(1)));
    h.settle();
    assert!(matches!(h.replies[&good], Reply::Silence { failed: false }));
    assert!(matches!(h.replies[&bad], Reply::Silence { failed: true }));
}

#[test]
fn one_bad_partition_does_not_fail_the_others() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let mut request = produce("t", 0, -1, batch(1));
    let unknown =
        ProduceRequestPartition { index: 9, ..request.topic_data[0].partition_data[0].clone() };
    request.topic_data[0].partition_data.push(unknown);
    let response = h.ask(request);
    let chronik::wire::api::Response::Produce(response) = response else { panic!() };
    let codes: Vec<i16> =
        response.responses[0].partition_responses.iter().map(|part| part.error_code).collect();
    assert_eq!(codes, [0, ErrorCode::UnknownTopicOrPartition.code()]);
}

#[test]
fn what_is_wrong_with_a_request_has_its_name() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let mut two_batches = batch(1).to_vec();
    two_batches.extend_from_slice(&batch(1));
    let mut zstd = batch(1).to_vec();
    zstd[22] = 4;
    let old_client = ProduceRequest { understands_zstd: false, ..produce("t", 0, -1, zstd.into()) };
    let by_id = ProduceRequest { by_topic_id: true, ..produce("x", 0, -1, batch(1)) };
    let mut old_format = batch(1).to_vec();
    old_format[16] = 1;
    let cases = [
        (produce("t", 0, 2, batch(1)), ErrorCode::InvalidRequiredAcks),
        (produce("x", 0, -1, batch(1)), ErrorCode::UnknownTopicOrPartition),
        (by_id, ErrorCode::UnknownTopicId),
        (produce("t", 1, -1, batch(1)), ErrorCode::UnknownTopicOrPartition),
        (produce("__consumer_offsets", 0, -1, batch(1)), ErrorCode::InvalidTopicException),
        (produce("t", 0, -1, two_batches.into()), ErrorCode::InvalidRecord),
        (produce("t", 0, -1, vec![].into()), ErrorCode::InvalidRecord),
        (produce("t", 0, -1, vec![0; 20].into()), ErrorCode::InvalidRecord),
        (produce("t", 0, -1, old_format.into()), ErrorCode::InvalidRecord),
        (old_client, ErrorCode::UnsupportedCompressionType),
    ];
    for (request, expected) in cases {
        let text = format!("{request:?}");
        let response = h.ask(request);
        assert_eq!(produced(&response).error_code, expected.code(), "{text}");
        assert_eq!(produced(&response).base_offset, -1);
    }
}

/// A topic whose records are compressed by the broker.
fn create_gzip_topic(h: &mut Harness, name: &str) {
    let configs = vec![CreateTopicsRequestConfig {
        name: "compression.type".into(),
        value: Some("gzip".into()),
    }];
    let topic = CreateTopicsRequestTopic {
        name: name.into(),
        num_partitions: 1,
        replication_factor: 1,
        configs,
        ..CreateTopicsRequestTopic::default()
    };
    h.ask(CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() });
}

#[test]
fn records_keep_their_order_behind_one_that_is_converted() {
    let mut h = Harness::new();
    create_gzip_topic(&mut h, "z");
    let first = h.send(produce("z", 0, 1, batch(2)));
    let mut gzip = batch(5).to_vec();
    gzip[22] = 1; // needs no conversion, and must wait all the same
    let second = h.send(produce("z", 0, 1, gzip.into()));
    h.settle();
    assert_eq!(produced(&h.reply(first).unwrap()).base_offset, 0);
    assert_eq!(produced(&h.reply(second).unwrap()).base_offset, 2);
}

#[test]
fn unsynced_records_are_synced_within_the_flush_interval() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    assert_eq!(h.broker.next_deadline(), None, "idle has no deadline");
    let id = h.send(produce("t", 0, 1, batch(1)));
    h.settle();
    assert!(h.is_answered(id));
    assert!(h.broker.next_deadline().is_some());
    h.advance_ms(1_000);
    assert_eq!(h.jobs.iter().filter(|job| *job == "Sync").count(), 1);
    assert_eq!(h.broker.next_deadline(), None, "the deadline exists only while something is dirty");
}

#[test]
fn a_duplicate_is_answered_though_nothing_moves() {
    for (durability, acks) in [(Durability::Os, 1), (Durability::Group, 1), (Durability::Os, -1)] {
        let mut h = Harness::with(Options { durability, ..Options::default() });
        h.create_topic("t", 1);
        h.ask(produce("t", 0, acks, batch(1)));
        let again = h.send(produce("t", 0, acks, batch(1)));
        let Some(Outcome::Appended { result: Ok(appended), .. }) = h.outcomes.front_mut() else {
            panic!("another outcome");
        };
        (appended.base_offset, appended.end_offset, appended.duplicate) = (0, 1, true);
        h.settle();
        let answer = h.reply(again).expect("an answer without another produce");
        assert_eq!((produced(&answer).error_code, produced(&answer).base_offset), (0, 0));
    }
}

#[test]
fn a_thousand_waiting_produces_are_answered_by_one_sync() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    h.hold_syncs = true;
    let ids: Vec<_> =
        (0..1_000).map(|slot| h.send_from(slot, produce("t", 0, -1, batch(1)))).collect();
    h.settle();
    assert!(!ids.iter().any(|id| h.is_answered(*id)));
    h.handle(Event::Disconnected(conn(7)));
    h.release_syncs();
    let answered = ids.iter().filter(|id| h.is_answered(**id)).count();
    assert_eq!(answered, 999, "all but the one that has gone");
}

#[test]
fn a_disk_that_refuses_once_is_asked_again_and_one_that_failed_is_not() {
    let error = StorageError {
        action: "write",
        path: "t-0/0.log".into(),
        errno: Some(28),
        reason: "no space left".into(),
    };
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let mut refuse = |error: AppendError| {
        let id = h.send(produce("t", 0, -1, batch(1)));
        let Some(Outcome::Appended { result, .. }) = h.outcomes.front_mut() else { panic!() };
        *result = Err(error);
        h.outcomes.truncate(1);
        h.settle();
        let answer = h.reply(id).unwrap();
        assert_eq!(produced(&answer).error_code, ErrorCode::KafkaStorageError.code());
        produced(&h.ask(produce("t", 0, -1, batch(1)))).error_code
    };
    assert_eq!(refuse(AppendError::Storage(error.clone())), 0);
    assert_eq!(refuse(AppendError::Offline(error)), ErrorCode::KafkaStorageError.code());
}

#[test]
fn one_whole_batch_is_taken_whatever_part_of_another_follows() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let with = |tail: &[u8]| {
        let mut bytes = batch(1).to_vec();
        bytes.extend_from_slice(tail);
        Bytes::from_vec(bytes)
    };
    let whole = batch(1);
    let part = whole.slice(0..whole.len() - 1).unwrap();
    let cases = [
        (with(&[0, 0, 0]), ErrorCode::None),
        (with(&part), ErrorCode::None),
        (with(&whole), ErrorCode::InvalidRecord),
        (part, ErrorCode::InvalidRecord),
        (whole.slice(0..10).unwrap(), ErrorCode::InvalidRecord),
        (with(&[0; 30]), ErrorCode::CorruptMessage),
    ];
    for (number, (records, expected)) in cases.into_iter().enumerate() {
        let response = h.ask(produce("t", 0, -1, records));
        assert_eq!(produced(&response).error_code, expected.code(), "case {number}");
    }
    let fetched_records = h.ask(fetch("t", 0, 0));
    assert_eq!(record_count(fetched(&fetched_records)), 2, "and nothing of the rest");
}

#[test]
fn who_breaks_a_rule_of_the_log_learns_where_it_starts_and_which_record_did() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    create_gzip_topic(&mut h, "z");
    for (error, expected) in [
        (AppendError::Invalid("a rule"), 0),
        (AppendError::Keyless(vec![1, 2]), 0),
        (AppendError::SequenceGap, 0),
        (AppendError::FencedProducer, 0),
        (AppendError::TooLarge, -1),
        (AppendError::Corrupt("a bit"), -1),
    ] {
        let id = h.send(produce("t", 0, 1, batch(1)));
        let Some(Outcome::Appended { result, .. }) = h.outcomes.front_mut() else { panic!() };
        *result = Err(error.clone());
        h.settle();
        let Some(Response::Produce(response)) = h.reply(id) else { panic!("no answer") };
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!(answer.log_start_offset, expected, "{error:?}");
        let places: Vec<i32> = answer.record_errors.iter().map(|e| e.batch_index).collect();
        let blamed = if let AppendError::Keyless(places) = &error { &places[..] } else { &[] };
        assert_eq!(places, blamed);
        // What cannot be converted is refused in the same words.
        let id = h.send(produce("z", 0, 1, batch(1)));
        let Some(Outcome::Converted { result, .. }) = h.outcomes.front_mut() else { panic!() };
        *result = Err(error);
        h.settle();
        let Some(Response::Produce(again)) = h.reply(id) else { panic!("no answer") };
        assert_eq!(again.responses[0].partition_responses[0], *answer);
    }
}
