//! The durable marks: up to where each partition is known to be on the disk, so that an unclean start scans only what
//! lies above.
//!
//! One file per writer, [`file_name`]; it is made of pages of 4096 bytes:
//!
//! ```text
//!  page 0       header
//!  page 1 + 2k  side 0 of slots 64k … 64k + 63
//!  page 2 + 2k  side 1 of slots 64k … 64k + 63
//!
//!  header: byte  size                           slot: byte  size
//!             0     8  magic, "CHRKMARK"                 0     8  round
//!             8     4  version, 1                        8    16  topic id
//!            12     4  writer                           24     4  partition
//!            16     4  CRC-32 of the 16 before          28     8  log start offset
//!            20  4076  zeros                            36     8  synced end offset
//!                                                       44     8  base offset of the segment that ends there
//!                                                       52     8  synced bytes of that segment
//!                                                       60     4  CRC-32 of the 60 before
//! ```
//!
//! All integers are big-endian; a slot of zeros is free. A partition has one slot, which has two sides; the valid side
//! with the higher round counts. A round writes one side only, the same for every slot that it writes (its parity), and
//! is synced before the next begins. So a power cut can tear only pages of one side: what is left is the mark
//! of an earlier round, which is behind the data as every mark may be, and never ahead of it.
//!
//! The first mark of a partition is written in two rounds, to both sides. So a side that is not whole beside one that is
//! free was torn before the mark counted; only a slot of which no side is whole or free may have held one. Both sides are
//! written, too, when a log begins later or ends earlier than its last mark said: should one be damaged, the other must
//! not bring back what is gone.
//!
//! Rounds of different files do not compare: whoever starts after a crash reads all files, recovers, and writes them anew
//! ([`MarksFile::encode`]), as the number of writers may have changed. After a clean stop files that say the same as the
//! manifest stay as they are.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::ids::{Offset, PartitionId, TopicId};
use crate::storage::format::{FormatError, FormatProblem, FormatReader, crc_with_version};

const FILE: &str = "durable marks";
const MAGIC: &[u8; 8] = b"CHRKMARK";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 20;
const PAGE_BYTES: usize = 4096;
const SLOTS_PER_PAGE: usize = PAGE_BYTES / SLOT_BYTES;

/// Size of one side of a slot.
pub const SLOT_BYTES: usize = 64;

/// What a partition with no mark has in its slot.
pub const FREE_SLOT: [u8; SLOT_BYTES] = [0; SLOT_BYTES];

/// How the names of these files begin.
pub const FILE_NAME_PREFIX: &str = "chronik-marks-";

/// The name of a writer's file.
#[must_use]
pub fn file_name(writer: u32) -> String {
    format!("{FILE_NAME_PREFIX}{writer}")
}

/// Up to where a partition is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Counts the times that the file was written; rises with each.
    pub round: u64,
    /// The partition.
    pub partition: PartitionId,
    /// The first offset of its log.
    pub log_start: Offset,
    /// Records below this offset are on the disk.
    pub end: Offset,
    /// The base offset of the segment in which `end` lies.
    pub segment_base: Offset,
    /// How many bytes of that segment are on the disk.
    pub segment_bytes: u64,
}

/// Where a slot's side for a round lies in the file, in bytes.
#[must_use]
pub fn slot_position(slot: usize, round: u64) -> u64 {
    let side = usize::from(round % 2 == 1);
    let page = 1 + 2 * (slot / SLOTS_PER_PAGE) + side;
    let position = page * PAGE_BYTES + (slot % SLOTS_PER_PAGE) * SLOT_BYTES;
    u64::try_from(position).unwrap_or(u64::MAX)
}

impl Mark {
    /// One side of a slot.
    #[must_use]
    pub fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut bytes = Vec::with_capacity(SLOT_BYTES);
        bytes.extend_from_slice(&self.round.to_be_bytes());
        bytes.extend_from_slice(&self.partition.topic.0);
        bytes.extend_from_slice(&self.partition.index.to_be_bytes());
        bytes.extend_from_slice(&self.log_start.to_be_bytes());
        bytes.extend_from_slice(&self.end.to_be_bytes());
        bytes.extend_from_slice(&self.segment_base.to_be_bytes());
        bytes.extend_from_slice(&self.segment_bytes.to_be_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        let mut slot = FREE_SLOT;
        slot.copy_from_slice(&bytes);
        slot
    }

