//! Damage at rest, bit by bit: each bit of a data directory is flipped alone, after a clean stop and after a crash. What is
//! damaged is not served, all else is, and nothing panics.
//!
//! `make bitflips` takes every bit; the ordinary run takes a sample, denser in small files and in the headers of batches;
//! `CHRONIK_BITFLIPS=uncovered` takes all bits that no checksum covers. What cannot be noticed stands in [`UNNOTICED`], with the reason.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a failed expectation is a failed test"
)]

mod disk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use chronik::record::batch::BatchHeader;
use chronik::storage::job::{AppendError, ReadError, TimeTarget};
use chronik::testing::fs::SimFs;
use disk::*;

/// A bit to be flipped.
#[derive(Clone)]
struct Flip {
    path: PathBuf,
    bit: u64,
}

/// What a flipped bit changed without being noticed: the kind of file, and the field.
type Unnoticed = (&'static str, &'static str);

/// Bits that change an answer and that nobody can notice: how many after a clean stop, and after a crash; and why.
const UNNOTICED: &[(Unnoticed, usize, usize, &str)] = &[
    (
        ("log", "leader epoch"),
        101,
        101,
        "Kafka's checksum leaves it out; between two epochs, and at the borders of a segment, its neighbours allow others",
    ),
    (("journal", "leader epoch"), 34, 34, "as in every log"),
    (("meta.properties", "identity"), 276, 276, "text without a checksum: another id is as good"),
    (("epochs", "epochs"), 0, 25, "text without a checksum; after a clean stop the manifest tells"),
];

/// The kind of a file, for the table.
fn kind(path: &Path) -> &'static str {
    let name = path.file_name().unwrap().to_str().unwrap();
    let is_journal = path.to_str().unwrap().contains("__cluster_metadata");
    match path.extension().and_then(|kind| kind.to_str()) {
        Some("log") if is_journal => "journal",
        Some("log") => "log",
        Some("index") => "index",
        Some("timeindex") => "timeindex",
        Some("snapshot") => "snapshot",
        Some("batches") => "batches",
        Some("metadata") => "partition.metadata",
        Some("properties") => "meta.properties",
        _ if name.starts_with("chronik-marks") => "marks",
        _ if name == "chronik-manifest" => "manifest",
        _ if name == "leader-epoch-checkpoint" => "epochs",
        _ if name == ".kafka_cleanshutdown" => "clean marker",
        _ if name.ends_with("-checkpoint") => "Kafka's checkpoints",
        _ => "other",
    }
}

/// The field of a batch's header.
fn field(byte: usize) -> &'static str {
    match byte {
        0..8 => "base offset",
        8..12 => "length",
        12..16 => "leader epoch",
        16 => "magic",
        17..21 => "checksum",
        _ => "what the checksum covers",
    }
}

/// Where in its batch a byte of these batches is.
fn in_batch(batches: &[u8], byte: usize) -> usize {
    let mut start = 0;
    loop {
        let header = BatchHeader::read(&batches[start..]).unwrap();
        let end = start + header.size_in_bytes();
        if byte < end {
            return byte - start;
        }
        start = end;
    }
}

struct Case<'a> {
    flip: &'a Flip,
    content: &'a Content,
    /// The batch that the bit is in.
    hit: Option<&'a Original>,
    /// Where in it.
    byte: usize,
}

