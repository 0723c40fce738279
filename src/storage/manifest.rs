//! The manifest of a clean stop: what every partition's directory holds, so that a clean start opens no file but this
//! one before it serves.
//!
//! Written whole and synced before the clean marker; worth nothing without it. Any damage makes it worth nothing,
//! too: the start is then an unclean one, which finds all of it in the directories.
//!
//! ```text
//!  byte  size
//!     0     8  magic, "CHRKMANI"
//!     8     4  version, 2
//!    12     8  wall time of the stop, milliseconds since 1970
//!    20     4  number of partitions p, then p times:
//!           16    topic id
//!            4    partition
//!            2    length of the topic's name, then the name, UTF-8
//!            8    log start offset
//!            8    log end offset
//!            4    number of segments, then for each, by rising base offset:
//!            8      base offset
//!            8      bytes of its .log
//!            8      timestamp of its first batch, -1: it is empty
//!            8      largest timestamp, -1: there is none
//!            8      wall time of its last write, -1: not known (absent in version 1)
//!            4    number of producer snapshots, then for each, rising:
//!            8      offset
//!            4    number of leader epochs, then for each, rising:
//!            4      epoch
//!            8      its first offset
//!   end     4  CRC-32 of all before it
//! ```
//!
//! All integers are big-endian.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::ids::{Offset, PartitionId, TopicId};
use crate::base::time::WallMs;
use crate::storage::format::{FormatError, FormatProblem, FormatReader, push_crc32, stored_count};

const FILE: &str = "manifest";
const MAGIC: &[u8; 8] = b"CHRKMANI";
const VERSION: u32 = 2;
const PARTITION_BYTES_MIN: usize = 16 + 4 + 2 + 8 + 8 + 4 + 4 + 4;
/// As version 1 has it.
const SEGMENT_BYTES_MIN: usize = 32;
const SNAPSHOT_BYTES: usize = 8;
const EPOCH_BYTES: usize = 12;

/// The file's name.
pub const FILE_NAME: &str = "chronik-manifest";

/// What a clean stop left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// When it stopped, as far as its clock was believed.
    pub stopped_at: WallMs,
    /// Every partition.
    pub partitions: Vec<ManifestPartition>,
}

/// What a partition's directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestPartition {
    /// The partition.
    pub partition: PartitionId,
    /// The topic's name, which names the directory.
    pub topic: String,
    /// The first offset.
    pub log_start: Offset,
    /// The next offset.
    pub log_end: Offset,
    /// Its segments, by rising base offset.
    pub segments: Vec<ManifestSegment>,
    /// The offsets of its producer snapshots, rising.
    pub snapshots: Vec<Offset>,
    /// Its leader epochs and the first offset of each, both rising.
    pub epochs: Vec<(i32, Offset)>,
}

/// One segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestSegment {
    /// The offset that names its files.
    pub base: Offset,
    /// Size of its `.log`.
    pub bytes: u64,
    /// The timestamp of its first batch, from which its age counts until it is closed; -1: it is empty.
    pub first_timestamp: i64,
    /// The largest timestamp, from which its age counts when it is closed; -1: there is none.
    pub max_timestamp: i64,
    /// The wall time of its last write, beyond which no timestamp counts; -1: not known.
    pub written: WallMs,
}

impl Manifest {
    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.stopped_at.to_be_bytes());
        bytes.extend_from_slice(&stored_count(self.partitions.len()));
        for partition in &self.partitions {
            partition.encode(&mut bytes);
        }
        push_crc32(&mut bytes);
        bytes
    }

    /// Reads the file's bytes; nothing of a damaged file is given.
    ///
    /// # Errors
    /// If the bytes are not those of such a file.
    pub fn decode(bytes: &[u8]) -> Result<Manifest, FormatError> {
        let mut partitions = Vec::new();
        let (_, stopped_at) = read(bytes, |_, partition| partitions.push(partition))?;
        Ok(Manifest { stopped_at, partitions })
    }
}

/// Hands over every partition and where it stands. Gives the version and the time of the stop.
fn read(
    bytes: &[u8],
    mut visit: impl FnMut(usize, ManifestPartition),
) -> Result<(u32, WallMs), FormatError> {
    let mut reader = FormatReader::open(FILE, MAGIC, VERSION, bytes)?;
    let stopped_at = reader.i64()?;
    for _ in 0..reader.count(PARTITION_BYTES_MIN)? {
        visit(reader.position(), ManifestPartition::decode(&mut reader)?);
    }
    reader.end()?;
    Ok((reader.version(), stopped_at))
}

/// A manifest as it lies on the disk, in which partitions are looked up: a fraction of what it takes when it is decoded.
#[derive(Debug, Default)]
pub(super) struct StoredManifest {
    stopped_at: WallMs,
    version: u32,
    bytes: Vec<u8>,
    /// Where each partition stands, by rising partition.
    places: Vec<usize>,
}

