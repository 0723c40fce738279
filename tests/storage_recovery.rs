//! Starting after a crash: what was acknowledged is there, what was torn is gone, and nothing else is.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tests are their own masters"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chronik::base::ids::{PartitionId, Ticket};
use chronik::base::payload::Bytes;
use chronik::base::time::Mono;
use chronik::record::builder::BatchBuilder;
use chronik::storage::fs::Fs as _;
use chronik::storage::job::{
    Append, AppendError, Job, LogConfig, Open, Opened, Origin, Outcome, ReadError, TimeTarget,
};
use chronik::storage::marks::MarksFile;
use chronik::storage::pool::{Options, StartError};
use chronik::storage::stepped::Stepped;
use chronik::testing::fs::{At, Fault, Image, Kind, Operation, SimFs};

#[path = "support/faulty_fs.rs"]
mod faulty_fs;
#[path = "support/storage.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use faulty_fs::FaultyFs;
use support::*;

/// A data directory as a crash leaves it: copied while the broker runs.
fn crashed(write: impl Fn(&Bench)) -> (TempDir, TempDir) {
    let (dir, image) = (TempDir::new(), TempDir::new());
    let bench = Bench::start(&dir.0);
    write(&bench);
    copy_dir(&dir.0, &image.0);
    bench.stop();
    (dir, image)
}

fn log_file(dir: &Path, base: i64) -> PathBuf {
    dir.join(format!("topic-0/{base:020}.log"))
}

fn cut(path: &Path, len: u64) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

fn reopened(image: &Path, config: LogConfig) -> (Bench, Opened) {
    let bench = Bench::start(image);
    assert!(!bench.started.clean);
    let opened = bench.open(partition(1), config);
    (bench, opened)
}

fn offsets(bench: &Bench, p: PartitionId) -> Vec<(i64, i32)> {
    batches(&bench.read(p, 0, 1 << 20).unwrap())
}

#[test]
fn a_tail_torn_at_any_byte_ends_at_the_last_whole_batch() {
    let p = partition(1);
    let (_dir, image) = crashed(|bench| {
        bench.open(p, config());
        for first in (0..15).step_by(5) {
            bench.append(p, batch(first, 5)).unwrap();
        }
    });
    let path = log_file(&image.0, 0);
    let size = std::fs::metadata(&path).unwrap().len();
    let last = batch(10, 5).len() as u64;
    for len in size - last..=size {
        let torn = TempDir::new();
        copy_dir(&image.0, &torn.0);
        cut(&log_file(&torn.0, 0), len);
        let whole = if len == size { 15 } else { 10 };
        let (bench, opened) = reopened(&torn.0, config());
        assert_eq!(opened.log_end, whole, "{len} of {size} bytes");
        assert_eq!(bench.append(p, batch(0, 1)).unwrap().base_offset, whole);
        let got = offsets(&bench, p);
        assert_eq!(got.last(), Some(&(whole, 1)), "{len} of {size} bytes");
        assert_eq!(got.len() as i64, whole / 5 + 1);
        bench.stop();
        let bench = Bench::start(&torn.0);
        assert!(bench.started.clean);
        assert_eq!(bench.open(p, config()).log_end, whole + 1);
        assert_eq!(offsets(&bench, p), got);
    }
}

#[test]
fn zeros_and_garbage_behind_the_end_are_cut() {
    let p = partition(1);
    let (_dir, image) = crashed(|bench| {
        bench.open(p, config());
        bench.append(p, batch(0, 5)).unwrap();
    });
    let path = log_file(&image.0, 0);
    let good = std::fs::read(&path).unwrap();
    let mut stale = good.clone();
    stale[0..8].copy_from_slice(&3i64.to_be_bytes());
    let mut flipped = batch(5, 5);
    flipped[0..8].copy_from_slice(&5i64.to_be_bytes());
    *flipped.last_mut().unwrap() ^= 1;
    for garbage in [vec![0; 5000], vec![0xff; 100], vec![2; 4096], stale, flipped] {
        let torn = TempDir::new();
        copy_dir(&image.0, &torn.0);
        std::fs::write(log_file(&torn.0, 0), [&good[..], &garbage].concat()).unwrap();
        let (bench, opened) = reopened(&torn.0, config());
        assert_eq!((opened.log_end, opened.bytes), (5, good.len() as u64));
        assert_eq!(std::fs::read(log_file(&torn.0, 0)).unwrap(), good);
        assert_eq!(offsets(&bench, p), [(0, 5)]);
    }
}

