//! Topics and metadata: creation, deletion, and what a client is told about them.
#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod support;

use chronik::base::ids::TopicId;
use chronik::broker::options::{Limits, Options};
use chronik::wire::api::Response;
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::*;
use support::*;

fn create(name: &str, partitions: i32, factor: i16) -> CreateTopicsRequest {
    let topic = CreateTopicsRequestTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: factor,
        ..CreateTopicsRequestTopic::default()
    };
    CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() }
}

fn created(response: Response) -> CreateTopicsResponseTopic {
    let Response::CreateTopics(response) = response else { panic!("another answer") };
    response.topics[0].clone()
}

fn delete(name: &str) -> DeleteTopicsRequest {
    let topic = DeleteTopicsRequestTopic { name: Some(name.into()), ..Default::default() };
    DeleteTopicsRequest { topics: vec![topic], ..DeleteTopicsRequest::default() }
}

fn metadata(names: Option<&[&str]>, create: bool) -> MetadataRequest {
    let topic = |name: &&str| MetadataRequestTopic {
        name: Some((*name).to_owned()),
        ..MetadataRequestTopic::default()
    };
    MetadataRequest {
        topics: names.map(|names| names.iter().map(topic).collect()),
        allow_auto_topic_creation: create,
        ..MetadataRequest::default()
    }
}

fn described(response: Response) -> MetadataResponse {
    let Response::Metadata(response) = response else { panic!("another answer") };
    *response
}

#[test]
fn a_topic_is_announced_only_when_its_record_is_durable() {
    let mut h = Harness::new();
    h.hold_syncs = true;
    let id = h.send(create("t", 2, 1));
    h.settle();
    assert!(!h.is_answered(id));
    assert_eq!(h.jobs.iter().filter(|job| *job == "Open").count(), 1, "no directory before that");
    h.release_syncs();
    let topic = created(h.reply(id).unwrap());
    assert_eq!((topic.error_code, topic.num_partitions, topic.replication_factor), (0, 2, 1));
    assert!(!topic.topic_id.is_zero());
    assert!(topic.configs.unwrap().iter().any(|config| config.name == "cleanup.policy"));
}

#[test]
fn what_is_wrong_with_a_topic_has_its_name() {
    let mut h = Harness::new();
    h.create_topic("a.b", 1);
    let long = "x".repeat(250);
    let cases = [
        ("a.b", 1, 1, ErrorCode::TopicAlreadyExists),
        ("a_b", 1, 1, ErrorCode::InvalidTopicException),
        ("", 1, 1, ErrorCode::InvalidTopicException),
        ("..", 1, 1, ErrorCode::InvalidTopicException),
        ("a/b", 1, 1, ErrorCode::InvalidTopicException),
        ("chronik-marks", 1, 1, ErrorCode::InvalidTopicException),
        (long.as_str(), 1, 1, ErrorCode::InvalidTopicException),
        ("t", 0, 1, ErrorCode::InvalidPartitions),
        ("t", 1, 3, ErrorCode::InvalidReplicationFactor),
        ("t", 1, 0, ErrorCode::InvalidReplicationFactor),
        ("t", i32::MAX, 1, ErrorCode::PolicyViolation),
    ];
    for (name, partitions, factor, expected) in cases {
        let topic = created(h.ask(create(name, partitions, factor)));
        assert_eq!(topic.error_code, expected.code(), "{name:?}");
    }
}

#[test]
fn configurations_are_checked() {
    let mut h = Harness::new();
    for (name, value, expected) in [
        ("retention.ms", Some("soon"), ErrorCode::InvalidConfig),
        ("retention.ms", None, ErrorCode::InvalidConfig),
        ("no.such.key", Some("1"), ErrorCode::InvalidConfig),
        ("cleanup.policy", Some("compact"), ErrorCode::None),
    ] {
        let mut request = create("t", 1, 1);
        let value = value.map(str::to_owned);
        request.topics[0].configs = vec![CreateTopicsRequestConfig { name: name.into(), value }];
        assert_eq!(created(h.ask(request)).error_code, expected.code(), "{name}");
    }
}

