//! What a version means reaches the broker as facts, and what an old version says differently is said differently.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]
#![expect(dead_code, reason = "the support is shared with tests that use more of it")]

mod wire_support;

use chronik::base::payload::Bytes;
use chronik::wire::api::{ApiKey, Request, Response, decode_response_plain, encode_response};
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::*;
use chronik::wire::normalize::normalize_request;
use wire_support::without_length;

/// Kafka's own list, printed from its `Errors` class.
#[test]
fn error_codes_are_kafkas() {
    let mut count = 0;
    for line in include_str!("data/error_codes.tsv").lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let code: i16 = fields[0].parse().unwrap();
        let error = ErrorCode::from_code(code).unwrap_or_else(|| panic!("{line} is missing"));
        assert_eq!((error.code(), error.name()), (code, fields[1]));
        assert_eq!(error.retriable(), fields[2] == "true", "{error}");
        count += 1;
    }
    assert_eq!(count, ErrorCode::ALL.len());
}

fn normalized<T>(request: impl Into<Request>, version: i16, body: fn(Request) -> Option<T>) -> T {
    let mut request = request.into();
    normalize_request(&mut request, version);
    body(request).unwrap()
}

/// Sends an answer and reads what stands on the wire.
fn sent(response: impl Into<Response>, version: i16) -> Response {
    let response = response.into();
    let api = response.api();
    let frame = without_length(encode_response(response, version, 1).unwrap());
    decode_response_plain(&Bytes::from_vec(frame), api, version).unwrap().1
}

macro_rules! body {
    ($enum:ident::$variant:ident) => {
        |whole| match whole {
            $enum::$variant(body) => Some(*body),
            _ => None,
        }
    };
}

macro_rules! sent_body {
    ($variant:ident, $response:expr, $version:expr) => {
        match sent($response, $version) {
            Response::$variant(body) => *body,
            other => panic!("{other:?}"),
        }
    };
}

#[test]
fn metadata_v0_means_every_topic_with_an_empty_list() {
    let topics = |version, topics| {
        let request = MetadataRequest { topics, ..Default::default() };
        normalized(request, version, body!(Request::Metadata)).topics
    };
    assert_eq!(topics(0, Some(vec![])), None);
    assert_eq!(topics(1, Some(vec![])), Some(vec![]));
    assert_eq!(topics(1, None), None);
}

#[test]
fn produce_facts_follow_the_version() {
    let facts = |version| {
        let body = normalized(ProduceRequest::default(), version, body!(Request::Produce));
        (
            body.old_format_allowed,
            body.one_batch_per_partition,
            body.understands_zstd,
            body.by_topic_id,
        )
    };
    assert_eq!(facts(0), (true, false, false, false));
    assert_eq!(facts(2), (true, false, false, false));
    assert_eq!(facts(3), (false, true, false, false));
    assert_eq!(facts(7), (false, true, true, false));
    assert_eq!(facts(12), (false, true, true, false));
    assert_eq!(facts(13), (false, true, true, true));
}

#[test]
fn fetch_facts_follow_the_version() {
    let facts = |version| {
        let body = normalized(FetchRequest::default(), version, body!(Request::Fetch));
        (
            body.magic_max,
            body.strict_byte_limit,
            body.understands_zstd,
            body.by_topic_id,
            body.has_sessions,
        )
    };
    assert_eq!(facts(0), (0, true, false, false, false));
    assert_eq!(facts(1), (0, true, false, false, false));
    assert_eq!(facts(2), (1, true, false, false, false));
    assert_eq!(facts(3), (1, false, false, false, false));
    assert_eq!(facts(4), (2, false, false, false, false));
    assert_eq!(facts(7), (2, false, false, false, true));
    assert_eq!(facts(10), (2, false, true, false, true));
    assert_eq!(facts(13), (2, false, true, true, true));
}

#[test]
fn a_join_without_a_rebalance_timeout_takes_the_session_timeout() {
    let request = JoinGroupRequest { session_timeout_ms: 6000, ..Default::default() };
    let join = |version| normalized(request.clone(), version, body!(Request::JoinGroup));
    assert_eq!(join(0).rebalance_timeout_ms, 6000);
    assert_eq!(join(1).rebalance_timeout_ms, -1);
    assert!(!join(3).must_know_member_id && join(4).must_know_member_id);
    assert!(!join(8).may_skip_assignment && join(9).may_skip_assignment);
    let sync =
        |version| normalized(SyncGroupRequest::default(), version, body!(Request::SyncGroup));
    assert!(!sync(4).must_name_protocol && sync(5).must_name_protocol);
}

#[test]
fn one_group_one_member_and_names_become_lists() {
    let name = || "name".to_owned();
    let request = OffsetFetchRequest { group_id: name(), topics: None, ..Default::default() };
    let fetch = normalized(request, 7, body!(Request::OffsetFetch));
    assert_eq!((fetch.groups.len(), &fetch.groups[0].topics), (1, &None));
    assert_eq!(fetch.groups[0].group_id, "name");
    let request = FindCoordinatorRequest { key: name(), ..Default::default() };
    assert_eq!(normalized(request, 3, body!(Request::FindCoordinator)).coordinator_keys, ["name"]);
    let request = LeaveGroupRequest { member_id: name(), ..Default::default() };
    assert_eq!(normalized(request, 2, body!(Request::LeaveGroup)).members[0].member_id, "name");
    let request = DeleteTopicsRequest { topic_names: vec![name()], ..Default::default() };
    let topics = normalized(request, 5, body!(Request::DeleteTopics)).topics;
    assert_eq!(topics[0].name.as_deref(), Some("name"));
}

