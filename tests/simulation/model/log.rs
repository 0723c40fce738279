//! What is known of one partition's log, from what the broker said.

use std::collections::{BTreeMap, BTreeSet};

use chronik::base::ids::Offset;

use super::batch::{self, BatchNumber, Read, RecordId};

/// A batch that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) client: usize,
    pub(crate) count: u32,
    /// Whether it was sent with `acks=all`.
    pub(crate) all: bool,
    /// Its number among the batches of an idempotent producer for this partition.
    pub(crate) lane: Option<u64>,
}

/// One partition.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Whether old values of a key may go.
    pub(crate) compact: bool,
    /// Whether old records may go.
    pub(crate) retained: bool,
    pub(crate) sent: BTreeMap<BatchNumber, Sent>,
    /// The records that are known to be there.
    records: BTreeMap<Offset, RecordId>,
    /// The first offset of each batch that is known to be there.
    places: BTreeMap<BatchNumber, Offset>,
    /// Everything below is safe from a power cut.
    pub(crate) firm: Offset,
    /// The log is known to start here, for good.
    pub(crate) start: Offset,
    /// The highest end that readers were shown in this run.
    shown: Offset,
    /// Somebody asked that the log start as late as here.
    asked_start: Offset,
}

/// What was certain of a log when somebody asked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Floor {
    pub(crate) start: Offset,
    pub(crate) end: Offset,
}

type Checked = Result<(), String>;

impl Log {
    /// A record is said to be at this offset.
    fn note(&mut self, offset: Offset, id: RecordId) -> Checked {
        let Some(sent) = self.sent.get(&id.batch) else {
            return Err(format!("invented: {id:?} at {offset} was never sent here"));
        };
        if id.place >= sent.count {
            return Err(format!("invented: {id:?} at {offset} has no such place"));
        }
        let first = offset - i64::from(id.place);
        let known = *self.places.entry(id.batch).or_insert(first);
        if known != first {
            return Err(format!("duplicated: {id:?} at {offset}, its batch is at {known}, too"));
        }
        match self.records.insert(offset, id) {
            Some(other) if other != id => {
                Err(format!("changed: {id:?} at {offset} where {other:?} was"))
            }
            _ => Ok(()),
        }
    }

    /// A batch is acknowledged at this offset.
    pub(crate) fn acknowledged(&mut self, number: BatchNumber, first: Offset) -> Checked {
        let sent = *self.sent.get(&number).ok_or("acknowledged what was never sent")?;
        if first < 0 {
            return Err(format!("batch {number} is acknowledged without an offset"));
        }
        for place in 0..sent.count {
            self.note(first + i64::from(place), RecordId { batch: number, place })?;
        }
        if sent.all {
            self.firm = self.firm.max(first + i64::from(sent.count));
        }
        Ok(())
    }

    /// Where the log may start at most: further on if old records go, or if somebody asked for that.
    pub(crate) fn start_max(&self) -> Offset {
        if self.retained { Offset::MAX } else { self.start.max(self.asked_start) }
    }

    /// The log is asked to start here; `None`: at its high watermark, which is not above all that was ever sent.
    pub(crate) fn trim_sent(&mut self, offset: Option<Offset>) {
        let sent = || self.sent.values().map(|sent| i64::from(sent.count)).sum();
        self.asked_start = self.asked_start.max(offset.unwrap_or_else(sent));
    }

    /// The log starts here for good, as somebody asked. What lies below needs nobody any more, what lies above stays.
    pub(crate) fn trimmed(&mut self, asked: Option<Offset>, start: Offset) -> Checked {
        if start < self.start.max(asked.unwrap_or_default()) || start > self.start_max() {
            return Err(format!("it is to start at {asked:?} and starts at {start}"));
        }
        self.start = start;
        // Nothing starts behind its end.
        self.firm = self.firm.max(start);
        Ok(())
    }

    /// What everybody who asks from now on must be shown at least.
    pub(crate) fn floor(&self) -> Floor {
        Floor { start: self.start, end: self.firm.max(self.shown) }
    }

    /// Readers were shown the log's start and visible end. `floor`: what was certain when they asked.
    pub(crate) fn shown(&mut self, start: Offset, end: Offset, floor: Floor) -> Checked {
        if start < floor.start {
            return Err(format!("the log start went back from {} to {start}", floor.start));
        }
        if start > self.start_max() {
            return Err(format!("the log starts at {start} and nobody asked for that"));
        }
        if end < floor.end {
            return Err(format!("lost: the log ends at {end}, promised were {}", floor.end));
        }
        if start > end {
            return Err(format!("the log starts at {start} and ends at {end}"));
        }
        self.shown = self.shown.max(end);
        Ok(())
    }

