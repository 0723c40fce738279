//! The LZ4 frame format, with Kafka's old mistake in the header.
//!
//! ```text
//! magic (4 bytes, 04 22 4d 18), FLG, BD, [content size, 8], [dictionary id, 4], header checksum (1 byte)
//! then blocks: length (4 bytes, little-endian; top bit set: stored as is), bytes, [checksum, 4]
//! then four zero bytes, [content checksum, 4]
//! ```
//!
//! The header checksum is the second byte of the xxHash32 of what lies between it and the magic. In message format
//! 0 Kafka's clients counted the magic in (KAFKA-3160, KIP-57); here either is read anywhere. The checksums of blocks
//! and content are passed over, as Kafka's own reader does: the checksum of the batch covers the same bytes.

use std::io::{self, Read, Write};

use lz4_flex::block::{
    compress_into, decompress_into, decompress_into_with_dict, get_maximum_output_size,
};

use super::{Codec, Finish, RecordError};

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const VERSION_MASK: u8 = 0xc0;
const VERSION: u8 = 0x40;
const INDEPENDENT: u8 = 0x20;
const BLOCK_CHECKSUMS: u8 = 0x10;
const CONTENT_SIZE: u8 = 0x08;
const CONTENT_CHECKSUM: u8 = 0x04;
const DICTIONARY: u8 = 0x01;
const STORED: u32 = 1 << 31;
/// How far back a block may refer into those before it.
const WINDOW_BYTES: usize = 64 * 1024;
/// BD for the block size that is written: 64 KiB.
const BLOCK_64_KIB: u8 = 0x40;
const BLOCK_BYTES: usize = 64 * 1024;

const BAD: RecordError = RecordError::BadCompression(Codec::Lz4);

/// Which bytes the header checksum covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderChecksum {
    /// The descriptor, as the frame format says.
    Correct,
    /// The magic number too, as message format 0 has it.
    WithMagic,
}

/// Decompresses block by block; holds one block, and 64 KiB more where blocks refer to each other.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    frame: Option<Frame>,
    block: Vec<u8>,
    position: usize,
    window: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Frame {
    flags: u8,
    block_bytes_max: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        let (block, window) = (Vec::new(), Vec::new());
        Reader { rest: bytes, frame: None, block, position: 0, window }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let (head, tail) = self.rest.split_at_checked(len).ok_or(BAD)?;
        self.rest = tail;
        Ok(head)
    }

    fn open(&mut self) -> Result<Frame, RecordError> {
        let start = self.rest;
        if self.take(MAGIC.len())? != MAGIC {
            return Err(BAD);
        }
        let &[flags, sizes] = self.take(2)? else { return Err(BAD) };
        if flags & VERSION_MASK != VERSION || flags & DICTIONARY != 0 {
            return Err(BAD);
        }
        if flags & CONTENT_SIZE != 0 {
            self.take(8)?;
        }
        let covered = start.get(..start.len() - self.rest.len()).ok_or(BAD)?;
        let checksum = self.take(1)?;
        let correct = header_checksum(covered, HeaderChecksum::Correct);
        if checksum != [correct]
            && checksum != [header_checksum(covered, HeaderChecksum::WithMagic)]
        {
            return Err(BAD);
        }
        let block_bytes_max = match sizes >> 4 {
            4 => 64 * 1024,
            5 => 256 * 1024,
            6 => 1024 * 1024,
            7 => 4 * 1024 * 1024,
            _ => return Err(BAD),
        };
        Ok(Frame { flags, block_bytes_max })
    }

    /// Reads one block, or the end of the frame.
    fn refill(&mut self) -> Result<(), RecordError> {
        let frame = match self.frame {
            Some(frame) => frame,
            None => self.open()?,
        };
        self.frame = Some(frame);
        self.remember(frame);
        self.block.clear();
        self.position = 0;
        let length = self.take(4)?.try_into().map_err(|_| BAD)?;
        let length = u32::from_le_bytes(length);
        if length == 0 {
            if frame.flags & CONTENT_CHECKSUM != 0 {
                self.take(4)?;
            }
            self.frame = None;
            self.window.clear();
            return Ok(());
        }
        let bytes = self.take(usize::try_from(length & !STORED).map_err(|_| BAD)?)?;
        if frame.flags & BLOCK_CHECKSUMS != 0 {
            self.take(4)?;
        }
        if bytes.len() > frame.block_bytes_max {
            return Err(BAD);
        }
        if length & STORED == 0 {
            self.decompress(bytes, frame.block_bytes_max)
        } else {
            self.block.extend(bytes);
            Ok(())
        }
    }

    fn decompress(&mut self, bytes: &[u8], block_bytes_max: usize) -> Result<(), RecordError> {
        // A byte of LZ4 yields at most 255, so small blocks need little room whatever the header declares.
        let room = block_bytes_max.min(bytes.len().saturating_mul(255));
        self.block.resize(room, 0);
        let result = if self.window.is_empty() {
            decompress_into(bytes, &mut self.block)
        } else {
            decompress_into_with_dict(bytes, &mut self.block, &self.window)
        };
        self.block.truncate(result.map_err(|_| BAD)?);
        Ok(())
    }

    /// Keeps the end of the last block for the next, if blocks refer to each other.
    fn remember(&mut self, frame: Frame) {
        if frame.flags & INDEPENDENT == 0 {
            self.window.extend(&self.block);
            let excess = self.window.len().saturating_sub(WINDOW_BYTES);
            self.window.drain(..excess);
        }
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position >= self.block.len() && (self.frame.is_some() || !self.rest.is_empty()) {
            self.refill()?;
        }
        let mut left = self.block.get(self.position..).unwrap_or_default();
        let count = left.read(buffer)?;
        self.position += count;
        Ok(count)
    }
}

