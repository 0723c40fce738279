//! Reading on and on: readers say where the next bytes are before somebody asks, and say only what they would give.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests are their own masters"
)]

use chronik::base::ids::{PartitionId, TopicId};
use chronik::storage::job::{Ahead, Job, LogConfig, Outcome, Read, ReadPart};

#[path = "support/storage.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use support::*;

const PIECE: usize = 1000;
const P: PartitionId = PartitionId { topic: TopicId([1; 16]), index: 0 };

/// Waits until the reader, of which there is one, has done all it was asked. Gives what it has seen ahead last.
fn settled(bench: &Bench, partition: PartitionId) -> Option<Ahead> {
    let strict = Read {
        whole_first_batch: false,
        ..bench.read_job(vec![ReadPart { partition, offset: 0, end: 1, bytes_max: 1 }])
    };
    // This one goes on from nowhere.
    bench.run_read(strict);
    let ahead = || {
        bench.ready(|outcome| match outcome {
            Outcome::Ahead(ahead) => Some(ahead.clone()),
            _ => None,
        })
    };
    std::iter::from_fn(ahead).last()
}

/// Reads at most a piece. Gives the offset behind it, and what the reader has seen ahead, if it has looked.
fn read_on(bench: &Bench, part: ReadPart) -> (i64, Option<Ahead>) {
    settled(bench, part.partition);
    let parts = bench.run_read(bench.read_job(vec![part]));
    let given = batches(&flatten(parts[0].as_ref().unwrap()));
    let (base, count) = *given.last().unwrap();
    (base + i64::from(count), settled(bench, part.partition))
}

/// Storage with one reader and a log of so many batches. Gives the log's end, too.
fn filled(dir: &TempDir, batches: i64) -> (Bench, i64) {
    let bench = one_reader(dir);
    bench.open(P, config());
    let end = fill(&bench, P, batches);
    (bench, end)
}

fn one_reader(dir: &TempDir) -> Bench {
    let options = chronik::storage::pool::Options { readers: 1, ..options(&dir.0) };
    Bench::try_start(options).unwrap()
}

fn part(partition: PartitionId, offset: i64, end: i64) -> ReadPart {
    ReadPart { partition, offset, end, bytes_max: PIECE }
}

/// Batches of one to four records, so that pieces differ.
fn fill(bench: &Bench, p: PartitionId, batches: i64) -> i64 {
    let mut next = 0;
    for number in 0..batches {
        let count = 1 + number % 4;
        bench.append(p, batch(next, count)).unwrap();
        next += count;
    }
    next
}

/// Reads a log from its beginning up to a watermark. Gives how many reads had pieces seen ahead, each of which is what a
/// read gives.
fn read_all(bench: &Bench, p: PartitionId, end: i64) -> usize {
    let (mut offset, mut looked) = (0, 0);
    while offset < end {
        let (next, ahead) = read_on(bench, part(p, offset, end));
        offset = next;
        let Some(ahead) = ahead else { continue };
        looked += 1;
        assert_eq!(ahead.partition, p);
        assert_eq!(ahead.begins[0].0, offset, "it goes on where the read has stopped");
        assert!(ahead.end.0 <= end, "nothing beyond the watermark");
        let ends = ahead.begins.iter().skip(1).chain([&ahead.end]);
        for ((offset, from), (next, to)) in ahead.begins.iter().zip(ends) {
            let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
            assert!(bytes.len() <= PIECE);
            ahead.file.read_at(&mut bytes, *from).unwrap();
            let read = bench.read(p, *offset, PIECE).unwrap();
            assert!(read.starts_with(&bytes), "from {offset} to {next}");
            // A read goes on in the next segment, or behind the watermark; what is seen ahead does not.
            let is_all = read.len() == bytes.len() || *next == ahead.end.0;
            assert!(is_all, "{} of {} bytes from {offset} on", bytes.len(), read.len());
            let (base, count) = *batches(&bytes).last().unwrap();
            assert_eq!(base + i64::from(count), *next);
        }
    }
    looked
}

#[test]
fn what_is_seen_ahead_is_what_a_read_gives() {
    let dir = TempDir::new();
    let (bench, end) = filled(&dir, 60);
    let looked = read_all(&bench, P, end);
    assert!(looked > 3, "{looked} looks ahead");
    let split = PartitionId { index: 1, ..P };
    bench.open(split, LogConfig { segment_bytes: 4000, ..config() });
    let end = fill(&bench, split, 60);
    let looked = read_all(&bench, split, end);
    assert!(looked > 3, "{looked} looks ahead in several segments");
    bench.stop();
}

#[test]
fn nothing_is_seen_ahead_for_who_reads_here_and_there() {
    let dir = TempDir::new();
    let (bench, end) = filled(&dir, 60);
    for offset in [50, 3, 77, 21] {
        let (_, ahead) = read_on(&bench, part(P, offset, end));
        assert!(ahead.is_none(), "offset {offset}");
    }
    bench.stop();
}

#[test]
fn a_watermark_ends_what_is_seen_ahead() {
    let dir = TempDir::new();
    let (bench, end) = filled(&dir, 120);
    let watermark = end / 2;
    let looked = read_all(&bench, P, watermark);
    assert!(looked > 3, "{looked} looks ahead");
    bench.stop();
}

#[test]
fn what_has_not_been_checked_since_the_start_is_not_seen_ahead() {
    let dir = TempDir::new();
    let (bench, end) = filled(&dir, 60);
    bench.stop();
    let bench = one_reader(&dir);
    bench.open(P, config());
    // Each read checks its own piece, and the batch behind it that does not fit any more.
    let (first, second) = (read_all(&bench, P, end), read_all(&bench, P, end));
    assert!(first <= 2 && second > 3, "{first} looks ahead, then {second}");
    bench.stop();
}

#[test]
fn damage_ends_what_is_seen_ahead() {
    let dir = TempDir::new();
    let (bench, end) = filled(&dir, 60);
    bench.stop();
    let path = dir.0.join(format!("topic-0/{:020}.log", 0));
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let bench = one_reader(&dir);
    bench.open(P, config());
    let middle = u64::try_from(middle).unwrap();
    let mut looked = 0;
    for _ in 0..2 {
        let mut offset = 0;
        while bench.read(P, offset, PIECE).is_ok() {
            let (next, ahead) = read_on(&bench, part(P, offset, end));
            looked += usize::from(ahead.is_some());
            assert!(ahead.is_none_or(|ahead| ahead.end.1 <= middle));
            offset = next;
        }
        assert!(offset > 0 && offset < end);
    }
    assert!(looked > 0);
    bench.stop();
}

#[test]
fn a_removed_partition_is_not_seen_ahead() {
    let dir = TempDir::new();
    let (bench, end) = filled(&dir, 60);
    let (next, _) = read_on(&bench, part(P, 0, end));
    let (_, ahead) = read_on(&bench, part(P, next, end));
    assert!(ahead.is_some(), "so it would be");
    let ticket = bench.ticket();
    bench.storage.submit(Job::Remove { ticket, partition: P });
    bench.wait(|outcome| matches!(outcome, Outcome::Removed { .. }).then_some(()));
    let results = bench.run_read(bench.read_job(vec![part(P, next, end)]));
    assert!(results[0].is_err());
    assert!(settled(&bench, P).is_none());
    bench.stop();
}
