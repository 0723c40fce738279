//! A disk that is full, refuses, or fails in any one operation: what storage goes on doing, and that nothing is lost.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chronik::base::ids::{Offset, PartitionId, Ticket};
use chronik::base::payload::Bytes;
use chronik::base::time::Mono;
use chronik::storage::fs::read_file;
use chronik::storage::job::{
    Append, AppendError, Appended, Disk, DiskState, Job, LogConfig, Open, Origin, Outcome, Read,
    ReadError, ReadPart, StorageError, Upkeep,
};
use chronik::storage::marks::MarksFile;
use chronik::storage::pool::{Options, SpaceOptions, StartError};
use chronik::storage::space::BALLAST;
use chronik::storage::stepped::Stepped;
use chronik::testing::fs::{At, Fault, Image, Kind, Operation, SimFs};

#[path = "support/storage.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use support::{NOW, batch, batch_with, batches, config, flatten, idempotent, options, partition};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Storage on a simulated disk; every worker goes on until nobody has anything to do.
struct Machine {
    storage: Stepped,
    fs: Arc<SimFs>,
    outcomes: Vec<Outcome>,
    tickets: u64,
    now: Mono,
}

fn names() -> BTreeMap<PartitionId, &'static str> {
    [(partition(1), "topic"), (partition(2), "other"), (partition(3), "__consumer_offsets")].into()
}

fn space(reserve_bytes: u64, ballast_bytes: u64) -> SpaceOptions {
    SpaceOptions { reserve_bytes: Some(reserve_bytes), ballast_bytes }
}

impl Machine {
    fn try_start(fs: &Arc<SimFs>, space: SpaceOptions) -> Result<Machine, StartError> {
        let options = Options { fs: Arc::clone(fs) as _, space, ..options(Path::new("/data")) };
        let (storage, _) = Stepped::start(&options)?;
        let mut started =
            Machine { storage, fs: Arc::clone(fs), outcomes: Vec::new(), tickets: 0, now: Mono(0) };
        started.run();
        Ok(started)
    }

    fn start(fs: &Arc<SimFs>, space: SpaceOptions) -> Machine {
        Machine::try_start(fs, space).unwrap()
    }

    fn run(&mut self) {
        while let Some(worker) = self.storage.runnable().first().copied() {
            self.storage.step(worker, self.now);
        }
        self.storage.take_outcomes(&mut self.outcomes);
    }

    /// Lets a second pass, and has the disk looked at.
    fn second(&mut self) -> Disk {
        self.now = self.now.plus_ms(1_000);
        self.storage.tick(self.now);
        self.submit(Job::LookForSpace);
        self.last_disk().unwrap()
    }

    fn last_disk(&self) -> Option<Disk> {
        self.outcomes.iter().rev().find_map(|outcome| match outcome {
            Outcome::Disk(disk) => Some(*disk),
            _ => None,
        })
    }

