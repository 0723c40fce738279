//! Makes batches of format 2 from records.

use std::io::Write;

use super::batch::{
    self, BatchHeader, HEADER_SIZE, LOG_OVERHEAD, MAGIC, NO_LEADER_EPOCH, NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID, NO_SEQUENCE,
};
use super::compression::{Codec, Compressor};
use super::fields::{length, write_varint};
use super::records::{Headers, Record};
use super::{NO_TIMESTAMP, RecordError, TimestampType};

/// What is true of a whole batch. The default is a plain batch at offset 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// Offset of the first record.
    pub base_offset: i64,
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// The idempotent producer's number.
    pub producer_id: i64,
    /// The idempotent producer's epoch.
    pub producer_epoch: i16,
    /// The idempotent producer's number of the first record.
    pub base_sequence: i32,
    /// Whether the batch belongs to a transaction.
    pub transactional: bool,
    /// Whether the records are markers.
    pub control: bool,
    /// The broker's time for all records, instead of their own.
    pub log_append_time: Option<i64>,
    /// When compaction may drop the tombstones in this batch (KIP-534).
    pub delete_horizon: Option<i64>,
    /// How the records are compressed.
    pub codec: Codec,
}

impl Default for BatchOptions {
    fn default() -> BatchOptions {
        BatchOptions {
            base_offset: 0,
            leader_epoch: NO_LEADER_EPOCH,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
            transactional: false,
            control: false,
            log_append_time: None,
            delete_horizon: None,
            codec: Codec::None,
        }
    }
}

impl BatchOptions {
    /// What is true of a batch that exists, for one that replaces it.
    ///
    /// # Errors
    /// [`RecordError::UnknownCodec`].
    pub fn of(header: &BatchHeader) -> Result<BatchOptions, RecordError> {
        let stamped = header.timestamp_type() == TimestampType::LogAppendTime;
        Ok(BatchOptions {
            base_offset: header.base_offset,
            leader_epoch: header.partition_leader_epoch,
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            transactional: header.is_transactional(),
            control: header.is_control(),
            log_append_time: stamped.then_some(header.max_timestamp),
            delete_horizon: header.delete_horizon(),
            codec: header.codec()?,
        })
    }
}

/// A batch in the making.
#[derive(Debug)]
pub struct BatchBuilder {
    options: BatchOptions,
    records: Compressor,
    record_bytes: usize,
    count: i32,
    last_offset_delta: i32,
    base_timestamp: Option<i64>,
    max_timestamp: i64,
    body: Vec<u8>,
}

impl BatchBuilder {
    /// A batch without records yet.
    ///
    /// # Errors
    /// [`RecordError::UnsupportedCodec`].
    pub fn new(options: BatchOptions) -> Result<BatchBuilder, RecordError> {
        Ok(BatchBuilder {
            records: Compressor::new(options.codec, vec![0; HEADER_SIZE])?,
            record_bytes: 0,
            count: 0,
            last_offset_delta: -1,
            base_timestamp: options.delete_horizon,
            max_timestamp: NO_TIMESTAMP,
            body: Vec::new(),
            options,
        })
    }

    /// Appends a record at the next offset.
    ///
    /// # Errors
    /// [`RecordError::TooLarge`], [`RecordError::BadTimestamp`], [`RecordError::BadOffset`]: a figure beyond what the
    /// format can say. The batch is then of no more use.
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Result<(), RecordError> {
        let mut encoded = Vec::new();
        for (name, content) in headers {
            write_nullable(&mut encoded, Some(name.as_bytes()))?;
            write_nullable(&mut encoded, *content)?;
        }
        let headers = Headers { count: length(headers.len())?, encoded: &encoded };
        let offset = self.next_offset()?;
        self.append_record(&Record { offset, timestamp, key, value, headers })
    }

    /// Appends a record at its own offset, which must lie after the last one's.
    ///
    /// # Errors
    /// As [`BatchBuilder::append`].
    pub fn append_record(&mut self, record: &Record<'_>) -> Result<(), RecordError> {
        let delta = record.offset.checked_sub(self.options.base_offset);
        let delta = delta.and_then(|delta| i32::try_from(delta).ok());
        let delta = delta.filter(|delta| *delta > self.last_offset_delta);
        let delta = delta.ok_or(RecordError::BadOffset)?;
        let base = *self.base_timestamp.get_or_insert(record.timestamp);
        let timestamp_delta =
            record.timestamp.checked_sub(base).ok_or(RecordError::BadTimestamp)?;
        self.count = self.count.checked_add(1).ok_or(RecordError::TooLarge)?;

        self.body.clear();
        self.body.push(0);
        write_varint(&mut self.body, timestamp_delta);
        write_varint(&mut self.body, i64::from(delta));
        write_nullable(&mut self.body, record.key)?;
        write_nullable(&mut self.body, record.value)?;
        write_varint(&mut self.body, i64::from(record.headers.count));
        self.body.extend_from_slice(record.headers.encoded);
        let mut prefix = Vec::with_capacity(5);
        write_varint(&mut prefix, i64::from(length(self.body.len())?));

        self.write(&prefix)?;
        let body = std::mem::take(&mut self.body);
        self.write(&body)?;
        self.body = body;
        self.last_offset_delta = delta;
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        self.record_bytes = self.record_bytes.saturating_add(bytes.len());
        self.records.write_all(bytes).map_err(|_| RecordError::TooLarge)
    }

