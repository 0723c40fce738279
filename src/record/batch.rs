//! Batches in format 2 (KIP-98): the header, its checks, and the fields that a broker patches.
//!
//! ```text
//!  byte  size  field
//!     0     8  base offset             offset of the first record; the broker sets it
//!     8     4  batch length            bytes that follow this field
//!    12     4  partition leader epoch  the broker sets it
//!    16     1  magic                   2; in the formats before, this byte holds 0 or 1
//!    17     4  crc                     CRC-32C of everything from byte 21 to the end
//!    21     2  attributes              bits 0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon
//!    23     4  last offset delta       offset of the last record, from the base offset
//!    27     8  base timestamp          timestamp of the first record; with bit 6, the delete horizon (KIP-534)
//!    35     8  max timestamp           the largest; with LogAppendTime, the timestamp of all
//!    43     8  producer id             -1: not idempotent
//!    51     2  producer epoch
//!    53     4  base sequence           number of the first record; the numbers wrap from i32::MAX to 0
//!    57     4  record count
//!    61        records                 one after the other; all of them compressed together if there is a codec
//! ```
//!
//! Bytes 0 to 20 are outside the checksum, so base offset and leader epoch can change without opening the batch.

use super::compression::Codec;
use super::fields::Fields;
use super::{RecordError, TimestampType};
use crate::base::payload::Bytes;

/// Bytes before the part that [`BatchHeader::batch_length`] counts: the same in all formats.
pub const LOG_OVERHEAD: usize = 12;
/// Bytes that [`Prefix::read`] wants to see.
pub const PREFIX_SIZE: usize = 17;
/// Bytes before the first record.
pub const HEADER_SIZE: usize = 61;
/// The magic byte of this format.
pub const MAGIC: i8 = 2;
/// The producer id of a batch that is not idempotent.
pub const NO_PRODUCER_ID: i64 = -1;
/// The producer epoch of a batch that is not idempotent.
pub const NO_PRODUCER_EPOCH: i16 = -1;
/// The sequence of a batch that is not idempotent, and of markers.
pub const NO_SEQUENCE: i32 = -1;
/// The leader epoch of a batch that no broker has stamped.
pub const NO_LEADER_EPOCH: i32 = -1;

const BASE_OFFSET_AT: usize = 0;
const LEADER_EPOCH_AT: usize = 12;
const CRC_AT: usize = 17;
/// Where the bytes begin that the checksum covers.
pub const CRC_FROM: usize = 21;
const ATTRIBUTES_AT: usize = 21;
const MAX_TIMESTAMP_AT: usize = 35;

const CODEC_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
const DELETE_HORIZON: i16 = 0x40;

/// The first bytes of a batch or old message, whatever its format: enough to walk over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Base offset of a batch; of an old message, its own or its last inner message's offset.
    pub offset: i64,
    /// Bytes in all, these included.
    pub size: usize,
    /// The format.
    pub magic: i8,
}

impl Prefix {
    /// Reads the first [`PREFIX_SIZE`] bytes.
    ///
    /// # Errors
    /// [`RecordError::Truncated`] for fewer bytes; [`RecordError::BadMagic`] and [`RecordError::BadLength`] for
    /// what cannot be a batch.
    pub fn read(bytes: &[u8]) -> Result<Prefix, RecordError> {
        let mut fields = Fields::new(bytes);
        let offset = fields.i64()?;
        let length = fields.i32()?;
        fields.bytes(4)?;
        let magic = fields.i8()?;
        let least = match magic {
            0 => 14,
            1 => 22,
            2 => HEADER_SIZE - LOG_OVERHEAD,
            _ => return Err(RecordError::BadMagic(magic)),
        };
        match usize::try_from(length) {
            Ok(length) if length >= least => {
                Ok(Prefix { offset, size: LOG_OVERHEAD + length, magic })
            }
            _ => Err(RecordError::BadLength),
        }
    }
}