    fn submit(&mut self, job: Job) {
        self.storage.submit(job);
        self.run();
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    fn try_open(&mut self, partition: PartitionId) -> Result<Offset, StorageError> {
        let topic = names().get(&partition).copied().unwrap_or("topic");
        let (ticket, topic) = (self.ticket(), Arc::from(topic));
        let config = Arc::new(LogConfig { segment_bytes: 700, ..config() });
        self.submit(Job::Open(Open { ticket, partition, topic, config }));
        let opened = self.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Opened { ticket: t, result, .. } if *t == ticket => Some(result.clone()),
            _ => None,
        });
        opened.unwrap().map(|opened| opened.log_end)
    }

    fn open(&mut self, partition: PartitionId) -> Offset {
        self.try_open(partition).unwrap()
    }

    fn ask(&mut self, partition: PartitionId, records: Vec<u8>, origin: Origin) -> Ticket {
        let ticket = self.ticket();
        self.submit(Job::Append(Append {
            ticket,
            partition,
            records: Bytes::from_vec(records),
            sync: true,
            leader_epoch: 1,
            now: NOW,
            origin,
        }));
        ticket
    }

    fn result(&self, ticket: Ticket) -> Option<Result<Appended, AppendError>> {
        self.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Appended { ticket: t, result, .. } if *t == ticket => Some(result.clone()),
            _ => None,
        })
    }

    fn append(&mut self, id: PartitionId, records: Vec<u8>) -> Result<Appended, AppendError> {
        let ticket = self.ask(id, records, Origin::Client);
        self.result(ticket).unwrap()
    }

    /// The end that the disk has, as the syncs have said.
    fn synced(&self, id: PartitionId) -> Offset {
        let ends = self.outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Synced { partition, end, result: Ok(()) } if *partition == id => Some(*end),
            _ => None,
        });
        ends.max().unwrap_or(0)
    }

    fn read(&mut self, partition: PartitionId) -> Result<Vec<u8>, ReadError> {
        let ticket = self.ticket();
        let part = ReadPart { partition, offset: 0, end: i64::MAX, bytes_max: 1 << 20 };
        self.submit(Job::Read(Read {
            ticket,
            bytes_max: 1 << 20,
            whole_first_batch: true,
            parts: vec![part],
            magic_max: 2,
            committed: false,
        }));
        let read = self.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Read { ticket: t, parts, .. } if *t == ticket => Some(parts[0].clone()),
            _ => None,
        });
        read.unwrap().map(|payloads| flatten(&payloads))
    }

    fn content(&mut self, id: PartitionId) -> Vec<(Offset, i32)> {
        batches(&self.read(id).unwrap())
    }

    fn fail(&self, part: &str, operation: Operation, kind: Kind, times: u32) {
        self.fs.fail(Fault { at: At::Path(part.to_owned(), operation), kind, times });
    }

    fn remove(&mut self, partition: PartitionId) -> Result<(), StorageError> {
        let ticket = self.ticket();
        self.submit(Job::Remove { ticket, partition });
        let removed = self.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Removed { ticket: t, result, .. } if *t == ticket => Some(result.clone()),
            _ => None,
        });
        removed.unwrap()
    }

    /// The names of the logs of "topic".
    fn logs(&self) -> Vec<String> {
        let paths = self.fs.files().into_iter().map(|(path, _)| path.display().to_string());
        paths
            .filter_map(|path| Some(path.strip_prefix("/data/topic-0/")?.to_owned()))
            .filter(|name| name.ends_with(".log"))
            .collect()
    }

    fn ballast(&self) -> u64 {
        let path = Path::new("/data").join(BALLAST);
        self.fs.files().into_iter().find(|(name, _)| *name == path).map_or(0, |(_, len)| len)
    }
}

/// A file system of so many bytes.
fn small_disk(bytes: u64) -> Arc<SimFs> {
    let fs = SimFs::new();
    fs.set_capacity(Some(bytes));
    fs
}

/// Leaves so many bytes free.
fn fill(fs: &SimFs, left: u64) {
    fs.set_capacity(None);
    let used: u64 = fs.files().iter().map(|(_, len)| len).sum();
    fs.set_capacity(Some(used + left));
}

#[test]
fn below_the_reserve_clients_are_refused_and_the_broker_goes_on() {
    let (p, journal) = (partition(1), partition(3));
    let fs = small_disk(64 * MIB);
    let mut it = Machine::start(&fs, space(MIB, 0));
    it.open(p);
    it.open(journal);
    let first = it.append(p, batch_with(0, 2, idempotent(1, 0, 0))).unwrap();
    assert_eq!(it.last_disk(), None, "plenty is no news");
    fill(&fs, MIB - 1);
    let disk = it.second();
    assert_eq!((disk.state, disk.free, disk.reserve), (DiskState::Short, MIB - 1, MIB));
    assert_eq!(it.append(p, batch(9, 1)), Err(AppendError::NoSpace));
    let again = it.append(p, batch_with(0, 2, idempotent(1, 0, 0))).unwrap();
    assert!(again.duplicate, "what is in the log already needs no room");
    assert_eq!(again.base_offset, first.base_offset);
    let ticket = it.ask(journal, batch(0, 1), Origin::Broker);
    it.result(ticket).unwrap().unwrap();
    assert_eq!(it.synced(journal), 1);
    assert_eq!(it.content(p), [(0, 2)], "reading goes on");
    fill(&fs, MIB + 1);
    assert_eq!(it.second().state, DiskState::Short, "a byte more is not worth a change");
    fill(&fs, 2 * MIB);
    assert_eq!(it.second().state, DiskState::Ready);
    assert_eq!(it.append(p, batch(9, 1)).unwrap().base_offset, 2);
    assert_eq!(it.storage.stats().refused_for_space.get(), 1);
}

