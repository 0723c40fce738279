//! Kafka's record formats: batches in format 2, message sets in formats 0 and 1, and the way between them.
//!
//! | module          | what it knows                                                                 |
//! |-----------------|-------------------------------------------------------------------------------|
//! | [`batch`]       | the header of a batch in format 2: reading, checking, patching                |
//! | [`records`]     | the records inside one batch, through a bounded window                        |
//! | [`builder`]     | making batches                                                                |
//! | [`control`]     | the markers that end a transaction                                            |
//! | [`message_set`] | formats 0 and 1; [`message_set_builder`] makes them                           |
//! | [`convert`]     | old formats to format 2 and back, and from one compression to another         |
//! | [`compression`] | the four codecs as bounded streams                                            |
//!
//! Every byte that is read here came from a peer or from a disk: nothing is allocated by a declared size, and whatever
//! is wrong is a [`RecordError`].

pub mod batch;
pub mod builder;
pub mod compression;
pub mod control;
pub mod convert;
mod fields;
pub mod message_set;
pub mod message_set_builder;
pub mod records;

use std::fmt;
use std::io;

use compression::Codec;

/// The timestamp of a record that has none, as all records in format 0.
pub const NO_TIMESTAMP: i64 = -1;

/// Where a record's timestamp comes from (KIP-32).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// From the producer.
    #[default]
    CreateTime,
    /// From the broker, when it appended the batch.
    LogAppendTime,
}

/// What is wrong with records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// The bytes end before the batch, message or field does.
    Truncated,
    /// A declared length is negative, too small for its content, or leaves bytes over.
    BadLength,
    /// A format that does not exist, or not in this place.
    BadMagic(i8),
    /// The checksum is another.
    BadCrc,
    /// The number of records contradicts the offsets or the records themselves.
    BadCount,
    /// Offsets inside a batch do not rise, or have gaps where none may be.
    BadOffset,
    /// A timestamp out of range, or a kind of timestamp that does not belong here.
    BadTimestamp,
    /// A varint longer than its type.
    BadVarint,
    /// Bytes that the codec cannot decompress.
    BadCompression(Codec),
    /// More bytes than the caller's limit allows, when decompressed.
    TooLarge,
    /// A codec number that Kafka has not assigned.
    UnknownCodec(u8),
    /// A codec that this build, or the format asked for, does not have.
    UnsupportedCodec(Codec),
    /// A control record where only a client's records may be, or one that is malformed.
    BadControl,
}

impl RecordError {
    /// The reason in words, without the figures.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            RecordError::Truncated => "the records end too early",
            RecordError::BadLength => "a length in the records is wrong",
            RecordError::BadMagic(_) => "unknown record format",
            RecordError::BadCrc => "the checksum of the records is wrong",
            RecordError::BadCount => "the number of records is wrong",
            RecordError::BadOffset => "the offsets inside a batch are wrong",
            RecordError::BadTimestamp => "a timestamp in the records is not allowed",
            RecordError::BadVarint => "a varint in the records is too long",
            RecordError::BadCompression(_) => "the records cannot be decompressed",
            RecordError::TooLarge => "the decompressed records are too large",
            RecordError::UnknownCodec(_) => "unknown compression",
            RecordError::UnsupportedCodec(_) => "this compression is not supported here",
            RecordError::BadControl => "a control record is malformed or not allowed",
        }
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())?;
        match self {
            RecordError::BadMagic(magic) => write!(f, ": {magic}"),
            RecordError::UnknownCodec(number) => write!(f, ": {number}"),
            RecordError::BadCompression(codec) | RecordError::UnsupportedCodec(codec) => {
                write!(f, ": {}", codec.name())
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for RecordError {}

/// Lets a stream of decompressed bytes report what is wrong through `Read`.
impl From<RecordError> for io::Error {
    fn from(error: RecordError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// Takes back what the conversion above put in; any other error means that the stream ended too early.
impl From<io::Error> for RecordError {
    fn from(error: io::Error) -> RecordError {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<RecordError>());
        inner.copied().unwrap_or(RecordError::Truncated)
    }
}
