//! The way through a segment from batch to batch, past damage.
//!
//! What this process did not write is checked when it is passed first: checksum, length, and whether offset and leader
//! epoch fit between those of the batches around it, as neither is covered by the checksum. What is no good batch is
//! fenced off up to the next one, and remembered in the segment's ledger: the search for it is done once.

use super::stops::Stop;
use super::{Extent, Segment};
use crate::base::ids::Offset;
use crate::record::batch::{PREFIX_SIZE, Prefix};
use crate::storage::damage::Damage;
use crate::storage::files::{Files, lock};
use crate::storage::fs::as_u64;
use crate::storage::index::{IndexFile, OffsetEntry};
use crate::storage::job::ReadError;
use crate::storage::scan::{Met, Scan, ScanError, WHOLE};

/// What a walk meets.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) enum Step {
    /// A good batch.
    Batch(Met),
    /// What cannot be served.
    Damage(Damage),
}

/// Where a walk begins.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) enum Anchor {
    /// At the segment's first batch.
    Start,
    /// At the batch of an entry of the index.
    Entry(OffsetEntry),
    /// Where a walk has been before.
    Stop(Stop),
}

/// Why there is no good batch.
struct Bad {
    why: &'static str,
    /// Where to begin looking for the next one.
    resume: u64,
}

/// Why a walk cannot go on.
#[derive(Debug)]
enum Halt {
    Read(ReadError),
    /// There is nothing at the place that an index entry names, or something else.
    Contradicted,
}

/// A place in a segment, between batches.
pub(in crate::storage) struct Walk<'a> {
    segment: &'a Segment,
    files: &'a Files,
    extent: Extent,
    /// `None`: there is nothing to read.
    scan: Option<Scan>,
    position: u64,
    /// No offset below this one may follow.
    expected: Offset,
    /// The leader epochs of the last two batches: none below both may follow. One alone may be wrong itself.
    epochs: [i32; 2],
}

/// Most places named by the index that are tried behind damage.
const ENTRIES_TRIED_MAX: u64 = 16;
/// How many times as many bytes as there are may be checked in search of the next batch: bytes made to look like many
/// long batches take no longer.
const PATIENCE: u64 = 8;

