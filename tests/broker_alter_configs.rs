//! AlterConfigs and IncrementalAlterConfigs: a topic's settings change, for good, and storage hears of it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod support;

use chronik::broker::event::Event;
use chronik::storage::job::{Disk, DiskState, Outcome};
use chronik::wire::api::Response;
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::*;
use support::*;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

const SET: i8 = 0;
const TAKE_BACK: i8 = 1;
const ADD: i8 = 2;
const REMOVE: i8 = 3;

type Change<'a> = (i8, &'a str, Option<&'a str>);

fn resource(
    kind: i8,
    name: &str,
    changes: &[Change<'_>],
) -> IncrementalAlterConfigsRequestResource {
    let change =
        |(config_operation, name, value): &Change<'_>| IncrementalAlterConfigsRequestConfig {
            name: (*name).to_owned(),
            config_operation: *config_operation,
            value: value.map(str::to_owned),
        };
    IncrementalAlterConfigsRequestResource {
        resource_type: kind,
        resource_name: name.into(),
        configs: changes.iter().map(change).collect(),
    }
}

fn changes(topic: &str, changes: &[Change<'_>]) -> IncrementalAlterConfigsRequest {
    IncrementalAlterConfigsRequest {
        resources: vec![resource(TOPIC, topic, changes)],
        ..IncrementalAlterConfigsRequest::default()
    }
}

fn set(key: &str, value: &str) -> IncrementalAlterConfigsRequest {
    changes("t", &[(SET, key, Some(value))])
}

fn replacement(topic: &str, configs: &[(&str, Option<&str>)]) -> AlterConfigsRequest {
    let config = |(name, value): &(&str, Option<&str>)| AlterConfigsRequestConfig {
        name: (*name).to_owned(),
        value: value.map(str::to_owned),
    };
    let resource = AlterConfigsRequestResource {
        resource_type: TOPIC,
        resource_name: topic.into(),
        configs: configs.iter().map(config).collect(),
    };
    AlterConfigsRequest { resources: vec![resource], ..AlterConfigsRequest::default() }
}

fn errors(response: Response) -> Vec<i16> {
    match response {
        Response::IncrementalAlterConfigs(response) => {
            response.responses.iter().map(|resource| resource.error_code).collect()
        }
        Response::AlterConfigs(response) => {
            response.responses.iter().map(|resource| resource.error_code).collect()
        }
        other => panic!("another answer: {other:?}"),
    }
}

/// What a topic has set itself.
fn own(h: &Harness, topic: &str) -> Vec<(String, String)> {
    let topic = h.broker.topics().get(topic).unwrap();
    topic.configs.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn configured(h: &Harness) -> usize {
    h.jobs.iter().filter(|job| *job == "Configure").count()
}

#[test]
fn storage_and_the_client_hear_of_a_change_when_it_is_durable() {
    let mut h = Harness::new();
    h.create_topic("t", 3);
    h.hold_syncs = true;
    let id = h.send(set("retention.ms", "1000"));
    h.settle();
    assert!(!h.is_answered(id));
    assert_eq!(configured(&h), 0, "a crash may still take it back");
    h.release_syncs();
    assert_eq!(errors(h.reply(id).unwrap()), [0]);
    assert_eq!(configured(&h), 3, "every partition");
    let topic = h.broker.topics().get("t").unwrap();
    assert_eq!(topic.log_config.retention_ms, 1000);
}

#[test]
fn what_was_changed_and_taken_back_is_known_after_a_restart() {
    let mut h = Harness::new();
    h.create_topic_with("t", &[("retention.ms", "5000"), ("segment.bytes", "1048576")]);
    let taken_back = [(TAKE_BACK, "retention.ms", None), (SET, "cleanup.policy", Some("compact"))];
    assert_eq!(errors(h.ask(changes("t", &taken_back))), [0]);
    let expected = pairs(&[("cleanup.policy", "compact"), ("segment.bytes", "1048576")]);
    assert_eq!(own(&h, "t"), expected);
    h.restart();
    assert_eq!(own(&h, "t"), expected);
    let topic = h.broker.topics().get("t").unwrap();
    assert!(topic.log_config.compact && !topic.log_config.delete);
    assert_eq!(topic.log_config.retention_ms, 7 * 24 * 3_600_000);
}

#[test]
fn a_topic_of_the_same_name_has_none_of_the_old_settings() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    assert_eq!(errors(h.ask(set("retention.ms", "1000"))), [0]);
    let topic = DeleteTopicsRequestTopic { name: Some("t".into()), ..Default::default() };
    h.ask(DeleteTopicsRequest { topics: vec![topic], ..DeleteTopicsRequest::default() });
    h.create_topic("t", 1);
    assert_eq!(own(&h, "t"), []);
    h.restart();
    assert_eq!(own(&h, "t"), []);
}

#[test]
fn alter_configs_takes_back_what_it_does_not_name() {
    let mut h = Harness::new();
    h.create_topic_with("t", &[("retention.ms", "5000"), ("segment.bytes", "1048576")]);
    let wanted = [("retention.ms", Some("6000")), ("max.message.bytes", Some("100"))];
    assert_eq!(errors(h.ask(replacement("t", &wanted))), [0]);
    let expected = pairs(&[("max.message.bytes", "100"), ("retention.ms", "6000")]);
    assert_eq!(own(&h, "t"), expected);
    assert_eq!(errors(h.ask(replacement("t", &[]))), [0]);
    assert_eq!(own(&h, "t"), []);
    h.restart();
    assert_eq!(own(&h, "t"), []);
}

#[test]
fn lists_are_added_to_and_removed_from() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let key = "cleanup.policy";
    for (operation, elements, expected) in [
        (ADD, "compact", "delete,compact"), // the default counts
        (ADD, "compact, delete", "delete,compact"),
        (REMOVE, "delete", "compact"),
        (REMOVE, "delete", "compact"),
    ] {
        assert_eq!(errors(h.ask(changes("t", &[(operation, key, Some(elements))]))), [0]);
        assert_eq!(own(&h, "t"), pairs(&[(key, expected)]), "{operation} {elements}");
    }
}

