//! A broker with a disk of its own in memory, driven by hand: an event in, effects out, under a clock that stands
//! still unless it is moved.
#![allow(dead_code)]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use chronik::base::ids::{ConnId, Offset, PartitionId, TopicId};
use chronik::base::payload::{Bytes, Payload};
use chronik::base::time::{Mono, Now};
use chronik::broker::Broker;
use chronik::broker::event::{Client, Effect, Event, RequestId};
use chronik::broker::journal::Log as JournalLog;
use chronik::broker::options::Options;
use chronik::record::batch::{Batches, set_base_offset};
use chronik::record::builder::{BatchBuilder, BatchOptions};
use chronik::record::records::RecordReader;
use chronik::storage::job::{
    AppendError, Appended, Job, Open, Opened, Outcome, ReadError, StorageError, Upkeep, Upkept,
};
use chronik::wire::api::{Request, Response};
use chronik::wire::messages::*;
use chronik::wire::records::Records;

/// One partition's batches in memory.
#[derive(Default)]
struct Log {
    batches: Vec<(Offset, Offset, Bytes)>,
    start: Offset,
    end: Offset,
    /// When storage wants to look after it, as it will say next.
    due: Option<i64>,
    /// From when its oldest segment ages: the fake has one for each batch.
    oldest: Option<i64>,
}

impl Log {
    fn bytes(&self) -> u64 {
        self.batches.iter().map(|(_, _, bytes)| bytes.len() as u64).sum()
    }
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Reply {
    Response(Response),
    Silence { failed: bool },
}

pub(crate) struct Harness {
    pub(crate) broker: Broker,
    pub(crate) now: Now,
    logs: BTreeMap<PartitionId, Log>,
    /// Outcomes that wait to be delivered.
    pub(crate) outcomes: VecDeque<Outcome>,
    /// While set, syncs are kept back: the disk is slow.
    pub(crate) hold_syncs: bool,
    /// While set, no partition can be opened.
    pub(crate) opens_fail: bool,
    held: VecDeque<Outcome>,
    pub(crate) replies: BTreeMap<RequestId, Reply>,
    /// Every job so far, by name.
    pub(crate) jobs: Vec<String>,
    /// How partitions were looked after.
    pub(crate) upkeeps: Vec<Upkeep>,
    next_sequence: u64,
    /// When the last stop was, if the next start is to know.
    pub(crate) stopped_at: Option<i64>,
}

pub(crate) fn conn(slot: usize) -> ConnId {
    ConnId { slot, generation: 0 }
}

impl Harness {
    /// A fresh broker, started.
    pub(crate) fn new() -> Harness {
        Harness::with(Options { cluster_id: "cluster".into(), ..Options::default() })
    }

    pub(crate) fn with(options: Options) -> Harness {
        let mut harness = Harness {
            broker: Broker::new(options, 7),
            now: Now { mono: Mono(1_000_000), wall: 1_800_000_000_000 },
            logs: BTreeMap::new(),
            outcomes: VecDeque::new(),
            hold_syncs: false,
            opens_fail: false,
            held: VecDeque::new(),
            replies: BTreeMap::new(),
            jobs: Vec::new(),
            upkeeps: Vec::new(),
            next_sequence: 0,
            stopped_at: None,
        };
        assert_eq!(harness.broker.metadata_recovered(0, false), None);
        let mut out = Vec::new();
        harness.broker.start(None, harness.now, &mut out);
        harness.perform(out);
        harness.settle();
        assert!(harness.broker.is_ready());
        harness
    }

    /// The broker is started anew on what the disk has; every connection is gone.
    pub(crate) fn restart(&mut self) {
        self.settle();
        self.replies.clear();
        let seed = self.next_sequence + 8; // identities never come again
        let mut broker = Broker::new(self.broker.options().clone(), seed);
        self.stopped_at.into_iter().for_each(|at| broker.stopped_at(at));
        let metadata = PartitionId { topic: TopicId::METADATA, index: 0 };
        let end = self.replay(&mut broker, JournalLog::Metadata, metadata);
        let offsets = broker.metadata_recovered(end, false);
        let offsets = offsets.map(|topic| PartitionId { topic, index: 0 });
        let end = offsets.map(|id| self.replay(&mut broker, JournalLog::Offsets, id));
        self.broker = broker;
        let mut out = Vec::new();
        self.broker.start(end, self.now, &mut out);
        self.perform(out);
        self.settle();
        assert!(self.broker.is_ready());
    }

