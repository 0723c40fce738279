//! Time indexes, against the log beside them.
//!
//! ```text
//!  .timeindex  timestamp (8), offset - base offset (4)
//! ```
//!
//! An entry says that the batch with this offset has this largest timestamp, and none before it a larger one.

use std::io;
use std::path::Path;

use super::index::{Entries, finish, open_log};
use super::report::Report;
use super::source::Source;
use super::walk::{self, Met};
use super::{Options, Stop, base_offset};

/// Shows a time index.
pub(super) fn dump(path: &Path, options: Options, report: &mut Report<'_>) -> Result<(), Stop> {
    let base = base_offset(path).unwrap_or(0);
    let mut entries = Entries::<12>::open(path, report)?;
    let log = if options.verify { open_log(path, report)? } else { None };
    let mut log = log.map(LogTimes::new);
    let mut last: Option<(i64, u32)> = None;
    let mut count = 0;
    while let Some((at, entry)) = entries.next().map_err(Stop::Input)? {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = entry;
        let timestamp = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let relative = u32::from_be_bytes([i, j, k, l]);
        let offset = base.saturating_add(i64::from(relative));
        let line = format!("timestamp: {timestamp} offset: {offset}");
        if options.show {
            report.line(&line).map_err(Stop::Output)?;
        }
        if last.is_some_and(|(before, place)| before >= timestamp || place >= relative) {
            report.damage(at, format_args!("entry does not rise: {line}")).map_err(Stop::Output)?;
        } else if let Some(log) = &mut log {
            if let Some(reason) = log.compare(timestamp, offset).map_err(Stop::Input)? {
                report.damage(at, format_args!("{line}: {reason}")).map_err(Stop::Output)?;
            }
        }
        last = Some((timestamp, relative));
        count += 1;
    }
    finish(&mut entries, count, options, report)
}

/// The largest timestamps of a log, in one pass beside rising entries.
struct LogTimes {
    log: Source,
    position: u64,
    /// The batch read last.
    met: Option<Met>,
    /// The largest timestamp of the batches before it.
    largest_before: i64,
}

impl LogTimes {
    fn new(log: Source) -> LogTimes {
        LogTimes { log, position: 0, met: None, largest_before: -1 }
    }

    /// What is wrong with an entry; entries come with rising offsets.
    fn compare(&mut self, timestamp: i64, offset: i64) -> io::Result<Option<String>> {
        while self.met.is_none_or(|met| met.last_offset() < offset) {
            if !self.advance()? {
                return Ok(Some("no batch has this offset".to_owned()));
            }
        }
        let Some(met) = &self.met else { return Ok(None) };
        let largest = met.max_timestamp();
        Ok(if met.base_offset() > offset && met.base_offset() != met.last_offset() {
            Some("no batch has this offset".to_owned())
        } else if largest != timestamp {
            Some(format!("the largest timestamp of the batch there is {largest}"))
        } else if self.largest_before > timestamp {
            Some(format!("a batch before has the timestamp {}", self.largest_before))
        } else {
            None
        })
    }

    /// Goes on by one batch, over damage if need be, which is reported where the log itself is shown.
    fn advance(&mut self) -> io::Result<bool> {
        let next_offset = self.met.map_or(0, |met| met.last_offset().saturating_add(1));
        if let Some(met) = &self.met {
            self.largest_before = self.largest_before.max(met.max_timestamp());
        }
        while self.position < self.log.size() {
            match walk::read_head(&mut self.log, self.position)? {
                Ok(met) => {
                    self.position = met.end();
                    self.met = Some(met);
                    return Ok(true);
                }
                Err(_) => {
                    let from = self.position.saturating_add(1);
                    let found = walk::find_batch(&mut self.log, from, next_offset)?;
                    self.position = found.position.unwrap_or(self.log.size());
                }
            }
        }
        Ok(false)
    }
}
