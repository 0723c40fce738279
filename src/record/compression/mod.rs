//! Kafka's four codecs as bounded streams: a declared size never decides how much is allocated.
//!
//! | number | name   | form of the bytes                                                                    |
//! |--------|--------|--------------------------------------------------------------------------------------|
//! | 0      | none   | as they are                                                                          |
//! | 1      | gzip   | RFC 1952, one or more members                                                        |
//! | 2      | snappy | one raw block, or xerial's chunks of blocks as the Java clients write them           |
//! | 3      | lz4    | LZ4 frame; in format 0 with a header checksum over too many bytes (KIP-57)           |
//! | 4      | zstd   | RFC 8878, one or more frames; windows up to 8 MiB (KIP-110)                          |

use std::io::{self, Read, Write};

use super::RecordError;

#[cfg(feature = "compression")]
mod lz4;
#[cfg(feature = "compression")]
mod snappy;
#[cfg(feature = "compression")]
mod zstd;

/// How records are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// Deflate with a gzip header.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Codec {
    /// All codecs, by number.
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    /// The codec in the lowest three bits of a batch's or message's attributes.
    ///
    /// # Errors
    /// [`RecordError::UnknownCodec`].
    pub fn from_attributes(attributes: i16) -> Result<Codec, RecordError> {
        let [_, low] = attributes.to_be_bytes();
        Codec::from_number(low & 0x07)
    }

    /// The codec with Kafka's number.
    ///
    /// # Errors
    /// [`RecordError::UnknownCodec`].
    pub fn from_number(number: u8) -> Result<Codec, RecordError> {
        let known = Codec::ALL.get(usize::from(number)).copied();
        known.ok_or(RecordError::UnknownCodec(number))
    }

    /// The codec with Kafka's name, as in `compression.type`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Codec> {
        Codec::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// Kafka's number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Codec::None => 0,
            Codec::Gzip => 1,
            Codec::Snappy => 2,
            Codec::Lz4 => 3,
            Codec::Zstd => 4,
        }
    }

    /// Kafka's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }
}

/// A stream of decompressed bytes that ends with [`RecordError::TooLarge`] where a limit is crossed.
pub struct Decompressor<'a> {
    codec: Codec,
    left: usize,
    stream: Box<dyn Read + 'a>,
}

impl<'a> Decompressor<'a> {
    /// Decompresses `bytes`, at most `bytes_max` of them.
    ///
    /// # Errors
    /// [`RecordError::UnsupportedCodec`] in a build without it. Bad bytes are reported by reading, as an
    /// [`io::Error`] that turns into a [`RecordError`].
    pub fn new(codec: Codec, bytes: &'a [u8], bytes_max: usize) -> Result<Self, RecordError> {
        let stream: Box<dyn Read + 'a> = match codec {
            Codec::None => Box::new(bytes),
            #[cfg(feature = "compression")]
            Codec::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(bytes)),
            #[cfg(feature = "compression")]
            Codec::Snappy => Box::new(snappy::Reader::new(bytes, bytes_max)),
            #[cfg(feature = "compression")]
            Codec::Lz4 => Box::new(lz4::Reader::new(bytes)),
            #[cfg(feature = "compression")]
            Codec::Zstd => Box::new(zstd::Reader::new(bytes)),
            #[cfg(not(feature = "compression"))]
            _ => return Err(RecordError::UnsupportedCodec(codec)),
        };
        Ok(Decompressor { codec, left: bytes_max, stream })
    }

    /// Reads from the codec. A codec is other people's code fed with hostile bytes: should it panic, the bytes are
    /// bad, and this stream is read no further.
    fn read_codec(&mut self, buffer: &mut [u8]) -> Result<usize, RecordError> {
        let codec = self.codec;
        let stream = &mut self.stream;
        let read = std::panic::AssertUnwindSafe(|| stream.read(buffer));
        let result = std::panic::catch_unwind(read).unwrap_or_else(|_| {
            self.stream = Box::new(io::empty());
            Err(RecordError::BadCompression(codec).into())
        });
        result.map_err(|error| match RecordError::from(error) {
            RecordError::Truncated => RecordError::BadCompression(codec),
            named => named,
        })
    }
}

impl Read for Decompressor<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            return match self.read_codec(&mut [0])? {
                0 => Ok(0),
                _ => Err(RecordError::TooLarge.into()),
            };
        }
        let most = buffer.len().min(self.left);
        let count = self.read_codec(buffer.get_mut(..most).unwrap_or_default())?;
        self.left = self.left.saturating_sub(count);
        Ok(count)
    }
}

impl std::fmt::Debug for Decompressor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Decompressor({}, {} bytes left)", self.codec.name(), self.left)
    }
}

/// Compresses what is written to it, behind bytes that are already there.
pub struct Compressor {
    stream: Box<dyn Finish>,
}

/// A stream that must be told where its input ends.
trait Finish: Write {
    fn finish(self: Box<Self>) -> io::Result<Vec<u8>>;
}

impl Finish for Vec<u8> {
    fn finish(self: Box<Self>) -> io::Result<Vec<u8>> {
        Ok(*self)
    }
}

#[cfg(feature = "compression")]
impl Finish for flate2::write::GzEncoder<Vec<u8>> {
    fn finish(self: Box<Self>) -> io::Result<Vec<u8>> {
        flate2::write::GzEncoder::finish(*self)
    }
}

impl Compressor {
    /// Appends to `out`.
    ///
    /// # Errors
    /// [`RecordError::UnsupportedCodec`] in a build without it.
    pub fn new(codec: Codec, out: Vec<u8>) -> Result<Compressor, RecordError> {
        let stream: Box<dyn Finish> = match codec {
            Codec::None => Box::new(out),
            #[cfg(feature = "compression")]
            Codec::Gzip => {
                Box::new(flate2::write::GzEncoder::new(out, flate2::Compression::default()))
            }
            #[cfg(feature = "compression")]
            Codec::Snappy => Box::new(snappy::Writer::new(out)),
            #[cfg(feature = "compression")]
            Codec::Lz4 => Box::new(lz4::Writer::new(out, lz4::HeaderChecksum::Correct)),
            #[cfg(feature = "compression")]
            Codec::Zstd => Box::new(zstd::Writer::new(out)),
            #[cfg(not(feature = "compression"))]
            _ => return Err(RecordError::UnsupportedCodec(codec)),
        };
        Ok(Compressor { stream })
    }

    /// As [`Compressor::new`], for a message set in format 0, whose readers expect the wrong checksum in the header
    /// of an LZ4 frame (KIP-57).
    ///
    /// # Errors
    /// [`RecordError::UnsupportedCodec`] in a build without it.
    pub fn for_format_0(codec: Codec, out: Vec<u8>) -> Result<Compressor, RecordError> {
        match codec {
            #[cfg(feature = "compression")]
            Codec::Lz4 => {
                let stream = Box::new(lz4::Writer::new(out, lz4::HeaderChecksum::WithMagic));
                Ok(Compressor { stream })
            }
            _ => Compressor::new(codec, out),
        }
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// [`RecordError::TooLarge`] if the codec could not take the input.
    pub fn finish(self) -> Result<Vec<u8>, RecordError> {
        self.stream.finish().map_err(|_| RecordError::TooLarge)
    }
}

impl Write for Compressor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor")
    }
}
