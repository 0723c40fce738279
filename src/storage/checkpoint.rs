//! Kafka's text checkpoints: offsets of many partitions, or the leader epochs of one (KIP-101).
//!
//! ```text
//!  recovery-point-offset-checkpoint,            leader-epoch-checkpoint
//!  log-start-offset-checkpoint,                 in each partition's directory
//!  replication-offset-checkpoint,
//!  cleaner-offset-checkpoint
//!  in the data directory
//!
//!  0                     version                0        version
//!  2                     number of entries      2        number of entries
//!  orders 0 4711         topic partition offset 0 0      epoch, its first offset
//!  orders 1 17                                  3 4100
//! ```
//!
//! Every line ends in a line feed. Like Kafka this reads an empty file as no entries, and what a crash may have cut off
//! is noticed by the number of entries.

use crate::base::ids::Offset;
use crate::storage::format::{FormatError, FormatProblem};

const VERSION: u32 = 0;

/// The recovery points: what lies below needs no check after a crash.
pub const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
/// The first offset of each log.
pub const LOG_STARTS: &str = "log-start-offset-checkpoint";
/// The high watermark of each log.
pub const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
/// Up to where each log is compacted.
pub const CLEANED_OFFSETS: &str = "cleaner-offset-checkpoint";
/// The leader epochs of one partition.
pub const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";

/// One offset for each of many partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetCheckpoint {
    /// In any order.
    pub entries: Vec<PartitionOffset>,
}

/// The offset of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionOffset {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The offset.
    pub offset: Offset,
}

impl OffsetCheckpoint {
    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let line = |e: &PartitionOffset| format!("{} {} {}\n", e.topic, e.partition, e.offset);
        encode_lines(self.entries.iter().map(line).collect())
    }

    /// Reads the file's bytes.
    pub fn decode(bytes: &[u8]) -> Result<OffsetCheckpoint, FormatError> {
        let entries = decode_lines("offset checkpoint", bytes, |line| match line {
            [topic, partition, offset] => Some(PartitionOffset {
                topic: (*topic).to_owned(),
                partition: partition.parse().ok().filter(|number| *number >= 0)?,
                offset: offset.parse().ok()?,
            }),
            _ => None,
        })?;
        Ok(OffsetCheckpoint { entries })
    }
}

/// The leader epochs of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCheckpoint {
    /// Epochs and the first offset of each, both rising.
    pub epochs: Vec<(i32, Offset)>,
}

impl EpochCheckpoint {
    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let line = |(epoch, offset): &(i32, Offset)| format!("{epoch} {offset}\n");
        encode_lines(self.epochs.iter().map(line).collect())
    }

    /// Reads the file's bytes; epochs or offsets that do not rise are an error.
    pub fn decode(bytes: &[u8]) -> Result<EpochCheckpoint, FormatError> {
        let file = "leader epoch checkpoint";
        let epochs = decode_lines(file, bytes, |line| match line {
            [epoch, offset] => Some((
                epoch.parse().ok().filter(|number| *number >= 0)?,
                offset.parse().ok().filter(|number| *number >= 0)?,
            )),
            _ => None,
        })?;
        let rising = |pair: &[(i32, Offset)]| match pair {
            [(epoch, offset), (next_epoch, next)] => epoch < next_epoch && offset < next,
            _ => true,
        };
        if epochs.windows(2).all(rising) {
            return Ok(EpochCheckpoint { epochs });
        }
        Err(FormatError::new(file, bytes.len(), FormatProblem::Value("order of epochs")))
    }
}

fn encode_lines(lines: Vec<String>) -> Vec<u8> {
    format!("{VERSION}\n{}\n{}", lines.len(), lines.concat()).into_bytes()
}

/// Reads version, count and as many lines, each cut into its words.
fn decode_lines<T>(
    file: &'static str,
    bytes: &[u8],
    parse: impl Fn(&[&str]) -> Option<T>,
) -> Result<Vec<T>, FormatError> {
    let mut position = 0;
    let error = |position, problem| FormatError::new(file, position, problem);
    let text = std::str::from_utf8(bytes)
        .map_err(|e| error(e.valid_up_to(), FormatProblem::Value("UTF-8")))?;
    let mut lines = text.split_inclusive('\n').map(|line| {
        let start = position;
        position += line.len();
        (start, line.trim_end())
    });
    let Some((start, version)) = lines.next() else { return Ok(Vec::new()) };
    let found = version.parse().map_err(|_| error(start, FormatProblem::Value("version")))?;
    if found != VERSION {
        return Err(error(start, FormatProblem::Version { found, newest: VERSION }));
    }
    let (start, count) =
        lines.next().ok_or_else(|| error(bytes.len(), FormatProblem::Truncated))?;
    let count: usize = count.parse().map_err(|_| error(start, FormatProblem::Value("count")))?;
    let mut entries = Vec::new();
    for (start, line) in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        entries.push(parse(&words).ok_or_else(|| error(start, FormatProblem::Value("line")))?);
    }
    match entries.len().cmp(&count) {
        std::cmp::Ordering::Less => Err(error(bytes.len(), FormatProblem::Truncated)),
        std::cmp::Ordering::Equal => Ok(entries),
        std::cmp::Ordering::Greater => Err(error(bytes.len(), FormatProblem::TrailingBytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(bytes: &[u8]) -> FormatProblem {
        OffsetCheckpoint::decode(bytes).unwrap_err().problem
    }

    #[test]
    fn an_empty_file_has_no_entries() {
        assert_eq!(OffsetCheckpoint::decode(b"").unwrap(), OffsetCheckpoint::default());
        assert_eq!(OffsetCheckpoint::default().encode(), b"0\n0\n");
    }

    #[test]
    fn what_is_cut_off_is_noticed() {
        assert_eq!(problem(b"0\n"), FormatProblem::Truncated);
        assert_eq!(problem(b"0\n2\norders 0 4711\n"), FormatProblem::Truncated);
        assert_eq!(problem(b"0\n2\norders 0 4711\norders 1"), FormatProblem::Value("line"));
    }

    #[test]
    fn what_is_not_such_a_file_is_an_error() {
        assert_eq!(problem(b"1\n0\n"), FormatProblem::Version { found: 1, newest: 0 });
        assert_eq!(problem(b"\0\0\0"), FormatProblem::Value("version"));
        assert_eq!(problem(b"0\n-1\n"), FormatProblem::Value("count"));
        assert_eq!(problem(b"0\n1\na 0 1\na 1 1\n"), FormatProblem::TrailingBytes);
        assert_eq!(problem(b"0\n1\na -1 1\n"), FormatProblem::Value("line"));
        assert_eq!(problem(b"0\n1\na 0 99999999999999999999\n"), FormatProblem::Value("line"));
        assert_eq!(problem(b"0\n\xff"), FormatProblem::Value("UTF-8"));
    }

    #[test]
    fn epochs_and_their_offsets_must_rise() {
        let decoded = EpochCheckpoint::decode(b"0\n2\n0 0\n3 4100\n").unwrap();
        assert_eq!(decoded.epochs, [(0, 0), (3, 4100)]);
        assert_eq!(decoded.encode(), b"0\n2\n0 0\n3 4100\n");
        assert!(EpochCheckpoint::decode(b"0\n2\n3 0\n3 4100\n").is_err());
        assert!(EpochCheckpoint::decode(b"0\n2\n0 7\n3 7\n").is_err());
    }
}
