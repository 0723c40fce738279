//! What is removed from a log, when, and what never is: retention by size and age, deletion of records, and the crash in
//! between.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "tests are their own masters"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chronik::base::ids::PartitionId;
use chronik::base::payload::Payload;
use chronik::record::builder::{BatchBuilder, BatchOptions};
use chronik::storage::job::{
    Append, AppendError, Job, LogConfig, Origin, Outcome, ReadError, ReadPart, TimeTarget, Upkeep,
};

use chronik::storage::marks::slot_position;
use chronik::testing::fs::SimFs;

#[path = "support/storage.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use support::*;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// One record with this timestamp.
fn stamped(timestamp: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default()).unwrap();
    builder.append(timestamp, Some(b"key"), Some(b"value"), &[]).unwrap();
    builder.finish().unwrap()
}

/// Every batch gets a segment of its own.
fn one_each() -> LogConfig {
    LogConfig { segment_bytes: stamped(NOW).len() as u64, ..config() }
}

fn by_age(retention_ms: i64) -> LogConfig {
    LogConfig { retention_ms, ..one_each() }
}

/// The base offsets in the names of a topic's log files.
fn bases(dir: &Path) -> Vec<i64> {
    let names = std::fs::read_dir(dir.join("topic-0")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let base = |name: String| name.strip_suffix(".log").map(|base| base.parse().unwrap());
    let mut bases: Vec<i64> = names.filter_map(base).collect();
    bases.sort_unstable();
    bases
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

/// As a crash leaves the directory, once what leaves it has left.
fn image_of(dir: &TempDir) -> TempDir {
    let is_leaving = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().to_string_lossy().ends_with(".deleted")
    };
    let names = || std::fs::read_dir(dir.0.join("topic-0")).unwrap();
    eventually("removed files are unlinked", || !names().any(is_leaving));
    let image = TempDir::new();
    copy_dir(&dir.0, &image.0);
    image
}

fn first_offset(bench: &Bench, p: PartitionId, from: i64) -> i64 {
    batches(&bench.read(p, from, 1).unwrap())[0].0
}

#[test]
fn what_is_left_after_retention_by_size_is_what_kafka_leaves() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let p = partition(1);
    let one = one_each().segment_bytes;
    // Kafka removes the first segment while the others alone have `retention.bytes`.
    bench.open(p, LogConfig { retention_bytes: 3 * one as i64 - 1, ..one_each() });
    for number in 0..4 {
        let appended = bench.append_at(p, stamped(NOW + number), NOW);
        let over = number == 3;
        assert_eq!(appended.due == Some(0), over, "due as soon as one is too many: {appended:?}");
    }
    let upkept = bench.upkeep(p, NOW);
    assert_eq!((upkept.log_start, upkept.bytes), (1, 3 * one));
    assert_ne!(upkept.due, Some(0));
    eventually("the file goes", || bases(&dir.0) == [1, 2, 3]);
    assert_eq!(bench.read(p, 0, 1), Err(ReadError::OutOfRange));
    assert_eq!(first_offset(&bench, p, 1), 1);
    assert_eq!(bench.upkeep(p, NOW).log_start, 1, "nothing more goes");
    assert_eq!(bench.storage.stats().segments_removed.get(), 1);
    assert_eq!(bench.storage.stats().segment_bytes_removed.get(), one);
    bench.stop();
    let bench = Bench::start(&dir.0);
    let opened = bench.open(p, one_each());
    assert_eq!((opened.log_start, opened.log_end), (1, 4));
    bench.stop();
}