/// All fields of a batch's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Bytes after this field.
    pub batch_length: i32,
    /// The epoch of the leader that appended the batch.
    pub partition_leader_epoch: i32,
    /// The format, always [`MAGIC`].
    pub magic: i8,
    /// The checksum as stored.
    pub crc: u32,
    /// Codec and flags; the methods give them names.
    pub attributes: i16,
    /// Offset of the last record, from the base offset.
    pub last_offset_delta: i32,
    /// What the records' timestamps count from, in milliseconds since 1970.
    pub base_timestamp: i64,
    /// The largest timestamp.
    pub max_timestamp: i64,
    /// Who wrote it, or [`NO_PRODUCER_ID`].
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// The producer's number of the first record.
    pub base_sequence: i32,
    /// Number of records; 0 only after compaction.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads a header from the first [`HEADER_SIZE`] bytes; the records need not be there.
    ///
    /// # Errors
    /// [`RecordError::Truncated`], [`RecordError::BadMagic`], [`RecordError::BadLength`].
    pub fn read(bytes: &[u8]) -> Result<BatchHeader, RecordError> {
        let prefix = Prefix::read(bytes)?;
        if prefix.magic != MAGIC {
            return Err(RecordError::BadMagic(prefix.magic));
        }
        let mut fields = Fields::new(bytes);
        Ok(BatchHeader {
            base_offset: fields.i64()?,
            batch_length: fields.i32()?,
            partition_leader_epoch: fields.i32()?,
            magic: fields.i8()?,
            crc: fields.u32()?,
            attributes: fields.i16()?,
            last_offset_delta: fields.i32()?,
            base_timestamp: fields.i64()?,
            max_timestamp: fields.i64()?,
            producer_id: fields.i64()?,
            producer_epoch: fields.i16()?,
            base_sequence: fields.i32()?,
            record_count: fields.i32()?,
        })
    }

    /// The header as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_SIZE] {
        let mut out = [0; HEADER_SIZE];
        let mut rest = out.as_mut_slice();
        let mut put = |field: &[u8]| {
            if let Some((place, behind)) =
                std::mem::take(&mut rest).split_at_mut_checked(field.len())
            {
                place.copy_from_slice(field);
                rest = behind;
            }
        };
        put(&self.base_offset.to_be_bytes());
        put(&self.batch_length.to_be_bytes());
        put(&self.partition_leader_epoch.to_be_bytes());
        put(&self.magic.to_be_bytes());
        put(&self.crc.to_be_bytes());
        put(&self.attributes.to_be_bytes());
        put(&self.last_offset_delta.to_be_bytes());
        put(&self.base_timestamp.to_be_bytes());
        put(&self.max_timestamp.to_be_bytes());
        put(&self.producer_id.to_be_bytes());
        put(&self.producer_epoch.to_be_bytes());
        put(&self.base_sequence.to_be_bytes());
        put(&self.record_count.to_be_bytes());
        out
    }

    /// How the records are compressed.
    ///
    /// # Errors
    /// [`RecordError::UnknownCodec`].
    pub fn codec(&self) -> Result<Codec, RecordError> {
        Codec::from_attributes(self.attributes)
    }

    /// Whether the batch belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether the records are the broker's own markers, which no consumer sees.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Whether an idempotent or transactional producer wrote it.
    #[must_use]
    pub fn has_producer(&self) -> bool {
        self.producer_id > NO_PRODUCER_ID
    }

    /// Whose clock the timestamps come from.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// When compaction may drop the tombstones and markers in this batch (KIP-534), if that is settled.
    #[must_use]
    pub fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    /// Offset of the last record. Saturates, so that a forged delta cannot overflow.
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The offset after the last record.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Bytes of the whole batch. A header that was read has a positive length.
    #[must_use]
    pub fn size_in_bytes(&self) -> usize {
        LOG_OVERHEAD.saturating_add(usize::try_from(self.batch_length).unwrap_or(0))
    }

    /// The producer's number of the last record, or [`NO_SEQUENCE`].
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return NO_SEQUENCE;
        }
        add_to_sequence(self.base_sequence, self.last_offset_delta)
    }

    /// Whether count and last offset delta agree, and there is at least one record: so it must be in every batch
    /// that a producer sends.
    ///
    /// # Errors
    /// [`RecordError::BadCount`].
    pub fn check_counts(&self) -> Result<(), RecordError> {
        let last = self.record_count.checked_sub(1);
        let agree = self.record_count >= 1 && last == Some(self.last_offset_delta);
        if agree { Ok(()) } else { Err(RecordError::BadCount) }
    }

    /// The attributes for these properties.
    pub(super) fn attributes_of(
        codec: Codec,
        timestamp_type: TimestampType,
        transactional: bool,
        control: bool,
        delete_horizon: bool,
    ) -> i16 {
        let flag = |set: bool, bit: i16| if set { bit } else { 0 };
        i16::from(codec.number())
            | flag(timestamp_type == TimestampType::LogAppendTime, LOG_APPEND_TIME)
            | flag(transactional, TRANSACTIONAL)
            | flag(control, CONTROL)
            | flag(delete_horizon, DELETE_HORIZON)
    }

    /// Replaces the codec in the attributes.
    pub(super) fn set_codec(&mut self, codec: Codec) {
        self.attributes = (self.attributes & !CODEC_MASK) | i16::from(codec.number());
    }
}

