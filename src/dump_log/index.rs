//! Offset indexes, against the log beside them, and transaction indexes.
//!
//! ```text
//!  .index     offset - base offset (4), position of its batch (4)
//!  .txnindex  version (2, 0), producer id (8), first offset (8), last offset (8), last stable offset (8)
//! ```
//!
//! An index that a broker still had open may end in zeros, space reserved for entries to come.

use std::io;
use std::path::Path;

use super::report::Report;
use super::source::{Source, as_u64};
use super::walk;
use super::{Options, Stop, base_offset};

const TRANSACTION_ENTRY_BYTES: usize = 34;

/// The entries of an index, of `N` bytes each.
pub(super) struct Entries<const N: usize> {
    source: Source,
    position: u64,
}

impl<const N: usize> Entries<N> {
    /// The entries of the file at `path`; a broken one at the end is reported.
    pub(super) fn open(path: &Path, report: &mut Report<'_>) -> Result<Entries<N>, Stop> {
        let source = Source::open(path).map_err(Stop::Input)?;
        let extra = source.size() % as_u64(N).max(1);
        if extra > 0 {
            let what = format_args!("{extra} bytes left over behind the last entry");
            report.damage(source.size() - extra, what).map_err(Stop::Output)?;
        }
        Ok(Entries { source, position: 0 })
    }

    /// The next entry and its position. `None`: there are no more, or only zeros. The first entry of all may be zeros
    /// and still be one: the time 1970 at the base offset.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, [u8; N])>> {
        let position = self.position;
        let pair = self.source.peek(position, 2 * N)?;
        let (entry, next) = pair.split_at(N.min(pair.len()));
        let may_be_zeros = position == 0 && (next.is_empty() || next.iter().any(|byte| *byte != 0));
        let entry = entry.first_chunk::<N>().filter(|entry| may_be_zeros || **entry != [0; N]);
        let entry = entry.copied();
        if entry.is_some() {
            self.position = position.saturating_add(as_u64(N));
        }
        Ok(entry.map(|entry| (position, entry)))
    }

    /// Behind the zeros that ended the entries there may be nothing else.
    pub(super) fn check_rest(&mut self, report: &mut Report<'_>) -> Result<(), Stop> {
        while self.position < self.source.size() {
            let chunk = self.source.peek(self.position, super::source::WINDOW_BYTES);
            let chunk = chunk.map_err(Stop::Input)?;
            if let Some(at) = chunk.iter().position(|byte| *byte != 0) {
                let position = self.position.saturating_add(as_u64(at));
                return report.damage(position, "an entry behind zeros").map_err(Stop::Output);
            }
            self.position = self.position.saturating_add(as_u64(chunk.len().max(1)));
        }
        Ok(())
    }
}

/// The log that an index belongs to; its absence is reported.
pub(super) fn open_log(path: &Path, report: &mut Report<'_>) -> Result<Option<Source>, Stop> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (stem, rest) = name.split_once('.').unwrap_or((name, ""));
    let suffix = rest.split_once('.').map_or(String::new(), |(_, suffix)| format!(".{suffix}"));
    let log = path.with_file_name(format!("{stem}.log{suffix}"));
    match Source::open(&log) {
        Ok(source) => Ok(Some(source)),
        Err(error) => report.unreadable(&log, &error).map(|()| None).map_err(Stop::Output),
    }
}