#[test]
fn the_journal_lives_on_the_ballast_and_then_waits_for_room_in_order() {
    let journal = partition(3);
    let fs = small_disk(64 * MIB);
    let mut it = Machine::start(&fs, space(MIB, 256 * KIB));
    it.open(journal);
    assert_eq!(it.ballast(), 256 * KIB);
    fill(&fs, 10);
    for number in 0..4_000 {
        let ticket = it.ask(journal, batch(number, 1), Origin::Broker);
        if it.result(ticket).is_none() {
            break;
        }
    }
    let disk = it.last_disk().unwrap();
    assert_eq!((disk.state, disk.ballast, it.ballast()), (DiskState::Spent, 0, 0));
    let (end, held) = (it.synced(journal), it.tickets);
    assert!(end > 1_000, "{end} records from the ballast");
    let short = it.ask(journal, batch(0, 1), Origin::Broker);
    assert_eq!(it.result(short), None, "what comes behind waits, too");
    assert_eq!(it.second().state, DiskState::Spent);
    assert_eq!(it.result(short), None);
    fill(&fs, 4 * MIB);
    let disk = it.second();
    assert_eq!((disk.state, disk.ballast, it.ballast()), (DiskState::Ready, 256 * KIB, 256 * KIB));
    assert_eq!(it.result(Ticket(held)).unwrap().unwrap().base_offset, end);
    assert_eq!(it.result(short).unwrap().unwrap().base_offset, end + 1);
    assert_eq!(it.synced(journal), end + 2);
    it.storage.shutdown(NOW).unwrap();
    let mut it = Machine::start(&fs.image(Image::Nothing), space(MIB, 256 * KIB));
    assert_eq!(it.open(journal), end + 2);
}

#[test]
fn a_full_disk_prevents_neither_a_stop_nor_a_start() {
    for clean in [true, false] {
        let (p, journal) = (partition(1), partition(3));
        let fs = small_disk(64 * MIB);
        let mut it = Machine::start(&fs, space(MIB, 256 * KIB));
        it.open(p);
        it.open(journal);
        for number in 0..20 {
            it.append(p, batch(number, 3)).unwrap();
            it.ask(journal, batch(number, 1), Origin::Broker);
        }
        fill(&fs, 0);
        let image = if clean {
            it.storage.shutdown(NOW).unwrap();
            fs.image(Image::Nothing)
        } else {
            fs.killed()
        };
        fill(&image, 0);
        let mut it = Machine::start(&image, space(MIB, 256 * KIB));
        assert_eq!((it.open(p), it.open(journal)), (60, 20), "clean: {clean}");
        assert_eq!(it.content(p).len(), 20);
        assert_eq!(it.append(p, batch(0, 1)), Err(AppendError::NoSpace));
        let ticket = it.ask(journal, batch(0, 1), Origin::Broker);
        it.result(ticket).unwrap().unwrap();
        assert!(it.ballast() < 256 * KIB);
    }
}

#[test]
fn without_ballast_and_without_a_free_byte_everything_starts_and_marks_follow_later() {
    for clean in [true, false] {
        let p = partition(1);
        let fs = small_disk(64 * MIB);
        let mut it = Machine::start(&fs, space(0, 0));
        it.open(p);
        for number in 0..20 {
            it.append(p, batch(number, 3)).unwrap();
        }
        let image = if clean {
            it.storage.shutdown(NOW).unwrap();
            fs.image(Image::Nothing)
        } else {
            fs.killed()
        };
        fill(&image, 0);
        for start in 0..3 {
            let mut it = Machine::start(&image, space(0, 0));
            assert_eq!(it.open(p), 60, "clean: {clean}, start {start}");
            assert!(it.append(p, batch(0, 1)).is_err());
            assert_eq!(it.content(p).len(), 20);
        }
        let mut it = Machine::start(&image, space(0, 0));
        it.open(p);
        fill(&image, MIB);
        it.second();
        assert_eq!(it.append(p, batch(0, 1)).unwrap().base_offset, 60);
        while let Some(due) = it.storage.next_deadline() {
            it.now = due;
            it.storage.tick(due);
        }
        let image = image.image(Image::Nothing);
        let bytes = read_file(&*image, Path::new("/data/chronik-marks-1"), 1 << 20);
        let marks = MarksFile::decode(&bytes.unwrap().unwrap()).unwrap().marks;
        assert_eq!(marks[&p].end, 61, "clean: {clean}");
    }
}