#[test]
fn validation_creates_nothing() {
    let mut h = Harness::new();
    let topic = created(h.ask(CreateTopicsRequest { validate_only: true, ..create("t", 1, 1) }));
    assert_eq!(topic.error_code, 0);
    let answer = described(h.ask(metadata(Some(&["t"]), false)));
    assert_eq!(answer.topics[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
}

#[test]
fn metadata_creates_a_topic_and_waits_for_it() {
    let mut h = Harness::new();
    let first = h.send(metadata(Some(&["new"]), true));
    let second = h.send_from(1, metadata(Some(&["new"]), true));
    assert!(!h.is_answered(first));
    h.settle();
    let first = described(h.reply(first).unwrap());
    let second = described(h.reply(second).unwrap());
    assert_eq!(first.topics[0].error_code, 0);
    assert_eq!(first.topics[0].topic_id, second.topics[0].topic_id, "one topic, not two");
    let partition = &first.topics[0].partitions[0];
    assert_eq!((partition.leader_id, &partition.isr_nodes[..]), (0, &[0][..]));
    assert_eq!((first.brokers[0].host.as_str(), first.brokers[0].port), ("broker.example", 9092));
    assert_eq!((first.cluster_id.as_deref(), first.controller_id), (Some("cluster"), 0));
}

#[test]
fn metadata_for_all_lists_all_and_for_none_none() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let all = described(h.ask(metadata(None, true)));
    let names: Vec<_> = all.topics.iter().map(|topic| topic.name.clone().unwrap()).collect();
    assert_eq!(names, ["__consumer_offsets", "t"]);
    assert!(all.topics[0].is_internal && !all.topics[1].is_internal);
    assert_eq!(all.topics[1].topic_authorized_operations, i32::MIN);
    assert!(described(h.ask(metadata(Some(&[]), true))).topics.is_empty());
}

#[test]
fn an_invalid_name_is_refused_and_not_created() {
    let mut h = Harness::new();
    let answer = described(h.ask(metadata(Some(&["a b"]), true)));
    assert_eq!(answer.topics[0].error_code, ErrorCode::InvalidTopicException.code());
    assert_eq!(described(h.ask(metadata(None, true))).topics.len(), 1);
}

#[test]
fn a_deleted_topic_is_gone_and_its_name_free_again() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    h.ask(produce("t", 0, -1, batch(3)));
    let old = described(h.ask(metadata(Some(&["t"]), false))).topics[0].topic_id;
    let id = h.send(delete("t"));
    let early = created(h.ask(create("t", 1, 1)));
    assert!(h.is_answered(id));
    let Response::DeleteTopics(response) = h.reply(id).unwrap() else { panic!() };
    assert_eq!((response.responses[0].error_code, response.responses[0].topic_id), (0, old));
    assert_eq!(early.error_code, ErrorCode::TopicAlreadyExists.code(), "not free while it leaves");
    assert_ne!(created(h.ask(create("t", 1, 1))).topic_id, old);
    assert_eq!(
        fetched(&h.ask(FetchRequest { max_wait_ms: 0, ..fetch("t", 0, 0) })).high_watermark,
        0
    );
    let again = h.ask(delete("t"));
    assert!(matches!(again, Response::DeleteTopics(r) if r.responses[0].error_code == 0));
    let unknown = h.ask(delete("t"));
    let code = ErrorCode::UnknownTopicOrPartition.code();
    assert!(matches!(unknown, Response::DeleteTopics(r) if r.responses[0].error_code == code));
}

#[test]
fn nobody_is_told_that_a_topic_is_gone_before_its_removal_is_durable() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    h.hold_syncs = true;
    h.send(delete("t"));
    let asked = [h.send(metadata(None, false)), h.send(metadata(Some(&["t"]), false))];
    h.settle();
    assert!(asked.iter().all(|id| !h.is_answered(*id)), "a crash may bring it back");
    h.release_syncs();
    let all = described(h.reply(asked[0]).unwrap());
    assert!(all.topics.iter().all(|topic| topic.name.as_deref() != Some("t")));
    let one = described(h.reply(asked[1]).unwrap());
    assert_eq!(one.topics[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
}

#[test]
fn a_waiting_fetch_learns_that_its_topic_is_gone() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let id = h.send_from(1, fetch("t", 0, 0));
    h.ask(delete("t"));
    let response = h.reply(id).expect("told");
    assert_eq!(fetched(&response).error_code, ErrorCode::UnknownTopicOrPartition.code());
}

#[test]
fn the_brokers_own_topic_cannot_be_deleted() {
    let mut h = Harness::new();
    let answer = h.ask(delete("__consumer_offsets"));
    let code = ErrorCode::InvalidRequest.code();
    assert!(matches!(answer, Response::DeleteTopics(r) if r.responses[0].error_code == code));
}

