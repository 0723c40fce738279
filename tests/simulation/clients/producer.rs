//! A producer: idempotent with retries as Kafka's own, or a plain one with any `acks` that never sends twice.

use std::collections::{BTreeMap, VecDeque};

use chronik::base::ids::{PartitionId, TopicId};
use chronik::base::payload::Bytes;
use chronik::wire::api::Response;
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::{
    InitProducerIdRequest, ProduceRequest, ProduceRequestPartition, ProduceRequestTopic,
    ProduceResponsePartition,
};
use chronik::wire::records::Records;

use super::{Client, Desk, Reply};
use crate::model::batch::{self, Sequence};
use crate::model::{Model, Sent, TOPICS};

/// Most requests on their way.
const IN_FLIGHT_MAX: usize = 4;

/// A batch that is not acknowledged yet.
#[derive(Clone, Debug)]
struct Batch {
    number: u64,
    bytes: Bytes,
    acks: i16,
}

/// The batches of an idempotent producer for one partition.
#[derive(Debug, Default)]
struct Lane {
    next_sequence: i32,
    next_number: u64,
    /// In the order of their sequences.
    open: VecDeque<Batch>,
    on_their_way: usize,
    /// Once nothing is on its way, all that is open is sent again.
    again: bool,
}

pub(crate) struct Producer {
    me: usize,
    idempotent: bool,
    producer_id: Option<i64>,
    asked_for_id: Option<u64>,
    lanes: BTreeMap<PartitionId, Lane>,
    on_their_way: BTreeMap<u64, (PartitionId, Batch)>,
    finishing: bool,
}

impl Producer {
    pub(crate) fn new(me: usize, idempotent: bool) -> Producer {
        Producer {
            me,
            idempotent,
            producer_id: None,
            asked_for_id: None,
            lanes: BTreeMap::new(),
            on_their_way: BTreeMap::new(),
            finishing: false,
        }
    }

    /// Sends again what has to be; whether there was something.
    fn send_again(&mut self, desk: &mut Desk<'_>) -> bool {
        for (id, lane) in &mut self.lanes {
            if lane.again && lane.on_their_way == 0 && !lane.open.is_empty() {
                lane.again = false;
                lane.on_their_way = lane.open.len();
                for batch in lane.open.clone() {
                    let number = send(desk, *id, &batch);
                    self.on_their_way.insert(number, (*id, batch));
                }
                return true;
            }
        }
        false
    }

    fn send_new(&mut self, desk: &mut Desk<'_>) {
        let partitions = desk.model.partitions();
        let Some(id) = partitions.get(desk.below(partitions.len())).copied() else { return };
        let topic = desk.model.topics.alive().find(|(_, known)| *known == id.topic);
        let keyed = topic.is_some_and(|(topic, _)| TOPICS[topic].compact);
        let count = [1, 1, 2, 3, 7][desk.below(5)];
        let acks = if self.idempotent { -1 } else { [-1, 1, 1, 0][desk.below(4)] };
        let lane = self.lanes.entry(id).or_default();
        if lane.again {
            return;
        }
        let sequence = self.producer_id.filter(|_| self.idempotent).map(|producer_id| {
            let first = lane.next_sequence;
            lane.next_sequence += i32::try_from(count).unwrap();
            Sequence { producer_id, first }
        });
        let number = desk.model.next_batch();
        lane.next_number += 1;
        let bytes = batch::build(number, count, keyed, desk.now.wall.max(0), sequence);
        let batch = Batch { number, bytes, acks };
        let lane_number = self.idempotent.then_some(lane.next_number);
        let sent = Sent { client: self.me, count, all: acks == -1, lane: lane_number };
        if self.idempotent {
            lane.open.push_back(batch.clone());
            lane.on_their_way += 1;
        }
        if let Some(log) = desk.model.logs.get_mut(&id) {
            log.sent.insert(number, sent);
        }
        let request = send(desk, id, &batch);
        self.on_their_way.insert(request, (id, batch));
    }

    fn acknowledged(&mut self, id: PartitionId, number: u64) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.open.retain(|batch| batch.number != number);
        }
    }

    /// What belongs to topics that are gone for good is given up.
    fn give_up(&mut self, model: &Model) {
        let is_alive = |id: &PartitionId| model.topics.alive().any(|(_, known)| known == id.topic);
        self.lanes.retain(|id, lane| lane.on_their_way > 0 || is_alive(id));
    }
}