#[test]
fn no_descriptor_left_is_no_reason_to_go_offline() {
    let p = partition(1);
    let mut it = Machine::start(&SimFs::new(), space(0, 0));
    it.open(p);
    for number in 0..6 {
        it.append(p, batch(number, 3)).unwrap();
    }
    let end = it.synced(p);
    // Once: what nobody uses is closed, and it works. For long: the next segment has to wait.
    for (times, works) in [(1, true), (u32::MAX, false)] {
        it.fail("/topic-0/", Operation::Open, Kind::Emfile, times);
        let results: Vec<_> = (0..6).map(|number| it.append(p, batch(number, 3))).collect();
        assert_eq!(results.iter().all(Result::is_ok), works, "{results:?}");
        for error in results.into_iter().filter_map(Result::err) {
            assert!(matches!(error, AppendError::Storage(_)), "{error:?}");
        }
    }
    it.fs.heal();
    it.append(p, batch(0, 3)).unwrap();
    assert!(it.synced(p) > end);
    it.storage.shutdown(NOW).unwrap();
}

#[test]
fn a_directory_that_cannot_be_opened_for_its_sync_for_want_of_descriptors_costs_no_partition() {
    let p = partition(1);
    let mut it = Machine::start(&SimFs::new(), space(0, 0));
    it.open(p);
    it.fail("/topic-0", Operation::SyncDir, Kind::Emfile, 1);
    it.append(p, batch(0, 3)).unwrap();
    it.append(p, batch(1, 3)).unwrap();
    assert_eq!(it.synced(p), 6);
}

#[test]
fn a_read_that_fails_concerns_its_partition_alone() {
    let (p, q) = (partition(1), partition(2));
    let mut it = Machine::start(&SimFs::new(), space(0, 0));
    for id in [p, q] {
        it.open(id);
        it.append(id, batch(0, 3)).unwrap();
    }
    it.storage.shutdown(NOW).unwrap();
    let fs = it.fs;
    let mut it = Machine::start(&fs, space(0, 0));
    it.open(p);
    it.open(q);
    it.fail("/topic-0/", Operation::Read, Kind::Eio, u32::MAX);
    assert!(matches!(it.read(p), Err(ReadError::Storage(_))));
    assert_eq!(it.content(q), [(0, 3)]);
    it.fs.heal();
    assert_eq!(it.content(p), [(0, 3)], "the next one may succeed");
}

#[test]
fn a_file_system_that_becomes_read_only_is_waited_for() {
    let (p, journal) = (partition(1), partition(3));
    let mut it = Machine::start(&SimFs::new(), space(0, 0));
    it.open(p);
    it.open(journal);
    it.append(p, batch(0, 1)).unwrap();
    for operation in [Operation::Write, Operation::Open, Operation::SetLen] {
        it.fail("/data", operation, Kind::Erofs, u32::MAX);
    }
    let refused = it.append(p, batch(1, 1)).unwrap_err();
    assert!(!matches!(refused, AppendError::NoSpace), "{refused:?}");
    let ticket = it.ask(journal, batch(0, 1), Origin::Broker);
    assert_eq!(it.result(ticket), None);
    assert_eq!(it.last_disk().unwrap().state, DiskState::ReadOnly);
    it.fs.heal();
    assert_eq!(it.second().state, DiskState::Ready);
    assert!(it.result(ticket).unwrap().is_ok());
}

#[test]
fn after_a_failed_sync_of_everything_no_single_sync_counts() {
    let fs = SimFs::new();
    let mut it = Machine::start(&fs, space(0, 0));
    let ids: Vec<PartitionId> =
        (0..12).map(|index| PartitionId { index, ..partition(1) }).collect();
    for id in &ids {
        let (ticket, config) = (it.ticket(), Arc::new(config()));
        it.submit(Job::Open(Open { ticket, partition: *id, topic: "topic".into(), config }));
        let job = Append {
            ticket: Ticket(1000),
            partition: *id,
            records: Bytes::from_vec(batch(0, 1)),
            sync: false,
            leader_epoch: 1,
            now: NOW,
            origin: Origin::Client,
        };
        it.submit(Job::Append(job));
    }
    it.fail("/data", Operation::SyncAll, Kind::SyncFails, 1);
    fs.keep_history();
    assert!(it.storage.shutdown(NOW).is_err(), "the stop is not a clean one");
    let syncs: Vec<String> = fs.history().into_iter().filter(|h| h.contains("SyncData")).collect();
    assert!(!syncs.iter().any(|sync| sync.contains(".log")), "{syncs:?}");
    assert!(!fs.files().iter().any(|(path, _)| path.ends_with(".kafka_cleanshutdown")));
}

