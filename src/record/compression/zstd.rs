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
        compress(self.input.as_slice(), &mut self.out, CompressionLevel::Fastest);
        Ok(self.out)
    }
}