#[test]
fn what_is_wrong_has_its_name_and_changes_nothing() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let invalid = ErrorCode::InvalidConfig;
    for (changes, expected) in [
        (&[(SET, "retention.ms", Some("soon"))][..], invalid),
        (&[(SET, "retention.ms", Some("1")), (SET, "segment.bytes", Some("x"))], invalid),
        (&[(SET, "no.such.key", Some("1"))], invalid),
        (&[(ADD, "retention.ms", Some("1"))], invalid),
        (&[(REMOVE, "no.such.key", Some("1"))], invalid),
        (&[(ADD, "cleanup.policy", Some("shred"))], invalid),
        (
            &[(SET, "min.compaction.lag.ms", Some("2")), (SET, "max.compaction.lag.ms", Some("1"))],
            invalid,
        ),
        (&[(SET, "retention.ms", None)], ErrorCode::InvalidRequest),
        (&[(4, "retention.ms", Some("1"))], ErrorCode::InvalidRequest),
        (
            &[(SET, "retention.ms", Some("1")), (SET, "retention.ms", Some("2"))],
            ErrorCode::InvalidRequest,
        ),
    ] {
        assert_eq!(errors(h.ask(self::changes("t", changes))), [expected.code()], "{changes:?}");
        assert_eq!(own(&h, "t"), []);
    }
    for (configs, expected) in [
        (&[("retention.ms", None)][..], ErrorCode::InvalidRequest),
        (&[("retention.ms", Some("soon"))], invalid),
        (&[("retention.ms", Some("1")), ("retention.ms", Some("2"))], ErrorCode::InvalidRequest),
    ] {
        assert_eq!(errors(h.ask(replacement("t", configs))), [expected.code()], "{configs:?}");
        assert_eq!(own(&h, "t"), []);
    }
    assert_eq!(configured(&h), 0);
}