    /// The offset that the next record gets.
    fn next_offset(&self) -> Result<i64, RecordError> {
        let after = i64::from(self.last_offset_delta) + 1;
        self.options.base_offset.checked_add(after).ok_or(RecordError::BadOffset)
    }

    /// Number of records so far.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.count).unwrap_or(0)
    }

    /// Whether there are none yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes so far, before compression.
    #[must_use]
    pub fn size_in_bytes(&self) -> usize {
        self.record_bytes.saturating_add(HEADER_SIZE)
    }

    /// The batch.
    ///
    /// # Errors
    /// [`RecordError::BadCount`] without records; [`RecordError::TooLarge`] beyond what the format can say.
    pub fn finish(self) -> Result<Vec<u8>, RecordError> {
        if self.count == 0 {
            return Err(RecordError::BadCount);
        }
        let mut header = self.header();
        let mut bytes = self.records.finish()?;
        header.batch_length = length(bytes.len().saturating_sub(LOG_OVERHEAD))?;
        batch::put(&mut bytes, 0, &header.to_bytes())?;
        batch::seal(&mut bytes)?;
        Ok(bytes)
    }

    /// The batch, ending at an offset that no record of it need have: compaction keeps the numbers that a producer gave
    /// out.
    ///
    /// # Errors
    /// As [`BatchBuilder::finish`]; [`RecordError::BadOffset`] for an offset before the last record's.
    pub fn finish_at(mut self, last_offset: i64) -> Result<Vec<u8>, RecordError> {
        let delta = last_offset.checked_sub(self.options.base_offset);
        let delta = delta.and_then(|delta| i32::try_from(delta).ok());
        let delta = delta.filter(|delta| *delta >= self.last_offset_delta);
        self.last_offset_delta = delta.ok_or(RecordError::BadOffset)?;
        self.finish()
    }

    fn header(&self) -> BatchHeader {
        let options = &self.options;
        let stamped = options.log_append_time.is_some();
        let timestamp_type =
            if stamped { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
        BatchHeader {
            base_offset: options.base_offset,
            batch_length: 0,
            partition_leader_epoch: options.leader_epoch,
            magic: MAGIC,
            crc: 0,
            attributes: BatchHeader::attributes_of(
                options.codec,
                timestamp_type,
                options.transactional,
                options.control,
                options.delete_horizon.is_some(),
            ),
            last_offset_delta: self.last_offset_delta,
            base_timestamp: self.base_timestamp.unwrap_or(NO_TIMESTAMP),
            max_timestamp: options.log_append_time.unwrap_or(self.max_timestamp),
            producer_id: options.producer_id,
            producer_epoch: options.producer_epoch,
            base_sequence: options.base_sequence,
            record_count: self.count,
        }
    }
}

/// What stays of a batch when compaction has removed all of its records: the header, for its producer and its
/// offsets.
///
/// # Errors
/// None; the header is always whole.
pub fn without_records(header: &BatchHeader) -> Result<Vec<u8>, RecordError> {
    let attributes = BatchHeader::attributes_of(
        Codec::None,
        header.timestamp_type(),
        header.is_transactional(),
        header.is_control(),
        false,
    );
    let empty = BatchHeader {
        batch_length: length(HEADER_SIZE - LOG_OVERHEAD)?,
        magic: MAGIC,
        attributes,
        base_timestamp: NO_TIMESTAMP,
        record_count: 0,
        ..*header
    };
    let mut bytes = empty.to_bytes().to_vec();
    batch::seal(&mut bytes)?;
    Ok(bytes)
}

fn write_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) -> Result<(), RecordError> {
    let len = bytes.map_or(Ok(-1), |bytes| length(bytes.len()))?;
    write_varint(out, i64::from(len));
    out.extend_from_slice(bytes.unwrap_or_default());
    Ok(())
}
