//! Compaction, through the jobs that the broker uses: what stays, what goes, and what nobody notices of it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests are their own masters"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chronik::base::ids::Ticket;
use chronik::base::payload::Bytes;
use chronik::base::time::Mono;
use chronik::record::batch::{BatchHeader, Batches, verify_crc};
use chronik::record::builder::{BatchBuilder, BatchOptions};
use chronik::record::compression::Codec;
use chronik::record::control::{EndTransaction, Marker};
use chronik::record::records::RecordReader;
use chronik::storage::fs::Fs as _;
use chronik::storage::job::{
    Append, Appended, FindTimes, Job, LogConfig, Open, Opened, Origin, Outcome, Read, ReadError,
    ReadPart, TimeQuery, TimeTarget, TimedOffset, Upkeep, Upkept,
};
use chronik::storage::marks::slot_position;
use chronik::storage::pool::{CompactionLimits, Options};
use chronik::storage::stepped::Stepped;
use chronik::testing::fs::{At, Fault, Image, Kind, Operation, SimFs};

#[path = "support/storage.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use support::{NOW, config, flatten, options, partition};

/// Storage without threads on a disk in memory.
struct World {
    fs: Arc<SimFs>,
    storage: Stepped,
    limits: CompactionLimits,
    tickets: u64,
    mono: u64,
    outcomes: Vec<Outcome>,
    /// The number of the partition that is written to and looked after.
    at: u8,
}

const DIR: &str = "/data";
const P: u8 = 1;

/// A compacted topic with segments of a few batches.
fn compacted() -> LogConfig {
    LogConfig {
        compact: true,
        delete: false,
        segment_bytes: 2000,
        index_interval_bytes: 100,
        min_dirty_permille: 0,
        delete_retention_ms: 1000,
        ..config()
    }
}

impl World {
    fn new(limits: CompactionLimits) -> World {
        World::on(SimFs::new(), limits)
    }

    fn on(fs: Arc<SimFs>, limits: CompactionLimits) -> World {
        let storage = World::start(&fs, limits);
        World { fs, storage, limits, tickets: 0, mono: 0, outcomes: Vec::new(), at: P }
    }

