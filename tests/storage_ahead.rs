//! Reading on and on: readers say where the next bytes are before somebody asks, and say only what they would give.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests are their own masters"
)]

use chronik::base::ids::PartitionId;
use chronik::base::payload::Payload;
use chronik::storage::job::{Ahead, Job, LogConfig, Outcome, Read, ReadPart};

#[path = "support/storage.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use support::*;

const PIECE: usize = 1000;

/// A read, and what the reader has seen ahead, if it has looked. A second read that does not go on follows, and says
/// that the reader is done.
fn read_on(bench: &Bench, read: Read) -> (Vec<Payload>, Option<Ahead>) {
    let (partition, ticket) = (read.parts[0].partition, read.ticket);
    bench.storage.submit(Job::Read(read));
    let mut seen = None;
    let parts = loop {
        let next = bench.wait(|outcome| match outcome {
            Outcome::Ahead(ahead) => Some(Err(ahead.clone())),
            Outcome::Read { ticket: t, parts, .. } if *t == ticket => Some(Ok(parts.clone())),
            _ => None,
        });
        match next {
            Ok(parts) => break parts,
            Err(ahead) => seen = Some(ahead),
        }
    };
    // There is one reader: when this is answered, it has looked.
    let last = ReadPart { partition, offset: 0, end: 1, bytes_max: 1 };
    let mut strict = bench.read_job(vec![last]);
    strict.whole_first_batch = false;
    bench.run_read(strict);
    while let Some(ahead) = bench.ready(|outcome| match outcome {
        Outcome::Ahead(ahead) => Some(ahead.clone()),
        _ => None,
    }) {
        seen = Some(ahead);
    }
    (parts[0].clone().unwrap(), seen)
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

/// Reads a log from its beginning. Gives how many reads had pieces seen ahead, each of which is what a read gives.
fn read_all(bench: &Bench, p: PartitionId, end: i64) -> usize {
    let (mut offset, mut looked) = (0, 0);
    while offset < end {
        let (payloads, ahead) = read_on(bench, bench.read_job(vec![part(p, offset, end)]));
        let given = batches(&flatten(&payloads));
        let (base, count) = *given.last().unwrap();
        offset = base + i64::from(count);
        let Some(ahead) = ahead else { continue };
        looked += 1;
        assert_eq!(ahead.partition, p);
        assert_eq!(ahead.begins[0].0, offset, "it goes on where the read has stopped");
        let ends = ahead.begins.iter().skip(1).chain([&ahead.end]);
        for ((offset, from), (next, to)) in ahead.begins.iter().zip(ends) {
            let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
            assert!(bytes.len() <= PIECE);
            ahead.file.read_at(&mut bytes, *from).unwrap();
            let read = bench.read(p, *offset, PIECE).unwrap();
            assert!(read.starts_with(&bytes), "from {offset} to {next}");
            // A read goes on in the next segment; what is seen ahead lies in one.
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
    let bench = one_reader(&dir);
    let p = partition(1);
    for (number, config) in
        [config(), LogConfig { segment_bytes: 4000, ..config() }].into_iter().enumerate()
    {
        let p = PartitionId { index: i32::try_from(number).unwrap(), ..p };
        bench.open(p, config);
        let end = fill(&bench, p, 60);
        let looked = read_all(&bench, p, end);
        assert!(looked > 3, "{looked} looks ahead");
    }
    bench.stop();
}

#[test]
fn nothing_is_seen_ahead_for_who_reads_here_and_there() {
    let dir = TempDir::new();
    let bench = one_reader(&dir);
    let p = partition(1);
    bench.open(p, config());
    let end = fill(&bench, p, 60);
    for offset in [50, 3, 77, 21] {
        let (_, ahead) = read_on(&bench, bench.read_job(vec![part(p, offset, end)]));
        assert!(ahead.is_none(), "offset {offset}");
    }
    bench.stop();
}

#[test]
fn a_watermark_ends_what_is_seen_ahead() {
    let dir = TempDir::new();
    let bench = one_reader(&dir);
    let p = partition(1);
    bench.open(p, config());
    fill(&bench, p, 60);
    let (payloads, _) = read_on(&bench, bench.read_job(vec![part(p, 0, 30)]));
    let (base, count) = *batches(&flatten(&payloads)).last().unwrap();
    let next = base + i64::from(count);
    let (_, ahead) = read_on(&bench, bench.read_job(vec![part(p, next, 30)]));
    assert!(ahead.is_none_or(|ahead| ahead.end.0 <= 30));
    bench.stop();
}

#[test]
fn what_has_not_been_checked_since_the_start_is_not_seen_ahead() {
    let dir = TempDir::new();
    let bench = one_reader(&dir);
    let p = partition(1);
    bench.open(p, config());
    let end = fill(&bench, p, 60);
    bench.stop();
    let bench = one_reader(&dir);
    bench.open(p, config());
    // Each read checks its own piece, and the batch behind it that does not fit any more.
    let (first, second) = (read_all(&bench, p, end), read_all(&bench, p, end));
    assert!(first <= 2 && second > 3, "{first} looks ahead, then {second}");
    bench.stop();
}

#[test]
fn damage_ends_what_is_seen_ahead() {
    let dir = TempDir::new();
    let bench = one_reader(&dir);
    let p = partition(1);
    bench.open(p, config());
    let end = fill(&bench, p, 60);
    bench.stop();
    let path = dir.0.join(format!("topic-0/{:020}.log", 0));
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let bench = one_reader(&dir);
    bench.open(p, config());
    for _ in 0..2 {
        let mut offset = 0;
        loop {
            let read = bench.read_job(vec![part(p, offset, end)]);
            let Ok(found) = bench.read(p, offset, PIECE) else { break };
            let (_, ahead) = read_on(&bench, read);
            let to = ahead.map_or(0, |ahead| ahead.end.1);
            assert!(to <= u64::try_from(middle).unwrap());
            let (base, count) = *batches(&found).last().unwrap();
            offset = base + i64::from(count);
        }
        assert!(offset > 0 && offset < end);
    }
    bench.stop();
}

#[test]
fn a_removed_partition_is_not_seen_ahead() {
    let dir = TempDir::new();
    let bench = one_reader(&dir);
    let p = partition(1);
    bench.open(p, config());
    let end = fill(&bench, p, 60);
    read_on(&bench, bench.read_job(vec![part(p, 0, end)]));
    let ticket = bench.ticket();
    bench.storage.submit(Job::Remove { ticket, partition: p });
    bench.wait(|outcome| matches!(outcome, Outcome::Removed { .. }).then_some(()));
    let results = bench.run_read(bench.read_job(vec![part(p, 4, end)]));
    assert!(results[0].is_err());
    bench.stop();
}
