//! Starting after a clean stop: nothing is written that is written already, and a partition rests until somebody needs it.

#![expect(clippy::unwrap_used, reason = "tests are their own masters")]

use std::path::Path;
use std::sync::Arc;

use chronik::base::ids::{PartitionId, TopicId};
use chronik::storage::fs::Fs;
use chronik::storage::job::{Job, LogConfig, ReadError, TimeTarget};
use chronik::storage::marks::{MarksFile, slot_position};
use chronik::storage::pool::Options;
use chronik::testing::fs::SimFs;

#[path = "support/storage.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use support::*;

const DIR: &str = "/data";
const MARKS: &str = "/data/chronik-marks-1";

fn start(fs: &Arc<SimFs>) -> Bench {
    Bench::start_on(Path::new(DIR), Arc::<SimFs>::clone(fs))
}

fn part(index: i32) -> PartitionId {
    PartitionId { topic: topic(1), index }
}

/// A directory with a synced batch in each of some partitions, after a clean stop.
fn stopped(partitions: i32) -> Arc<SimFs> {
    let fs = SimFs::new();
    fs.create_dir(Path::new(DIR)).unwrap();
    let bench = start(&fs);
    for index in 0..partitions {
        bench.open(part(index), config());
        bench.append(part(index), batch(0, 5)).unwrap();
    }
    bench.stop();
    fs
}

fn marks(fs: &SimFs) -> MarksFile {
    MarksFile::decode(&fs.read(Path::new(MARKS)).unwrap()).unwrap()
}

/// What a start does, beside reading.
fn changes(fs: &Arc<SimFs>) -> Vec<String> {
    fs.keep_history();
    let before = fs.history().len();
    let bench = start(fs);
    assert!(bench.started.clean);
    // What only reads is not noted.
    let changes = fs.history().split_off(before);
    bench.stop();
    changes
}

#[test]
fn a_clean_start_removes_the_marker_and_writes_nothing() {
    let fs = stopped(3);
    let changes = changes(&fs);
    let [removed, synced] = &changes[..] else { panic!("{changes:?}") };
    assert!(removed.ends_with(": Remove /data/.kafka_cleanshutdown"), "{removed}");
    assert!(synced.ends_with(": SyncDir /data"), "{synced}");
}

/// Flips a bit in one side of the first slot.
fn flip(fs: &SimFs, round: u64) {
    assert!(fs.flip_bit(Path::new(MARKS), (slot_position(0, round) + 40) * 8));
}

#[test]
fn marks_that_are_damaged_are_written_anew() {
    for round in [0, 1] {
        let fs = stopped(3);
        let whole = marks(&fs);
        flip(&fs, round);
        assert_eq!(marks(&fs).damaged.len(), 1);
        let bench = start(&fs);
        assert!(bench.started.clean);
        let found = marks(&fs);
        assert_eq!((found.damaged.len(), found.lost), (0, 0));
        let offsets = |file: &MarksFile| -> Vec<(PartitionId, i64, i64)> {
            file.marks.values().map(|mark| (mark.partition, mark.log_start, mark.end)).collect()
        };
        assert_eq!(offsets(&found), offsets(&whole));
        bench.stop();
    }
}

#[test]
fn marks_that_say_something_else_are_written_anew() {
    let fs = stopped(2);
    let older = fs.killed();
    let bench = start(&fs);
    bench.open(part(0), config());
    bench.append(part(0), batch(5, 5)).unwrap();
    bench.stop();
    // The file of marks of a stop before the last.
    let path = Path::new(MARKS);
    let stale = older.read(path).unwrap();
    let file = fs.open(path, chronik::storage::fs::OpenMode::Truncate).unwrap();
    chronik::storage::fs::write_full(&*file, &stale, 0).unwrap();
    let end_of = |fs: &SimFs| marks(fs).marks.get(&part(0)).unwrap().end;
    assert_eq!(end_of(&fs), 5);
    let bench = start(&fs);
    assert_eq!(end_of(&fs), 10);
    bench.stop();
}

#[test]
fn another_number_of_writers_moves_the_marks() {
    let fs = stopped(4);
    let options = Options { fs: Arc::<SimFs>::clone(&fs), writers: 3, ..options(Path::new(DIR)) };
    let bench = Bench::try_start(options).unwrap();
    let ends = (0..4).map(|number| {
        let path = format!("/data/chronik-marks-{number}");
        MarksFile::decode(&fs.read(Path::new(&path)).unwrap()).unwrap().marks.len()
    });
    assert_eq!(ends.sum::<usize>(), 4);
    bench.stop();
}