    fn start(fs: &Arc<SimFs>, limits: CompactionLimits) -> Stepped {
        let options =
            Options { fs: Arc::clone(fs) as Arc<_>, compaction: limits, ..options(Path::new(DIR)) };
        Stepped::start(&options).unwrap().0
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Until nobody has anything to do.
    fn run(&mut self) {
        while let Some(worker) = self.storage.runnable().first().copied() {
            self.storage.step(worker, Mono(self.mono));
        }
        self.storage.take_outcomes(&mut self.outcomes);
    }

    fn submit(&mut self, job: Job) {
        self.storage.submit(job);
        self.run();
    }

    fn take<T>(&mut self, pick: impl Fn(&Outcome) -> Option<T>) -> T {
        let found = self.outcomes.iter().enumerate().find_map(|(i, o)| pick(o).map(|t| (i, t)));
        let (index, found) = found.unwrap_or_else(|| panic!("not among {:?}", self.outcomes));
        self.outcomes.remove(index);
        found
    }

    fn open(&mut self, config: LogConfig) -> Opened {
        self.open_as(P, "topic", config)
    }

    fn open_as(&mut self, number: u8, topic: &str, config: LogConfig) -> Opened {
        let (ticket, partition) = (self.ticket(), partition(number));
        let topic = Arc::from(topic);
        self.submit(Job::Open(Open { ticket, partition, topic, config: Arc::new(config) }));
        self.take(|outcome| match outcome {
            Outcome::Opened { result, .. } => Some(result.clone().unwrap()),
            _ => None,
        })
    }

    fn append_as(&mut self, records: Vec<u8>, origin: Origin) -> Appended {
        let ticket = self.ticket();
        self.submit(Job::Append(Append {
            ticket,
            partition: partition(self.at),
            records: Bytes::from_vec(records),
            sync: true,
            leader_epoch: 3,
            now: NOW,
            origin,
        }));
        self.take(|outcome| match outcome {
            Outcome::Appended { result, .. } => Some(result.clone().unwrap()),
            _ => None,
        })
    }

    fn append(&mut self, records: Vec<u8>) -> Appended {
        self.append_as(records, Origin::Client)
    }

    fn put(&mut self, key: &str, value: Option<&str>) -> i64 {
        self.append(batch(&[(key, value)], BatchOptions::default())).base_offset
    }

    /// Fills segments with keys that nothing else uses, so that what came before is closed.
    fn roll(&mut self) {
        let filler = "x".repeat(600);
        for number in 0..4 {
            self.put(&format!("filler {number}"), Some(&filler));
        }
    }

    fn upkeep(&mut self, now: i64, expire: bool) -> Upkept {
        self.outcomes.clear();
        let partition = partition(self.at);
        self.submit(Job::Upkeep(Upkeep { partition, now, expire, free: false, stepped: 0 }));
        let upkept = |outcome: &Outcome| match outcome {
            Outcome::Upkept(upkept) => Some(upkept.clone()),
            _ => None,
        };
        self.outcomes.iter().rev().find_map(upkept).unwrap()
    }

    /// Looks after the partition until it wants nothing more in the next minute.
    fn compact(&mut self, now: i64) -> Upkept {
        let mut at = now;
        for _ in 0..1000 {
            let upkept = self.upkeep(at, true);
            match upkept.due {
                Some(due) if due <= now + 60_000 => at = at.max(due),
                _ => return upkept,
            }
        }
        panic!("compaction does not come to an end");
    }

    fn read_from(&mut self, offset: i64, bytes_max: usize) -> Vec<u8> {
        self.try_read(offset, bytes_max).unwrap()
    }

    fn try_read(&mut self, offset: i64, bytes_max: usize) -> Result<Vec<u8>, ReadError> {
        let ticket = self.ticket();
        let part = ReadPart { partition: partition(P), offset, end: i64::MAX, bytes_max };
        let (parts, whole_first_batch) = (vec![part], true);
        self.submit(Job::Read(Read {
            ticket,
            bytes_max,
            whole_first_batch,
            parts,
            magic_max: 2,
            committed: false,
        }));
        self.take(|outcome| match outcome {
            Outcome::Read { parts, .. } => {
                Some(parts[0].as_deref().map(flatten).map_err(Clone::clone))
            }
            _ => None,
        })
    }

    fn batches(&mut self) -> Vec<(BatchHeader, Bytes)> {
        let bytes = Bytes::from(self.read_from(0, 64 << 20));
        let found: Vec<(BatchHeader, Bytes)> = Batches::new(&bytes).map(Result::unwrap).collect();
        assert!(found.iter().all(|(_, batch)| verify_crc(batch).is_ok()));
        assert!(found.windows(2).all(|pair| pair[0].0.last_offset() < pair[1].0.base_offset));
        found
    }

    fn records(&mut self) -> Vec<Record> {
        self.batches().iter().flat_map(|(_, batch)| records_of(batch)).collect()
    }

    /// What a consumer makes of the log: the newest value of each key.
    fn table(&mut self) -> BTreeMap<String, String> {
        let mut table = BTreeMap::new();
        for record in self.records() {
            match record.value {
                Some(value) => table.insert(record.key, value),
                None => table.remove(&record.key),
            };
        }
        table
    }

    fn find_time(&mut self, target: TimeTarget) -> Option<TimedOffset> {
        let ticket = self.ticket();
        let queries = vec![TimeQuery { partition: partition(P), target, end: i64::MAX }];
        self.submit(Job::FindTimes(FindTimes { ticket, queries }));
        self.take(|outcome| match outcome {
            Outcome::Times { results, .. } => Some(results[0].as_ref().unwrap().first().copied()),
            _ => None,
        })
    }

    fn files(&self, suffix: &str) -> Vec<String> {
        let names = self.fs.files().into_iter().filter_map(|(path, _)| name_in_partition(&path));
        names.filter(|name| name.ends_with(suffix)).collect()
    }

    fn log_bytes(&self) -> u64 {
        let is_log = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "log");
        let files = self.fs.files().into_iter().filter(|(path, _)| is_log(path));
        files.filter(|(path, _)| path.starts_with("/data/topic-0")).map(|(_, bytes)| bytes).sum()
    }

    fn restart(self, config: LogConfig) -> (World, Opened) {
        self.storage.shutdown(NOW).unwrap();
        let mut world = World::on(self.fs, self.limits);
        let opened = world.open(config);
        (world, opened)
    }

    fn crash(self, how: Image, config: LogConfig) -> (World, Opened) {
        let mut world = World::on(self.fs.image(how), self.limits);
        let opened = world.open(config);
        (world, opened)
    }
}

fn name_in_partition(path: &Path) -> Option<String> {
    let name = path.strip_prefix("/data/topic-0").ok()?;
    Some(name.to_str().unwrap().to_owned())
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    offset: i64,
    timestamp: i64,
    key: String,
    value: Option<String>,
}

fn records_of(batch: &[u8]) -> Vec<Record> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut reader = RecordReader::open(batch, 64 << 20).unwrap();
    let mut found = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        found.push(Record {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(text).unwrap_or_default(),
            value: record.value.map(text),
        });
    }
    found
}

fn batch(pairs: &[(&str, Option<&str>)], options: BatchOptions) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options).unwrap();
    for (key, value) in pairs {
        builder.append(NOW, Some(key.as_bytes()), value.map(str::as_bytes), &[]).unwrap();
    }
    builder.finish().unwrap()
}

fn limits() -> CompactionLimits {
    CompactionLimits::default()
}

