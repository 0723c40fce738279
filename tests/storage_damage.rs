//! Damage at rest: it is fenced off and counted, what lies before and behind it is served, and nothing is cut.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "tests are their own masters"
)]

use std::ops::Range;
use std::path::PathBuf;

use chronik::base::payload::Bytes;
use chronik::record::compression::Codec;
use chronik::storage::damage::DamagePolicy;
use chronik::storage::job::{Append, Job, LogConfig, Origin, ReadError, TimeTarget};
use chronik::storage::pool::Options;

#[path = "support/storage.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use support::*;

/// A data directory with one partition of batches of two records, left by a clean stop.
struct Disk {
    dir: TempDir,
    config: LogConfig,
    end: i64,
}

const PER_BATCH: i64 = 2;

impl Disk {
    fn new(config: LogConfig, batches: i64) -> Disk {
        let dir = TempDir::new();
        let bench = Bench::start(&dir.0);
        bench.open(partition(1), config.clone());
        for number in 0..batches {
            bench.append(partition(1), batch(number * PER_BATCH, PER_BATCH)).unwrap();
        }
        bench.stop();
        Disk { dir, config, end: batches * PER_BATCH }
    }

    fn logs(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.dir.0.join("topic-0")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut logs: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|kind| kind == "log")).collect();
        logs.sort();
        logs
    }

    fn change(&self, log: usize, change: impl FnOnce(&mut Vec<u8>)) {
        let path = &self.logs()[log];
        let mut bytes = std::fs::read(path).unwrap();
        change(&mut bytes);
        std::fs::write(path, bytes).unwrap();
    }

    /// The bytes of the batch with this number in its log.
    fn batch(&self, log: usize, number: usize) -> Range<usize> {
        let bytes = std::fs::read(&self.logs()[log]).unwrap();
        let mut at = 0;
        for _ in 0..number {
            at += 12 + u32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
        }
        let len = 12 + u32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
        at..at + len
    }

    fn after_crash(&self) {
        let _ = std::fs::remove_file(self.dir.0.join(".kafka_cleanshutdown"));
    }

    fn start(&self, damage: DamagePolicy) -> Bench {
        let bench = Bench::try_start(Options { damage, ..options(&self.dir.0) }).unwrap();
        assert_eq!(bench.open(partition(1), self.config.clone()).log_end, self.end);
        bench
    }

    /// Every offset but those of `lost` is served, one fetch after the other and from each offset alone; none of
    /// those is.
    fn assert_lost(&self, bench: &Bench, lost: Range<i64>) {
        let p = partition(1);
        for offset in 0..self.end {
            let got = bench.read(p, offset, 1);
            if lost.contains(&offset) {
                assert_eq!(got, Err(ReadError::Corrupt), "{offset} of {lost:?}");
            } else {
                let first = offset - offset % PER_BATCH;
                assert_eq!(batches(&got.unwrap()), [(first, PER_BATCH as i32)], "{lost:?}");
            }
        }
        let (mut offset, mut got) = (0, Vec::new());
        while offset < self.end {
            match bench.read(p, offset, 1000) {
                Ok(bytes) => {
                    let some = batches(&bytes);
                    offset = some.last().map_or(self.end, |(base, n)| base + i64::from(*n));
                    got.extend(some);
                }
                Err(error) => {
                    assert_eq!((error, offset), (ReadError::Corrupt, lost.start));
                    offset = lost.end;
                }
            }
        }
        let all = (0..self.end).step_by(PER_BATCH as usize);
        let expected: Vec<(i64, i32)> =
            all.filter(|base| !lost.contains(base)).map(|base| (base, PER_BATCH as i32)).collect();
        assert_eq!(got, expected);
    }
}

fn small() -> LogConfig {
    LogConfig { segment_bytes: 1500, index_interval_bytes: 300, ..config() }
}

fn gauges(bench: &Bench) -> (i64, i64) {
    let stats = bench.storage.stats();
    (stats.damaged_ranges.get(), stats.damaged_bytes.get())
}

#[test]
fn a_damaged_batch_is_fenced_and_all_others_are_served() {
    for clean in [true, false] {
        for place in [0, 8, 11, 16, 17, 23, 57, 65, 80] {
            let disk = Disk::new(small(), 40);
            let bytes = disk.batch(1, 3);
            let first =
                disk.logs()[1].file_stem().unwrap().to_str().unwrap().parse::<i64>().unwrap();
            disk.change(1, |log| log[bytes.start + place] ^= 4);
            if !clean {
                disk.after_crash();
            }
            let bench = disk.start(DamagePolicy::Fence);
            let lost = first + 3 * PER_BATCH..first + 4 * PER_BATCH;
            disk.assert_lost(&bench, lost);
            assert_eq!(gauges(&bench), (1, bytes.len() as i64), "byte {place}");
            bench.stop();
        }
    }
}

