//! What the clients of a broker know, and what they may therefore find after a crash: an account of its own, which shares
//! no code with the storage that it judges.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chronik::base::ids::{Offset, PartitionId, TopicId};
use chronik::storage::job::{Appended, LogConfig, Opened};

/// Who sends an idempotent batch, and with which sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) producer: i64,
    pub(crate) epoch: i16,
    pub(crate) first: i32,
}

/// A batch that a client made.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) bytes: Vec<u8>,
    pub(crate) records: i64,
    /// The timestamp of the first record; each next one is a millisecond later.
    pub(crate) timestamp: i64,
    pub(crate) sequence: Option<Sequence>,
}

/// A batch that was found in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) base: Offset,
    pub(crate) next: Offset,
    pub(crate) epoch: i32,
    /// Which of the batches sent it is.
    pub(crate) number: usize,
}

/// What is known of one partition.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) topic: Arc<str>,
    pub(crate) config: Arc<LogConfig>,
    pub(crate) journal: bool,
    pub(crate) sent: Vec<Arc<Sent>>,
    by_content: Arc<HashMap<Vec<u8>, usize>>,
    /// Every attempt to append, in order: which batch, under which leader epoch.
    attempts: Vec<(usize, i32)>,
    /// Written in the life of this process, but not known to be on the disk.
    pending: Vec<Found>,
    /// Acknowledged, or seen by a consumer.
    pub(crate) kept: BTreeMap<Offset, Found>,
    /// The offset after the last that was acknowledged or seen.
    pub(crate) kept_end: Offset,
    /// Answered with an error: never to be found.
    refused: BTreeSet<usize>,
    /// The log begins here at least: that was acknowledged.
    pub(crate) start_least: Offset,
    /// The log may begin here at most: somebody asked for that.
    pub(crate) start_most: Offset,
}

/// All that outlives a process: the partitions, and what the broker's journal says of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) logs: BTreeMap<PartitionId, Log>,
    pub(crate) removed: Vec<TopicId>,
    pub(crate) leader_epoch: i32,
    pub(crate) records_sent: i64,
}

/// The part of a batch that no broker changes: all but its base offset and its leader epoch.
fn content(batch: &[u8]) -> Vec<u8> {
    [&batch[8..12], &batch[16..]].concat()
}

fn int<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().unwrap()
}

impl Log {
    pub(crate) fn new(topic: &str, config: LogConfig, journal: bool) -> Log {
        Log {
            topic: Arc::from(topic),
            config: Arc::new(config),
            journal,
            sent: Vec::new(),
            by_content: Arc::default(),
            attempts: Vec::new(),
            pending: Vec::new(),
            kept: BTreeMap::new(),
            kept_end: 0,
            refused: BTreeSet::new(),
            start_least: 0,
            start_most: 0,
        }
    }

    pub(crate) fn add(&mut self, sent: Sent) -> usize {
        let number = self.sent.len();
        Arc::make_mut(&mut self.by_content).insert(content(&sent.bytes), number);
        self.sent.push(Arc::new(sent));
        number
    }

    pub(crate) fn attempt(&mut self, number: usize, leader_epoch: i32) {
        self.attempts.push((number, leader_epoch));
    }

    /// The offset that the next append gets.
    pub(crate) fn end(&self) -> Offset {
        self.pending.last().map_or(self.kept_end, |found| found.next)
    }

    pub(crate) fn refused(&mut self, number: usize) {
        self.refused.insert(number);
    }

    /// An append was answered.
    pub(crate) fn appended(
        &mut self,
        number: usize,
        epoch: i32,
        appended: &Appended,
    ) -> Result<(), String> {
        let (base, next) = (appended.base_offset, appended.end_offset);
        if next - base != self.sent[number].records {
            return Err(format!("batch {number} is answered as {appended:?}"));
        }
        if appended.duplicate {
            let known = self.kept.get(&base).into_iter().chain(&self.pending);
            let fine = known.into_iter().any(|found| (found.base, found.number) == (base, number));
            return if fine { Ok(()) } else { Err(format!("duplicate of nothing: {appended:?}")) };
        }
        if base != self.end() {
            return Err(format!("offset {base} is given out, {} is next", self.end()));
        }
        if self.kept.values().any(|found| found.number == number) {
            return Err(format!("batch {number} is acknowledged and appended again"));
        }
        self.pending.push(Found { base, next, epoch, number });
        Ok(())
    }

    /// Everything below `end` is said to be on the disk.
    pub(crate) fn synced(&mut self, end: Offset) -> Result<(), String> {
        if end > self.end() {
            return Err(format!("{end} is synced, but only {} is written", self.end()));
        }
        for found in std::mem::take(&mut self.pending) {
            if found.next <= end {
                self.kept_end = found.next;
                self.kept.insert(found.base, found);
            } else {
                self.pending.push(found);
            }
        }
        Ok(())
    }

    /// The process is gone; nobody will hear of what was on its way.
    pub(crate) fn forget_pending(&mut self) {
        self.pending.clear();
    }

    /// Judges a log that was opened, and all that it gives.
    pub(crate) fn judge(&self, opened: &Opened, bytes: &[u8]) -> Result<Vec<Found>, String> {
        let (start, end) = (opened.log_start, opened.log_end);
        if end < self.kept_end {
            return Err(format!("the log ends at {end}, {} was acknowledged", self.kept_end));
        }
        if start < self.start_least || start > self.start_most {
            let (least, most) = (self.start_least, self.start_most);
            return Err(format!("the log begins at {start}, not from {least} to {most}"));
        }
        let found = self.walk(start, end, bytes)?;
        self.judge_order(&found)?;
        for kept in self.kept.values().filter(|kept| kept.next > start) {
            if !found.contains(kept) {
                return Err(format!("{kept:?} was acknowledged and is not there"));
            }
        }
        judge_epochs(opened, &found)?;
        Ok(found)
    }

