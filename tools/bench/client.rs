//! A client of one blocking connection, for what is done before and after a measurement.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use chronik::base::payload::Bytes;
use chronik::wire::api::{ApiKey, Request, Response, decode_response};
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::{
    ApiVersionsRequest, CreateTopicsRequest, CreateTopicsRequestConfig, CreateTopicsRequestTopic,
    DeleteTopicsRequest, DeleteTopicsRequestTopic, ListOffsetsRequest, ListOffsetsRequestPartition,
    ListOffsetsRequestTopic, MetadataRequest, MetadataRequestTopic,
};

use crate::frames::encode;
use crate::reply::Dialect;

/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// As many partitions of a new topic are asked whether they are there.
const OPENED_MAX: i32 = 16;
/// The versions that the generator speaks where the broker does, too.
const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 12;

/// A connection on which one request at a time is answered.
pub(crate) struct Client {
    stream: TcpStream,
    last_id: i32,
    /// What the broker serves, by key: the newest version.
    versions: Vec<(i16, i16)>,
}

impl Client {
    /// Connects and asks which versions are served.
    ///
    /// # Errors
    /// If nobody answers.
    pub(crate) fn connect(address: SocketAddr) -> Result<Client, String> {
        let connect = || {
            let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(stream)
        };
        let stream = connect().map_err(|error: std::io::Error| format!("{address}: {error}"))?;
        let mut client = Client { stream, last_id: 0, versions: Vec::new() };
        let request = ApiVersionsRequest::default();
        if let Response::ApiVersions(body) = client.ask_in(request.into(), 0)? {
            client.versions =
                body.api_keys.iter().map(|api| (api.api_key, api.max_version)).collect();
        }
        Ok(client)
    }

    /// The newest version that both sides know and that is at most `most`.
    pub(crate) fn version(&self, api: ApiKey, most: i16) -> i16 {
        let served = self.versions.iter().find(|(key, _)| *key == api.key());
        served.map_or(most, |(_, served)| most.min(*served)).min(*api.versions().end())
    }

    fn serves(&self, api: ApiKey) -> bool {
        self.versions.iter().any(|(key, _)| *key == api.key())
    }

    /// How this broker is to be spoken to by the generator.
    pub(crate) fn dialect(&self) -> Dialect {
        Dialect::Kafka {
            produce: self.version(ApiKey::Produce, PRODUCE_VERSION),
            fetch: self.version(ApiKey::Fetch, FETCH_VERSION),
        }
    }

    /// Makes a topic and waits until it can be used. Where topics cannot be made, asking for it has to do.
    ///
    /// # Errors
    /// If the broker refuses for another reason than that it exists.
    pub(crate) fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        settings: &[(String, String)],
    ) -> Result<(), String> {
        if !self.serves(ApiKey::CreateTopics) {
            return self.await_topic(name, partitions);
        }
        let config = |(name, value): &(String, String)| CreateTopicsRequestConfig {
            name: name.clone(),
            value: Some(value.clone()),
        };
        let topic = CreateTopicsRequestTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: 1,
            configs: settings.iter().map(config).collect(),
            ..CreateTopicsRequestTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
        let code = match self.ask(request.into(), 6)? {
            Response::CreateTopics(body) => body.topics.first().map_or(0, |topic| topic.error_code),
            _ => 0,
        };
        if code != 0 && code != ErrorCode::TopicAlreadyExists.code() {
            return Err(format!("topic {name} is refused: error {code}"));
        }
        self.await_topic(name, partitions)
    }

    /// Some brokers answer before a topic has leaders, and name leaders before these have opened their logs.
    fn await_topic(&mut self, name: &str, partitions: i32) -> Result<(), String> {
        for _ in 0..200 {
            if self.has_leaders(name, partitions)?
                && (0..partitions.min(OPENED_MAX))
                    .all(|partition| self.end_of(name, partition).is_ok())
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        Err(format!("topic {name} has no leaders"))
    }

    fn has_leaders(&mut self, name: &str, partitions: i32) -> Result<bool, String> {
        let topic =
            MetadataRequestTopic { name: Some(name.into()), ..MetadataRequestTopic::default() };
        let request = MetadataRequest { topics: Some(vec![topic]), ..MetadataRequest::default() };
        let Response::Metadata(body) = self.ask(request.into(), 8)? else { return Ok(false) };
        let ready = body
            .topics
            .first()
            .map_or(0, |topic| topic.partitions.iter().filter(|part| part.leader_id >= 0).count());
        Ok(i32::try_from(ready).is_ok_and(|ready| ready >= partitions))
    }

    /// Removes a topic; a broker that cannot keeps it.
    ///
    /// # Errors
    /// If there is no answer.
    pub(crate) fn delete_topic(&mut self, name: &str) -> Result<(), String> {
        if !self.serves(ApiKey::DeleteTopics) {
            return Ok(());
        }
        let topic = DeleteTopicsRequestTopic { name: Some(name.into()), ..Default::default() };
        let request = DeleteTopicsRequest {
            topics: vec![topic],
            timeout_ms: 10_000,
            ..DeleteTopicsRequest::default()
        };
        self.ask(request.into(), 5).map(|_| ())
    }

    /// The offset after the last record of a partition.
    ///
    /// # Errors
    /// If the broker refuses.
    pub(crate) fn end_of(&mut self, topic: &str, partition: i32) -> Result<i64, String> {
        let partition = ListOffsetsRequestPartition {
            partition_index: partition,
            timestamp: -1,
            ..ListOffsetsRequestPartition::default()
        };
        let topic = ListOffsetsRequestTopic { name: topic.into(), partitions: vec![partition] };
        let request = ListOffsetsRequest { topics: vec![topic], ..ListOffsetsRequest::default() };
        let Response::ListOffsets(body) = self.ask(request.into(), 5)? else {
            return Err("no offsets".to_owned());
        };
        let answer = body.topics.first().and_then(|topic| topic.partitions.first());
        match answer {
            Some(partition) if partition.error_code == 0 => Ok(partition.offset),
            _ => Err(format!("no end is told: {answer:?}")),
        }
    }

    fn ask(&mut self, request: Request, version_max: i16) -> Result<Response, String> {
        let version = self.version(request.api(), version_max);
        self.ask_in(request, version)
    }

    fn ask_in(&mut self, request: Request, version: i16) -> Result<Response, String> {
        let api = request.api();
        self.last_id += 1;
        let bytes = encode(request, version, self.last_id)?;
        let frame = self.exchange(&bytes).map_err(|error| format!("{}: {error}", api.name()))?;
        let (id, response) = decode_response(&Bytes::from_vec(frame), api, version)
            .map_err(|error| format!("{}: {error}", api.name()))?;
        if id == self.last_id { Ok(response) } else { Err("another request's answer".to_owned()) }
    }

    fn exchange(&mut self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        self.stream.write_all(bytes)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u64::from(u32::from_be_bytes(length));
        let mut frame = Vec::new();
        (&self.stream).take(length).read_to_end(&mut frame)?;
        Ok(frame)
    }
}
