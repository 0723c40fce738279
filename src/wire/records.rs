//! The field type `records`: a slice of the request coming in, memory or file ranges going out.

use crate::base::payload::{Bytes, Payload};

/// Record batches (or an old message set) inside a message, unread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records {
    /// The parts, in order. What comes in is one part; an answer may have several.
    pub parts: Vec<Payload>,
}

impl Records {
    /// Records in memory.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Records {
        Records { parts: if bytes.is_empty() { Vec::new() } else { vec![Payload::Bytes(bytes)] } }
    }

    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(Payload::len).sum()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, if they are one slice in memory, as in every message that was read.
    #[must_use]
    pub fn as_bytes(&self) -> Option<Bytes> {
        match self.parts.as_slice() {
            [] => Some(Bytes::new()),
            [Payload::Bytes(bytes)] => Some(bytes.clone()),
            _ => None,
        }
    }
}
