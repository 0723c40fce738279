//! Reads the protocol's primitive types from a frame, checking every bound.
//!
//! A reader never allocates by a declared count: a count is first compared with the bytes that are left.

use byteorder::{BigEndian, ByteOrder};

use super::error::{DecodeError, Problem};
use crate::base::payload::Bytes;

/// How many unknown tagged fields one section may have.
const UNKNOWN_TAGS_MAX: u32 = 64;

/// Arrays of a message may take this many times the frame's bytes in memory, plus the allowance. An empty string
/// is one byte on the wire and 24 in memory; messages that mean something stay below 4.
const MEMORY_FACTOR: usize = 8;
const MEMORY_ALLOWANCE: usize = 256 * 1024;

/// And no more than this where a peer sent the frame: room for every partition that a broker can have, and for a
/// bounded answer, which is made of larger elements.
const PEER_MEMORY_MAX: usize = 6 << 20;

/// How much an array takes before its elements have arrived, in bytes.
const FIRST_CAPACITY: usize = 4096;

/// Reads one message of one version.
#[derive(Debug)]
pub struct Reader<'a> {
    frame: &'a Bytes,
    /// What is in it.
    bytes: &'a [u8],
    position: usize,
    end: usize,
    version: i16,
    flexible: bool,
    memory: usize,
}

type Result<T> = std::result::Result<T, DecodeError>;

impl<'a> Reader<'a> {
    /// Reads from the start of `frame`.
    #[must_use]
    pub fn new(frame: &'a Bytes, version: i16, flexible: bool) -> Reader<'a> {
        let end = frame.len();
        let memory = end.saturating_mul(MEMORY_FACTOR).saturating_add(MEMORY_ALLOWANCE);
        Reader { frame, bytes: frame, position: 0, end, version, flexible, memory }
    }

    /// As [`Reader::new`], of a frame that anybody may have sent.
    #[must_use]
    pub fn of_peer(frame: &'a Bytes, version: i16, flexible: bool) -> Reader<'a> {
        let reader = Reader::new(frame, version, flexible);
        Reader { memory: reader.memory.min(PEER_MEMORY_MAX), ..reader }
    }

    /// The version of the message that is read.
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

    /// Number of bytes left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.end - self.position
    }

    /// Position of the next byte in the frame.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Fails if bytes are left over.
    pub fn finish(&self) -> Result<()> {
        if self.remaining() == 0 { Ok(()) } else { Err(DecodeError::new(Problem::TrailingBytes)) }
    }

    #[inline]
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.position.checked_add(count).filter(|end| *end <= self.end);
        let end = end.ok_or(DecodeError::new(Problem::Truncated))?;
        let taken = self.bytes.get(self.position..end);
        self.position = end;
        taken.ok_or(DecodeError::new(Problem::Truncated))
    }

    /// One byte.
    #[inline(never)]
    pub fn i8(&mut self) -> Result<i8> {
        self.u8().map(|byte| i8::from_be_bytes([byte]))
    }

    #[inline]
    fn u8(&mut self) -> Result<u8> {
        let byte = self.bytes.get(self.position).copied().filter(|_| self.position < self.end);
        let byte = byte.ok_or(DecodeError::new(Problem::Truncated))?;
        self.position += 1;
        Ok(byte)
    }

    /// Two bytes, signed.
    #[inline(never)]
    pub fn i16(&mut self) -> Result<i16> {
        self.take(2).map(BigEndian::read_i16)
    }

    /// Two bytes, unsigned.
    #[inline(never)]
    pub fn u16(&mut self) -> Result<u16> {
        self.take(2).map(BigEndian::read_u16)
    }

    /// Four bytes, signed.
    #[inline(never)]
    pub fn i32(&mut self) -> Result<i32> {
        self.take(4).map(BigEndian::read_i32)
    }

    /// Four bytes, unsigned.
    #[inline(never)]
    pub fn u32(&mut self) -> Result<u32> {
        self.take(4).map(BigEndian::read_u32)
    }

    /// Eight bytes, signed.
    #[inline(never)]
    pub fn i64(&mut self) -> Result<i64> {
        self.take(8).map(BigEndian::read_i64)
    }

    /// Eight bytes, IEEE 754.
    #[inline(never)]
    pub fn f64(&mut self) -> Result<f64> {
        self.take(8).map(BigEndian::read_f64)
    }

    /// Sixteen bytes.
    #[inline(never)]
    pub fn uuid(&mut self) -> Result<[u8; 16]> {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(self.take(16)?);
        Ok(bytes)
    }