#[test]
fn an_operator_may_decide_to_skip_damage() {
    let disk = Disk::new(small(), 40);
    let bytes = disk.batch(1, 3);
    disk.change(1, |log| log[bytes.start + 70] ^= 4);
    let bench = disk.start(DamagePolicy::Skip);
    let all = batches(&bench.read(partition(1), 0, 1 << 20).unwrap());
    assert_eq!(all.len(), 39);
    assert_eq!(gauges(&bench).0, 1);
}

#[test]
fn records_can_be_appended_behind_damage() {
    let disk = Disk::new(small(), 10);
    disk.change(0, |log| log[70] ^= 1);
    let bench = disk.start(DamagePolicy::Fence);
    let appended = bench.append(partition(1), batch(0, 2)).unwrap();
    assert_eq!(appended.base_offset, disk.end);
    assert_eq!(batches(&bench.read(partition(1), disk.end, 1).unwrap()), [(disk.end, 2)]);
}

#[test]
fn a_missing_file_costs_its_own_records_alone() {
    for clean in [true, false] {
        for log in 0..3 {
            let disk = Disk::new(small(), 40);
            let logs = disk.logs();
            assert_eq!(logs.len(), 3);
            let base = |log: &PathBuf| -> i64 {
                log.file_stem().unwrap().to_str().unwrap().parse().unwrap()
            };
            let gone = log;
            let until = logs.get(gone + 1).map_or(disk.end, base);
            std::fs::remove_file(&logs[gone]).unwrap();
            if !clean {
                disk.after_crash();
            }
            let bench = disk.start(DamagePolicy::Fence);
            disk.assert_lost(&bench, base(&logs[gone])..until);
            let appended = bench.append(partition(1), batch(0, 2)).unwrap();
            assert_eq!(appended.base_offset, disk.end, "clean {clean}, log {gone}");
            bench.stop();
            let bench = Bench::start(&disk.dir.0);
            assert_eq!(bench.open(partition(1), small()).log_end, disk.end + 2);
            assert_eq!(batches(&bench.read(partition(1), disk.end, 1).unwrap()), [(disk.end, 2)]);
        }
    }
}

#[test]
fn a_file_shorter_than_it_was_costs_its_end_alone() {
    for clean in [true, false] {
        for gone in 0..3 {
            let disk = Disk::new(small(), 40);
            let logs = disk.logs();
            let base = |log: &PathBuf| -> i64 {
                log.file_stem().unwrap().to_str().unwrap().parse().unwrap()
            };
            let until = logs.get(gone + 1).map_or(disk.end, base);
            let kept = disk.batch(gone, 2).start + 30;
            disk.change(gone, |bytes| bytes.truncate(kept));
            if !clean {
                disk.after_crash();
            }
            let bench = disk.start(DamagePolicy::Fence);
            disk.assert_lost(&bench, base(&logs[gone]) + 2 * PER_BATCH..until);
            let appended = bench.append(partition(1), batch(0, 2)).unwrap();
            assert_eq!(appended.base_offset, disk.end, "clean {clean}, log {gone}");
            assert_eq!(std::fs::metadata(&logs[gone]).unwrap().len(), kept as u64, "not cut");
        }
    }
}

#[test]
fn a_misplaced_segment_is_refused_and_others_are_served() {
    let disk = Disk::new(small(), 40);
    let logs = disk.logs();
    let base =
        |log: &PathBuf| -> i64 { log.file_stem().unwrap().to_str().unwrap().parse().unwrap() };
    std::fs::copy(&logs[0], &logs[1]).unwrap();
    disk.after_crash();
    let bench = disk.start(DamagePolicy::Fence);
    disk.assert_lost(&bench, base(&logs[1])..base(&logs[2]));
}