    /// Reads one side of a slot; `None`: it is free.
    pub fn decode(bytes: &[u8]) -> Result<Option<Mark>, FormatError> {
        if bytes == FREE_SLOT {
            return Ok(None);
        }
        let mut reader = FormatReader::new(FILE, bytes);
        let mark = Mark {
            round: reader.u64()?,
            partition: PartitionId { topic: TopicId(reader.array()?), index: reader.i32()? },
            log_start: reader.i64()?,
            end: reader.i64()?,
            segment_base: reader.i64()?,
            segment_bytes: reader.u64()?,
        };
        check_crc(&mut reader, bytes)?;
        let rising =
            0 <= mark.log_start && mark.log_start <= mark.end && mark.segment_base <= mark.end;
        if rising {
            Ok(Some(mark))
        } else {
            Err(reader.error(FormatProblem::Value("order of offsets")))
        }
    }
}

/// The next four bytes must be the CRC-32 of all before them.
fn check_crc(reader: &mut FormatReader<'_>, bytes: &[u8]) -> Result<(), FormatError> {
    let covered = bytes.get(..reader.position()).unwrap_or_default();
    let error = |problem| FormatError::new(FILE, covered.len(), problem);
    let (stored, computed) = (reader.u32()?, crc32fast::hash(covered));
    if stored == computed {
        Ok(())
    } else {
        Err(error(FormatProblem::Checksum { stored, computed }))
    }
}

/// A file of marks as it is read at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarksFile {
    /// The writer it belongs to.
    pub writer: u32,
    /// The newest valid mark of each partition.
    pub marks: BTreeMap<PartitionId, Mark>,
    /// Where sides of slots were damaged, in bytes.
    pub damaged: Vec<u64>,
    /// Slots of which both sides were: each may have held a mark.
    pub lost: usize,
}

impl MarksFile {
    /// The bytes of a whole new file: the marks in order, each in both sides, as of rounds 0 and 1: the next is 2.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.encode_header();
        let marks: Vec<&Mark> = self.marks.values().collect();
        for page in marks.chunks(SLOTS_PER_PAGE) {
            for round in [0, 1] {
                for mark in page {
                    bytes.extend_from_slice(&Mark { round, ..**mark }.encode());
                }
                bytes.resize(bytes.len().next_multiple_of(PAGE_BYTES), 0);
            }
        }
        bytes
    }

    fn encode_header(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PAGE_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.writer.to_be_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes.resize(PAGE_BYTES, 0);
        bytes
    }

    /// Reads the file's bytes. A damaged header is an error; a damaged slot is noted, and a file that ends within a
    /// page lacks only what is not there.
    pub fn decode(bytes: &[u8]) -> Result<MarksFile, FormatError> {
        let mut file = MarksFile { writer: decode_header(bytes)?, ..MarksFile::default() };
        let slots = bytes.get(PAGE_BYTES..).unwrap_or_default().chunks(SLOT_BYTES);
        let mut damaged = BTreeSet::new();
        for (index, slot) in slots.enumerate() {
            match Mark::decode(slot) {
                Ok(None) => {}
                Ok(Some(mark)) => file.keep_newer(mark),
                Err(_) => {
                    let position = PAGE_BYTES + index * SLOT_BYTES;
                    file.damaged.push(u64::try_from(position).unwrap_or(u64::MAX));
                    let (page, place) = (index / SLOTS_PER_PAGE, index % SLOTS_PER_PAGE);
                    // The other side is in the page beside it.
                    file.lost += usize::from(!damaged.insert((page / 2, place)));
                }
            }
        }
        Ok(file)
    }

    fn keep_newer(&mut self, mark: Mark) {
        let kept = self.marks.entry(mark.partition).or_insert(mark);
        if kept.round < mark.round {
            *kept = mark;
        }
    }
}