#[test]
fn what_is_cut_and_holds_a_whole_batch_is_kept_aside() {
    let p = partition(1);
    let (_dir, image) = crashed(|bench| {
        bench.open(p, config());
        for first in (0..15).step_by(5) {
            bench.append(p, batch(first, 5)).unwrap();
        }
    });
    // No mark may say that it was on the disk: the middle batch is damaged, the last one whole.
    remove_marks(&image.0);
    let path = log_file(&image.0, 0);
    let mut bytes = std::fs::read(&path).unwrap();
    let first = batch(0, 5).len();
    bytes[first + 70] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let (bench, opened) = reopened(&image.0, config());
    assert_eq!(opened.log_end, 5);
    let tail = std::fs::read(image.0.join("topic-0/00000000000000000005.tail")).unwrap();
    assert_eq!(tail, bytes[first..]);
    bench.stop();
}

#[test]
fn a_crash_over_several_segments_keeps_what_connects() {
    let p = partition(1);
    let small = || LogConfig { segment_bytes: 400, index_interval_bytes: 50, ..config() };
    let (_dir, image) = crashed(|bench| {
        bench.open(p, small());
        for first in 0..30 {
            bench.append(p, batch(first, 1)).unwrap();
        }
    });
    let bases: Vec<i64> = (0..30).filter(|base| log_file(&image.0, *base).exists()).collect();
    let [.., before, last] = bases[..] else { panic!("{bases:?}") };
    {
        let (bench, opened) = reopened(&image.0, small());
        assert_eq!(opened.log_end, 30);
        assert_eq!(offsets(&bench, p).len(), 30);
        for offset in 0..30 {
            assert_eq!(batches(&bench.read(p, offset, 1).unwrap()), [(offset, 1)]);
        }
        let largest = bench.find_time(p, TimeTarget::Largest, i64::MAX).unwrap().unwrap();
        assert_eq!(largest.offset, 29);
    }
    // The last batch of the segment before the last was lost: what follows does not connect.
    remove_marks(&image.0);
    let path = log_file(&image.0, before);
    let len = std::fs::metadata(&path).unwrap().len();
    cut(&path, len - 10);
    std::fs::remove_file(image.0.join(".kafka_cleanshutdown")).unwrap_or(());
    let (bench, opened) = reopened(&image.0, small());
    assert_eq!(opened.log_end, last - 1);
    assert!(!log_file(&image.0, last).exists());
    assert_eq!(bench.append(p, batch(0, 1)).unwrap().base_offset, last - 1);
    assert_eq!(offsets(&bench, p).len() as i64, last);
    bench.stop();
}

#[test]
fn torn_or_missing_indexes_are_made_anew() {
    let p = partition(1);
    let small = || LogConfig { segment_bytes: 4000, index_interval_bytes: 50, ..config() };
    let write = |bench: &Bench| {
        bench.open(p, small());
        for first in 0..100 {
            bench.append(p, batch(first, 1)).unwrap();
        }
    };
    let (dir, image) = crashed(write);
    let spoil: [fn(&Path); 4] = [
        |path| std::fs::remove_file(path).unwrap(),
        |path| std::fs::write(path, vec![0; 800]).unwrap(),
        |path| std::fs::write(path, [0xff; 100]).unwrap(),
        |path| cut(path, std::fs::metadata(path).unwrap().len() / 2),
    ];
    for (number, spoil) in spoil.iter().enumerate() {
        for (clean, from) in [(false, &image.0), (true, &dir.0)] {
            let spoiled = TempDir::new();
            copy_dir(from, &spoiled.0);
            for entry in std::fs::read_dir(spoiled.0.join("topic-0")).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|e| e == "index" || e == "timeindex") {
                    spoil(&path);
                }
            }
            let bench = Bench::start(&spoiled.0);
            assert_eq!(bench.started.clean, clean);
            assert_eq!(bench.open(p, small()).log_end, 100);
            for offset in 0..100 {
                let got = batches(&bench.read(p, offset, 1).unwrap());
                assert_eq!(got, [(offset, 1)], "case {number}");
                let target = TimeTarget::AtOrAfter(NOW + offset);
                let found = bench.find_time(p, target, i64::MAX).unwrap().unwrap();
                assert_eq!(found.offset, offset, "case {number}");
            }
            bench.append(p, batch(0, 1)).unwrap();
            bench.stop();
        }
    }
}

