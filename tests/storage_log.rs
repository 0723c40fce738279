//! Appending, reading, rolling and restarting, through the jobs that the broker uses.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_possible_wrap,
    reason = "tests are their own masters"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chronik::base::ids::PartitionId;
use chronik::base::memory::Pool;
use chronik::base::payload::{Bytes, Payload};
use chronik::record::TimestampType;
use chronik::record::batch::{Batches, Prefix, verify_crc};
use chronik::record::builder::{BatchBuilder, BatchOptions};
use chronik::record::compression::Codec;
use chronik::storage::job::{
    Append, AppendError, Appended, Job, LogConfig, Open, Origin, Outcome, Read, ReadError,
    ReadPart, TimeTarget,
};
use chronik::storage::pool::Options;

#[path = "support/storage.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use support::*;

#[test]
fn what_was_appended_is_read_at_every_offset() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    assert!(bench.started.clean && bench.started.new);
    let p = partition(1);
    assert_eq!(bench.open(p, config()).log_end, 0);
    for first in (0..50).step_by(5) {
        let appended = bench.append(p, batch(first, 5)).unwrap();
        assert_eq!((appended.base_offset, appended.end_offset), (first, first + 5));
    }
    for offset in 0..50 {
        let got = batches(&bench.read(p, offset, 1).unwrap());
        assert_eq!(got, [(offset / 5 * 5, 5)], "offset {offset}");
    }
    assert_eq!(batches(&bench.read(p, 0, 1 << 20).unwrap()).len(), 10);
    assert_eq!(bench.read(p, 50, 100), Ok(vec![]));
    assert_eq!(bench.read(p, 51, 100), Err(ReadError::OutOfRange));
    bench.stop();
}

/// The offsets of a set of messages of an old format.
fn old_offsets(mut set: &[u8]) -> Vec<i64> {
    let mut offsets = Vec::new();
    while let Some((offset, rest)) = set.split_first_chunk() {
        let (length, rest) = rest.split_first_chunk().unwrap();
        offsets.push(i64::from_be_bytes(*offset));
        set = rest.split_at(u32::from_be_bytes(*length) as usize).1;
    }
    offsets
}

#[test]
fn an_old_client_is_given_records_without_a_gap_while_memory_for_them_comes_and_goes() {
    let dir = TempDir::new();
    let pool = Pool::new("conversions", 1000);
    let own = Options { conversions: Arc::clone(&pool), ..options(&dir.0) };
    let bench = Bench::try_start(own).unwrap();
    let p = partition(1);
    bench.open(p, LogConfig { segment_bytes: 100, ..config() });
    for first in 0..8 {
        bench.append(p, batch(first, 1)).unwrap();
    }
    let is_over = AtomicBool::new(false);
    let read = || {
        let part = ReadPart { partition: p, offset: 0, end: i64::MAX, bytes_max: 1 << 20 };
        let mut parts = bench.run_read(Read { magic_max: 1, ..bench.read_job(vec![part]) });
        old_offsets(&flatten(&parts.remove(0).unwrap()))
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                drop(pool.reserve_anyway(2000));
            }
        });
        let offsets: Vec<Vec<i64>> = (0..3000).map(|_| read()).collect();
        is_over.store(true, Ordering::Relaxed);
        for read in offsets {
            assert_eq!(read, (0..read.len() as i64).collect::<Vec<_>>());
        }
    });
}

#[test]
fn a_clean_restart_has_everything() {
    let dir = TempDir::new();
    let p = partition(1);
    let small = || LogConfig { segment_bytes: 1000, ..config() };
    {
        let bench = Bench::start(&dir.0);
        bench.open(p, small());
        for first in 0..100 {
            bench.append(p, batch(first, 1)).unwrap();
        }
        bench.stop();
    }
    for round in 0..3 {
        let bench = Bench::start(&dir.0);
        assert!(bench.started.clean && !bench.started.new);
        let opened = bench.open(p, small());
        assert_eq!((opened.log_start, opened.log_end), (0, 100 + round));
        assert_eq!(opened.epochs, [(3, 0)]);
        let all = batches(&bench.read(p, 0, 1 << 20).unwrap());
        assert_eq!(all.len() as i64, 100 + round);
        for offset in 0..100 {
            assert_eq!(batches(&bench.read(p, offset, 1).unwrap()), [(offset, 1)]);
        }
        bench.append(p, batch(0, 1)).unwrap();
        bench.stop();
    }
}