#[test]
fn producer_ids_are_never_given_twice() {
    let mut h = Harness::new();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..2_500 {
        let request = InitProducerIdRequest { transactional_id: None, ..Default::default() };
        let Response::InitProducerId(response) = h.ask(request) else { panic!() };
        assert_eq!((response.error_code, response.producer_epoch), (0, 0));
        assert!(seen.insert(response.producer_id));
    }
    let request =
        InitProducerIdRequest { transactional_id: Some("tx".into()), ..Default::default() };
    let Response::InitProducerId(response) = h.ask(request) else { panic!() };
    assert_eq!(response.error_code, ErrorCode::TransactionalIdAuthorizationFailed.code());
}

#[test]
fn the_brokers_configuration_is_described_with_its_sources() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let resource = |resource_type, name: &str| DescribeConfigsRequestResource {
        resource_type,
        resource_name: name.into(),
        configuration_keys: None,
    };
    let resources = vec![resource(2, "t"), resource(4, "0"), resource(2, "x"), resource(4, "9")];
    let request = DescribeConfigsRequest { resources, ..DescribeConfigsRequest::default() };
    let Response::DescribeConfigs(response) = h.ask(request) else { panic!() };
    let codes: Vec<i16> = response.results.iter().map(|result| result.error_code).collect();
    assert_eq!(codes, [0, 0, 3, 42]);
    let value = |result: usize, key: &str| {
        let configs = &response.results[result].configs;
        configs.iter().find(|config| config.name == key).and_then(|config| config.value.clone())
    };
    assert_eq!(value(0, "cleanup.policy").as_deref(), Some("delete"));
    assert_eq!(value(1, "default.replication.factor").as_deref(), Some("1"));
}

#[test]
fn the_name_of_a_deleted_topic_is_free_after_a_restart() {
    let mut h = Harness::new();
    h.create_topic("t", 2);
    h.ask(delete("t"));
    h.restart();
    h.create_topic("t", 1);
    assert_eq!(h.broker.topics().removed().count(), 0, "what is gone is not remembered for ever");
}

#[test]
fn what_is_asked_for_twice_is_answered_once() {
    let mut h = Harness::new();
    h.create_topic("t", 50);
    let many: Vec<&str> = ["t"; 1_000].into_iter().chain(["u", "t", "u"]).collect();
    let answer = described(h.ask(metadata(Some(&many), false)));
    let names: Vec<_> = answer.topics.iter().map(|topic| topic.name.clone().unwrap()).collect();
    assert_eq!(names, ["t", "u"]);
    let resource = DescribeConfigsRequestResource {
        resource_type: 2,
        resource_name: "t".into(),
        ..DescribeConfigsRequestResource::default()
    };
    let resources = vec![resource; 1_000];
    let request = DescribeConfigsRequest { resources, ..DescribeConfigsRequest::default() };
    let Response::DescribeConfigs(answer) = h.ask(request) else { panic!() };
    assert_eq!(answer.results.len(), 1);
}

#[test]
fn a_large_request_costs_no_more_than_its_size() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let topic = |name: String| CreateTopicsRequestTopic {
        name,
        num_partitions: 1,
        replication_factor: 9,
        ..CreateTopicsRequestTopic::default()
    };
    let topics = (0..50_000).map(|n| topic(format!("t{n}"))).chain([topic("t7".into())]).collect();
    let request = CreateTopicsRequest { topics, ..CreateTopicsRequest::default() };
    let Response::CreateTopics(answer) = h.ask(request) else { panic!() };
    let twice = answer.topics.iter().filter(|topic| topic.name == "t7");
    assert!(twice.clone().all(|topic| topic.error_code == ErrorCode::InvalidRequest.code()));
    assert_eq!((twice.count(), answer.topics.len()), (1, 50_000));
}

#[test]
fn a_topic_named_twice_is_answered_once_and_not_created() {
    let mut h = Harness::new();
    let mut request = create("twice", 1, 1);
    request.topics.extend(create("once", 1, 1).topics);
    request.topics.extend(create("twice", 1, 1).topics);
    let Response::CreateTopics(response) = h.ask(request) else { panic!() };
    let codes: Vec<(&str, i16)> =
        response.topics.iter().map(|topic| (topic.name.as_str(), topic.error_code)).collect();
    assert_eq!(codes, [("twice", ErrorCode::InvalidRequest.code()), ("once", 0)]);
}