    /// An unsigned integer of at most five bytes, low bits first.
    #[inline(never)]
    pub fn unsigned_varint(&mut self) -> Result<u32> {
        // Most are one byte.
        let first = self.u8()?;
        let mut value = u32::from(first & 0x7f);
        if first & 0x80 == 0 {
            return Ok(value);
        }
        for shift in [7, 14, 21, 28] {
            let byte = self.u8()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0x0f {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::new(Problem::BadVarint))
    }

    /// A length that may be null, in the form that `wide` (four bytes) and the version ask for.
    fn length(&mut self, wide: bool) -> Result<Option<usize>> {
        let length = if self.flexible {
            match self.unsigned_varint()?.checked_sub(1) {
                None => return Ok(None),
                Some(length) => i64::from(length),
            }
        } else if wide {
            i64::from(self.i32()?)
        } else {
            i64::from(self.i16()?)
        };
        match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(DecodeError::new(Problem::NegativeLength)),
        }
    }

    /// A string or null.
    #[inline(never)]
    pub fn nullable_string(&mut self) -> Result<Option<String>> {
        let Some(length) = self.length(false)? else { return Ok(None) };
        let start = self.position;
        match std::str::from_utf8(self.take(length)?) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(error) => {
                self.position = start + error.valid_up_to();
                Err(DecodeError::new(Problem::NotUtf8))
            }
        }
    }

    /// Bytes or null, sharing the frame.
    #[inline(never)]
    pub fn nullable_bytes(&mut self) -> Result<Option<Bytes>> {
        match self.length(true)? {
            None => Ok(None),
            Some(length) => self.shared(length).map(Some),
        }
    }

    /// The next `length` bytes, sharing the frame.
    pub fn shared(&mut self, length: usize) -> Result<Bytes> {
        let start = self.position;
        self.take(length)?;
        self.frame.slice(start..start + length).ok_or(DecodeError::new(Problem::Truncated))
    }

    /// An array's count, or null. `element_min`: the fewest bytes that one element can take.
    #[inline(never)]
    pub fn count(&mut self, element_min: usize) -> Result<Option<usize>> {
        let Some(count) = self.length(true)? else { return Ok(None) };
        if count > self.remaining() / element_min.max(1) {
            return Err(DecodeError::new(Problem::LengthBeyondEnd));
        }
        Ok(Some(count))
    }

    /// Makes room for the next of `count` elements. Capacity doubles as elements arrive but never exceeds the
    /// count, and all arrays of a message share what its frame allows.
    #[inline]
    pub fn reserve<T>(&mut self, elements: &mut Vec<T>, count: usize) -> Result<()> {
        if elements.len() < elements.capacity() {
            return Ok(());
        }
        let size = size_of::<T>().max(1);
        let more = elements.len().max(FIRST_CAPACITY / size).max(1);
        let more = more.min(count.saturating_sub(elements.len())).max(1);
        let left = self.memory.checked_sub(more.saturating_mul(size));
        self.memory = left.ok_or(DecodeError::new(Problem::TooMuchMemory))?;
        elements.reserve_exact(more);
        Ok(())
    }

    /// Whether a nullable structure follows: 1, or -1 for null.
    #[inline(never)]
    pub fn present(&mut self) -> Result<bool> {
        match self.i8()? {
            -1 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::new(Problem::BadNullMarker)),
        }
    }

    /// The tagged fields at the end of a structure; none in a version that is not flexible.
    ///
    /// `known` reads the field with the given tag and answers `true`, or answers `false` to have it skipped.
    #[inline(never)]
    pub fn tagged(&mut self, known: &mut dyn FnMut(&mut Self, u32) -> Result<bool>) -> Result<()> {
        if !self.flexible {
            return Ok(());
        }
        let count = self.unsigned_varint()?;
        let mut previous: Option<u32> = None;
        let mut unknown = 0;
        for _ in 0..count {
            let tag = self.unsigned_varint()?;
            if previous.is_some_and(|previous| previous >= tag) {
                return Err(DecodeError::new(Problem::TagOrder));
            }
            previous = Some(tag);
            let size = usize::try_from(self.unsigned_varint()?).unwrap_or(usize::MAX);
            if size > self.remaining() {
                return Err(DecodeError::new(Problem::LengthBeyondEnd));
            }
            let field_end = self.position + size;
            let section_end = std::mem::replace(&mut self.end, field_end);
            if known(self, tag)? {
                if self.position != field_end {
                    return Err(DecodeError::new(Problem::TagSize));
                }
            } else {
                unknown += 1;
                if unknown > UNKNOWN_TAGS_MAX {
                    return Err(DecodeError::new(Problem::TooManyTags));
                }
                self.position = field_end;
            }
            self.end = section_end;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading<T>(bytes: &[u8], read: impl FnOnce(&mut Reader<'_>) -> Result<T>) -> Result<T> {
        let bytes = Bytes::from(bytes);
        read(&mut Reader::new(&bytes, 0, true))
    }

    fn problem<T: std::fmt::Debug>(result: Result<T>) -> Problem {
        result.unwrap_err().problem
    }

    /// Base 128, low bits first, as protocol buffers have it too.
    #[test]
    fn varints_have_seven_bits_a_byte() {
        for (bytes, value) in [
            (&[0x00][..], 0),
            (&[0x7f], 127),
            (&[0x80, 0x01], 128),
            (&[0xac, 0x02], 300),
            (&[0xff, 0xff, 0xff, 0xff, 0x0f], u32::MAX),
        ] {
            assert_eq!(reading(bytes, |r| r.unsigned_varint()), Ok(value), "{bytes:02x?}");
        }
    }

    #[test]
    fn a_varint_beyond_32_bits_is_an_error() {
        for bytes in [
            &[0xff, 0xff, 0xff, 0xff, 0x10][..],
            &[0xff, 0xff, 0xff, 0xff, 0x8f, 0x00],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
        ] {
            assert_eq!(problem(reading(bytes, |r| r.unsigned_varint())), Problem::BadVarint);
        }
        assert_eq!(problem(reading(&[0x80], |r| r.unsigned_varint())), Problem::Truncated);
    }

    #[test]
    fn a_count_beyond_the_bytes_left_is_an_error_before_anything_is_reserved() {
        let count = |bytes: &[u8], element| reading(bytes, |r| r.count(element));
        assert_eq!(count(&[0x03, 0, 0], 1), Ok(Some(2)));
        assert_eq!(problem(count(&[0x04, 0, 0], 1)), Problem::LengthBeyondEnd);
        assert_eq!(problem(count(&[0x03, 0, 0], 2)), Problem::LengthBeyondEnd);
        assert_eq!(count(&[0x00], 1), Ok(None));
    }

    #[test]
    fn lengths_in_the_old_form_are_minus_one_or_not_negative() {
        let string = |bytes: &[u8]| {
            let bytes = Bytes::from(bytes);
            Reader::new(&bytes, 0, false).nullable_string()
        };
        assert_eq!(string(&[0xff, 0xff]), Ok(None));
        assert_eq!(string(&[0x00, 0x00]), Ok(Some(String::new())));
        assert_eq!(problem(string(&[0xff, 0xfe])), Problem::NegativeLength);
        assert_eq!(problem(string(&[0x00, 0x02, b'a'])), Problem::Truncated);
    }

    #[test]
    fn text_that_is_not_utf8_is_an_error_at_its_first_bad_byte() {
        let bytes = Bytes::from(&[0x04, b'a', 0xff, b'b'][..]);
        let mut r = Reader::new(&bytes, 0, true);
        assert_eq!(problem(r.nullable_string()), Problem::NotUtf8);
        assert_eq!(r.position(), 2);
    }

    fn tags(bytes: &[u8]) -> Result<Vec<(u32, i8)>> {
        let mut seen = Vec::new();
        reading(bytes, |r| {
            r.tagged(&mut |r, tag| {
                if tag >= 100 {
                    return Ok(false);
                }
                seen.push((tag, r.i8()?));
                Ok(true)
            })?;
            r.finish()
        })?;
        Ok(seen)
    }

    #[test]
    fn unknown_tagged_fields_are_skipped() {
        assert_eq!(tags(&[0x00]), Ok(vec![]));
        assert_eq!(tags(&[0x02, 1, 1, 42, 101, 3, 9, 9, 9]), Ok(vec![(1, 42)]));
    }

    #[test]
    fn tagged_fields_rise_and_have_the_size_they_announce() {
        assert_eq!(problem(tags(&[2, 1, 1, 42, 1, 1, 42])), Problem::TagOrder);
        assert_eq!(problem(tags(&[2, 2, 1, 42, 1, 1, 42])), Problem::TagOrder);
        assert_eq!(problem(tags(&[1, 1, 2, 42, 42])), Problem::TagSize);
        assert_eq!(problem(tags(&[1, 1, 0])), Problem::Truncated);
        assert_eq!(problem(tags(&[1, 1, 9, 42])), Problem::LengthBeyondEnd);
    }

    #[test]
    fn more_unknown_tagged_fields_than_anybody_has_are_an_error() {
        let section = |count: u8| {
            let fields = (0..count).flat_map(|tag| [0x80 | (tag & 0x7f), 1, 0]);
            std::iter::once(count).chain(fields).collect::<Vec<u8>>()
        };
        assert_eq!(tags(&section(64)), Ok(vec![]));
        assert_eq!(problem(tags(&section(65))), Problem::TooManyTags);
    }
}
