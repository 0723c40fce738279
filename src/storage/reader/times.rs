//! Finds offsets by time: through the time indexes to a segment, and through its batches to the record.

use std::sync::Arc;

use super::Reader;
use crate::base::ids::Offset;
use crate::base::time::WallMs;
use crate::record::batch::NO_LEADER_EPOCH;
use crate::record::records::RecordReader;
use crate::record::{NO_TIMESTAMP, RecordError};
use crate::storage::job::{FindTimes, Outcome, ReadError, TimeQuery, TimeTarget, TimedOffset};
use crate::storage::log::View;
use crate::storage::segment::{Largest, Segment, Step};
use crate::storage::validate::DECOMPRESSED_BYTES_MAX;

impl Reader {
    pub(super) fn find_times(&self, find: &FindTimes) -> Outcome {
        let results = find.queries.iter().map(|query| self.find_time(query)).collect();
        Outcome::Times { ticket: find.ticket, results }
    }

    fn find_time(&self, query: &TimeQuery) -> Result<Vec<TimedOffset>, ReadError> {
        let log = self.registry.get(query.partition).ok_or(ReadError::UnknownPartition)?;
        let search = || {
            log.read(|view| {
                let found = match query.target {
                    TimeTarget::AtOrAfter(timestamp) => {
                        self.first_at_or_after(view, timestamp, query.end)?
                    }
                    TimeTarget::Largest => self.first_largest(view, query.end)?,
                    TimeTarget::Starts(count, before) => {
                        let starts = self.starts(view, before, query.end);
                        return Ok(starts.into_iter().rev().take(count).collect());
                    }
                };
                Ok(found.into_iter().collect())
            })
        };
        let log_start = log.log_start();
        let mut found = search();
        if found.is_err() && log.log_start() > log_start {
            // Files were removed while they were searched.
            found = search();
        }
        if log.is_removed() { Err(ReadError::UnknownPartition) } else { found }
    }

    fn first_at_or_after(
        &self,
        view: &View,
        timestamp: i64,
        end: Offset,
    ) -> Result<Option<TimedOffset>, ReadError> {
        let end = end.min(view.end);
        for (segment, _) in view.from(view.log_start) {
            let largest = segment.largest(&self.files)?;
            if segment.base() >= end || largest.is_none_or(|l| l.timestamp < timestamp) {
                continue;
            }
            let mut walk = segment.walk_to_time(&self.files, timestamp)?;
            while let Some(step) = walk.next()? {
                let Step::Batch(met) = step else { continue };
                let header = met.header;
                if header.base_offset >= end {
                    return Ok(None);
                }
                if header.max_timestamp < timestamp || header.last_offset() < view.log_start {
                    continue;
                }
                let batch = walk.whole(&met)?;
                let found =
                    search(batch, |offset, stamp| offset >= view.log_start && stamp >= timestamp)?;
                let epoch = header.partition_leader_epoch;
                if let Some(found) = found.filter(|(offset, _)| *offset < end) {
                    return Ok(Some(timed(found, epoch)));
                }
            }
        }
        Ok(None)
    }

    /// The first record with the largest timestamp of all that are left. Where none has one, Kafka means the first record.
    fn first_largest(&self, view: &View, end: Offset) -> Result<Option<TimedOffset>, ReadError> {
        let end = end.min(view.end);
        let Some((mut segment, mut best)) = self.first_left(view, end)? else { return Ok(None) };
        for (other, next) in view.from(view.log_start).take_while(|(other, _)| other.base() < end) {
            let is_left_whole = other.base() >= view.log_start && next <= end;
            let largest = if is_left_whole {
                other.largest(&self.files)?
            } else {
                other.largest_between(&self.files, view.log_start, end)?
            };
            if let Some(largest) = largest.filter(|found| found.timestamp > best.timestamp) {
                (segment, best) = (other, largest);
            }
        }
        let mut walk = segment.walk_near(&self.files, best.offset)?;
        let met = loop {
            match walk.next()? {
                Some(Step::Batch(met)) if met.header.last_offset() >= best.offset => break met,
                Some(_) => {}
                None => return Ok(None),
            }
        };
        let found = largest_in(walk.whole(&met)?, view.log_start)?;
        Ok(found.map(|found| timed(found, met.header.partition_leader_epoch)))
    }