#[test]
fn segments_roll_by_size_by_time_and_by_index() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let by_size = LogConfig { segment_bytes: 1000, ..config() };
    let by_time = LogConfig { segment_ms: 10, ..config() };
    let by_index = LogConfig { index_bytes_max: 24, index_interval_bytes: 100, ..config() };
    for (number, config) in [(1, by_size), (2, by_time), (3, by_index)] {
        let p = partition(number);
        bench.storage.submit(open_named(&bench, p, &format!("t{number}"), config));
        for first in 0..40 {
            bench.append(p, batch(first, 1)).unwrap();
        }
        let logs = names(&dir.0.join(format!("t{number}-0")), ".log");
        assert!(logs.len() > 2 && logs.len() < 40, "{number}: {logs:?}");
        for offset in 0..40 {
            assert_eq!(batches(&bench.read(p, offset, 1).unwrap()), [(offset, 1)]);
        }
        assert_eq!(batches(&bench.read(p, 0, 1 << 20).unwrap()).len(), 40);
    }
    bench.stop();
}

#[test]
fn a_read_keeps_to_its_end_and_its_budget() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let (p, q) = (partition(1), partition(2));
    bench.open(p, config());
    bench.storage.submit(open_named(&bench, q, "other", config()));
    let three = batch(0, 5).len() + batch(5, 5).len() + batch(10, 5).len();
    for first in (0..50).step_by(5) {
        bench.append(p, batch(first, 5)).unwrap();
        bench.append(q, batch(first, 5)).unwrap();
    }
    let part = |partition, offset, end, bytes_max| ReadPart { partition, offset, end, bytes_max };
    let mut parts = bench.run_read(bench.read_job(vec![part(p, 7, 20, 1 << 20)]));
    let got = batches(&flatten(&parts.remove(0).unwrap()));
    assert_eq!(got, [(5, 5), (10, 5), (15, 5)], "only what lies below the end");
    // The first batch of the first partition comes whole; what is left is not enough for any other.
    let mut read = bench.read_job(vec![part(p, 0, 50, 1 << 20), part(q, 0, 50, 1 << 20)]);
    read.bytes_max = 10;
    let parts = bench.run_read(read);
    assert_eq!(batches(&flatten(parts[0].as_ref().unwrap())), [(0, 5)]);
    assert_eq!(parts[1], Ok(vec![]));
    // The budget is shared, in the order of the parts.
    let mut read = bench.read_job(vec![part(p, 50, 50, 1 << 20), part(q, 0, 50, three + 1)]);
    read.bytes_max = 2 * three;
    let parts = bench.run_read(read);
    assert_eq!(parts[0], Ok(vec![]));
    assert_eq!(batches(&flatten(parts[1].as_ref().unwrap())).len(), 3);
    bench.stop();
}

#[test]
fn a_read_is_one_range_wherever_it_ends() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let p = partition(1);
    bench.open(p, LogConfig { index_interval_bytes: 300, ..config() });
    (100..200).for_each(|value| drop(bench.append(p, batch(value, 1)).unwrap()));
    let all = bench.read(p, 0, 1 << 20).unwrap();
    let one = all.len() / 100;
    // Nearly half of the batches have an entry in the index, and some of these are the first that does not fit.
    for bytes_max in (one..40 * one).step_by(one / 2) {
        for offset in [0, 7, 31] {
            let part = ReadPart { partition: p, offset, end: 100, bytes_max };
            let found = bench.run_read(bench.read_job(vec![part])).remove(0).unwrap();
            let whole = bytes_max / one * one;
            assert_eq!(
                (found.len(), flatten(&found).len()),
                (1, whole),
                "{bytes_max} from {offset}"
            );
        }
    }
    bench.stop();
}

