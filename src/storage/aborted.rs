//! The transactions that were aborted, as a segment's `.txnindex` keeps them (KIP-98): a client that reads only what was
//! committed is told of them and passes over their records.
//!
//! ```text
//!  byte  size
//!     0     2  version, 0
//!     2     8  producer id
//!    10     8  first offset of the transaction
//!    18     8  offset of the marker that ended it
//!    26     8  last stable offset after that
//! ```
//!
//! Entries of 34 bytes, big-endian, by rising offset of the marker; the marker lies in the segment.

use crate::base::ids::{Offset, ProducerId};
use crate::storage::format::{FormatError, FormatProblem, FormatReader};

const FILE: &str = "transaction index";
const VERSION: u16 = 0;
const ENTRY_BYTES: usize = 34;

/// How the file's name ends.
pub const SUFFIX: &str = ".txnindex";

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose it was.
    pub producer_id: ProducerId,
    /// Where its first record is.
    pub first_offset: Offset,
    /// Where its marker is.
    pub last_offset: Offset,
    /// Below this offset every transaction had ended when this one did.
    pub last_stable_offset: Offset,
}

/// The bytes of a file with these entries.
#[must_use]
pub fn encode(entries: &[AbortedTransaction]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for entry in entries {
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&entry.producer_id.to_be_bytes());
        bytes.extend_from_slice(&entry.first_offset.to_be_bytes());
        bytes.extend_from_slice(&entry.last_offset.to_be_bytes());
        bytes.extend_from_slice(&entry.last_stable_offset.to_be_bytes());
    }
    bytes
}

/// Reads a file's bytes.
///
/// # Errors
/// If they are no whole entries of a known version.
pub fn decode(bytes: &[u8]) -> Result<Vec<AbortedTransaction>, FormatError> {
    let mut reader = FormatReader::new(FILE, bytes);
    let mut entries = Vec::new();
    while !reader.rest().is_empty() {
        let version = reader.u16()?;
        if version != VERSION {
            let (found, newest) = (u32::from(version), u32::from(VERSION));
            return Err(reader.error(FormatProblem::Version { found, newest }));
        }
        entries.push(AbortedTransaction {
            producer_id: reader.i64()?,
            first_offset: reader.i64()?,
            last_offset: reader.i64()?,
            last_stable_offset: reader.i64()?,
        });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_kafkas() {
        // The index of tests/data/storage/mixed-0, which Kafka wrote.
        let text =
            include_str!("../../tests/data/storage/mixed-0/00000000000000000061.txnindex.hex");
        let digits: String = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .flat_map(str::split_whitespace)
            .collect();
        let bytes: Vec<u8> = (0..digits.len() / 2)
            .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        let entries = decode(&bytes).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!((entries[0].producer_id, entries[0].first_offset), (5, 62));
        assert_eq!((entries[0].last_offset, entries[0].last_stable_offset), (63, 64));
        assert_eq!(encode(&entries), bytes);
        assert!(decode(&bytes[..33]).is_err());
    }
}
