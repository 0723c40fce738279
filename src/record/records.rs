//! The records inside one batch of format 2, one at a time.
//!
//! ```text
//! length (varint, of what follows), attributes (1 byte, unused), timestamp delta (varlong), offset delta (varint),
//! key length (varint, -1: null), key, value length (varint, -1: null), value,
//! header count (varint), headers: key length (varint), key, value length (varint, -1: null), value
//! ```
//!
//! A compressed batch is decompressed through a window while it is read: memory holds the window and one record, or
//! the window alone where a caller skims over keys and values.

use std::io::{BufRead, BufReader, Read, Take};

use super::batch::{self, BatchHeader, HEADER_SIZE};
use super::compression::{Codec, Decompressor};
use super::fields::{Fields, varint, varlong};
use super::{RecordError, TimestampType};

/// Decompressed bytes that are read ahead.
const WINDOW_BYTES: usize = 16 * 1024;

/// One record, borrowed from its batch or from the reader's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its place in the partition.
    pub offset: i64,
    /// Milliseconds since 1970, or [`super::NO_TIMESTAMP`].
    pub timestamp: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: Headers<'a>,
}

/// The headers of a record (KIP-82), in their encoded form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    pub(super) count: i32,
    pub(super) encoded: &'a [u8],
}

impl<'a> Headers<'a> {
    /// No headers.
    pub const NONE: Headers<'static> = Headers { count: 0, encoded: &[] };

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.count).unwrap_or(0)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Keys and values, in order. Kafka means keys to be UTF-8 but does not check.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut fields = Fields::new(self.encoded);
        // They were checked when the record was read, so none is an error.
        (0..self.count).map_while(move |_| read_header(&mut fields).ok())
    }
}

fn read_header<'a>(fields: &mut Fields<'a>) -> Result<(&'a [u8], Option<&'a [u8]>), RecordError> {
    let key_len = fields.varint()?;
    let key = fields.nullable(key_len)?.ok_or(RecordError::BadLength)?;
    let value_len = fields.varint()?;
    Ok((key, fields.nullable(value_len)?))
}

/// What skimming keeps of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Its place in the partition.
    pub offset: i64,
    /// Milliseconds since 1970, or [`super::NO_TIMESTAMP`].
    pub timestamp: i64,
    /// Whether it has a key, as compaction needs.
    pub has_key: bool,
}

/// Reads the records of one batch, checking them on the way.
#[derive(Debug)]
pub struct RecordReader<'a> {
    header: BatchHeader,
    source: Source<'a>,
    left: i32,
    last_delta: i32,
    dense: bool,
}