#[test]
fn the_newest_record_of_each_key_stays_at_its_offset() {
    let mut world = World::new(limits());
    world.open(compacted());
    let mut newest = BTreeMap::new();
    for number in 0..500i64 {
        let key = format!("key {}", number % 7);
        let offset = world.put(&key, Some(&format!("value {number}")));
        newest.insert(key, (offset, format!("value {number}")));
    }
    world.roll();
    let (before, table) = (world.log_bytes(), world.table());
    world.compact(NOW);
    assert!(world.log_bytes() < before / 8, "{} of {before} bytes", world.log_bytes());
    assert_eq!(world.table(), table);
    for record in world.records().iter().filter(|record| record.key.starts_with("key")) {
        let (offset, value) = &newest[&record.key];
        assert!(record.offset <= *offset);
        if record.offset == *offset {
            assert_eq!(record.value.as_ref(), Some(value));
        }
    }
    assert!(world.files(".cleaned").is_empty() && world.files(".swap").is_empty());
    assert!(world.files(".deleted").is_empty());
    assert!(world.files(".log").len() <= 4, "{:?}", world.files(".log"));
}

#[test]
fn a_log_is_as_it_was_after_a_clean_stop_and_after_a_crash() {
    for how in [None, Some(Image::Nothing), Some(Image::Everything)] {
        let mut world = World::new(limits());
        world.open(compacted());
        for number in 0..300 {
            world.put(&format!("key {}", number % 5), Some(&format!("value {number}")));
        }
        world.roll();
        world.compact(NOW);
        let (records, bytes) = (world.records(), world.log_bytes());
        let end = records.last().unwrap().offset + 1;
        let (mut world, opened) = match how {
            None => world.restart(compacted()),
            Some(how) => world.crash(how, compacted()),
        };
        assert_eq!((opened.log_start, opened.log_end, opened.bytes), (0, end, bytes), "{how:?}");
        assert_eq!(world.records(), records, "{how:?}");
        for offset in 0..end {
            let found = Batches::new(&Bytes::from(world.read_from(offset, 1))).next();
            let (header, _) = found.unwrap().unwrap();
            assert!(header.last_offset() >= offset, "{offset}");
            let first = records.iter().find(|record| record.offset >= offset).unwrap();
            assert!(header.base_offset <= first.offset, "{offset}");
        }
        // What is clean is known, unless a power cut has taken that back: nothing is compacted again.
        world.compact(NOW);
        let known = how != Some(Image::Nothing);
        assert!(!known || world.storage.stats().compaction_rounds.get() == 0, "{how:?}");
        assert_eq!(world.put("more", Some("x")), end);
    }
}

#[test]
fn what_a_round_has_put_in_place_is_found_whatever_is_damaged_in_the_marks() {
    let mut world = World::new(limits());
    world.open(compacted());
    for round in 0..3 {
        for number in 0..30 {
            world.put(&format!("key {}", number % 7), Some(&format!("{round} {number}")));
        }
        world.roll();
        world.compact(NOW + round * 10_000);
    }
    let table = world.table();
    for side in [0, 1] {
        let fs = world.fs.image(Image::Nothing);
        let marks = Path::new("/data/chronik-marks-1");
        assert!(fs.flip_bit(marks, (slot_position(0, side) + 40) * 8));
        let mut world = World::on(fs, limits());
        world.open(compacted());
        assert_eq!(world.table(), table, "side {side}");
    }
}

#[test]
fn a_tombstone_goes_a_round_after_its_horizon_and_never_before_what_it_hides() {
    let mut world = World::new(limits());
    world.open(compacted());
    world.put("a", Some("one"));
    world.put("b", Some("two"));
    world.roll();
    world.compact(NOW);
    let tombstone = world.put("a", None);
    world.roll();
    world.compact(NOW + 10);
    let has = |world: &mut World| world.records().iter().any(|record| record.offset == tombstone);
    assert!(has(&mut world));
    assert!(!world.table().contains_key("a"));
    assert!(!world.records().iter().any(|record| record.value.as_deref() == Some("one")));
    let horizon = world.batches().iter().find(|(h, _)| h.base_offset == tombstone).unwrap().0;
    // A round may have waited a second for the durable mark.
    let horizon = horizon.delete_horizon().unwrap();
    assert!((NOW + 1010..=NOW + 2010).contains(&horizon), "{horizon}");
    // Another round, too early; and one with a clock that is not to be trusted.
    world.roll();
    world.compact(NOW + 500);
    assert!(has(&mut world));
    world.roll();
    world.upkeep(NOW + 99_999, false);
    assert!(has(&mut world));
    world.roll();
    world.compact(NOW + 99_999);
    assert!(!has(&mut world));
    assert_eq!(world.table().get("b").map(String::as_str), Some("two"));
    assert!(!world.table().contains_key("a"));
}

#[test]
fn without_a_clock_records_are_compacted_and_tombstones_stay_without_a_horizon() {
    let mut world = World::new(limits());
    world.open(compacted());
    world.put("a", Some("one"));
    let tombstone = world.put("a", None);
    world.roll();
    for _ in 0..5 {
        world.upkeep(5000, false);
    }
    world.roll();
    for _ in 0..5 {
        world.upkeep(5000, false);
    }
    assert!(!world.records().iter().any(|record| record.value.as_deref() == Some("one")));
    let found = world.batches().iter().find(|(h, _)| h.base_offset == tombstone).unwrap().0;
    assert_eq!(found.delete_horizon(), None);
}

