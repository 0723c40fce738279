//! The records that clients send: each says which it is, so that whoever reads it knows whether it was changed.

use chronik::base::ids::Offset;
use chronik::base::payload::Bytes;
use chronik::record::batch::BatchHeader;
use chronik::record::builder::{BatchBuilder, BatchOptions};
use chronik::record::records::RecordReader;

/// The number of a batch, unique in a run.
pub(crate) type BatchNumber = u64;

/// A record: its batch and its place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RecordId {
    pub(crate) batch: BatchNumber,
    pub(crate) place: u32,
}

/// An idempotent producer's side of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence {
    pub(crate) producer_id: i64,
    pub(crate) first: i32,
}

const KEYS: u64 = 5;

/// The key of a record.
pub(crate) fn key(id: RecordId) -> u64 {
    (id.batch / 3 + u64::from(id.place)) % KEYS
}

/// The value of a record.
fn value(id: RecordId) -> Vec<u8> {
    let mut value = id.batch.to_be_bytes().to_vec();
    value.extend(id.place.to_be_bytes());
    let length = (id.batch * 7 + u64::from(id.place) * 13) % 60;
    value.extend((0..length).map(|i| (i * 31 + id.batch) as u8));
    value
}

/// Whether a record with a key has no value. Its identity stands in a header then.
pub(crate) fn is_tombstone(id: RecordId) -> bool {
    id.batch % 11 == 3
}

/// A batch as a client sends it.
pub(crate) fn build(
    batch: BatchNumber,
    count: u32,
    keyed: bool,
    time: i64,
    sequence: Option<Sequence>,
) -> Bytes {
    let mut options = BatchOptions::default();
    if let Some(sequence) = sequence {
        options.producer_id = sequence.producer_id;
        options.producer_epoch = 0;
        options.base_sequence = sequence.first;
    }
    let mut builder = BatchBuilder::new(options).unwrap();
    for place in 0..count {
        let id = RecordId { batch, place };
        let value = value(id);
        let key = keyed.then(|| key(id).to_be_bytes());
        let key = key.as_ref().map(|key| &key[..]);
        let appended = if keyed && is_tombstone(id) {
            builder.append(time, key, None, &[("id", Some(&value))])
        } else {
            builder.append(time, key, Some(&value), &[])
        };
        appended.unwrap();
    }
    Bytes::from_vec(builder.finish().unwrap())
}

/// A record as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) offset: i64,
    pub(crate) id: RecordId,
    pub(crate) key: Option<u64>,
}

/// What the bytes of an answer hold; the last batch may be cut. Gives also the offset behind the last whole batch, which
/// compaction may have taken the last records of.
pub(crate) fn read(bytes: &[u8]) -> Result<(Vec<Read>, Option<Offset>), String> {
    let (mut records, mut next) = (Vec::new(), None);
    let mut rest = bytes;
    while rest.len() > 12 {
        let Ok(header) = BatchHeader::read(rest) else { break };
        let Some(batch) = rest.get(..header.size_in_bytes()) else { break };
        read_batch(batch, &mut records)?;
        next = Some(header.next_offset());
        rest = &rest[header.size_in_bytes()..];
    }
    Ok((records, next))
}

fn read_batch(batch: &[u8], records: &mut Vec<Read>) -> Result<(), String> {
    chronik::record::batch::verify_crc(batch).map_err(|error| format!("bad batch: {error}"))?;
    let shared = Bytes::from(batch);
    let mut reader = RecordReader::open(&shared, 1 << 20).map_err(|error| error.to_string())?;
    while let Some(record) = reader.next().map_err(|error| error.to_string())? {
        let key = record.key.map(|key| u64::from_be_bytes(key.try_into().unwrap()));
        let header = record.headers.iter().next().and_then(|(_, content)| content);
        let content = record.value.or(header).unwrap_or_default();
        let id = identify(content, record.offset)?;
        if record.value.is_none() && !is_tombstone(id) {
            return Err(format!("a record at {} has lost its value", record.offset));
        }
        records.push(Read { offset: record.offset, id, key });
    }
    Ok(())
}

/// Which record has this value, every byte of which must be right.
fn identify(found: &[u8], offset: i64) -> Result<RecordId, String> {
    let number = |range| found.get(range).ok_or(format!("a strange record at {offset}"));
    let batch = u64::from_be_bytes(number(0..8)?.try_into().unwrap());
    let place = u32::from_be_bytes(number(8..12)?.try_into().unwrap());
    let id = RecordId { batch, place };
    if value(id) == found { Ok(id) } else { Err(format!("a changed record at {offset}: {id:?}")) }
}
