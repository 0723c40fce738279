//! What a topic is to be: the rules for names, partitions and configurations, and the records that make it.

use std::ops::Range;

use super::options::Options;
use super::topic_configs::{self, TopicConfigs};
use super::topic_table::{METADATA_TOPIC, TopicTable};
use crate::base::config_table::{is_former_topic_key, topic_rows};
use crate::base::ids::TopicId;
use crate::storage::job::TOPIC_NAME_TAKEN;
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::internal::metadata::{
    ConfigRecord, MetadataRecord, PartitionRecord, TopicRecord,
};
use crate::wire::messages::{
    CreateTopicsRequestTopic, CreateTopicsResponseConfig, CreateTopicsResponseTopic,
};

/// ConfigRecord's number for topics.
pub(super) const TOPIC_RESOURCE: i8 = 2;
/// Most characters of a topic's name.
const NAME_LEN_MAX: usize = 249;

/// Why a topic is refused, in words.
pub(super) type Refusal = (ErrorCode, String);

/// What a topic is to be.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) partitions: i32,
    pub(super) configs: TopicConfigs,
}

/// Whether a topic may have this name.
///
/// # Errors
/// Why not, in words.
pub fn check_name(table: &TopicTable, name: &str) -> Result<(), String> {
    check_name_alone(name)?;
    match table.collides(name) {
        Some(other) if *other.name != *name => {
            Err(format!("the name differs from {:?} only in '.' and '_'", other.name))
        }
        _ => Ok(()),
    }
}

/// Whether any topic may have this name, whatever others there are.
///
/// # Errors
/// Why not, in words.
pub fn check_name_alone(name: &str) -> Result<(), String> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() {
        return Err("a topic's name is not empty".into());
    }
    if name == "." || name == ".." {
        return Err("a topic is not named . or ..".into());
    }
    if name == TOPIC_NAME_TAKEN {
        return Err("the name is taken by files of the broker".into());
    }
    if name.len() > NAME_LEN_MAX {
        return Err(format!("a topic's name has at most {NAME_LEN_MAX} characters"));
    }
    if !name.chars().all(is_legal) {
        return Err("a topic's name has only letters, digits, '.', '_' and '-'".into());
    }
    Ok(())
}

/// Checks what a client wants, and fills in what it leaves open.
pub(super) fn plan(
    table: &TopicTable,
    options: &Options,
    wanted: &CreateTopicsRequestTopic,
) -> Result<Plan, Refusal> {
    let name = wanted.name.as_str();
    if table.get(name).is_some() || table.is_leaving(name) {
        return Err((ErrorCode::TopicAlreadyExists, format!("topic {name:?} exists")));
    }
    check_name(table, name).map_err(|reason| (ErrorCode::InvalidTopicException, reason))?;
    if name == METADATA_TOPIC {
        return Err((ErrorCode::InvalidRequest, "the topic is the broker's own".into()));
    }
    let partitions = planned_partitions(options, wanted)?;
    let mut configs = TopicConfigs::new();
    for config in &wanted.configs {
        topic_configs::check(&config.name, config.value.as_deref())
            .map_err(|reason| (ErrorCode::InvalidConfig, reason))?;
        if !is_former_topic_key(&config.name) {
            configs.insert(config.name.clone(), config.value.clone().unwrap_or_default());
        }
    }
    topic_configs::check_together(&configs, &options.settings)
        .map_err(|reason| (ErrorCode::InvalidConfig, reason))?;
    let partition_count = usize::try_from(partitions).unwrap_or(usize::MAX);
    let room = options.limits.partitions.saturating_sub(table.partition_count());
    if table.len() >= options.limits.topics {
        return Err((ErrorCode::PolicyViolation, "the broker holds no more topics".into()));
    }
    if partition_count > room {
        let reason = format!("the broker holds no more than {room} further partitions");
        return Err((ErrorCode::PolicyViolation, reason));
    }
    Ok(Plan { partitions, configs })
}