#[test]
fn what_is_wrong_first_is_said_first() {
    let mut h = Harness::new();
    for (name, partitions, factor, expected) in [
        ("t", 0, 0, ErrorCode::InvalidReplicationFactor),
        ("t", 0, 3, ErrorCode::InvalidPartitions),
        ("__cluster_metadata", 1, 1, ErrorCode::InvalidRequest),
    ] {
        let topic = created(h.ask(create(name, partitions, factor)));
        assert_eq!(topic.error_code, expected.code(), "{name} {partitions} {factor}");
    }
}

#[test]
fn configurations_are_checked_together() {
    let mut h = Harness::new();
    for configs in [
        vec![("min.compaction.lag.ms", "2"), ("max.compaction.lag.ms", "1")],
        vec![("remote.storage.enable", "true")],
    ] {
        let mut request = create("t", 1, 1);
        let config = |(name, value): &(&str, &str)| CreateTopicsRequestConfig {
            name: (*name).into(),
            value: Some((*value).into()),
        };
        request.topics[0].configs = configs.iter().map(config).collect();
        let code = created(h.ask(request)).error_code;
        assert_eq!(code, ErrorCode::InvalidConfig.code(), "{configs:?}");
    }
}

fn deleted(h: &mut Harness, topics: &[(Option<&str>, TopicId)]) -> Vec<i16> {
    let topic = |(name, topic_id): &(Option<&str>, TopicId)| DeleteTopicsRequestTopic {
        name: name.map(str::to_owned),
        topic_id: *topic_id,
    };
    let topics = topics.iter().map(topic).collect();
    let request = DeleteTopicsRequest { topics, ..DeleteTopicsRequest::default() };
    let Response::DeleteTopics(response) = h.ask(request) else { panic!() };
    response.responses.iter().map(|answer| answer.error_code).collect()
}

#[test]
fn a_deletion_names_each_topic_once_and_in_one_way() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let id = h.broker.topics().get("t").unwrap().id;
    let wrong = vec![ErrorCode::InvalidRequest.code()];
    assert_eq!(deleted(&mut h, &[(None, TopicId::ZERO)]), wrong);
    assert_eq!(deleted(&mut h, &[(Some("t"), id)]), wrong);
    assert_eq!(deleted(&mut h, &[(None, id), (None, id)]), wrong);
    assert_eq!(deleted(&mut h, &[(Some("t"), TopicId::ZERO), (None, id)]), wrong);
    assert_eq!(deleted(&mut h, &[(Some("t"), TopicId::ZERO), (Some("t"), TopicId::ZERO)]), wrong);
    assert!(h.broker.topics().get("t").is_some());
    assert_eq!(deleted(&mut h, &[(None, id)]), [0]);
}

#[test]
fn a_version_that_finds_no_ids_refuses_them() {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let id = h.broker.topics().get("t").unwrap().id;
    let by_id = MetadataRequestTopic { topic_id: id, name: None };
    let request = MetadataRequest {
        topics: Some(vec![by_id]),
        finds_by_id: false,
        ..MetadataRequest::default()
    };
    let answer = described(h.ask(request.clone()));
    assert_eq!(answer.topics[0].error_code, ErrorCode::InvalidRequest.code());
    assert!(answer.brokers.is_empty());
    let answer = described(h.ask(MetadataRequest { finds_by_id: true, ..request }));
    assert_eq!(answer.topics[0].error_code, 0);
}

#[test]
fn only_questions_about_brokers_are_answered() {
    let mut h = Harness::new();
    for (endpoint_type, expected) in [
        (1, ErrorCode::None),
        (2, ErrorCode::MismatchedEndpointType),
        (3, ErrorCode::UnsupportedEndpointType),
    ] {
        let request = DescribeClusterRequest { endpoint_type, ..DescribeClusterRequest::default() };
        let Response::DescribeCluster(answer) = h.ask(request) else { panic!() };
        assert_eq!((answer.error_code, answer.endpoint_type), (expected.code(), 1));
    }
}

#[test]
fn a_client_that_means_another_cluster_is_told_so_and_nothing_else() {
    let mut h = Harness::new();
    for (cluster, node_id, expected) in [
        (None, -1, ErrorCode::None),
        (Some("cluster"), 0, ErrorCode::None),
        (Some("cluster"), 7, ErrorCode::RebootstrapRequired),
        (Some("other"), 0, ErrorCode::RebootstrapRequired),
        (Some("cluster"), -1, ErrorCode::InvalidRequest),
        (None, 0, ErrorCode::InvalidRequest),
    ] {
        let cluster_id = cluster.map(str::to_owned);
        let request = ApiVersionsRequest { cluster_id, node_id, ..ApiVersionsRequest::default() };
        let Response::ApiVersions(answer) = h.ask(request) else { panic!() };
        assert_eq!(answer.error_code, expected.code(), "{cluster:?} {node_id}");
        assert_eq!(answer.api_keys.is_empty(), expected != ErrorCode::None);
    }
}