#[derive(Debug)]
enum Source<'a> {
    Slice(Fields<'a>),
    Stream { window: BufReader<Decompressor<'a>>, record: Vec<u8> },
}

impl<'a> RecordReader<'a> {
    /// Opens one whole batch, whose checksum is the caller's business. Reading ends with
    /// [`RecordError::TooLarge`] where the records take more than `decompressed_bytes_max`.
    ///
    /// # Errors
    /// What [`BatchHeader::read`] finds; [`RecordError::Truncated`], [`RecordError::UnknownCodec`],
    /// [`RecordError::UnsupportedCodec`], [`RecordError::BadCount`].
    pub fn open(
        batch: &'a [u8],
        decompressed_bytes_max: usize,
    ) -> Result<RecordReader<'a>, RecordError> {
        let header = BatchHeader::read(batch)?;
        let records =
            batch.get(HEADER_SIZE..header.size_in_bytes()).ok_or(RecordError::Truncated)?;
        if header.record_count < 0 || header.last_offset_delta < 0 {
            return Err(RecordError::BadCount);
        }
        let source = match header.codec()? {
            // Without records there is nothing to decompress: compaction leaves such batches.
            _ if header.record_count == 0 => Source::Slice(Fields::new(records)),
            Codec::None => Source::Slice(Fields::new(records)),
            codec => {
                let stream = Decompressor::new(codec, records, decompressed_bytes_max)?;
                let window = BufReader::with_capacity(WINDOW_BYTES, stream);
                Source::Stream { window, record: Vec::new() }
            }
        };
        Ok(RecordReader { header, source, left: header.record_count, last_delta: -1, dense: false })
    }

    /// Demands offsets without gaps, as in every batch that a producer sends.
    #[must_use]
    pub fn dense(mut self) -> Self {
        self.dense = true;
        self
    }

    /// The batch's header.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The next record. `None`: all were read, and nothing lies behind the last.
    ///
    /// # Errors
    /// What is wrong with the record. There is no reading on after an error.
    #[expect(clippy::should_implement_trait, reason = "the record borrows from the reader")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, RecordError> {
        if self.left == 0 {
            return self.source.check_end().map(|()| None);
        }
        self.left -= 1;
        let body = self.source.next_body()?;
        let (delta, record) = parse(&self.header, body)?;
        check_delta(delta, &mut self.last_delta, self.dense, &self.header)?;
        Ok(Some(record))
    }

    /// As [`RecordReader::next`], with the same checks, but without holding key, value and headers: a record of any
    /// size takes no memory.
    ///
    /// # Errors
    /// As [`RecordReader::next`].
    pub fn skim(&mut self) -> Result<Option<Outline>, RecordError> {
        if self.left == 0 {
            return self.source.check_end().map(|()| None);
        }
        self.left -= 1;
        let (delta, outline) = match &mut self.source {
            Source::Slice(fields) => skim_record(&self.header, next_stream(fields.rest_mut())?)?,
            Source::Stream { window, .. } => skim_record(&self.header, next_stream(window)?)?,
        };
        check_delta(delta, &mut self.last_delta, self.dense, &self.header)?;
        Ok(Some(outline))
    }

    /// Checks what is left, without holding it.
    ///
    /// # Errors
    /// As [`RecordReader::next`].
    pub fn check(mut self) -> Result<(), RecordError> {
        while self.skim()?.is_some() {}
        Ok(())
    }

    /// Hands every record that is left to `visit`.
    ///
    /// # Errors
    /// The first error of reading or of `visit`.
    pub fn for_each<E: From<RecordError>>(
        mut self,
        mut visit: impl FnMut(&Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(record) = self.next()? {
            visit(&record)?;
        }
        Ok(())
    }

    /// The offset and timestamp of the first record whose timestamp is `timestamp` or later.
    ///
    /// # Errors
    /// What is wrong with the records before it.
    pub fn first_at_or_after(mut self, timestamp: i64) -> Result<Option<(i64, i64)>, RecordError> {
        while let Some(record) = self.skim()? {
            if record.timestamp >= timestamp {
                return Ok(Some((record.offset, record.timestamp)));
            }
        }
        Ok(None)
    }

    /// The offset and timestamp of the first record that has the largest timestamp. The header's figure is not
    /// trusted, except that the search ends when it is met.
    ///
    /// # Errors
    /// What is wrong with the records.
    pub fn first_largest(mut self) -> Result<Option<(i64, i64)>, RecordError> {
        let end = self.header.max_timestamp;
        let mut found: Option<(i64, i64)> = None;
        while let Some(record) = self.skim()? {
            if found.is_none_or(|(_, largest)| record.timestamp > largest) {
                found = Some((record.offset, record.timestamp));
            }
            if record.timestamp == end {
                break;
            }
        }
        Ok(found)
    }
}

impl Source<'_> {
    /// The bytes of the next record, without its length.
    fn next_body(&mut self) -> Result<&[u8], RecordError> {
        match self {
            Source::Slice(fields) => {
                let length = fields.varint()?;
                fields.bytes(usize::try_from(length).map_err(|_| RecordError::BadLength)?)
            }
            Source::Stream { window, record } => {
                let mut body = next_stream(window)?;
                record.clear();
                // Grows with what arrives, not with what was declared.
                body.read_to_end(record)?;
                if body.limit() == 0 { Ok(record) } else { Err(RecordError::Truncated) }
            }
        }
    }

    fn check_end(&mut self) -> Result<(), RecordError> {
        let ended = match self {
            Source::Slice(fields) => fields.rest().is_empty(),
            Source::Stream { window, .. } => window.fill_buf()?.is_empty(),
        };
        if ended { Ok(()) } else { Err(RecordError::BadLength) }
    }
}

/// The bytes of the next record, still to be read.
fn next_stream<R: BufRead>(window: &mut R) -> Result<Take<&mut R>, RecordError> {
    let length = varint(|| next_byte(window))?;
    Ok(window.take(u64::try_from(length).map_err(|_| RecordError::BadLength)?))
}

