//! Requests written once: what differs from one to the next is patched into a short head, and the batch is never copied.

use std::time::{SystemTime, UNIX_EPOCH};

use chronik::base::payload::{Bytes, Payload};
use chronik::record::builder::{BatchBuilder, BatchOptions};
use chronik::record::compression::Codec;
use chronik::wire::api::{Request, RequestFrame};
use chronik::wire::messages::{
    FetchRequest, FetchRequestPartition, FetchRequestTopic, ProduceRequest,
    ProduceRequestPartition, ProduceRequestTopic,
};
use chronik::wire::records::Records;

/// Where the correlation id stands: after length, api key and version.
const CORRELATION_AT: usize = 8;
/// Numbers that stand nowhere else in a head, to find the fields that are patched.
const SOME_PARTITION: i32 = 0x5a6b_7c1d;
const SOME_OFFSET: i64 = 0x5a6b_7c1d_2e3f_4a5b;

/// A batch that is sent again and again.
#[derive(Clone)]
pub(crate) struct Batch {
    /// The batch of format 2.
    pub bytes: Bytes,
    /// Records in it.
    pub records: u32,
    /// Bytes of the records' values.
    pub payload: u64,
}

impl Batch {
    /// A batch of records with values of `record` bytes, as many as make `size` bytes before compression, and one at
    /// least.
    pub(crate) fn new(record: usize, size: usize, codec: Codec) -> Result<Batch, String> {
        let options = BatchOptions { codec, ..BatchOptions::default() };
        let mut batch = BatchBuilder::new(options).map_err(|error| format!("{error:?}"))?;
        let mut letters = Letters(0x9e37_79b9_7f4a_7c15);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now = i64::try_from(now).unwrap_or_default();
        // A record's own fields take about seven bytes more.
        while batch.is_empty() || batch.size_in_bytes() + record + 7 <= size {
            let value: Vec<u8> = letters.by_ref().take(record).collect();
            batch.append(now, None, Some(&value), &[]).map_err(|error| format!("{error:?}"))?;
        }
        let records = u32::try_from(batch.len()).map_err(|error| error.to_string())?;
        let bytes = Bytes::from_vec(batch.finish().map_err(|error| format!("{error:?}"))?);
        let payload = u64::from(records) * u64::try_from(record).unwrap_or_default();
        Ok(Batch { bytes, records, payload })
    }
}

/// Letters without an order: codecs save about a quarter of them, as with much text.
struct Letters(u64);

impl Iterator for Letters {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let [low, ..] = self.0.to_le_bytes();
        Some(b' ' + (low & 63))
    }
}

/// What a request says that the one before did not.
#[derive(Clone, Copy)]
pub(crate) struct Stamp {
    /// The request's number on its connection.
    pub correlation: i32,
    /// The partition that it is for.
    pub partition: i32,
    /// Where to read, if it reads.
    pub offset: i64,
}

/// A request whose numbers are patched in.
pub(crate) struct Frame {
    head: Vec<u8>,
    body: Bytes,
    tail: Vec<u8>,
    partition_at: usize,
    offset_at: Option<usize>,
}

impl Frame {
    /// A produce request of one batch.
    pub(crate) fn produce(
        version: i16,
        topic: &str,
        acks: i16,
        batch: &Batch,
    ) -> Result<Frame, String> {
        let records = Some(Records::from_bytes(batch.bytes.clone()));
        let partition = ProduceRequestPartition { index: SOME_PARTITION, records };
        let topic = ProduceRequestTopic {
            name: topic.into(),
            partition_data: vec![partition],
            ..ProduceRequestTopic::default()
        };
        let request = ProduceRequest {
            acks,
            timeout_ms: 30_000,
            topic_data: vec![topic],
            ..ProduceRequest::default()
        };
        let whole = encode(request.into(), version, 0)?;
        let at = find(&whole, &batch.bytes)?;
        let (head, rest) = whole.split_at_checked(at).unwrap_or_default();
        let tail = rest.get(batch.bytes.len()..).unwrap_or_default().to_vec();
        let partition_at = find(head, &SOME_PARTITION.to_be_bytes())?;
        let head = head.to_vec();
        Ok(Frame { head, body: batch.bytes.clone(), tail, partition_at, offset_at: None })
    }

    /// A fetch request of one partition, which waits up to `wait_ms` for a byte.
    pub(crate) fn fetch(
        version: i16,
        topic: &str,
        bytes_max: i32,
        wait_ms: i32,
    ) -> Result<Frame, String> {
        let partition = FetchRequestPartition {
            partition: SOME_PARTITION,
            fetch_offset: SOME_OFFSET,
            partition_max_bytes: bytes_max,
            ..FetchRequestPartition::default()
        };
        let topic = FetchRequestTopic {
            topic: topic.into(),
            partitions: vec![partition],
            ..FetchRequestTopic::default()
        };
        let request = FetchRequest {
            max_wait_ms: wait_ms,
            min_bytes: 1,
            max_bytes: bytes_max,
            topics: vec![topic],
            ..FetchRequest::default()
        };
        let head = encode(request.into(), version, 0)?;
        let partition_at = find(&head, &SOME_PARTITION.to_be_bytes())?;
        let offset_at = Some(find(&head, &SOME_OFFSET.to_be_bytes())?);
        Ok(Frame { head, body: Bytes::new(), tail: Vec::new(), partition_at, offset_at })
    }

    /// The parts of the request with this stamp; the head is made in `scratch`.
    pub(crate) fn parts<'a>(&'a self, stamp: Stamp, scratch: &'a mut Vec<u8>) -> [&'a [u8]; 3] {
        scratch.clear();
        scratch.extend_from_slice(&self.head);
        patch(scratch, CORRELATION_AT, &stamp.correlation.to_be_bytes());
        patch(scratch, self.partition_at, &stamp.partition.to_be_bytes());
        if let Some(at) = self.offset_at {
            patch(scratch, at, &stamp.offset.to_be_bytes());
        }
        [scratch, &self.body, &self.tail]
    }

    /// Bytes of a request, its length included.
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.body.len() + self.tail.len()
    }
}

/// A request with its length.
pub(crate) fn encode(
    request: Request,
    version: i16,
    correlation_id: i32,
) -> Result<Vec<u8>, String> {
    let client_id = Some("chronik-bench".into());
    let frame = RequestFrame { version, correlation_id, client_id, request, trailing: 0 };
    let parts = frame.encode().map_err(|error| format!("{error:?}"))?;
    let mut whole = Vec::new();
    for part in parts {
        match part {
            Payload::Bytes(bytes) => whole.extend_from_slice(&bytes),
            Payload::File(_) => return Err("a file in a request".to_owned()),
        }
    }
    Ok(whole)
}

fn find(text: &[u8], what: &[u8]) -> Result<usize, String> {
    let at = text.windows(what.len()).position(|window| window == what);
    at.ok_or_else(|| "a field is missing in its own request".to_owned())
}

fn patch(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}
