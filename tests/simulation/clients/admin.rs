//! An administrator: makes topics, changes them, deletes them, makes them again, and has records deleted.

use chronik::base::ids::{Offset, PartitionId, TopicId};
use chronik::wire::api::Response;
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::{
    CreatePartitionsRequest, CreatePartitionsRequestTopic, CreateTopicsRequest,
    CreateTopicsRequestConfig, CreateTopicsRequestTopic, DeleteRecordsRequest,
    DeleteRecordsRequestPartition, DeleteRecordsRequestTopic, DeleteTopicsRequest,
    DeleteTopicsRequestTopic, DescribeConfigsRequest, DescribeConfigsRequestResource,
    DescribeConfigsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsRequestConfig,
    IncrementalAlterConfigsRequestResource, MetadataRequest, MetadataResponse,
};

use super::{Client, Desk, Reply};
use crate::model::{Model, SETTING, TOPICS};

/// No topic grows beyond so many partitions.
const PARTITIONS_MAX: i32 = 4;
/// The number of topics among resources, and of what a topic has set itself among sources.
const TOPIC: i8 = 2;
const OWN: i8 = 1;

#[derive(Clone, Debug)]
enum Asked {
    Create(usize),
    Delete(usize),
    /// So many partitions in all.
    Grow(usize, TopicId, i32),
    /// The new value of the setting; `None`: it is taken back.
    Change(usize, TopicId, Option<String>),
    /// The first offset that is to stay; `None`: the high watermark.
    Trim(PartitionId, Option<Offset>),
    List,
}

#[derive(Default)]
pub(crate) struct Admin {
    asked: Option<(u64, Asked)>,
    finishing: bool,
}

/// Asks for all topics.
pub(crate) fn list() -> MetadataRequest {
    MetadataRequest { topics: None, ..MetadataRequest::default() }
}

/// Checks which topics are said to exist.
pub(crate) fn check_list(model: &mut Model, response: &MetadataResponse) -> Result<(), String> {
    for (topic, spec) in TOPICS.iter().enumerate() {
        let found = response.topics.iter().find(|found| found.name.as_deref() == Some(spec.name));
        let ready = found.is_some_and(|found| found.partitions.iter().all(|p| p.error_code == 0));
        let count = found.map_or(0, |found| found.partitions.len() as i32);
        let found = found.map(|found| found.topic_id);
        model.topics.listed(topic, found, ready)?;
        if let Some(id) = found.filter(|_| ready) {
            let has = model.changes_of(topic, id).has(count);
            has.map_err(|error| format!("{}: {error}", spec.name))?;
            model.topic_exists(topic, id);
        }
    }
    Ok(())
}

/// Asks for the setting of a topic.
pub(crate) fn describe(topic: usize) -> DescribeConfigsRequest {
    let resource = DescribeConfigsRequestResource {
        resource_type: TOPIC,
        resource_name: TOPICS[topic].name.to_owned(),
        configuration_keys: Some(vec![SETTING.to_owned()]),
    };
    DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() }
}

/// Checks what a topic that is there is said to have set.
pub(crate) fn check_setting(
    model: &mut Model,
    topic: usize,
    id: TopicId,
    response: &DescribeConfigsResponse,
) -> Result<(), String> {
    let result = &response.results[0];
    if result.error_code != 0 {
        return Err(format!("{}: {result:?}", TOPICS[topic].name));
    }
    let own = result.configs.iter().find(|config| config.config_source == OWN);
    let value = own.and_then(|config| config.value.clone());
    let is_set = model.changes_of(topic, id).is_set(value);
    is_set.map_err(|error| format!("{}: {error}", TOPICS[topic].name))
}

fn create(topic: usize) -> CreateTopicsRequest {
    let spec = &TOPICS[topic];
    let config = |(name, value): &(&str, &str)| CreateTopicsRequestConfig {
        name: (*name).to_owned(),
        value: Some((*value).to_owned()),
    };
    let topic = CreateTopicsRequestTopic {
        name: spec.name.to_owned(),
        num_partitions: spec.partitions,
        replication_factor: 1,
        configs: spec.configs.iter().map(config).collect(),
        ..CreateTopicsRequestTopic::default()
    };
    CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() }
}

