//! CreatePartitions: topics get more partitions, for good, and nobody hears of one before it is durable.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod support;

use chronik::broker::event::Event;
use chronik::broker::options::{Limits, Options};
use chronik::storage::job::{Disk, DiskState, Outcome, StorageError};
use chronik::wire::api::Response;
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::*;
use support::*;

fn topic(name: &str, count: i32) -> CreatePartitionsRequestTopic {
    CreatePartitionsRequestTopic { name: name.into(), count, assignments: None }
}

fn grow(topics: Vec<CreatePartitionsRequestTopic>) -> CreatePartitionsRequest {
    CreatePartitionsRequest { topics, ..CreatePartitionsRequest::default() }
}

fn results(response: Response) -> Vec<(String, i16)> {
    let Response::CreatePartitions(response) = response else { panic!("another answer") };
    response.results.iter().map(|topic| (topic.name.clone(), topic.error_code)).collect()
}

fn error(response: Response) -> i16 {
    results(response)[0].1
}

fn partitions(h: &Harness, name: &str) -> usize {
    h.broker.topics().get(name).unwrap().partitions.len()
}

#[test]
fn new_partitions_are_made_and_announced_when_their_records_are_durable() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let opened = |h: &Harness| h.jobs.iter().filter(|job| *job == "Open").count();
    let before = opened(&h);
    h.hold_syncs = true;
    let id = h.send(grow(vec![topic("t", 3)]));
    h.settle();
    assert!(!h.is_answered(id));
    assert_eq!(opened(&h), before, "no directory before that");
    h.release_syncs();
    assert_eq!(error(h.reply(id).unwrap()), 0);
    assert_eq!(opened(&h), before + 2);
    for index in 0..3 {
        let response = h.ask(produce("t", index, -1, batch(1)));
        assert_eq!(produced(&response).error_code, 0, "partition {index}");
    }
}

#[test]
fn they_are_there_after_a_restart() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    h.ask(produce("t", 0, -1, batch(5)));
    assert_eq!(error(h.ask(grow(vec![topic("t", 4)]))), 0);
    h.restart();
    assert_eq!(partitions(&h, "t"), 4);
    assert_eq!(record_count(fetched(&h.ask(fetch("t", 0, 0)))), 5);
}

#[test]
fn what_cannot_be_has_its_name_and_changes_nothing() {
    let mut h = Harness::new();
    h.create_topic("t", 2);
    let place =
        |broker_ids: &[i32]| CreatePartitionsRequestAssignment { broker_ids: broker_ids.to_vec() };
    let placed = |count, places: Vec<_>| CreatePartitionsRequestTopic {
        assignments: Some(places),
        ..topic("t", count)
    };
    for (wanted, expected) in [
        (topic("none", 2), ErrorCode::UnknownTopicOrPartition),
        (topic("t", 2), ErrorCode::InvalidPartitions),
        (topic("t", 1), ErrorCode::InvalidPartitions),
        (topic("t", -1), ErrorCode::InvalidPartitions),
        (topic("t", i32::MAX), ErrorCode::PolicyViolation),
        (topic("__consumer_offsets", 2), ErrorCode::InvalidRequest),
        (placed(3, vec![]), ErrorCode::InvalidReplicaAssignment),
        (placed(4, vec![place(&[0])]), ErrorCode::InvalidReplicaAssignment),
        (placed(3, vec![place(&[7])]), ErrorCode::InvalidReplicaAssignment),
        (placed(3, vec![place(&[0, 0])]), ErrorCode::InvalidReplicaAssignment),
    ] {
        assert_eq!(error(h.ask(grow(vec![wanted.clone()]))), expected.code(), "{wanted:?}");
        assert_eq!(partitions(&h, "t"), 2);
    }
    assert_eq!(error(h.ask(grow(vec![placed(3, vec![place(&[0])])]))), 0);
    assert_eq!(partitions(&h, "t"), 3);
}

#[test]
fn one_refusal_does_not_concern_the_others() {
    let mut h = Harness::new();
    ["a", "b"].iter().for_each(|name| h.create_topic(name, 1));
    let wanted = vec![topic("b", 2), topic("a", 2), topic("none", 2), topic("b", 2)];
    let expected = [
        ("b".to_owned(), ErrorCode::InvalidRequest.code()),
        ("a".to_owned(), 0),
        ("none".to_owned(), ErrorCode::UnknownTopicOrPartition.code()),
    ];
    assert_eq!(results(h.ask(grow(wanted))), expected);
    assert_eq!((partitions(&h, "a"), partitions(&h, "b")), (2, 1));
}

