//! Who wrote what last: the state by which retries of idempotent producers are recognised (KIP-98).
//!
//! A partition remembers of each producer its epoch and its last five batches, as many as a client has in flight. The
//! state changes as batches are staged for a write and goes back if the write fails.

use std::collections::{BTreeMap, VecDeque};

use super::compaction::LastBatch;
use super::earlier_batches::{EarlierBatch, EarlierBatches};
use super::job::AppendError;
use super::snapshot::{ProducerEntry, ProducerSnapshot};
use crate::base::ids::{Offset, ProducerId};
use crate::base::planted::{Bug, is_planted};
use crate::record::batch::{BatchHeader, NO_SEQUENCE, add_to_sequence};

/// Batches remembered of each producer.
const BATCHES_MAX: usize = 5;
/// Most producers that a writer remembers, each counted in every partition that it writes to; they take 4.5 MB at most. Beyond
/// that the quarter that has been silent longest is forgotten: one of them that comes back goes on with any sequence, as
/// after Kafka's `producer.id.expiration.ms`.
pub(super) const PRODUCERS_MAX: usize = 16_384;

/// One batch of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sequenced {
    pub(super) last_sequence: i32,
    pub(super) last_offset: Offset,
    pub(super) offset_delta: i32,
    pub(super) timestamp: i64,
}

impl Sequenced {
    fn of(header: &BatchHeader) -> Sequenced {
        Sequenced {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        }
    }

    pub(super) fn base_offset(&self) -> Offset {
        self.last_offset.saturating_sub(i64::from(self.offset_delta))
    }

    fn base_sequence(&self) -> i32 {
        add_to_sequence(self.last_sequence, self.offset_delta.saturating_neg())
    }
}

/// What is remembered of one producer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Producer {
    epoch: i16,
    /// The newest last.
    batches: VecDeque<Sequenced>,
    timestamp: i64,
    coordinator_epoch: i32,
    /// When it last wrote, by the clock of use.
    used: u64,
    /// Whether batches that it wrote may have been lost: then the next one need not follow the last.
    doubted: bool,
    /// Nothing of it is in the log: the write of its first batch failed, and that had this sequence. Those that were
    /// sent behind it may not come before it.
    awaited: Option<i32>,
}

impl Producer {
    fn heard(&self) -> Heard {
        (self.used, self.batches.back().map_or(-1, |batch| batch.last_offset))
    }
}

/// When something was last heard of a producer: by the clock of use, and among those of which that knows nothing, by offset.
type Heard = (u64, Offset);

/// All producers of a partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Producers {
    by_id: BTreeMap<ProducerId, Producer>,
}

/// What changed since the last good write, to be taken back if the next one fails.
#[derive(Debug, Default)]
pub(super) struct Undo {
    before: Vec<(ProducerId, Option<Producer>)>,
    /// The first batch of each producer that was not known before.
    first: BTreeMap<ProducerId, (i16, i32)>,
}