#[test]
fn segments_that_could_not_go_for_want_of_marks_go_once_those_are_written() {
    let p = partition(1);
    for (operation, kind) in [(Operation::Write, Kind::Eio), (Operation::SyncData, Kind::SyncFails)]
    {
        let fs = small_disk(8 * MIB);
        let mut it = Machine::start(&fs, space(0, MIB));
        it.open(p);
        (0..9).for_each(|number| drop(it.append(p, batch(number, 3)).unwrap()));
        let logs = it.logs();
        let ticket = it.ticket();
        it.submit(Job::Trim { ticket, partition: p, offset: 27 });
        it.fail("chronik-marks-1", operation, kind, 1);
        it.submit(Job::Upkeep(Upkeep {
            partition: p,
            now: NOW,
            expire: true,
            stepped: 0,
            free: false,
        }));
        assert_eq!(it.logs()[..logs.len()], logs, "{operation:?}: not before the marks say so");
        // The marks are written anew with what the ballast leaves.
        fill(&fs, 0);
        it.second();
        it.second();
        assert_eq!(it.logs(), ["00000000000000000027.log"], "{operation:?}");
        assert!(it.ballast() < MIB);
    }
}

#[test]
fn a_stop_that_leaves_segments_behind_is_not_a_clean_one() {
    let (fs, p) = (SimFs::new(), partition(1));
    let mut it = Machine::start(&fs, space(0, 0));
    it.open(p);
    (0..9).for_each(|number| drop(it.append(p, batch(number, 3)).unwrap()));
    let ticket = it.ticket();
    it.submit(Job::Trim { ticket, partition: p, offset: 27 });
    it.fail("chronik-marks-1", Operation::Write, Kind::Eio, u32::MAX);
    let upkeep = Upkeep { partition: p, now: NOW, expire: true, stepped: 0, free: false };
    it.submit(Job::Upkeep(upkeep));
    assert!(it.storage.shutdown(NOW).is_err());
    fs.heal();
    let mut it = Machine::start(&fs, space(0, 0));
    assert_eq!(it.open(p), 27);
    it.submit(Job::Upkeep(upkeep));
    assert_eq!(it.logs(), ["00000000000000000027.log"]);
}

#[test]
fn a_directory_that_could_not_be_moved_away_is_moved_when_its_name_is_wanted() {
    let (old, new) = (partition(1), partition(4));
    for (path, operation) in [("/topic-0", Operation::Rename), ("/data", Operation::SyncDir)] {
        let mut it = Machine::start(&SimFs::new(), space(0, 0));
        it.open(old);
        it.append(old, batch(0, 3)).unwrap();
        it.fail(path, operation, Kind::Eio, 1);
        assert!(it.remove(old).is_err(), "{operation:?}");
        assert_eq!(it.open(new), 0, "{operation:?}");
        it.append(new, batch(0, 1)).unwrap();
        assert_eq!(it.content(new), [(0, 1)]);
        let fs = Arc::clone(&it.fs);
        it.storage.shutdown(NOW).unwrap();
        let mut it = Machine::start(&fs, space(0, 0));
        assert_eq!(it.open(new), 1);
    }
}

#[test]
fn a_directory_is_moved_away_also_with_the_last_descriptor_and_on_a_full_disk() {
    for (operation, kind) in [
        (Operation::ReadDir, Kind::Emfile),
        (Operation::SyncDir, Kind::Emfile),
        (Operation::Rename, Kind::Enospc),
    ] {
        let fs = small_disk(8 * MIB);
        let mut it = Machine::start(&fs, space(0, MIB));
        it.open(partition(1));
        it.fail("/data", operation, kind, 1);
        assert_eq!(it.remove(partition(1)), Ok(()), "{operation:?}");
        assert_eq!(it.open(partition(4)), 0);
        it.storage.shutdown(NOW).unwrap();
    }
}

#[test]
fn the_ballast_is_where_it_is_expected() {
    let fs = small_disk(64 * MIB);
    let it = Machine::start(&fs, space(0, 16 * MIB));
    assert_eq!(it.ballast(), 4 * MIB, "a sixteenth of the disk");
    drop(it);
    let it = Machine::start(&fs, space(0, 0));
    assert_eq!(it.ballast(), 0);
    assert!(fs.read(&PathBuf::from("/data").join(BALLAST)).is_none(), "nobody wants it any more");
    drop(it);
}