/// Writes a frame of independent 64 KiB blocks without further checksums, as the Java clients do.
pub(super) struct Writer {
    out: Vec<u8>,
    block: Vec<u8>,
}

impl Writer {
    pub(super) fn new(mut out: Vec<u8>, checksum: HeaderChecksum) -> Writer {
        let mut header = MAGIC.to_vec();
        header.extend([VERSION | INDEPENDENT, BLOCK_64_KIB]);
        header.push(header_checksum(&header, checksum));
        out.extend(header);
        Writer { out, block: Vec::new() }
    }

    fn write_block(&mut self) -> Result<(), RecordError> {
        let mut compressed = vec![0; get_maximum_output_size(self.block.len())];
        let length = compress_into(&self.block, &mut compressed).map_err(|_| BAD)?;
        compressed.truncate(length);
        let (bytes, flag) =
            if length < self.block.len() { (&compressed, 0) } else { (&self.block, STORED) };
        let length = u32::try_from(bytes.len()).map_err(|_| BAD)?;
        self.out.extend((length | flag).to_le_bytes());
        self.out.extend(bytes);
        self.block.clear();
        Ok(())
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(bytes.get(..count).unwrap_or_default());
        if self.block.len() >= BLOCK_BYTES {
            self.write_block()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Finish for Writer {
    fn finish(mut self: Box<Self>) -> io::Result<Vec<u8>> {
        if !self.block.is_empty() {
            self.write_block()?;
        }
        self.out.extend([0; 4]);
        Ok(self.out)
    }
}

/// The checksum of a frame header that begins with the magic number.
fn header_checksum(header: &[u8], covers: HeaderChecksum) -> u8 {
    let covered = match covers {
        HeaderChecksum::Correct => header.get(MAGIC.len()..).unwrap_or_default(),
        HeaderChecksum::WithMagic => header,
    };
    let [_, second, ..] = xxh32_short(covered).to_le_bytes();
    second
}

/// xxHash32 with seed 0 of fewer than 16 bytes: a frame header never has more.
fn xxh32_short(bytes: &[u8]) -> u32 {
    const P1: u32 = 0x9e37_79b1;
    const P2: u32 = 0x85eb_ca77;
    const P3: u32 = 0xc2b2_ae3d;
    const P4: u32 = 0x27d4_eb2f;
    const P5: u32 = 0x1656_67b1;
    let mut hash = P5.wrapping_add(u32::try_from(bytes.len()).unwrap_or(0));
    let words = bytes.chunks_exact(4);
    let tail = words.remainder();
    for word in words {
        let word = word.try_into().map_or(0, u32::from_le_bytes);
        hash = hash.wrapping_add(word.wrapping_mul(P3)).rotate_left(17).wrapping_mul(P4);
    }
    for byte in tail {
        let byte = u32::from(*byte);
        hash = hash.wrapping_add(byte.wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
    }
    hash = (hash ^ (hash >> 15)).wrapping_mul(P2);
    hash = (hash ^ (hash >> 13)).wrapping_mul(P3);
    hash ^ (hash >> 16)
}