#[test]
fn a_segment_goes_when_its_newest_record_is_too_old_and_not_before() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let p = partition(1);
    bench.open(p, by_age(DAY));
    for hour in 0..3 {
        bench.append_at(p, stamped(NOW + hour * HOUR), NOW + hour * HOUR);
    }
    let upkept = bench.upkeep(p, NOW + DAY);
    assert_eq!((upkept.log_start, upkept.due), (0, Some(NOW + DAY + 1)));
    assert_eq!(upkept.oldest, Some(NOW));
    let upkept = bench.upkeep(p, NOW + DAY + 1);
    assert_eq!((upkept.log_start, upkept.due), (1, Some(NOW + HOUR + DAY + 1)));
    eventually("the file goes", || bases(&dir.0) == [1, 2]);
    // After a clean stop no file need be opened to know that.
    bench.stop();
    let bench = Bench::start(&dir.0);
    let opened = bench.open(p, by_age(DAY));
    assert_eq!((opened.oldest, opened.due), (Some(NOW + HOUR), Some(NOW + HOUR + DAY + 1)));
    bench.stop();
}

#[test]
fn a_log_of_which_all_is_old_becomes_empty_and_keeps_its_next_offset() {
    let p = partition(1);
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let config = || LogConfig { retention_ms: HOUR, ..config() };
    bench.open(p, config());
    for number in 0..3 {
        bench.append_at(p, stamped(NOW + number), NOW);
    }
    assert_eq!(bench.upkeep(p, NOW + HOUR).log_start, 0);
    let upkept = bench.upkeep(p, NOW + HOUR + 3);
    assert_eq!((upkept.log_start, upkept.bytes, upkept.due), (3, 0, None));
    eventually("only the empty segment is left", || bases(&dir.0) == [3]);
    assert_eq!(bench.read(p, 3, 1).unwrap(), b"");
    assert_eq!(bench.find_time(p, TimeTarget::AtOrAfter(0), 3), Ok(None));
    let image = image_of(&dir);
    bench.stop();
    for (dir, clean) in [(&dir, true), (&image, false)] {
        let bench = Bench::start(&dir.0);
        assert_eq!(bench.started.clean, clean);
        let opened = bench.open(p, config());
        assert_eq!((opened.log_start, opened.log_end, opened.due), (3, 3, None));
        assert_eq!(bench.append_at(p, stamped(NOW), NOW).base_offset, 3);
        bench.stop();
    }
}

#[test]
fn a_timestamp_of_2099_keeps_nothing_and_one_that_is_none_counts_from_the_write() {
    let far = NOW + 70 * 365 * DAY;
    for timestamp in [far, -1, 0, 1_000_000_000_000] {
        let dir = TempDir::new();
        let bench = Bench::start(&dir.0);
        let p = partition(1);
        bench.open(p, by_age(DAY));
        bench.append_at(p, stamped(timestamp), NOW);
        bench.append_at(p, stamped(timestamp), NOW + HOUR);
        assert_eq!(bench.upkeep(p, NOW + DAY).log_start, 0, "{timestamp}");
        assert_eq!(bench.upkeep(p, NOW + DAY + 1).log_start, 1, "{timestamp}");
        bench.stop();
        let bench = Bench::start(&dir.0);
        bench.open(p, by_age(DAY));
        assert_eq!(bench.upkeep(p, NOW + HOUR + DAY).log_start, 1, "{timestamp}");
        assert_eq!(bench.upkeep(p, NOW + HOUR + DAY + 1).log_start, 2, "{timestamp}");
        bench.stop();
    }
}

#[test]
fn nothing_goes_for_its_age_while_the_clock_is_not_trusted() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let p = partition(1);
    bench.open(p, by_age(DAY));
    bench.append_at(p, stamped(NOW), NOW);
    bench.append_at(p, stamped(NOW), NOW);
    let now = NOW + 3650 * DAY;
    let doubted = Upkeep { partition: p, now, expire: false, stepped: 0, free: false };
    let upkept = bench.run_upkeep(doubted);
    assert_eq!((upkept.log_start, bases(&dir.0)), (0, vec![0, 1]));
    assert!(upkept.due.is_some_and(|due| due > 0), "it waits for a clock: {upkept:?}");
    bench.stop();
}

