//! Metadata (key 3) and DescribeCluster (key 60): who serves what.
//!
//! Metadata for an unknown topic creates it where both sides allow that. The answer then waits for the topic, so that
//! the client's first record finds it: a fresh topic costs one round trip, not a series of retries.

use std::collections::{BTreeMap, BTreeSet};

use super::context::Context;
use super::event::{Client, RequestId};
use super::journal::Position;
use super::partition::{Partition, PartitionState};
use super::topic_plan::check_name;
use super::topic_table::{Topic, TopicTable, is_internal};
use super::topics::Topics;
use crate::base::ids::{ConnId, TopicId};
use crate::base::planted::{Bug, is_planted};
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::{
    DescribeClusterRequest, DescribeClusterResponse, DescribeClusterResponseBroker,
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};

/// Operations on a topic (KIP-430), as bits: read, write, create, delete, alter, describe, describe and alter
/// configurations. Without authorization, everybody may do all.
const TOPIC_OPERATIONS: i32 =
    1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;
/// Operations on the cluster: create, alter, describe, cluster action, configurations, idempotent write.
const CLUSTER_OPERATIONS: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;
/// A question about the brokers, not the controllers (KIP-919).
const ENDPOINT_BROKERS: i8 = 1;
/// A question about the controllers.
const ENDPOINT_CONTROLLERS: i8 = 2;

/// Requests that wait for topics being created.
#[derive(Debug, Default)]
pub struct Metadata {
    pending: BTreeMap<RequestId, Pending>,
}

#[derive(Debug)]
struct Pending {
    client: Client,
    request: Box<MetadataRequest>,
    awaited: BTreeSet<TopicId>,
}

impl Metadata {
    /// A client asks for brokers and topics.
    pub fn handle(
        &mut self,
        ctx: &mut Context<'_>,
        table: &mut TopicTable,
        topics: &mut Topics,
        asked: (RequestId, Client),
        request: Box<MetadataRequest>,
    ) {
        let (id, client) = asked;
        if !request.finds_by_id && request.topics.iter().flatten().any(needs_id) {
            return ctx.reply(id, refuse_ids(&request));
        }
        if request.allow_auto_topic_creation && ctx.options.auto_create_topics {
            for wanted in request.topics.iter().flatten() {
                create_if_unknown(ctx, table, topics, wanted);
            }
        }
        let wanted = request.topics.iter().flatten();
        let awaited: BTreeSet<TopicId> = wanted
            .filter_map(|topic| find(table, topic).ok())
            .filter(|topic| !topic.is_made)
            .map(|topic| topic.id)
            .collect();
        if awaited.is_empty() {
            answer(ctx, table, id, &client, &request);
        } else {
            self.pending.insert(id, Pending { client, request, awaited });
        }
    }

    /// A topic has its directories, or will not have them: answers those who waited for it last.
    pub fn topic_ready(&mut self, ctx: &mut Context<'_>, table: &TopicTable, topic: TopicId) {
        let mut ready = Vec::new();
        for (id, pending) in &mut self.pending {
            if pending.awaited.remove(&topic) && pending.awaited.is_empty() {
                ready.push(*id);
            }
        }
        for id in ready {
            if let Some(Pending { client, request, .. }) = self.pending.remove(&id) {
                answer(ctx, table, id, &client, &request);
            }
        }
    }

    /// A connection is gone.
    pub fn disconnected(&mut self, conn: ConnId) {
        self.pending.retain(|id, _| id.conn != conn);
    }
}

/// Whether a topic is meant by its id, or by neither id nor name.
fn needs_id(wanted: &MetadataRequestTopic) -> bool {
    wanted.name.is_none() || !wanted.topic_id.is_zero()
}

/// Versions 10 and 11 have a place for ids, and Kafka refuses whoever uses it.
fn refuse_ids(request: &MetadataRequest) -> MetadataResponse {
    let topic = |wanted: &MetadataRequestTopic| MetadataResponseTopic {
        error_code: ErrorCode::InvalidRequest.code(),
        name: Some(wanted.name.clone().unwrap_or_default()),
        topic_id: wanted.topic_id,
        ..MetadataResponseTopic::default()
    };
    MetadataResponse {
        topics: request.topics.iter().flatten().map(topic).collect(),
        ..MetadataResponse::default()
    }
}

fn create_if_unknown(
    ctx: &mut Context<'_>,
    table: &mut TopicTable,
    topics: &mut Topics,
    wanted: &MetadataRequestTopic,
) {
    let Some(name) = wanted.name.as_deref().filter(|_| wanted.topic_id.is_zero()) else { return };
    if table.get(name).is_none() && !is_internal(name) {
        // What forbids it is found again, and reported, when the topic is looked up.
        let _ = topics.create_automatically(ctx, table, name);
    }
}