#[test]
fn codecs_timestamps_and_producers_survive_in_batches_that_lose_records() {
    for codec in Codec::ALL {
        for log_append_time in [false, true] {
            let mut world = World::new(limits());
            world.open(LogConfig { log_append_time, ..compacted() });
            let producer = |sequence| BatchOptions {
                producer_id: 77,
                producer_epoch: 2,
                base_sequence: sequence,
                codec,
                ..BatchOptions::default()
            };
            let text = "text ".repeat(50);
            let three = |first: &str| {
                [
                    (first.to_owned(), text.clone()),
                    ("b".into(), text.clone()),
                    ("c".into(), text.clone()),
                ]
            };
            for (number, first) in ["stays", "x", "x"].iter().enumerate() {
                let pairs = three(first);
                let pairs: Vec<(&str, Option<&str>)> =
                    pairs.iter().map(|(k, v)| (k.as_str(), Some(v.as_str()))).collect();
                let sequence = i32::try_from(number * 3).unwrap();
                world.append(batch(&pairs, producer(sequence)));
            }
            world.roll();
            let before = world.batches();
            world.compact(NOW);
            let after = world.batches();
            let (was, is) = (before[0].0, after[0].0);
            assert_eq!((is.base_offset, is.last_offset()), (was.base_offset, was.last_offset()));
            assert_eq!(is.codec(), Ok(codec));
            assert_eq!(is.timestamp_type(), was.timestamp_type());
            assert_eq!((is.max_timestamp, is.producer_id), (was.max_timestamp, 77));
            assert_eq!((is.producer_epoch, is.base_sequence), (2, 0));
            assert_eq!((is.partition_leader_epoch, is.record_count), (3, 1));
            assert_eq!(records_of(&after[0].1), records_of(&before[0].1)[..1]);
            // A batch that lost nothing is the same to the byte.
            let same = |(header, bytes): &&(BatchHeader, Bytes)| {
                header.base_offset == 6 && before.iter().any(|(_, b)| b[..] == bytes[..])
            };
            assert_eq!(after.iter().filter(same).count(), 1, "{codec:?}");
        }
    }
}

#[test]
fn a_retry_of_a_batch_that_compaction_has_taken_is_known_for_one() {
    let retry = |sequence| {
        let producer = BatchOptions {
            producer_id: 5,
            producer_epoch: 0,
            base_sequence: sequence,
            ..BatchOptions::default()
        };
        batch(&[("key", Some(&format!("value {sequence}")))], producer)
    };
    let mut world = World::new(limits());
    world.open(compacted());
    let offsets: Vec<i64> = (0..4).map(|number| world.append(retry(number)).base_offset).collect();
    world.roll();
    // A power cut leaves the records alone, so the batches tell who wrote them.
    for suffix in [".snapshot", ".batches"] {
        for name in world.files(suffix) {
            world.fs.remove_file(&Path::new("/data/topic-0").join(name)).unwrap();
        }
    }
    let (mut world, _) = world.crash(Image::Everything, compacted());
    world.compact(NOW);
    assert!(world.records().iter().all(|record| record.value != Some("value 2".into())));
    let (mut world, _) = world.crash(Image::Nothing, compacted());
    for (sequence, offset) in (0..).zip(offsets) {
        let again = world.append(retry(sequence));
        assert_eq!((again.duplicate, again.base_offset), (true, offset), "{sequence}");
    }
}

#[test]
fn the_last_batch_of_a_producer_stays_even_if_it_is_empty() {
    let mut world = World::new(limits());
    world.open(compacted());
    let sent = |sequence| BatchOptions {
        producer_id: 5,
        producer_epoch: 0,
        base_sequence: sequence,
        ..BatchOptions::default()
    };
    for sequence in 0..4 {
        world.append(batch(&[("k", Some("v"))], sent(sequence)));
    }
    world.put("k", Some("newer"));
    world.roll();
    world.roll();
    world.compact(NOW);
    world.roll();
    world.compact(NOW);
    let of_producer: Vec<BatchHeader> =
        world.batches().iter().map(|(h, _)| *h).filter(|h| h.producer_id == 5).collect();
    assert_eq!(of_producer.len(), 1, "{of_producer:?}");
    assert_eq!((of_producer[0].record_count, of_producer[0].base_sequence), (0, 3));
    // All that is left to tell is the log.
    let (fs, limits) = (world.fs.image(Image::Everything), world.limits);
    for (path, _) in fs.files() {
        if path.extension().is_some_and(|kind| kind == "snapshot") {
            chronik::storage::fs::Fs::remove_file(&*fs, &path).unwrap();
        }
    }
    let mut world = World::on(fs, limits);
    world.open(compacted());
    let retry = world.append(batch(&[("k", Some("v"))], sent(3)));
    assert!(retry.duplicate);
    assert!(!world.append(batch(&[("k", Some("v"))], sent(4))).duplicate);
}

