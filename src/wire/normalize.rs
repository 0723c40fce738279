//! What a version means, turned into facts on the request, and what old versions place or name differently in
//! an answer. The broker branches on facts, never on version numbers, and knows each message in its newest shape.

use super::api::{Request, Response};
use super::error_code::ErrorCode;
use super::messages::*;

/// Fills in the facts of a request that was read in this version, and moves what the version places differently.
pub fn normalize_request(request: &mut Request, version: i16) {
    match request {
        Request::Produce(body) => {
            // Kafka answers partition by partition, so a topic without any has no answer; also below.
            body.topic_data.retain(|topic| !topic.partition_data.is_empty());
            body.old_format_allowed = version < 3;
            body.one_batch_per_partition = version >= 3;
            body.understands_zstd = version >= 7;
            body.by_topic_id = version >= 13;
        }
        Request::Fetch(body) => fetch_request(body, version),
        Request::Metadata(body) => {
            body.finds_by_id = version >= 12;
            if version == 0 && body.topics.as_ref().is_some_and(Vec::is_empty) {
                body.topics = None;
            }
        }
        Request::ListOffsets(body) => {
            body.special_timestamp_min = match version {
                ..7 => -2,
                7 => -3,
                8 => -4,
                9..11 => -5,
                11.. => -6,
            };
            body.wants_starts = version < 1;
        }
        Request::OffsetCommit(body) => {
            body.topics.retain(|topic| !topic.partitions.is_empty());
            body.by_topic_id = version >= 10;
        }
        Request::OffsetFetch(body) => offset_fetch_request(body, version),
        Request::FindCoordinator(body) if version < 4 => {
            body.coordinator_keys = vec![std::mem::take(&mut body.key)];
        }
        Request::JoinGroup(body) => {
            body.must_know_member_id = version >= 4;
            body.may_skip_assignment = version >= 9;
            if version < 1 {
                body.rebalance_timeout_ms = body.session_timeout_ms;
            }
        }
        Request::SyncGroup(body) => body.must_name_protocol = version >= 5,
        Request::LeaveGroup(body) if version < 3 => {
            let member_id = std::mem::take(&mut body.member_id);
            body.members = vec![LeaveGroupRequestMember { member_id, ..Default::default() }];
        }
        Request::DeleteTopics(body) if version < 6 => {
            let topic = |name| DeleteTopicsRequestTopic { name: Some(name), ..Default::default() };
            body.topics = std::mem::take(&mut body.topic_names).into_iter().map(topic).collect();
        }
        _ => {}
    }
}

fn fetch_request(body: &mut FetchRequest, version: i16) {
    body.topics.retain(|topic| !topic.partitions.is_empty());
    body.magic_max = match version {
        ..2 => 0,
        2..4 => 1,
        4.. => 2,
    };
    body.strict_byte_limit = version < 3;
    body.understands_zstd = version >= 10;
    body.by_topic_id = version >= 13;
    body.has_sessions = version >= 7;
    if version < 15 {
        body.replica_state.replica_id = std::mem::replace(&mut body.replica_id, -1);
    }
}

fn offset_fetch_request(body: &mut OffsetFetchRequest, version: i16) {
    body.by_topic_id = version >= 10;
    body.errors_per_partition = version < 2;
    if version >= 8 {
        return;
    }
    let topic = |topic: OffsetFetchRequestTopic| OffsetFetchRequestGroupTopic {
        name: topic.name,
        partition_indexes: topic.partition_indexes,
        ..Default::default()
    };
    let topics = body.topics.replace(Vec::new());
    body.groups = vec![OffsetFetchRequestGroup {
        group_id: std::mem::take(&mut body.group_id),
        topics: topics.map(|topics| topics.into_iter().map(topic).collect()),
        ..Default::default()
    }];
}

/// Moves what this version of an answer places differently, and replaces errors that its clients do not know.
pub fn normalize_response(response: &mut Response, version: i16) {
    match response {
        Response::Produce(body) => produce_response(body, version),
        Response::Fetch(body) => fetch_response(body, version),
        Response::ListOffsets(body) => list_offsets_response(body, version),
        Response::Metadata(body) => metadata_response(body, version),
        Response::OffsetCommit(body) if version < 9 => offset_commit_response(body),
        Response::OffsetFetch(body) => offset_fetch_response(body, version),
        Response::FindCoordinator(body) if version < 4 => find_coordinator_response(body),
        Response::LeaveGroup(body) if version < 3 => leave_group_response(body),
        Response::DescribeGroups(body) => describe_groups_response(body, version),
        Response::ApiVersions(body) if version < 4 => {
            body.supported_features.retain(|feature| feature.min_version > 0);
        }
        Response::DeleteTopics(body) if version < 3 => {
            for topic in &mut body.responses {
                let code = &mut topic.error_code;
                replace(code, ErrorCode::TopicDeletionDisabled, ErrorCode::InvalidRequest);
            }
        }
        Response::InitProducerId(body) if version < 4 => {
            replace(
                &mut body.error_code,
                ErrorCode::ProducerFenced,
                ErrorCode::InvalidProducerEpoch,
            );
        }
        Response::DescribeConfigs(body) if version < 1 => describe_configs_response(body),
        _ => {}
    }
}