#[test]
fn marks_that_stayed_as_they_were_go_on_and_survive_a_crash() {
    let fs = stopped(3);
    for life in 1..5 {
        let bench = start(&fs);
        assert!(bench.started.clean);
        let p = part(life % 3);
        assert_eq!(bench.open(p, config()).log_end, 5 * i64::from(1 + (life - 1) / 3));
        bench.append(p, batch(0, 5)).unwrap();
        if life == 4 {
            // Gives its slot to the next.
            let ticket = bench.ticket();
            bench.storage.submit(Job::Remove { ticket, partition: part(2) });
            bench.open(part(3), config());
            bench.append(part(3), batch(0, 5)).unwrap();
        }
        bench.stop();
    }
    let bench = start(&fs);
    bench.open(part(3), config());
    bench.append(part(3), batch(5, 5)).unwrap();
    let crashed = fs.killed();
    bench.stop();
    let bench = start(&crashed);
    assert!(!bench.started.clean);
    for (index, end) in [(0, 10), (1, 15), (3, 10)] {
        assert_eq!(bench.open(part(index), config()).log_end, end, "partition {index}");
    }
    bench.stop();
}

/// What somebody may want first of a partition that rests, and what must come of it.
type FirstUse = fn(&Bench, PartitionId);

const FIRST_USES: [(&str, FirstUse); 9] = [
    ("nothing", |_, _| {}),
    ("a read", |bench, p| assert_eq!(batches(&bench.read(p, 0, 1 << 20).unwrap()), [(0, 5)])),
    ("a search", |bench, p| {
        let found = bench.find_time(p, TimeTarget::AtOrAfter(NOW + 3), 5).unwrap().unwrap();
        assert_eq!(found.offset, 3);
    }),
    ("an append", |bench, p| assert_eq!(bench.append(p, batch(5, 1)).unwrap().base_offset, 5)),
    ("a read, then an append", |bench, p| {
        bench.read(p, 0, 1 << 20).unwrap();
        assert_eq!(bench.append(p, batch(5, 1)).unwrap().base_offset, 5);
        assert_eq!(batches(&bench.read(p, 0, 1 << 20).unwrap()), [(0, 5), (5, 1)]);
    }),
    ("a trim", |bench, p| {
        assert_eq!(bench.trim(p, 2).unwrap(), 2);
        assert_eq!(bench.read(p, 1, 1 << 20).unwrap_err(), ReadError::OutOfRange);
    }),
    ("upkeep", |bench, p| assert_eq!(bench.upkeep(p, NOW + 10).log_start, 0)),
    ("a sync", |bench, p| {
        bench.storage.submit(Job::Sync { partition: p, awaited: true });
        bench.synced(p, 5).unwrap();
    }),
    ("another configuration", |bench, p| {
        let config = Arc::new(LogConfig { retention_bytes: 0, ..config() });
        bench.storage.submit(Job::Configure { partition: p, config });
        assert!(bench.upkeep(p, NOW + 10).log_start > 0, "retention holds");
    }),
];

#[test]
fn a_partition_that_rests_does_what_any_other_does() {
    for (name, first_use) in FIRST_USES {
        let (rested, awake) = (stopped(1), stopped(1));
        let p = part(0);
        let seen = [(rested, true), (awake, false)].map(|(fs, rests)| {
            let fs = if rests { fs } else { fs.killed() };
            if !rests {
                // After a crash no partition rests.
                fs.remove_file(Path::new("/data/.kafka_cleanshutdown")).unwrap();
            }
            let bench = start(&fs);
            assert_eq!(bench.started.clean, rests);
            bench.open(p, config());
            first_use(&bench, p);
            bench.stop();
            let bench = start(&fs);
            assert!(bench.started.clean, "after {name}");
            let opened = bench.open(p, config());
            let records = batches(&bench.read(p, opened.log_start, 1 << 20).unwrap());
            bench.stop();
            (opened.log_start, opened.log_end, opened.bytes, opened.epochs, records)
        });
        let [rested, awake] = seen;
        assert_eq!(rested, awake, "after {name}");
    }
}

#[test]
fn a_partition_that_rests_can_be_removed() {
    let fs = stopped(2);
    let bench = start(&fs);
    bench.open(part(0), config());
    bench.open(part(1), config());
    let ticket = bench.ticket();
    bench.storage.submit(Job::Remove { ticket, partition: part(0) });
    bench
        .wait(|outcome| match outcome {
            chronik::storage::job::Outcome::Removed { ticket: t, result, .. } if *t == ticket => {
                Some(result.clone())
            }
            _ => None,
        })
        .unwrap();
    assert_eq!(bench.read(part(0), 0, 100).unwrap_err(), ReadError::UnknownPartition);
    // A new topic of the same name.
    let new = PartitionId { topic: TopicId::from_random([9; 16]), index: 0 };
    assert_eq!(bench.open(new, config()).log_end, 0);
    bench.stop();
    let bench = start(&fs);
    assert_eq!(bench.open(part(1), config()).log_end, 5);
    assert_eq!(bench.open(new, config()).log_end, 0);
    bench.stop();
}