    fn replay(&self, broker: &mut Broker, journal: JournalLog, id: PartitionId) -> Offset {
        for (key, value) in self.records(id) {
            broker.recover(journal, &key, value.as_ref()).unwrap();
        }
        self.logs[&id].end
    }

    /// Keys and values of everything in a partition.
    pub(crate) fn records(&self, id: PartitionId) -> Vec<(Bytes, Option<Bytes>)> {
        let mut found = Vec::new();
        for (_, _, batch) in &self.logs[&id].batches {
            let mut reader = RecordReader::open(batch, 1 << 20).unwrap();
            while let Some(record) = reader.next().unwrap() {
                found.push((record.key.unwrap().into(), record.value.map(Bytes::from)));
            }
        }
        found
    }

    /// Sends a request from connection 0 without letting the disk do anything.
    pub(crate) fn send(&mut self, request: impl Into<Request>) -> RequestId {
        self.send_from(0, request)
    }

    pub(crate) fn send_from(&mut self, slot: usize, request: impl Into<Request>) -> RequestId {
        let id = RequestId { conn: conn(slot), sequence: self.next_sequence };
        self.next_sequence += 1;
        let client = Client {
            id: Some(Arc::from("tester")),
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            advertised_host: Arc::from("broker.example"),
            advertised_port: 9092,
        };
        self.handle(Event::Request { id, client, request: request.into() });
        id
    }

    /// Sends a request and lets the disk finish.
    pub(crate) fn ask(&mut self, request: impl Into<Request>) -> Response {
        let id = self.send(request);
        self.settle();
        self.reply(id).unwrap_or_else(|| panic!("no answer"))
    }

    pub(crate) fn handle(&mut self, event: Event) {
        let mut out = Vec::new();
        self.broker.handle(event, self.now, &mut out);
        self.broker.end_turn(self.now, &mut out);
        self.perform(out);
        self.broker.check_invariants().unwrap();
    }

    /// Delivers outcomes until there are none.
    pub(crate) fn settle(&mut self) {
        while let Some(outcome) = self.outcomes.pop_front() {
            self.handle(Event::Outcome(outcome));
        }
    }

    /// Delivers one outcome.
    pub(crate) fn step(&mut self) -> bool {
        match self.outcomes.pop_front() {
            Some(outcome) => {
                self.handle(Event::Outcome(outcome));
                true
            }
            None => false,
        }
    }

    /// The disk catches up.
    pub(crate) fn release_syncs(&mut self) {
        self.hold_syncs = false;
        self.outcomes.append(&mut self.held);
        self.settle();
    }

    /// Time passes.
    pub(crate) fn advance_ms(&mut self, ms: i64) {
        self.now.mono = self.now.mono.plus_ms(ms);
        self.now.wall += ms;
        self.tick_broker();
        self.settle();
    }

    /// The broker does what is due; the disk does nothing yet.
    pub(crate) fn tick_broker(&mut self) {
        let mut out = Vec::new();
        self.broker.tick(self.now, &mut out);
        self.broker.end_turn(self.now, &mut out);
        let next = self.broker.next_deadline();
        assert!(next.is_none_or(|at| at > self.now.mono), "what a turn leaves is due at once");
        self.perform(out);
    }

    /// The answer to a request, if there is one by now.
    pub(crate) fn reply(&mut self, id: RequestId) -> Option<Response> {
        match self.replies.remove(&id)? {
            Reply::Response(response) => Some(response),
            Reply::Silence { .. } => panic!("silence instead of an answer"),
        }
    }

