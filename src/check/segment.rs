//! One segment: every batch of it, and what stands between them.

use std::io;
use std::path::Path;

use super::report::{Place, Report, Tally};
use crate::dump_log::source::Source;
use crate::dump_log::walk::{self, Head, Met};

/// What is expected of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    /// The offset in its name.
    pub(super) base: i64,
    /// Where the next segment begins; `None`: there is none.
    pub(super) end: Option<i64>,
    /// Whether compaction may have removed records.
    pub(super) gaps: bool,
    /// What lies at or above this byte may still be being written.
    pub(super) settled: u64,
}

/// What a segment was found to hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// The offset behind its last batch.
    pub(super) next: i64,
    /// Leader epochs and the first offset of each.
    pub(super) epochs: Vec<(i32, i64)>,
    /// Bytes of the file.
    pub(super) size: u64,
}

/// Looks at all batches of a segment; `visit` gets those that are good, with their bytes if it wants them.
pub(super) fn check(
    path: &Path,
    expected: Expected,
    tally: &mut Tally,
    report: &mut Report<'_>,
    visit: &mut dyn FnMut(&mut Source, &Met, &mut Report<'_>) -> io::Result<()>,
) -> io::Result<Found> {
    let mut source = Source::open(path)?;
    let size = source.size();
    let mut found = Found { next: expected.base, epochs: Vec::new(), size };
    let (mut position, mut epoch) = (0, -1);
    while position < size {
        let (to, met) = step(&mut source, position, found.next, expected)?;
        report.read(to.saturating_sub(position));
        let Some(met) = met else {
            let next = first_offset(&mut source, to, expected, found.next)?;
            tell(path, (position, to), (found.next, next), expected, report)?;
            (position, found.next) = (to, next);
            continue;
        };
        if met.base_offset() > found.next && !expected.gaps {
            let place = Place::lost(position, found.next, met.base_offset());
            report.damage(path, place, "records are missing")?;
        }
        if let Head::Batch(header) = &met.head {
            let own = header.partition_leader_epoch;
            if own < epoch {
                let what = format_args!("leader epoch {own} follows {epoch}");
                report.damage(path, Place::byte(position), what)?;
            }
            if own > epoch {
                found.epochs.push((own, met.base_offset()));
            }
            epoch = epoch.max(own);
            tally.records += u64::try_from(header.record_count).unwrap_or(0);
        }
        tally.batches += 1;
        visit(&mut source, &met, report)?;
        found.next = met.last_offset().saturating_add(1);
        position = to;
    }
    if let Some(end) = expected.end.filter(|end| found.next < *end && !expected.gaps) {
        let place = Place::lost(position, found.next, end);
        report.damage(path, place, "records are missing at the end")?;
    }
    tally.segments += 1;
    tally.bytes += size;
    Ok(found)
}

/// The good batch at a position, and where it ends; or none, and where the next one begins.
fn step(
    source: &mut Source,
    position: u64,
    next: i64,
    expected: Expected,
) -> io::Result<(u64, Option<Met>)> {
    let size = source.size();
    let head = walk::read_head(source, position)?.ok();
    if let Some(met) = head {
        if belongs(&met, next, expected) && walk::is_valid(source, &met)? {
            return Ok((met.end(), Some(met)));
        }
        // Most often its length is right.
        if let Ok(behind) = walk::read_head(source, met.end())? {
            if belongs(&behind, next, expected) && walk::is_valid(source, &behind)? {
                return Ok((met.end(), None));
            }
        }
    }
    let mut from = position.saturating_add(1);
    while let Some(at) = walk::find_batch(source, from, next)?.position {
        if walk::read_head(source, at)?.is_ok_and(|met| belongs(&met, next, expected)) {
            return Ok((at, None));
        }
        from = at.saturating_add(1);
    }
    Ok((size, None))
}

fn belongs(met: &Met, next: i64, expected: Expected) -> bool {
    let delta = met.last_offset().checked_sub(met.base_offset());
    let in_range = met.last_offset().saturating_sub(expected.base) <= i64::from(i32::MAX);
    let below = expected.end.is_none_or(|end| met.last_offset() < end);
    met.base_offset() >= next && delta.is_some_and(|delta| delta >= 0) && in_range && below
}

/// The first offset behind damage.
fn first_offset(
    source: &mut Source,
    position: u64,
    expected: Expected,
    next: i64,
) -> io::Result<i64> {
    let met = walk::read_head(source, position)?;
    Ok(met.map_or(expected.end.unwrap_or(next), |met| met.base_offset()).max(next))
}

fn tell(
    path: &Path,
    (from, to): (u64, u64),
    (first, next): (i64, i64),
    expected: Expected,
    report: &mut Report<'_>,
) -> io::Result<()> {
    let bytes = to.saturating_sub(from);
    if from >= expected.settled {
        let what = format_args!("{bytes} bytes above the durable mark are no batch (yet)");
        return report.note(path, Place::byte(from), what);
    }
    let what = format_args!("{bytes} bytes are no good batch");
    report.damage(path, Place::lost(from, first, next), what)
}