#[test]
fn half_a_claim_to_a_producer_id_is_an_error() {
    let mut h = Harness::new();
    for (producer_id, producer_epoch, expected) in [
        (-1, -1, ErrorCode::None),
        (5, 0, ErrorCode::None),
        (5, -1, ErrorCode::InvalidRequest),
        (-1, 0, ErrorCode::InvalidRequest),
    ] {
        let request = InitProducerIdRequest {
            transactional_id: None,
            producer_id,
            producer_epoch,
            ..InitProducerIdRequest::default()
        };
        let Response::InitProducerId(answer) = h.ask(request) else { panic!() };
        assert_eq!(answer.error_code, expected.code(), "{producer_id} {producer_epoch}");
    }
}

#[test]
fn settings_are_described_as_kafka_describes_them() {
    let mut h = Harness::new();
    let mut request = create("t", 1, 1);
    let value = Some(" 7000 ".into());
    request.topics[0].configs =
        vec![CreateTopicsRequestConfig { name: "max.message.bytes".into(), value }];
    assert_eq!(created(h.ask(request)).error_code, 0);
    let resource = |name: &str| DescribeConfigsRequestResource {
        resource_type: 2,
        resource_name: name.into(),
        configuration_keys: None,
    };
    let resources = vec![resource("t"), resource("a b"), resource("")];
    let request = DescribeConfigsRequest {
        resources,
        include_synonyms: true,
        ..DescribeConfigsRequest::default()
    };
    let Response::DescribeConfigs(answer) = h.ask(request) else { panic!() };
    let codes: Vec<i16> = answer.results.iter().map(|result| result.error_code).collect();
    assert_eq!(codes, [0, 17, 17]);
    assert_eq!(answer.results[0].error_message.as_deref(), Some(""));
    let config = |key: &str| {
        answer.results[0].configs.iter().find(|config| config.name == key).unwrap().clone()
    };
    assert_eq!(config("max.message.bytes").value.as_deref(), Some("7000"), "without spaces");
    assert!(config("retention.ms").synonyms.is_empty(), "the strongest key has no default");
    assert_eq!(config("cleanup.policy").synonyms[0].name, "log.cleanup.policy");
}

#[test]
fn what_others_made_or_deleted_is_told_only_when_it_is_durable() {
    let mut h = Harness::new();
    h.hold_syncs = true;
    let made = h.send(create("t", 1, 1));
    let exists = h.send_from(1, create("t", 1, 1));
    h.settle();
    assert!(!h.is_answered(made) && !h.is_answered(exists));
    h.release_syncs();
    assert!(h.is_answered(made));
    let answer = created(h.reply(exists).unwrap());
    assert_eq!(answer.error_code, ErrorCode::TopicAlreadyExists.code());
    h.hold_syncs = true;
    let gone = h.send(delete("t"));
    let unknown = h.send_from(1, delete("t"));
    h.settle();
    assert!(!h.is_answered(gone) && !h.is_answered(unknown));
    h.release_syncs();
    assert!(h.is_answered(gone) && h.is_answered(unknown));
}

#[test]
fn configurations_beyond_what_one_answer_may_hold_are_refused_by_name() {
    let limits = Limits { described_bytes: 8_000, ..Limits::default() };
    let mut h = Harness::with(Options { limits, ..Options::default() });
    let names: Vec<String> = (0..10).map(|number| format!("t{number}")).collect();
    names.iter().for_each(|name| h.create_topic(name, 1));
    let resource = |name: &String| DescribeConfigsRequestResource {
        resource_type: 2,
        resource_name: name.clone(),
        ..DescribeConfigsRequestResource::default()
    };
    let resources = names.iter().map(resource).collect();
    let request = DescribeConfigsRequest { resources, ..DescribeConfigsRequest::default() };
    let Response::DescribeConfigs(answer) = h.ask(request) else { panic!() };
    let (told, refused) = answer.results.split_at(2);
    assert!(told.iter().all(|result| result.error_code == 0 && !result.configs.is_empty()));
    let invalid = ErrorCode::InvalidRequest.code();
    assert!(refused[2..].iter().all(|r| r.error_code == invalid && r.configs.is_empty()));
}
