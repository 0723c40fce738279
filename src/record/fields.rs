//! The primitives of all record formats: checked big-endian reads, and zig-zag varints both ways.

use super::RecordError;

/// A cursor over a slice; every read is checked against what is left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Fields<'a> {
        Fields { rest: bytes }
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The same as a stream.
    pub(super) fn rest_mut(&mut self) -> &mut &'a [u8] {
        &mut self.rest
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let (head, tail) = self.rest.split_at_checked(len).ok_or(RecordError::Truncated)?;
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (head, tail) = self.rest.split_first_chunk().ok_or(RecordError::Truncated)?;
        self.rest = tail;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, RecordError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn i8(&mut self) -> Result<i8, RecordError> {
        self.array().map(i8::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Result<i16, RecordError> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, RecordError> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, RecordError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, RecordError> {
        self.array().map(i64::from_be_bytes)
    }

    pub(super) fn varint(&mut self) -> Result<i32, RecordError> {
        varint(|| self.u8())
    }

    pub(super) fn varlong(&mut self) -> Result<i64, RecordError> {
        varlong(|| self.u8())
    }

    /// Bytes whose length was read before; -1 means null, any other negative length is an error.
    pub(super) fn nullable(&mut self, len: i32) -> Result<Option<&'a [u8]>, RecordError> {
        match len {
            -1 => Ok(None),
            _ => self.bytes(usize::try_from(len).map_err(|_| RecordError::BadLength)?).map(Some),
        }
    }
}

/// A 32-bit varint from anywhere.
pub(super) fn varint(next: impl FnMut() -> Result<u8, RecordError>) -> Result<i32, RecordError> {
    i32::try_from(read_zigzag(32, next)?).map_err(|_| RecordError::BadVarint)
}

/// A 64-bit varint from anywhere.
pub(super) fn varlong(next: impl FnMut() -> Result<u8, RecordError>) -> Result<i64, RecordError> {
    read_zigzag(64, next)
}

fn read_zigzag(
    bits: u32,
    mut next: impl FnMut() -> Result<u8, RecordError>,
) -> Result<i64, RecordError> {
    let mut value = 0u64;
    let mut shift = 0;
    loop {
        let byte = next()?;
        let part = u64::from(byte & 0x7f);
        if shift >= bits || part.checked_shr(bits - shift).unwrap_or(0) != 0 {
            return Err(RecordError::BadVarint);
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            let half = i64::try_from(value >> 1).map_err(|_| RecordError::BadVarint)?;
            return Ok(if value & 1 == 1 { !half } else { half });
        }
        shift += 7;
    }
}

/// Writes a varint of either width.
pub(super) fn write_varint(out: &mut Vec<u8>, value: i64) {
    let mut rest =
        if value < 0 { ((!value).unsigned_abs() << 1) | 1 } else { value.unsigned_abs() << 1 };
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

/// The length of something as a varint's value.
///
/// # Errors
/// [`RecordError::TooLarge`]: beyond what Kafka's 32 bits can say.
pub(super) fn length(bytes: usize) -> Result<i32, RecordError> {
    i32::try_from(bytes).map_err(|_| RecordError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_at_their_edges() {
        for value in [0, 1, -1, 63, -64, 64, 8191, 8192, i64::from(i32::MAX), i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            write_varint(&mut bytes, value);
            let mut fields = Fields::new(&bytes);
            assert_eq!(fields.varlong(), Ok(value));
            assert!(fields.rest().is_empty());
        }
        // From Kafka's ByteUtils.writeVarint.
        let mut bytes = Vec::new();
        write_varint(&mut bytes, i64::from(i32::MIN));
        assert_eq!(bytes, [0xff, 0xff, 0xff, 0xff, 0x0f]);
    }

    #[test]
    fn overlong_varints_are_errors() {
        for bytes in [&[0xff, 0xff, 0xff, 0xff, 0x1f][..], &[0x80, 0x80, 0x80, 0x80, 0x80, 0]] {
            assert_eq!(Fields::new(bytes).varint(), Err(RecordError::BadVarint));
        }
        assert_eq!(Fields::new(&[0xff; 11]).varlong(), Err(RecordError::BadVarint));
        assert_eq!(Fields::new(&[0x80]).varlong(), Err(RecordError::Truncated));
    }
}
