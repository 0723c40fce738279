//! What can be wrong with bytes that came in, and with a message that is to go out.

use std::fmt;

/// Why bytes could not be read. It names the type and the field, so that one log line says it all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What is wrong.
    pub problem: Problem,
    /// `Type.field`, or empty outside of a message.
    pub place: &'static str,
    /// Where reading stopped: number of bytes before it in the frame or value.
    pub position: usize,
}

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// They end too early.
    Truncated,
    /// A length or a count is negative where null is not allowed, or not a legal null.
    NegativeLength,
    /// A length or a count is larger than the bytes that are left can hold.
    LengthBeyondEnd,
    /// A variable-length integer does not end, or does not fit.
    BadVarint,
    /// A string is not UTF-8.
    NotUtf8,
    /// A nullable structure begins with neither 1 nor -1.
    BadNullMarker,
    /// A tag appears twice or not in rising order.
    TagOrder,
    /// A section has more unknown tagged fields than are tolerated.
    TooManyTags,
    /// A tagged field's size is not the size of what is in it.
    TagSize,
    /// Its arrays would take much more memory than it has bytes.
    TooMuchMemory,
    /// Bytes are left over after the message.
    TrailingBytes,
    /// There is no such version of this message.
    UnknownVersion,
    /// There is no such request.
    UnknownApi,
    /// A value is outside its domain.
    BadValue,
}

impl DecodeError {
    /// An error whose place is not known yet.
    #[must_use]
    pub fn new(problem: Problem) -> DecodeError {
        DecodeError { problem, place: "", position: 0 }
    }

    /// The same error, at `place` unless a more precise one is known.
    #[must_use]
    pub fn at(self, place: &'static str) -> DecodeError {
        if self.place.is_empty() { DecodeError { place, ..self } } else { self }
    }

    /// The same error, of the byte at `position`: a reader stays where it fails.
    #[must_use]
    pub fn at_byte(self, position: usize) -> DecodeError {
        DecodeError { position, ..self }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.problem {
            Problem::Truncated => "ends too early",
            Problem::NegativeLength => "negative length",
            Problem::LengthBeyondEnd => "length beyond the end",
            Problem::BadVarint => "malformed varint",
            Problem::NotUtf8 => "not UTF-8",
            Problem::BadNullMarker => "bad null marker",
            Problem::TagOrder => "tags out of order",
            Problem::TooManyTags => "too many unknown tagged fields",
            Problem::TagSize => "tagged field of another size than announced",
            Problem::TooMuchMemory => "takes too much memory for its size",
            Problem::TrailingBytes => "bytes left over",
            Problem::UnknownVersion => "unknown version",
            Problem::UnknownApi => "unknown API key",
            Problem::BadValue => "value outside its domain",
        };
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        write!(f, "{text} (byte {})", self.position)
    }
}

impl std::error::Error for DecodeError {}

/// Why a message cannot be written in a version: always a mistake of the one who made the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodeError {
    /// `Type.field`.
    pub place: &'static str,
    /// What is wrong.
    pub reason: &'static str,
}

impl EncodeError {
    /// An error whose place is not known yet.
    #[must_use]
    pub fn new(reason: &'static str) -> EncodeError {
        EncodeError { place: "", reason }
    }

    /// The same error, at `place` unless a more precise one is known.
    #[must_use]
    pub fn at(self, place: &'static str) -> EncodeError {
        if self.place.is_empty() { EncodeError { place, ..self } } else { self }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

impl std::error::Error for EncodeError {}