#[test]
fn what_was_written_in_1970_ages_from_when_a_right_clock_is_seen() {
    let dir = TempDir::new();
    let p = partition(1);
    let bench = Bench::start(&dir.0);
    bench.open(p, by_age(DAY));
    bench.append_at(p, stamped(5000), 5000);
    bench.append_at(p, stamped(6000), 6000);
    // A clean stop remembers when, which tells nothing.
    bench.stop();
    let bench = Bench::start(&dir.0);
    assert_eq!(bench.open(p, by_age(DAY)).due, Some(1), "once the clock can be trusted");
    assert_eq!(bench.upkeep(p, NOW).log_start, 0);
    // From now on it is remembered, also by the next start.
    bench.stop();
    let bench = Bench::start(&dir.0);
    bench.open(p, by_age(DAY));
    assert_eq!(bench.upkeep(p, NOW + DAY).log_start, 0);
    assert_eq!(bench.upkeep(p, NOW + DAY + 1).log_start, 1, "the first was seen at once");
    bench.stop();
}

#[test]
fn after_a_jump_of_ten_years_what_was_just_written_is_young() {
    for jump in [3650 * DAY, -3650 * DAY] {
        let dir = TempDir::new();
        let bench = Bench::start(&dir.0);
        let p = partition(1);
        // 2050, so that ten years earlier is no unlikely time either.
        let then = NOW + 23 * 365 * DAY;
        bench.open(p, by_age(DAY));
        bench.append_at(p, stamped(then), then);
        bench.append_at(p, stamped(then), then);
        let stepped = then + jump;
        let upkeep = |now| Upkeep { partition: p, now, expire: true, stepped, free: false };
        assert_eq!(bench.run_upkeep(upkeep(stepped + DAY)).log_start, 0, "{jump}");
        if jump > 0 {
            assert_eq!(bench.run_upkeep(upkeep(stepped + DAY + 1)).log_start, 2, "{jump}");
        } else {
            // It was seen a day after the jump, and is as old as that.
            assert_eq!(bench.run_upkeep(upkeep(stepped + 2 * DAY)).log_start, 0, "{jump}");
            assert!(bench.run_upkeep(upkeep(stepped + 2 * DAY + 1)).log_start > 0, "{jump}");
        }
        bench.stop();
    }
}

#[test]
fn after_a_crash_a_segment_without_timestamps_is_as_old_as_its_file() {
    let dir = TempDir::new();
    let p = partition(1);
    let bench = Bench::start(&dir.0);
    bench.open(p, by_age(DAY));
    bench.append_at(p, stamped(-1), NOW);
    bench.append_at(p, stamped(-1), NOW);
    let image = image_of(&dir);
    bench.stop();
    for base in [0, 1] {
        let path = image.0.join(format!("topic-0/{base:020}.log"));
        let file = std::fs::File::options().write(true).open(path).unwrap();
        let written = NOW + base * HOUR;
        let since = Duration::from_millis(written.unsigned_abs());
        file.set_modified(std::time::UNIX_EPOCH + since).unwrap();
    }
    let bench = Bench::start(&image.0);
    bench.open(p, by_age(DAY));
    assert_eq!(bench.upkeep(p, NOW + DAY).log_start, 0);
    assert_eq!(bench.upkeep(p, NOW + DAY + 1).log_start, 1);
    bench.stop();
}

#[test]
fn a_segment_stays_for_a_while_after_it_was_written_however_old_its_records() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let p = partition(1);
    bench.open(p, LogConfig { retention_check_ms: HOUR, ..by_age(0) });
    let old = NOW - 10 * DAY;
    bench.append_at(p, stamped(old), NOW);
    assert_eq!(bench.append_at(p, stamped(old), NOW).due, Some(NOW + HOUR + 1));
    assert_eq!(bench.upkeep(p, NOW + HOUR).log_start, 0);
    assert_eq!(bench.upkeep(p, NOW + HOUR + 1).log_start, 2);
    bench.stop();
}