    pub(crate) fn is_answered(&self, id: RequestId) -> bool {
        self.replies.contains_key(&id)
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply { to, response } => {
                    let before = self.replies.insert(to, Reply::Response(response));
                    assert!(before.is_none(), "two answers to one request");
                }
                Effect::Silence { to, failed } => {
                    assert!(self.replies.insert(to, Reply::Silence { failed }).is_none());
                }
                Effect::Job(job) => self.job(job),
                Effect::Fatal { reason } => panic!("fatal: {reason}"),
            }
        }
    }

    fn job(&mut self, job: Job) {
        let name = format!("{job:?}");
        self.jobs.push(name.split([' ', '(']).next().unwrap_or_default().to_owned());
        match job {
            Job::Open(open) => self.open(&open),
            Job::Append(append) => {
                let partition = append.partition;
                let result = self.append(partition, &append.records);
                let end = result.as_ref().map_or(0, |appended| appended.end_offset);
                self.outcomes.push_back(Outcome::Appended {
                    ticket: append.ticket,
                    partition,
                    result,
                });
                if append.sync {
                    self.synced(partition, end);
                }
            }
            Job::Sync { partition, .. } => {
                let end = self.logs.get(&partition).map_or(0, |log| log.end);
                self.synced(partition, end);
            }
            Job::Read(read) => {
                let parts = read.parts.iter().map(|part| {
                    let log = self.logs.get(&part.partition).ok_or(ReadError::UnknownPartition)?;
                    let batches = log.batches.iter();
                    let wanted =
                        batches.filter(|(_, end, _)| *end > part.offset && *end <= part.end);
                    Ok(wanted.map(|(_, _, bytes)| Payload::Bytes(bytes.clone())).collect())
                });
                let parts = parts.collect();
                self.outcomes.push_back(Outcome::Read {
                    ticket: read.ticket,
                    parts,
                    aborted: Vec::new(),
                });
            }
            Job::Remove { ticket, partition } => {
                self.logs.remove(&partition);
                let result = Ok(());
                self.outcomes.push_back(Outcome::Removed { ticket, partition, result });
            }
            Job::FindTimes(find) => {
                let results = find.queries.iter().map(|_| Ok(Vec::new())).collect();
                self.outcomes.push_back(Outcome::Times { ticket: find.ticket, results });
            }
            Job::Convert(convert) => {
                let result = Ok(convert.records);
                self.outcomes.push_back(Outcome::Converted { ticket: convert.ticket, result });
            }
            Job::Trim { ticket, partition, offset } => {
                let log = self.logs.get_mut(&partition).unwrap();
                log.start = log.start.max(offset);
                let result = Ok(log.start);
                self.outcomes.push_back(Outcome::Trimmed { ticket, partition, result });
            }
            Job::Upkeep(upkeep) => self.upkeep(&upkeep),
            Job::Configure { partition, .. } => self.configured(partition),
            // What the disk is like is for the test to say.
            Job::Warm { .. } | Job::LookForSpace => {}
        }
    }

    fn open(&mut self, open: &Open) {
        let (ticket, partition) = (open.ticket, open.partition);
        let result = if self.opens_fail {
            Err(StorageError::content("create", Path::new(&*open.topic), "refused"))
        } else {
            let log = self.logs.entry(partition).or_default();
            Ok(Opened { log_start: log.start, log_end: log.end, ..Opened::default() })
        };
        self.outcomes.push_back(Outcome::Opened { ticket, partition, result });
    }

    fn configured(&mut self, partition: PartitionId) {
        let due = self.logs[&partition].due;
        self.outcomes.push_back(Outcome::Configured { partition, due });
    }

    fn append(&mut self, id: PartitionId, records: &Bytes) -> Result<Appended, AppendError> {
        // The journal's own log is not opened by a job.
        let log = if id.topic == chronik::base::ids::TopicId::METADATA {
            self.logs.entry(id).or_default()
        } else {
            self.logs.get_mut(&id).ok_or(AppendError::UnknownPartition)?
        };
        let base_offset = log.end;
        for batch in Batches::new(records) {
            let (header, bytes) = batch.map_err(|_| AppendError::Corrupt("not a batch"))?;
            let mut bytes = bytes.to_vec();
            set_base_offset(&mut bytes, log.end).unwrap();
            let end = log.end + i64::from(header.last_offset_delta) + 1;
            log.batches.push((log.end, end, Bytes::from_vec(bytes)));
            log.end = end;
        }
        let bytes = records.len() as u64;
        Ok(Appended {
            base_offset,
            end_offset: log.end,
            log_append_time: -1,
            bytes,
            oldest: log.oldest,
            due: log.due,
            ..Appended::default()
        })
    }

    /// The fake removes nothing but what is below the log's start, or the first batch if space is short.
    fn upkeep(&mut self, upkeep: &Upkeep) {
        self.upkeeps.push(*upkeep);
        let Some(log) = self.logs.get_mut(&upkeep.partition) else { return };
        if upkeep.free && !log.batches.is_empty() {
            log.start = log.start.max(log.batches.remove(0).1);
        }
        let start = log.start;
        log.batches.retain(|(_, end, _)| *end > start);
        self.outcomes.push_back(Outcome::Upkept(Upkept {
            partition: upkeep.partition,
            log_start: log.start,
            bytes: log.bytes(),
            oldest: log.oldest,
            due: log.due,
        }));
    }

    /// A log begins later, as the broker will hear when it looks after it.
    pub(crate) fn trim(&mut self, id: PartitionId, offset: Offset) {
        self.logs.get_mut(&id).unwrap().start = offset;
    }

    /// What storage says from now on of when it wants to look after a partition, and how old its oldest segment is.
    pub(crate) fn wants(&mut self, id: PartitionId, due: Option<i64>, oldest: Option<i64>) {
        let log = self.logs.get_mut(&id).unwrap();
        (log.due, log.oldest) = (due, oldest);
    }

    /// A partition by name.
    pub(crate) fn id_of(&self, topic: &str, index: i32) -> PartitionId {
        PartitionId { topic: self.broker.topics().get(topic).unwrap().id, index }
    }

    /// Somebody sets the wall clock.
    pub(crate) fn set_clock(&mut self, wall: i64) {
        self.now.wall = wall;
        self.broker.clock_was_set(self.now);
        self.advance_ms(0);
    }

    fn synced(&mut self, partition: PartitionId, end: Offset) {
        let outcome = Outcome::Synced { partition, end, result: Ok(()) };
        if self.hold_syncs {
            self.held.push_back(outcome);
        } else {
            self.outcomes.push_back(outcome);
        }
    }

    /// Creates a topic and waits for it.
    pub(crate) fn create_topic(&mut self, name: &str, partitions: i32) {
        let topic = CreateTopicsRequestTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: 1,
            ..CreateTopicsRequestTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
        let Response::CreateTopics(response) = self.ask(request) else { panic!("another answer") };
        assert_eq!(response.topics[0].error_code, 0, "{response:?}");
    }

    /// Creates a topic of one partition with configurations, and waits for it.
    pub(crate) fn create_topic_with(&mut self, name: &str, configs: &[(&str, &str)]) {
        let config = |(name, value): &(&str, &str)| CreateTopicsRequestConfig {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
        };
        let topic = CreateTopicsRequestTopic {
            name: name.into(),
            num_partitions: 1,
            replication_factor: 1,
            configs: configs.iter().map(config).collect(),
            ..CreateTopicsRequestTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
        let Response::CreateTopics(response) = self.ask(request) else { panic!("another answer") };
        assert_eq!(response.topics[0].error_code, 0, "{response:?}");
    }
}

