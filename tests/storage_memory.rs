//! What recovery takes in memory, whatever a torn end claims: a test binary of its own, as it counts all that is allocated.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests are their own masters"
)]

use std::sync::Mutex;

use chronik::base::ids::PartitionId;
use chronik::record::builder::BatchBuilder;
use chronik::record::compression::Codec;
use chronik::storage::fs::{Fs, OpenMode, RealFs};
use chronik::storage::job::LogConfig;
use peak_alloc::PeakAlloc;

#[path = "support/storage.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use support::*;

#[global_allocator]
static PEAK: PeakAlloc = PeakAlloc;

/// Held by the test that counts: all allocations of the process are counted.
static COUNTING: Mutex<()> = Mutex::new(());

const MIB: usize = 1 << 20;

/// Opens a log of one good batch behind which these bytes stand, and zeros up to 63 MiB. Gives the bytes that the start
/// took at most, and those that it kept aside.
fn recover(behind: &[u8]) -> (usize, u64) {
    let (dir, image, p) = (TempDir::new(), TempDir::new(), partition(1));
    let bench = Bench::start(&dir.0);
    bench.open(p, config());
    bench.append(p, batch(0, 5)).unwrap();
    copy_dir(&dir.0, &image.0);
    bench.stop();
    let path = image.0.join(format!("topic-0/{:020}.log", 0));
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&good[..], behind].concat()).unwrap();
    RealFs.open(&path, OpenMode::Write).unwrap().set_len(63 << 20).unwrap();
    let before = PEAK.current_usage();
    PEAK.reset_peak_usage();
    let bench = Bench::start(&image.0);
    assert_eq!(bench.open(p, config()).log_end, 5);
    let peak = PEAK.peak_usage().saturating_sub(before);
    drop(bench);
    let tail = image.0.join(format!("topic-0/{:020}.tail", 5));
    (peak, std::fs::metadata(tail).map_or(0, |metadata| metadata.len()))
}

/// A batch that claims to have so many bytes.
fn claiming(bytes: usize) -> Vec<u8> {
    let mut batch = batch(5, 5);
    batch[..8].copy_from_slice(&5i64.to_be_bytes());
    batch[8..12].copy_from_slice(&u32::try_from(bytes - 12).unwrap().to_be_bytes());
    batch
}

#[test]
fn neither_a_length_that_lies_nor_what_is_kept_aside_takes_memory() {
    let _alone = COUNTING.lock().unwrap();
    let (peak, kept) = recover(&claiming(60 * MIB));
    assert!(peak < 4 * MIB, "{peak} bytes for a batch that claims 60 MiB");
    assert_eq!(kept, 0, "there is no whole batch in it");
    let (peak, kept) = recover(&[claiming(60 * MIB), batch(7, 3)].concat());
    assert!(peak < 4 * MIB, "{peak} bytes to keep 16 MiB aside");
    assert_eq!(kept, 16 << 20, "what is kept is bounded");
}

#[test]
fn a_large_record_in_a_small_batch_for_a_compacted_log_is_not_held() {
    let _alone = COUNTING.lock().unwrap();
    let dir = TempDir::new();
    let (bench, p) = (Bench::start(&dir.0), partition(1));
    bench.open(p, LogConfig { compact: true, ..config() });
    let mut builder = BatchBuilder::new(compressed(Codec::Gzip)).unwrap();
    builder.append(NOW, Some(b"key"), Some(&vec![0; 32 * MIB]), &[]).unwrap();
    let records = builder.finish().unwrap();
    assert!(records.len() < MIB);
    let before = PEAK.current_usage();
    PEAK.reset_peak_usage();
    bench.append(p, records).unwrap();
    let peak = PEAK.peak_usage().saturating_sub(before);
    assert!(peak < 4 * MIB, "{peak} bytes");
}

/// What each of many partitions takes once it is open, in bytes.
fn open_all(bench: &Bench, partitions: i32) -> usize {
    let before = PEAK.current_usage();
    for index in 0..partitions {
        bench.open(PartitionId { topic: topic(1), index }, config());
    }
    PEAK.current_usage().saturating_sub(before) / usize::try_from(partitions).unwrap()
}

#[test]
fn a_partition_takes_little_memory_until_it_is_used() {
    let _alone = COUNTING.lock().unwrap();
    let (dir, partitions) = (TempDir::new(), 300);
    let bench = Bench::start(&dir.0);
    open_all(&bench, partitions);
    for index in 0..partitions {
        bench.append(PartitionId { topic: topic(1), index }, batch(0, 1)).unwrap();
    }
    bench.stop();
    let bench = Bench::start(&dir.0);
    let resting = open_all(&bench, partitions);
    bench.stop();
    std::fs::remove_file(dir.0.join(".kafka_cleanshutdown")).unwrap();
    let bench = Bench::start(&dir.0);
    let awake = open_all(&bench, partitions);
    bench.stop();
    assert!(resting * 3 < awake, "{resting} bytes at rest, {awake} awake");
}
