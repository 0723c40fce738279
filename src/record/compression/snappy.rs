//! Snappy as Kafka's clients write it: a bare block, or the chunked stream of the Java library (xerial).
//!
//! ```text
//! header, 16 bytes: 82 53 4e 41 50 50 59 00, version (4 bytes), oldest compatible version (4 bytes)
//! then chunks: length (4 bytes, big-endian), one raw Snappy block of that length
//! ```

use std::io::{self, Read, Write};

use super::{Codec, Finish, RecordError};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const HEADER: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
/// Decompressed bytes of a chunk, as the Java library cuts them.
const CHUNK_BYTES: usize = 32 * 1024;
/// The densest element of the format turns two bytes into eleven or three into 64.
const EXPANSION_MAX: usize = 22;

const BAD: RecordError = RecordError::BadCompression(Codec::Snappy);

/// Decompresses block by block.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    chunked: bool,
    bytes_max: usize,
    block: Vec<u8>,
    position: usize,
}

impl<'a> Reader<'a> {
    /// `bytes_max` bounds each block before it is allocated.
    pub(super) fn new(bytes: &'a [u8], bytes_max: usize) -> Reader<'a> {
        let chunked = bytes.starts_with(&MAGIC);
        Reader { rest: bytes, chunked, bytes_max, block: Vec::new(), position: 0 }
    }

    /// Takes the next raw block from the input.
    fn next_block(&mut self) -> Result<&'a [u8], RecordError> {
        if !self.chunked {
            return Ok(std::mem::take(&mut self.rest));
        }
        // Streams may be concatenated, so a header may stand wherever a chunk may.
        while self.rest.starts_with(&MAGIC) {
            self.rest = self.rest.get(HEADER.len()..).ok_or(BAD)?;
        }
        if self.rest.is_empty() {
            return Ok(&[]);
        }
        let (length, tail) = self.rest.split_first_chunk().ok_or(BAD)?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| BAD)?;
        let (block, tail) = tail.split_at_checked(length).ok_or(BAD)?;
        self.rest = tail;
        Ok(block)
    }

    fn refill(&mut self) -> Result<(), RecordError> {
        let compressed = self.next_block()?;
        self.block.clear();
        self.position = 0;
        if compressed.is_empty() {
            return Ok(());
        }
        let declared = snap::raw::decompress_len(compressed).map_err(|_| BAD)?;
        if declared > self.bytes_max {
            return Err(RecordError::TooLarge);
        }
        if declared > compressed.len().saturating_mul(EXPANSION_MAX) {
            return Err(BAD);
        }
        self.block.resize(declared, 0);
        snap::raw::Decoder::new().decompress(compressed, &mut self.block).map_err(|_| BAD)?;
        Ok(())
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position >= self.block.len() && !self.rest.is_empty() {
            self.refill()?;
        }
        let mut left = self.block.get(self.position..).unwrap_or_default();
        let count = left.read(buffer)?;
        self.position += count;
        Ok(count)
    }
}

/// Writes chunks.
pub(super) struct Writer {
    out: Vec<u8>,
    chunk: Vec<u8>,
}

impl Writer {
    pub(super) fn new(mut out: Vec<u8>) -> Writer {
        out.extend(HEADER);
        Writer { out, chunk: Vec::new() }
    }

    fn write_chunk(&mut self) -> io::Result<()> {
        let block = snap::raw::Encoder::new().compress_vec(&self.chunk)?;
        let length = u32::try_from(block.len()).map_err(|_| RecordError::TooLarge)?;
        self.out.extend(length.to_be_bytes());
        self.out.extend(block);
        self.chunk.clear();
        Ok(())
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(bytes.get(..count).unwrap_or_default());
        if self.chunk.len() >= CHUNK_BYTES {
            self.write_chunk()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Finish for Writer {
    fn finish(mut self: Box<Self>) -> io::Result<Vec<u8>> {
        if !self.chunk.is_empty() {
            self.write_chunk()?;
        }
        Ok(self.out)
    }
}