#[test]
fn producers_are_known_after_a_crash() {
    let p = partition(1);
    let small = || LogConfig { segment_bytes: 500, ..config() };
    let send = |bench: &Bench, sequence: i32| {
        bench.append(p, batch_with(0, 2, idempotent(42, 1, sequence)))
    };
    let (_dir, image) = crashed(|bench| {
        bench.open(p, small());
        for number in 0..9 {
            send(bench, number * 2).unwrap();
        }
    });
    let (bench, opened) = reopened(&image.0, small());
    assert_eq!(opened.log_end, 18);
    for number in 4..9 {
        assert!(send(&bench, number * 2).unwrap().duplicate, "{number}");
    }
    assert_eq!(send(&bench, 20), Err(AppendError::SequenceGap));
    assert_eq!(send(&bench, 18).unwrap().base_offset, 18);
}

#[test]
fn producers_are_known_after_a_crash_that_tore_what_goes_with_a_snapshot() {
    let p = partition(1);
    let small = || LogConfig { segment_bytes: 500, ..config() };
    for count in 8..13 {
        let send = |bench: &Bench, number: i32| {
            bench.append(p, batch_with(0, 2, idempotent(42, 1, number * 2))).unwrap()
        };
        let (_dir, image) = crashed(|bench| {
            bench.open(p, small());
            for number in 0..count {
                send(bench, number);
            }
        });
        for entry in std::fs::read_dir(image.0.join("topic-0")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|kind| kind == "batches") {
                cut(&path, 7);
            }
        }
        let (bench, _) = reopened(&image.0, small());
        for number in count - 5..count {
            assert!(send(&bench, number).duplicate, "{number} of {count}");
        }
    }
}

#[test]
fn a_torn_batch_is_forgotten_by_its_producer_too() {
    let p = partition(1);
    let (_dir, image) = crashed(|bench| {
        bench.open(p, config());
        for sequence in 0..3 {
            bench.append(p, batch_with(0, 1, idempotent(42, 1, sequence))).unwrap();
        }
    });
    let path = log_file(&image.0, 0);
    cut(&path, std::fs::metadata(&path).unwrap().len() - 1);
    let (bench, _) = reopened(&image.0, config());
    let again = bench.append(p, batch_with(0, 1, idempotent(42, 1, 2))).unwrap();
    assert_eq!((again.base_offset, again.duplicate), (2, false));
}

#[test]
fn the_scan_begins_at_the_durable_mark() {
    let p = partition(1);
    let dir = TempDir::new();
    {
        let bench = Bench::start(&dir.0);
        bench.open(p, config());
        for first in 0..10 {
            bench.append(p, batch(first, 1)).unwrap();
        }
        bench.stop();
    }
    // A clean stop leaves a mark at the end. Damage below it is told when it is read, and never cut.
    let image = TempDir::new();
    {
        let bench = Bench::start(&dir.0);
        bench.open(p, config());
        copy_dir(&dir.0, &image.0);
        bench.stop();
    }
    let path = log_file(&image.0, 0);
    let mut bytes = std::fs::read(&path).unwrap();
    let one = batch(0, 1).len();
    bytes[one * 5 + 65] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let (bench, opened) = reopened(&image.0, config());
    assert_eq!(opened.log_end, 10);
    assert_eq!(bench.read(p, 5, 1), Err(ReadError::Corrupt));
    assert_eq!(batches(&bench.read(p, 4, 1).unwrap()), [(4, 1)]);
    assert_eq!(offsets(&bench, p).len(), 5, "what lies before the damage is given");
    assert_eq!(batches(&bench.read(p, 6, 1).unwrap()), [(6, 1)]);
    assert_eq!(bench.append(p, batch(0, 1)).unwrap().base_offset, 10);
}

#[test]
fn a_mark_beyond_a_log_that_lost_its_end_cuts_nothing_that_is_written_later() {
    let p = partition(1);
    let (dir, image) = (TempDir::new(), TempDir::new());
    {
        let bench = Bench::start(&dir.0);
        bench.open(p, config());
        for first in 0..10 {
            bench.append(p, batch(first, 1)).unwrap();
        }
        bench.stop();
    }
    // A crash after a start: the mark stands at the end.
    let bench = Bench::start(&dir.0);
    copy_dir(&dir.0, &image.0);
    bench.stop();
    let path = log_file(&image.0, 0);
    cut(&path, batch(0, 1).len() as u64 * 5);
    let again = TempDir::new();
    {
        let (bench, opened) = reopened(&image.0, config());
        assert_eq!(opened.log_end, 10, "offsets that were given out are not given out again");
        for _ in 0..3 {
            bench.append(p, batch(0, 100)).unwrap();
        }
        copy_dir(&image.0, &again.0);
    }
    let (bench, opened) = reopened(&again.0, config());
    assert_eq!(opened.log_end, 310);
    assert_eq!(offsets(&bench, p).len(), 5, "what lies before the loss is given");
    for lost in 5..10 {
        assert_eq!(bench.read(p, lost, 1), Err(ReadError::Corrupt), "{lost}");
    }
    assert_eq!(batches(&bench.read(p, 10, 1 << 20).unwrap()), [(10, 100), (110, 100), (210, 100)]);
}