    /// Where the segments start up to the newest that was last written at `before` or earlier, oldest first; without a time
    /// also where the log ends.
    fn starts(&self, view: &View, before: Option<WallMs>, end: Offset) -> Vec<TimedOffset> {
        let (mut starts, mut wanted) = (Vec::new(), 0);
        for (segment, _) in view.from(view.log_start).take_while(|(one, _)| one.base() <= end) {
            starts.push(start(segment.base().max(view.log_start)));
            let is_old = |before| segment.written(&self.files).is_none_or(|at| at <= before);
            if before.is_none_or(is_old) {
                wanted = starts.len();
            }
        }
        starts.truncate(wanted);
        if before.is_none() && starts.last() != Some(&start(end)) {
            starts.push(start(end));
        }
        starts
    }

    /// The first batch of which a record is left, and the largest timestamp in what is left of it.
    fn first_left<'v>(
        &self,
        view: &'v View,
        end: Offset,
    ) -> Result<Option<(&'v Arc<Segment>, Largest)>, ReadError> {
        for (segment, _) in view.from(view.log_start) {
            let mut walk = segment.walk_near(&self.files, view.log_start)?;
            while let Some(step) = walk.next()? {
                let Step::Batch(met) = step else { continue };
                let (header, offset) = (met.header, met.header.last_offset());
                if header.base_offset >= end {
                    return Ok(None);
                }
                let timestamp = if offset < view.log_start || header.record_count == 0 {
                    None
                } else if header.base_offset >= view.log_start {
                    Some(header.max_timestamp)
                } else {
                    largest_in(walk.whole(&met)?, view.log_start)?.map(|(_, timestamp)| timestamp)
                };
                if let Some(timestamp) = timestamp {
                    return Ok(Some((segment, Largest { timestamp, offset })));
                }
            }
        }
        Ok(None)
    }
}

/// Where a segment starts.
fn start(offset: Offset) -> TimedOffset {
    TimedOffset { timestamp: NO_TIMESTAMP, offset, leader_epoch: NO_LEADER_EPOCH }
}

fn timed((offset, timestamp): (Offset, i64), leader_epoch: i32) -> TimedOffset {
    TimedOffset { timestamp, offset, leader_epoch }
}

fn damaged(error: RecordError) -> ReadError {
    match error {
        RecordError::UnsupportedCodec(_) => ReadError::UnsupportedCompression,
        _ => ReadError::Corrupt,
    }
}

/// Offset and timestamp of the first record that matches.
fn search(
    batch: &[u8],
    matches: impl Fn(Offset, i64) -> bool,
) -> Result<Option<(Offset, i64)>, ReadError> {
    let mut reader = RecordReader::open(batch, DECOMPRESSED_BYTES_MAX).map_err(damaged)?;
    while let Some(record) = reader.next().map_err(damaged)? {
        if matches(record.offset, record.timestamp) {
            return Ok(Some((record.offset, record.timestamp)));
        }
    }
    Ok(None)
}

/// Offset and timestamp of the first record with the largest timestamp of those from an offset on.
fn largest_in(batch: &[u8], from: Offset) -> Result<Option<(Offset, i64)>, ReadError> {
    let mut reader = RecordReader::open(batch, DECOMPRESSED_BYTES_MAX).map_err(damaged)?;
    let mut found: Option<(Offset, i64)> = None;
    while let Some(record) = reader.skim().map_err(damaged)? {
        let is_larger = found.is_none_or(|(_, largest)| record.timestamp > largest);
        if record.offset >= from && is_larger {
            found = Some((record.offset, record.timestamp));
        }
    }
    Ok(found)
}