#[test]
fn an_append_says_where_its_batch_is() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let p = partition(1);
    bench.open(p, LogConfig { segment_bytes: 500, ..config() });
    for first in 0..20 {
        let appended = bench.append(p, batch(first, 1)).unwrap();
        let range = Payload::File(appended.batch.expect("one batch"));
        assert_eq!(flatten(&[range]), bench.read(p, first, 1).unwrap());
    }
    let two = [batch(20, 1), batch(21, 1)].concat();
    let several = bench.append(p, two).unwrap();
    assert_eq!(several.batch, None, "nobody could tell where the second one begins");
    bench.stop();
}

#[test]
fn offsets_epochs_and_times_are_the_brokers() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let p = partition(1);
    bench.open(p, LogConfig { log_append_time: true, ..config() });
    let mut records = batch(0, 2);
    records[0..8].copy_from_slice(&12345i64.to_be_bytes());
    records[12..16].copy_from_slice(&77i32.to_be_bytes());
    let mut twice = records.clone();
    twice.extend(&records);
    let appended = bench.append(p, twice).unwrap();
    assert_eq!((appended.base_offset, appended.end_offset), (0, 4));
    assert_eq!(appended.log_append_time, NOW);
    let stored = bench.read(p, 0, 1 << 20).unwrap();
    let found = Batches::new(&Bytes::from(stored)).map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(found.len(), 2);
    for (number, (header, bytes)) in found.iter().enumerate() {
        assert_eq!(header.base_offset, 2 * number as i64);
        assert_eq!((header.partition_leader_epoch, header.max_timestamp), (3, NOW));
        assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
        verify_crc(bytes).unwrap();
    }
    bench.stop();
}

type Expected = fn(&AppendError) -> bool;

#[test]
fn what_breaks_a_rule_is_refused_and_leaves_no_trace() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let p = partition(1);
    let strict = LogConfig {
        batch_bytes_max: 500,
        timestamp_after_ms_max: 1000,
        timestamp_before_ms_max: 1000,
        ..config()
    };
    bench.open(p, strict);
    let mut flipped = batch(0, 1);
    *flipped.last_mut().unwrap() ^= 1;
    let mut half = batch(0, 1);
    half.pop();
    let mut miscounted = batch(0, 2);
    miscounted[57..61].copy_from_slice(&1i32.to_be_bytes());
    let crc = crc32c::crc32c(&miscounted[21..]);
    miscounted[17..21].copy_from_slice(&crc.to_be_bytes());
    let control = batch_with(0, 1, BatchOptions { control: true, ..BatchOptions::default() });
    let cases: Vec<(Vec<u8>, Expected)> = vec![
        (flipped, |e| matches!(e, AppendError::Corrupt(_))),
        (half, |e| matches!(e, AppendError::Corrupt(_))),
        (vec![], |e| matches!(e, AppendError::Invalid(_))),
        (vec![0; 100], |e| matches!(e, AppendError::Corrupt(_))),
        (miscounted, |e| matches!(e, AppendError::Invalid(_))),
        (control, |e| matches!(e, AppendError::Invalid(_))),
        (batch(0, 100), |e| *e == AppendError::TooLarge),
        (batch(1001, 1), |e| *e == AppendError::TimestampOutOfRange),
        (batch(-1001, 1), |e| *e == AppendError::TimestampOutOfRange),
    ];
    for (records, expected) in cases {
        let error = bench.append(p, records).unwrap_err();
        assert!(expected(&error), "{error:?}");
    }
    assert_eq!(bench.append(partition(9), batch(0, 1)), Err(AppendError::UnknownPartition));
    assert_eq!(bench.append(p, batch(0, 1)).unwrap().base_offset, 0);
    bench.stop();
}

#[test]
fn a_compacted_log_takes_no_record_without_a_key() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let p = partition(1);
    bench.open(p, LogConfig { compact: true, ..config() });
    let mut builder = BatchBuilder::new(compressed(Codec::Gzip)).unwrap();
    builder.append(NOW, Some(b"k"), Some(b"v"), &[]).unwrap();
    builder.append(NOW, None, Some(b"v"), &[]).unwrap();
    let refused = bench.append(p, builder.finish().unwrap());
    assert_eq!(refused, Err(AppendError::Keyless(vec![1])));
    let mut malformed = batch(0, 2);
    malformed[61] = 2; // the first record's length is 1
    let crc = crc32c::crc32c(&malformed[21..]);
    malformed[17..21].copy_from_slice(&crc.to_be_bytes());
    let refused = bench.append(p, malformed);
    assert!(matches!(refused, Err(AppendError::Invalid(_))), "{refused:?}");
    bench.append(p, batch(0, 2)).unwrap();
    bench.stop();
}