/// Both sides of every slot, by place, in a file of this writer without any damage. `None`: it is not such a file.
pub(super) fn whole_slots(bytes: &[u8], writer: u32) -> Option<Vec<[Option<Mark>; 2]>> {
    if decode_header(bytes).ok()? != writer {
        return None;
    }
    let pages = bytes.len().saturating_sub(PAGE_BYTES).div_ceil(2 * PAGE_BYTES);
    let side = |slot, round| {
        let position = usize::try_from(slot_position(slot, round)).ok()?;
        let rest = bytes.get(position..).unwrap_or_default();
        let side = rest.get(..SLOT_BYTES).unwrap_or(rest);
        if side.is_empty() { Some(None) } else { Mark::decode(side).ok() }
    };
    (0..pages * SLOTS_PER_PAGE).map(|slot| Some([side(slot, 0)?, side(slot, 1)?])).collect()
}

/// Checks the header; gives the writer.
fn decode_header(bytes: &[u8]) -> Result<u32, FormatError> {
    let mut reader = FormatReader::new(FILE, bytes);
    if reader.array::<8>()? != *MAGIC {
        return Err(FormatError::new(FILE, 0, FormatProblem::Magic));
    }
    let found = reader.u32()?;
    let (covered, crc) =
        bytes.get(..HEADER_BYTES).unwrap_or_default().split_at_checked(16).unwrap_or_default();
    if found != VERSION && crc_with_version(covered, VERSION).to_be_bytes() != crc {
        let problem = FormatProblem::Version { found, newest: VERSION };
        return Err(FormatError::new(FILE, MAGIC.len(), problem));
    }
    let writer = reader.u32()?;
    check_crc(&mut reader, bytes.get(..HEADER_BYTES).unwrap_or_default())?;
    Ok(writer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(topic: u8, round: u64) -> Mark {
        Mark {
            round,
            partition: PartitionId { topic: TopicId([topic; 16]), index: 3 },
            log_start: 5,
            end: 1000 + i64::try_from(round).unwrap(),
            segment_base: 900,
            segment_bytes: 4096,
        }
    }

    fn file_of(partitions: u8) -> MarksFile {
        let marks = (0..partitions).map(|n| (mark(n, 1).partition, mark(n, 1))).collect();
        MarksFile { writer: 2, marks, ..MarksFile::default() }
    }

    fn write(bytes: &mut [u8], slot: usize, mark: &Mark) {
        let position = usize::try_from(slot_position(slot, mark.round)).unwrap();
        bytes[position..position + SLOT_BYTES].copy_from_slice(&mark.encode());
    }

    #[test]
    fn a_slot_is_laid_out_as_drawn() {
        let slot = mark(0xaa, 7).encode();
        assert_eq!(slot[..8], [0, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(slot[8..24], [0xaa; 16]);
        assert_eq!(slot[24..28], [0, 0, 0, 3]);
        assert_eq!(slot[28..36], [0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(slot[36..44], [0, 0, 0, 0, 0, 0, 0x03, 0xef]);
        assert_eq!(slot[44..52], [0, 0, 0, 0, 0, 0, 0x03, 0x84]);
        assert_eq!(slot[52..60], [0, 0, 0, 0, 0, 0, 0x10, 0]);
        assert_eq!(slot[60..], crc32fast::hash(&slot[..60]).to_be_bytes());
    }

    #[test]
    fn sides_of_a_slot_never_share_a_page_and_slots_never_overlap() {
        let mut seen = std::collections::BTreeSet::new();
        for slot in 0..200 {
            let (even, odd) = (slot_position(slot, 8), slot_position(slot, 9));
            assert_ne!(even / 4096, odd / 4096);
            assert!(even >= 4096 && even % 64 == 0 && odd % 64 == 0);
            assert!(seen.insert(even) && seen.insert(odd));
        }
    }

    #[test]
    fn a_new_file_reads_back_whole() {
        for partitions in [0, 1, 64, 65, 200] {
            let file = file_of(partitions);
            assert_eq!(MarksFile::decode(&file.encode()).unwrap(), file);
        }
    }

    #[test]
    fn the_newest_valid_side_wins_and_a_torn_one_falls_back() {
        let mut bytes = file_of(70).encode();
        for round in 2..=5 {
            write(&mut bytes, 66, &mark(66, round));
        }
        let partition = mark(66, 1).partition;
        assert_eq!(MarksFile::decode(&bytes).unwrap().marks[&partition].end, 1005);

        let newest = slot_position(66, 5);
        bytes[usize::try_from(newest).unwrap() + 40] ^= 1;
        let file = MarksFile::decode(&bytes).unwrap();
        assert_eq!(file.marks[&partition].end, 1004);
        assert_eq!(file.damaged, [newest]);
        assert_eq!(file.marks.len(), 70);
    }

    #[test]
    fn a_torn_page_costs_no_partition_its_mark() {
        let whole = file_of(130);
        for page in 1..=6 {
            let mut bytes = whole.encode();
            bytes[page * 4096..(page + 1) * 4096].fill(0x5a);
            let file = MarksFile::decode(&bytes).unwrap();
            assert_eq!(file.marks.len(), 130, "page {page}");
            assert_eq!((file.damaged.len(), file.lost), (64, 0));
        }
    }

    #[test]
    fn a_mark_is_lost_only_where_both_sides_of_its_slot_are_damaged() {
        let damage = |rounds: &[u64], slot| {
            let mut bytes = file_of(70).encode();
            for round in rounds {
                bytes[usize::try_from(slot_position(slot, *round)).unwrap()] ^= 1;
            }
            let file = MarksFile::decode(&bytes).unwrap();
            (file.marks.len(), file.damaged.len(), file.lost)
        };
        for slot in [0, 63, 64, 69] {
            assert_eq!(damage(&[0], slot), (70, 1, 0));
            assert_eq!(damage(&[1], slot), (70, 1, 0));
            assert_eq!(damage(&[0, 1], slot), (69, 2, 1));
        }
        // The first mark of a partition, torn.
        assert_eq!(damage(&[0], 70), (70, 1, 0));
    }

    #[test]
    fn no_cut_and_no_flipped_bit_moves_a_mark_ahead() {
        let bytes = file_of(3).encode();
        for length in 0..bytes.len() {
            if let Ok(file) = MarksFile::decode(&bytes[..length]) {
                assert!(file.marks.values().all(|mark| mark.end <= 1001));
            }
        }
        for bit in 0..(4096 + 3 * 64) * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(file) = MarksFile::decode(&bytes) {
                assert!(file.marks.values().all(|mark| mark.end <= 1001));
                assert_eq!(file.marks.len(), 3);
            }
        }
    }

    #[test]
    fn only_a_file_without_damage_gives_its_slots() {
        let bytes = file_of(65).encode();
        let slots = whole_slots(&bytes, 2).unwrap();
        assert_eq!(slots.len(), 128);
        for (place, slot) in (0u8..).zip(&slots) {
            let sides = (place < 65).then(|| [0, 1].map(|round| Mark { round, ..mark(place, 1) }));
            assert_eq!(*slot, sides.map_or([None; 2], |sides| sides.map(Some)), "slot {place}");
        }
        assert!(whole_slots(&bytes, 1).is_none(), "another writer's");
        let end = usize::try_from(slot_position(64, 1)).unwrap() + SLOT_BYTES;
        assert_eq!(whole_slots(&bytes[..end], 2).unwrap(), slots, "free slots need not be there");
        assert!(whole_slots(&bytes[..end - 1], 2).is_none());
        for place in [3, 4096 + 5, end - 7] {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1;
            assert!(whole_slots(&bytes, 2).is_none(), "byte {place}");
        }
    }

    #[test]
    fn a_newer_version_is_refused() {
        let mut bytes = file_of(1).encode();
        bytes[11] = 2;
        let only_that = MarksFile::decode(&bytes).unwrap_err().problem;
        assert!(matches!(only_that, FormatProblem::Checksum { .. }), "no version, but damage");
        let crc = crc32fast::hash(&bytes[..16]).to_be_bytes();
        bytes[16..20].copy_from_slice(&crc);
        let problem = FormatProblem::Version { found: 2, newest: 1 };
        assert_eq!(MarksFile::decode(&bytes).unwrap_err().problem, problem);
    }
}