#[test]
fn a_directory_named_like_a_file_of_marks_is_no_reason_not_to_start() {
    let dir = TempDir::new();
    Bench::start(&dir.0).stop();
    std::fs::create_dir(dir.0.join("chronik-marks-7")).unwrap();
    for _ in 0..2 {
        Bench::start(&dir.0).stop();
    }
    drop(Bench::start(&dir.0));
    assert!(dir.0.join("chronik-marks-7").exists());
}

#[test]
fn a_damaged_manifest_makes_the_start_an_unclean_one() {
    let p = partition(1);
    let dir = TempDir::new();
    {
        let bench = Bench::start(&dir.0);
        bench.open(p, config());
        bench.append(p, batch(0, 3)).unwrap();
        bench.stop();
    }
    let path = dir.0.join("chronik-manifest");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (bench, opened) = reopened(&dir.0, config());
    assert_eq!(opened.log_end, 3);
    bench.stop();
}

fn remove_marks(image: &Path) {
    for entry in std::fs::read_dir(image).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("chronik-marks-") {
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn a_clean_stop_after_a_crash_needs_few_descriptors_for_many_partitions() {
    let many = || (0..200).map(|index| PartitionId { index, ..partition(1) });
    let (dir, image) = (TempDir::new(), TempDir::new());
    let bench = Bench::start(&dir.0);
    for p in many() {
        bench.open(p, config());
        bench.append(p, batch(0, 1)).unwrap();
    }
    copy_dir(&dir.0, &image.0);
    bench.stop();
    let fs = FaultyFs::default();
    let faults = Arc::clone(&fs.faults);
    let bench = Bench::start_on(&image.0, Arc::new(fs));
    assert!(!bench.started.clean);
    for p in many() {
        assert_eq!(bench.open(p, config()).log_end, 1);
    }
    bench.stop();
    let most = faults.open_most.load(Ordering::SeqCst);
    assert!(most < 120, "{most} files were open, of which 64 may stay open");
    assert!(Bench::start(&image.0).started.clean);
}

const DATA: &str = "/data";

fn start_on(disk: &Arc<SimFs>, writers: usize) -> Result<Bench, StartError> {
    let fs = Arc::clone(disk);
    Bench::try_start(Options { fs, writers, ..options(Path::new(DATA)) })
}

/// Which partitions have a mark in which file, by the writers' numbers.
fn marks_on(disk: &SimFs) -> Vec<(u32, Vec<PartitionId>)> {
    let is_marks = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("chronik-marks-") && !name.ends_with(".tmp")
    };
    let files = disk.files().into_iter().map(|(path, _)| path).filter(is_marks);
    let read = |path: PathBuf| MarksFile::decode(&disk.read(&path).unwrap()).unwrap();
    files.map(read).map(|file| (file.writer, file.marks.into_keys().collect())).collect()
}

#[test]
fn what_the_kernel_still_shows_of_a_snapshot_that_the_disk_refused_is_not_believed() {
    let p = partition(1);
    let brief = || LogConfig { segment_ms: 1000, ..config() };
    let disk = SimFs::new();
    let bench = start_on(&disk, 1).unwrap();
    bench.open(p, brief());
    let send = |bench: &Bench, sequence| {
        bench.append(p, batch_with(0, 1, idempotent(42, 0, sequence))).map(|_| ())
    };
    send(&bench, 0).unwrap();
    let at = At::Path(".snapshot".to_owned(), Operation::SyncData);
    disk.fail(Fault { at, kind: Kind::SyncFails, times: 1 });
    // The segment is closed, with a snapshot.
    bench.upkeep(p, NOW + 10_000);
    bench.storage.submit(Job::Sync { partition: p, awaited: true });
    bench.wait(|outcome| matches!(outcome, Outcome::Synced { result: Err(_), .. }).then_some(()));
    let disk = disk.killed();
    drop(bench);
    let bench = start_on(&disk, 1).unwrap();
    bench.open(p, brief());
    assert_eq!(send(&bench, 0), Ok(()), "a retry, for which the snapshot is read");
    assert_eq!(bench.trim(p, 1), Ok(1));
    assert_eq!(bench.upkeep(p, NOW + 10_000).bytes, 0);
    bench.stop();
    // A power cut after all that, whatever the last process left of it in memory.
    disk.remove_file(&Path::new(DATA).join(".kafka_cleanshutdown")).unwrap();
    let disk = disk.image(Image::Everything);
    let bench = start_on(&disk, 1).unwrap();
    bench.open(p, brief());
    assert_eq!(send(&bench, 2), Err(AppendError::SequenceGap), "the producer is known");
    assert_eq!(send(&bench, 1), Ok(()));
}

#[test]
fn no_mark_is_lost_when_a_crash_meets_a_change_of_the_number_of_writers() {
    let many: Vec<PartitionId> =
        (0..9).map(|index| PartitionId { index, ..partition(1) }).collect();
    let disk = SimFs::new();
    let bench = start_on(&disk, 3).unwrap();
    for p in &many {
        bench.open(*p, config());
        bench.append(*p, batch(0, 1)).unwrap();
    }
    bench.stop();
    drop(start_on(&disk, 3).unwrap());
    let unclean = disk.killed();
    let mut images = 0;
    for operation in 1.. {
        let disk = unclean.killed();
        disk.crash_at(disk.operations() + operation);
        let started = start_on(&disk, 1);
        if started.is_ok() && !disk.is_crashed() {
            break;
        }
        let seed = operation;
        for how in [Image::Nothing, Image::Everything, Image::Prefix(seed), Image::Random(seed)] {
            let left = marks_on(&disk.image(how));
            for p in &many {
                let there = left.iter().any(|(_, marks)| marks.contains(p));
                assert!(there, "{p:?} has lost its mark at {operation}, {how:?}");
            }
            images += 1;
        }
    }
    assert!(images >= 20, "{images}");
}

#[test]
fn the_mark_of_a_partition_of_the_journal_stays_in_the_file_of_its_writer() {
    let disk = SimFs::new();
    let p = partition(7);
    let open = |bench: &Bench| {
        let (ticket, topic) = (bench.ticket(), Arc::from("__consumer_offsets"));
        let config = Arc::new(config());
        bench.storage.submit(Job::Open(Open { ticket, partition: p, topic, config }));
        bench.wait(|outcome| match outcome {
            Outcome::Opened { result, .. } => Some(result.clone().unwrap()),
            _ => None,
        })
    };
    let bench = start_on(&disk, 2).unwrap();
    open(&bench);
    bench.append(p, batch(0, 3)).unwrap();
    bench.stop();
    for writers in [2, 3, 1] {
        let bench = start_on(&disk, writers).unwrap();
        assert_eq!(open(&bench).log_end, 3);
        drop(bench);
        let holders = marks_on(&disk).into_iter().filter(|(_, marks)| marks.contains(&p));
        assert_eq!(holders.map(|(writer, _)| writer).collect::<Vec<_>>(), [0]);
    }
}

/// Lets all of storage go on until nothing is left to do; gives the outcomes.
fn settle(storage: &mut Stepped, now: Mono) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    while let Some(worker) = storage.runnable().first().copied() {
        storage.step(worker, now);
    }
    storage.tick(now);
    storage.take_outcomes(&mut outcomes);
    outcomes
}

