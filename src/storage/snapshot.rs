//! The producer snapshot of Kafka: who wrote to a partition last, as of an offset, so that starting need not read the
//! whole log (KIP-98).
//!
//! A file `<offset, 20 digits>.snapshot` in the partition's directory tells the state just before that offset:
//!
//! ```text
//!  byte  size
//!     0     2  version, 1
//!     2     4  CRC-32C of all that follows
//!     6     4  number of producers n, then n times, in order of producer id:
//!    10     8    producer id
//!    18     2    producer epoch
//!    20     4    last sequence of the last batch (-1: none in this epoch)
//!    24     8    last offset of the last batch (-1: none)
//!    32     4    last offset - first offset of the last batch
//!    36     8    largest timestamp of the last batch or marker
//!    44     4    coordinator epoch of the last marker (-1: none)
//!    48     8    first offset of the open transaction (-1: none)
//! ```
//!
//! All integers are big-endian. Kafka keeps the last five batches of a producer in memory but only the last one here,
//! so that a retry of an older one after a restart is taken for a gap. The four before it stand in a file of our
//! own beside this one, see [`crate::storage::earlier_batches`].

use crate::base::ids::{Offset, ProducerId};
use crate::storage::format::{FormatError, FormatProblem, FormatReader, stored_count};

const FILE: &str = "producer snapshot";
const VERSION: u16 = 1;
const CRC_POSITION: usize = 2;
const CRC_COVERS_FROM: usize = 6;
const ENTRY_BYTES: usize = 46;

/// How the file's name ends.
pub const SUFFIX: &str = ".snapshot";

/// The state of all producers of a partition at one offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerSnapshot {
    /// One entry for each producer; Kafka writes them in order of producer id.
    pub producers: Vec<ProducerEntry>,
}

/// What is known of one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its current epoch.
    pub epoch: i16,
    /// The last sequence of its last batch, -1 if it wrote none in this epoch.
    pub last_sequence: i32,
    /// The last offset of its last batch, -1 if there is none.
    pub last_offset: Offset,
    /// The last offset less the first one of its last batch.
    pub offset_delta: i32,
    /// The largest timestamp of its last batch or marker, in milliseconds.
    pub timestamp: i64,
    /// The epoch of the coordinator that wrote its last marker, -1 if there is none.
    pub coordinator_epoch: i32,
    /// Where its open transaction began.
    pub transaction_first_offset: Option<Offset>,
}

impl ProducerSnapshot {
    /// The name of the file that holds the state at `offset`.
    #[must_use]
    pub fn file_name(offset: Offset) -> String {
        format!("{offset:020}{SUFFIX}")
    }

    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut covered = Vec::with_capacity(4 + self.producers.len() * ENTRY_BYTES);
        covered.extend_from_slice(&stored_count(self.producers.len()));
        for producer in &self.producers {
            producer.encode(&mut covered);
        }
        let mut bytes = Vec::with_capacity(CRC_COVERS_FROM + covered.len());
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&covered).to_be_bytes());
        bytes.append(&mut covered);
        bytes
    }

    /// Reads the file's bytes. Bytes after the entries are tolerated if the checksum covers them, as Kafka does.
    pub fn decode(bytes: &[u8]) -> Result<ProducerSnapshot, FormatError> {
        let mut reader = FormatReader::new(FILE, bytes);
        let version = reader.u16()?;
        if version != VERSION {
            let (found, newest) = (u32::from(version), u32::from(VERSION));
            return Err(FormatError::new(FILE, 0, FormatProblem::Version { found, newest }));
        }
        let stored = reader.u32()?;
        let computed = crc32c::crc32c(reader.rest());
        if stored != computed {
            let problem = FormatProblem::Checksum { stored, computed };
            return Err(FormatError::new(FILE, CRC_POSITION, problem));
        }
        let count = reader.count(ENTRY_BYTES)?;
        let producers =
            (0..count).map(|_| ProducerEntry::decode(&mut reader)).collect::<Result<_, _>>()?;
        Ok(ProducerSnapshot { producers })
    }
}

impl ProducerEntry {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.producer_id.to_be_bytes());
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.extend_from_slice(&self.last_sequence.to_be_bytes());
        bytes.extend_from_slice(&self.last_offset.to_be_bytes());
        bytes.extend_from_slice(&self.offset_delta.to_be_bytes());
        bytes.extend_from_slice(&self.timestamp.to_be_bytes());
        bytes.extend_from_slice(&self.coordinator_epoch.to_be_bytes());
        bytes.extend_from_slice(&self.transaction_first_offset.unwrap_or(-1).to_be_bytes());
    }

    fn decode(reader: &mut FormatReader<'_>) -> Result<ProducerEntry, FormatError> {
        Ok(ProducerEntry {
            producer_id: reader.i64()?,
            epoch: reader.i16()?,
            last_sequence: reader.i32()?,
            last_offset: reader.i64()?,
            offset_delta: reader.i32()?,
            timestamp: reader.i64()?,
            coordinator_epoch: reader.i32()?,
            transaction_first_offset: Some(reader.i64()?).filter(|offset| *offset >= 0),
        })
    }
}