#[test]
fn validation_creates_nothing() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let request = CreatePartitionsRequest { validate_only: true, ..grow(vec![topic("t", 2)]) };
    assert_eq!(error(h.ask(request)), 0);
    assert_eq!(partitions(&h, "t"), 1);
}

#[test]
fn the_bound_on_partitions_holds() {
    let limits = Limits { partitions: 5, ..Limits::default() };
    let mut h = Harness::with(Options { limits, ..Options::default() });
    h.create_topic("t", 2); // and one of the broker's own
    assert_eq!(error(h.ask(grow(vec![topic("t", 5)]))), ErrorCode::PolicyViolation.code());
    assert_eq!(error(h.ask(grow(vec![topic("t", 4)]))), 0);
}

#[test]
fn a_topic_that_grows_can_be_used_and_not_be_deleted_yet() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    h.hold_syncs = true;
    let growing = h.send(grow(vec![topic("t", 2)]));
    h.settle();
    let early = h.send_from(1, produce("t", 0, 1, batch(1)));
    h.settle();
    assert_eq!(produced(&h.reply(early).unwrap()).error_code, 0);
    let wanted = MetadataRequestTopic { name: Some("t".into()), ..Default::default() };
    let listing =
        h.send_from(4, MetadataRequest { topics: Some(vec![wanted]), ..Default::default() });
    let wanted = DeleteTopicsRequestTopic { name: Some("t".into()), ..Default::default() };
    let delete = DeleteTopicsRequest { topics: vec![wanted], ..DeleteTopicsRequest::default() };
    let deletion = h.send_from(2, delete.clone());
    let again = h.send_from(3, grow(vec![topic("t", 3)]));
    h.release_syncs();
    let Response::DeleteTopics(deleted) = h.reply(deletion).unwrap() else { panic!() };
    let soon = ErrorCode::RequestTimedOut.code();
    assert_eq!(deleted.responses[0].error_code, soon, "it is there, and not ready");
    assert_eq!(error(h.reply(again).unwrap()), soon);
    assert_eq!(error(h.reply(growing).unwrap()), 0);
    let Response::Metadata(listed) = h.reply(listing).unwrap() else { panic!() };
    let errors: Vec<i16> = listed.topics[0].partitions.iter().map(|p| p.error_code).collect();
    assert_eq!(errors, [0, ErrorCode::LeaderNotAvailable.code()], "nobody waits for directories");
    let Response::DeleteTopics(deleted) = h.ask(delete) else { panic!() };
    assert_eq!(deleted.responses[0].error_code, 0);
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_and_the_others_serve() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    h.opens_fail = true;
    assert_eq!(error(h.ask(grow(vec![topic("t", 2)]))), ErrorCode::KafkaStorageError.code());
    assert_eq!(produced(&h.ask(produce("t", 0, -1, batch(1)))).error_code, 0);
}

#[test]
fn a_partition_that_failed_before_is_no_failure_of_the_new_ones() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let refused = StorageError::content("sync", std::path::Path::new("t-0"), "refused");
    let partition = h.id_of("t", 0);
    h.handle(Event::Outcome(Outcome::Synced { partition, end: 0, result: Err(refused) }));
    assert_eq!(error(h.ask(grow(vec![topic("t", 2)]))), 0);
    assert_eq!(produced(&h.ask(produce("t", 1, -1, batch(1)))).error_code, 0);
}

#[test]
fn a_full_disk_refuses_growth() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let disk = Disk { state: DiskState::Spent, free: 0, total: 2, reserve: 1, ballast: 0 };
    h.handle(Event::Outcome(Outcome::Disk(disk)));
    assert_eq!(error(h.ask(grow(vec![topic("t", 2)]))), ErrorCode::KafkaStorageError.code());
    assert_eq!(partitions(&h, "t"), 1);
}

#[test]
fn what_a_client_that_is_gone_asked_for_happens_all_the_same() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    h.hold_syncs = true;
    let id = h.send_from(1, grow(vec![topic("t", 2)]));
    h.settle();
    h.handle(Event::Disconnected(id.conn));
    h.release_syncs();
    assert!(!h.is_answered(id));
    assert_eq!(produced(&h.ask(produce("t", 1, -1, batch(1)))).error_code, 0);
}