#[test]
fn only_topics_of_clients_can_be_changed() {
    let mut h = Harness::new();
    let change = [(SET, "retention.ms", Some("1"))];
    for (kind, name, expected) in [
        (TOPIC, "t", ErrorCode::UnknownTopicOrPartition),
        (TOPIC, "a b", ErrorCode::InvalidTopicException),
        (TOPIC, "", ErrorCode::InvalidRequest),
        (TOPIC, "__consumer_offsets", ErrorCode::InvalidRequest),
        (BROKER, "0", ErrorCode::InvalidRequest),
        (BROKER, "", ErrorCode::InvalidRequest),
        (BROKER, "7", ErrorCode::InvalidRequest),
        (32, "group", ErrorCode::InvalidRequest),
    ] {
        let resources = vec![resource(kind, name, &change)];
        let request = IncrementalAlterConfigsRequest { resources, ..Default::default() };
        assert_eq!(errors(h.ask(request)), [expected.code()], "{kind} {name:?}");
    }
}

#[test]
fn one_refusal_does_not_concern_the_others() {
    let mut h = Harness::new();
    ["a", "b", "c"].iter().for_each(|topic| h.create_topic(topic, 1));
    let change = [(SET, "retention.ms", Some("1000"))];
    let names = ["a", "none", "b", "c", "c"];
    let resources = names.iter().map(|name| resource(TOPIC, name, &change)).collect();
    let request = IncrementalAlterConfigsRequest { resources, ..Default::default() };
    let (unknown, twice) = (ErrorCode::UnknownTopicOrPartition, ErrorCode::InvalidRequest);
    assert_eq!(errors(h.ask(request)), [0, unknown.code(), 0, twice.code(), twice.code()]);
    let expected = pairs(&[("retention.ms", "1000")]);
    assert_eq!((own(&h, "a"), own(&h, "b"), own(&h, "c")), (expected.clone(), expected, vec![]));
}

#[test]
fn validation_changes_nothing() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let request =
        IncrementalAlterConfigsRequest { validate_only: true, ..set("retention.ms", "1000") };
    assert_eq!(errors(h.ask(request)), [0]);
    let wanted = replacement("t", &[("retention.ms", Some("1000"))]);
    assert_eq!(errors(h.ask(AlterConfigsRequest { validate_only: true, ..wanted })), [0]);
    assert_eq!((own(&h, "t"), configured(&h)), (vec![], 0));
}

#[test]
fn storage_hears_only_of_what_concerns_it() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    assert_eq!(errors(h.ask(set("flush.ms", "5"))), [0]);
    assert_eq!(errors(h.ask(set("retention.ms", &(7 * 24 * 3_600_000_i64).to_string()))), [0]);
    assert_eq!(configured(&h), 0, "what holds is what held before");
    assert_eq!(errors(h.ask(set("retention.ms", "1"))), [0]);
    assert_eq!(configured(&h), 1);
}

#[test]
fn a_partition_that_wants_upkeep_with_its_new_settings_gets_it() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    h.ask(produce("t", 0, -1, batch(1)));
    h.advance_ms(60_000);
    assert_eq!(h.upkeeps.len(), 0);
    h.wants(h.id_of("t", 0), Some(0), None);
    assert_eq!(errors(h.ask(set("retention.bytes", "0"))), [0]);
    h.wants(h.id_of("t", 0), None, None);
    h.tick_broker();
    assert_eq!(h.upkeeps.len(), 1);
}