/// The sequence `delta` records after `sequence`: after `i32::MAX` comes 0.
#[must_use]
pub fn add_to_sequence(sequence: i32, delta: i32) -> i32 {
    const COUNT: i64 = 1 << 31;
    let sum = (i64::from(sequence) + i64::from(delta)).rem_euclid(COUNT);
    i32::try_from(sum).unwrap_or(NO_SEQUENCE)
}

/// Compares the checksum of one whole batch with its content.
///
/// # Errors
/// [`RecordError::BadCrc`]; [`RecordError::Truncated`] for fewer bytes than a header.
pub fn verify_crc(batch: &[u8]) -> Result<(), RecordError> {
    let stored = Fields::new(batch.get(CRC_AT..).unwrap_or_default()).u32()?;
    let covered = batch.get(CRC_FROM..).ok_or(RecordError::Truncated)?;
    if crc32c::crc32c(covered) == stored { Ok(()) } else { Err(RecordError::BadCrc) }
}

/// Moves a batch: its first record gets this offset.
///
/// # Errors
/// [`RecordError::Truncated`].
pub fn set_base_offset(batch: &mut [u8], offset: i64) -> Result<(), RecordError> {
    put(batch, BASE_OFFSET_AT, &offset.to_be_bytes())
}

/// Stamps the leader's epoch.
///
/// # Errors
/// [`RecordError::Truncated`].
pub fn set_leader_epoch(batch: &mut [u8], epoch: i32) -> Result<(), RecordError> {
    put(batch, LEADER_EPOCH_AT, &epoch.to_be_bytes())
}

/// Gives all records of one whole batch the broker's time, and computes the checksum anew.
///
/// # Errors
/// [`RecordError::Truncated`].
pub fn set_log_append_time(batch: &mut [u8], timestamp: i64) -> Result<(), RecordError> {
    let attributes = Fields::new(batch.get(ATTRIBUTES_AT..).unwrap_or_default()).i16()?;
    put(batch, ATTRIBUTES_AT, &(attributes | LOG_APPEND_TIME).to_be_bytes())?;
    put(batch, MAX_TIMESTAMP_AT, &timestamp.to_be_bytes())?;
    seal(batch)
}

/// Computes the checksum of one whole batch anew.
pub(super) fn seal(batch: &mut [u8]) -> Result<(), RecordError> {
    let crc = crc32c::crc32c(batch.get(CRC_FROM..).ok_or(RecordError::Truncated)?);
    put(batch, CRC_AT, &crc.to_be_bytes())
}

pub(super) fn put(bytes: &mut [u8], at: usize, value: &[u8]) -> Result<(), RecordError> {
    let end = at.checked_add(value.len()).ok_or(RecordError::Truncated)?;
    bytes.get_mut(at..end).ok_or(RecordError::Truncated)?.copy_from_slice(value);
    Ok(())
}

/// Walks over the batches of a buffer, which must end where a batch ends.
///
/// Only lengths and formats are checked on the way. After an error there is nothing more.
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
}

impl Batches {
    /// The batches in `bytes`.
    #[must_use]
    pub fn new(bytes: &Bytes) -> Batches {
        Batches { rest: bytes.clone() }
    }

    fn take(&mut self) -> Result<(BatchHeader, Bytes), RecordError> {
        let header = BatchHeader::read(&self.rest)?;
        let size = header.size_in_bytes();
        let batch = self.rest.slice(0..size).ok_or(RecordError::Truncated)?;
        self.rest = self.rest.slice(size..self.rest.len()).ok_or(RecordError::Truncated)?;
        Ok((header, batch))
    }
}

impl Iterator for Batches {
    type Item = Result<(BatchHeader, Bytes), RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let result = self.take();
        if result.is_err() {
            self.rest = Bytes::new();
        }
        Some(result)
    }
}
