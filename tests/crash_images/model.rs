//! What the clients of a broker know, and what they may therefore find after a crash: an account of its own, which shares
//! no code with the storage that it judges.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chronik::base::ids::{Offset, PartitionId, TopicId};
use chronik::storage::job::{Appended, LogConfig, Opened, Upkeep};

use super::format::{Record, batches, content};

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
    /// Key and value of each record.
    pub(crate) keyed: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// What was found in a log: a batch, or in a compacted log a record of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) base: Offset,
    pub(crate) next: Offset,
    pub(crate) epoch: i32,
    /// Which of the batches sent it is.
    pub(crate) number: usize,
    /// Which of that batch's records the first one is.
    pub(crate) index: i64,
}

/// What is known of one partition.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) topic: Arc<str>,
    pub(crate) config: Arc<LogConfig>,
    pub(crate) journal: bool,
    pub(crate) sent: Vec<Arc<Sent>>,
    by_content: Arc<HashMap<Vec<u8>, usize>>,
    /// By the timestamp of the first record.
    by_timestamp: Arc<BTreeMap<i64, usize>>,
    /// Every attempt to append, in order: which batch, under which leader epoch.
    attempts: Vec<(usize, i32)>,
    /// Written in the life of this process, but not known to be on the disk.
    pending: Vec<Found>,
    /// Acknowledged, or seen by a consumer.
    pub(crate) kept: BTreeMap<Offset, Found>,
    /// The offset after the last that was acknowledged or seen.
    pub(crate) kept_end: Offset,
    /// As `kept`, but only of idempotent producers, and also what retention has removed.
    history: Vec<Found>,
    /// Answered with an error: not in the log, but perhaps on the disk until the next sync.
    refused: BTreeSet<usize>,
    /// Those from before a sync: never to be found.
    undone: BTreeSet<usize>,
    /// Those that were there after a crash all the same, in the place of ones sent later.
    late: BTreeSet<usize>,
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

impl Log {
    pub(crate) fn new(topic: &str, config: LogConfig, journal: bool) -> Log {
        Log {
            topic: Arc::from(topic),
            config: Arc::new(config),
            journal,
            sent: Vec::new(),
            by_content: Arc::default(),
            by_timestamp: Arc::default(),
            attempts: Vec::new(),
            pending: Vec::new(),
            kept: BTreeMap::new(),
            kept_end: 0,
            history: Vec::new(),
            refused: BTreeSet::new(),
            undone: BTreeSet::new(),
            late: BTreeSet::new(),
            start_least: 0,
            start_most: 0,
        }
    }

