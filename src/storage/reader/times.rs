//! Finds offsets by time: through the time indexes to a segment, and through its batches to the record.

use std::sync::Arc;

use super::Reader;
use crate::base::ids::Offset;
use crate::record::RecordError;
use crate::record::records::RecordReader;
use crate::storage::job::{FindTimes, Outcome, ReadError, TimeQuery, TimeTarget, TimedOffset};
use crate::storage::log::View;
use crate::storage::segment::{Segment, Step};
use crate::storage::validate::DECOMPRESSED_BYTES_MAX;

impl Reader {
    pub(super) fn find_times(&self, find: &FindTimes) -> Outcome {
        let results = find.queries.iter().map(|query| self.find_time(query)).collect();
        Outcome::Times { ticket: find.ticket, results }
    }

    fn find_time(&self, query: &TimeQuery) -> Result<Option<TimedOffset>, ReadError> {
        let log = self.registry.get(query.partition).ok_or(ReadError::UnknownPartition)?;
        let search = || {
            log.read(|view| match query.target {
                TimeTarget::AtOrAfter(timestamp) => {
                    self.first_at_or_after(view, timestamp, query.end)
                }
                TimeTarget::Largest => self.first_largest(view, query.end),
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

    fn first_largest(&self, view: &View, end: Offset) -> Result<Option<TimedOffset>, ReadError> {
        let end = end.min(view.end);
        let mut best: Option<(i64, &Arc<Segment>, Offset)> = None;
        for (segment, next) in view.from(view.log_start) {
            let largest = if next <= end {
                segment.largest(&self.files)?
            } else if segment.base() < end {
                segment.largest_below(&self.files, end)?
            } else {
                None
            };
            if let Some(largest) = largest.filter(|l| l.offset >= view.log_start) {
                if best.is_none_or(|(timestamp, ..)| largest.timestamp > timestamp) {
                    best = Some((largest.timestamp, segment, largest.offset));
                }
            }
        }
        let Some((timestamp, segment, offset)) = best else { return Ok(None) };
        let mut walk = segment.walk_near(&self.files, offset)?;
        let met = loop {
            match walk.next()? {
                Some(Step::Batch(met)) if met.header.last_offset() >= offset => break met,
                Some(_) => {}
                None => return Ok(None),
            }
        };
        let batch = walk.whole(&met)?;
        let least = view.log_start;
        let found = search(batch, |offset, stamp| offset >= least && stamp >= timestamp)?;
        Ok(found.map(|found| timed(found, met.header.partition_leader_epoch)))
    }
}

fn timed((offset, timestamp): (Offset, i64), leader_epoch: i32) -> TimedOffset {
    TimedOffset { timestamp, offset, leader_epoch }
}

/// Offset and timestamp of the first record that matches.
fn search(
    batch: &[u8],
    matches: impl Fn(Offset, i64) -> bool,
) -> Result<Option<(Offset, i64)>, ReadError> {
    let damaged = |error: RecordError| match error {
        RecordError::UnsupportedCodec(_) => ReadError::UnsupportedCompression,
        _ => ReadError::Corrupt,
    };
    let mut reader = RecordReader::open(batch, DECOMPRESSED_BYTES_MAX).map_err(damaged)?;
    while let Some(record) = reader.next().map_err(damaged)? {
        if matches(record.offset, record.timestamp) {
            return Ok(Some((record.offset, record.timestamp)));
        }
    }
    Ok(None)
}