    /// A reader got records that begin with the batch of `from`; `end` is the visible end it was told, `next` the offset
    /// behind the last batch that it got, which may be one of which compaction has left nothing from `from` on.
    pub(crate) fn fetched(
        &mut self,
        from: Offset,
        floor: Floor,
        (end, next): (Offset, Option<Offset>),
        records: &[Read],
    ) -> Checked {
        if let Some(next) = next.filter(|next| *next <= from || *next > end) {
            return Err(format!("asked for {from}, given what ends at {next}, visible is {end}"));
        }
        let Some(last) = records.last() else {
            let is_promised = |(at, _): (&Offset, &RecordId)| *at < floor.end;
            let is_there = self.records.range(from..).next().is_some_and(is_promised);
            return if is_there && from >= self.start_max() && !self.compact {
                Err(format!("lost: nothing at {from}, promised were {}", floor.end))
            } else {
                Ok(())
            };
        };
        if !self.compact && last.offset < from {
            return Err(format!("asked for {from}, given what ends with {}", last.offset));
        }
        if !self.compact && records[0].offset > from {
            return Err(format!("lost: asked for {from}, given {}", records[0].offset));
        }
        for pair in records.windows(2) {
            let step = pair[1].offset - pair[0].offset;
            if step < 1 || (step > 1 && !self.compact) {
                return Err(format!("offset {} follows {}", pair[1].offset, pair[0].offset));
            }
        }
        for read in records {
            self.note(read.offset, read.id)?;
            if self.sent.get(&read.id.batch).is_some_and(|sent| sent.all) {
                self.firm = self.firm.max(read.offset + 1);
            }
        }
        Ok(())
    }

    /// The whole log was read just now, from `start` to `end`. `at_start`: nothing was written since the last start,
    /// which has made everything durable.
    pub(crate) fn audited(
        &mut self,
        (start, end): (Offset, Offset),
        records: &[Read],
        at_start: bool,
    ) -> Checked {
        self.shown(start, end, self.floor())?;
        let read: BTreeMap<Offset, Read> = records.iter().map(|r| (r.offset, *r)).collect();
        let known: Vec<(Offset, RecordId)> =
            self.records.range(start..).map(|(at, id)| (*at, *id)).collect();
        for (offset, id) in known {
            match read.get(&offset) {
                Some(found) if found.id == id => {}
                Some(found) => {
                    return Err(format!("changed: {:?} at {offset} was {id:?}", found.id));
                }
                None if self.may_be_gone(offset, id, &read) => {
                    self.records.remove(&offset);
                }
                None => return Err(format!("lost: {id:?} at {offset} of {start}..{end}")),
            }
        }
        if !self.compact && read.len() as i64 != end - start {
            return Err(format!("{} records in {start}..{end}", read.len()));
        }
        for record in records {
            self.note(record.offset, record.id)?;
        }
        self.check_order(records)?;
        if at_start {
            self.firm = end;
        }
        self.start = start;
        Ok(())
    }

    /// Whether compaction may have taken a record: a later one has its key, or it said that the key is gone, or a later
    /// one said so and has gone, too.
    fn may_be_gone(&self, offset: Offset, id: RecordId, read: &BTreeMap<Offset, Read>) -> bool {
        let key = batch::key(id);
        let later = || read.range(offset + 1..).any(|(_, other)| other.key == Some(key));
        self.compact && (batch::is_tombstone(id) || later() || self.may_be_ended(offset, key))
    }

    /// Whether a record behind an offset says that a key is gone, or one does of which nobody knows where it is.
    fn may_be_ended(&self, offset: Offset, key: u64) -> bool {
        self.sent.iter().any(|(number, sent)| {
            let ends = |place| {
                let id = RecordId { batch: *number, place };
                let first = self.places.get(number);
                let is_behind = first.is_none_or(|first| first + i64::from(place) > offset);
                batch::is_tombstone(id) && batch::key(id) == key && is_behind
            };
            (0..sent.count).any(ends)
        })
    }

    /// Batches of one client lie in the order in which they were sent; none is missing between those of an idempotent
    /// producer.
    fn check_order(&self, records: &[Read]) -> Checked {
        let mut last: BTreeMap<(usize, bool), (BatchNumber, Option<u64>)> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for record in records {
            let number = record.id.batch;
            if !seen.insert(number) {
                continue;
            }
            let sent = self.sent[&number];
            let now = (number, sent.lane);
            let before = last.insert((sent.client, sent.lane.is_some()), now);
            let Some((earlier, lane)) = before else { continue };
            if earlier > number {
                return Err(format!("reordered: batch {number} behind {earlier}"));
            }
            if let (Some(lane), Some(now)) = (lane, sent.lane) {
                if now != lane + 1 && !self.compact {
                    return Err(format!("lost: batch {number} is the next after {earlier}"));
                }
            }
        }
        Ok(())
    }

    /// The process ended. `power_cut`: what is not known to be safe may be gone.
    pub(crate) fn ended(&mut self, power_cut: bool) {
        self.shown = 0;
        if power_cut {
            for id in self.records.split_off(&self.firm).values() {
                self.places.remove(&id.batch);
            }
        }
    }

    /// Everything is on the disk, whatever it is.
    pub(crate) fn synced(&mut self) {
        let last = self.records.keys().next_back();
        self.firm = last.map_or(self.firm, |last| self.firm.max(last + 1));
    }

    /// Somebody committed this offset: what is below is safe.
    pub(crate) fn committed(&mut self, offset: Offset) {
        self.firm = self.firm.max(offset);
    }
}