#[test]
fn many_appends_at_once_become_few_syncs_and_few_wakes() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let p = partition(1);
    bench.open(p, config());
    let before = bench.wakes.load(Ordering::SeqCst);
    let tickets: Vec<_> = (0..500).map(|first| bench.submit(p, batch(first, 1), true)).collect();
    for (first, ticket) in tickets.into_iter().enumerate() {
        assert_eq!(bench.appended(ticket).unwrap().base_offset, first as i64);
    }
    bench.synced(p, 500).unwrap();
    let wakes = bench.wakes.load(Ordering::SeqCst) - before;
    let syncs = bench.storage.stats().sync.count();
    assert!(wakes <= syncs + 1 && syncs < 250, "{wakes} wakes, {syncs} syncs");
    bench.stop();
}

#[test]
fn an_append_without_sync_is_synced_on_demand() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let p = partition(1);
    bench.open(p, config());
    let ticket = bench.submit(p, batch(0, 3), false);
    bench.appended(ticket).unwrap();
    assert_eq!(bench.storage.stats().sync.count(), 0);
    bench.storage.submit(Job::Sync { partition: p, awaited: true });
    bench.synced(p, 3).unwrap();
    // The log and the file of leader epochs.
    assert_eq!(bench.storage.stats().sync.count(), 2);
    bench.storage.submit(Job::Sync { partition: p, awaited: true });
    bench.synced(p, 3).unwrap();
    assert_eq!(bench.storage.stats().sync.count(), 2);
    bench.stop();
}

/// Twenty partitions.
fn many() -> Vec<PartitionId> {
    (0..20).map(|index| PartitionId { topic: topic(1), index }).collect()
}

/// Appends a record of an idempotent producer, for the sync of which nobody waits.
fn send(bench: &Bench, p: PartitionId, id: i64, sequence: i32) -> Result<Appended, AppendError> {
    bench.appended(bench.submit(p, batch_with(0, 1, idempotent(id, 0, sequence)), false))
}

#[test]
fn of_too_many_producers_over_all_partitions_the_longest_silent_are_forgotten() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let many = many();
    let gap = |p, id| send(&bench, p, id, 100);
    let (first_of_all, last_of_all) = (many[0], many[19]);
    for (p, first) in many.iter().zip((0..).step_by(1000)) {
        bench.open(*p, config());
        for id in first..first + 1000 {
            send(&bench, *p, id, 0).unwrap();
        }
        // The first of all never is silent for long.
        assert_eq!(gap(first_of_all, 0), Err(AppendError::SequenceGap));
        let next = i32::try_from(first / 1000 + 1).unwrap();
        send(&bench, first_of_all, 0, next).unwrap();
    }
    assert!(gap(first_of_all, 1).is_ok(), "the oldest is forgotten");
    assert_eq!(gap(last_of_all, 19_999), Err(AppendError::SequenceGap), "the newest is not");
    bench.stop();
}

#[test]
fn producers_that_retention_reads_are_not_too_many_either() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let many = many();
    for p in &many {
        bench.open(*p, config());
        for id in 0..1000 {
            send(&bench, *p, id, 0).unwrap();
        }
    }
    bench.stop();
    let bench = Bench::start(&dir.0);
    for p in &many {
        bench.open(*p, config());
        assert_eq!(bench.trim(*p, 1000), Ok(1000));
        assert_eq!(bench.upkeep(*p, NOW).bytes, 0);
    }
    let (first, last) = (many[0], many[19]);
    assert_eq!(send(&bench, last, 999, 100), Err(AppendError::SequenceGap));
    assert!(send(&bench, first, 0, 100).is_ok(), "those that were read first are forgotten");
    bench.stop();
}