#[test]
fn a_replica_is_named_in_one_place() {
    let request = FetchRequest { replica_id: 3, ..Default::default() };
    let fetch = normalized(request, 14, body!(Request::Fetch));
    assert_eq!((fetch.replica_id, fetch.replica_state.replica_id), (-1, 3));
}

#[test]
fn list_offsets_v0_wants_a_list_of_starts() {
    for (version, wants_starts) in [(0, true), (1, false), (11, false)] {
        let request = ListOffsetsRequest::default();
        let body = normalized(request, version, body!(Request::ListOffsets));
        assert_eq!(body.wants_starts, wants_starts, "v{version}");
    }
}

#[test]
fn offset_fetch_v1_has_the_groups_error_in_each_partition() {
    let partition =
        OffsetFetchResponseGroupPartition { committed_offset: -1, ..Default::default() };
    let topic = OffsetFetchResponseGroupTopic { partitions: vec![partition], ..Default::default() };
    let error_code = ErrorCode::NotCoordinator.code();
    let group = OffsetFetchResponseGroup { topics: vec![topic], error_code, ..Default::default() };
    let response = OffsetFetchResponse { groups: vec![group], ..Default::default() };
    let v1 = sent_body!(OffsetFetch, response.clone(), 1);
    assert_eq!(v1.topics[0].partitions[0].error_code, error_code);
    let v2 = sent_body!(OffsetFetch, response.clone(), 2);
    assert_eq!((v2.topics[0].partitions[0].error_code, v2.error_code), (0, error_code));
    assert_eq!(sent_body!(OffsetFetch, response, 8).groups[0].error_code, error_code);
}

#[test]
fn find_coordinator_v3_answers_for_one_key() {
    let coordinator = FindCoordinatorResponseCoordinator {
        node_id: 4,
        host: "here".to_owned(),
        port: 9092,
        ..Default::default()
    };
    let response =
        FindCoordinatorResponse { coordinators: vec![coordinator], ..Default::default() };
    let v0 = sent_body!(FindCoordinator, response, 0);
    assert_eq!((v0.node_id, &*v0.host, v0.port), (4, "here", 9092));
}

#[test]
fn a_group_that_is_not_there_is_dead_before_v6() {
    let error_code = ErrorCode::GroupIdNotFound.code();
    let group = DescribeGroupsResponseGroup {
        error_code,
        error_message: Some("no such group".to_owned()),
        ..Default::default()
    };
    let response = DescribeGroupsResponse { groups: vec![group], ..Default::default() };
    let v5 = sent_body!(DescribeGroups, response.clone(), 5);
    assert_eq!((v5.groups[0].error_code, &*v5.groups[0].group_state), (0, "Dead"));
    assert_eq!(sent_body!(DescribeGroups, response, 6).groups[0].error_code, error_code);
}

#[test]
fn features_with_minimum_zero_are_left_out_before_v4() {
    let feature = |min_version| SupportedFeatureKey { min_version, ..Default::default() };
    let supported_features = vec![feature(0), feature(1)];
    let response = ApiVersionsResponse { supported_features, ..Default::default() };
    assert_eq!(sent_body!(ApiVersions, response.clone(), 3).supported_features, [feature(1)]);
    assert_eq!(sent_body!(ApiVersions, response, 4).supported_features.len(), 2);
}

#[test]
fn a_fenced_producer_has_an_old_epoch_before_v4() {
    let error_code = ErrorCode::ProducerFenced.code();
    let response = InitProducerIdResponse { error_code, ..Default::default() };
    let code = |version| sent_body!(InitProducerId, response.clone(), version).error_code;
    assert_eq!(code(3), ErrorCode::InvalidProducerEpoch.code());
    assert_eq!(code(4), error_code);
}

#[test]
fn a_failed_disk_is_another_leader_to_clients_that_do_not_know_it() {
    let error_code = ErrorCode::KafkaStorageError.code();
    let partition = FetchResponsePartition { error_code, ..Default::default() };
    let topic = FetchResponseTopic { partitions: vec![partition], ..Default::default() };
    let response = FetchResponse { responses: vec![topic], ..Default::default() };
    let code = |version| {
        sent_body!(Fetch, response.clone(), version).responses[0].partitions[0].error_code
    };
    assert_eq!((code(5), code(6)), (ErrorCode::NotLeaderOrFollower.code(), error_code));
    let partition = ProduceResponsePartition { error_code, ..Default::default() };
    let topic = ProduceResponseTopic { partition_responses: vec![partition], ..Default::default() };
    let response = ProduceResponse { responses: vec![topic], ..Default::default() };
    let code = |version| {
        sent_body!(Produce, response.clone(), version).responses[0].partition_responses[0]
            .error_code
    };
    assert_eq!((code(3), code(4)), (ErrorCode::NotLeaderOrFollower.code(), error_code));
}

/// librdkafka takes a null for a broken answer.
#[test]
fn fetched_records_are_never_null() {
    for version in ApiKey::Fetch.versions() {
        let topic =
            FetchResponseTopic { partitions: vec![Default::default()], ..Default::default() };
        let response = FetchResponse { responses: vec![topic], ..Default::default() };
        let sent = sent_body!(Fetch, response, version);
        assert!(sent.responses[0].partitions[0].records.is_some(), "v{version}");
    }
}

#[test]
fn describe_configs_v0_says_only_whether_a_value_is_the_default() {
    let config =
        |config_source| DescribeConfigsResponseConfig { config_source, ..Default::default() };
    let result =
        DescribeConfigsResponseResult { configs: vec![config(5), config(1)], ..Default::default() };
    let response = DescribeConfigsResponse { results: vec![result], ..Default::default() };
    let sent = sent_body!(DescribeConfigs, response, 0);
    let is_default: Vec<bool> = sent.results[0].configs.iter().map(|c| c.is_default).collect();
    assert_eq!(is_default, [true, false]);
}
