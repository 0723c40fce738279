//! An administrator: makes topics, deletes them, makes them again, and has records deleted.

use chronik::base::ids::{Offset, PartitionId};
use chronik::wire::api::Response;
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::{
    CreateTopicsRequest, CreateTopicsRequestConfig, CreateTopicsRequestTopic, DeleteRecordsRequest,
    DeleteRecordsRequestPartition, DeleteRecordsRequestTopic, DeleteTopicsRequest,
    DeleteTopicsRequestTopic, MetadataRequest, MetadataResponse,
};

use super::{Client, Desk, Reply};
use crate::model::{Model, TOPICS};

#[derive(Clone, Copy, Debug)]
enum Asked {
    Create(usize),
    Delete(usize),
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
        let found = found.map(|found| found.topic_id);
        model.topics.listed(topic, found, ready)?;
        if let Some(id) = found.filter(|_| ready) {
            model.topic_exists(topic, id);
        }
    }
    Ok(())
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
            } else if desk.below(2) == 0 && !TOPICS[topic].compact {
                let count = usize::try_from(TOPICS[topic].partitions).unwrap();
                let index = desk.below(count) as i32;
                self.send_trim(desk, topic, PartitionId { topic: id, index });
            }
        } else {
            self.send_create(desk, topic);
        }
        Ok(())
    }

    fn promised(&mut self, desk: &mut Desk<'_>, _: u64, reply: &Reply) -> Result<(), String> {
        let Some((_, what)) = self.asked else { return Err("nobody asked".into()) };
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
                    Some(ErrorCode::KafkaStorageError | ErrorCode::UnknownTopicOrPartition) => {
                        Ok(())
                    }
                    error => Err(format!("a deletion was refused with {error:?}")),
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