#[test]
fn a_slow_topic_rolls_without_an_append() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let p = partition(1);
    let slow = || LogConfig { segment_ms: HOUR, ..config() };
    assert_eq!(bench.open(p, slow()).due, None, "an empty partition wants nothing");
    assert_eq!(bench.append_at(p, stamped(NOW), NOW).due, Some(NOW + HOUR + 1));
    bench.append_at(p, stamped(NOW), NOW + HOUR / 2);
    assert_eq!(bench.upkeep(p, NOW + HOUR).oldest, None);
    let upkept = bench.upkeep(p, NOW + HOUR + 1);
    assert_eq!((upkept.oldest, upkept.due), (Some(NOW), None), "closed, and nothing more is due");
    bench.append_at(p, stamped(NOW), NOW + 2 * HOUR);
    assert_eq!(bases(&dir.0), [0, 2]);
    bench.stop();
    // The age of the open segment goes on after a restart.
    let bench = Bench::start(&dir.0);
    assert_eq!(bench.open(p, slow()).due, Some(NOW + HOUR + 1));
    bench.stop();
}

#[test]
fn a_new_configuration_is_answered_with_when_it_wants_upkeep() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let p = partition(1);
    let one = one_each().segment_bytes as i64;
    bench.open(p, one_each());
    for _ in 0..3 {
        bench.append_at(p, stamped(NOW), NOW);
    }
    let rolls = NOW + one_each().segment_ms + 1;
    for (config, due) in [
        (LogConfig { retention_bytes: 3 * one, ..one_each() }, Some(rolls)),
        (LogConfig { retention_bytes: one, ..one_each() }, Some(0)),
        (one_each(), Some(rolls)),
        (by_age(HOUR), Some(NOW + HOUR + 1)),
    ] {
        let config = Arc::new(config);
        bench.storage.submit(Job::Configure { partition: p, config: Arc::clone(&config) });
        let wanted = bench.wait(|outcome| match outcome {
            Outcome::Configured { partition, due } if *partition == p => Some(*due),
            _ => None,
        });
        assert_eq!(wanted, due, "{config:?}");
    }
    assert_eq!(bench.upkeep(p, NOW + HOUR + 1).log_start, 3, "the last configuration holds");
    bench.stop();
}

/// Storage with twenty records in four batches.
fn with_records(dir: &TempDir, p: PartitionId) -> Bench {
    let bench = Bench::start(&dir.0);
    bench.open(p, config());
    for first in (0..20).step_by(5) {
        bench.append(p, batch(first, 5)).unwrap();
    }
    bench
}

#[test]
fn deleted_records_are_gone_after_a_crash() {
    let (dir, p) = (TempDir::new(), partition(1));
    let bench = with_records(&dir, p);
    assert_eq!(bench.trim(p, 7), Ok(7));
    let image = image_of(&dir);
    assert_eq!(bench.trim(p, 3), Ok(7), "the first offset never goes back");
    assert_eq!(bench.read(p, 6, 1), Err(ReadError::OutOfRange));
    assert_eq!(first_offset(&bench, p, 7), 5, "the batch that holds it comes whole");
    assert_eq!(bench.append(p, batch(0, 1)).unwrap().log_start, 7);
    bench.stop();
    for dir in [&dir, &image] {
        let bench = Bench::start(&dir.0);
        let opened = bench.open(p, config());
        assert_eq!(opened.log_start, 7);
        assert_eq!(opened.epochs, [(3, 7)], "as Kafka cuts them");
        assert_eq!(bench.read(p, 6, 1), Err(ReadError::OutOfRange));
        let found = bench.find_time(p, TimeTarget::AtOrAfter(0), 20).unwrap().unwrap();
        assert_eq!(found.offset, 7);
        bench.stop();
    }
}

#[test]
fn deleted_records_are_gone_whatever_is_damaged_in_the_marks() {
    let (dir, p) = (TempDir::new(), partition(1));
    let bench = with_records(&dir, p);
    assert_eq!(bench.trim(p, 3), Ok(3));
    assert_eq!(bench.trim(p, 7), Ok(7));
    for side in [0, 1] {
        let image = image_of(&dir);
        let marks = image.0.join("chronik-marks-1");
        let mut bytes = std::fs::read(&marks).unwrap();
        bytes[slot_position(0, side) as usize + 40] ^= 1;
        std::fs::write(&marks, bytes).unwrap();
        let bench = Bench::start(&image.0);
        let opened = bench.open(p, config());
        assert_eq!((opened.log_start, opened.log_end), (7, 20), "side {side}");
        bench.stop();
    }
    bench.stop();
}

