//! Keys and values as text: those of the internal topics decoded, any others escaped so that a terminal takes no harm.

use std::fmt;
use std::path::Path;

use crate::base::ids::TopicId;
use crate::base::payload::Bytes;
use crate::wire::messages::internal::metadata::MetadataRecord;
use crate::wire::messages::internal::offsets::{GroupMetadataValue, OffsetCommitValue, OffsetsKey};
use crate::wire::messages::internal::transactions::{TransactionLogKey, TransactionLogValue};

/// What the records of a log are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Groups and their positions.
    Offsets,
    /// Transactional ids.
    Transactions,
    /// Topics, settings, producer ids.
    Metadata,
}

impl Contents {
    /// What the records of a file are, if it lies in an internal topic's directory.
    pub(crate) fn of_directory(file: &Path) -> Option<Contents> {
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
    pub(crate) fn key(self, key: &[u8]) -> Option<String> {
        match self {
            Contents::Offsets => match OffsetsKey::decode(&bytes(key)).ok()? {
                OffsetsKey::OffsetCommit(key) => Some(format!("{key:?}")),
                OffsetsKey::GroupMetadata(key) => Some(format!("{key:?}")),
            },
            Contents::Metadata => metadata_key(key),
            Contents::Transactions => debug(TransactionLogKey::decode(&bytes(key))),
        }
    }

    /// A value as text; `None`: it is of no kind known here.
    pub(crate) fn value(self, key: Option<&[u8]>, value: &[u8]) -> Option<String> {
        let value = bytes(value);
        match self {
            Contents::Offsets => match OffsetsKey::decode(&bytes(key?)).ok()? {
                OffsetsKey::OffsetCommit(_) => debug(OffsetCommitValue::decode(&value)),
                OffsetsKey::GroupMetadata(_) => debug(GroupMetadataValue::decode(&value)),
            },
            Contents::Transactions => debug(TransactionLogValue::decode(&value)),
            Contents::Metadata => debug(MetadataRecord::decode(&value)),
        }
    }
}

/// A key of our own in `__cluster_metadata`: the type of the record, then what it is about. Kafka's have none.
fn metadata_key(key: &[u8]) -> Option<String> {
    let (kind, about) = key.split_first_chunk::<2>()?;
    match (i16::from_be_bytes(*kind), about) {
        (0, []) => Some("RegisterBroker".to_owned()),
        (2, id) => Some(format!("Topic {}", TopicId(id.try_into().ok()?))),
        (3, about) => {
            let (id, index) = about.split_first_chunk::<16>()?;
            let index = i32::from_be_bytes(index.try_into().ok()?);
            Some(format!("Partition {}-{index}", TopicId(*id)))
        }
        (4, [resource_type, names @ ..]) => {
            let mut names = names.splitn(2, |byte| *byte == 0);
            let (resource, name) = (Text(names.next()?), Text(names.next()?));
            Some(format!("Config {resource_type}:{resource} {name}"))
        }
        (15, []) => Some("ProducerIds".to_owned()),
        _ => None,
    }
}

fn bytes(slice: &[u8]) -> Bytes {
    Bytes::from_vec(slice.to_vec())
}

fn debug<T: fmt::Debug, E>(decoded: Result<T, E>) -> Option<String> {
    decoded.ok().map(|value| format!("{value:?}"))
}

/// Bytes as text: UTF-8 as it is, control characters and all other bytes escaped.
pub(crate) struct Text<'a>(pub(crate) &'a [u8]);

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

    #[test]
    fn keys_of_the_metadata_log_are_named() {
        let key = |bytes: &[u8]| Contents::Metadata.key(bytes);
        assert_eq!(key(&[0, 0]).unwrap(), "RegisterBroker");
        let topic = [&[0, 2][..], &TopicId::METADATA.0].concat();
        assert_eq!(key(&topic).unwrap(), "Topic AAAAAAAAAAAAAAAAAAAAAQ");
        let partition = [&[0, 3][..], &TopicId::METADATA.0, &[0, 0, 0, 7]].concat();
        assert_eq!(key(&partition).unwrap(), "Partition AAAAAAAAAAAAAAAAAAAAAQ-7");
        assert_eq!(key(b"\0\x04\x02orders\0retention.ms").unwrap(), "Config 2:orders retention.ms");
        for bad in [&b""[..], b"\0", b"\0\x02short", b"\0\x04\x02orders", b"\0\0more"] {
            assert_eq!(key(bad), None);
        }
    }
}