impl StoredManifest {
    /// Takes the file's bytes, all of which are checked.
    pub(super) fn open(bytes: Vec<u8>) -> Result<StoredManifest, FormatError> {
        let mut found = BTreeMap::new();
        let (version, stopped_at) = read(&bytes, |place, entry| {
            found.insert(entry.partition, place);
        })?;
        let mut places = Vec::with_capacity(found.len());
        places.extend(found.into_values());
        Ok(StoredManifest { stopped_at, version, bytes, places })
    }

    /// When it was written.
    pub(super) fn stopped_at(&self) -> WallMs {
        self.stopped_at
    }

    /// What it says of a partition.
    pub(super) fn get(&self, partition: PartitionId) -> Option<ManifestPartition> {
        self.decode(*self.places.get(self.find(partition)?)?)
    }

    /// Whether it says anything of a partition.
    pub(super) fn has(&self, partition: PartitionId) -> bool {
        self.find(partition).is_some()
    }

    /// What it says of every partition.
    pub(super) fn iter(&self) -> impl Iterator<Item = ManifestPartition> {
        self.places.iter().filter_map(|place| self.decode(*place))
    }

    /// What it says of those partitions that are not among the others.
    pub(super) fn iter_without(
        &self,
        others: &BTreeSet<PartitionId>,
    ) -> impl Iterator<Item = ManifestPartition> {
        let is_other = |place: &&usize| self.id(**place).is_none_or(|id| others.contains(&id));
        let wanted = self.places.iter().filter(move |place| !is_other(place));
        wanted.filter_map(|place| self.decode(*place))
    }

    /// Takes out what it says of a partition.
    pub(super) fn forget(&mut self, partition: PartitionId) {
        if let Some(at) = self.find(partition) {
            self.places.remove(at);
        }
    }

    fn find(&self, partition: PartitionId) -> Option<usize> {
        self.places.binary_search_by(|place| self.id(*place).cmp(&Some(partition))).ok()
    }

    fn id(&self, place: usize) -> Option<PartitionId> {
        partition_id(&mut self.reader(place)).ok()
    }

    fn decode(&self, place: usize) -> Option<ManifestPartition> {
        ManifestPartition::decode(&mut self.reader(place)).ok()
    }

    fn reader(&self, place: usize) -> FormatReader<'_> {
        FormatReader::at(FILE, &self.bytes, place, self.version)
    }
}

fn partition_id(reader: &mut FormatReader<'_>) -> Result<PartitionId, FormatError> {
    Ok(PartitionId { topic: TopicId(reader.array()?), index: reader.i32()? })
}

impl ManifestPartition {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.partition.topic.0);
        bytes.extend_from_slice(&self.partition.index.to_be_bytes());
        // A topic's name has at most 249 bytes.
        let name_bytes = u16::try_from(self.topic.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&name_bytes.to_be_bytes());
        bytes.extend(self.topic.bytes().take(usize::from(name_bytes)));
        bytes.extend_from_slice(&self.log_start.to_be_bytes());
        bytes.extend_from_slice(&self.log_end.to_be_bytes());
        bytes.extend_from_slice(&stored_count(self.segments.len()));
        for segment in &self.segments {
            bytes.extend_from_slice(&segment.base.to_be_bytes());
            bytes.extend_from_slice(&segment.bytes.to_be_bytes());
            bytes.extend_from_slice(&segment.first_timestamp.to_be_bytes());
            bytes.extend_from_slice(&segment.max_timestamp.to_be_bytes());
            bytes.extend_from_slice(&segment.written.to_be_bytes());
        }
        bytes.extend_from_slice(&stored_count(self.snapshots.len()));
        for offset in &self.snapshots {
            bytes.extend_from_slice(&offset.to_be_bytes());
        }
        bytes.extend_from_slice(&stored_count(self.epochs.len()));
        for (epoch, offset) in &self.epochs {
            bytes.extend_from_slice(&epoch.to_be_bytes());
            bytes.extend_from_slice(&offset.to_be_bytes());
        }
    }

    fn decode(reader: &mut FormatReader<'_>) -> Result<ManifestPartition, FormatError> {
        let partition = partition_id(reader)?;
        let name_bytes = usize::from(reader.u16()?);
        let name = std::str::from_utf8(reader.bytes(name_bytes)?);
        let topic = name.map_err(|_| reader.error(FormatProblem::Value("topic name")))?.to_owned();
        let (log_start, log_end) = (reader.i64()?, reader.i64()?);
        let count = reader.count(SEGMENT_BYTES_MIN)?;
        let segments =
            (0..count).map(|_| ManifestSegment::decode(reader)).collect::<Result<_, _>>()?;
        let count = reader.count(SNAPSHOT_BYTES)?;
        let snapshots = (0..count).map(|_| reader.i64()).collect::<Result<_, _>>()?;
        let count = reader.count(EPOCH_BYTES)?;
        let epochs =
            (0..count).map(|_| Ok((reader.i32()?, reader.i64()?))).collect::<Result<_, _>>()?;
        Ok(ManifestPartition { partition, topic, log_start, log_end, segments, snapshots, epochs })
    }
}

