//! Looking things up in a segment: where a batch begins, where the last one ends that fits, and whether bytes are good.

use super::{Indexed, Largest, Segment};
use crate::base::ids::Offset;
use crate::record::NO_TIMESTAMP;
use crate::storage::files::{Files, lock};
use crate::storage::index::{Found, IndexFile, OffsetEntry, TimeEntry};
use crate::storage::job::ReadError;
use crate::storage::scan::{HEADERS, Met, Scan, ScanError, WHOLE};

impl Segment {
    /// The largest timestamp of the batches that begin below `end`.
    pub(in crate::storage) fn largest_below(
        &self,
        files: &Files,
        end: Offset,
    ) -> Result<Option<Largest>, ReadError> {
        let relative = end.saturating_sub(self.base);
        let start = self.search_offsets(files, |entry| i64::from(entry.offset) < relative)?;
        let mut scan = Scan::new(files.get(&self.log)?, start, self.size(), HEADERS);
        let mut found: Option<Largest> = None;
        let mut first = true;
        while let Some(met) = scan.next().map_err(|error| error.of_read(self.log.path()))? {
            if met.header.base_offset >= end {
                break;
            }
            if std::mem::take(&mut first) && start > 0 {
                found = self.largest_indexed(files, met.header.last_offset())?;
            }
            let timestamp = met.header.max_timestamp;
            if met.header.record_count == 0 {
                continue;
            }
            if found.is_none_or(|largest| timestamp > largest.timestamp) {
                found = Some(Largest { timestamp, offset: met.header.last_offset() });
            }
        }
        Ok(found.filter(|largest| largest.timestamp > NO_TIMESTAMP))
    }

    /// The last entry of the time index at or below an offset that has an entry in the offset index.
    fn largest_indexed(&self, files: &Files, offset: Offset) -> Result<Option<Largest>, ReadError> {
        let relative = offset.saturating_sub(self.base);
        let entry = self.search_times(files, |entry| i64::from(entry.offset) <= relative)?;
        Ok(entry.map(|entry| self.largest_of(&entry)))
    }

    /// Where to begin walking to find an offset: at or before the batch that holds it.
    fn start_for(&self, files: &Files, offset: Offset) -> Result<u64, ReadError> {
        let relative = offset.saturating_sub(self.base);
        self.search_offsets(files, |entry| i64::from(entry.offset) <= relative)
    }

    /// The position in the last index entry that matches, or 0.
    fn search_offsets(
        &self,
        files: &Files,
        matches: impl Fn(&OffsetEntry) -> bool,
    ) -> Result<u64, ReadError> {
        let found = self.indexed(files)?.offsets.find(&matches);
        let entry = match found {
            Found::Entry(entry) => entry,
            Found::InFile(count) => {
                let path = self.index_path();
                match IndexFile::open(&*files.fs, &path)? {
                    Some(index) => index.find(count, matches)?,
                    None => None,
                }
            }
        };
        Ok(entry.map_or(0, |entry| u64::from(entry.position)))
    }

    /// The first batch whose last offset is `offset` or higher.
    pub(in crate::storage) fn locate(
        &self,
        files: &Files,
        offset: Offset,
    ) -> Result<Option<Met>, ReadError> {
        let start = self.start_for(files, offset)?;
        match self.walk_to(files, start, offset) {
            Err(ReadError::Corrupt) if start > 0 => {
                // The index may be what is damaged.
                lock(&self.state).indexed = Indexed::Doubted(0);
                let start = self.start_for(files, offset)?;
                self.walk_to(files, start, offset)
            }
            found => found,
        }
    }

    fn walk_to(&self, files: &Files, start: u64, offset: Offset) -> Result<Option<Met>, ReadError> {
        let mut scan = Scan::new(files.get(&self.log)?, start, self.size(), HEADERS);
        let of_read = |error: ScanError| error.of_read(self.log.path());
        while let Some(met) = scan.next().map_err(of_read)? {
            if met.position == start && start > 0 && met.header.base_offset > offset {
                return Err(ReadError::Corrupt);
            }
            if met.header.last_offset() >= offset {
                return Ok(Some(met));
            }
        }
        Ok(None)
    }

    /// Where the last batch ends that lies wholly within `bytes_max` bytes of `from` and begins below `end`.
    /// It is `from` itself if not even the first one does.
    pub(in crate::storage) fn whole_batches(
        &self,
        files: &Files,
        from: u64,
        bytes_max: u64,
        end: Offset,
    ) -> Result<u64, ReadError> {
        let limit = from.saturating_add(bytes_max);
        let relative = end.saturating_sub(self.base);
        let near = |entry: &OffsetEntry| {
            u64::from(entry.position) <= limit && i64::from(entry.offset) < relative
        };
        let start = self.search_offsets(files, near)?.max(from);
        let mut scan = Scan::new(files.get(&self.log)?, start, self.size(), HEADERS);
        let mut whole = start;
        loop {
            match scan.next() {
                Ok(Some(met)) if met.end() <= limit && met.header.base_offset < end => {
                    whole = met.end();
                }
                Ok(_) => return Ok(whole),
                // What is good before the damage is given.
                Err(ScanError::Bad) if whole > from => return Ok(whole),
                Err(error) => return Err(error.of_read(self.log.path())),
            }
        }
    }

    /// Checks the batches of a range, unless this process wrote or checked them before. Gives where the good ones end;
    /// it is an error if not even the first is good.
    pub(in crate::storage) fn check(
        &self,
        files: &Files,
        from: u64,
        to: u64,
    ) -> Result<u64, ReadError> {
        let begin = {
            let state = lock(&self.state);
            let foreign = to.min(state.own_from);
            if foreign <= from || foreign <= state.checked_to {
                return Ok(to);
            }
            if from <= state.checked_to { state.checked_to } else { from }
        };
        let mut scan = Scan::new(files.get(&self.log)?, begin, to, WHOLE);
        let mut least = self.base;
        loop {
            match scan.next_good(least) {
                Ok(Some(met)) => least = met.header.next_offset(),
                Ok(None) => break,
                Err(ScanError::Bad) if scan.position() > from => break,
                Err(error) => return Err(error.of_read(self.log.path())),
            }
        }
        let mut state = lock(&self.state);
        if begin <= state.checked_to {
            state.checked_to = state.checked_to.max(scan.position());
        }
        Ok(scan.position())
    }

    /// Where to begin walking to find the first record of this timestamp or later, in a segment that has one.
    pub(in crate::storage) fn start_for_time(
        &self,
        files: &Files,
        timestamp: i64,
    ) -> Result<u64, ReadError> {
        match self.search_times(files, |entry| entry.timestamp < timestamp)? {
            Some(entry) => self.start_for(files, self.base.saturating_add(i64::from(entry.offset))),
            None => Ok(0),
        }
    }

    /// The last entry of the time index that matches.
    fn search_times(
        &self,
        files: &Files,
        matches: impl Fn(&TimeEntry) -> bool,
    ) -> Result<Option<TimeEntry>, ReadError> {
        let found = self.indexed(files)?.times.find(&matches);
        match found {
            Found::Entry(entry) => Ok(entry),
            Found::InFile(count) => {
                let path = self.time_index_path();
                match IndexFile::open(&*files.fs, &path)? {
                    Some(index) => Ok(index.find(count, matches)?),
                    None => Ok(None),
                }
            }
        }
    }
}