fn next_byte(stream: &mut impl BufRead) -> Result<u8, RecordError> {
    let byte = *stream.fill_buf()?.first().ok_or(RecordError::Truncated)?;
    stream.consume(1);
    Ok(byte)
}

fn check_delta(
    delta: i32,
    last: &mut i32,
    dense: bool,
    header: &BatchHeader,
) -> Result<(), RecordError> {
    let wanted = last.checked_add(1).ok_or(RecordError::BadOffset)?;
    let in_order = if dense { delta == wanted } else { delta >= wanted };
    if !in_order || delta > header.last_offset_delta {
        return Err(RecordError::BadOffset);
    }
    *last = delta;
    Ok(())
}

/// The offset delta and the record in `body`.
fn parse<'b>(header: &BatchHeader, body: &'b [u8]) -> Result<(i32, Record<'b>), RecordError> {
    let mut fields = Fields::new(body);
    fields.i8()?;
    let timestamp_delta = fields.varlong()?;
    let delta = fields.varint()?;
    let key_len = fields.varint()?;
    let key = fields.nullable(key_len)?;
    let value_len = fields.varint()?;
    let value = fields.nullable(value_len)?;
    let count = fields.varint()?;
    let headers = Headers { count, encoded: fields.rest() };
    if count < 0 {
        return Err(RecordError::BadCount);
    }
    for _ in 0..count {
        read_header(&mut fields)?;
    }
    if !fields.rest().is_empty() {
        return Err(RecordError::BadLength);
    }
    let offset = header.base_offset.checked_add(i64::from(delta)).ok_or(RecordError::BadOffset)?;
    let timestamp = timestamp_of(header, timestamp_delta);
    Ok((delta, Record { offset, timestamp, key, value, headers }))
}

fn timestamp_of(header: &BatchHeader, delta: i64) -> i64 {
    match header.timestamp_type() {
        // Kafka lets this sum wrap; it is the producer's figure and nothing here depends on it.
        TimestampType::CreateTime => header.base_timestamp.wrapping_add(delta),
        TimestampType::LogAppendTime => header.max_timestamp,
    }
}

/// As [`parse`], passing over everything that has a length.
fn skim_record(
    header: &BatchHeader,
    mut body: Take<impl BufRead>,
) -> Result<(i32, Outline), RecordError> {
    next_byte(&mut body)?;
    let timestamp_delta = varlong(|| next_byte(&mut body))?;
    let delta = varint(|| next_byte(&mut body))?;
    let has_key = skip_nullable(&mut body)?;
    skip_nullable(&mut body)?;
    let count = varint(|| next_byte(&mut body))?;
    if count < 0 {
        return Err(RecordError::BadCount);
    }
    for _ in 0..count {
        if !skip_nullable(&mut body)? {
            return Err(RecordError::BadLength);
        }
        skip_nullable(&mut body)?;
    }
    if body.limit() != 0 {
        return Err(RecordError::BadLength);
    }
    let offset = header.base_offset.checked_add(i64::from(delta)).ok_or(RecordError::BadOffset)?;
    let timestamp = timestamp_of(header, timestamp_delta);
    Ok((delta, Outline { offset, timestamp, has_key }))
}

/// Passes over bytes behind their length; whether they are not null.
fn skip_nullable(body: &mut impl BufRead) -> Result<bool, RecordError> {
    let len = varint(|| next_byte(body))?;
    if len == -1 {
        return Ok(false);
    }
    let mut left = usize::try_from(len).map_err(|_| RecordError::BadLength)?;
    while left > 0 {
        let ahead = body.fill_buf()?.len().min(left);
        if ahead == 0 {
            return Err(RecordError::Truncated);
        }
        body.consume(ahead);
        left -= ahead;
    }
    Ok(true)
}

/// Checks one whole batch as it must be when a producer sends it: checksum, counts, and every record.
///
/// # Errors
/// What is wrong with it.
pub fn check_batch(bytes: &[u8], decompressed_bytes_max: usize) -> Result<(), RecordError> {
    batch::verify_crc(bytes)?;
    BatchHeader::read(bytes)?.check_counts()?;
    RecordReader::open(bytes, decompressed_bytes_max)?.dense().check()
}
