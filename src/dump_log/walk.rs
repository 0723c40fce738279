//! The way from batch to batch through a segment, in all formats, and back onto it behind damage.

use std::fmt;
use std::io;

use super::source::{Source, WINDOW_BYTES, as_u64};
use crate::record::RecordError;
use crate::record::batch::{BatchHeader, HEADER_SIZE, PREFIX_SIZE, Prefix};

/// Bytes of an old message up to its key's length, with a timestamp.
const OLD_HEADER_BYTES: usize = 26;
const OLD_CRC_FROM: usize = 16;
const CRC_FROM: usize = 21;

/// A batch, or an old message, as its header tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Met {
    /// Where its first byte is.
    pub(crate) position: u64,
    /// Bytes in all.
    pub(crate) size: usize,
    /// The rest.
    pub(crate) head: Head,
}

/// The header in its two forms.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Head {
    /// Format 2.
    Batch(BatchHeader),
    /// Formats 0 and 1.
    Message(OldHeader),
}

/// What stands before the key of an old message, or of a wrapper of many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OldHeader {
    /// Its offset; of a wrapper, the last one inside.
    pub(crate) offset: i64,
    /// CRC-32 of what follows it.
    pub(crate) crc: u32,
    /// 0 or 1.
    pub(crate) magic: i8,
    /// Codec and timestamp type.
    pub(crate) attributes: u8,
    /// -1 in format 0.
    pub(crate) timestamp: i64,
}

impl Met {
    /// Where the next batch should be.
    pub(crate) fn end(&self) -> u64 {
        self.position.saturating_add(as_u64(self.size))
    }

    /// The first offset; of an old wrapper only the last is known.
    pub(crate) fn base_offset(&self) -> i64 {
        match &self.head {
            Head::Batch(header) => header.base_offset,
            Head::Message(header) => header.offset,
        }
    }

    /// The last offset.
    pub(crate) fn last_offset(&self) -> i64 {
        match &self.head {
            Head::Batch(header) => header.last_offset(),
            Head::Message(header) => header.offset,
        }
    }

    /// The largest timestamp.
    pub(crate) fn max_timestamp(&self) -> i64 {
        match &self.head {
            Head::Batch(header) => header.max_timestamp,
            Head::Message(header) => header.timestamp,
        }
    }
}

/// Why there is no batch where one should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Missing {
    /// The header makes no sense.
    Header(RecordError),
    /// The file ends within the batch.
    CutOff {
        /// Bytes that the batch should have.
        size: usize,
    },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::Header(error) => write!(f, "no batch: {error}"),
            Missing::CutOff { size } => write!(f, "the file ends within a batch of {size} bytes"),
        }
    }
}

/// Reads the header of the batch at `position`, all of which must lie in the file.
pub(crate) fn read_head(source: &mut Source, position: u64) -> io::Result<Result<Met, Missing>> {
    let left = source.size().saturating_sub(position);
    let bytes = source.peek(position, HEADER_SIZE)?;
    let prefix = match Prefix::read(bytes) {
        Ok(prefix) => prefix,
        Err(error) => return Ok(Err(Missing::Header(error))),
    };
    if as_u64(prefix.size) > left {
        return Ok(Err(Missing::CutOff { size: prefix.size }));
    }
    let head = if prefix.magic < 2 {
        read_old(bytes, &prefix).map(Head::Message)
    } else {
        BatchHeader::read(bytes).map(Head::Batch)
    };
    Ok(head.map(|head| Met { position, size: prefix.size, head }).map_err(Missing::Header))
}

fn read_old(bytes: &[u8], prefix: &Prefix) -> Result<OldHeader, RecordError> {
    let bytes: &[u8] = bytes.get(..OLD_HEADER_BYTES.min(prefix.size)).unwrap_or_default();
    let crc = bytes.get(12..).and_then(|rest| rest.first_chunk()).ok_or(RecordError::Truncated)?;
    let attributes = *bytes.get(17).ok_or(RecordError::Truncated)?;
    let timestamp = match prefix.magic {
        0 => -1,
        _ => {
            let rest = bytes.get(18..).and_then(|rest| rest.first_chunk());
            i64::from_be_bytes(*rest.ok_or(RecordError::Truncated)?)
        }
    };
    let crc = u32::from_be_bytes(*crc);
    Ok(OldHeader { offset: prefix.offset, crc, magic: prefix.magic, attributes, timestamp })
}

/// Whether the checksum of a batch is right, whatever its size.
pub(crate) fn is_valid(source: &mut Source, met: &Met) -> io::Result<bool> {
    let covered = |from: usize| (met.position.saturating_add(as_u64(from)), met.end());
    match &met.head {
        Head::Batch(header) => {
            let (from, to) = covered(CRC_FROM);
            let mut crc = 0;
            for_each_chunk(source, from, to, |chunk| crc = crc32c::crc32c_append(crc, chunk))?;
            Ok(crc == header.crc)
        }
        Head::Message(header) => {
            let (from, to) = covered(OLD_CRC_FROM);
            let mut hasher = crc32fast::Hasher::new();
            for_each_chunk(source, from, to, |chunk| hasher.update(chunk))?;
            Ok(hasher.finalize() == header.crc)
        }
    }
}

fn for_each_chunk(
    source: &mut Source,
    from: u64,
    to: u64,
    mut visit: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let count = usize::try_from(to - at).unwrap_or(usize::MAX).min(WINDOW_BYTES);
        let chunk = source.peek(at, count)?;
        if chunk.is_empty() {
            break;
        }
        at += as_u64(chunk.len());
        visit(chunk);
    }
    Ok(())
}

/// Where reading can go on behind damage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// The next whole batch with a right checksum; `None`: there is none up to the end.
    pub(crate) position: Option<u64>,
    /// Whether all bytes passed over are zero, as where space was reserved and not used.
    pub(crate) only_zeros: bool,
}

/// Looks from `from` on for a batch that is whole, has a right checksum, and an offset of at least `offset_min`.
pub(crate) fn find_batch(source: &mut Source, from: u64, offset_min: i64) -> io::Result<Found> {
    let mut found = Found { position: None, only_zeros: true };
    let mut at = from;
    while at < source.size() {
        let chunk = source.peek(at, WINDOW_BYTES)?;
        let step = chunk.len().saturating_sub(PREFIX_SIZE - 1).max(1);
        let zeros = chunk.iter().take_while(|byte| **byte == 0).count();
        // A batch may begin with zeros, but its length is none.
        let from = zeros.saturating_sub(PREFIX_SIZE);
        let candidates: Vec<usize> = candidates(chunk, from, offset_min).collect();
        for candidate in candidates {
            let position = at.saturating_add(as_u64(candidate));
            let Ok(met) = read_head(source, position)? else { continue };
            if is_valid(source, &met)? {
                found.only_zeros &= zeros >= candidate;
                found.position = Some(position);
                return Ok(found);
            }
        }
        found.only_zeros &= zeros >= step;
        at = at.saturating_add(as_u64(step));
    }
    Ok(found)
}

/// The places in `chunk`, not before `from`, where a batch might begin.
fn candidates(chunk: &[u8], from: usize, offset_min: i64) -> impl Iterator<Item = usize> + '_ {
    let starts = chunk.windows(PREFIX_SIZE).enumerate().skip(from);
    starts.filter_map(move |(start, bytes)| {
        // Most places fail here already.
        if *bytes.last()? > 2 {
            return None;
        }
        Prefix::read(bytes).ok().filter(|prefix| prefix.offset >= offset_min)?;
        Some(start)
    })
}
