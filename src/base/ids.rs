//! Names for things: connections, tickets, topics and partitions.

use std::fmt;

/// A position in a partition's log: the number of records before it, since the beginning of time.
pub type Offset = i64;

/// A producer's number, unique for the life of the data directory (KIP-98).
pub type ProducerId = i64;

/// A connection: its place in the slab and the generation of that place.
///
/// A late answer for a connection that has gone is recognised by its generation and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    /// Place in the slab.
    pub slot: usize,
    /// How many connections had this place before.
    pub generation: u64,
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// Names one thing that waits: a job on its way, a parked request, a deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A topic's identity (KIP-516): a random UUID that outlives renames and tells a recreated topic from its
/// predecessor. All zeros means "none".
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub [u8; 16]);

impl TopicId {
    /// No topic id.
    pub const ZERO: TopicId = TopicId([0; 16]);
    /// The identity that KRaft gives to `__cluster_metadata`.
    pub const METADATA: TopicId = TopicId([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// A version-4 UUID made of 16 random bytes.
    #[must_use]
    pub fn from_random(mut bytes: [u8; 16]) -> TopicId {
        let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
        *version = (*version & 0x0f) | 0x40;
        *variant = (*variant & 0x3f) | 0x80;
        TopicId(bytes)
    }

    /// Whether this is the "none" value.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == TopicId::ZERO
    }

    /// Reads the form that [`fmt::Display`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<TopicId> {
        let (last, head) = text.as_bytes().split_last()?;
        if head.len() != 21 {
            return None;
        }
        // 21 digits carry 126 bits; the last one brings two more and four of padding.
        let digit = |c: &u8| BASE64URL.iter().position(|d| d == c);
        let mut bits: u128 = 0;
        for c in head {
            bits = (bits << 6) | digit(c)? as u128;
        }
        let last = digit(last)?;
        let whole = (bits << 2) | (last >> 4) as u128;
        (last & 0x0f == 0).then(|| TopicId(whole.to_be_bytes()))
    }
}

const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Kafka's text form: 22 characters of URL-safe base64 without padding.
impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        for digit in 0..22u32 {
            let index =
                if digit < 21 { (bits >> (122 - 6 * digit)) & 63 } else { (bits << 4) & 63 };
            let c = usize::try_from(index).ok().and_then(|i| BASE64URL.get(i)).unwrap_or(&b'?');
            write!(f, "{}", char::from(*c))?;
        }
        Ok(())
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// One partition of one topic. The topic's name is not part of the identity: a recreated topic is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    /// The topic.
    pub topic: TopicId,
    /// The partition's number within the topic, from 0.
    pub index: i32,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_id_text_is_kafkas() {
        // From org.apache.kafka.common.Uuid.toString.
        assert_eq!(TopicId::METADATA.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        let id = TopicId([0xff; 16]);
        assert_eq!(id.to_string(), "_____________________w");
    }

    #[test]
    fn topic_id_text_round_trips() {
        for seed in 0..64u8 {
            let id = TopicId::from_random(std::array::from_fn(|i| {
                seed.wrapping_mul(37) ^ u8::try_from(i).unwrap().wrapping_mul(91)
            }));
            assert_eq!(TopicId::parse(&id.to_string()), Some(id));
        }
        assert_eq!(TopicId::parse("short"), None);
        assert_eq!(TopicId::parse("_____________________x"), None);
    }
}