#[test]
fn idempotent_producers_go_on_after_a_clean_restart() {
    let dir = TempDir::new();
    let p = partition(1);
    let send = |bench: &Bench, sequence: i32| {
        bench.append(p, batch_with(0, 2, idempotent(42, 1, sequence)))
    };
    let small = || LogConfig { segment_bytes: 300, ..config() };
    {
        let bench = Bench::start(&dir.0);
        bench.open(p, small());
        for number in 0..7 {
            assert_eq!(send(&bench, number * 2).unwrap().base_offset, i64::from(number) * 2);
        }
        bench.stop();
    }
    let bench = Bench::start(&dir.0);
    bench.open(p, small());
    for number in 2..7 {
        let again = send(&bench, number * 2).unwrap();
        assert_eq!((again.base_offset, again.duplicate), (i64::from(number) * 2, true));
    }
    assert_eq!(send(&bench, 2), Err(AppendError::SequenceGap));
    assert_eq!(send(&bench, 16), Err(AppendError::SequenceGap));
    let fenced = bench.append(p, batch_with(0, 1, idempotent(42, 0, 14)));
    assert_eq!(fenced, Err(AppendError::FencedProducer));
    assert_eq!(send(&bench, 14).unwrap().base_offset, 14);
    bench.stop();
}

#[test]
fn appends_that_wait_together_see_each_other() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let p = partition(1);
    bench.open(p, config());
    let order = [0, 2, 2, 0, 6, 4, 4, 6];
    let send = |sequence| bench.submit(p, batch_with(0, 2, idempotent(7, 0, sequence)), false);
    let tickets: Vec<_> = order.into_iter().map(send).collect();
    let results: Vec<_> = tickets.into_iter().map(|ticket| bench.appended(ticket)).collect();
    let seen: Vec<_> =
        results.iter().map(|r| r.as_ref().map(|a| (a.base_offset, a.duplicate))).collect();
    let gap = &AppendError::SequenceGap;
    let expected = [
        Ok((0, false)),
        Ok((2, false)),
        Ok((2, true)),
        Ok((0, true)),
        Err(gap),
        Ok((4, false)),
        Ok((4, true)),
        Ok((6, false)),
    ];
    assert_eq!(seen, expected);
    bench.stop();
}

#[test]
fn times_are_found_in_records_of_compressed_batches() {
    let dir = TempDir::new();
    let p = partition(1);
    let small = || LogConfig { segment_bytes: 2000, index_interval_bytes: 200, ..config() };
    let check = |bench: &Bench| {
        for wanted in 0..300i64 {
            let found = bench.find_time(p, TimeTarget::AtOrAfter(NOW + wanted * 2 - 1), i64::MAX);
            let found = found.unwrap().unwrap();
            assert_eq!((found.offset, found.timestamp), (wanted * 2, NOW + wanted * 2));
            assert_eq!(found.leader_epoch, 3);
        }
        assert_eq!(bench.find_time(p, TimeTarget::AtOrAfter(NOW + 600), i64::MAX), Ok(None));
        assert_eq!(bench.find_time(p, TimeTarget::AtOrAfter(NOW + 100), 50), Ok(None));
        let largest = bench.find_time(p, TimeTarget::Largest, i64::MAX).unwrap().unwrap();
        assert_eq!(largest.offset, 600 - 2);
        for end in [10, 100, 333, 590] {
            let largest = bench.find_time(p, TimeTarget::Largest, end).unwrap().unwrap();
            assert!(largest.offset < end + 10 && largest.offset + 10 >= end, "{largest:?} {end}");
        }
    };
    {
        let bench = Bench::start(&dir.0);
        bench.open(p, small());
        assert_eq!(bench.find_time(p, TimeTarget::Largest, i64::MAX), Ok(None));
        for first in (0..600).step_by(10) {
            // Two records of each timestamp: the first one is meant.
            let mut builder = BatchBuilder::new(compressed(Codec::Lz4)).unwrap();
            for number in (first..first + 10).step_by(2) {
                builder.append(NOW + number, None, Some(b"one"), &[]).unwrap();
                builder.append(NOW + number, None, Some(b"two"), &[]).unwrap();
            }
            bench.append(p, builder.finish().unwrap()).unwrap();
        }
        check(&bench);
        bench.stop();
    }
    let bench = Bench::start(&dir.0);
    bench.open(p, small());
    check(&bench);
    bench.stop();
}

