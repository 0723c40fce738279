//! Message sets: formats 0 and 1 (KIP-32), which clients before Kafka 0.11 read and write. Here they are read.
//!
//! ```text
//!  byte  size  field
//!     0     8  offset          of a wrapper: that of its last inner message
//!     8     4  length          bytes that follow this field
//!    12     4  crc             CRC-32 (IEEE) of everything from byte 16 to the end
//!    16     1  magic           0 or 1
//!    17     1  attributes      bits 0-2 codec, 3 timestamp type (format 1)
//!    18     8  timestamp       only in format 1
//!              key length (4 bytes, -1: null), key, value length (4 bytes, -1: null), value
//! ```
//!
//! A message with a codec is a wrapper: its value is a compressed message set of the same format without further
//! wrappers. Inner offsets are absolute in format 0. In format 1 they count from the first inner message, and only
//! their distance to the last one means anything. A wrapper with `LogAppendTime` overrides the inner timestamps.

use std::io::Read;

use super::batch::{LOG_OVERHEAD, Prefix};
use super::compression::{Codec, Decompressor};
use super::fields::Fields;
use super::records::{Headers, Record};
use super::{NO_TIMESTAMP, RecordError, TimestampType};

const CODEC_MASK: u8 = 0x07;
pub(super) const LOG_APPEND_TIME: u8 = 0x08;
/// Offset, length, checksum: bytes before what the checksum covers.
pub(super) const CRC_FROM: usize = 16;

/// One of the two old formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Without timestamps.
    Zero,
    /// With timestamps.
    One,
}

impl Format {
    /// The format with this magic byte.
    ///
    /// # Errors
    /// [`RecordError::BadMagic`].
    pub fn from_magic(magic: i8) -> Result<Format, RecordError> {
        match magic {
            0 => Ok(Format::Zero),
            1 => Ok(Format::One),
            _ => Err(RecordError::BadMagic(magic)),
        }
    }

    /// The magic byte.
    #[must_use]
    pub fn magic(self) -> i8 {
        match self {
            Format::Zero => 0,
            Format::One => 1,
        }
    }
}

/// Whether a message set may end inside a message. Old brokers cut fetch answers at the byte limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// It must end where a message ends.
    Whole,
    /// What is left of a message cut off at the end is passed over.
    MayBeCut,
}

/// One message, with what its wrapper says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its format.
    pub format: Format,
    /// The wrapper's codec.
    pub codec: Codec,
    /// Whose clock the timestamp comes from.
    pub timestamp_type: TimestampType,
    /// The message; old formats have no headers.
    pub record: Record<'a>,
}

/// Hands every message of `set` to `visit`, those inside wrappers one by one. Checksums are verified.
///
/// # Errors
/// What is wrong with the set, [`RecordError::TooLarge`] where the messages inside wrappers take more than
/// `decompressed_bytes_max` together, or the first error of `visit`.
pub fn for_each<E: From<RecordError>>(
    set: &[u8],
    tail: Tail,
    decompressed_bytes_max: usize,
    mut visit: impl FnMut(&Message<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut left = decompressed_bytes_max;
    let mut rest = set;
    while let Some((offset, body)) = next_whole(&mut rest, tail)? {
        let message = parse(offset, body)?;
        if message.codec == Codec::None {
            visit(&message)?;
        } else {
            let used = for_each_inner(&message, left, &mut visit)?;
            left = left.saturating_sub(used);
        }
    }
    Ok(())
}

/// The codec of the last wrapper in `set`, or none: what a batch made of it should have.
///
/// # Errors
/// What is wrong with the outer messages.
pub fn codec(set: &[u8]) -> Result<Codec, RecordError> {
    let mut rest = set;
    let mut codec = Codec::None;
    while let Some((offset, body)) = next_whole(&mut rest, Tail::Whole)? {
        let found = parse(offset, body)?.codec;
        if found != Codec::None {
            codec = found;
        }
    }
    Ok(codec)
}

/// The next outer message: its offset and what follows its length.
fn next_whole<'a>(rest: &mut &'a [u8], tail: Tail) -> Result<Option<(i64, &'a [u8])>, RecordError> {
    if rest.is_empty() {
        return Ok(None);
    }
    let mut split = || {
        let prefix = Prefix::read(rest)?;
        let (message, after) = rest.split_at_checked(prefix.size).ok_or(RecordError::Truncated)?;
        *rest = after;
        Ok((prefix.offset, message.get(LOG_OVERHEAD..).unwrap_or_default()))
    };
    match split() {
        Err(RecordError::Truncated) if tail == Tail::MayBeCut => Ok(None),
        result => result.map(Some),
    }
}