#[test]
fn records_that_no_sync_was_asked_for_are_synced_before_they_are_deleted() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let p = partition(1);
    bench.open(p, config());
    let ticket = bench.submit(p, batch(0, 5), false);
    bench.appended(ticket).unwrap();
    assert_eq!(bench.trim(p, 5), Ok(5));
    let image = image_of(&dir);
    bench.stop();
    let bench = Bench::start(&image.0);
    let opened = bench.open(p, config());
    assert_eq!((opened.log_start, opened.log_end), (5, 5), "the next offset is kept with them");
    bench.stop();
}

#[test]
fn segments_of_deleted_records_go_also_without_a_policy_that_deletes() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let p = partition(1);
    let one = one_each().segment_bytes;
    let compacted = LogConfig {
        compact: true,
        delete: false,
        retention_ms: 0,
        min_dirty_permille: 1000,
        ..one_each()
    };
    bench.open(p, LogConfig { retention_bytes: one as i64, ..compacted });
    for number in 0..4 {
        bench.append_at(p, stamped(NOW + number), NOW);
    }
    let now = NOW + 10 * DAY;
    let upkeep = Upkeep { partition: p, now, expire: true, stepped: 0, free: true };
    assert_eq!(bench.run_upkeep(upkeep).log_start, 0);
    assert_eq!(bench.trim(p, 2), Ok(2));
    let upkept = bench.upkeep(p, now);
    assert_eq!((upkept.log_start, upkept.bytes), (2, 2 * one));
    eventually("their files go", || bases(&dir.0) == [2, 3]);
    assert_eq!(bench.trim(p, 4), Ok(4));
    assert_eq!(bench.upkeep(p, now).bytes, 0, "the open segment, too, holds nothing any more");
    eventually("their files go", || bases(&dir.0) == [4]);
    bench.stop();
}

#[test]
fn what_is_not_on_the_disk_does_not_go() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let p = partition(1);
    bench.open(p, LogConfig { retention_bytes: 0, ..one_each() });
    let ticket = bench.submit(p, stamped(NOW), false);
    assert_eq!(bench.appended(ticket).unwrap().due, Some(0));
    let upkept = bench.upkeep(p, NOW);
    assert_eq!((upkept.log_start, upkept.due), (0, Some(0)));
    // It was told to be synced, and goes the next time.
    bench.synced(p, 1).unwrap();
    assert_eq!(bench.upkeep(p, NOW).log_start, 1);
    bench.stop();
}

#[test]
fn when_space_is_short_the_oldest_segment_goes_and_no_other() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let p = partition(1);
    bench.open(p, one_each());
    for number in 0..3 {
        bench.append_at(p, stamped(NOW + number), NOW);
    }
    let free = Upkeep { partition: p, now: NOW, expire: false, stepped: 0, free: true };
    for log_start in [1, 2, 3, 3] {
        assert_eq!(bench.run_upkeep(free).log_start, log_start);
    }
    eventually("the files go", || bases(&dir.0) == [3]);
    bench.stop();
}

#[test]
fn a_producer_is_known_though_its_segments_are_gone() {
    let dir = TempDir::new();
    let p = partition(1);
    let bench = Bench::start(&dir.0);
    let small = || LogConfig { retention_ms: HOUR, ..config() };
    bench.open(p, small());
    let send =
        |bench: &Bench, sequence| bench.append(p, batch_with(0, 1, idempotent(42, 1, sequence)));
    for sequence in 0..7 {
        send(&bench, sequence).unwrap();
    }
    assert_eq!(bench.upkeep(p, NOW + DAY).log_start, 7);
    eventually("the file goes", || bases(&dir.0) == [7]);
    let image = image_of(&dir);
    bench.stop();
    for dir in [&dir, &image] {
        let bench = Bench::start(&dir.0);
        bench.open(p, small());
        for sequence in 2..7 {
            assert!(send(&bench, sequence).unwrap().duplicate, "{sequence}");
        }
        assert_eq!(send(&bench, 8), Err(AppendError::SequenceGap));
        assert_eq!(send(&bench, 7).unwrap().base_offset, 7);
        bench.stop();
    }
}

