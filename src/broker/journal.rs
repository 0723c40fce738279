//! The journal: the logs from which the broker's state is rebuilt, and the rule that nothing leaves before the
//! facts it rests on are durable.
//!
//! Durable state changes only by replaying a record. A handler appends the records of a change, replays them at
//! once, and lets its effects wait for the position that [`Journal::append`] returned. What several handlers of one
//! turn append goes to storage as one batch per log and one sync.
//!
//! ```text
//! append ─► position 7 ─► flush: one batch per log ─► Outcome::Synced ─► durable = 7 ─► effects that waited for ≤ 7
//! ```

use std::collections::{BTreeMap, VecDeque};

use super::event::Effect;
use crate::base::ids::{Offset, PartitionId, Ticket, TopicId};
use crate::base::payload::Bytes;
use crate::base::planted::{Bug, is_planted};
use crate::base::time::WallMs;
use crate::record::RecordError;
use crate::record::builder::{BatchBuilder, BatchOptions};
use crate::storage::job::{Append, Job, Origin};

/// A batch that has grown beyond this many bytes takes no further record, so that it fits into a segment file
/// whatever one turn records.
const BATCH_BYTES: usize = 16 << 20;

/// A moment in the journal: the number of records before it. The default is before everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// Which internal log a record belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Log {
    /// `__cluster_metadata`: topics, configurations, blocks of producer ids, the leader epoch.
    Metadata,
    /// `__consumer_offsets`: groups and commits, in Kafka's own keys and values.
    Offsets,
}

/// A keyed record; without a value it is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRecord {
    /// Which log.
    pub log: Log,
    /// What it is about; a later record with the same key replaces it.
    pub key: Vec<u8>,
    /// The new state, or none.
    pub value: Option<Vec<u8>>,
}

/// One log's place in storage.
#[derive(Debug)]
struct Tail {
    partition: PartitionId,
    /// The offset that the next record gets. The broker is the only writer.
    next: Offset,
    /// Records that have not been handed to storage.
    pending: VecDeque<(Vec<u8>, Option<Vec<u8>>)>,
    /// Below this offset everything is on the disk.
    synced: Offset,
}

impl Tail {
    /// One batch of what is pending, which is everything unless that is very much.
    fn take_batch(&mut self, now: WallMs) -> Result<Vec<u8>, RecordError> {
        let options = BatchOptions { base_offset: self.next, ..BatchOptions::default() };
        let mut batch = BatchBuilder::new(options)?;
        while batch.size_in_bytes() <= BATCH_BYTES {
            let Some((key, value)) = self.pending.pop_front() else { break };
            batch.append(now, Some(&key), value.as_deref(), &[])?;
            self.next += 1;
        }
        batch.finish()
    }
}

/// The journal's end: what is appended, what is durable, and what waits for that.
#[derive(Debug, Default)]
pub struct Journal {
    tails: BTreeMap<Log, Tail>,
    appended: u64,
    durable: u64,
    /// Batches that storage has: position after the last record, log, offset after the last record.
    in_flight: VecDeque<(Position, Log, Offset)>,
    waiting: BTreeMap<Position, Vec<Effect>>,
    leader_epoch: i32,
    /// Where it is recorded, if it rose at this start.
    epoch_recorded: Position,
    is_full: bool,
}

impl Journal {
    /// Says where a log lies and where it ends. Everything in it is durable.
    pub fn open(&mut self, log: Log, topic: TopicId, end: Offset) {
        let partition = PartitionId { topic, index: 0 };
        self.tails
            .insert(log, Tail { partition, next: end, pending: VecDeque::new(), synced: end });
    }

    /// The epoch that batches carry from now on.
    pub fn set_leader_epoch(&mut self, epoch: i32) {
        self.leader_epoch = epoch;
    }

    /// The epoch has risen, and `record` says so.
    pub fn record_leader_epoch(&mut self, record: JournalRecord) {
        self.epoch_recorded = self.append(record);
    }

    /// Whether the next start will know of the epoch: none that was given to a batch is given again.
    #[must_use]
    pub fn is_epoch_durable(&self) -> bool {
        self.is_durable(self.epoch_recorded)
    }

    /// The epoch that batches carry.
    #[must_use]
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// There is no room on the disk for more than what must be recorded; or there is again.
    pub fn set_full(&mut self, is_full: bool) {
        self.is_full = is_full;
    }

    /// Whether changes that clients ask for are to be refused, before anything of them is replayed. What is appended all
    /// the same waits for room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Appends a record. The caller replays it at once, and lets what rests on it wait for the position.
    pub fn append(&mut self, record: JournalRecord) -> Position {
        if let Some(tail) = self.tails.get_mut(&record.log) {
            tail.pending.push_back((record.key, record.value));
        }
        self.appended += 1;
        Position(self.appended)
    }

    /// The position after everything that was appended.
    #[must_use]
    pub fn end(&self) -> Position {
        Position(self.appended)
    }

    /// Whether everything before this position is on the disk.
    #[must_use]
    pub fn is_durable(&self, position: Position) -> bool {
        position.0 <= self.durable || is_planted(Bug::EffectBeforeRecord)
    }

    /// Sends an effect out once `position` is durable: now, if it is.
    pub fn send_after(&mut self, position: Position, effect: Effect, out: &mut Vec<Effect>) {
        if self.is_durable(position) {
            out.push(effect);
        } else {
            self.waiting.entry(position).or_default().push(effect);
        }
    }

    /// Hands what was appended to storage.
    pub fn flush(&mut self, now: WallMs, out: &mut Vec<Effect>) {
        let position = self.end();
        for (log, tail) in &mut self.tails {
            while !tail.pending.is_empty() {
                let records = match tail.take_batch(now) {
                    Ok(records) => records,
                    Err(error) => {
                        out.push(Effect::Fatal { reason: format!("the journal refuses: {error}") });
                        return;
                    }
                };
                self.in_flight.push_back((position, *log, tail.next));
                out.push(Effect::Job(Job::Append(Append {
                    ticket: Ticket(position.0),
                    partition: tail.partition,
                    records: Bytes::from_vec(records),
                    sync: true,
                    leader_epoch: self.leader_epoch,
                    now,
                    origin: Origin::Broker,
                })));
            }
        }
    }

    /// Which log a partition is, if it is one of the journal's.
    #[must_use]
    pub fn log_of(&self, partition: PartitionId) -> Option<Log> {
        self.tails.iter().find(|(_, tail)| tail.partition == partition).map(|(log, _)| *log)
    }

    /// A log is on the disk up to `end`: what waited for that goes out.
    pub fn synced(&mut self, log: Log, end: Offset, out: &mut Vec<Effect>) {
        if let Some(tail) = self.tails.get_mut(&log) {
            tail.synced = tail.synced.max(end);
        }
        while let Some((position, log, end)) = self.in_flight.front() {
            if self.tails.get(log).is_some_and(|tail| tail.synced < *end) {
                break;
            }
            // The batches of one flush share a position: all must be there.
            let position = *position;
            self.in_flight.pop_front();
            if self.in_flight.front().is_none_or(|next| next.0 > position) {
                self.durable = self.durable.max(position.0);
            }
        }
        while let Some(entry) = self.waiting.first_entry() {
            if entry.key().0 > self.durable {
                break;
            }
            out.extend(entry.remove());
        }
    }
}