#[test]
fn the_largest_time_is_that_of_the_records_that_are_left() {
    // Each line is a batch.
    let logs: [&[&[i64]]; 4] = [
        &[&[0, 100, 50], &[10, 20, 30], &[30, 25, 7]],
        &[&[9], &[8, 8, 2], &[7, 1, 7], &[6, 5], &[4, 4, 3]],
        &[&[-1, -1], &[-1, -1, -1]],
        &[&[5, -1], &[-1, -1], &[1, 2]],
    ];
    for (codec, segment_bytes) in
        [(Codec::None, 150), (Codec::Gzip, 250), (Codec::None, 1 << 20), (Codec::Lz4, 1 << 20)]
    {
        let dir = TempDir::new();
        let bench = Bench::start(&dir.0);
        for (index, log) in (0..).zip(logs) {
            let p = PartitionId { index, ..partition(1) };
            bench.open(p, LogConfig { segment_bytes, index_interval_bytes: 60, ..config() });
            for times in log {
                let mut builder = BatchBuilder::new(compressed(codec)).unwrap();
                for time in *times {
                    builder.append(*time, None, Some(b"value"), &[]).unwrap();
                }
                bench.append(p, builder.finish().unwrap()).unwrap();
            }
            let times: Vec<i64> = log.concat();
            for start in 0..=times.len() {
                bench.trim(p, i64::try_from(start).unwrap()).unwrap();
                let left: Vec<(i64, i64)> = (0..).zip(times.iter().copied()).skip(start).collect();
                let largest = left.into_iter().rev().max_by_key(|(_, time)| *time);
                let found = bench.find_time(p, TimeTarget::Largest, i64::MAX).unwrap();
                let found = found.map(|found| (found.offset, found.timestamp));
                assert_eq!(found, largest, "{times:?} from {start}, {codec:?}, {segment_bytes}");
            }
        }
        bench.stop();
    }
}

#[test]
fn starts_of_segments_come_newest_first_from_a_time_on() {
    let dir = TempDir::new();
    let p = partition(1);
    let small = LogConfig { segment_bytes: 100, ..config() };
    let (ever, later) = (None, Some(NOW + 1000));
    let starts = |bench: &Bench, count, before, end| -> Vec<i64> {
        let found = bench.find_times(p, TimeTarget::Starts(count, before), end).unwrap();
        assert!(found.iter().all(|start| (start.timestamp, start.leader_epoch) == (-1, -1)));
        found.iter().map(|start| start.offset).collect()
    };
    let bench = Bench::start(&dir.0);
    bench.open(p, small.clone());
    assert_eq!(starts(&bench, 10, ever, 0), [0], "an empty log starts and ends there");
    for (records, at) in [(2, NOW), (1, NOW + 1000), (2, NOW + 2000), (1, NOW + 500)] {
        bench.append_at(p, batch(0, records), at);
    }
    for (count, before, expected) in [
        (10, ever, &[6, 5, 3, 2, 0][..]),
        (2, ever, &[6, 5]),
        (0, ever, &[]),
        // As in Kafka: the newest that is old enough, and all before it.
        (10, later, &[5, 3, 2, 0]),
        (10, Some(NOW), &[0]),
        (10, Some(NOW - 1), &[]),
    ] {
        assert_eq!(starts(&bench, count, before, 6), expected, "{count} {before:?}");
    }
    assert_eq!(starts(&bench, 10, ever, 4), [4, 3, 2, 0], "nothing beyond what is visible");
    bench.trim(p, 4).unwrap();
    assert_eq!(starts(&bench, 10, ever, 6), [6, 5, 4]);
    bench.trim(p, 6).unwrap();
    assert_eq!(starts(&bench, 10, ever, 6), [6]);
    bench.stop();
}