    pub(crate) fn add(&mut self, sent: Sent) -> usize {
        let number = self.sent.len();
        Arc::make_mut(&mut self.by_content).insert(content(&sent.bytes), number);
        Arc::make_mut(&mut self.by_timestamp).insert(sent.timestamp, number);
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
            let known = self.history.iter().chain(&self.pending);
            let fine = known.into_iter().any(|found| (found.base, found.number) == (base, number));
            return if fine { Ok(()) } else { Err(format!("duplicate of nothing: {appended:?}")) };
        }
        if base != self.end() {
            return Err(format!("offset {base} is given out, {} is next", self.end()));
        }
        if self.kept.values().any(|found| found.number == number) {
            return Err(format!("batch {number} is acknowledged and appended again"));
        }
        self.refused.remove(&number);
        self.undone.remove(&number);
        self.pending.push(Found { base, next, epoch, number, index: 0 });
        Ok(())
    }

    /// Everything below `end` is said to be on the disk.
    pub(crate) fn synced(&mut self, end: Offset) -> Result<(), String> {
        if end > self.end() {
            return Err(format!("{end} is synced, but only {} is written", self.end()));
        }
        if end > self.kept_end {
            self.undone.append(&mut self.refused);
        }
        for found in std::mem::take(&mut self.pending) {
            if found.next <= end {
                self.keep(found);
            } else {
                self.pending.push(found);
            }
        }
        Ok(())
    }

    fn keep(&mut self, found: Found) {
        self.kept_end = found.next;
        if self.sent[found.number].sequence.is_some() && found.index == 0 {
            self.history.push(found.clone());
        }
        if !self.config.compact {
            self.kept.insert(found.base, found);
            return;
        }
        for (base, index) in (found.base..found.next).zip(found.index..) {
            self.kept.insert(base, Found { base, next: base + 1, index, ..found });
        }
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
        let found = if self.config.compact {
            self.walk_compacted(start, end, bytes)?
        } else {
            self.walk(start, end, bytes)?
        };
        self.judge_order(&found)?;
        for kept in self.kept.values().filter(|kept| kept.next > start) {
            if !found.contains(kept) && !self.is_superseded(kept, &found) {
                return Err(format!("{kept:?} was acknowledged and is not there"));
            }
        }
        judge_epochs(opened, &found)?;
        Ok(found)
    }

    fn record(&self, found: &Found) -> &(Vec<u8>, Option<Vec<u8>>) {
        &self.sent[found.number].keyed[usize::try_from(found.index).unwrap()]
    }

    /// Whether compaction may have removed a record: a newer one of its key is there, or it only said that its key is
    /// gone.
    fn is_superseded(&self, kept: &Found, found: &[Found]) -> bool {
        if !self.config.compact {
            return false;
        }
        let key = &self.record(kept).0;
        let newer = |other: &&Found| other.base > kept.base && self.record(other).0 == *key;
        let at_once = self.config.delete_retention_ms == 0;
        let goes = |other: &Found| at_once && self.record(other).1.is_none();
        let mut acknowledged = self.kept.values().filter(newer);
        found.iter().any(|other| newer(&other)) || goes(kept) || acknowledged.any(goes)
    }

    /// Every batch: whole, good, known, following the one before.
    fn walk(&self, start: Offset, end: Offset, bytes: &[u8]) -> Result<Vec<Found>, String> {
        let mut walked: Vec<Found> = Vec::new();
        for batch in batches(bytes)? {
            let (base, next, epoch) = (batch.base, batch.next, batch.epoch);
            let unknown = || format!("the batch at {base} was never sent");
            let number = *self.by_content.get(&batch.content()).ok_or_else(unknown)?;
            if walked.iter().any(|found| found.number == number) {
                return Err(format!("batch {number} is there twice, again at {base}"));
            }
            if self.undone.contains(&number) {
                return Err(format!("batch {number} at {base} was refused"));
            }
            let follows = match walked.last() {
                Some(before) => before.next == base,
                None => base <= start && start < next,
            };
            if !follows {
                return Err(format!("the batch at {base} does not follow {:?}", walked.last()));
            }
            walked.push(Found { base, next, epoch, number, index: 0 });
        }
        let last = walked.last().map_or(start, |found| found.next);
        if last == end { Ok(walked) } else { Err(format!("the log ends at {end}, not {last}")) }
    }

    /// Every record of a log that may have been compacted: known, as it was sent, and where it was before.
    fn walk_compacted(
        &self,
        start: Offset,
        end: Offset,
        bytes: &[u8],
    ) -> Result<Vec<Found>, String> {
        let mut walked: Vec<Found> = Vec::new();
        let mut behind = 0;
        for batch in batches(bytes)? {
            if batch.base < behind {
                return Err(format!("the batch at {} begins before {behind}", batch.base));
            }
            behind = batch.next;
            for record in batch.records() {
                let found = self.recognise(&record, batch.epoch)?;
                if found.base >= start {
                    walked.push(found);
                }
            }
        }
        let newer = walked.iter().map(|found| found.base).filter(|base| *base >= self.kept_end);
        if behind > end || !newer.eq(self.kept_end.max(start)..end) {
            return Err(format!("what follows {} is not whole: {walked:?}", self.kept_end));
        }
        Ok(walked)
    }

    fn recognise(&self, record: &Record, epoch: i32) -> Result<Found, String> {
        let base = record.offset;
        let unknown = || format!("the record at {base} was never sent");
        let sent = self.by_timestamp.range(..=record.timestamp).next_back();
        let (first, number) = sent.ok_or_else(unknown)?;
        let index = record.timestamp - first;
        let found = Found { base, next: base + 1, epoch, number: *number, index };
        let sent = self.sent[*number].keyed.get(usize::try_from(index).unwrap());
        let same = sent.is_some_and(|(key, value)| (key, value) == (&record.key, &record.value));
        if !same || self.undone.contains(number) {
            return Err(unknown());
        }
        if base < self.kept_end && self.kept.get(&base) != Some(&found) {
            return Err(format!("{found:?} instead of {:?}", self.kept.get(&base)));
        }
        Ok(found)
    }

    /// What is there was attempted in this order.
    fn judge_order(&self, found: &[Found]) -> Result<(), String> {
        let mut attempts = self.attempts.iter();
        let mut last = None;
        for batch in found {
            let same = last.replace(batch.number) == Some(batch.number);
            let late = [&self.refused, &self.late].iter().any(|set| set.contains(&batch.number));
            if same || late {
                continue;
            }
            if !attempts.any(|attempt| *attempt == (batch.number, batch.epoch)) {
                return Err(format!("{batch:?} is out of order"));
            }
        }
        Ok(())
    }

    /// A consumer has read all of it: it stays.
    pub(crate) fn seen(&mut self, opened: &Opened, found: &[Found]) {
        self.pending.clear();
        for number in std::mem::take(&mut self.refused) {
            let is_there = found.iter().any(|found| found.number == number);
            if is_there { &mut self.late } else { &mut self.undone }.insert(number);
        }
        let known = self.kept_end;
        for found in found.iter().filter(|found| found.base >= known) {
            self.keep(found.clone());
        }
        self.kept_end = opened.log_end;
        (self.start_least, self.start_most) = (opened.log_start, opened.log_start);
        self.kept.retain(|_, kept| kept.next > opened.log_start);
        if self.config.compact {
            let there: BTreeSet<Offset> = found.iter().map(|found| found.base).collect();
            self.kept.retain(|base, _| there.contains(base));
        }
    }

    /// Every batch that the log can hold, by what was acknowledged or written.
    fn written(&self) -> impl DoubleEndedIterator<Item = &Found> {
        self.kept.values().chain(&self.pending)
    }

    fn stamp(&self, found: &Found) -> i64 {
        self.sent[found.number].timestamp + found.index
    }

    /// Somebody asks for a later beginning.
    pub(crate) fn may_begin_at(&mut self, offset: Offset) {
        self.start_most = self.start_most.max(offset.min(self.end()));
    }

    /// Retention may remove what is old, and what is too much.
    pub(crate) fn may_remove(&mut self, upkeep: &Upkeep) {
        if upkeep.free {
            self.may_begin_at(self.end());
        }
        if !self.config.delete {
            return;
        }
        let retention_ms = self.config.retention_ms;
        if upkeep.expire && retention_ms >= 0 {
            let newest = |found: &Found| self.stamp(found) + found.next - found.base - 1;
            let old = |found: &&Found| newest(found) + retention_ms < upkeep.now;
            let old = self.written().take_while(old).last().map(|found| found.next);
            old.into_iter().for_each(|offset| self.may_begin_at(offset));
        }
        if let Ok(retention_bytes) = usize::try_from(self.config.retention_bytes) {
            let mut bytes = 0;
            let enough = self.written().rev().find(|found| {
                bytes += self.sent[found.number].bytes.len();
                bytes >= retention_bytes
            });
            let enough = enough.map(|found| found.base);
            enough.into_iter().for_each(|offset| self.may_begin_at(offset));
        }
    }

    /// The newest batches of each producer's newest epoch that were acknowledged, at most five each.
    pub(crate) fn retriable(&self) -> Vec<Found> {
        let mut by_producer: BTreeMap<i64, (i16, Vec<Found>)> = BTreeMap::new();
        for found in &self.history {
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
            let timestamp = self.stamp(found);
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
        let at = batch.base.max(opened.log_start);
        let told = opened.epochs.iter().rev().find(|(_, from)| *from <= at);
        if told.is_none_or(|(epoch, _)| *epoch != batch.epoch) {
            return Err(format!("{batch:?}, but the epochs are {:?}", opened.epochs));
        }
    }
    let rising =
        opened.epochs.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
    if rising { Ok(()) } else { Err(format!("epochs {:?}", opened.epochs)) }
}