fn send(desk: &mut Desk<'_>, id: PartitionId, batch: &Batch) -> u64 {
    let records = Some(Records::from_bytes(batch.bytes.clone()));
    let part = ProduceRequestPartition { index: id.index, records };
    let topic = ProduceRequestTopic {
        topic_id: id.topic,
        partition_data: vec![part],
        ..ProduceRequestTopic::default()
    };
    desk.send(ProduceRequest {
        acks: batch.acks,
        timeout_ms: 1000,
        topic_data: vec![topic],
        by_topic_id: true,
        ..ProduceRequest::default()
    })
}

fn answer(reply: &Reply) -> Option<&ProduceResponsePartition> {
    let Reply::Response(response) = reply else { return None };
    let Response::Produce(response) = response else { return None };
    response.responses.first()?.partition_responses.first()
}

/// Whether a partition may answer so. What the disk does is known elsewhere.
fn check_refusal(desk: &Desk<'_>, topic: TopicId, error: ErrorCode) -> Result<(), String> {
    match error {
        ErrorCode::KafkaStorageError if desk.model.disk_may_fail => Ok(()),
        ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition
            if !desk.model.topics.is_present(topic) =>
        {
            Ok(())
        }
        error => Err(format!("a produce was refused with {error:?}")),
    }
}

impl Client for Producer {
    fn step(&mut self, desk: &mut Desk<'_>) -> Result<(), String> {
        if self.idempotent && self.producer_id.is_none() {
            if self.asked_for_id.is_none() {
                let request =
                    InitProducerIdRequest { transactional_id: None, ..Default::default() };
                self.asked_for_id = Some(desk.send(request));
            }
            return Ok(());
        }
        self.give_up(desk.model);
        if self.send_again(desk) || self.finishing {
            return Ok(());
        }
        if self.on_their_way.len() < IN_FLIGHT_MAX {
            self.send_new(desk);
        }
        Ok(())
    }

    fn promised(&mut self, desk: &mut Desk<'_>, number: u64, reply: &Reply) -> Result<(), String> {
        if let Reply::Response(Response::InitProducerId(response)) = reply {
            return match ErrorCode::from_code(response.error_code) {
                Some(ErrorCode::None) => desk.model.producer_id(response.producer_id),
                _ if desk.model.disk_may_fail => Ok(()),
                error => Err(format!("a producer id was refused with {error:?}")),
            };
        }
        let (id, batch) = self.on_their_way.get(&number).ok_or("an answer nobody waits for")?;
        let Some(answer) = answer(reply) else { return Ok(()) };
        match ErrorCode::from_code(answer.error_code).ok_or("a strange error")? {
            ErrorCode::None => {
                let log = desk.model.logs.get_mut(id).ok_or("no such log")?;
                log.acknowledged(batch.number, answer.base_offset)
                    .map_err(|error| format!("acknowledged to client {}: {error}", self.me))
            }
            // Those before it failed, too, if they did.
            ErrorCode::OutOfOrderSequenceNumber => {
                let lane = self.lanes.get(id).ok_or("no such lane")?;
                let is_first = lane.open.front().is_some_and(|first| first.number == batch.number);
                if is_first && desk.model.topics.is_present(id.topic) {
                    return Err(format!("batch {} is out of order, it is the next", batch.number));
                }
                Ok(())
            }
            error => check_refusal(desk, id.topic, error),
        }
    }

    fn heard(&mut self, _: &mut Desk<'_>, number: u64, reply: &Reply) -> Result<(), String> {
        if self.asked_for_id.take_if(|asked| *asked == number).is_some() {
            if let Reply::Response(Response::InitProducerId(response)) = reply {
                let id = response.producer_id;
                self.producer_id = (response.error_code == 0).then_some(id);
            }
            return Ok(());
        }
        let Some((id, batch)) = self.on_their_way.remove(&number) else { return Ok(()) };
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.on_their_way = lane.on_their_way.saturating_sub(1);
        }
        let Some(answer) = answer(reply) else { return Ok(()) };
        match ErrorCode::from_code(answer.error_code).unwrap_or(ErrorCode::UnknownServerError) {
            ErrorCode::None => self.acknowledged(id, batch.number),
            // Also where the topic is said to be gone: a crash may bring it back.
            _ => {
                if let Some(lane) = self.lanes.get_mut(&id) {
                    lane.again = self.idempotent;
                }
            }
        }
        Ok(())
    }

    fn disconnected(&mut self, _: &mut Model) {
        self.asked_for_id = None;
        self.on_their_way.clear();
        for lane in self.lanes.values_mut() {
            lane.on_their_way = 0;
            lane.again = !lane.open.is_empty();
        }
    }

    fn is_done(&self) -> bool {
        self.on_their_way.is_empty() && self.lanes.values().all(|lane| lane.open.is_empty())
    }

    fn finish(&mut self) {
        self.finishing = true;
    }
}