/// A batch of this many records.
pub(crate) fn batch(count: usize) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions::default()).unwrap();
    for i in 0..count {
        builder
            .append(1_800_000_000_000, None, Some(format!("value {i}").as_bytes()), &[])
            .unwrap();
    }
    Bytes::from_vec(builder.finish().unwrap())
}

/// A produce of one batch to one partition.
pub(crate) fn produce(topic: &str, index: i32, acks: i16, records: Bytes) -> ProduceRequest {
    let part = ProduceRequestPartition { index, records: Some(Records::from_bytes(records)) };
    let topic = ProduceRequestTopic {
        name: topic.into(),
        partition_data: vec![part],
        ..ProduceRequestTopic::default()
    };
    ProduceRequest { acks, timeout_ms: 1000, topic_data: vec![topic], ..ProduceRequest::default() }
}

/// A fetch from one partition.
pub(crate) fn fetch(topic: &str, index: i32, offset: i64) -> FetchRequest {
    let part = FetchRequestPartition {
        partition: index,
        fetch_offset: offset,
        partition_max_bytes: 1 << 20,
        ..FetchRequestPartition::default()
    };
    let topic = FetchRequestTopic {
        topic: topic.into(),
        partitions: vec![part],
        ..FetchRequestTopic::default()
    };
    FetchRequest { max_wait_ms: 500, min_bytes: 1, topics: vec![topic], ..FetchRequest::default() }
}

/// The only partition of a produce's answer.
pub(crate) fn produced(response: &Response) -> &ProduceResponsePartition {
    let Response::Produce(response) = response else { panic!("another answer: {response:?}") };
    &response.responses[0].partition_responses[0]
}

/// The only partition of a fetch's answer.
pub(crate) fn fetched(response: &Response) -> &FetchResponsePartition {
    let Response::Fetch(response) = response else { panic!("another answer: {response:?}") };
    &response.responses[0].partitions[0]
}

/// Number of records in a fetch's answer.
pub(crate) fn record_count(part: &FetchResponsePartition) -> i32 {
    let parts = part.records.as_ref().map(|records| records.parts().to_vec()).unwrap_or_default();
    let count = |part: Payload| match part {
        Payload::Bytes(bytes) => {
            Batches::new(&bytes).map(|batch| batch.unwrap().0.record_count).sum::<i32>()
        }
        Payload::File(_) => 0,
    };
    parts.into_iter().map(count).sum()
}

/// Asks to join a group as a consumer that knows one protocol and brings no id.
pub(crate) fn join_alone(group: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".into(), ..Default::default() }],
        must_know_member_id: false,
        ..JoinGroupRequest::default()
    }
}