#[test]
fn a_map_that_is_too_small_takes_more_rounds_and_loses_nothing() {
    let small = CompactionLimits { map_bytes: 24 * 20, ..limits() };
    let mut world = World::new(small);
    world.open(compacted());
    for number in 0..1000 {
        world.put(&format!("key {}", number % 100), Some(&format!("value {number}")));
    }
    world.roll();
    let table = world.table();
    world.compact(NOW);
    assert!(world.storage.stats().compaction_rounds.get() > 5);
    assert_eq!(world.table(), table);
    let keys: Vec<String> = world.records().into_iter().map(|record| record.key).collect();
    let distinct: BTreeSet<&String> = keys.iter().collect();
    assert!(keys.len() < distinct.len() * 2, "{} of {} keys", keys.len(), distinct.len());
}

#[test]
fn a_damaged_segment_stays_as_it_is_and_tombstones_behind_it_stay() {
    let mut world = World::new(limits());
    world.open(LogConfig { delete_retention_ms: 0, ..compacted() });
    world.put("a", Some("hidden"));
    world.put("b", Some("one"));
    world.roll();
    let tombstone = world.put("a", None);
    world.put("b", Some("two"));
    world.roll();
    let path = Path::new("/data/topic-0/00000000000000000000.log");
    let last = world.fs.read(path).unwrap().len() - 1;
    world.fs.flip_bit(path, u64::try_from(last).unwrap() * 8);
    let before = world.fs.read(path).unwrap();
    for round in 0..4 {
        world.compact(NOW + round * 10_000);
        world.roll();
    }
    assert_eq!(world.fs.read(path).unwrap(), before);
    assert!(world.storage.stats().compaction_damaged_segments.get() > 0);
    let logs = world.files(".log");
    let rest: Vec<Record> = logs
        .iter()
        .filter(|name| !name.starts_with("00000000000000000000"))
        .flat_map(|name| {
            let bytes = Bytes::from(world.fs.read(&Path::new("/data/topic-0").join(name)).unwrap());
            let found: Vec<_> = Batches::new(&bytes).map(|b| b.unwrap().1).collect();
            found.iter().flat_map(|batch| records_of(batch)).collect::<Vec<_>>()
        })
        .collect();
    assert!(rest.iter().any(|record| record.offset == tombstone), "{rest:?}");
}

#[test]
fn times_are_found_though_the_records_that_had_them_are_gone() {
    let mut world = World::new(limits());
    world.open(compacted());
    let at = |key: &str, time: i64| {
        let mut builder = BatchBuilder::new(BatchOptions::default()).unwrap();
        builder.append(time, Some(key.as_bytes()), Some(b"value"), &[]).unwrap();
        builder.finish().unwrap()
    };
    // The newest timestamp belongs to a record that goes.
    for number in 0..40 {
        world.append(at("k", NOW + 1_000_000 - number));
        world.append(at(&format!("stays {number}"), NOW + number));
    }
    world.append(at("k", NOW));
    world.roll();
    world.compact(NOW + 2_000_000);
    let records = world.records();
    let largest = records.iter().map(|record| record.timestamp).max().unwrap();
    let found = world.find_time(TimeTarget::Largest).unwrap();
    assert_eq!(found.timestamp, largest);
    let first = records.iter().find(|record| record.timestamp == largest).unwrap();
    assert_eq!(found.offset, first.offset);
    for number in 0..40 {
        let wanted = NOW + number;
        let first = records.iter().find(|record| record.timestamp >= wanted).unwrap();
        let found = world.find_time(TimeTarget::AtOrAfter(wanted)).unwrap();
        assert_eq!((found.offset, found.timestamp), (first.offset, first.timestamp));
    }
}

#[test]
fn lags_and_the_dirty_ratio_decide_when() {
    let rounds = |world: &World| world.storage.stats().compaction_rounds.get();
    let fill = |world: &mut World| {
        for number in 0..50 {
            world.put("k", Some(&format!("value {number}")));
        }
        world.roll();
    };
    let mut world = World::new(limits());
    world.open(LogConfig { min_compaction_lag_ms: 5000, ..compacted() });
    fill(&mut world);
    assert_eq!(world.upkeep(NOW + 4000, true).due, Some(NOW + 5001));
    assert_eq!(rounds(&world), 0);
    world.compact(NOW + 5001);
    assert!(rounds(&world) > 0);

    let mut world = World::new(limits());
    let never = LogConfig { min_dirty_permille: 1000, ..compacted() };
    world.open(never.clone());
    fill(&mut world);
    let a_day = 24 * 3600 * 1000;
    assert!(world.compact(NOW + 5000).due.is_none_or(|due| due > NOW + a_day));
    assert_eq!(rounds(&world), 0);
    let lag = LogConfig { max_compaction_lag_ms: 7000, ..never };
    world.submit(Job::Configure { partition: partition(P), config: Arc::new(lag) });
    assert_eq!(world.upkeep(NOW, true).due, Some(NOW + 7001));
    assert_eq!(rounds(&world), 0);
    world.compact(NOW + 7001);
    assert_eq!(rounds(&world), 1);
}