impl Producers {
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Those of them that wrote these batches.
    pub(super) fn of<'a>(&self, batches: impl Iterator<Item = &'a BatchHeader>) -> Producers {
        let known = |header: &BatchHeader| {
            self.by_id.get(&header.producer_id).map(|known| (header.producer_id, known.clone()))
        };
        Producers { by_id: batches.filter_map(known).collect() }
    }

    /// Whether a client's batch may be appended. `Some`: it was before, and this is where.
    pub(super) fn check(&self, header: &BatchHeader) -> Result<Option<Sequenced>, AppendError> {
        let Some(producer) = self.by_id.get(&header.producer_id) else { return Ok(None) };
        let (first, last) = (header.base_sequence, header.last_sequence());
        if header.producer_epoch < producer.epoch {
            return Err(AppendError::FencedProducer);
        }
        if header.producer_epoch > producer.epoch {
            return if first == 0 { Ok(None) } else { Err(AppendError::SequenceGap) };
        }
        let same =
            |batch: &&Sequenced| batch.last_sequence == last && batch.base_sequence() == first;
        if let Some(original) = producer.batches.iter().rev().find(same) {
            return Ok(Some(*original));
        }
        let expected = match producer.batches.back() {
            Some(newest) => add_to_sequence(newest.last_sequence, 1),
            None => producer.awaited.unwrap_or(0),
        };
        if first == expected || producer.doubted { Ok(None) } else { Err(AppendError::SequenceGap) }
    }

    /// Part of the log is damaged: what they wrote there is not known.
    pub(super) fn doubt(&mut self) {
        self.by_id.values_mut().for_each(|producer| producer.doubted = true);
    }

    /// Remembers a batch that carries its final offsets, written at a time by the clock of use.
    pub(super) fn note(&mut self, header: &BatchHeader, used: u64, undo: Option<&mut Undo>) {
        if !header.has_producer() {
            return;
        }
        if let Some(undo) = undo {
            let before = self.by_id.get(&header.producer_id).cloned();
            if before.is_none() {
                let first = (header.producer_epoch, header.base_sequence);
                undo.first.entry(header.producer_id).or_insert(first);
            }
            undo.before.push((header.producer_id, before));
        }
        let fresh = || Producer { coordinator_epoch: -1, ..Producer::default() };
        let producer = self.by_id.entry(header.producer_id).or_insert_with(fresh);
        if producer.epoch != header.producer_epoch {
            producer.epoch = header.producer_epoch;
            producer.batches.clear();
        }
        producer.timestamp = header.max_timestamp;
        producer.used = used;
        producer.awaited = None;
        producer.doubted = false;
        // A marker ends a transaction; it has no sequence.
        if header.is_control() || header.base_sequence == NO_SEQUENCE {
            return;
        }
        if producer.batches.len() >= BATCHES_MAX {
            producer.batches.pop_front();
        }
        // Most are never as many as they grow by.
        producer.batches.reserve_exact(1);
        producer.batches.push_back(Sequenced::of(header));
    }

    /// They were read from the disk, and count as if they had written now, one after the other.
    pub(super) fn were_read(&mut self, clock: impl Fn() -> u64) {
        let mut all: Vec<&mut Producer> = self.by_id.values_mut().collect();
        all.sort_by_key(|producer| producer.heard());
        all.into_iter().for_each(|producer| producer.used = clock());
    }

    /// Takes from another account the producers that are in this one not at all.
    pub(super) fn add_unknown(&mut self, other: Producers) {
        for (id, producer) in other.by_id {
            self.by_id.entry(id).or_insert(producer);
        }
    }

    /// Goes back to how it was before the first change in `undo`.
    pub(super) fn take_back(&mut self, undo: Undo) {
        for (id, before) in undo.before.into_iter().rev() {
            match before {
                Some(producer) => self.by_id.insert(id, producer),
                None => self.by_id.remove(&id),
            };
        }
        if is_planted(Bug::FirstWriteForgotten) {
            return;
        }
        let with_sequence = undo.first.into_iter().filter(|(_, (_, first))| *first != NO_SEQUENCE);
        for (id, (epoch, first)) in with_sequence {
            let awaited = Some(first);
            self.by_id.insert(id, Producer { epoch, awaited, ..Producer::default() });
        }
    }

    /// A batch was in order and is refused all the same. If it is the first of its producer, those that were sent
    /// behind it may not come before it.
    pub(super) fn refuse(&mut self, header: &BatchHeader, used: u64) {
        let is_sequenced = header.has_producer() && header.base_sequence != NO_SEQUENCE;
        if !is_sequenced || is_planted(Bug::FirstWriteForgotten) {
            return;
        }
        let (epoch, awaited) = (header.producer_epoch, Some(header.base_sequence));
        let refused = || Producer { epoch, awaited, used, ..Producer::default() };
        self.by_id.entry(header.producer_id).or_insert_with(refused);
    }

    /// What compaction must not lose of them.
    pub(super) fn last_batches(&self) -> BTreeMap<ProducerId, LastBatch> {
        let last = |(id, producer): (&ProducerId, &Producer)| {
            let last_offset = producer.batches.back().map(|batch| batch.last_offset);
            (*id, LastBatch { last_offset, epoch: producer.epoch })
        };
        self.by_id.iter().map(last).collect()
    }

    /// As the files keep it.
    pub(super) fn to_snapshot(&self) -> (ProducerSnapshot, EarlierBatches) {
        let mut snapshot = ProducerSnapshot { producers: Vec::new() };
        let mut earlier = EarlierBatches { batches: Vec::new() };
        for (id, producer) in self.by_id.iter().filter(|(_, known)| known.awaited.is_none()) {
            let last = producer.batches.back();
            snapshot.producers.push(ProducerEntry {
                producer_id: *id,
                epoch: producer.epoch,
                last_sequence: last.map_or(NO_SEQUENCE, |batch| batch.last_sequence),
                last_offset: last.map_or(-1, |batch| batch.last_offset),
                offset_delta: last.map_or(0, |batch| batch.offset_delta),
                timestamp: producer.timestamp,
                coordinator_epoch: producer.coordinator_epoch,
                transaction_first_offset: None,
            });
            let count = producer.batches.len().saturating_sub(1);
            earlier.batches.extend(producer.batches.iter().take(count).map(|batch| EarlierBatch {
                producer_id: *id,
                epoch: producer.epoch,
                last_sequence: batch.last_sequence,
                last_offset: batch.last_offset,
                offset_delta: batch.offset_delta,
                timestamp: batch.timestamp,
            }));
        }
        (snapshot, earlier)
    }

    /// As the files had it.
    pub(super) fn from_snapshot(
        snapshot: &ProducerSnapshot,
        earlier: &EarlierBatches,
    ) -> Producers {
        let mut producers = Producers::default();
        let mut earlier_of: BTreeMap<(ProducerId, i16), VecDeque<Sequenced>> = BTreeMap::new();
        for batch in &earlier.batches {
            let batches = earlier_of.entry((batch.producer_id, batch.epoch)).or_default();
            batches.push_back(Sequenced {
                last_sequence: batch.last_sequence,
                last_offset: batch.last_offset,
                offset_delta: batch.offset_delta,
                timestamp: batch.timestamp,
            });
        }
        for entry in &snapshot.producers {
            let key = (entry.producer_id, entry.epoch);
            let mut batches = earlier_of.remove(&key).unwrap_or_default();
            batches.retain(|batch| batch.last_offset < entry.last_offset);
            batches.truncate(BATCHES_MAX - 1);
            if entry.last_offset >= 0 {
                batches.push_back(Sequenced {
                    last_sequence: entry.last_sequence,
                    last_offset: entry.last_offset,
                    offset_delta: entry.offset_delta,
                    timestamp: entry.timestamp,
                });
            }
            let producer = Producer {
                epoch: entry.epoch,
                batches,
                timestamp: entry.timestamp,
                coordinator_epoch: entry.coordinator_epoch,
                ..Producer::default()
            };
            producers.by_id.insert(entry.producer_id, producer);
        }
        producers
    }
}

