//! What the simulation found, each as the shortest story that shows it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chronik::base::ids::{PartitionId, Ticket, TopicId};
use chronik::base::payload::{Bytes, Payload};
use chronik::base::time::Mono;
use chronik::broker::options::Options;
use chronik::broker::topic_configs::{TopicConfigs, log_config};
use chronik::storage::fs::Fs as _;
use chronik::storage::job::{
    Append, AppendError, Appended, Job, Open, Opened, Origin, Outcome, Read, ReadError, ReadPart,
    Upkeep,
};
use chronik::storage::pool;
use chronik::storage::stepped::Stepped;
use chronik::testing::fs::{At, Fault, Image, Kind, Operation, SimFs};

use crate::model::batch::{self, Sequence};
use crate::node::options;

const PARTITION: PartitionId = PartitionId { topic: TopicId([7; 16]), index: 0 };

/// Storage on a simulated disk, with one partition.
struct Bench {
    disk: Arc<SimFs>,
    storage: Stepped,
}

impl Bench {
    fn start(disk: Arc<SimFs>) -> Bench {
        // Nothing is synced before a test says so.
        let files = pool::FileLimits { open: 8, unsynced: 64, together: usize::MAX };
        let options = options(&disk, files);
        Bench { disk, storage: Stepped::start(&options).unwrap().0 }
    }

    /// Has a job done, and everything that follows from it.
    fn outcomes(&mut self, job: Job) -> Vec<Outcome> {
        self.all_outcomes([job])
    }

    fn all_outcomes(&mut self, jobs: impl IntoIterator<Item = Job>) -> Vec<Outcome> {
        jobs.into_iter().for_each(|job| self.storage.submit(job));
        while let Some(worker) = self.storage.runnable().first().copied() {
            self.storage.step(worker, Mono(0));
        }
        let mut outcomes = Vec::new();
        self.storage.take_outcomes(&mut outcomes);
        outcomes
    }