impl<'a> Walk<'a> {
    /// A walk over the batches that are there now. `None`: the index entry is wrong.
    pub(super) fn begin(
        segment: &'a Segment,
        files: &'a Files,
        extent: Extent,
        from: Anchor,
    ) -> Result<Option<Walk<'a>>, ReadError> {
        let is_readable = extent.size > 0 && !lock(&segment.ledger).are_lost(extent.size);
        let scan = is_readable.then(|| files.get(&segment.log)).transpose()?;
        let scan = scan.map(|file| Scan::growing(file, extent.size));
        let expected = segment.base;
        let mut walk =
            Walk { segment, files, extent, scan, position: 0, expected, epochs: [-1; 2] };
        match from {
            Anchor::Start => Ok(Some(walk)),
            Anchor::Stop(stop) => {
                (walk.position, walk.expected) = (stop.position, stop.offset);
                Ok(Some(walk))
            }
            Anchor::Entry(entry) => match walk.stand_on(entry) {
                Ok(()) => Ok(Some(walk)),
                Err(Halt::Contradicted) => Ok(None),
                Err(Halt::Read(error)) => Err(error),
            },
        }
    }

    /// Where it stands: the position, and the offset from which on what comes next begins.
    pub(super) fn here(&self) -> (u64, Offset) {
        (self.position, self.expected)
    }

    /// The next batch or damage. `None`: the segment's end.
    pub(in crate::storage) fn next(&mut self) -> Result<Option<Step>, ReadError> {
        let known = lock(&self.segment.ledger).damage_at(self.position, self.expected);
        if let Some(damage) = known {
            return Ok(Some(self.pass(damage)));
        }
        if let Some(next) = self.missing_up_to() {
            return self.fence(self.position, next, "records are missing");
        }
        if self.position >= self.extent.size {
            return Ok(None);
        }
        match self.look()? {
            Ok(met) => self.accept(met),
            Err(bad) => {
                let (to, next) = self.find_next(bad.resume)?;
                self.fence(to, next, bad.why)
            }
        }
    }

    /// All bytes of a batch that was met.
    pub(in crate::storage) fn whole(&mut self, met: &Met) -> Result<&[u8], ReadError> {
        let path = self.segment.log.path();
        let scan = self.scan.as_mut().ok_or(ReadError::Corrupt)?;
        scan.whole(met).map_err(|error| error.of_read(path))
    }

    fn stand_on(&mut self, entry: OffsetEntry) -> Result<(), Halt> {
        self.position = u64::from(entry.position);
        let found = self.scan()?.look(entry.position.into());
        let met = match found {
            Ok(met) => met,
            Err(ScanError::Bad) => return Err(Halt::Contradicted),
            Err(error) => return Err(Halt::Read(error.of_read(self.segment.log.path()))),
        };
        if met.header.last_offset().checked_sub(self.segment.base) != Some(entry.offset.into()) {
            return Err(Halt::Contradicted);
        }
        self.expected = met.header.base_offset;
        match self.look().map_err(Halt::Read)? {
            Ok(met) if met.position < self.extent.own_from => {
                lock(&self.segment.ledger).note_good(met.position, met.end());
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(_) => Err(Halt::Contradicted),
        }
    }

    fn scan(&mut self) -> Result<&mut Scan, Halt> {
        self.scan.as_mut().ok_or(Halt::Contradicted)
    }

    /// Up to which offset records are missing at an end: of what was found, or of the segment.
    fn missing_up_to(&self) -> Option<Offset> {
        let Extent { size, end, own_from, own_offset, gaps } = self.extent;
        let until = if self.position >= size { end } else { own_offset };
        let is_end = self.position >= size || self.position == own_from;
        (is_end && self.expected < until && !gaps).then_some(until)
    }

    fn pass(&mut self, damage: Damage) -> Step {
        (self.position, self.expected) = (damage.to, damage.next);
        Step::Damage(damage)
    }

    fn fence(
        &mut self,
        to: u64,
        next: Offset,
        why: &'static str,
    ) -> Result<Option<Step>, ReadError> {
        let damage = Damage { from: self.position, to, first: self.expected, next, why };
        self.segment.note_damage(self.files, damage);
        Ok(Some(self.pass(damage)))
    }

    fn accept(&mut self, met: Met) -> Result<Option<Step>, ReadError> {
        let is_found = self.position < self.extent.own_from;
        if is_found && !self.extent.gaps && met.header.base_offset > self.expected {
            return self.fence(self.position, met.header.base_offset, "records are missing");
        }
        if is_found {
            lock(&self.segment.ledger).note_good(met.position, met.end());
        }
        self.position = met.end();
        self.expected = met.header.next_offset();
        let [_, last] = self.epochs;
        self.epochs = [last, met.header.partition_leader_epoch];
        Ok(Some(Step::Batch(met)))
    }

    /// The batch at this place, if it is a good one.
    fn look(&mut self) -> Result<Result<Met, Bad>, ReadError> {
        let position = self.position;
        let bad = |why, resume| Ok(Err(Bad { why, resume }));
        let looked = self.scan.as_mut().map_or(Err(ScanError::Bad), |scan| scan.look(position));
        let met = match looked {
            Ok(met) => met,
            Err(ScanError::Bad) => return bad("there is no batch", position.saturating_add(1)),
            Err(error) => return Err(error.of_read(self.segment.log.path())),
        };
        let is_known =
            position >= self.extent.own_from || lock(&self.segment.ledger).is_good(position);
        if is_known {
            return Ok(Ok(met));
        }
        if !self.is_intact(&met)? {
            return bad("the checksum is wrong", position.saturating_add(1));
        }
        Ok(self.judge(&met)?.map(|()| met))
    }

    fn is_intact(&mut self, met: &Met) -> Result<bool, ReadError> {
        let Some(scan) = self.scan.as_mut() else { return Ok(false) };
        match scan.is_sound(met) {
            Ok(intact) => Ok(intact),
            Err(ScanError::Bad) => Ok(false),
            Err(error) => Err(error.of_read(self.segment.log.path())),
        }
    }

    /// Whether an intact batch belongs here: by offset and epoch, which its checksum does not cover. The batch behind it
    /// is a witness, as far as it is not in doubt itself.
    fn judge(&mut self, met: &Met) -> Result<Result<(), Bad>, ReadError> {
        let header = &met.header;
        let bad = |why, resume| Ok(Err(Bad { why, resume }));
        if header.base_offset < self.expected {
            return bad("its offset was there before", met.end());
        }
        if met.end() > self.extent.own_from || header.next_offset() > self.extent.own_offset {
            return bad("its offset is beyond the segment", met.end());
        }
        let [one, other] = self.epochs;
        let epoch_min = one.min(other);
        if header.partition_leader_epoch < epoch_min {
            return bad("its leader epoch is too low", met.end());
        }
        let Some(behind) = self.behind(met)? else {
            let unfounded = header.base_offset > self.expected && !self.extent.gaps;
            return if unfounded { bad("its offset leaves a gap", met.end()) } else { Ok(Ok(())) };
        };
        let (base, epoch) = (behind.offset, behind.epoch);
        if base >= self.expected
            && base < header.next_offset()
            && header.base_offset > self.expected
        {
            // Where gaps are right, either of the two may be wrong.
            let resume = if self.extent.gaps { behind.end } else { met.end() };
            return bad("its offset contradicts the next", resume);
        }
        // Either of the two is wrong, unless a third says which: then neither is refused, as their records are whole.
        let is_lower = |epoch: i32| epoch_min <= epoch && epoch < header.partition_leader_epoch;
        if epoch.is_some_and(is_lower) && self.epoch_at(behind.end)?.is_none_or(is_lower) {
            return bad("its leader epoch is too high", met.end());
        }
        Ok(Ok(()))
    }

    /// The leader epoch of the batch that seems to begin at a place.
    fn epoch_at(&mut self, position: u64) -> Result<Option<i32>, ReadError> {
        let inside = position < self.extent.own_from;
        let Some(scan) = self.scan.as_mut().filter(|_| inside) else { return Ok(None) };
        match scan.look(position) {
            Ok(met) => Ok(Some(met.header.partition_leader_epoch)),
            Err(ScanError::Bad) => Ok(None),
            Err(error) => Err(error.of_read(self.segment.log.path())),
        }
    }

    /// What stands behind a batch: the header of the next, or the end of what was found. `None`: nothing that makes sense.
    fn behind(&mut self, met: &Met) -> Result<Option<Behind>, ReadError> {
        let end = met.end();
        if end >= self.extent.own_from {
            let offset = self.extent.own_offset;
            return Ok(Some(Behind { offset, epoch: None, end }));
        }
        let Some(scan) = self.scan.as_mut() else { return Ok(None) };
        match scan.look(end) {
            Ok(next) => {
                let epoch = Some(next.header.partition_leader_epoch);
                Ok(Some(Behind { offset: next.header.base_offset, epoch, end: next.end() }))
            }
            Err(ScanError::Bad) => Ok(None),
            Err(error) => Err(error.of_read(self.segment.log.path())),
        }
    }

    /// Where the next good batch begins at or behind `from`, and its offset; else the end of what may be damaged.
    fn find_next(&mut self, from: u64) -> Result<(u64, Offset), ReadError> {
        let Extent { own_from, own_offset, size, end, .. } = self.extent;
        let limit = if self.position < own_from { (own_from, own_offset) } else { (size, end) };
        let found = self.search(from, limit).map_err(|e| e.of_read(self.segment.log.path()))?;
        Ok(found.map_or((limit.0, limit.1.max(self.expected)), |met| {
            (met.position, met.header.base_offset)
        }))
    }

    fn search(&mut self, from: u64, limit: (u64, Offset)) -> Result<Option<Met>, ScanError> {
        // Most often all that is wrong is inside the batch, and its length is right.
        let own_end = self.scan.as_mut().and_then(|scan| scan.look(self.position).ok());
        if let Some(end) = own_end.map(|met| met.end()).filter(|end| from <= *end) {
            if let Some(met) = self.candidate(end, limit)? {
                return Ok(Some(met));
            }
        }
        let mut patience = limit.0.saturating_sub(from).saturating_mul(PATIENCE);
        let mut at = from;
        while at.saturating_add(as_u64(PREFIX_SIZE)) <= limit.0 {
            let Some(scan) = self.scan.as_mut() else { return Ok(None) };
            let chunk = scan.some(at, WHOLE)?;
            let step = chunk.len().saturating_sub(PREFIX_SIZE - 1);
            if step == 0 {
                return Ok(None);
            }
            let places: Vec<u64> = places(chunk, self.expected, limit.1).collect();
            for place in places {
                let position = at.saturating_add(place);
                let size = self.scan.as_mut().and_then(|scan| scan.look(position).ok());
                let Some(size) = size.map(|met| met.end().saturating_sub(position)) else {
                    continue;
                };
                let Some(left) = patience.checked_sub(size) else {
                    return self.search_by_index(position, limit);
                };
                patience = left;
                if let Some(met) = self.candidate(position, limit)? {
                    return Ok(Some(met));
                }
            }
            at = at.saturating_add(as_u64(step));
        }
        Ok(None)
    }

    /// The next of the places that the index names at which there is a good batch.
    fn search_by_index(
        &mut self,
        from: u64,
        limit: (u64, Offset),
    ) -> Result<Option<Met>, ScanError> {
        let path = self.segment.index_path();
        let Ok(Some(index)) = IndexFile::open(&*self.files.fs, &path) else { return Ok(None) };
        let mut from = from;
        for _ in 0..ENTRIES_TRIED_MAX {
            let next = index.first(|entry: &OffsetEntry| u64::from(entry.position) > from);
            let Ok(Some(entry)) = next else { return Ok(None) };
            from = entry.position.into();
            if let Some(met) = self.candidate(from, limit)? {
                return Ok(Some(met));
            }
        }
        Ok(None)
    }

    /// The batch at a place where one may begin, if it is intact, its offset fits in, and the batch behind it makes sense:
    /// a batch that somebody sent as the value of a record has something else behind it.
    fn candidate(
        &mut self,
        position: u64,
        (limit, offset_max): (u64, Offset),
    ) -> Result<Option<Met>, ScanError> {
        let Some(scan) = self.scan.as_mut() else { return Ok(None) };
        let met = match scan.look(position) {
            Ok(met) => met,
            Err(ScanError::Bad) => return Ok(None),
            Err(error) => return Err(error),
        };
        let header = &met.header;
        let fits = met.end() <= limit
            && header.base_offset >= self.expected
            && header.next_offset() <= offset_max;
        if !fits || (met.end() < limit && scan.look(met.end()).is_err()) {
            return Ok(None);
        }
        match scan.is_sound(&met) {
            Ok(true) => Ok(Some(met)),
            Ok(false) | Err(ScanError::Bad) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What stands behind a batch.
struct Behind {
    offset: Offset,
    /// `None`: nobody knows.
    epoch: Option<i32>,
    /// Where it ends.
    end: u64,
}

/// The places in `chunk` where a batch might begin whose offset lies between two.
fn places(chunk: &[u8], least: Offset, most: Offset) -> impl Iterator<Item = u64> + '_ {
    let starts = chunk.windows(PREFIX_SIZE).zip(0u64..);
    starts.filter_map(move |(bytes, start)| {
        // Most places fail here already.
        if bytes.last() != Some(&2) {
            return None;
        }
        Prefix::read(bytes).ok().filter(|prefix| (least..most).contains(&prefix.offset))?;
        Some(start)
    })
}