    /// Every batch: whole, good, known, following the one before.
    fn walk(&self, start: Offset, end: Offset, mut bytes: &[u8]) -> Result<Vec<Found>, String> {
        let mut walked: Vec<Found> = Vec::new();
        while !bytes.is_empty() {
            let len = usize::try_from(i32::from_be_bytes(int(bytes, 8))).unwrap() + 12;
            let (batch, rest) = bytes.split_at_checked(len).ok_or("a batch is cut")?;
            bytes = rest;
            let base = i64::from_be_bytes(int(batch, 0));
            let next = base + i64::from(i32::from_be_bytes(int(batch, 23))) + 1;
            let crc = u32::from_be_bytes(int(batch, 17));
            if crc32c::crc32c(&batch[21..]) != crc {
                return Err(format!("the checksum of the batch at {base} is wrong"));
            }
            let number = *self
                .by_content
                .get(&content(batch))
                .ok_or_else(|| format!("the batch at {base} was never sent"))?;
            if walked.iter().any(|found| found.number == number) {
                return Err(format!("batch {number} is there twice, again at {base}"));
            }
            if self.refused.contains(&number) {
                return Err(format!("batch {number} at {base} was refused"));
            }
            let follows = match walked.last() {
                Some(before) => before.next == base,
                None => base <= start && start < next,
            };
            if !follows {
                return Err(format!("the batch at {base} does not follow {:?}", walked.last()));
            }
            walked.push(Found { base, next, epoch: i32::from_be_bytes(int(batch, 12)), number });
        }
        let last = walked.last().map_or(start, |found| found.next);
        if last == end { Ok(walked) } else { Err(format!("the log ends at {end}, not {last}")) }
    }

    /// What is there was attempted in this order.
    fn judge_order(&self, found: &[Found]) -> Result<(), String> {
        let mut attempts = self.attempts.iter();
        for batch in found {
            if !attempts.any(|attempt| *attempt == (batch.number, batch.epoch)) {
                return Err(format!("{batch:?} is out of order"));
            }
        }
        Ok(())
    }

    /// A consumer has read all of it: it stays. Who sent what has left the log is remembered, too.
    pub(crate) fn seen(&mut self, opened: &Opened, found: &[Found]) {
        self.pending.clear();
        self.kept.retain(|_, kept| kept.next <= opened.log_start);
        self.kept.extend(found.iter().map(|found| (found.base, found.clone())));
        self.kept_end = opened.log_end;
        (self.start_least, self.start_most) = (opened.log_start, opened.log_start);
    }

    /// Somebody asked for records up to an offset to go.
    pub(crate) fn may_begin_at(&mut self, offset: Offset) {
        self.start_most = self.start_most.max(offset);
    }

    /// That was acknowledged.
    pub(crate) fn begins_at(&mut self, offset: Offset) -> Result<(), String> {
        let (least, most) = (self.start_least, self.start_most);
        if !(least..=most).contains(&offset) {
            return Err(format!("the log begins at {offset}, not from {least} to {most}"));
        }
        self.start_least = offset;
        Ok(())
    }

    /// The newest batches of each producer's newest epoch that were acknowledged, at most five each.
    pub(crate) fn retriable(&self) -> Vec<Found> {
        let mut by_producer: BTreeMap<i64, (i16, Vec<Found>)> = BTreeMap::new();
        for found in self.kept.values() {
            let Some(sequence) = self.sent[found.number].sequence else { continue };
            let (epoch, batches) = by_producer.entry(sequence.producer).or_default();
            if *epoch != sequence.epoch {
                (*epoch, *batches) = (sequence.epoch, Vec::new());
            }
            batches.push(found.clone());
        }
        let newest = |batches: Vec<Found>| batches.into_iter().rev().take(5).rev();
        by_producer.into_values().flat_map(|(_, batches)| newest(batches)).collect()
    }

    /// The first record at or after a time, and the first of the newest: offsets as a search has to give them.
    pub(crate) fn by_time(
        &self,
        found: &[Found],
        start: Offset,
        time: i64,
    ) -> (Option<Offset>, Option<Offset>) {
        let records = found.iter().flat_map(|found| {
            let timestamp = self.sent[found.number].timestamp;
            (found.base..found.next).map(move |offset| (offset, timestamp + offset - found.base))
        });
        let records: Vec<(Offset, i64)> = records.filter(|(offset, _)| *offset >= start).collect();
        let first = records.iter().find(|(_, stamp)| *stamp >= time);
        let newest = records.iter().map(|(_, stamp)| *stamp).max();
        let largest = records.iter().find(|(_, stamp)| Some(*stamp) == newest);
        (first.map(|(offset, _)| *offset), largest.map(|(offset, _)| *offset))
    }
}

/// Each batch's epoch is the one that the log tells for its offset.
fn judge_epochs(opened: &Opened, found: &[Found]) -> Result<(), String> {
    for batch in found {
        let base = batch.base.max(opened.log_start);
        let told = opened.epochs.iter().rev().find(|(_, from)| *from <= base);
        if told.is_none_or(|(epoch, _)| *epoch != batch.epoch) {
            return Err(format!("{batch:?}, but the epochs are {:?}", opened.epochs));
        }
    }
    let rising =
        opened.epochs.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
    if rising { Ok(()) } else { Err(format!("epochs {:?}", opened.epochs)) }
}