#[test]
fn old_clients_get_old_formats_within_their_limit() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let p = partition(1);
    bench.open(p, config());
    for first in (0..20).step_by(5) {
        bench.append(p, batch(first, 5)).unwrap();
    }
    for magic in [0, 1] {
        let part = ReadPart { partition: p, offset: 7, end: 20, bytes_max: 1 << 20 };
        let mut read = Read { magic_max: magic, ..bench.read_job(vec![part]) };
        read.whole_first_batch = false;
        let bytes = flatten(&bench.run_read(read).remove(0).unwrap());
        let first = Prefix::read(&bytes).unwrap();
        assert_eq!((first.magic, first.offset), (magic, 7));
        let part = ReadPart { bytes_max: 30, ..part };
        let mut read = Read { magic_max: magic, ..bench.read_job(vec![part]) };
        read.whole_first_batch = false;
        let cut = flatten(&bench.run_read(read).remove(0).unwrap());
        assert_eq!(cut, bytes[..30], "as much as fits");
    }
    bench.stop();
}

#[test]
fn a_removed_partition_is_gone_and_its_name_is_free() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let (old, new) = (partition(1), partition(2));
    bench.open(old, config());
    bench.append(old, batch(0, 5)).unwrap();
    let held = bench.run_read(bench.read_job(vec![ReadPart {
        partition: old,
        offset: 0,
        end: 5,
        bytes_max: 1 << 20,
    }]));
    let ticket = bench.ticket();
    bench.storage.submit(Job::Remove { ticket, partition: old });
    bench
        .wait(|outcome| match outcome {
            Outcome::Removed { ticket: t, result, .. } if *t == ticket => Some(result.clone()),
            _ => None,
        })
        .unwrap();
    assert_eq!(bench.read(old, 0, 100), Err(ReadError::UnknownPartition));
    assert_eq!(bench.append(old, batch(0, 1)), Err(AppendError::UnknownPartition));
    assert_eq!(bench.open(new, config()).log_end, 0);
    bench.append(new, batch(0, 1)).unwrap();
    assert_eq!(batches(&flatten(held[0].as_ref().unwrap())), [(0, 5)], "a range holds its file");
    bench.stop();
    let left: Vec<String> = names(&dir.0, "").into_iter().filter(|n| n.contains("topic")).collect();
    assert_eq!(left, ["topic-0"]);
}

#[test]
fn directories_nobody_knows_are_kept_aside_and_removed_ones_go() {
    let dir = TempDir::new();
    let [known, stray, removed] = [partition(1), partition(2), partition(3)];
    {
        let bench = Bench::start(&dir.0);
        for (number, p) in [known, stray, removed].into_iter().enumerate() {
            bench.storage.submit(open_named(&bench, p, &format!("t{number}"), config()));
            bench.append(p, batch(0, 5)).unwrap();
        }
        bench.stop();
    }
    let bench = Bench::start(&dir.0);
    let known_names = [(known, "t0".into())];
    bench.storage.sort_out_directories(&known_names, &[removed.topic]).unwrap();
    bench.stop();
    let left: Vec<String> =
        names(&dir.0, "").into_iter().filter(|name| name.starts_with('t')).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(left[0], "t0-0");
    assert!(left[1].starts_with("t1-0.") && left[1].ends_with("-stray"), "{left:?}");
}

#[test]
fn no_directory_kept_aside_replaces_another() {
    let dir = TempDir::new();
    let long = "x".repeat(249);
    std::fs::create_dir(dir.0.join("photos-delete")).unwrap();
    for round in 1..=2 {
        let bench = Bench::start(&dir.0);
        for index in 0..3 {
            let p = PartitionId { topic: topic(1), index };
            bench.storage.submit(open_named(&bench, p, &long, config()));
            bench.append(p, batch(0, 5)).unwrap();
        }
        bench.stop();
        let bench = Bench::start(&dir.0);
        bench.storage.sort_out_directories(&[], &[]).unwrap();
        bench.stop();
        let stray = names(&dir.0, "-stray");
        assert_eq!(stray.len(), 3 * round, "{stray:?}");
        for name in stray {
            assert!(dir.0.join(name).join("00000000000000000000.log").exists());
        }
    }
    assert!(dir.0.join("photos-delete").exists(), "nobody renamed it so here");
}