fn planned_partitions(
    options: &Options,
    wanted: &CreateTopicsRequestTopic,
) -> Result<i32, Refusal> {
    let refuse = |error, reason: &str| Err((error, reason.to_owned()));
    if !wanted.assignments.is_empty() {
        if wanted.num_partitions != -1 || wanted.replication_factor != -1 {
            let reason = "with assignments, partitions and replication factor must be -1";
            return refuse(ErrorCode::InvalidRequest, reason);
        }
        let mut indexes: Vec<i32> = wanted.assignments.iter().map(|a| a.partition_index).collect();
        indexes.sort_unstable();
        let count = i32::try_from(indexes.len()).unwrap_or(i32::MAX);
        let are_ours = wanted.assignments.iter().all(|a| a.broker_ids == [options.node_id]);
        if !indexes.iter().copied().eq(0..count) || !are_ours {
            let reason = "partitions must be 0 to n-1, each on this one broker";
            return refuse(ErrorCode::InvalidReplicaAssignment, reason);
        }
        return Ok(count);
    }
    match (wanted.replication_factor, wanted.num_partitions) {
        (0 | ..=-2, _) => {
            let reason = "the replication factor is at least 1";
            refuse(ErrorCode::InvalidReplicationFactor, reason)
        }
        (_, 0 | ..=-2) => {
            refuse(ErrorCode::InvalidPartitions, "a topic has at least one partition")
        }
        (2.., _) => {
            let reason = "the replication factor is at most 1: there is one broker";
            refuse(ErrorCode::InvalidReplicationFactor, reason)
        }
        (_, -1) => Ok(options.partitions_default),
        (_, count) => Ok(count),
    }
}

/// The answer about a topic that was made, or would be.
pub(super) fn describe(
    options: &Options,
    name: &str,
    topic_id: TopicId,
    plan: &Plan,
) -> CreateTopicsResponseTopic {
    let config = |row| {
        let own = |key: &str| plan.configs.get(key).map(String::as_str);
        let described = options.settings.describe_topic(row, own(row.name));
        CreateTopicsResponseConfig {
            name: row.name.to_owned(),
            value: described.value,
            read_only: described.read_only,
            config_source: described.source.number(),
            is_sensitive: row.is_sensitive(),
        }
    };
    CreateTopicsResponseTopic {
        name: name.to_owned(),
        topic_id,
        error_message: None,
        num_partitions: plan.partitions,
        replication_factor: 1,
        configs: Some(topic_rows().map(config).collect()),
        ..CreateTopicsResponseTopic::default()
    }
}

/// The records that make a topic.
pub(super) fn records_of(
    name: &str,
    topic_id: TopicId,
    plan: &Plan,
    node_id: i32,
) -> Vec<MetadataRecord> {
    let mut records = vec![MetadataRecord::Topic(TopicRecord { name: name.to_owned(), topic_id })];
    records.extend(partition_records(topic_id, 0..plan.partitions, node_id));
    let configs = plan.configs.iter();
    records.extend(configs.map(|(key, value)| config_record(name, key, Some(value.clone()))));
    records
}

/// The records that add partitions to a topic.
pub(super) fn partition_records(
    topic_id: TopicId,
    indexes: Range<i32>,
    node_id: i32,
) -> impl Iterator<Item = MetadataRecord> {
    indexes.map(move |partition_id| {
        MetadataRecord::Partition(PartitionRecord {
            partition_id,
            topic_id,
            replicas: vec![node_id],
            isr: vec![node_id],
            leader: node_id,
            leader_epoch: 0,
            partition_epoch: 0,
            ..PartitionRecord::default()
        })
    })
}

/// The record that sets a topic's key, or takes it back.
pub(super) fn config_record(topic: &str, key: &str, value: Option<String>) -> MetadataRecord {
    MetadataRecord::Config(ConfigRecord {
        resource_type: TOPIC_RESOURCE,
        resource_name: topic.to_owned(),
        name: key.to_owned(),
        value,
    })
}