fn find<'t>(table: &'t TopicTable, wanted: &MetadataRequestTopic) -> Result<&'t Topic, ErrorCode> {
    if !wanted.topic_id.is_zero() {
        return table.by_id(wanted.topic_id).ok_or(ErrorCode::UnknownTopicId);
    }
    let name = wanted.name.as_deref().unwrap_or_default();
    match table.get(name) {
        Some(topic) => Ok(topic),
        None if check_name(table, name).is_err() => Err(ErrorCode::InvalidTopicException),
        None => Err(ErrorCode::UnknownTopicOrPartition),
    }
}

fn answer(
    ctx: &mut Context<'_>,
    table: &TopicTable,
    id: RequestId,
    client: &Client,
    request: &MetadataRequest,
) {
    // That a topic is not there is news, too.
    let early = is_planted(Bug::GoneBeforeRecorded);
    let mut position = if early { Position::default() } else { table.removal() };
    let mut describe = |topic: &Topic| {
        position = position.max(topic.position);
        let described = describe_topic(ctx, topic);
        let operations = request.include_topic_authorized_operations;
        MetadataResponseTopic {
            topic_authorized_operations: if operations { TOPIC_OPERATIONS } else { i32::MIN },
            ..described
        }
    };
    let topics = match &request.topics {
        None => table.iter().map(&mut describe).collect(),
        Some(wanted) => wanted
            .iter()
            .map(|wanted| match find(table, wanted) {
                Ok(topic) => describe(topic),
                Err(error) => MetadataResponseTopic {
                    error_code: error.code(),
                    is_internal: wanted.name.as_deref().is_some_and(is_internal),
                    name: wanted.name.clone(),
                    topic_id: wanted.topic_id,
                    ..MetadataResponseTopic::default()
                },
            })
            .collect(),
    };
    let (host, port) = client.broker_address();
    let node_id = ctx.options.node_id;
    let operations = request.include_cluster_authorized_operations;
    let response = MetadataResponse {
        brokers: vec![MetadataResponseBroker { node_id, host, port, rack: None }],
        cluster_id: Some(ctx.options.cluster_id.clone()),
        controller_id: node_id,
        topics,
        cluster_authorized_operations: if operations { CLUSTER_OPERATIONS } else { i32::MIN },
        ..MetadataResponse::default()
    };
    ctx.reply_after(position, id, response);
}

fn describe_topic(ctx: &Context<'_>, topic: &Topic) -> MetadataResponseTopic {
    let describe = |(index, partition): (i32, &Partition)| {
        let error = match partition.state {
            PartitionState::Online => ErrorCode::None,
            PartitionState::Opening => ErrorCode::LeaderNotAvailable,
            PartitionState::Offline(_) => ErrorCode::KafkaStorageError,
        };
        let node_id = ctx.options.node_id;
        MetadataResponsePartition {
            error_code: error.code(),
            partition_index: index,
            leader_id: node_id,
            leader_epoch: ctx.journal.leader_epoch(),
            replica_nodes: vec![node_id],
            isr_nodes: vec![node_id],
            offline_replicas: if error == ErrorCode::KafkaStorageError {
                vec![node_id]
            } else {
                vec![]
            },
        }
    };
    MetadataResponseTopic {
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions: (0..).zip(&topic.partitions).map(describe).collect(),
        ..MetadataResponseTopic::default()
    }
}

/// A client asks for the brokers.
pub fn describe_cluster(
    ctx: &mut Context<'_>,
    id: RequestId,
    client: &Client,
    request: &DescribeClusterRequest,
) {
    let mut response = DescribeClusterResponse::default();
    if request.endpoint_type != ENDPOINT_BROKERS {
        let error = if request.endpoint_type == ENDPOINT_CONTROLLERS {
            ErrorCode::MismatchedEndpointType
        } else {
            ErrorCode::UnsupportedEndpointType
        };
        response.error_code = error.code();
        response.error_message = Some("this is a broker, not a controller".into());
        return ctx.reply(id, response);
    }
    let (host, port) = client.broker_address();
    let broker_id = ctx.options.node_id;
    response.cluster_id = ctx.options.cluster_id.clone();
    response.controller_id = broker_id;
    response.brokers =
        vec![DescribeClusterResponseBroker { broker_id, host, port, rack: None, is_fenced: false }];
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    ctx.reply(id, response);
}