/// Batches of 500 bytes or so, all of that age.
fn fill_at(world: &mut World, timestamp: i64, batches: usize) {
    let filler = "x".repeat(400);
    for number in 0..batches {
        let mut builder = BatchBuilder::new(BatchOptions::default()).unwrap();
        let key = format!("key {number}");
        builder.append(timestamp, Some(key.as_bytes()), Some(filler.as_bytes()), &[]).unwrap();
        world.append(builder.finish().unwrap());
    }
}

#[test]
fn no_upkeep_is_wanted_before_enough_is_old_enough_to_be_compacted() {
    let mut world = World::new(limits());
    let lag = LogConfig { min_dirty_permille: 500, min_compaction_lag_ms: 5000, ..compacted() };
    world.open(lag);
    fill_at(&mut world, NOW, 20);
    world.compact(NOW + 5001);
    let rounds = world.storage.stats().compaction_rounds.get();
    assert!(rounds > 0);
    // A little that is ripe soon, and much that is not before a day is over.
    let a_day = 24 * 3600 * 1000;
    fill_at(&mut world, NOW + 10_000, 4);
    fill_at(&mut world, NOW + a_day, 40);
    let due = world.upkeep(NOW + 20_000, true).due;
    assert_eq!(world.storage.stats().compaction_rounds.get(), rounds);
    assert_eq!(due, Some(NOW + a_day + 5001));
    world.compact(NOW + a_day + 5001);
    assert!(world.storage.stats().compaction_rounds.get() > rounds);
}

#[test]
fn gaps_are_no_damage_when_the_topic_is_not_compacted_any_more() {
    for imported in [false, true] {
        let mut world = World::new(limits());
        world.open(compacted());
        fill_at(&mut world, NOW, 20);
        fill_at(&mut world, NOW, 20);
        world.compact(NOW);
        let records = world.records();
        if imported {
            // Kafka has compacted the log, and nothing was compacted here.
            world.storage.shutdown(NOW).unwrap();
            let checkpoint = Path::new("/data/cleaner-offset-checkpoint");
            chronik::storage::fs::Fs::remove_file(&*world.fs, checkpoint).unwrap();
            world = World::on(world.fs, world.limits);
            world.open(compacted());
        }
        let kept = LogConfig { compact: false, delete: true, ..compacted() };
        let config = Arc::new(kept.clone());
        world.submit(Job::Configure { partition: partition(P), config });
        let (mut world, _) = world.restart(kept.clone());
        assert_eq!(world.records(), records, "imported: {imported}");
        let (mut world, _) = world.crash(Image::Nothing, kept);
        assert_eq!(world.records(), records, "imported: {imported}");
    }
}

#[test]
fn the_rate_of_bytes_is_kept_by_resting() {
    let slow = CompactionLimits { bytes_per_second: 500, ..limits() };
    let mut world = World::new(slow);
    world.open(LogConfig { segment_bytes: 1 << 20, ..compacted() });
    let text = "x".repeat(1000);
    for _ in 0..1100 {
        world.append(batch(&[("k", Some(&text)), ("l", Some(&text))], BatchOptions::default()));
    }
    let mut at = NOW;
    let mut rests = 0;
    loop {
        let upkept = world.upkeep(at, true);
        match upkept.due {
            // The open segment is closed in a week.
            Some(due) if due > at + 24 * 3600 * 1000 => break,
            Some(due) if due > at => {
                rests += 1;
                at = due;
            }
            Some(_) => {}
            None => break,
        }
    }
    let stats = world.storage.stats();
    let moved = stats.compaction_read_bytes.get() + stats.compaction_written_bytes.get();
    let seconds = u64::try_from(at - NOW).unwrap() / 1000;
    assert!(rests > 1 && moved > 1 << 20);
    assert!(seconds * 500 + (3 << 20) > moved, "{moved} bytes in {seconds} s");
    assert_eq!(stats.compaction_rounds.get(), 1);
}

/// A large log whose round of compaction rests for its rate: how the log is kept, the time, and when the round goes on.
fn with_a_round_that_rests() -> (World, LogConfig, i64, i64) {
    let mut world = World::new(CompactionLimits { bytes_per_second: 500, ..limits() });
    let large = LogConfig { segment_bytes: 1 << 20, ..compacted() };
    world.open(large.clone());
    let text = "x".repeat(1000);
    for _ in 0..1100 {
        world.append(batch(&[("k", Some(&text)), ("l", Some(&text))], BatchOptions::default()));
    }
    let (mut at, mut due) = (NOW, NOW);
    // It has to be marked first; then a MiB is read, for which it rests for half an hour.
    while due < at + 60_000 {
        at = due;
        due = world.upkeep(at, true).due.unwrap();
    }
    (world, large, at, due)
}