fn stepped(disk: &Arc<SimFs>, partition: PartitionId) -> Stepped {
    let fs = Arc::clone(disk);
    let (mut storage, _) = Stepped::start(&Options { fs, ..options(Path::new(DATA)) }).unwrap();
    let (topic, config) = (Arc::from("topic"), Arc::new(config()));
    storage.submit(Job::Open(Open { ticket: Ticket(1), partition, topic, config }));
    storage
}

fn append_at(storage: &mut Stepped, partition: PartitionId, second: u64) {
    storage.submit(Job::Append(Append {
        ticket: Ticket(2),
        partition,
        records: Bytes::from_vec(batch(0, 1)),
        sync: true,
        leader_epoch: 0,
        now: NOW,
        origin: Origin::Client,
    }));
    settle(storage, Mono(second * 1_000_000));
}

#[test]
fn marks_that_could_not_be_written_are_written_when_the_disk_lets_us() {
    let (disk, p) = (SimFs::new(), partition(1));
    let mut storage = stepped(&disk, p);
    let append = |storage: &mut Stepped, second| append_at(storage, p, second);
    let marked = |disk: &SimFs| marks_on(disk).iter().any(|(_, marks)| marks.contains(&p));
    let at = At::Path("chronik-marks-".to_owned(), Operation::Write);
    disk.fail(Fault { at, kind: Kind::Enospc, times: u32::MAX });
    append(&mut storage, 0);
    for second in 1..40 {
        append(&mut storage, second);
    }
    assert!(!marked(&disk.killed()), "the disk is full for them");
    disk.heal();
    append(&mut storage, 41);
    for second in 42..120 {
        settle(&mut storage, Mono(second * 1_000_000));
    }
    assert!(marked(&disk.image(Image::Nothing)), "they are on the disk");
    assert_eq!(storage.next_deadline(), None);
}