impl Case<'_> {
    fn run(&self, disk: &Arc<SimFs>) -> Result<Vec<Unnoticed>, String> {
        let fs = disk.killed();
        assert!(fs.flip_bit(&self.flip.path, self.flip.bit));
        let kind = kind(&self.flip.path);
        let mut node = match Node::start(&fs) {
            Ok(node) => node,
            // Refused as a whole: somebody has to look at this file.
            Err(said) if said.contains("meta.properties") && kind == "meta.properties" => {
                return Ok(Vec::new());
            }
            Err(said) => return Err(format!("the start is refused: {said}")),
        };
        let mut unnoticed = Vec::new();
        if (&node.started.cluster_id, node.started.directory_id)
            != (&self.content.started.cluster_id, self.content.started.directory_id)
        {
            unnoticed.push((kind, "identity"));
        }
        match &node.journal {
            Ok(journal) if *journal == self.content.journal => {}
            Ok(_) if kind == "journal" => {
                unnoticed.push((
                    kind,
                    field(in_batch(&self.content.journal, self.flip.bit as usize / 8)),
                ));
            }
            Ok(_) => return Err("the journal changed".to_owned()),
            Err(_) if kind == "journal" => {}
            Err(error) => return Err(format!("the journal is refused: {error}")),
        }
        let opened = node.open().map_err(|error| error.to_string())?;
        if (opened.log_start, opened.log_end) != (0, self.content.end) {
            return Err(format!("the log is {} to {}", opened.log_start, opened.log_end));
        }
        if opened.epochs != self.content.epochs {
            unnoticed.push((kind, "epochs"));
        }
        unnoticed.extend(self.read_all(&mut node)?);
        self.find_times(&mut node)?;
        self.produce(&mut node)?;
        Ok(unnoticed)
    }

    /// Reads from the start to the end, and on from the next batch where a fetch is refused.
    fn read_all(&self, node: &mut Node) -> Result<Vec<Unnoticed>, String> {
        let mut served = BTreeMap::new();
        let mut offset = 0;
        while offset < self.content.end {
            match node.read(offset) {
                Ok(bytes) if bytes.is_empty() => return Err(format!("nothing at {offset}")),
                Ok(bytes) => {
                    let some = split(&bytes);
                    offset = self.behind(*some.last_key_value().unwrap().0);
                    served.extend(some);
                }
                Err(ReadError::Corrupt) => offset = self.behind(offset),
                Err(error) => return Err(format!("read at {offset}: {error:?}")),
            }
        }
        let mut unnoticed = Vec::new();
        for original in &self.content.batches {
            let is_hit = self.hit.is_some_and(|hit| hit.base == original.base);
            match served.remove(&original.base) {
                Some(bytes) if bytes == original.bytes && !is_hit => {}
                Some(_) if is_hit => unnoticed.push(("log", field(self.byte))),
                Some(_) => return Err(format!("another batch at {}", original.base)),
                None if is_hit => {}
                None => return Err(format!("the batch at {} is not served", original.base)),
            }
        }
        match served.first_key_value() {
            Some((base, _)) => Err(format!("a batch at {base} is invented")),
            None => Ok(unnoticed),
        }
    }

    /// The first offset of the batch behind the one that holds an offset.
    fn behind(&self, offset: i64) -> i64 {
        let batches = &self.content.batches;
        let next = batches.partition_point(|batch| batch.next <= offset);
        batches.get(next).map_or(self.content.end, |batch| batch.next)
    }

    fn find_times(&self, node: &mut Node) -> Result<(), String> {
        let lost = |offset: i64| self.hit.is_some_and(|hit| (hit.base..hit.next).contains(&offset));
        let end = self.content.end;
        for offset in [0, end / 5, end / 3, end / 2, end - 40, end - 1] {
            let expected = if lost(offset) { self.hit.unwrap().next } else { offset };
            let found = node.find_time(TimeTarget::AtOrAfter(NOW + offset));
            let expected = Some(expected).filter(|offset| *offset < end);
            if found != Ok(expected) && !lost(offset) {
                return Err(format!("time of {offset}: {found:?}, not {expected:?}"));
            }
        }
        let largest = if lost(end - 1) { self.hit.unwrap().base - 1 } else { end - 1 };
        let found = node.find_time(TimeTarget::Largest);
        if found != Ok(Some(largest)) && !lost(end - 1) {
            return Err(format!("largest time: {found:?}, not {largest}"));
        }
        Ok(())
    }

    /// A retry of the last batch is recognised, and the producer goes on.
    fn produce(&self, node: &mut Node) -> Result<(), String> {
        let last = self.content.batches.len() as i64 - 1;
        let is_last_hit = self.hit.is_some_and(|hit| hit.next == self.content.end);
        match node.append(topic(), batch(last), 3) {
            Ok(appended) if appended.duplicate || is_last_hit => {}
            Err(AppendError::SequenceGap) if is_last_hit => {}
            other => return Err(format!("a retry: {other:?}")),
        }
        match node.append(topic(), batch(last + 1), 3) {
            Ok(appended) if appended.base_offset >= self.content.end => Ok(()),
            other => Err(format!("the next batch: {other:?}")),
        }
    }
}