#[test]
fn a_round_that_rests_in_vain_keeps_no_other_log_from_having_one() {
    for fails in [false, true] {
        let (mut world, large, at, due) = with_a_round_that_rests();
        if fails {
            let sync = At::Path("topic-0".to_owned(), Operation::SyncData);
            world.fs.fail(Fault { at: sync, kind: Kind::SyncFails, times: 1 });
            world.put("k", None);
            // An upkeep for another reason comes before the round's time.
            let upkept = world.upkeep(due - 1000, true);
            assert_eq!(upkept.due, None, "nobody asks again");
        } else {
            let config = Arc::new(LogConfig { compact: false, ..large });
            world.submit(Job::Configure { partition: partition(P), config });
        }
        assert!(world.files(".cleaned").is_empty());
        assert_eq!(world.storage.stats().compaction_rounds.get(), 0);
        world.open_as(2, "other", LogConfig { segment_bytes: 1000, ..compacted() });
        world.at = 2;
        world.roll();
        world.roll();
        world.compact(at);
        assert!(world.storage.stats().compaction_rounds.get() > 0, "fails: {fails}");
    }
}

#[test]
fn a_log_that_is_compacted_again_does_not_wait_for_what_was_in_vain() {
    let (mut world, large, ..) = with_a_round_that_rests();
    // The round that rests is given up. After that nobody would look again before another segment is closed.
    world.outcomes.clear();
    for compact in [false, true] {
        let config = Arc::new(LogConfig { compact, ..large.clone() });
        world.submit(Job::Configure { partition: partition(P), config });
    }
    let dues = world.outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Configured { due, .. } => Some(*due),
        _ => None,
    });
    let dues: Vec<_> = dues.collect();
    assert!(matches!(dues[..], [_, Some(0)]), "{dues:?}");
}

#[test]
fn a_log_whose_segments_are_closed_faster_than_they_are_marked_is_compacted_all_the_same() {
    let mut world = World::new(limits());
    world.open(compacted());
    for second in 0..50 {
        // At least one segment is closed before the next look.
        world.roll();
        world.upkeep(NOW + second * 1000, true);
    }
    assert!(world.storage.stats().compaction_rounds.get() > 0);
    assert!(world.files(".log").len() < 50, "{}", world.files(".log").len());
}

#[test]
fn an_aborted_transaction_hides_nothing_and_its_marker_goes_after_its_data() {
    let mut world = World::new(limits());
    world.open(LogConfig { delete_retention_ms: 0, ..compacted() });
    let of = |producer_id, sequence| BatchOptions {
        producer_id,
        producer_epoch: 0,
        base_sequence: sequence,
        transactional: true,
        ..BatchOptions::default()
    };
    let end = |world: &mut World, producer_id, marker| {
        let options = BatchOptions { base_sequence: -1, ..of(producer_id, 0) };
        let marker = EndTransaction { marker, coordinator_epoch: 0 };
        world.append_as(marker.batch(options, NOW).unwrap(), Origin::Broker).base_offset
    };
    let write = |world: &mut World, producer_id, sequence, value: &str| {
        let records = batch(&[("k", Some(value))], of(producer_id, sequence));
        world.append_as(records, Origin::Broker).base_offset
    };
    let kept = world.put("k", Some("kept"));
    let aborted = write(&mut world, 1, 0, "aborted");
    let abort = end(&mut world, 1, Marker::Abort);
    // A newer batch of the same producer, so that the aborted one is not kept for its sequence.
    write(&mut world, 1, 1, "committed");
    let commit = end(&mut world, 1, Marker::Commit);
    let last = write(&mut world, 1, 2, "newest");
    end(&mut world, 1, Marker::Commit);
    world.roll();
    let open = write(&mut world, 2, 0, "undecided");
    world.roll();
    let offsets = |world: &mut World| -> BTreeSet<i64> {
        world.records().into_iter().map(|record| record.offset).collect()
    };
    world.compact(NOW);
    let first = offsets(&mut world);
    assert!(!first.contains(&aborted) && !first.contains(&kept), "{first:?}");
    assert!(first.contains(&last) && first.contains(&open));
    assert!(first.contains(&abort), "its data was there until now");
    for round in 1..4 {
        // The open transaction holds up what comes behind it; new dirt before it there is none.
        let marker = end(&mut world, 2, if round == 1 { Marker::Commit } else { Marker::Abort });
        world.roll();
        world.compact(NOW + round * 10_000);
        assert!(marker > open);
    }
    let then = offsets(&mut world);
    assert!(!then.contains(&abort) && !then.contains(&commit), "{then:?}");
    assert!(then.contains(&open));
    assert!(!then.contains(&last), "the other transaction was committed later");
    assert_eq!(world.table().get("k").map(String::as_str), Some("undecided"));
}