/// What a run was told: the values of records that are kept for sure, and of those that may be.
#[derive(Debug, Default)]
struct Told {
    acknowledged: BTreeMap<PartitionId, Vec<i64>>,
    tried: BTreeMap<PartitionId, Vec<i64>>,
}

/// Appends here and there, trying again what is refused for the moment. `false`: something is offline.
fn script(it: &mut Machine, told: &mut Told) -> bool {
    let mut all_well = true;
    for number in 0..8 {
        for id in [partition(1), partition(2), partition(3)] {
            let sequence = i32::try_from(number).unwrap();
            let (records, origin) = if id == partition(3) {
                (batch(number, 1), Origin::Broker)
            } else {
                (batch_with(number, 1, idempotent(7, 0, sequence)), Origin::Client)
            };
            told.tried.entry(id).or_default().push(number);
            let done = (0..4).any(|_| {
                let ticket = it.ask(id, records.clone(), origin);
                it.second();
                let written = matches!(it.result(ticket), Some(Ok(_)));
                written && it.synced(id) > number
            });
            if done {
                told.acknowledged.entry(id).or_default().push(number);
            } else {
                all_well = false;
                break;
            }
        }
    }
    all_well
}

/// Everything that was acknowledged is there, in order, and nothing that was not sent, and nothing twice.
fn check(fs: &Arc<SimFs>, told: &Told, what: &str) {
    let mut it =
        Machine::try_start(fs, space(0, 64 * KIB)).unwrap_or_else(|e| panic!("{what}: {e}"));
    for id in names().into_keys() {
        let end = it.try_open(id).unwrap_or_else(|error| panic!("{what}: {error}"));
        let found: Vec<i64> = it.content(id).iter().map(|(base, _)| *base).collect();
        assert_eq!(found, (0..end).collect::<Vec<i64>>(), "{what}: {id:?}");
        let kept = told.acknowledged.get(&id).map_or(0, Vec::len);
        let tried = told.tried.get(&id).map_or(0, Vec::len);
        let count = usize::try_from(end).unwrap();
        assert!((kept..=tried).contains(&count), "{what}: {id:?} {kept} {count} {tried}");
    }
}

#[test]
fn whatever_single_operation_fails_in_whatever_way_nothing_acknowledged_is_lost() {
    let kinds = [Kind::Eio, Kind::Enospc, Kind::Short(0), Kind::Short(7), Kind::Short(70)];
    let kinds = kinds.into_iter().chain([Kind::SyncFails, Kind::Emfile, Kind::Erofs, Kind::Eintr]);
    let fs = SimFs::new();
    let begun = run_script(&fs, &mut Told::default());
    assert!(begun, "the script itself succeeds");
    let operations = fs.operations();
    let mut struck = 0;
    for kind in kinds {
        for at in 0..operations {
            let what = format!("{kind:?} at {at}");
            let fs = SimFs::new();
            fs.fail(Fault { at: At::Operation(at), kind, times: 1 });
            if matches!(kind, Kind::Short(_)) {
                // A short write whose rest fails.
                fs.fail(Fault { at: At::Operation(at + 1), kind: Kind::Eio, times: 1 });
            }
            let mut told = Told::default();
            let well = run_script(&fs, &mut told);
            if matches!(kind, Kind::Enospc | Kind::Emfile | Kind::Erofs | Kind::Eintr) {
                assert!(well, "{what}: it passes, and everything goes on");
            }
            fs.heal();
            check(&fs.killed(), &told, &what);
            check(&fs.image(Image::Nothing), &told, &format!("{what}, and a power cut"));
            struck += 1;
        }
    }
    println!("{struck} runs, {operations} operations");
}

/// Starts, tries once more if that fails, and runs the script.
fn run_script(fs: &Arc<SimFs>, told: &mut Told) -> bool {
    let started = Machine::try_start(fs, space(0, 64 * KIB));
    let Ok(mut it) = started.or_else(|_| Machine::try_start(fs, space(0, 64 * KIB))) else {
        return false;
    };
    for id in names().into_keys() {
        if it.try_open(id).is_err() && it.try_open(id).is_err() {
            return false;
        }
    }
    script(&mut it, told)
}