/// The bits to be flipped on one disk.
fn flips(fs: &SimFs, content: &Content, all: bool) -> Vec<Flip> {
    let mut flips = Vec::new();
    if std::env::var_os("CHRONIK_BITFLIPS").is_some_and(|which| which == "uncovered") {
        return uncovered(fs, content);
    }
    let skipped = [".lock"];
    for (path, size) in fs.files() {
        let name = path.file_name().unwrap().to_str().unwrap();
        if skipped.contains(&name) {
            continue;
        }
        // A prime, so that no bit of a byte is left out for ever.
        let step = if all { 1 } else { 1009 };
        let small = if size <= 256 { 7 } else { step };
        let step = if all { 1 } else { small };
        flips.extend((0..size * 8).step_by(step).map(|bit| Flip { path: path.clone(), bit }));
    }
    if !all {
        let count = content.batches.len();
        for number in [0, count / 2, count - 1] {
            let batch = &content.batches[number];
            let bits = batch.position * 8..(batch.position + 61) * 8;
            let of_batch = |bit: usize| Flip { path: batch.path.clone(), bit: bit as u64 };
            flips.extend(bits.step_by(7).map(of_batch));
        }
    }
    flips
}

/// The bits that no checksum covers, those before it in each batch and those of the text files; and all of the journal.
fn uncovered(fs: &SimFs, content: &Content) -> Vec<Flip> {
    let bits = |path: &Path, from: u64, to: u64| {
        let path = path.to_owned();
        (from * 8..to * 8).map(move |bit| Flip { path: path.clone(), bit })
    };
    let of_batches = content.batches.iter().flat_map(|batch| {
        let start = batch.position as u64;
        bits(&batch.path, start, start + 21).collect::<Vec<_>>()
    });
    let texts = ["journal", "meta.properties", "epochs", "partition.metadata", "clean marker"];
    let files = fs.files().into_iter().filter(|(path, _)| texts.contains(&kind(path)));
    of_batches
        .chain(files.flat_map(|(path, size)| bits(&path, 0, size).collect::<Vec<_>>()))
        .collect()
}

/// Flips all bits, on as many threads as there are processors. Gives how many were not noticed, by kind and field.
fn flip_all(disk: &Arc<SimFs>, content: &Content, flips: &[Flip]) -> BTreeMap<Unnoticed, usize> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        while let Some(flip) = flips.get(next.fetch_add(1, Ordering::Relaxed)) {
            let at = flip.bit as usize / 8;
            let hit = content.batches.iter().find(|batch| {
                batch.path == flip.path
                    && (batch.position..batch.position + batch.bytes.len()).contains(&at)
            });
            let byte = hit.map_or(0, |hit| at - hit.position);
            let case = Case { flip, content, hit, byte };
            let unnoticed = case.run(disk).unwrap_or_else(|reason| {
                panic!(
                    "{} bit {} (byte {byte} of the batch): {reason}",
                    flip.path.display(),
                    flip.bit
                )
            });
            let mut found = found.lock().unwrap();
            unnoticed.into_iter().for_each(|what| *found.entry(what).or_insert(0) += 1);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter().for_each(|thread| thread.join().unwrap());
    });
    found.into_inner().unwrap()
}

#[test]
fn no_flipped_bit_is_served_and_none_costs_more_than_its_own_batch() {
    let all = std::env::var_os("CHRONIK_BITFLIPS").is_some();
    let (clean, crashed, content) = disks();
    let bytes: u64 = clean.files().iter().map(|(_, size)| size).sum();
    assert!(bytes >= 64 << 10, "{bytes}");
    let mut counts = Vec::new();
    for (name, disk) in [("clean", &clean), ("crashed", &crashed)] {
        let flips = flips(disk, &content, all);
        let started = std::time::Instant::now();
        let unnoticed = flip_all(disk, &content, &flips);
        println!(
            "{name}: {} bits flipped in {:?}; not noticed: {unnoticed:?}",
            flips.len(),
            started.elapsed()
        );
        counts.push(unnoticed);
    }
    for (state, counts) in counts.iter().enumerate() {
        for (what, count) in counts {
            let row = UNNOTICED.iter().find(|row| row.0 == *what);
            let (_, clean, crashed, _) = row.unwrap_or_else(|| panic!("{what:?} is not noticed"));
            let most = if state == 0 { *clean } else { *crashed };
            assert!(*count <= most && (!all || *count == most), "{what:?}: {count}, not {most}");
        }
    }
}