#[test]
fn a_full_disk_refuses_changes() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let disk = Disk { state: DiskState::Spent, free: 0, total: 2, reserve: 1, ballast: 0 };
    h.handle(Event::Outcome(Outcome::Disk(disk)));
    let storage = ErrorCode::KafkaStorageError.code();
    assert_eq!(errors(h.ask(set("retention.ms", "1"))), [storage]);
    assert_eq!(errors(h.ask(replacement("t", &[("retention.ms", Some("1"))]))), [storage]);
    assert_eq!(own(&h, "t"), []);
}

#[test]
fn a_change_waits_for_storage_and_another_for_the_change() {
    let mut h = Harness::new();
    h.create_topic("t", 2);
    let first = h.send(set("retention.ms", "1000"));
    let second = h.send_from(1, set("retention.ms", "2000"));
    while configured(&h) < 2 {
        assert!(h.step());
    }
    assert!(!h.is_answered(first), "storage does not have it yet");
    h.settle();
    assert_eq!(errors(h.reply(first).unwrap()), [0]);
    assert_eq!(errors(h.reply(second).unwrap()), [ErrorCode::RequestTimedOut.code()]);
    assert_eq!(own(&h, "t"), pairs(&[("retention.ms", "1000")]));
    assert_eq!(errors(h.ask(set("retention.ms", "2000"))), [0]);
}

#[test]
fn values_and_reasons_fit_into_every_answer() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let key = "follower.replication.throttled.replicas";
    let list = (0..400_000).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    for operation in [SET, ADD, REMOVE] {
        let response = h.ask(changes("t", &[(operation, key, Some(&list))]));
        assert_eq!(errors(response), [ErrorCode::InvalidConfig.code()], "{operation}");
    }
    let fits = "0:1,".repeat(1_000);
    assert_eq!(errors(h.ask(changes("t", &[(SET, key, Some(&fits))]))), [0]);
    let long = "k".repeat(32_767);
    for (kind, name, key) in
        [(TOPIC, "t", long.as_str()), (BROKER, long.as_str(), "k"), (TOPIC, long.as_str(), "k")]
    {
        let resources = vec![resource(kind, name, &[(SET, key, Some("1"))])];
        let request = IncrementalAlterConfigsRequest { resources, ..Default::default() };
        let Response::IncrementalAlterConfigs(response) = h.ask(request) else { panic!() };
        let said = response.responses[0].error_message.as_ref().unwrap();
        assert!(said.len() < 1_000, "{} bytes", said.len());
    }
}

#[test]
fn keys_of_former_releases_are_accepted_and_forgotten() {
    let mut h = Harness::new();
    let former = ("message.downconversion.enable", "true");
    h.create_topic_with("t", &[former]);
    assert_eq!(errors(h.ask(set(former.0, former.1))), [0]);
    assert_eq!(errors(h.ask(replacement("t", &[(former.0, Some(former.1))]))), [0]);
    assert_eq!(own(&h, "t"), []);
}

#[test]
fn records_go_only_once_it_is_durable_that_the_topic_may_lose_them() {
    let mut h = Harness::new();
    h.create_topic_with("t", &[("cleanup.policy", "compact")]);
    h.ask(produce("t", 0, -1, batch(5)));
    let trims = |h: &Harness| h.jobs.iter().filter(|job| *job == "Trim").count();
    h.hold_syncs = true;
    h.send(set("cleanup.policy", "delete"));
    let partitions = vec![DeleteRecordsRequestPartition { partition_index: 0, offset: -1 }];
    let topics = vec![DeleteRecordsRequestTopic { name: "t".into(), partitions }];
    let id = h.send_from(1, DeleteRecordsRequest { topics, ..DeleteRecordsRequest::default() });
    h.settle();
    assert_eq!(trims(&h), 0, "a power cut may still bring the old policy back");
    h.release_syncs();
    assert_eq!(trims(&h), 1);
    let Response::DeleteRecords(response) = h.reply(id).unwrap() else { panic!() };
    assert_eq!(response.topics[0].partitions[0].low_watermark, 5);
}
