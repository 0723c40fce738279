//! Batches as KIP-98 lays them out, read by a reader that storage does not use.

use chronik::base::ids::Offset;

/// One batch of a log.
pub(crate) struct Batch<'a> {
    pub(crate) base: Offset,
    pub(crate) next: Offset,
    pub(crate) epoch: i32,
    bytes: &'a [u8],
}

/// One record of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) offset: Offset,
    pub(crate) timestamp: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

fn int<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().unwrap()
}

/// The part of a batch that no broker changes: all but its base offset and its leader epoch.
pub(crate) fn content(batch: &[u8]) -> Vec<u8> {
    [&batch[8..12], &batch[16..]].concat()
}

/// The batches in a run of bytes; each is whole and its checksum is right.
pub(crate) fn batches(mut bytes: &[u8]) -> Result<Vec<Batch<'_>>, String> {
    let mut batches = Vec::new();
    while !bytes.is_empty() {
        let base = i64::from_be_bytes(int(bytes, 0));
        let len = usize::try_from(i32::from_be_bytes(int(bytes, 8))).unwrap() + 12;
        let cut = || format!("the batch at {base} is cut");
        let (batch, rest) = bytes.split_at_checked(len).ok_or_else(cut)?;
        if crc32c::crc32c(&batch[21..]) != u32::from_be_bytes(int(batch, 17)) {
            return Err(format!("the checksum of the batch at {base} is wrong"));
        }
        let next = base + i64::from(i32::from_be_bytes(int(batch, 23))) + 1;
        let epoch = i32::from_be_bytes(int(batch, 12));
        batches.push(Batch { base, next, epoch, bytes: batch });
        bytes = rest;
    }
    Ok(batches)
}

impl Batch<'_> {
    /// Its length, with its header.
    pub(crate) fn size(&self) -> u32 {
        u32::try_from(self.bytes.len()).unwrap()
    }

    pub(crate) fn max_timestamp(&self) -> i64 {
        i64::from_be_bytes(int(self.bytes, 35))
    }

    pub(crate) fn record_count(&self) -> i32 {
        i32::from_be_bytes(int(self.bytes, 57))
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        content(self.bytes)
    }

    /// Its records; it must not be compressed.
    pub(crate) fn records(&self) -> Vec<Record> {
        let first = i64::from_be_bytes(int(self.bytes, 27));
        let mut at = Reader { bytes: self.bytes, at: 61 };
        let record = |_| {
            let (_length, _attributes) = (at.varint(), at.byte());
            let timestamp = first + at.varint();
            let offset = self.base + at.varint();
            let (key, value) = (at.bytes().unwrap(), at.bytes());
            assert_eq!(at.varint(), 0, "headers");
            Record { offset, timestamp, key, value }
        };
        (0..self.record_count()).map(record).collect()
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> u8 {
        self.at += 1;
        self.bytes[self.at - 1]
    }

    fn varint(&mut self) -> i64 {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let byte = self.byte();
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return i64::try_from(value >> 1).unwrap() ^ -i64::try_from(value & 1).unwrap();
            }
        }
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let len = usize::try_from(self.varint()).ok()?;
        self.at += len;
        Some(self.bytes[self.at - len..self.at].to_vec())
    }
}