impl Admin {
    fn send_create(&mut self, desk: &mut Desk<'_>, topic: usize) {
        desk.model.topics.create_sent(topic);
        self.asked = Some((desk.send(create(topic)), Asked::Create(topic)));
    }

    /// Has records deleted: all, about half, or one.
    fn send_trim(&mut self, desk: &mut Desk<'_>, topic: usize, id: PartitionId) {
        let choice = desk.below(4);
        let Some(log) = desk.model.logs.get_mut(&id) else { return };
        let floor = log.floor().end.max(log.start);
        let asked = match choice {
            0 => None,
            1 => Some(floor),
            2 => Some(floor.midpoint(log.start)),
            _ => Some(floor.min(log.start + 1)),
        };
        log.trim_sent(asked);
        let (partition_index, offset) = (id.index, asked.unwrap_or(-1));
        let partitions = vec![DeleteRecordsRequestPartition { partition_index, offset }];
        let name = TOPICS[topic].name.to_owned();
        let topics = vec![DeleteRecordsRequestTopic { name, partitions }];
        let request = DeleteRecordsRequest { topics, ..DeleteRecordsRequest::default() };
        self.asked = Some((desk.send(request), Asked::Trim(id, asked)));
    }

    fn send_growth(&mut self, desk: &mut Desk<'_>, topic: usize, id: TopicId) {
        let changes = desk.model.changes_of(topic, id);
        let count = changes.known() + 1;
        if count > PARTITIONS_MAX {
            return;
        }
        changes.grow_sent(count);
        let name = TOPICS[topic].name.to_owned();
        let topics = vec![CreatePartitionsRequestTopic { name, count, assignments: None }];
        let request = CreatePartitionsRequest { topics, ..CreatePartitionsRequest::default() };
        self.asked = Some((desk.send(request), Asked::Grow(topic, id, count)));
    }

    /// Gives a topic larger segments, its first again, or those of the broker: every batch fits into all of them.
    fn send_change(&mut self, desk: &mut Desk<'_>, topic: usize, id: TopicId) {
        let usual = TOPICS[topic].configs.iter().find(|(name, _)| *name == SETTING);
        let usual: usize = usual.map_or(0, |(_, value)| value.parse().unwrap());
        let choice = desk.below(8);
        let value = (choice < 7).then(|| (usual * (choice + 6) / 6).to_string());
        desk.model.changes_of(topic, id).set_sent(value.clone());
        let change = IncrementalAlterConfigsRequestConfig {
            name: SETTING.to_owned(),
            config_operation: i8::from(value.is_none()),
            value: value.clone(),
        };
        let resources = vec![IncrementalAlterConfigsRequestResource {
            resource_type: TOPIC,
            resource_name: TOPICS[topic].name.to_owned(),
            configs: vec![change],
        }];
        let request = IncrementalAlterConfigsRequest { resources, ..Default::default() };
        self.asked = Some((desk.send(request), Asked::Change(topic, id, value)));
    }

    fn send_list(&mut self, desk: &mut Desk<'_>) {
        self.asked = Some((desk.send(list()), Asked::List));
    }
}

impl Client for Admin {
    fn step(&mut self, desk: &mut Desk<'_>) -> Result<(), String> {
        if self.asked.is_some() || self.finishing {
            return Ok(());
        }
        let topic = desk.below(TOPICS.len());
        if desk.model.topics.is_unclear(topic) {
            self.send_list(desk);
        } else if let Some(id) = desk.model.topics.id(topic) {
            if desk.below(4) == 0 {
                desk.model.topics.delete_sent(topic);
                let topics = vec![DeleteTopicsRequestTopic { name: None, topic_id: id }];
                let request = DeleteTopicsRequest { topics, ..DeleteTopicsRequest::default() };
                self.asked = Some((desk.send(request), Asked::Delete(topic)));
            } else if desk.below(3) == 0 {
                self.send_list(desk);
            } else if desk.below(8) == 0 {
                self.send_growth(desk, topic, id);
            } else if desk.below(6) == 0 {
                self.send_change(desk, topic, id);
            } else if desk.below(2) == 0 && !TOPICS[topic].compact {
                let count = usize::try_from(desk.model.changes_of(topic, id).known()).unwrap();
                let index = desk.below(count) as i32;
                self.send_trim(desk, topic, PartitionId { topic: id, index });
            }
        } else {
            self.send_create(desk, topic);
        }
        Ok(())
    }

