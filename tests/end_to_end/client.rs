//! A client of one connection: requests out, answers in, in the order in which they come.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use chronik::base::payload::{Bytes, Payload};
use chronik::record::builder::{BatchBuilder, BatchOptions};
use chronik::wire::api::{ApiKey, Request, RequestFrame, Response, decode_response};
use chronik::wire::messages::*;
use chronik::wire::records::Records;

use super::process::PATIENCE;

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    last_id: i32,
}

impl Client {
    /// Connects. Whatever it waits for fails when it does not come in time.
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { stream, last_id: 0 }
    }

    /// Sends a request. Answers its correlation id.
    pub(crate) fn send(&mut self, request: impl Into<Request>, version: i16) -> i32 {
        self.last_id += 1;
        let frame = frame(self.last_id, request, version);
        self.stream.write_all(&frame).unwrap();
        self.last_id
    }

    /// The bytes of several requests of the same version, sent at once. Answers the last correlation id.
    pub(crate) fn send_all(&mut self, requests: Vec<Request>, version: i16) -> i32 {
        let mut bytes = Vec::new();
        for request in requests {
            self.last_id += 1;
            bytes.extend(frame(self.last_id, request, version));
        }
        self.stream.write_all(&bytes).unwrap();
        self.last_id
    }

    /// Sends what is not a request.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Says that nothing follows, as `nc -N` does.
    pub(crate) fn end_input(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The next frame, without its length.
    #[track_caller]
    pub(crate) fn receive_frame(&mut self) -> Bytes {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap()];
        self.stream.read_exact(&mut frame).unwrap();
        Bytes::from_vec(frame)
    }

    /// The next answer, which must be one to this request, and its correlation id.
    #[track_caller]
    pub(crate) fn receive(&mut self, api: ApiKey, version: i16) -> (i32, Response) {
        decode_response(&self.receive_frame(), api, version).unwrap()
    }

    /// Sends a request and takes its answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, request: impl Into<Request>, version: i16) -> Response {
        let request = request.into();
        let api = request.api();
        let id = self.send(request, version);
        let (answered, response) = self.receive(api, version);
        assert_eq!(answered, id);
        response
    }

    /// Everything up to the end. A reset is an end, too, for who has sent what nobody reads.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("no end: {error}"),
            _ => rest,
        }
    }

    /// Makes a topic.
    #[track_caller]
    pub(crate) fn create_topic(&mut self, name: &str, partitions: i32) {
        let topic = CreateTopicsRequestTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: 1,
            ..CreateTopicsRequestTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
        let Response::CreateTopics(response) = self.ask(request, 7) else { panic!() };
        assert_eq!(response.topics[0].error_code, 0, "{response:?}");
    }

    /// Produces one batch to partition 0. Answers its offset.
    #[track_caller]
    pub(crate) fn produce(&mut self, topic: &str, acks: i16, batch: Vec<u8>) -> i64 {
        let Response::Produce(response) = self.ask(produce(topic, acks, batch), 9) else {
            panic!()
        };
        let part = &response.responses[0].partition_responses[0];
        assert_eq!(part.error_code, 0, "{response:?}");
        part.base_offset
    }

    /// The end of partition 0.
    #[track_caller]
    pub(crate) fn end_of(&mut self, topic: &str) -> i64 {
        let partition = ListOffsetsRequestPartition {
            partition_index: 0,
            timestamp: -1,
            ..ListOffsetsRequestPartition::default()
        };
        let topic = ListOffsetsRequestTopic { name: topic.into(), partitions: vec![partition] };
        let request = ListOffsetsRequest { topics: vec![topic], ..ListOffsetsRequest::default() };
        let Response::ListOffsets(response) = self.ask(request, 5) else { panic!() };
        let part = &response.topics[0].partitions[0];
        assert_eq!(part.error_code, 0, "{response:?}");
        part.offset
    }

    /// The records of partition 0 from an offset on, as bytes.
    #[track_caller]
    pub(crate) fn fetch(&mut self, topic: &str, offset: i64) -> Vec<u8> {
        let Response::Fetch(response) = self.ask(fetch(topic, offset, 0), 11) else { panic!() };
        let part = &response.responses[0].partitions[0];
        assert_eq!(part.error_code, 0, "{response:?}");
        part.records.as_ref().map(bytes_of).unwrap_or_default()
    }

    /// The names of all topics of clients.
    #[track_caller]
    pub(crate) fn topics(&mut self) -> Vec<String> {
        let Response::Metadata(response) = self.ask(metadata(None), 8) else { panic!() };
        let own = response.topics.into_iter().filter(|topic| !topic.is_internal);
        own.map(|topic| topic.name.unwrap()).collect()
    }
}

