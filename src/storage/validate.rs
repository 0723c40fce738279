//! Which batches may be appended, and how they are stamped on the way to the disk.

use super::job::{Append, AppendError, LogConfig, Origin};
use crate::base::ids::Offset;
use crate::base::payload::Bytes;
use crate::base::time::{WallMs, is_sane};
use crate::record::batch::{self, BatchHeader, Batches, CRC_FROM, HEADER_SIZE, NO_SEQUENCE};
use crate::record::records::RecordReader;
use crate::record::{NO_TIMESTAMP, RecordError, TimestampType};

/// Most bytes that the records of one batch may take when they have to be decompressed.
pub(super) const DECOMPRESSED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most records without a key that an answer names.
const KEYLESS_MAX: usize = 1000;

/// A batch that may be appended.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) header: BatchHeader,
    pub(super) bytes: Bytes,
}

/// Checks all batches of an append.
pub(super) fn check(append: &Append, config: &LogConfig) -> Result<Vec<Candidate>, AppendError> {
    let mut candidates = Vec::new();
    for found in Batches::new(&append.records) {
        let (header, bytes) = found.map_err(refuse)?;
        batch::verify_crc(&bytes).map_err(refuse)?;
        check_header(&header, append, config)?;
        if config.compact {
            check_keys(&header, &bytes)?;
        }
        candidates.push(Candidate { header, bytes });
    }
    if candidates.is_empty() {
        return Err(AppendError::Invalid("there is no batch"));
    }
    Ok(candidates)
}

/// What the rules on records are to the one who sent them.
pub(super) fn refuse(error: RecordError) -> AppendError {
    match error {
        RecordError::Truncated
        | RecordError::BadLength
        | RecordError::BadMagic(_)
        | RecordError::BadCrc => AppendError::Corrupt(error.reason()),
        RecordError::UnsupportedCodec(_) => AppendError::UnsupportedCompression,
        RecordError::TooLarge => AppendError::TooLarge,
        RecordError::BadTimestamp => AppendError::TimestampOutOfRange,
        _ => AppendError::Invalid(error.reason()),
    }
}

/// What is wrong with records whose checksums are right, or that end too early: so they were made, and it is of no use to
/// send them again.
pub(super) fn refuse_content(error: RecordError) -> AppendError {
    match error {
        RecordError::Truncated | RecordError::BadLength | RecordError::BadMagic(_) => {
            AppendError::Invalid(error.reason())
        }
        _ => refuse(error),
    }
}

fn check_header(
    header: &BatchHeader,
    append: &Append,
    config: &LogConfig,
) -> Result<(), AppendError> {
    header.check_counts().map_err(refuse)?;
    header.codec().map_err(refuse)?;
    if append.origin == Origin::Broker {
        return Ok(());
    }
    if header.size_in_bytes() > config.batch_bytes_max {
        return Err(AppendError::TooLarge);
    }
    if header.is_control() {
        return Err(AppendError::Invalid("clients may not write control batches"));
    }
    if header.is_transactional() {
        return Err(AppendError::Invalid("transactions are not supported yet"));
    }
    if header.delete_horizon().is_some() {
        return Err(AppendError::Invalid("only compaction sets a delete horizon"));
    }
    if header.has_producer() && (header.base_sequence <= NO_SEQUENCE || header.producer_epoch < 0) {
        return Err(AppendError::Invalid("an idempotent producer needs an epoch and a sequence"));
    }
    if config.log_append_time { Ok(()) } else { check_timestamps(header, append.now, config) }
}

/// The header's two timestamps stand for all: the batch is not opened.
fn check_timestamps(
    header: &BatchHeader,
    now: WallMs,
    config: &LogConfig,
) -> Result<(), AppendError> {
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return Err(AppendError::TimestampOutOfRange);
    }
    if !is_sane(now) {
        return Ok(()); // nothing is known of the distance
    }
    for timestamp in [header.base_timestamp, header.max_timestamp] {
        let too_old = now.saturating_sub(timestamp) > config.timestamp_before_ms_max;
        let too_new = timestamp.saturating_sub(now) > config.timestamp_after_ms_max;
        if timestamp != NO_TIMESTAMP && (too_old || too_new) {
            return Err(AppendError::TimestampOutOfRange);
        }
    }
    Ok(())
}

fn check_keys(header: &BatchHeader, bytes: &[u8]) -> Result<(), AppendError> {
    if header.is_control() {
        return Ok(());
    }
    // A record is looked at without holding it: it may be a thousand times as large as what was sent.
    let mut reader = RecordReader::open(bytes, DECOMPRESSED_BYTES_MAX).map_err(refuse_content)?;
    let mut keyless = Vec::new();
    for place in 0.. {
        match reader.skim().map_err(refuse_content)? {
            Some(record) if !record.has_key && keyless.len() < KEYLESS_MAX => keyless.push(place),
            Some(_) => {}
            None => break,
        }
    }
    if keyless.is_empty() { Ok(()) } else { Err(AppendError::Keyless(keyless)) }
}

/// A batch as it goes to the disk: its header stamped, the rest of its bytes as they came.
#[derive(Debug)]
pub(super) struct Stamped {
    pub(super) header: BatchHeader,
    pub(super) head: [u8; HEADER_SIZE],
    pub(super) bytes: Bytes,
}

impl Stamped {
    /// Gives a batch its offset, its leader epoch and, if need be, the broker's time.
    pub(super) fn new(
        candidate: Candidate,
        offset: Offset,
        leader_epoch: i32,
        append_time: Option<WallMs>,
    ) -> Result<Stamped, AppendError> {
        let Candidate { mut header, bytes } = candidate;
        header.base_offset = offset;
        header.partition_leader_epoch = leader_epoch;
        if let Some(time) = append_time {
            header.attributes |= LOG_APPEND_TIME;
            header.max_timestamp = time;
            let covered = header.to_bytes();
            let crc = crc32c::crc32c(covered.get(CRC_FROM..).unwrap_or_default());
            header.crc = crc32c::crc32c_append(crc, bytes.get(HEADER_SIZE..).unwrap_or_default());
        }
        Ok(Stamped { header, head: header.to_bytes(), bytes })
    }

    /// The bytes behind the header.
    pub(super) fn body(&self) -> &[u8] {
        self.bytes.get(HEADER_SIZE..).unwrap_or_default()
    }
}

/// The attribute bit that says whose time it is (KIP-32).
const LOG_APPEND_TIME: i16 = 0x08;