impl ManifestSegment {
    fn decode(reader: &mut FormatReader<'_>) -> Result<ManifestSegment, FormatError> {
        Ok(ManifestSegment {
            base: reader.i64()?,
            bytes: reader.u64()?,
            first_timestamp: reader.i64()?,
            max_timestamp: reader.i64()?,
            written: if reader.version() < 2 { -1 } else { reader.i64()? },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        let segment = |base, bytes| ManifestSegment {
            base,
            bytes,
            first_timestamp: 1_700_000_000_000,
            max_timestamp: 1_700_000_009_000,
            written: 1_700_000_009_500,
        };
        let partition = |index| ManifestPartition {
            partition: PartitionId { topic: TopicId([9; 16]), index },
            topic: "orders".into(),
            log_start: 3,
            log_end: 4711,
            segments: vec![segment(0, 1 << 26), segment(4000, 711)],
            snapshots: vec![4000, 4711],
            epochs: vec![(0, 0), (2, 4100)],
        };
        Manifest { stopped_at: 1_750_000_000_000, partitions: vec![partition(0), partition(1)] }
    }

    #[test]
    fn reads_back_what_was_written() {
        for manifest in [Manifest::default(), sample()] {
            assert_eq!(Manifest::decode(&manifest.encode()).unwrap(), manifest);
        }
    }

    #[test]
    fn partitions_are_found_in_the_stored_bytes() {
        let mut manifest = sample();
        manifest.partitions.reverse();
        let mut stored = StoredManifest::open(manifest.encode()).unwrap();
        manifest.partitions.reverse();
        assert_eq!(stored.stopped_at(), manifest.stopped_at);
        assert!(stored.iter().eq(manifest.partitions.iter().cloned()), "by rising partition");
        for partition in &manifest.partitions {
            assert_eq!(stored.get(partition.partition).as_ref(), Some(partition));
        }
        let [first, second] = [0, 1].map(|at: usize| manifest.partitions[at].partition);
        stored.forget(first);
        assert_eq!((stored.has(first), stored.has(second)), (false, true));
        assert_eq!(stored.get(PartitionId { index: 2, ..first }), None);
    }

    #[test]
    fn the_empty_manifest_is_laid_out_as_drawn() {
        let bytes = Manifest { stopped_at: 1, partitions: vec![] }.encode();
        assert_eq!(bytes[..24], *b"CHRKMANI\0\0\0\x02\0\0\0\0\0\0\0\x01\0\0\0\0");
        assert_eq!(bytes[24..], crc32fast::hash(&bytes[..24]).to_be_bytes());
    }

    #[test]
    fn the_version_before_knows_nothing_of_when_a_segment_was_written() {
        let mut manifest = sample();
        let mut old = Vec::new();
        old.extend_from_slice(b"CHRKMANI\0\0\0\x01");
        let new = manifest.encode();
        let mut rest = &new[12..new.len() - 4];
        for partition in &mut manifest.partitions {
            for segment in &mut partition.segments {
                let at = rest.windows(8).position(|w| w == segment.written.to_be_bytes()).unwrap();
                old.extend_from_slice(&rest[..at]);
                rest = &rest[at + 8..];
                segment.written = -1;
            }
        }
        old.extend_from_slice(rest);
        push_crc32(&mut old);
        assert_eq!(Manifest::decode(&old).unwrap(), manifest);
        assert!(StoredManifest::open(old).unwrap().iter().eq(manifest.partitions));
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let bytes = sample().encode();
        for length in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..length]).is_err(), "cut at {length}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_count_beyond_the_bytes_is_an_error_though_the_checksum_holds() {
        let mut bytes = Manifest::default().encode();
        bytes.truncate(bytes.len() - 4);
        let last = bytes.len() - 4;
        bytes[last..].copy_from_slice(&u32::MAX.to_be_bytes());
        push_crc32(&mut bytes);
        assert_eq!(Manifest::decode(&bytes).unwrap_err().problem, FormatProblem::Value("count"));
    }

    #[test]
    fn a_newer_version_is_refused_before_its_checksum_is_looked_at() {
        let mut bytes = sample().encode();
        bytes[11] = 3;
        let only_that = Manifest::decode(&bytes).unwrap_err().problem;
        assert!(matches!(only_that, FormatProblem::Checksum { .. }), "no version, but damage");
        bytes[20] = 9;
        let problem = FormatProblem::Version { found: 3, newest: 2 };
        assert_eq!(Manifest::decode(&bytes).unwrap_err().problem, problem);
    }
}
