//! Makes message sets of formats 0 and 1, for clients before Kafka 0.11.

use std::io::Write;

use super::batch::{LOG_OVERHEAD, put};
use super::compression::{Codec, Compressor};
use super::fields::length;
use super::message_set::{CRC_FROM, Format, LOG_APPEND_TIME};
use super::records::Record;
use super::{NO_TIMESTAMP, RecordError, TimestampType};

/// What is true of a whole message set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetOptions {
    /// The format.
    pub format: Format,
    /// With a codec, all messages go into one wrapper.
    pub codec: Codec,
    /// Whose clock the timestamps come from.
    pub timestamp_type: TimestampType,
}

impl SetOptions {
    fn time_flag(&self) -> u8 {
        match (self.format, self.timestamp_type) {
            (Format::One, TimestampType::LogAppendTime) => LOG_APPEND_TIME,
            _ => 0,
        }
    }
}

/// Writes a message set.
#[derive(Debug)]
pub struct MessageSetBuilder {
    options: SetOptions,
    out: Compressor,
    first_offset: Option<i64>,
    last_offset: i64,
    max_timestamp: i64,
    message: Vec<u8>,
}

impl MessageSetBuilder {
    /// An empty set.
    ///
    /// # Errors
    /// [`RecordError::UnsupportedCodec`]: zstd came after these formats.
    pub fn new(options: SetOptions) -> Result<MessageSetBuilder, RecordError> {
        let out = match (options.codec, options.format) {
            (Codec::None, _) => Compressor::new(Codec::None, Vec::new()),
            (Codec::Zstd, _) => Err(RecordError::UnsupportedCodec(Codec::Zstd)),
            (codec, Format::Zero) => Compressor::for_format_0(codec, empty_wrapper(options)),
            (codec, Format::One) => Compressor::new(codec, empty_wrapper(options)),
        }?;
        Ok(MessageSetBuilder {
            options,
            out,
            first_offset: None,
            last_offset: 0,
            max_timestamp: NO_TIMESTAMP,
            message: Vec::new(),
        })
    }

    /// Appends a message; what the format cannot carry is left out.
    ///
    /// # Errors
    /// [`RecordError::TooLarge`], [`RecordError::BadOffset`]: a figure beyond what the format can say.
    pub fn append(&mut self, record: &Record<'_>) -> Result<(), RecordError> {
        let first = *self.first_offset.get_or_insert(record.offset);
        let relative = self.options.codec != Codec::None && self.options.format == Format::One;
        let base = if relative { first } else { 0 };
        let offset = record.offset.checked_sub(base).ok_or(RecordError::BadOffset)?;
        self.message.clear();
        write_message(&mut self.message, self.options, &Record { offset, ..*record })?;
        self.out.write_all(&self.message).map_err(|_| RecordError::TooLarge)?;
        self.last_offset = record.offset;
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        Ok(())
    }

    /// The set; empty if nothing was appended.
    ///
    /// # Errors
    /// [`RecordError::TooLarge`].
    pub fn finish(self) -> Result<Vec<u8>, RecordError> {
        if self.first_offset.is_none() {
            return Ok(Vec::new());
        }
        let mut bytes = self.out.finish()?;
        if self.options.codec != Codec::None {
            let (offset, timestamp) = (self.last_offset, self.max_timestamp);
            seal_wrapper(&mut bytes, self.options, offset, timestamp)?;
        }
        Ok(bytes)
    }
}

fn write_message(
    out: &mut Vec<u8>,
    options: SetOptions,
    record: &Record<'_>,
) -> Result<(), RecordError> {
    let start = out.len();
    out.extend([0; CRC_FROM]);
    out.extend(options.format.magic().to_be_bytes());
    out.push(options.time_flag());
    if options.format == Format::One {
        out.extend(record.timestamp.to_be_bytes());
    }
    for part in [record.key, record.value] {
        let len = part.map_or(Ok(-1), |bytes| length(bytes.len()))?;
        out.extend(len.to_be_bytes());
        out.extend(part.unwrap_or_default());
    }
    seal(out.get_mut(start..).unwrap_or_default(), record.offset)
}

/// Fills in what can only be known at the end of a message: length and checksum.
fn seal(message: &mut [u8], offset: i64) -> Result<(), RecordError> {
    let len = length(message.len().saturating_sub(LOG_OVERHEAD))?;
    let crc = crc32fast::hash(message.get(CRC_FROM..).ok_or(RecordError::Truncated)?);
    put(message, 0, &offset.to_be_bytes())?;
    put(message, 8, &len.to_be_bytes())?;
    put(message, LOG_OVERHEAD, &crc.to_be_bytes())
}

/// A wrapper up to its value, to be sealed when the value is there.
fn empty_wrapper(options: SetOptions) -> Vec<u8> {
    let mut out = vec![0; CRC_FROM];
    out.extend(options.format.magic().to_be_bytes());
    out.push(options.codec.number() | options.time_flag());
    if options.format == Format::One {
        out.extend([0; 8]);
    }
    out.extend((-1i32).to_be_bytes());
    out.extend([0; 4]);
    out
}

fn seal_wrapper(
    wrapper: &mut [u8],
    options: SetOptions,
    offset: i64,
    timestamp: i64,
) -> Result<(), RecordError> {
    let value_at = empty_wrapper(options).len();
    let len = length(wrapper.len().saturating_sub(value_at))?;
    put(wrapper, value_at.saturating_sub(4), &len.to_be_bytes())?;
    if options.format == Format::One {
        put(wrapper, CRC_FROM + 2, &timestamp.to_be_bytes())?;
    }
    seal(wrapper, offset)
}