#[test]
fn marks_wait_for_each_other_and_are_written_when_nothing_more_comes() {
    let (disk, p) = (SimFs::new(), partition(1));
    let mut storage = stepped(&disk, p);
    let marks = |disk: &SimFs| marks_on(disk).iter().any(|(_, marks)| marks.contains(&p));
    for second in 0..10 {
        append_at(&mut storage, p, second);
        assert!(!marks(&disk.killed()), "an append a second, {second} s");
    }
    let bench = start_on(&disk.image(Image::Nothing), 1).unwrap();
    assert_eq!(bench.open(p, config()).log_end, 10, "nothing rests on them");
    append_at(&mut storage, p, 10);
    assert!(marks(&disk.image(Image::Nothing)), "ten seconds are enough");
    append_at(&mut storage, p, 11);
    assert_eq!(storage.next_deadline(), Some(Mono(12_500_000)), "soon after the last");
    settle(&mut storage, Mono(12_500_000));
    assert_eq!(storage.next_deadline(), None);
}

#[test]
fn leader_epochs_come_back_from_the_log_when_their_file_is_lost() {
    let p = partition(1);
    let small = || LogConfig { segment_bytes: 400, ..config() };
    for spoil in [
        (|path| std::fs::remove_file(path).unwrap()) as fn(&Path),
        |path| std::fs::write(path, b"0\n9\nnothing").unwrap(),
        |path| std::fs::write(path, vec![b'x'; 2 << 20]).unwrap(),
    ] {
        let (dir, image) = (TempDir::new(), TempDir::new());
        let bench = Bench::start(&dir.0);
        bench.open(p, small());
        for offset in 0..30 {
            let leader_epoch = [0, 0, 4, 7][offset as usize / 8];
            bench.storage.submit(Job::Append(Append {
                ticket: Ticket(1000),
                partition: p,
                records: Bytes::from_vec(batch(offset, 1)),
                sync: true,
                leader_epoch,
                now: NOW,
                origin: Origin::Client,
            }));
            bench.synced(p, offset + 1).unwrap();
        }
        bench.stop();
        // The marks stand at the end, so the log is not scanned.
        let bench = Bench::start(&dir.0);
        copy_dir(&dir.0, &image.0);
        bench.stop();
        spoil(&image.0.join("topic-0/leader-epoch-checkpoint"));
        let (bench, opened) = reopened(&image.0, small());
        assert_eq!(opened.epochs, [(0, 0), (4, 16), (7, 24)]);
        bench.stop();
    }
}

#[test]
fn snapshots_follow_what_producers_append_within_a_segment() {
    let p = partition(1);
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    bench.open(p, config());
    let value = vec![7; 900 << 10];
    let mut bytes = 0;
    for sequence in 0..40 {
        let mut builder = BatchBuilder::new(idempotent(42, 1, sequence)).unwrap();
        builder.append(NOW, None, Some(&value), &[]).unwrap();
        let records = builder.finish().unwrap();
        bytes += records.len();
        bench.append(p, records).unwrap();
    }
    assert!(bytes < 64 << 20, "all of it is in one segment");
    let names = std::fs::read_dir(dir.0.join("topic-0")).unwrap();
    let snapshots = names.filter_map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.strip_suffix(".snapshot").map(|offset| offset.parse::<i64>().unwrap())
    });
    let newest = snapshots.max().unwrap();
    assert!((40 - newest) * (900 << 10) <= 17 << 20, "the newest snapshot is at {newest} of 40");
    bench.stop();
}
