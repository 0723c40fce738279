//! Zstandard through `ruzstd`: frames one after the other, windows bounded before they are allocated.

use std::io::{self, Read, Write};

use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::encoding::{CompressionLevel, compress};

use super::{Codec, Finish, RecordError};

/// The window that RFC 8878 asks every decoder to support, and the largest that is accepted.
const WINDOW_BYTES_MAX: u64 = 8 * 1024 * 1024;

const BAD: RecordError = RecordError::BadCompression(Codec::Zstd);

/// Decompresses frame by frame.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    frame: Option<StreamingDecoder<&'a [u8], ruzstd::decoding::FrameDecoder>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes, frame: None }
    }

    /// Opens the next frame, passing over one that holds no data.
    fn open(&mut self) -> Result<(), RecordError> {
        let opened = StreamingDecoder::new_with_max_window_size(self.rest, WINDOW_BYTES_MAX);
        match opened {
            Ok(frame) => self.frame = Some(frame),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                // Magic number and length, 4 bytes each, then the skippable bytes.
                let length = usize::try_from(length).ok().and_then(|length| length.checked_add(8));
                self.rest = length.and_then(|length| self.rest.get(length..)).ok_or(BAD)?;
            }
            Err(_) => return Err(BAD),
        }
        Ok(())
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                match frame.read(buffer).map_err(|_| BAD)? {
                    0 => self.rest = frame.get_ref(),
                    count => return Ok(count),
                }
                self.frame = None;
            }
            if self.rest.is_empty() {
                return Ok(0);
            }
            self.open()?;
        }
    }
}

/// Collects its input and compresses it as one frame: some clients read no further than the first, and `ruzstd`
/// wants the whole input at once.
pub(super) struct Writer {
    out: Vec<u8>,
    input: Vec<u8>,
}

impl Writer {
    pub(super) fn new(out: Vec<u8>) -> Writer {
        Writer { out, input: Vec::new() }
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.input.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Finish for Writer {
    fn finish(mut self: Box<Self>) -> io::Result<Vec<u8>> {
        match compress_and_compare(&self.input) {
            Some(frame) => self.out.extend(frame),
            // Stored as it is, which cannot go wrong.
            None => compress(self.input.as_slice(), &mut self.out, CompressionLevel::Uncompressed),
        }
        Ok(self.out)
    }
}

/// The frame may become the only copy of acknowledged records and the encoder is young, so its work is read back.
fn compress_and_compare(input: &[u8]) -> Option<Vec<u8>> {
    let attempt = || {
        let mut frame = Vec::new();
        compress(input, &mut frame, CompressionLevel::Fastest);
        is_same(Reader::new(&frame), input).then_some(frame)
    };
    std::panic::catch_unwind(attempt).ok().flatten()
}

fn is_same(mut stream: impl Read, mut expected: &[u8]) -> bool {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count) = stream.read(&mut buffer) {
        if count == 0 {
            return expected.is_empty();
        }
        let read = buffer.get(..count).unwrap_or_default();
        let Some(rest) = expected.strip_prefix(read) else { return false };
        expected = rest;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_reads_back_as_something_else_is_not_taken() {
        let frame = compress_and_compare(b"offset offset offset").unwrap();
        assert!(is_same(Reader::new(&frame), b"offset offset offset"));
        for other in [&b"offset offset offse"[..], b"offset offset offset.", b"offsets"] {
            assert!(!is_same(Reader::new(&frame), other));
        }
        let cut = frame.get(..frame.len() - 1).unwrap();
        assert!(!is_same(Reader::new(cut), b"offset offset offset"));
    }
}
