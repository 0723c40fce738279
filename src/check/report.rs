//! What was found: lines for people or objects for programs, and the totals.

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::path::Path;

use super::Verdict;

/// Bytes read between two lines of progress.
const PROGRESS_BYTES: u64 = 1 << 30;

/// Where something is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// Bytes before it.
    pub(super) position: Option<u64>,
    /// The offsets that are concerned: the first, and the next that is not.
    pub(super) offsets: Option<(i64, i64)>,
}

impl Place {
    /// A byte of a file.
    pub(super) fn byte(position: u64) -> Place {
        Place { position: Some(position), offsets: None }
    }

    /// A byte of a log, and the offsets that should be there.
    pub(super) fn lost(position: u64, first: i64, next: i64) -> Place {
        Place { position: Some(position), offsets: Some((first, next)) }
    }

    /// Records that may be lost.
    fn records(&self) -> u64 {
        let (first, next) = self.offsets.unwrap_or_default();
        u64::try_from(next.saturating_sub(first)).unwrap_or(0)
    }
}

/// What was counted of one partition.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) segments: u64,
    pub(super) batches: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    damages: u64,
    lost: u64,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.segments += other.segments;
        self.batches += other.batches;
        self.records += other.records;
        self.bytes += other.bytes;
    }
}

/// Writes findings and counts them.
pub(super) struct Report<'a> {
    out: &'a mut dyn Write,
    progress: &'a mut dyn Write,
    json: bool,
    partitions: u64,
    all: Tally,
    /// Damage in the partition that is being looked at.
    here: Tally,
    bytes_read: u64,
}

impl<'a> Report<'a> {
    /// A report without findings.
    pub(super) fn new(
        out: &'a mut dyn Write,
        progress: &'a mut dyn Write,
        json: bool,
    ) -> Report<'a> {
        let (all, here) = (Tally::default(), Tally::default());
        Report { out, progress, json, partitions: 0, all, here, bytes_read: 0 }
    }

    /// Something is not as it should be.
    pub(super) fn damage(
        &mut self,
        path: &Path,
        place: Place,
        what: impl Display,
    ) -> io::Result<()> {
        self.all.damages += 1;
        self.here.damages += 1;
        self.all.lost += place.records();
        self.here.lost += place.records();
        self.line("damage", path, place, &what)
    }

    /// Something that is worth knowing, and no damage.
    pub(super) fn note(&mut self, path: &Path, place: Place, what: impl Display) -> io::Result<()> {
        self.line("note", path, place, &what)
    }

    fn line(
        &mut self,
        kind: &str,
        path: &Path,
        place: Place,
        what: &dyn Display,
    ) -> io::Result<()> {
        let Place { position, offsets } = place;
        if self.json {
            write!(self.out, "{{\"type\":\"{kind}\",\"path\":{}", Json(&path.to_string_lossy()))?;
            if let Some(position) = position {
                write!(self.out, ",\"byte\":{position}")?;
            }
            if let Some((first, next)) = offsets {
                write!(self.out, ",\"first_offset\":{first},\"next_offset\":{next}")?;
            }
            return writeln!(self.out, ",\"what\":{}}}", Json(&what.to_string()));
        }
        let kind = if kind == "damage" { "DAMAGE" } else { "note" };
        write!(self.out, "{kind} {}", path.display())?;
        if let Some(position) = position {
            write!(self.out, " byte {position}")?;
        }
        if let Some((first, next)) = offsets {
            write!(self.out, " offsets {first} to {next}")?;
        }
        writeln!(self.out, ": {what}")
    }

    /// All of a partition was looked at.
    pub(super) fn partition(&mut self, name: &str, tally: &Tally) -> io::Result<()> {
        let Tally { damages, lost, .. } = std::mem::take(&mut self.here);
        self.partitions += 1;
        self.all.add(tally);
        let Tally { segments, batches, records, bytes, .. } = tally;
        if self.json {
            return writeln!(
                self.out,
                "{{\"type\":\"partition\",\"name\":{},\"segments\":{segments},\"batches\":{batches},\
                 \"records\":{records},\"bytes\":{bytes},\"damages\":{damages},\"offsets_lost\":{lost}}}",
                Json(name)
            );
        }
        let fate = match damages {
            0 => "sound".to_owned(),
            _ => format!("{damages} DAMAGED, up to {lost} records lost"),
        };
        let counts = format!("{segments} segments, {records} records, {bytes} bytes");
        writeln!(self.out, "{name}: {counts}: {fate}")
    }

    /// So many bytes more were read.
    pub(super) fn read(&mut self, bytes: u64) {
        let before = self.bytes_read / PROGRESS_BYTES;
        self.bytes_read = self.bytes_read.saturating_add(bytes);
        let gigabytes = self.bytes_read / PROGRESS_BYTES;
        if gigabytes > before {
            // Nobody may be watching.
            let _ = writeln!(self.progress, "chronik check: {gigabytes} GiB so far");
        }
    }

    /// The totals.
    pub(super) fn finish(self) -> io::Result<Verdict> {
        let Tally { records, bytes, damages, lost, .. } = self.all;
        let partitions = self.partitions;
        if self.json {
            writeln!(
                self.out,
                "{{\"type\":\"total\",\"partitions\":{partitions},\"records\":{records},\"bytes\":{bytes},\
                 \"damages\":{damages},\"offsets_lost\":{lost}}}"
            )?;
        } else {
            let counts = format!("{partitions} partitions, {records} records, {bytes} bytes");
            writeln!(self.out, "total: {counts}: {damages} damaged, up to {lost} records lost")?;
        }
        Ok(if damages == 0 { Verdict::Sound } else { Verdict::Damaged })
    }
}

/// A text as JSON has it.
struct Json<'a>(&'a str);

impl Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}