#[test]
fn a_crash_at_any_moment_of_a_round_loses_nothing_and_brings_nothing_back() {
    let prepare = || {
        let mut world = World::new(limits());
        world.open(compacted());
        for number in 0..60 {
            world.put(&format!("key {}", number % 4), Some(&format!("value {number}")));
        }
        world.put("key 1", None);
        world.roll();
        world
    };
    let (from, to, table, end) = {
        let mut world = prepare();
        let (from, table) = (world.fs.operations(), world.table());
        world.compact(NOW);
        assert!(world.files(".log").len() <= 3);
        assert_eq!(world.table(), table);
        let end = world.records().last().unwrap().offset + 1;
        (from, world.fs.operations(), table, end)
    };
    assert!(to - from > 40, "{from} to {to}");
    for operation in from..to {
        let mut world = prepare();
        world.fs.crash_at(operation);
        for at in [NOW, NOW + 1000, NOW + 2000] {
            world.upkeep(at, true);
        }
        assert!(world.fs.is_crashed(), "at {operation}");
        let images = [
            Image::Nothing,
            Image::Everything,
            Image::Prefix(operation),
            Image::Random(operation),
            Image::Random(operation + 1000),
            Image::Random(operation + 2000),
        ];
        for how in images {
            let mut left = World::on(world.fs.image(how), world.limits);
            let opened = left.open(compacted());
            let what = format!("operation {operation}, {how:?}");
            assert_eq!((opened.log_start, opened.log_end), (0, end), "{what}");
            assert_eq!(left.table(), table, "{what}");
            for suffix in [".cleaned", ".swap", ".deleted"] {
                assert!(left.files(suffix).is_empty(), "{what}: {:?}", left.files(suffix));
            }
            assert_eq!(left.put("more", Some("x")), end, "{what}");
            left.roll();
            left.compact(NOW + 10_000);
            let mut now = left.table();
            assert!(now.remove("more").is_some());
            now.retain(|key, _| !key.starts_with("filler"));
            let mut then = table.clone();
            then.retain(|key, _| !key.starts_with("filler"));
            assert_eq!(now, then, "{what}");
        }
    }
}

#[test]
fn a_swap_that_breaks_off_is_a_failed_disk_and_no_damage() {
    let mut world = World::new(limits());
    world.open(compacted());
    for number in 0..20 {
        world.put(&format!("key {}", number % 3), Some(&"v".repeat(200)));
    }
    world.roll();
    let table = world.table();
    // The old files have other names by then.
    let at = At::Path(".log.swap".into(), Operation::Rename);
    world.fs.fail(Fault { at, kind: Kind::Eio, times: 1 });
    world.compact(NOW + 10_000);
    // Without a descriptor left, all files are closed that nobody uses.
    let at = At::Path("/other-0/".into(), Operation::Open);
    world.fs.fail(Fault { at, kind: Kind::Emfile, times: 1 });
    world.open_as(P + 1, "other", compacted());
    let read = world.try_read(0, 1 << 20);
    assert!(matches!(read, Err(ReadError::Storage(_))), "{read:?}");
    assert_eq!(world.storage.stats().damaged_ranges.get(), 0);
    let (mut world, _) = world.crash(Image::Nothing, compacted());
    assert_eq!(world.table(), table);
}

#[test]
fn a_million_commits_stay_small_and_a_restart_reads_the_same() {
    let mut world = World::new(limits());
    // As the broker keeps its own logs, with smaller segments.
    world.open(LogConfig { segment_bytes: 4 << 20, min_dirty_permille: 500, ..compacted() });
    let (groups, commits_each) = (20i64, 500);
    let mut last = BTreeMap::new();
    let mut at = NOW;
    for number in 0..2000i64 {
        let mut builder = BatchBuilder::new(BatchOptions::default()).unwrap();
        for commit in 0..commits_each {
            let key = format!("group {} topic partition {}", commit % groups, commit % 7);
            let offset = number * commits_each + commit;
            let value = format!("offset {offset} and what else a commit holds");
            builder.append(NOW, Some(key.as_bytes()), Some(value.as_bytes()), &[]).unwrap();
            last.insert(key, value);
        }
        let appended = world.append_as(builder.finish().unwrap(), Origin::Broker);
        if appended.due.is_some_and(|due| due <= at) {
            at += 10_000;
            world.compact(at);
        }
    }
    world.compact(at + 10_000);
    assert!(world.log_bytes() < 5 << 20, "{} bytes", world.log_bytes());
    assert!(world.files(".log").len() <= 3, "{:?}", world.files(".log"));
    let stats = world.storage.stats();
    let (appended, written) = (stats.written_bytes.get(), stats.compaction_written_bytes.get());
    assert!(appended > 60_000_000, "{appended}");
    assert!(written < appended / 10, "{written} bytes of compaction for {appended}");
    assert_eq!(world.table(), last);
    let (mut world, _) = world.crash(Image::Nothing, compacted());
    assert_eq!(world.table(), last);
}
