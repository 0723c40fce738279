//! The field type `records`: a slice of the request coming in, memory or file ranges going out.

use crate::base::payload::{Bytes, Payload};

/// Record batches (or an old message set) inside a message, unread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records(Parts);

/// What comes in is one part at most; an answer may have several.
#[derive(Clone, Debug, Default, PartialEq)]
enum Parts {
    #[default]
    None,
    One(Payload),
    Several(Vec<Payload>),
}

impl Records {
    /// Records in memory.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Records {
        Records::from_part(Payload::Bytes(bytes))
    }

    /// Records in one place.
    #[must_use]
    pub fn from_part(part: Payload) -> Records {
        Records(if part.is_empty() { Parts::None } else { Parts::One(part) })
    }

    /// Records in several places, in order.
    #[must_use]
    pub fn from_parts(parts: Vec<Payload>) -> Records {
        Records(if parts.is_empty() { Parts::None } else { Parts::Several(parts) })
    }

    /// Where they are, in order.
    #[must_use]
    pub fn parts(&self) -> &[Payload] {
        match &self.0 {
            Parts::None => &[],
            Parts::One(part) => std::slice::from_ref(part),
            Parts::Several(parts) => parts,
        }
    }

    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts().iter().map(Payload::len).sum()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, if they are one slice in memory, as in every message that was read.
    #[must_use]
    pub fn as_bytes(&self) -> Option<Bytes> {
        match self.parts() {
            [] => Some(Bytes::new()),
            [Payload::Bytes(bytes)] => Some(bytes.clone()),
            _ => None,
        }
    }
}
