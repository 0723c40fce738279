//! One partition's directory: its segments one after the other, and what stands beside them.

use std::io;
use std::path::{Path, PathBuf};

use super::journal::{self, Journal};
use super::report::{Place, Report, Tally};
use super::segment::{self, Expected, Found};
use crate::base::ids::TopicId;
use crate::dump_log::source::{self, Source, as_u64};
use crate::dump_log::values::Contents;
use crate::dump_log::walk::{Head, Met};
use crate::dump_log::{base_offset, damage_in};
use crate::storage::checkpoint::{EpochCheckpoint, LEADER_EPOCHS};
use crate::storage::manifest::ManifestPartition;
use crate::storage::marks::Mark;
use crate::storage::meta::{PARTITION_METADATA, PartitionMetadata};

/// The largest file of leader epochs that is read.
const EPOCHS_BYTES_MAX: usize = 16 << 20;

/// What else is known of a partition.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known<'a> {
    /// Its durable mark.
    pub(super) mark: Option<&'a Mark>,
    /// What the manifest of a clean stop says.
    pub(super) manifest: Option<&'a ManifestPartition>,
    /// Whether its topic is compacted, or may have been.
    pub(super) gaps: bool,
}

/// Whose a directory says that it is.
pub(super) fn owner(dir: &Path) -> Option<TopicId> {
    let mut source = Source::open(&dir.join(PARTITION_METADATA)).ok()?;
    let bytes = source.peek(0, 1 << 16).ok()?;
    PartitionMetadata::decode(bytes).ok().map(|metadata| metadata.topic_id)
}

/// Looks at a partition's directory. Gives the end of its log.
pub(super) fn check(
    dir: &Path,
    name: &str,
    known: &Known<'_>,
    journal: Option<&mut Journal>,
    report: &mut Report<'_>,
) -> io::Result<()> {
    let files = source::list(dir)?;
    let mut tally = Tally::default();
    let logs: Vec<(i64, PathBuf)> = files
        .iter()
        .filter(|path| path.extension().is_some_and(|kind| kind == "log"))
        .filter_map(|path| Some((base_offset(path)?, path.clone())))
        .collect();
    check_missing(dir, &logs, known, report)?;
    let mut reader = Reader { contents: Contents::of_directory(&dir.join("log")), journal };
    let mut epochs: Vec<(i32, i64)> = Vec::new();
    let mut end = logs.first().map_or(0, |(base, _)| *base);
    for (number, (base, path)) in logs.iter().enumerate() {
        let next = logs.get(number + 1).map(|(base, _)| *base);
        let expected = known.expected(*base, next);
        let mut visit = |source: &mut Source, met: &Met, report: &mut Report<'_>| {
            reader.read(path, source, met, report)
        };
        let found = match segment::check(path, expected, &mut tally, report, &mut visit) {
            Ok(found) => found,
            Err(error) => {
                report.damage(path, Place::default(), format_args!("cannot be read: {error}"))?;
                continue;
            }
        };
        check_size(path, *base, &found, known, report)?;
        for epoch in found.epochs {
            if epochs.last().is_none_or(|last| last.0 < epoch.0) {
                epochs.push(epoch);
            }
        }
        end = end.max(found.next);
    }
    check_ends(dir, end, known, report)?;
    for path in files.iter().filter(|path| path.extension().is_none_or(|kind| kind != "log")) {
        check_beside(path, end, known, report)?;
    }
    check_epochs(&dir.join(LEADER_EPOCHS), &epochs, report)?;
    report.partition(name, &tally)
}

impl Known<'_> {
    fn expected(&self, base: i64, next: Option<i64>) -> Expected {
        let of_manifest = self.manifest.map(|manifest| manifest.log_end);
        let of_mark = self.mark.filter(|mark| mark.segment_base == base).map(|mark| mark.end);
        // A mark is behind its log: only a manifest tells where the last segment ends.
        let end = next.or(of_manifest);
        let settled = match (of_manifest, self.mark) {
            (Some(_), _) => u64::MAX,
            (None, Some(mark)) if mark.segment_base > base => u64::MAX,
            (None, Some(mark)) if of_mark.is_some() => mark.segment_bytes,
            _ => 0,
        };
        Expected { base, end, gaps: self.gaps, settled }
    }
}

/// Segments that the manifest or the mark know and that are not there.
fn check_missing(
    dir: &Path,
    logs: &[(i64, PathBuf)],
    known: &Known<'_>,
    report: &mut Report<'_>,
) -> io::Result<()> {
    let has = |base: i64| logs.iter().any(|(known, _)| *known == base);
    if let Some(manifest) = known.manifest {
        let ends = manifest.segments.iter().skip(1).map(|segment| segment.base);
        for (segment, end) in manifest.segments.iter().zip(ends.chain([manifest.log_end])) {
            if segment.bytes > 0 && !has(segment.base) {
                let path = dir.join(format!("{:020}.log", segment.base));
                let place = Place::lost(0, segment.base, end);
                report.damage(&path, place, "the file is missing")?;
            }
        }
        return Ok(());
    }
    let Some(mark) = known.mark else { return Ok(()) };
    if mark.segment_bytes > 0 && !has(mark.segment_base) {
        let path = dir.join(format!("{:020}.log", mark.segment_base));
        report.damage(&path, Place::lost(0, mark.segment_base, mark.end), "the file is missing")?;
    }
    let first = logs.first().map_or(mark.segment_base, |(base, _)| *base);
    if mark.log_start < first {
        let place = Place { position: None, offsets: Some((mark.log_start, first)) };
        report.damage(dir, place, "the first segments are missing")?;
    }
    Ok(())
}