/// Reads one message from its checksum on.
fn parse(offset: i64, body: &[u8]) -> Result<Message<'_>, RecordError> {
    let mut fields = Fields::new(body);
    let crc = fields.u32()?;
    if crc32fast::hash(fields.rest()) != crc {
        return Err(RecordError::BadCrc);
    }
    let format = Format::from_magic(fields.i8()?)?;
    let attributes = fields.u8()?;
    let codec = Codec::from_number(attributes & CODEC_MASK)?;
    if codec == Codec::Zstd {
        return Err(RecordError::UnsupportedCodec(codec));
    }
    let timestamp = match format {
        Format::Zero => NO_TIMESTAMP,
        Format::One => fields.i64()?,
    };
    let timestamp_type = match format {
        Format::One if attributes & LOG_APPEND_TIME != 0 => TimestampType::LogAppendTime,
        _ => TimestampType::CreateTime,
    };
    let key_len = fields.i32()?;
    let key = fields.nullable(key_len)?;
    let value_len = fields.i32()?;
    let value = fields.nullable(value_len)?;
    if !fields.rest().is_empty() {
        return Err(RecordError::BadLength);
    }
    let record = Record { offset, timestamp, key, value, headers: Headers::NONE };
    Ok(Message { format, codec, timestamp_type, record })
}

/// Visits the messages inside a wrapper; returns how many bytes they took.
fn for_each_inner<E: From<RecordError>>(
    wrapper: &Message<'_>,
    bytes_max: usize,
    visit: &mut impl FnMut(&Message<'_>) -> Result<(), E>,
) -> Result<usize, E> {
    let base = match wrapper.format {
        Format::Zero => 0,
        // The last inner offset is known only at the end, so there are two passes.
        Format::One => {
            let mut inner = Inner::open(wrapper, bytes_max)?;
            let mut last = None;
            while let Some((offset, _)) = inner.next()? {
                last = Some(offset);
            }
            let last = last.ok_or(RecordError::BadCount)?;
            wrapper.record.offset.checked_sub(last).ok_or(RecordError::BadOffset)?
        }
    };
    let mut inner = Inner::open(wrapper, bytes_max)?;
    let mut count = 0u64;
    while let Some((offset, body)) = inner.next()? {
        let offset = base.checked_add(offset).ok_or(RecordError::BadOffset)?;
        visit(&unwrap(wrapper, parse(offset, body)?)?)?;
        count += 1;
    }
    if count == 0 {
        return Err(RecordError::BadCount.into());
    }
    Ok(inner.bytes)
}

/// What an inner message is when its wrapper is taken into account.
fn unwrap<'a>(wrapper: &Message<'_>, mut message: Message<'a>) -> Result<Message<'a>, RecordError> {
    if message.format != wrapper.format {
        return Err(RecordError::BadMagic(message.format.magic()));
    }
    if message.codec != Codec::None {
        return Err(RecordError::BadCompression(message.codec));
    }
    message.codec = wrapper.codec;
    message.timestamp_type = wrapper.timestamp_type;
    if wrapper.timestamp_type == TimestampType::LogAppendTime {
        message.record.timestamp = wrapper.record.timestamp;
    }
    Ok(message)
}

/// The messages inside a wrapper, one in memory at a time.
struct Inner<'a> {
    stream: Decompressor<'a>,
    body: Vec<u8>,
    bytes: usize,
}

impl<'a> Inner<'a> {
    fn open(wrapper: &Message<'a>, bytes_max: usize) -> Result<Inner<'a>, RecordError> {
        let compressed = wrapper.record.value.ok_or(RecordError::BadCount)?;
        let stream = Decompressor::new(wrapper.codec, compressed, bytes_max)?;
        Ok(Inner { stream, body: Vec::new(), bytes: 0 })
    }

    /// The offset as stored, and what follows the length.
    fn next(&mut self) -> Result<Option<(i64, &[u8])>, RecordError> {
        match self.fill(LOG_OVERHEAD)? {
            0 => return Ok(None),
            LOG_OVERHEAD => {}
            _ => return Err(RecordError::Truncated),
        }
        let mut fields = Fields::new(&self.body);
        let offset = fields.i64()?;
        let length = usize::try_from(fields.i32()?).map_err(|_| RecordError::BadLength)?;
        if self.fill(length)? != length {
            return Err(RecordError::Truncated);
        }
        Ok(Some((offset, &self.body)))
    }

    /// Reads up to `len` bytes; the buffer grows with what arrives, not with what was declared.
    fn fill(&mut self, len: usize) -> Result<usize, RecordError> {
        self.body.clear();
        let len = u64::try_from(len).map_err(|_| RecordError::BadLength)?;
        let count = self.stream.by_ref().take(len).read_to_end(&mut self.body)?;
        self.bytes = self.bytes.saturating_add(count);
        Ok(count)
    }
}