#[test]
fn the_journal_is_replayed_in_order() {
    let dir = TempDir::new();
    let p = partition(1);
    let small = std::sync::Arc::new(LogConfig { segment_bytes: 500, ..config() });
    for round in 0..3i64 {
        let bench = Bench::start(&dir.0);
        let mut seen = Vec::new();
        let opened = bench
            .storage
            .replay(p, "__cluster_metadata", &small, &mut |header, bytes| {
                verify_crc(bytes).unwrap();
                seen.push(header.base_offset);
            })
            .unwrap();
        assert_eq!(opened.log_end, round * 20);
        assert_eq!(seen, (0..round * 20).collect::<Vec<_>>());
        for first in 0..20 {
            bench.append(p, batch(first, 1)).unwrap();
        }
        bench.stop();
    }
}

#[test]
fn a_thousand_partitions_open_without_a_descriptor() {
    let dir = TempDir::new();
    let partitions: Vec<PartitionId> =
        (0..1000).map(|index| PartitionId { topic: topic(1), index }).collect();
    {
        let bench = Bench::start(&dir.0);
        let tickets: Vec<_> = partitions
            .iter()
            .map(|p| {
                bench.storage.submit(open_named(&bench, *p, "many", config()));
                bench.submit(*p, batch(0, 1), false)
            })
            .collect();
        for ticket in tickets {
            bench.appended(ticket).unwrap();
        }
        assert!(bench.storage.files_open() > 0);
        bench.stop();
    }
    let begun = std::time::Instant::now();
    let bench = Bench::start(&dir.0);
    for p in &partitions {
        bench.storage.submit(open_named(&bench, *p, "many", config()));
    }
    for _ in &partitions {
        let opened = bench.wait(|outcome| match outcome {
            Outcome::Opened { result, .. } => Some(result.clone()),
            _ => None,
        });
        assert_eq!(opened.unwrap().log_end, 1);
    }
    let took = begun.elapsed();
    assert!(took.as_millis() < 2000, "{took:?}");
    println!("1000 partitions in {took:?}");
    assert_eq!(bench.storage.files_open(), 0);
    bench.stop();
}

fn open_named(bench: &Bench, partition: PartitionId, topic: &str, config: LogConfig) -> Job {
    let (topic, config) = (topic.into(), std::sync::Arc::new(config));
    Job::Open(Open { ticket: bench.ticket(), partition, topic, config })
}

fn names(dir: &std::path::Path, suffix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(suffix)).collect();
    names.sort();
    names
}

/// A directory that moves away under its sync is no disk that fails.
#[test]
fn removing_partitions_while_they_are_synced_leaves_a_clean_stop() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    for number in 1..=60 {
        let p = partition(number);
        bench.open(p, config());
        bench.submit(p, batch(0, 1), true);
        let ticket = bench.ticket();
        bench.storage.submit(Job::Remove { ticket, partition: p });
        bench.wait(|outcome| match outcome {
            Outcome::Removed { ticket: t, .. } => (*t == ticket).then_some(()),
            _ => None,
        });
    }
    bench.stop();
    assert!(Bench::start(&dir.0).started.clean);
}

#[test]
fn what_the_broker_writes_down_fits_however_small_segments_are() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let (p, small) = (partition(1), LogConfig { segment_bytes: 200, ..config() });
    bench.open(p, small.clone());
    let large = batch(0, 100);
    assert!(large.len() > 200);
    assert!(matches!(bench.append(p, large.clone()), Err(AppendError::TooLarge)), "of a client");
    for (offset, records) in [(0, batch(0, 1)), (1, large), (101, batch(0, 1))] {
        let ticket = bench.ticket();
        bench.storage.submit(Job::Append(Append {
            ticket,
            partition: p,
            records: Bytes::from_vec(records),
            sync: true,
            leader_epoch: 3,
            now: NOW,
            origin: Origin::Broker,
        }));
        assert_eq!(bench.appended(ticket).unwrap().base_offset, offset);
    }
    let all = [(0, 1), (1, 100), (101, 1)];
    assert_eq!(batches(&bench.read(p, 0, 1 << 20).unwrap()), all);
    assert_eq!(names(&dir.0.join("topic-0"), ".log").len(), 3, "it has a segment of its own");
    bench.stop();
    let bench = Bench::start(&dir.0);
    assert_eq!(bench.open(p, small).log_end, 102);
    assert_eq!(batches(&bench.read(p, 0, 1 << 20).unwrap()), all);
    bench.stop();
}
