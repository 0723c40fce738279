//! What becomes of one batch: it stays as it is, loses records, or goes.
//!
//! The rules are those of Kafka's cleaner (KIP-534 for tombstones and markers). Of each key the newest record stays. A
//! tombstone that stays for the first time gives its batch a horizon, until which it stays; after that it goes. Offsets
//! never change. A batch without records is kept as a header where somebody needs its offsets or its sequence: the
//! last batch of a file, the last batch of a producer.

use std::collections::BTreeMap;

use super::map::OffsetMap;
use super::transactions::Transactions;
use crate::base::ids::{Offset, ProducerId};
use crate::base::time::WallMs;
use crate::record::RecordError;
use crate::record::batch::BatchHeader;
use crate::record::builder::{BatchBuilder, BatchOptions, without_records};
use crate::record::records::{Record, RecordReader};
use crate::storage::validate::DECOMPRESSED_BYTES_MAX;

/// What a partition remembers of a producer that compaction must not lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) struct LastBatch {
    /// The last offset of its last batch of data; `None`: only a marker is known.
    pub(in crate::storage) last_offset: Option<Offset>,
    /// Its epoch.
    pub(in crate::storage) epoch: i16,
}

/// What becomes of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays byte for byte.
    Stays,
    /// It is replaced.
    Becomes(Vec<u8>),
    /// It goes.
    Goes,
}

/// Everything that decides.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) map: OffsetMap,
    /// Records from this offset on are not in the map, and stay.
    pub(super) covered: Offset,
    /// The wall time, if it can be trusted.
    pub(super) clock: Option<WallMs>,
    pub(super) delete_retention_ms: i64,
    pub(super) producers: BTreeMap<ProducerId, LastBatch>,
    pub(super) transactions: Transactions,
    /// Whether tombstones stay whatever their age: something below them could not be cleaned.
    pub(super) keep_tombstones: bool,
}

/// Which records of a batch stay.
#[derive(Default)]
struct Choice {
    stay: Vec<bool>,
    kept: usize,
    tombstones: bool,
}

impl Filter {
    /// Decides about one whole batch. `is_last`: it is the last of its file.
    pub(super) fn judge(
        &mut self,
        header: &BatchHeader,
        batch: &[u8],
        is_last: bool,
    ) -> Result<Fate, RecordError> {
        let unmissed = self.transactions.meet(header, batch)?;
        if header.base_offset >= self.covered {
            return Ok(Fate::Stays);
        }
        let needed = is_last || self.is_last_of_producer(header);
        if header.record_count == 0 {
            return Ok(if needed { Fate::Stays } else { Fate::Goes });
        }
        let choice = if header.is_control() {
            let stays = !unmissed || !self.has_passed(header);
            Choice { stay: vec![stays], kept: usize::from(stays), tombstones: stays && unmissed }
        } else if unmissed {
            Choice::default()
        } else {
            self.choose(batch)?
        };
        let horizon = self.new_horizon(header, &choice);
        let all = choice.kept == usize::try_from(header.record_count).unwrap_or(usize::MAX);
        if all && horizon.is_none() {
            Ok(Fate::Stays)
        } else if choice.kept > 0 {
            rebuild(header, batch, &choice, horizon).map(Fate::Becomes)
        } else if needed {
            without_records(header).map(Fate::Becomes)
        } else {
            Ok(Fate::Goes)
        }
    }

    /// Whether the time is over for tombstones and markers in a batch.
    fn has_passed(&self, header: &BatchHeader) -> bool {
        let passed = |now: WallMs| header.delete_horizon().is_some_and(|horizon| horizon <= now);
        !self.keep_tombstones && self.clock.is_some_and(passed)
    }

    /// The horizon that a batch gets now, if it is to get one.
    fn new_horizon(&self, header: &BatchHeader, choice: &Choice) -> Option<WallMs> {
        let settled = header.delete_horizon().is_some() || header.next_offset() > self.covered;
        let wants = choice.tombstones && !settled;
        self.clock.filter(|_| wants).map(|now| now.saturating_add(self.delete_retention_ms))
    }

    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        if !header.has_producer() {
            return false;
        }
        self.producers.get(&header.producer_id).is_some_and(|last| match last.last_offset {
            Some(offset) => header.last_offset() == offset,
            None => header.is_control() && header.producer_epoch == last.epoch,
        })
    }

    fn choose(&self, batch: &[u8]) -> Result<Choice, RecordError> {
        let mut choice = Choice::default();
        let mut reader = RecordReader::open(batch, DECOMPRESSED_BYTES_MAX)?;
        let passed = self.has_passed(reader.header());
        while let Some(record) = reader.next()? {
            let stays = self.stays(&record, passed);
            choice.stay.push(stays);
            choice.kept += usize::from(stays);
            choice.tombstones |= stays && record.value.is_none();
        }
        Ok(choice)
    }

    /// A record without a key has no place in a compacted log; it came before the log was one.
    fn stays(&self, record: &Record<'_>, passed: bool) -> bool {
        if record.offset >= self.covered {
            return true;
        }
        let Some(key) = record.key else { return false };
        let newest = self.map.get(key).is_none_or(|newest| record.offset >= newest);
        newest && (record.value.is_some() || !passed)
    }
}

/// A batch of the records that stay, with everything else as it was.
fn rebuild(
    header: &BatchHeader,
    batch: &[u8],
    choice: &Choice,
    horizon: Option<WallMs>,
) -> Result<Vec<u8>, RecordError> {
    let mut options = BatchOptions::of(header)?;
    options.delete_horizon = header.delete_horizon().or(horizon);
    let mut builder = BatchBuilder::new(options)?;
    let mut reader = RecordReader::open(batch, DECOMPRESSED_BYTES_MAX)?;
    let mut stay = choice.stay.iter();
    while let Some(record) = reader.next()? {
        if stay.next().is_some_and(|stays| *stays) {
            builder.append_record(&record)?;
        }
    }
    builder.finish_at(header.last_offset())
}