fn check_size(
    path: &Path,
    base: i64,
    found: &Found,
    known: &Known<'_>,
    report: &mut Report<'_>,
) -> io::Result<()> {
    if let Some(manifest) = known.manifest {
        let told = manifest.segments.iter().find(|segment| segment.base == base);
        return match told {
            None => report.damage(path, Place::default(), "the manifest knows no such segment"),
            Some(told) if told.bytes != found.size => {
                let what = format_args!("{} bytes, the manifest says {}", found.size, told.bytes);
                report.damage(path, Place::byte(found.size), what)
            }
            Some(_) => Ok(()),
        };
    }
    match known.mark {
        Some(mark) if mark.segment_base == base && found.size < mark.segment_bytes => {
            let what =
                format_args!("{} bytes, {} were on the disk", found.size, mark.segment_bytes);
            report.damage(path, Place::lost(found.size, found.next, mark.end), what)
        }
        _ => Ok(()),
    }
}

/// A log that begins behind its end.
fn check_ends(dir: &Path, end: i64, known: &Known<'_>, report: &mut Report<'_>) -> io::Result<()> {
    let start = known.manifest.map(|manifest| manifest.log_start);
    let start = start.or(known.mark.map(|mark| mark.log_start)).unwrap_or(0);
    if start > end.max(known.mark.map_or(0, |mark| mark.end)) {
        let what = format_args!("the log begins at {start}, behind its end at {end}");
        return report.damage(dir, Place::default(), what);
    }
    Ok(())
}

/// Indexes, snapshots and the other files.
fn check_beside(
    path: &Path,
    end: i64,
    known: &Known<'_>,
    report: &mut Report<'_>,
) -> io::Result<()> {
    let is_kind = |kind: &str| path.extension().is_some_and(|extension| extension == kind);
    // A crash may tear these above the mark; they are made anew then.
    let is_index = is_kind("index") || is_kind("timeindex") || is_kind("txnindex");
    let base = base_offset(path);
    let is_open = known.manifest.is_none()
        && known.mark.is_none_or(|mark| base.is_none_or(|base| base >= mark.segment_base));
    let found = match damage_in(path) {
        Ok(found) => found,
        Err(error) => {
            return report.damage(path, Place::default(), format_args!("cannot be read: {error}"));
        }
    };
    for damage in found {
        let place = Place { position: damage.position, offsets: None };
        if is_open && (is_index || is_kind("snapshot") || is_kind("batches")) {
            report.note(path, place, damage.what)?;
        } else {
            report.damage(path, place, damage.what)?;
        }
    }
    if is_kind("snapshot") && base.is_some_and(|base| base > end) && !is_open {
        report.damage(path, Place::default(), "a snapshot from behind the end of the log")?;
    }
    Ok(())
}

/// The epochs that the batches carry are those of the checkpoint.
fn check_epochs(path: &Path, epochs: &[(i32, i64)], report: &mut Report<'_>) -> io::Result<()> {
    let bytes = match Source::open(path) {
        Ok(mut source) => source.peek(0, EPOCHS_BYTES_MAX)?.to_vec(),
        Err(_) => return Ok(()),
    };
    // That it cannot be read is told already.
    let Ok(checkpoint) = EpochCheckpoint::decode(&bytes) else { return Ok(()) };
    for (epoch, offset) in epochs {
        let at = checkpoint.epochs.partition_point(|(_, from)| from <= offset);
        let told = at.checked_sub(1).and_then(|last| checkpoint.epochs.get(last));
        if told.is_some_and(|(told, _)| told != epoch) || (told.is_none() && *epoch > 0) {
            let told = told.map_or("none".to_owned(), |(epoch, _)| epoch.to_string());
            let what =
                format_args!("offset {offset} has leader epoch {epoch}, this file says {told}");
            report.damage(path, Place::default(), what)?;
        }
    }
    Ok(())
}

/// What is done with the records of a good batch.
struct Reader<'a> {
    contents: Option<Contents>,
    journal: Option<&'a mut Journal>,
}

impl Reader<'_> {
    fn read(
        &mut self,
        path: &Path,
        source: &mut Source,
        met: &Met,
        report: &mut Report<'_>,
    ) -> io::Result<()> {
        let Head::Batch(header) = &met.head else { return Ok(()) };
        if header.is_control() || as_u64(met.size) > source.size() {
            return Ok(());
        }
        let read = match (&mut self.journal, self.contents) {
            (Some(journal), _) => journal.note(source, met)?,
            (None, Some(contents)) => journal::read(contents, source, met)?,
            (None, None) => Ok(()),
        };
        match read {
            Ok(()) => Ok(()),
            Err(reason) => report.damage(path, Place::byte(met.position), reason),
        }
    }
}