/// A request with its length.
pub(crate) fn frame(correlation_id: i32, request: impl Into<Request>, version: i16) -> Vec<u8> {
    let request = request.into();
    let client_id = Some("end-to-end".into());
    let frame = RequestFrame { version, correlation_id, client_id, request, trailing: 0 };
    flat(&frame.encode().unwrap())
}

fn flat(parts: &[Payload]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        let Payload::Bytes(part) = part else { panic!("a file in a request") };
        bytes.extend_from_slice(part);
    }
    bytes
}

pub(crate) fn bytes_of(records: &Records) -> Vec<u8> {
    flat(records.parts())
}

/// A batch of one record with this value.
pub(crate) fn batch(value: &[u8]) -> Vec<u8> {
    let mut batch = BatchBuilder::new(BatchOptions::default()).unwrap();
    batch.append(1_790_000_000_000, None, Some(value), &[]).unwrap();
    batch.finish().unwrap()
}

/// Metadata of one topic or of all; it makes none.
pub(crate) fn metadata(topic: Option<&str>) -> MetadataRequest {
    let topic = topic.map(|name| {
        vec![MetadataRequestTopic { name: Some(name.into()), ..MetadataRequestTopic::default() }]
    });
    MetadataRequest { topics: topic, allow_auto_topic_creation: false, ..Default::default() }
}

pub(crate) fn produce(topic: &str, acks: i16, batch: Vec<u8>) -> ProduceRequest {
    let records = Some(Records::from_bytes(Bytes::from_vec(batch)));
    let topic = ProduceRequestTopic {
        name: topic.into(),
        partition_data: vec![ProduceRequestPartition { index: 0, records }],
        ..ProduceRequestTopic::default()
    };
    ProduceRequest { acks, timeout_ms: 10_000, topic_data: vec![topic], ..Default::default() }
}

/// A fetch of as much as there is, or of one byte waited for.
pub(crate) fn fetch(topic: &str, offset: i64, max_wait_ms: i32) -> FetchRequest {
    let partition = FetchRequestPartition {
        partition: 0,
        fetch_offset: offset,
        partition_max_bytes: i32::MAX,
        ..FetchRequestPartition::default()
    };
    let topic = FetchRequestTopic {
        topic: topic.into(),
        partitions: vec![partition],
        ..FetchRequestTopic::default()
    };
    FetchRequest { max_wait_ms, min_bytes: 1, topics: vec![topic], ..FetchRequest::default() }
}

pub(crate) fn join(group: &str) -> JoinGroupRequest {
    let protocol =
        JoinGroupRequestProtocol { name: "range".into(), metadata: Bytes::from(&b"topics"[..]) };
    JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
        ..JoinGroupRequest::default()
    }
}

/// A commit from outside of any generation.
pub(crate) fn commit(group: &str, topic: &str, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: offset,
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: topic.into(),
        partitions: vec![partition],
        ..OffsetCommitRequestTopic::default()
    };
    OffsetCommitRequest { group_id: group.into(), topics: vec![topic], ..Default::default() }
}

pub(crate) fn committed(client: &mut Client, group: &str, topic: &str) -> i64 {
    let topic = OffsetFetchRequestGroupTopic {
        name: topic.into(),
        partition_indexes: vec![0],
        ..OffsetFetchRequestGroupTopic::default()
    };
    let group = OffsetFetchRequestGroup {
        group_id: group.into(),
        topics: Some(vec![topic]),
        ..OffsetFetchRequestGroup::default()
    };
    let request = OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() };
    let Response::OffsetFetch(response) = client.ask(request, 8) else { panic!() };
    response.groups[0].topics[0].partitions[0].committed_offset
}
