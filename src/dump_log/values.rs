//! Keys and values as text: those of the internal topics decoded, any others escaped so that a terminal takes no harm.

use std::fmt;
use std::path::Path;

use crate::base::payload::Bytes;
use crate::wire::messages::internal::metadata::MetadataRecord;
use crate::wire::messages::internal::offsets::{GroupMetadataValue, OffsetCommitValue, OffsetsKey};

/// What the records of a log are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contents {
    /// Groups and their positions.
    Offsets,
    /// Transactional ids.
    Transactions,
    /// Topics, settings, producer ids.
    Metadata,
}

impl Contents {
    /// What the records of a file are, if it lies in an internal topic's directory.
    pub(super) fn of_directory(file: &Path) -> Option<Contents> {
        let file = std::path::absolute(file).ok()?;
        let directory = file.parent()?.file_name()?.to_str()?;
        match directory.rsplit_once('-')?.0 {
            "__consumer_offsets" => Some(Contents::Offsets),
            "__transaction_state" => Some(Contents::Transactions),
            "__cluster_metadata" => Some(Contents::Metadata),
            _ => None,
        }
    }

    /// A key as text; `None`: it is of no kind known here.
    pub(super) fn key(self, key: &[u8]) -> Option<String> {
        match self {
            Contents::Offsets => match OffsetsKey::decode(&bytes(key)).ok()? {
                OffsetsKey::OffsetCommit(key) => Some(format!("{key:?}")),
                OffsetsKey::GroupMetadata(key) => Some(format!("{key:?}")),
            },
            Contents::Transactions | Contents::Metadata => None,
        }
    }

    /// A value as text; `None`: it is of no kind known here.
    pub(super) fn value(self, key: Option<&[u8]>, value: &[u8]) -> Option<String> {
        let value = bytes(value);
        match self {
            Contents::Offsets => match OffsetsKey::decode(&bytes(key?)).ok()? {
                OffsetsKey::OffsetCommit(_) => debug(OffsetCommitValue::decode(&value)),
                OffsetsKey::GroupMetadata(_) => debug(GroupMetadataValue::decode(&value)),
            },
            Contents::Transactions => None,
            Contents::Metadata => debug(MetadataRecord::decode(&value)),
        }
    }
}

fn bytes(slice: &[u8]) -> Bytes {
    Bytes::from_vec(slice.to_vec())
}

fn debug<T: fmt::Debug, E>(decoded: Result<T, E>) -> Option<String> {
    decoded.ok().map(|value| format!("{value:?}"))
}

/// Bytes as text: UTF-8 as it is, control characters and all other bytes escaped.
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() {
                    write!(f, "{}", c.escape_default())?;
                } else {
                    write!(f, "{c}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_letters_and_escapes_what_could_steer_a_terminal() {
        let text = Text("größe\u{1b}[2J\n".as_bytes()).to_string();
        assert_eq!(text, "größe\\u{1b}[2J\\n");
        assert_eq!(Text(b"a\xff\x00b").to_string(), "a\\xff\\u{0}b");
    }
}
