//! Writes the protocol's primitive types into a frame made of memory and file ranges.

use super::error::EncodeError;
use super::records::Records;
use crate::base::payload::{Bytes, Payload};

type Result<T> = std::result::Result<T, EncodeError>;

/// A frame begins with its length.
const LENGTH_BYTES: usize = 4;
/// Most answers to small requests are no longer: their frame is allocated once.
const FRAME_BYTES: usize = 128;

fn write_length(frame: &mut [u8], len: i32) {
    if let Some(place) = frame.get_mut(..LENGTH_BYTES) {
        place.copy_from_slice(&len.to_be_bytes());
    }
}

/// Writes one message of one version.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
    parts: Vec<Payload>,
    parts_len: usize,
    version: i16,
    flexible: bool,
}

impl Writer {
    /// An empty message.
    #[must_use]
    pub fn new(version: i16, flexible: bool) -> Writer {
        Writer { version, flexible, ..Writer::default() }
    }

    /// An empty frame that keeps a place for its own length, for [`Writer::into_frame`].
    #[must_use]
    pub fn frame(version: i16, flexible: bool) -> Writer {
        let mut out = Vec::with_capacity(FRAME_BYTES);
        out.extend_from_slice(&[0; LENGTH_BYTES]);
        Writer { out, ..Writer::new(version, flexible) }
    }

    /// The version of the message that is written.
    #[must_use]
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Whether the message is in a flexible version (KIP-482).
    #[must_use]
    pub fn flexible(&self) -> bool {
        self.flexible
    }

    /// From here on another message: a body after its header.
    pub fn switch(&mut self, version: i16, flexible: bool) {
        self.version = version;
        self.flexible = flexible;
    }

    /// What was written, in order, and its length in bytes.
    #[must_use]
    pub fn into_parts(mut self) -> (Vec<Payload>, usize) {
        let len = self.parts_len + self.out.len();
        if !self.out.is_empty() {
            // Most messages are one part.
            self.parts.reserve_exact(1);
            self.parts.push(Payload::Bytes(Bytes::from_vec(self.out)));
        }
        (self.parts, len)
    }

    /// What was written after [`Writer::frame`], its length in the place kept for it: a frame as it goes out.
    ///
    /// # Errors
    /// If it is longer than a frame may be.
    pub fn into_frame(mut self) -> Result<Vec<Payload>> {
        let len = (self.parts_len + self.out.len()).saturating_sub(LENGTH_BYTES);
        let len = i32::try_from(len).map_err(|_| EncodeError::new("longer than a frame may be"))?;
        match self.parts.first_mut() {
            Some(Payload::Bytes(first)) => {
                let mut bytes = std::mem::take(first).into_vec();
                write_length(&mut bytes, len);
                *first = Bytes::from_vec(bytes);
            }
            _ => write_length(&mut self.out, len),
        }
        Ok(self.into_parts().0)
    }