/// Shows an offset index.
pub(super) fn dump_offsets(
    path: &Path,
    options: Options,
    report: &mut Report<'_>,
) -> Result<(), Stop> {
    let base = base_offset(path).unwrap_or(0);
    let mut entries = Entries::<8>::open(path, report)?;
    let mut log = if options.verify { open_log(path, report)? } else { None };
    let mut last: Option<(u32, u32)> = None;
    let mut count = 0;
    while let Some((at, entry)) = entries.next().map_err(Stop::Input)? {
        let [a, b, c, d, e, f, g, h] = entry;
        let (relative, position) =
            (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        let offset = base.saturating_add(i64::from(relative));
        let line = format!("offset: {offset} position: {position}");
        if options.show {
            report.line(&line).map_err(Stop::Output)?;
        }
        if last.is_some_and(|(before, place)| before >= relative || place >= position) {
            report.damage(at, format_args!("entry does not rise: {line}")).map_err(Stop::Output)?;
        }
        if let Some(log) = &mut log {
            if let Some(reason) = compare(log, offset, u64::from(position)).map_err(Stop::Input)? {
                report.damage(at, format_args!("{line}: {reason}")).map_err(Stop::Output)?;
            }
        }
        last = Some((relative, position));
        count += 1;
    }
    finish(&mut entries, count, options, report)
}

/// The end of an index: nothing but zeros may follow.
pub(super) fn finish<const N: usize>(
    entries: &mut Entries<N>,
    count: u64,
    options: Options,
    report: &mut Report<'_>,
) -> Result<(), Stop> {
    if options.verify {
        entries.check_rest(report)?;
        report.line(format_args!("{count} entries")).map_err(Stop::Output)?;
    }
    Ok(())
}

/// What is wrong with an entry, as the log has it: a search for its offset or a later one starts at its position,
/// so a whole batch must begin there, and not behind the offset.
fn compare(log: &mut Source, offset: i64, position: u64) -> io::Result<Option<String>> {
    if position >= log.size() {
        return Ok(Some(format!("the log ends at {}", log.size())));
    }
    let met = match walk::read_head(log, position)? {
        Ok(met) => met,
        Err(missing) => return Ok(Some(missing.to_string())),
    };
    if !walk::is_valid(log, &met)? {
        return Ok(Some("no whole batch is there".to_owned()));
    }
    // All that is known of an old wrapper is its last offset.
    let first = met.base_offset();
    Ok((first > offset).then(|| format!("the batch there begins at offset {first}")))
}

/// Shows a transaction index: the transactions that were aborted.
pub(super) fn dump_transactions(
    path: &Path,
    options: Options,
    report: &mut Report<'_>,
) -> Result<(), Stop> {
    let mut source = Source::open(path).map_err(Stop::Input)?;
    let mut position = 0;
    let mut last_before = -1;
    while position < source.size() {
        let bytes = source.peek(position, TRANSACTION_ENTRY_BYTES).map_err(Stop::Input)?;
        let Some(entry) = AbortedTransaction::read(bytes) else {
            let left = bytes.len();
            return report
                .damage(position, format_args!("{left} bytes left over"))
                .map_err(Stop::Output);
        };
        let line = entry.line();
        if options.show {
            report.line(&line).map_err(Stop::Output)?;
        }
        if entry.version != 0 || entry.first > entry.last || entry.last <= last_before {
            report.damage(position, format_args!("illegal entry: {line}")).map_err(Stop::Output)?;
        }
        last_before = entry.last;
        position = position.saturating_add(as_u64(TRANSACTION_ENTRY_BYTES));
    }
    Ok(())
}

/// An entry of a transaction index.
struct AbortedTransaction {
    version: i16,
    producer_id: i64,
    first: i64,
    last: i64,
    last_stable: i64,
}

impl AbortedTransaction {
    fn read(bytes: &[u8]) -> Option<AbortedTransaction> {
        let i64_at = |at: usize| Some(i64::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        Some(AbortedTransaction {
            version: i16::from_be_bytes(*bytes.first_chunk()?),
            producer_id: i64_at(2)?,
            first: i64_at(10)?,
            last: i64_at(18)?,
            last_stable: i64_at(26)?,
        })
    }

    fn line(&self) -> String {
        format!(
            "version: {} producerId: {} firstOffset: {} lastOffset: {} lastStableOffset: {}",
            self.version, self.producer_id, self.first, self.last, self.last_stable
        )
    }
}