#[test]
fn a_range_that_was_handed_out_outlives_its_segment() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let p = partition(1);
    bench.open(p, one_each());
    for number in 0..3 {
        bench.append_at(p, stamped(NOW + number), NOW);
    }
    let part = ReadPart { partition: p, offset: 0, end: 3, bytes_max: 1 << 20 };
    let ranges: Vec<Payload> = bench.run_read(bench.read_job(vec![part])).remove(0).unwrap();
    assert_eq!(bench.trim(p, 3), Ok(3));
    assert_eq!(bench.upkeep(p, NOW).bytes, 0);
    eventually("the files go", || bases(&dir.0) == [3]);
    assert_eq!(batches(&flatten(&ranges)), [(0, 1), (1, 1), (2, 1)]);
    bench.stop();
}

#[test]
fn a_crash_before_the_files_went_leaves_what_the_next_upkeep_removes() {
    let dir = TempDir::new();
    let p = partition(1);
    let bench = Bench::start(&dir.0);
    bench.open(p, one_each());
    for number in 0..5 {
        bench.append_at(p, stamped(NOW + number), NOW);
    }
    assert_eq!(bench.trim(p, 3), Ok(3));
    let image = image_of(&dir);
    bench.stop();
    let inside = |name: &str| image.0.join("topic-0").join(name);
    // Of the first segment the log is gone, the second was on its way out, the third was not touched.
    std::fs::remove_file(inside("00000000000000000000.log")).unwrap();
    let second = "00000000000000000001.log";
    std::fs::rename(inside(second), inside(&format!("{second}.deleted"))).unwrap();
    let bench = Bench::start(&image.0);
    let opened = bench.open(p, one_each());
    assert_eq!((opened.log_start, opened.log_end, opened.due), (3, 5, Some(0)));
    let names = std::fs::read_dir(image.0.join("topic-0")).unwrap();
    let names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let of =
        |base: &str| names.iter().any(|name| name.starts_with(base) && !name.ends_with("shot"));
    assert!(!of("00000000000000000000") && !of("00000000000000000001"), "{names:?}");
    assert_eq!(bench.upkeep(p, NOW).log_start, 3);
    eventually("the third goes, too", || bases(&image.0) == [3, 4]);
    bench.stop();
}

#[test]
fn an_epoch_that_begins_in_an_emptied_log_takes_the_place_of_the_one_before() {
    let dir = TempDir::new();
    let p = partition(1);
    let bench = Bench::start(&dir.0);
    bench.open(p, config());
    bench.append(p, batch(0, 4)).unwrap();
    assert_eq!(bench.trim(p, 4), Ok(4));
    let ticket = bench.ticket();
    bench.storage.submit(Job::Append(Append {
        ticket,
        partition: p,
        records: batch(0, 1).into(),
        sync: true,
        leader_epoch: 5,
        now: NOW,
        origin: Origin::Client,
    }));
    bench.appended(ticket).unwrap();
    bench.synced(p, 5).unwrap();
    let image = image_of(&dir);
    bench.stop();
    let bench = Bench::start(&image.0);
    assert_eq!(bench.open(p, config()).epochs, [(5, 4)]);
    bench.stop();
}

#[test]
fn a_segment_that_a_full_disk_keeps_open_is_looked_after_a_minute_later() {
    const MINUTE: i64 = 60_000;
    let fs = SimFs::new();
    let bench = Bench::start_on(Path::new("/data"), fs.clone());
    let p = partition(1);
    bench.open(p, LogConfig { segment_ms: HOUR, ..config() });
    bench.append_at(p, batch_with(0, 1, idempotent(7, 0, 0)), NOW);
    fs.set_capacity(Some(0));
    let late = NOW + 2 * HOUR;
    assert_eq!(bench.upkeep(p, late).due, Some(late + MINUTE));
    fs.set_capacity(None);
    assert_eq!(bench.upkeep(p, late + MINUTE).due, None);
    bench.stop();
}
