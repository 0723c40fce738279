//! What Kafka's producer snapshot has no room for: up to four batches before each producer's last one, so that a retry
//! of any of the five that a client may have in flight is recognised after a restart, too.
//!
//! A file `<offset, 20 digits>.batches` beside the `.snapshot` of the same offset, written with it and removed with
//! it. Kafka ignores it. Where it is missing or damaged, the batches themselves are read again.
//!
//! ```text
//!  byte  size
//!     0     8  magic, "CHRKBTCH"
//!     8     4  version, 1
//!    12     4  number of batches n, then n times, by rising producer id and offset:
//!    16     8    producer id
//!    24     2    producer epoch
//!    26     4    last sequence
//!    30     8    last offset
//!    38     4    last offset - first offset
//!    42     8    largest timestamp
//!   end     4  CRC-32 of all before it
//! ```

use crate::base::ids::{Offset, ProducerId};
use crate::storage::format::{FormatError, FormatReader, push_crc32, stored_count};

const FILE: &str = "earlier batches";
const MAGIC: &[u8; 8] = b"CHRKBTCH";
const VERSION: u32 = 1;
const BATCH_BYTES: usize = 34;

/// How the file's name ends.
pub const SUFFIX: &str = ".batches";

/// The batches before the last one, of all producers of a partition at one offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EarlierBatches {
    /// By rising producer id, and by rising offset for each.
    pub batches: Vec<EarlierBatch>,
}

/// One batch that a producer wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlierBatch {
    /// The producer.
    pub producer_id: ProducerId,
    /// The producer's epoch when it wrote the batch.
    pub epoch: i16,
    /// The batch's last sequence.
    pub last_sequence: i32,
    /// The batch's last offset.
    pub last_offset: Offset,
    /// The batch's last offset less its first one.
    pub offset_delta: i32,
    /// The batch's largest timestamp, in milliseconds.
    pub timestamp: i64,
}

impl EarlierBatches {
    /// The name of the file that goes with the snapshot at `offset`.
    #[must_use]
    pub fn file_name(offset: Offset) -> String {
        format!("{offset:020}{SUFFIX}")
    }

    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(20 + self.batches.len() * BATCH_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&stored_count(self.batches.len()));
        for batch in &self.batches {
            bytes.extend_from_slice(&batch.producer_id.to_be_bytes());
            bytes.extend_from_slice(&batch.epoch.to_be_bytes());
            bytes.extend_from_slice(&batch.last_sequence.to_be_bytes());
            bytes.extend_from_slice(&batch.last_offset.to_be_bytes());
            bytes.extend_from_slice(&batch.offset_delta.to_be_bytes());
            bytes.extend_from_slice(&batch.timestamp.to_be_bytes());
        }
        push_crc32(&mut bytes);
        bytes
    }

    /// Reads the file's bytes.
    pub fn decode(bytes: &[u8]) -> Result<EarlierBatches, FormatError> {
        let mut reader = FormatReader::open(FILE, MAGIC, VERSION, bytes)?;
        let count = reader.count(BATCH_BYTES)?;
        let batches =
            (0..count).map(|_| EarlierBatch::decode(&mut reader)).collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(EarlierBatches { batches })
    }
}

impl EarlierBatch {
    fn decode(reader: &mut FormatReader<'_>) -> Result<EarlierBatch, FormatError> {
        Ok(EarlierBatch {
            producer_id: reader.i64()?,
            epoch: reader.i16()?,
            last_sequence: reader.i32()?,
            last_offset: reader.i64()?,
            offset_delta: reader.i32()?,
            timestamp: reader.i64()?,
        })
    }
}