#[test]
fn times_are_found_around_damage() {
    let disk = Disk::new(small(), 40);
    let bytes = disk.batch(1, 3);
    let first = disk.logs()[1].file_stem().unwrap().to_str().unwrap().parse::<i64>().unwrap();
    disk.change(1, |log| log[bytes.start + 70] ^= 4);
    let bench = disk.start(DamagePolicy::Fence);
    let lost = first + 3 * PER_BATCH..first + 4 * PER_BATCH;
    for offset in 0..disk.end {
        let target = TimeTarget::AtOrAfter(NOW + offset);
        let found = bench.find_time(partition(1), target, i64::MAX).unwrap().unwrap();
        let expected = if lost.contains(&offset) { lost.end } else { offset };
        assert_eq!(found.offset, expected);
    }
}

#[test]
fn the_largest_timestamp_is_found_though_its_batch_is_damaged() {
    let disk = Disk::new(small(), 40);
    let last = disk.logs().len() - 1;
    disk.change(last, |log| *log.last_mut().unwrap() ^= 4);
    let bench = disk.start(DamagePolicy::Fence);
    let found = bench.find_time(partition(1), TimeTarget::Largest, i64::MAX).unwrap().unwrap();
    assert_eq!(found.offset, disk.end - PER_BATCH - 1);
}

#[test]
fn a_damaged_index_is_made_anew_and_costs_no_record() {
    for kind in ["index", "timeindex"] {
        for bit in (0..8 * 20).step_by(7) {
            let disk = Disk::new(small(), 20);
            let path = disk.logs()[0].with_extension(kind);
            let mut bytes = std::fs::read(&path).unwrap();
            let at = bit / 8;
            if at >= bytes.len() {
                continue;
            }
            bytes[at] ^= 1 << (bit % 8);
            std::fs::write(&path, bytes).unwrap();
            let bench = disk.start(DamagePolicy::Fence);
            disk.assert_lost(&bench, 0..0);
            for offset in 0..disk.end {
                let target = TimeTarget::AtOrAfter(NOW + offset);
                let found = bench.find_time(partition(1), target, i64::MAX).unwrap().unwrap();
                assert_eq!(found.offset, offset, "{kind} bit {bit}");
            }
            let largest = bench.find_time(partition(1), TimeTarget::Largest, i64::MAX);
            assert_eq!(largest.unwrap().unwrap().offset, disk.end - 1, "{kind} bit {bit}");
        }
    }
}

#[test]
fn a_batch_sent_as_a_value_is_not_taken_for_one_behind_damage() {
    let dir = TempDir::new();
    let p = partition(1);
    let bench = Bench::start(&dir.0);
    bench.open(p, config());
    bench.append(p, batch(0, 2)).unwrap();
    // Whole, intact, and with an offset that fits.
    let mut inner = batch(100, 1);
    inner[..8].copy_from_slice(&3i64.to_be_bytes());
    let mut builder = chronik::record::builder::BatchBuilder::new(compressed(Codec::None)).unwrap();
    builder.append(NOW, Some(b"key"), Some(&inner), &[]).unwrap();
    builder.append(NOW, Some(b"key"), Some(b"another"), &[]).unwrap();
    bench.append(p, builder.finish().unwrap()).unwrap();
    bench.append(p, batch(4, 2)).unwrap();
    bench.stop();
    let path = dir.0.join("topic-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&path).unwrap();
    let second = batch(0, 2).len();
    bytes[second + 10] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let bench = Bench::start(&dir.0);
    bench.open(p, config());
    assert_eq!(bench.read(p, 2, 1), Err(ReadError::Corrupt));
    assert_eq!(bench.read(p, 3, 1), Err(ReadError::Corrupt));
    assert_eq!(batches(&bench.read(p, 4, 1).unwrap()), [(4, 2)]);
}

#[test]
fn a_leader_epoch_that_falls_back_damages_nothing() {
    let disk = Disk::new(small(), 10);
    let bench = disk.start(DamagePolicy::Fence);
    let ticket = bench.ticket();
    bench.storage.submit(Job::Append(Append {
        ticket,
        partition: partition(1),
        records: Bytes::from_vec(batch(20, 2)),
        sync: true,
        leader_epoch: 1,
        now: NOW,
        origin: Origin::Client,
    }));
    assert_eq!(bench.appended(ticket).unwrap().base_offset, disk.end);
    bench.stop();
    let bench = Bench::start(&disk.dir.0);
    assert_eq!(bench.open(partition(1), small()).epochs, [(3, 0)]);
    assert_eq!(batches(&bench.read(partition(1), disk.end, 1).unwrap()), [(disk.end, 2)]);
    assert_eq!(gauges(&bench), (0, 0));
}