    fn promised(&mut self, desk: &mut Desk<'_>, _: u64, reply: &Reply) -> Result<(), String> {
        let Some((_, what)) = self.asked.clone() else { return Err("nobody asked".into()) };
        let Reply::Response(response) = reply else { return Err("silence".into()) };
        match (what, response) {
            (Asked::Create(topic), Response::CreateTopics(response)) => {
                let answer = &response.topics[0];
                match ErrorCode::from_code(answer.error_code) {
                    Some(ErrorCode::None) => {
                        desk.model.topics.created(topic, answer.topic_id)?;
                        desk.model.topic_exists(topic, answer.topic_id);
                        Ok(())
                    }
                    Some(ErrorCode::TopicAlreadyExists | ErrorCode::KafkaStorageError) => Ok(()),
                    error => Err(format!("a creation was refused with {error:?}")),
                }
            }
            (Asked::Delete(topic), Response::DeleteTopics(response)) => {
                match ErrorCode::from_code(response.responses[0].error_code) {
                    Some(ErrorCode::None | ErrorCode::UnknownTopicId) => {
                        desk.model.topics.deleted(topic);
                        Ok(())
                    }
                    Some(
                        ErrorCode::KafkaStorageError
                        | ErrorCode::UnknownTopicOrPartition
                        | ErrorCode::RequestTimedOut,
                    ) => Ok(()),
                    error => Err(format!("a deletion was refused with {error:?}")),
                }
            }
            (Asked::Grow(topic, id, count), Response::CreatePartitions(response)) => {
                let changes = desk.model.changes_of(topic, id);
                match ErrorCode::from_code(response.results[0].error_code) {
                    Some(ErrorCode::None) => {
                        changes.has(count)?;
                        desk.model.topic_exists(topic, id);
                        Ok(())
                    }
                    Some(ErrorCode::KafkaStorageError | ErrorCode::RequestTimedOut) => Ok(()),
                    Some(ErrorCode::InvalidPartitions) if changes.may_have(count) => Ok(()),
                    error => Err(format!("growth to {count} was refused with {error:?}")),
                }
            }
            (Asked::Change(topic, id, value), Response::IncrementalAlterConfigs(response)) => {
                match ErrorCode::from_code(response.responses[0].error_code) {
                    Some(ErrorCode::None) => desk.model.changes_of(topic, id).is_set(value),
                    // An earlier one, of which nobody heard, may be under way.
                    Some(ErrorCode::KafkaStorageError | ErrorCode::RequestTimedOut) => Ok(()),
                    error => Err(format!("a change was refused with {error:?}")),
                }
            }
            (Asked::Trim(id, asked), Response::DeleteRecords(response)) => {
                let answer = &response.topics[0].partitions[0];
                let present = desk.model.topics.is_present(id.topic);
                let log = desk.model.logs.get_mut(&id).ok_or("no such log")?;
                match ErrorCode::from_code(answer.error_code) {
                    Some(ErrorCode::None) => log
                        .trimmed(asked, answer.low_watermark)
                        .map_err(|error| format!("deletion in {id}: {error}")),
                    Some(ErrorCode::KafkaStorageError) if desk.model.disk_may_fail => Ok(()),
                    Some(_) if !present => Ok(()),
                    error => Err(format!("a deletion in {id} was refused with {error:?}")),
                }
            }
            (Asked::List, Response::Metadata(response)) => check_list(desk.model, response),
            (_, other) => Err(format!("another answer: {other:?}")),
        }
    }

    fn heard(&mut self, _: &mut Desk<'_>, _: u64, _: &Reply) -> Result<(), String> {
        self.asked = None;
        Ok(())
    }

    fn disconnected(&mut self, _: &mut Model) {
        self.asked = None;
    }

    fn is_done(&self) -> bool {
        self.asked.is_none()
    }

    fn finish(&mut self) {
        self.finishing = true;
    }
}