    /// What was written as one run of bytes; `None` if a part of it lies in a file.
    #[must_use]
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        if self.parts.is_empty() {
            return Some(self.out);
        }
        let (parts, len) = self.into_parts();
        let mut whole = Vec::with_capacity(len);
        for part in parts {
            match part {
                Payload::Bytes(bytes) => whole.extend_from_slice(&bytes),
                Payload::File(_) => return None,
            }
        }
        Some(whole)
    }

    /// Bytes as they are.
    #[inline(never)]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Bytes whose number the compiler knows: no call for so few.
    #[inline]
    fn put<const BYTES: usize>(&mut self, bytes: [u8; BYTES]) {
        self.out.extend_from_slice(&bytes);
    }

    /// One byte.
    #[inline(never)]
    pub fn i8(&mut self, value: i8) {
        self.put(value.to_be_bytes());
    }

    /// Two bytes, signed.
    #[inline(never)]
    pub fn i16(&mut self, value: i16) {
        self.put(value.to_be_bytes());
    }

    /// Two bytes, unsigned.
    #[inline(never)]
    pub fn u16(&mut self, value: u16) {
        self.put(value.to_be_bytes());
    }

    /// Four bytes, signed.
    #[inline(never)]
    pub fn i32(&mut self, value: i32) {
        self.put(value.to_be_bytes());
    }

    /// Four bytes, unsigned.
    #[inline(never)]
    pub fn u32(&mut self, value: u32) {
        self.put(value.to_be_bytes());
    }

    /// Eight bytes, signed.
    #[inline(never)]
    pub fn i64(&mut self, value: i64) {
        self.put(value.to_be_bytes());
    }

    /// Eight bytes, IEEE 754.
    #[inline(never)]
    pub fn f64(&mut self, value: f64) {
        self.put(value.to_be_bytes());
    }

    /// An unsigned integer of at most five bytes, low bits first.
    #[inline(never)]
    pub fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            let [low, ..] = value.to_le_bytes();
            self.out.push(low | 0x80);
            value >>= 7;
        }
        let [low, ..] = value.to_le_bytes();
        self.out.push(low);
    }

    /// A length or null, in the form that `wide` (four bytes) and the version ask for.
    fn length(&mut self, length: Option<usize>, wide: bool) -> Result<()> {
        const TOO_LONG: EncodeError = EncodeError { place: "", reason: "too long" };
        let Some(length) = length else {
            match (self.flexible, wide) {
                (true, _) => self.unsigned_varint(0),
                (false, true) => self.i32(-1),
                (false, false) => self.i16(-1),
            }
            return Ok(());
        };
        if self.flexible {
            let length = u32::try_from(length).ok().and_then(|length| length.checked_add(1));
            self.unsigned_varint(length.ok_or(TOO_LONG)?);
        } else if wide {
            self.i32(i32::try_from(length).map_err(|_| TOO_LONG)?);
        } else {
            self.i16(i16::try_from(length).map_err(|_| TOO_LONG)?);
        }
        Ok(())
    }

    /// A string or null.
    #[inline(never)]
    pub fn nullable_string(&mut self, value: Option<&str>) -> Result<()> {
        self.length(value.map(str::len), false)?;
        self.raw(value.unwrap_or_default().as_bytes());
        Ok(())
    }

    /// Bytes or null.
    #[inline(never)]
    pub fn nullable_bytes(&mut self, value: Option<&[u8]>) -> Result<()> {
        self.length(value.map(<[u8]>::len), true)?;
        self.raw(value.unwrap_or_default());
        Ok(())
    }

    /// Records or null. What is large or lies in a file is handed on without a copy.
    #[inline(never)]
    pub fn nullable_records(&mut self, value: Option<&Records>) -> Result<()> {
        const COPY_MAX: usize = 1024;
        self.length(value.map(Records::len), true)?;
        for part in value.map(Records::parts).unwrap_or_default() {
            match part {
                Payload::Bytes(bytes) if bytes.len() <= COPY_MAX => self.raw(bytes),
                part => self.part(part.clone()),
            }
        }
        Ok(())
    }

    fn part(&mut self, part: Payload) {
        if !self.out.is_empty() {
            let before = std::mem::take(&mut self.out);
            self.parts_len += before.len();
            self.parts.push(Payload::Bytes(Bytes::from_vec(before)));
        }
        self.parts_len += part.len();
        self.parts.push(part);
    }

    /// An array's count, or null.
    #[inline(never)]
    pub fn count(&mut self, count: Option<usize>) -> Result<()> {
        self.length(count, true)
    }

    /// Whether a nullable structure follows.
    #[inline(never)]
    pub fn present(&mut self, present: bool) {
        self.i8(if present { 1 } else { -1 });
    }

    /// The tagged fields at the end of a structure, in rising order of tags; nothing in a version that is not
    /// flexible. Each field is its tag and its bytes.
    #[inline(never)]
    pub fn tagged(&mut self, fields: &mut Vec<(u32, Vec<u8>)>) -> Result<()> {
        if !self.flexible {
            return Ok(());
        }
        fields.sort_by_key(|(tag, _)| *tag);
        let size = |len: usize| u32::try_from(len).map_err(|_| EncodeError::new("too long"));
        self.unsigned_varint(size(fields.len())?);
        for (tag, bytes) in fields {
            self.unsigned_varint(*tag);
            self.unsigned_varint(size(bytes.len())?);
            self.raw(bytes);
        }
        Ok(())
    }

    /// A writer for one tagged field's content.
    #[must_use]
    pub fn nested(&self) -> Writer {
        Writer::new(self.version, self.flexible)
    }
}