/// Forgets the quarter of all of them that has been silent longest.
pub(super) fn forget_silent(mut all: Vec<&mut Producers>) {
    let mut heard: Vec<Heard> =
        all.iter().flat_map(|producers| producers.by_id.values().map(Producer::heard)).collect();
    heard.sort_unstable();
    let Some(border) = heard.get(heard.len() / 4).copied() else { return };
    for producers in &mut all {
        producers.by_id.retain(|_, producer| producer.heard() > border);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, base_sequence: i32, count: i32, base_offset: i64) -> BatchHeader {
        BatchHeader {
            base_offset,
            batch_length: 100,
            partition_leader_epoch: 0,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: count - 1,
            base_timestamp: 5,
            max_timestamp: 7,
            producer_id: 9,
            producer_epoch: epoch,
            base_sequence,
            record_count: count,
        }
    }

    fn with(batches: &[BatchHeader]) -> Producers {
        let mut producers = Producers::default();
        for batch in batches {
            producers.note(batch, 0, None);
        }
        producers
    }

    #[test]
    fn the_last_five_batches_are_recognised_and_no_more() {
        let sent: Vec<BatchHeader> =
            (0..6).map(|i| batch(0, i * 2, 2, i64::from(i) * 2 + 100)).collect();
        let producers = with(&sent);
        for (header, offset) in sent.iter().zip((100..).step_by(2)).skip(1) {
            let original = producers.check(header).unwrap().unwrap();
            assert_eq!(original.base_offset(), offset);
        }
        assert_eq!(producers.check(&sent[0]), Err(AppendError::SequenceGap));
        assert_eq!(producers.check(&batch(0, 12, 1, 0)), Ok(None));
        assert_eq!(producers.check(&batch(0, 13, 1, 0)), Err(AppendError::SequenceGap));
    }

    #[test]
    fn an_unknown_producer_may_begin_anywhere() {
        assert_eq!(Producers::default().check(&batch(3, 4711, 1, 0)), Ok(None));
    }

    #[test]
    fn sequences_wrap() {
        let producers = with(&[batch(0, i32::MAX - 1, 2, 0)]);
        assert_eq!(producers.check(&batch(0, 0, 1, 0)), Ok(None));
        let producers = with(&[batch(0, i32::MAX, 3, 0)]);
        assert_eq!(producers.check(&batch(0, 2, 1, 0)), Ok(None));
        assert!(producers.check(&batch(0, i32::MAX, 3, 0)).unwrap().is_some());
    }

    #[test]
    fn a_new_epoch_begins_at_zero_and_fences_the_old_one() {
        let mut producers = with(&[batch(1, 0, 5, 0)]);
        assert_eq!(producers.check(&batch(2, 5, 1, 0)), Err(AppendError::SequenceGap));
        assert_eq!(producers.check(&batch(2, 0, 1, 0)), Ok(None));
        producers.note(&batch(2, 0, 1, 5), 0, None);
        assert_eq!(producers.check(&batch(1, 5, 1, 0)), Err(AppendError::FencedProducer));
    }

    #[test]
    fn a_failed_write_is_taken_back() {
        let mut producers = with(&[batch(0, 0, 1, 0)]);
        let mut undo = Undo::default();
        producers.note(&batch(0, 1, 1, 1), 0, Some(&mut undo));
        producers.note(&batch(1, 0, 1, 2), 0, Some(&mut undo));
        producers.take_back(undo);
        assert_eq!(producers.by_id, with(&[batch(0, 0, 1, 0)]).by_id);
    }

    #[test]
    fn what_was_sent_behind_a_first_batch_that_failed_does_not_come_before_it() {
        let mut producers = Producers::default();
        let mut undo = Undo::default();
        producers.note(&batch(0, 40, 2, 0), 0, Some(&mut undo));
        producers.note(&batch(0, 42, 1, 2), 0, Some(&mut undo));
        producers.take_back(undo);
        assert_eq!(producers.check(&batch(0, 43, 1, 0)), Err(AppendError::SequenceGap));
        assert_eq!(producers.check(&batch(0, 42, 1, 0)), Err(AppendError::SequenceGap));
        assert_eq!(producers.check(&batch(0, 40, 2, 0)), Ok(None));
        assert!(producers.to_snapshot().0.producers.is_empty(), "nothing of it is in the log");
        producers.note(&batch(0, 40, 2, 0), 0, None);
        assert_eq!(producers.check(&batch(0, 42, 1, 2)), Ok(None));
    }

    #[test]
    fn what_was_sent_behind_a_first_batch_that_was_refused_does_not_come_before_it() {
        let mut producers = Producers::default();
        producers.refuse(&batch(0, 40, 2, 0), 0);
        producers.refuse(&batch(0, 42, 1, 0), 0);
        assert_eq!(producers.check(&batch(0, 42, 1, 0)), Err(AppendError::SequenceGap));
        assert_eq!(producers.check(&batch(0, 40, 2, 0)), Ok(None));
        producers.note(&batch(0, 40, 2, 0), 0, None);
        producers.refuse(&batch(0, 42, 1, 0), 0);
        assert_eq!(producers.check(&batch(0, 42, 1, 2)), Ok(None));
    }

    #[test]
    fn snapshots_keep_everything() {
        let sent: Vec<BatchHeader> = (0..7).map(|i| batch(0, i, 1, i64::from(i))).collect();
        let producers = with(&sent);
        let (snapshot, earlier) = producers.to_snapshot();
        assert_eq!(Producers::from_snapshot(&snapshot, &earlier).by_id, producers.by_id);
    }

    /// The first batch of each of these producers, written at as many times one after the other.
    fn one_each(ids: std::ops::Range<i64>, from: u64) -> Producers {
        let mut producers = Producers::default();
        for (id, used) in ids.zip(from..) {
            producers.note(&first_of(id), used, None);
        }
        producers
    }

    fn first_of(id: i64) -> BatchHeader {
        BatchHeader { producer_id: id, ..batch(0, 0, 1, id) }
    }

    #[test]
    fn the_quarter_that_is_silent_longest_is_forgotten_wherever_it_wrote() {
        let (mut early, mut late) = (one_each(0..10, 100), one_each(10..40, 200));
        early.note(&BatchHeader { base_sequence: 1, ..first_of(3) }, 300, None);
        forget_silent(vec![&mut early, &mut late]);
        let left = |producers: &Producers| producers.by_id.keys().copied().collect::<Vec<_>>();
        assert_eq!(left(&early), [3]);
        assert_eq!(left(&late), (12..40).collect::<Vec<_>>());
        forget_silent(vec![&mut Producers::default()]);
    }

    #[test]
    fn producers_that_were_read_are_as_old_as_their_last_batches() {
        let clock = std::cell::Cell::new(7);
        let mut read = one_each(0..8, 0);
        read.by_id.values_mut().for_each(|producer| producer.used = 0);
        read.were_read(|| clock.replace(clock.get() + 1));
        assert_eq!(read.by_id, one_each(0..8, 7).by_id);
    }
}