    fn open(&mut self) -> Option<Opened> {
        let own = [("segment.bytes", "400"), ("retention.ms", "-1")];
        let own = TopicConfigs::from(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let config = log_config(&own, &Options::default().settings);
        let open = Open {
            ticket: Ticket(1),
            partition: PARTITION,
            topic: Arc::from("t"),
            config: Arc::new(config),
        };
        self.outcomes(Job::Open(open)).into_iter().find_map(|outcome| match outcome {
            Outcome::Opened { result, .. } => result.ok(),
            _ => None,
        })
    }

    fn append(&mut self, number: u64) -> Result<Appended, AppendError> {
        self.append_with(number, true)
    }

    fn append_with(&mut self, number: u64, sync: bool) -> Result<Appended, AppendError> {
        self.append_batch(batch::build(number, 3, false, 0, None), sync)
    }

    /// Whether something can be read at this offset.
    fn read(&mut self, offset: i64) -> Result<usize, ReadError> {
        let part = ReadPart { partition: PARTITION, offset, end: i64::MAX, bytes_max: 1 };
        let read = Read {
            ticket: Ticket(3),
            bytes_max: 1,
            whole_first_batch: true,
            parts: vec![part],
            magic_max: 2,
            committed: false,
        };
        let outcomes = self.outcomes(Job::Read(read)).into_iter();
        let results = outcomes.filter_map(|outcome| match outcome {
            Outcome::Read { parts, .. } => Some(parts),
            _ => None,
        });
        let result = results.flatten().next().unwrap();
        result.map(|payloads| payloads.iter().map(Payload::len).sum())
    }

    /// Closes the segment that is written to, for its age, and has that in the marks.
    fn close_segment(&mut self) {
        let (partition, expire, free) = (PARTITION, true, false);
        for now in [4_000_000_000_000, 4_001_000_000_000] {
            self.outcomes(Job::Upkeep(Upkeep { partition, now, stepped: 0, expire, free }));
        }
        self.outcomes(Job::Sync { partition, awaited: true });
        self.storage.tick(Mono(60_000_000));
    }

    fn append_batch(&mut self, records: Bytes, sync: bool) -> Result<Appended, AppendError> {
        self.append_together(vec![records], sync).remove(0)
    }

    /// Appends that the writer finds all at once.
    fn append_together(
        &mut self,
        all: Vec<Bytes>,
        sync: bool,
    ) -> Vec<Result<Appended, AppendError>> {
        self.append_to(PARTITION, all, sync)
    }

    fn append_to(
        &mut self,
        partition: PartitionId,
        all: Vec<Bytes>,
        sync: bool,
    ) -> Vec<Result<Appended, AppendError>> {
        let append = |records| Append {
            ticket: Ticket(2),
            partition,
            records,
            sync,
            leader_epoch: 0,
            now: 0,
            origin: Origin::Client,
        };
        let jobs = all.into_iter().map(|records| Job::Append(append(records)));
        let results = self.all_outcomes(jobs).into_iter().filter_map(|outcome| match outcome {
            Outcome::Appended { result, .. } => Some(result),
            _ => None,
        });
        results.collect()
    }
}

#[test]
fn a_directory_whose_making_failed_half_way_is_durable_once_it_is_used() {
    for operation in [Operation::Open, Operation::Write, Operation::Rename, Operation::SyncDir] {
        let mut bench = Bench::start(SimFs::new());
        let at = At::Path("/data/t-0".into(), operation);
        bench.disk.fail(Fault { at, kind: Kind::Eio, times: 1 });
        assert_eq!(bench.open(), None, "{operation:?}");
        assert!(bench.open().is_some());
        assert_eq!(bench.append(1).unwrap().end_offset, 3);
        let mut bench = Bench::start(bench.disk.image(Image::Nothing));
        assert_eq!(bench.open().unwrap().log_end, 3, "{operation:?}");
    }
}

#[test]
fn a_write_that_failed_does_not_come_back_after_a_clean_stop() {
    let nothing: fn() -> Vec<Job> = Vec::new;
    // These find nothing new, and take with them that something was cut off.
    let sync = || vec![Job::Sync { partition: PARTITION, awaited: true }];
    let trim = || vec![Job::Trim { ticket: Ticket(9), partition: PARTITION, offset: 1 }];
    for jobs in [nothing, sync, trim] {
        check_that_a_failed_write_stays_away(jobs());
    }
}

fn check_that_a_failed_write_stays_away(jobs: Vec<Job>) {
    let mut bench = Bench::start(SimFs::new());
    bench.open();
    bench.append(1).unwrap();
    let used: u64 = bench.disk.files().iter().map(|(_, bytes)| bytes).sum();
    bench.disk.set_capacity(Some(used + 40));
    assert!(matches!(bench.append(2), Err(AppendError::Storage(_))));
    bench.disk.set_capacity(None);
    for job in jobs {
        bench.outcomes(job);
    }
    bench.storage.shutdown(1).unwrap();
    for seed in 0..50 {
        let mut bench = Bench::start(bench.disk.image(Image::Random(seed)));
        assert_eq!(bench.open().unwrap().log_end, 3);
        assert_eq!(bench.append(3).unwrap().end_offset, 6, "image {seed}");
    }
}

#[test]
fn of_a_log_that_was_never_synced_no_segment_stays_without_the_first() {
    let mut ends = Vec::new();
    for seed in 0..100 {
        let mut bench = Bench::start(SimFs::new());
        bench.open();
        for number in 1..=6 {
            bench.append_with(number, false).unwrap();
        }
        let mut bench = Bench::start(bench.disk.image(Image::Random(seed)));
        let opened = bench.open().unwrap();
        assert_eq!(opened.log_start, 0, "image {seed}");
        ends.push(opened.log_end);
    }
    ends.sort_unstable();
    ends.dedup();
    assert!(ends.len() > 1, "{ends:?}");
}

#[test]
fn a_segment_that_has_no_file_yet_stays_the_one_that_is_written_to() {
    let mut bench = Bench::start(SimFs::new());
    bench.open();
    bench.append(1).unwrap();
    bench.close_segment();
    // What is written after this start is not marked yet when the power goes.
    let mut bench = Bench::start(bench.disk.image(Image::Nothing));
    assert_eq!(bench.open().unwrap().log_end, 3);
    bench.append_with(2, false).unwrap();
    let mut bench = Bench::start(bench.disk.image(Image::Everything));
    assert_eq!(bench.open().unwrap().log_end, 6);
    assert_eq!(bench.append(3).unwrap().end_offset, 9);
}

#[test]
fn a_partition_whose_first_mark_was_torn_is_still_a_new_one() {
    let mut bench = Bench::start(SimFs::new());
    bench.open();
    bench.append(1).unwrap();
    // The write breaks off, and the disk lets nobody do it again.
    let mark = || At::Path("chronik-marks-".into(), Operation::Write);
    bench.disk.fail(Fault { at: mark(), kind: Kind::Short(30), times: 1 });
    bench.disk.fail(Fault { at: mark(), kind: Kind::Eio, times: 1 });
    bench.storage.tick(Mono(60_000_000));
    for number in 2..=6 {
        bench.append_with(number, false).unwrap();
    }
    for seed in 0..100 {
        let mut bench = Bench::start(bench.disk.image(Image::Random(seed)));
        let end = bench.open().unwrap().log_end;
        for offset in (0..end).step_by(3) {
            let read = bench.read(offset);
            assert!(read.as_ref().is_ok_and(|bytes| *bytes > 0), "{seed}: {read:?} at {offset}");
        }
    }
}

/// A batch of a producer, by its number from 0 on.
fn sent(producer_id: i64, number: u32) -> Bytes {
    let first = i32::try_from(number).unwrap() * 3;
    let number = u64::from(number) + 1;
    batch::build(number, 3, false, 0, Some(Sequence { producer_id, first }))
}

/// The first batch of this producer was refused: the second is not taken before it, and both are in order.
fn check_that_the_second_waits_for_the_first(bench: &mut Bench, id: i64) {
    assert_eq!(bench.append_batch(sent(id, 1), true), Err(AppendError::SequenceGap));
    for number in 0..2 {
        bench.append_batch(sent(id, number), true).unwrap();
    }
}

#[test]
fn what_was_sent_behind_a_first_batch_that_found_no_new_segment_does_not_come_before_it() {
    let mut bench = Bench::start(SimFs::new());
    bench.open();
    // The next roll fails.
    let at = At::Path(".snapshot".into(), Operation::Open);
    bench.disk.fail(Fault { at, kind: Kind::Eio, times: 1 });
    let is_refused = |id: &i64| bench.append_batch(sent(*id, 0), true).is_err();
    let id = (0..10).find(is_refused).unwrap();
    check_that_the_second_waits_for_the_first(&mut bench, id);
}

#[test]
fn what_was_sent_behind_a_batch_in_one_write_does_not_come_before_it_either() {
    let mut bench = Bench::start(SimFs::new());
    bench.open();
    bench.append(1).unwrap();
    // The roll fails for the first, which has no producer; both are handed over together.
    let at = At::Path(".snapshot".into(), Operation::Open);
    bench.disk.fail(Fault { at, kind: Kind::Eio, times: 1 });
    let large = batch::build(2, 7, false, 0, None);
    let results = bench.append_together(vec![large, sent(4, 0)], true);
    assert!(results.iter().all(Result::is_err), "{results:?}");
    check_that_the_second_waits_for_the_first(&mut bench, 4);
}

#[test]
fn what_was_sent_behind_a_first_batch_is_known_though_the_producers_could_not_be_read() {
    let mut bench = Bench::start(SimFs::new());
    bench.open();
    bench.append(1).unwrap();
    bench.storage.shutdown(1).unwrap();
    let mut bench = Bench::start(bench.disk.image(Image::Nothing));
    bench.open();
    let at = At::Path("00.log".into(), Operation::Read);
    bench.disk.fail(Fault { at, kind: Kind::Eio, times: 1 });
    assert!(matches!(bench.append_batch(sent(4, 0), true), Err(AppendError::Storage(_))));
    check_that_the_second_waits_for_the_first(&mut bench, 4);
}

#[test]
fn of_a_log_that_was_empty_when_it_was_marked_no_segment_stays_without_the_first() {
    let mut bench = Bench::start(SimFs::new());
    bench.open();
    bench.storage.shutdown(1).unwrap();
    let stopped = bench.disk.image(Image::Nothing);
    check_that_no_segment_is_left_alone(&stopped, 0);
}

#[test]
fn of_a_log_whose_last_segment_was_empty_when_it_was_marked_no_later_one_stays_without_it() {
    let mut bench = Bench::start(SimFs::new());
    bench.open();
    bench.append(1).unwrap();
    bench.close_segment();
    check_that_no_segment_is_left_alone(&bench.disk.image(Image::Nothing), 3);
}

/// What is written over several segments after this start is not marked when the power goes.
fn check_that_no_segment_is_left_alone(stopped: &SimFs, marked: i64) {
    let mut ends = Vec::new();
    for seed in 0..100 {
        let mut bench = Bench::start(stopped.image(Image::Nothing));
        bench.open();
        for number in 1..=6 {
            bench.append_with(number, false).unwrap();
        }
        let mut bench = Bench::start(bench.disk.image(Image::Random(seed)));
        let opened = bench.open().unwrap();
        assert_eq!(opened.log_start, 0, "image {seed}");
        for offset in (0..opened.log_end).step_by(3) {
            assert!(bench.read(offset).is_ok_and(|bytes| bytes > 0), "{offset} of image {seed}");
        }
        let appended = bench.append(7).unwrap();
        assert_eq!(appended.base_offset, opened.log_end, "image {seed}");
        ends.push(opened.log_end);
    }
    ends.sort_unstable();
    ends.dedup();
    assert!(ends.len() > 1 && ends[0] == marked, "{ends:?}");
}

#[test]
fn a_journal_whose_only_segment_was_about_to_be_replaced_is_not_lost() {
    let mut bench = Bench::start(SimFs::new());
    bench.open();
    let journal = Arc::from("__cluster_metadata");
    let id = PartitionId { topic: TopicId::METADATA, index: 0 };
    let config = Arc::new(log_config(&TopicConfigs::default(), &Options::default().settings));
    bench.storage.replay(id, &journal, &config, &mut |_, _| {}).unwrap();
    let records = batch::build(1, 3, true, 0, None);
    assert!(bench.append_to(id, vec![records], true).remove(0).is_ok());
    bench.storage.tick(Mono(60_000_000));
    let disk = bench.disk.image(Image::Nothing);
    // As a swap leaves it before the new file has got its name.
    let log = |suffix| PathBuf::from(format!("/data/{journal}-0/{:020}.log{suffix}", 0));
    disk.rename(&log(""), &log(".swap")).unwrap();
    disk.sync_dir(Path::new("/data/__cluster_metadata-0")).unwrap();
    let mut bench = Bench::start(disk);
    let opened = bench.storage.replay(id, &journal, &config, &mut |_, _| {}).unwrap();
    assert_eq!(opened.log_end, 3);
}

#[test]
fn leader_epochs_that_a_killed_process_left_in_memory_are_on_the_disk_after_the_next_start() {
    let mut bench = Bench::start(SimFs::new());
    bench.open();
    bench.append_with(1, false).unwrap();
    let mut bench = Bench::start(bench.disk.killed());
    bench.open();
    let path = Path::new("/data/t-0/leader-epoch-checkpoint");
    let epochs = bench.disk.read(path).unwrap();
    assert!(!epochs.is_empty());
    assert_eq!(bench.disk.image(Image::Nothing).read(path), Some(epochs));
}
