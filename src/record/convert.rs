//! From one format or compression to another. Storage keeps format 2 only, so old clients are converted for.
//!
//! Whatever is converted has its checksum verified first: the new one would hide old damage.

use std::io;

use super::batch::{self, BatchHeader, HEADER_SIZE, LOG_OVERHEAD, MAGIC, Prefix};
use super::builder::{BatchBuilder, BatchOptions};
use super::compression::{Codec, Compressor, Decompressor};
use super::fields::length;
use super::message_set::{self, Format, Message, Tail};
use super::message_set_builder::{MessageSetBuilder, SetOptions};
use super::records::RecordReader;
use super::{RecordError, TimestampType};

/// Turns what a producer sent, in any format, into batches of format 2 with this codec (`None`: as they came).
///
/// # Errors
/// What is wrong with the records; [`RecordError::TooLarge`] where a batch or message set takes more than
/// `decompressed_bytes_max`; [`RecordError::UnsupportedCodec`].
pub fn for_append(
    records: &[u8],
    codec: Option<Codec>,
    decompressed_bytes_max: usize,
) -> Result<Vec<u8>, RecordError> {
    if Prefix::read(records)?.magic != MAGIC {
        return up_convert(records, codec, decompressed_bytes_max);
    }
    let mut out = Vec::new();
    let mut rest = records;
    while !rest.is_empty() {
        let size = BatchHeader::read(rest)?.size_in_bytes();
        let (batch, after) = rest.split_at_checked(size).ok_or(RecordError::Truncated)?;
        match codec {
            Some(codec) => out.extend(recompress(batch, codec, decompressed_bytes_max)?),
            None => out.extend(batch),
        }
        rest = after;
    }
    Ok(out)
}

/// Turns a message set of format 0 or 1 into one batch at offset 0, with the set's codec unless another is given.
///
/// Messages of format 0 have no timestamp and get none.
///
/// # Errors
/// As [`for_append`]; [`RecordError::BadTimestamp`] for `LogAppendTime`, which is the broker's to set;
/// [`RecordError::BadCount`] for an empty set.
pub fn up_convert(
    set: &[u8],
    codec: Option<Codec>,
    decompressed_bytes_max: usize,
) -> Result<Vec<u8>, RecordError> {
    let codec = codec.map_or_else(|| message_set::codec(set), Ok)?;
    let mut builder = BatchBuilder::new(BatchOptions { codec, ..BatchOptions::default() })?;
    message_set::for_each(set, Tail::Whole, decompressed_bytes_max, |message| {
        if message.timestamp_type == TimestampType::LogAppendTime {
            return Err(RecordError::BadTimestamp);
        }
        let record = &message.record;
        builder.append(record.timestamp, record.key, record.value, &[])
    })?;
    builder.finish()
}

/// Turns stored batches into message sets that a client which knows only `format` can read.
///
/// Offsets and compression stay. Headers, producers and control batches are left out, and so are records before
/// `first_offset` where nothing is compressed. What is in an older format already is passed on as it is.
///
/// # Errors
/// What is wrong with the batches; [`RecordError::TooLarge`] where one takes more than `decompressed_bytes_max`;
/// [`RecordError::UnsupportedCodec`] for zstd, which the old formats do not have.
pub fn down_convert(
    batches: &[u8],
    format: Format,
    first_offset: i64,
    decompressed_bytes_max: usize,
) -> Result<Vec<u8>, RecordError> {
    let mut out = Vec::new();
    let mut rest = batches;
    while !rest.is_empty() {
        let prefix = Prefix::read(rest)?;
        let (bytes, after) = rest.split_at_checked(prefix.size).ok_or(RecordError::Truncated)?;
        if prefix.magic <= format.magic() {
            out.extend(bytes);
        } else if prefix.magic == MAGIC {
            out.extend(down_convert_batch(bytes, format, first_offset, decompressed_bytes_max)?);
        } else {
            out.extend(strip_timestamps(bytes, first_offset, decompressed_bytes_max)?);
        }
        rest = after;
    }
    Ok(out)
}

fn down_convert_batch(
    batch: &[u8],
    format: Format,
    first_offset: i64,
    decompressed_bytes_max: usize,
) -> Result<Vec<u8>, RecordError> {
    batch::verify_crc(batch)?;
    let header = BatchHeader::read(batch)?;
    if header.is_control() {
        return Ok(Vec::new());
    }
    let codec = header.codec()?;
    let timestamp_type = header.timestamp_type();
    let mut builder = MessageSetBuilder::new(SetOptions { format, codec, timestamp_type })?;
    RecordReader::open(batch, decompressed_bytes_max)?.for_each(|record| {
        if codec == Codec::None && record.offset < first_offset {
            return Ok(());
        }
        builder.append(record)
    })?;
    builder.finish()
}

/// Format 1 to format 0: one message, or one wrapper.
fn strip_timestamps(
    message: &[u8],
    first_offset: i64,
    decompressed_bytes_max: usize,
) -> Result<Vec<u8>, RecordError> {
    let options = SetOptions {
        format: Format::Zero,
        codec: message_set::codec(message)?,
        timestamp_type: TimestampType::CreateTime,
    };
    let mut builder = MessageSetBuilder::new(options)?;
    let visit = |message: &Message<'_>| {
        if options.codec == Codec::None && message.record.offset < first_offset {
            return Ok(());
        }
        builder.append(&message.record)
    };
    message_set::for_each(message, Tail::Whole, decompressed_bytes_max, visit)?;
    builder.finish()
}

/// Compresses the records of one batch with another codec; nothing else in them changes.
///
/// The records are read twice: once to check them, as Kafka does here, once to pass them from codec to codec.
///
/// # Errors
/// As [`for_append`].
pub fn recompress(
    batch: &[u8],
    codec: Codec,
    decompressed_bytes_max: usize,
) -> Result<Vec<u8>, RecordError> {
    batch::verify_crc(batch)?;
    let mut header = BatchHeader::read(batch)?;
    let records = batch.get(HEADER_SIZE..header.size_in_bytes()).ok_or(RecordError::Truncated)?;
    let old = header.codec()?;
    if old == codec || header.record_count == 0 {
        return Ok(batch.to_vec());
    }
    RecordReader::open(batch, decompressed_bytes_max)?.check()?;

    let mut stream = Decompressor::new(old, records, decompressed_bytes_max)?;
    let mut out = Compressor::new(codec, vec![0; HEADER_SIZE])?;
    io::copy(&mut stream, &mut out)?;
    let mut bytes = out.finish()?;
    header.set_codec(codec);
    header.batch_length = length(bytes.len().saturating_sub(LOG_OVERHEAD))?;
    batch::put(&mut bytes, 0, &header.to_bytes())?;
    batch::seal(&mut bytes)?;
    Ok(bytes)
}