/// Names an error differently for clients that do not know its name.
fn replace(code: &mut i16, error: ErrorCode, substitute: ErrorCode) {
    if *code == error.code() {
        *code = substitute.code();
    }
}

fn produce_response(body: &mut ProduceResponse, version: i16) {
    if version < 10 {
        body.node_endpoints.clear();
    }
    for partition in body.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses) {
        let code = &mut partition.error_code;
        replace(code, ErrorCode::ProducerFenced, ErrorCode::InvalidProducerEpoch);
        if version < 4 {
            replace(code, ErrorCode::KafkaStorageError, ErrorCode::NotLeaderOrFollower);
        }
        if version < 11 {
            replace(code, ErrorCode::TransactionAbortable, ErrorCode::InvalidTxnState);
        }
        if version < 10 {
            partition.current_leader = ProduceResponseLeader::default();
        }
    }
}

/// A null in the place of records stops some clients, so there is always an empty set.
fn fetch_response(body: &mut FetchResponse, version: i16) {
    if version < 16 {
        body.node_endpoints.clear();
    }
    for partition in body.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
        partition.records.get_or_insert_default();
        if version < 6 {
            let code = &mut partition.error_code;
            replace(code, ErrorCode::KafkaStorageError, ErrorCode::NotLeaderOrFollower);
        }
        if version < 11 {
            partition.preferred_read_replica = -1;
        }
        if version < 12 {
            partition.current_leader = FetchResponseLeader::default();
            partition.diverging_epoch = FetchResponseEpochEndOffset::default();
        }
    }
}

fn list_offsets_response(body: &mut ListOffsetsResponse, version: i16) {
    for partition in body.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        if version < 5 {
            let code = &mut partition.error_code;
            replace(code, ErrorCode::OffsetNotAvailable, ErrorCode::LeaderNotAvailable);
        }
        if version < 4 {
            partition.leader_epoch = -1;
        }
    }
}

fn metadata_response(body: &mut MetadataResponse, version: i16) {
    if version < 6 {
        let topics = body.topics.iter_mut();
        for partition in topics.flat_map(|topic| &mut topic.partitions) {
            let code = &mut partition.error_code;
            replace(code, ErrorCode::ListenerNotFound, ErrorCode::LeaderNotAvailable);
        }
    }
}

fn offset_commit_response(body: &mut OffsetCommitResponse) {
    for partition in body.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        let code = &mut partition.error_code;
        replace(code, ErrorCode::GroupIdNotFound, ErrorCode::IllegalGeneration);
        replace(code, ErrorCode::StaleMemberEpoch, ErrorCode::UnsupportedVersion);
    }
}

/// One group in the place of the list; v0 and v1 have no error of the group, so each partition gets it.
fn offset_fetch_response(body: &mut OffsetFetchResponse, version: i16) {
    if version < 9 {
        for group in &mut body.groups {
            replace(
                &mut group.error_code,
                ErrorCode::StaleMemberEpoch,
                ErrorCode::UnsupportedVersion,
            );
        }
    }
    if version >= 8 {
        return;
    }
    let Some(group) = std::mem::take(&mut body.groups).into_iter().next() else { return };
    let group_error = group.error_code;
    let partition = |partition: OffsetFetchResponseGroupPartition| OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: if version < 2 && group_error != 0 {
            group_error
        } else {
            partition.error_code
        },
    };
    let topic = |topic: OffsetFetchResponseGroupTopic| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(partition).collect(),
    };
    body.error_code = group_error;
    body.topics = group.topics.into_iter().map(topic).collect();
}

fn find_coordinator_response(body: &mut FindCoordinatorResponse) {
    match std::mem::take(&mut body.coordinators).into_iter().next() {
        Some(coordinator) => {
            body.error_code = coordinator.error_code;
            body.error_message = coordinator.error_message;
            body.node_id = coordinator.node_id;
            body.host = coordinator.host;
            body.port = coordinator.port;
        }
        None if body.error_code == 0 => {
            body.error_code = ErrorCode::CoordinatorNotAvailable.code();
            (body.node_id, body.port) = (-1, -1);
        }
        None => {}
    }
}

fn leave_group_response(body: &mut LeaveGroupResponse) {
    let member = std::mem::take(&mut body.members).into_iter().next();
    if let Some(member) = member
        && body.error_code == 0
    {
        body.error_code = member.error_code;
    }
}

/// Before v6 a group that does not exist is one that is dead, and everybody may do with it what they like.
fn describe_groups_response(body: &mut DescribeGroupsResponse, version: i16) {
    for group in &mut body.groups {
        if version >= 6 {
            if group.error_code != 0 {
                group.authorized_operations = i32::MIN;
            }
            continue;
        }
        group.error_message = None;
        if group.error_code == ErrorCode::GroupIdNotFound.code() {
            group.error_code = 0;
            group.group_state = "Dead".to_owned();
        }
    }
}

/// v0 says of a value only whether nobody has set it.
fn describe_configs_response(body: &mut DescribeConfigsResponse) {
    const DEFAULT_CONFIG: i8 = 5;
    for config in body.results.iter_mut().flat_map(|result| &mut result.configs) {
        config.is_default = config.config_source == DEFAULT_CONFIG;
    }
}
