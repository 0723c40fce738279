//! The client's side of [`normalize`](super::normalize): requests in their newest shape are written in old
//! versions, and old answers are read into the newest shape. For the benchmark, for tests and for an uplink.

use super::api::{Request, Response};
use super::messages::*;

/// Moves what the newest shape of a request places differently from this version. What the version cannot say
/// stays where it is and fails in writing.
pub fn lower_request(request: &mut Request, version: i16) {
    match request {
        Request::Fetch(body) if version < 15 => {
            body.replica_id = std::mem::replace(&mut body.replica_state.replica_id, -1);
        }
        Request::OffsetFetch(body) if version < 8 => offset_fetch_request(body),
        Request::FindCoordinator(body) if version < 4 && body.coordinator_keys.len() == 1 => {
            body.key = body.coordinator_keys.pop().unwrap_or_default();
        }
        Request::LeaveGroup(body) if version < 3 => leave_group_request(body),
        Request::DeleteTopics(body) if version < 6 => delete_topics_request(body),
        _ => {}
    }
}

fn offset_fetch_request(body: &mut OffsetFetchRequest) {
    if body.groups.len() != 1 {
        return;
    }
    let Some(group) = body.groups.pop() else { return };
    let topic = |topic: OffsetFetchRequestGroupTopic| OffsetFetchRequestTopic {
        name: topic.name,
        partition_indexes: topic.partition_indexes,
    };
    body.group_id = group.group_id;
    body.topics = group.topics.map(|topics| topics.into_iter().map(topic).collect());
}

fn leave_group_request(body: &mut LeaveGroupRequest) {
    match body.members.as_slice() {
        [member] if member.group_instance_id.is_none() => {
            body.member_id.clone_from(&member.member_id);
            body.members.clear();
        }
        _ => {}
    }
}

fn delete_topics_request(body: &mut DeleteTopicsRequest) {
    if body.topics.iter().all(|topic| topic.name.is_some()) {
        let topics = std::mem::take(&mut body.topics).into_iter();
        body.topic_names = topics.filter_map(|topic| topic.name).collect();
    }
}

/// Moves what this version of an answer places differently from the newest shape.
pub fn raise_response(response: &mut Response, version: i16) {
    match response {
        Response::OffsetFetch(body) if version < 8 => offset_fetch_response(body),
        Response::FindCoordinator(body) if version < 4 => {
            body.coordinators = vec![FindCoordinatorResponseCoordinator {
                key: String::new(),
                node_id: std::mem::take(&mut body.node_id),
                host: std::mem::take(&mut body.host),
                port: std::mem::take(&mut body.port),
                error_code: std::mem::take(&mut body.error_code),
                error_message: std::mem::take(&mut body.error_message),
            }];
        }
        Response::DescribeConfigs(body) if version < 1 => describe_configs_response(body),
        _ => {}
    }
}

fn offset_fetch_response(body: &mut OffsetFetchResponse) {
    let partition = |partition: OffsetFetchResponsePartition| OffsetFetchResponseGroupPartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
    };
    let topic = |topic: OffsetFetchResponseTopic| OffsetFetchResponseGroupTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(partition).collect(),
        ..Default::default()
    };
    body.groups = vec![OffsetFetchResponseGroup {
        group_id: String::new(),
        topics: std::mem::take(&mut body.topics).into_iter().map(topic).collect(),
        error_code: std::mem::take(&mut body.error_code),
    }];
}

/// v0 says only whether nobody has set a value; who else did follows from what it belongs to.
fn describe_configs_response(body: &mut DescribeConfigsResponse) {
    const TOPIC: i8 = 2;
    const BROKER: i8 = 4;
    for result in &mut body.results {
        let set_by = match result.resource_type {
            TOPIC => 1,
            BROKER => 4,
            _ => -1,
        };
        for config in &mut result.configs {
            let is_default = std::mem::take(&mut config.is_default);
            config.config_source = if is_default { 5 } else { set_by };
        }
    }
}
