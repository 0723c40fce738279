//! What readers of committed records are told of aborted transactions, and how seldom that needs a look at a file.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests are their own masters")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chronik::storage::job::{Job, LogConfig, Outcome, Read, ReadPart, Upkeep};

#[path = "support/faulty_fs.rs"]
#[expect(clippy::cast_possible_truncation, reason = "sizes in tests are small")]
mod faulty_fs;
#[path = "support/storage.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use faulty_fs::{Faults, FaultyFs};
use support::*;

/// One batch of a record fills a segment.
fn small() -> LogConfig {
    LogConfig { segment_bytes: 100, ..config() }
}

fn start(dir: &Path) -> (Bench, Arc<Faults>) {
    let fs = FaultyFs::default();
    let faults = Arc::clone(&fs.faults);
    ".txnindex".clone_into(&mut faults.path.lock().unwrap());
    (Bench::start_on(dir, Arc::new(fs)), faults)
}

/// First offset and marker's offset of each aborted transaction that a read of two batches from `offset` is told of.
fn aborted_from(bench: &Bench, offset: i64) -> Vec<(i64, i64)> {
    aborted_in(bench, offset, offset + 2)
}

fn aborted_in(bench: &Bench, offset: i64, end: i64) -> Vec<(i64, i64)> {
    let part = ReadPart { partition: partition(1), offset, end, bytes_max: 1 << 20 };
    let read = Read { committed: true, ..bench.read_job(vec![part]) };
    let ticket = read.ticket;
    bench.storage.submit(Job::Read(read));
    bench.wait(|outcome| match outcome {
        Outcome::Read { ticket: t, parts, aborted } if *t == ticket => {
            assert!(parts.iter().all(Result::is_ok));
            let all = aborted.iter().flatten();
            Some(all.map(|entry| (entry.first_offset, entry.last_offset)).collect())
        }
        _ => None,
    })
}

/// Writes so many segments, and closes them.
fn fill(dir: &Path, segments: i64) {
    let bench = Bench::start(dir);
    bench.open(partition(1), small());
    for offset in 0..segments {
        bench.append(partition(1), batch(offset, 1)).unwrap();
    }
    bench.stop();
}

/// Puts a transaction index beside a segment: version 0, producer 7, first offset, marker's offset, last stable offset.
fn put_index(dir: &Path, base: i64, [first, marker, stable]: [i64; 3]) {
    let fields = [7, first, marker, stable].map(i64::to_be_bytes).concat();
    let bytes = [&[0, 0], fields.as_slice()].concat();
    std::fs::write(dir.join(format!("topic-0/{base:020}.txnindex")), bytes).unwrap();
}

#[test]
fn reads_of_what_was_committed_look_for_each_index_once_and_never_for_those_of_own_segments() {
    let dir = TempDir::new();
    let (bench, faults) = start(&dir.0);
    let opens = || faults.opens.load(Ordering::SeqCst);
    bench.open(partition(1), small());
    for offset in 0..8 {
        bench.append(partition(1), batch(offset, 1)).unwrap();
    }
    for offset in 0..8 {
        assert_eq!(aborted_from(&bench, offset), []);
    }
    assert_eq!(opens(), 0, "nobody else has written these segments");
    bench.stop();

    let (bench, faults) = start(&dir.0);
    let opens = || faults.opens.load(Ordering::SeqCst);
    bench.open(partition(1), small());
    for _ in 0..10 {
        assert_eq!(aborted_from(&bench, 0), []);
        assert_eq!(aborted_from(&bench, 5), []);
    }
    assert_eq!(opens(), 8, "one look at each");
    bench.stop();
}

#[test]
fn a_remembered_index_tells_the_same_as_its_file() {
    let dir = TempDir::new();
    fill(&dir.0, 8);
    put_index(&dir.0, 2, [0, 2, 3]);
    put_index(&dir.0, 6, [4, 6, 7]);
    let (bench, faults) = start(&dir.0);
    bench.open(partition(1), small());
    for _ in 0..3 {
        assert_eq!(aborted_from(&bench, 0), [(0, 2)]);
        assert_eq!(aborted_from(&bench, 2), [(0, 2)]);
        assert_eq!(aborted_from(&bench, 3), [(4, 6)]);
        assert_eq!(aborted_from(&bench, 7), []);
    }
    assert_eq!(faults.opens.load(Ordering::SeqCst), 8, "one look at each");
    bench.stop();
}

#[test]
fn an_index_that_cannot_be_read_is_asked_again() {
    let dir = TempDir::new();
    fill(&dir.0, 3);
    put_index(&dir.0, 1, [0, 1, 2]);
    let (bench, faults) = start(&dir.0);
    bench.open(partition(1), small());
    let part = ReadPart { partition: partition(1), offset: 0, end: 2, bytes_max: 1 << 20 };
    faults.read.store(true, Ordering::SeqCst);
    let read = Read { committed: true, ..bench.read_job(vec![part]) };
    assert!(bench.run_read(read).iter().all(Result::is_err));
    faults.read.store(false, Ordering::SeqCst);
    assert_eq!(aborted_from(&bench, 0), [(0, 1)]);
    bench.stop();
}

#[test]
fn compaction_leaves_nothing_stale_behind() {
    let dir = TempDir::new();
    fill(&dir.0, 6);
    put_index(&dir.0, 2, [1, 2, 3]);
    let (bench, _) = start(&dir.0);
    let compact = LogConfig { compact: true, delete: false, min_dirty_permille: 0, ..config() };
    let opened = bench.open(partition(1), compact);
    assert_eq!(aborted_in(&bench, 1, 6), [(1, 2)]);
    let mut due = opened.due;
    let logs = || {
        let names = std::fs::read_dir(dir.0.join("topic-0")).unwrap();
        names
            .filter(|name| name.as_ref().unwrap().path().extension().is_some_and(|e| e == "log"))
            .count()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while logs() >= 6 {
        assert!(Instant::now() < deadline, "compaction does not come to an end");
        let (expire, stepped, free) = (true, 0, false);
        let now = due.unwrap_or(NOW).max(NOW);
        due = bench.run_upkeep(Upkeep { partition: partition(1), now, expire, stepped, free }).due;
    }
    for _ in 0..2 {
        // Of records without keys only the newest segment's stay.
        assert_eq!(aborted_in(&bench, 1, 6), [(1, 2)], "of the segment that took the place");
    }
    bench.stop();
}
