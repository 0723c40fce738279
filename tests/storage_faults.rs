//! What storage does when the disk refuses, and which data directories it does not touch.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests are their own masters")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chronik::base::ids::PartitionId;
use chronik::storage::job::{AppendError, Job, LogConfig, Open, Outcome};
use chronik::storage::pool::{FileLimits, Options, StartError};

#[path = "support/faulty_fs.rs"]
#[expect(clippy::cast_possible_truncation, reason = "sizes in tests are small")]
mod faulty_fs;
#[path = "support/storage.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use faulty_fs::{Faults, FaultyFs};
use support::*;

fn start(dir: &Path) -> (Bench, Arc<Faults>) {
    let fs = FaultyFs::default();
    let faults = Arc::clone(&fs.faults);
    let bench = Bench::start_on(dir, Arc::new(fs));
    let other = Open {
        ticket: bench.ticket(),
        partition: partition(2),
        topic: "other".into(),
        config: Arc::new(config()),
    };
    bench.open(partition(1), config());
    bench.storage.submit(Job::Open(other));
    "topic-0/".clone_into(&mut faults.path.lock().unwrap());
    (bench, faults)
}

#[test]
fn a_failed_sync_ends_acknowledgements_for_its_partition_alone() {
    let dir = TempDir::new();
    let (bench, faults) = start(&dir.0);
    let (p, q) = (partition(1), partition(2));
    bench.append(p, batch(0, 1)).unwrap();
    faults.sync.store(true, Ordering::SeqCst);
    let ticket = bench.submit(p, batch(1, 1), true);
    bench.appended(ticket).unwrap();
    assert_eq!(bench.synced(p, 2).unwrap_err().errno, Some(5));
    faults.sync.store(false, Ordering::SeqCst);
    let before = faults.syncs.load(Ordering::SeqCst);
    assert!(matches!(bench.append(p, batch(2, 1)), Err(AppendError::Offline(_))));
    bench.storage.submit(Job::Sync { partition: p, awaited: true });
    let ended = bench.wait(|outcome| match outcome {
        Outcome::Synced { partition, result, .. } if *partition == p => Some(result.clone()),
        _ => None,
    });
    assert!(ended.is_err(), "the sync is not tried again");
    assert_eq!(faults.syncs.load(Ordering::SeqCst), before);
    bench.append(q, batch(0, 1)).unwrap();
    assert_eq!(batches(&bench.read(p, 0, 1 << 20).unwrap()).len(), 2, "reading goes on");
    assert!(bench.storage.shutdown(NOW).is_err(), "the stop is not a clean one");
    let bench = Bench::start(&dir.0);
    assert!(!bench.started.clean);
    assert_eq!(bench.open(p, config()).log_end, 2);
}

/// Storage with something unsynced in each of 40 partitions.
fn start_many(dir: &Path) -> (Bench, Arc<Faults>, Vec<PartitionId>) {
    let fs = FaultyFs::default();
    let faults = Arc::clone(&fs.faults);
    let files = FileLimits { unsynced: 1000, ..options(dir).files };
    let bench = Bench::try_start(Options { fs: Arc::new(fs), files, ..options(dir) }).unwrap();
    let many: Vec<PartitionId> =
        (0..40).map(|index| PartitionId { topic: topic(1), index }).collect();
    for id in &many {
        bench.open(*id, config());
        let ticket = bench.submit(*id, batch(0, 1), false);
        bench.appended(ticket).unwrap();
    }
    (bench, faults, many)
}

/// Has them synced though nobody waits for it. Those whose sync fails.
fn sync(bench: &Bench, many: &[PartitionId]) -> Vec<i32> {
    let job = |id: &PartitionId| Job::Sync { partition: *id, awaited: false };
    bench.storage.submit_all(many.iter().map(job));
    let failed = many.iter().filter(|id| bench.synced(**id, 0).is_err());
    failed.map(|id| id.index).collect()
}

#[test]
fn many_that_nobody_waits_for_are_synced_with_the_volume() {
    let dir = TempDir::new();
    let (bench, faults, many) = start_many(&dir.0);
    assert_eq!(sync(&bench, &many), []);
    assert_eq!(faults.volume_syncs.load(Ordering::SeqCst), 1);
    assert_eq!(faults.syncs.load(Ordering::SeqCst), 0);
    bench.storage.shutdown(NOW).unwrap();
}

#[test]
fn of_many_only_those_are_offline_whose_own_sync_fails() {
    let dir = TempDir::new();
    let (bench, faults, many) = start_many(&dir.0);
    "topic-7/".clone_into(&mut faults.path.lock().unwrap());
    faults.sync.store(true, Ordering::SeqCst);
    assert_eq!(sync(&bench, &many), [7]);
    assert_eq!(faults.volume_syncs.load(Ordering::SeqCst), 1);
    // Of that one a file beside the log fails first.
    assert_eq!(faults.syncs.load(Ordering::SeqCst), 39);
}

#[test]
fn a_volume_that_has_lost_what_was_not_ours_prevents_no_clean_stop() {
    let dir = TempDir::new();
    let (bench, faults, many) = start_many(&dir.0);
    "of somebody else".clone_into(&mut faults.path.lock().unwrap());
    faults.sync.store(true, Ordering::SeqCst);
    assert_eq!(sync(&bench, &many), []);
    assert_eq!(faults.volume_syncs.load(Ordering::SeqCst), 1);
    for id in &many {
        let ticket = bench.submit(*id, batch_with(0, 1, idempotent(7, 0, 0)), false);
        bench.appended(ticket).unwrap();
    }
    bench.storage.shutdown(NOW).unwrap();
    assert!(Bench::start(&dir.0).started.clean);
}

#[test]
fn a_full_disk_leaves_no_half_batch_and_no_sequence() {
    let dir = TempDir::new();
    let (bench, faults) = start(&dir.0);
    let p = partition(1);
    bench.append(p, batch_with(0, 2, idempotent(1, 0, 0))).unwrap();
    for room in [0, 1, 60, 61, 62, 90] {
        faults.room.store(room, Ordering::SeqCst);
        faults.full.store(true, Ordering::SeqCst);
        let refused = bench.append(p, batch_with(0, 2, idempotent(1, 0, 2)));
        let Err(AppendError::Storage(error)) = refused else { panic!("{refused:?}") };
        assert_eq!(error.errno, Some(28));
        faults.full.store(false, Ordering::SeqCst);
    }
    let appended = bench.append(p, batch_with(0, 2, idempotent(1, 0, 2))).unwrap();
    assert_eq!((appended.base_offset, appended.duplicate), (2, false));
    assert_eq!(batches(&bench.read(p, 0, 1 << 20).unwrap()), [(0, 2), (2, 2)]);
    bench.stop();
}

#[test]
fn a_write_that_cannot_be_undone_takes_the_partition_offline() {
    let dir = TempDir::new();
    let (bench, faults) = start(&dir.0);
    let p = partition(1);
    bench.append(p, batch(0, 1)).unwrap();
    faults.room.store(10, Ordering::SeqCst);
    faults.full.store(true, Ordering::SeqCst);
    faults.set_len.store(true, Ordering::SeqCst);
    assert!(bench.append(p, batch(1, 1)).is_err());
    faults.full.store(false, Ordering::SeqCst);
    assert!(matches!(bench.append(p, batch(1, 1)), Err(AppendError::Offline(_))));
    faults.set_len.store(false, Ordering::SeqCst);
    assert!(bench.storage.shutdown(NOW).is_err());
    let bench = Bench::start(&dir.0);
    assert_eq!(bench.open(p, config()).log_end, 1, "the half batch is cut");
}

#[test]
fn a_stop_whose_last_directory_sync_fails_is_not_a_clean_one() {
    let dir = TempDir::new();
    let (bench, faults) = start(&dir.0);
    let ticket = bench.submit(partition(1), batch(0, 1), false);
    bench.appended(ticket).unwrap();
    "topic-0".clone_into(&mut faults.path.lock().unwrap());
    faults.sync_dir.store(true, Ordering::SeqCst);
    assert!(bench.storage.shutdown(NOW).is_err());
    assert!(!Bench::start(&dir.0).started.clean);
}

#[test]
fn a_disk_that_stays_full_uses_up_no_descriptors() {
    let dir = TempDir::new();
    let (bench, faults) = start(&dir.0);
    let p = PartitionId { index: 1, ..partition(1) };
    bench.open(p, LogConfig { segment_bytes: 600, ..config() });
    bench.append(p, batch(0, 20)).unwrap();
    ".snapshot".clone_into(&mut faults.path.lock().unwrap());
    faults.full.store(true, Ordering::SeqCst);
    for _ in 0..20 {
        assert!(bench.append(p, batch(0, 20)).is_err(), "no new segment can be begun");
    }
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let open = open.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    let open: Vec<PathBuf> = open.filter(|path| path.starts_with(&dir.0)).collect();
    assert!(open.len() < 12, "{open:?}");
    faults.full.store(false, Ordering::SeqCst);
    assert_eq!(bench.append(p, batch(0, 20)).unwrap().base_offset, 20);
    bench.stop();
}

#[test]
fn a_partition_that_could_not_be_opened_keeps_its_mark() {
    let (dir, image) = (TempDir::new(), TempDir::new());
    let p = partition(1);
    {
        let bench = Bench::start(&dir.0);
        bench.open(p, config());
        for first in 0..10 {
            bench.append(p, batch(first, 1)).unwrap();
        }
        bench.stop();
    }
    // A crash after a start: the marks stand at the end.
    let bench = Bench::start(&dir.0);
    copy_dir(&dir.0, &image.0);
    bench.stop();
    let fs = FaultyFs::default();
    let faults = Arc::clone(&fs.faults);
    let bench = Bench::start_on(&image.0, Arc::new(fs));
    ".log".clone_into(&mut faults.path.lock().unwrap());
    faults.open.store(true, Ordering::SeqCst);
    assert!(bench.try_open(p, config()).is_err());
    faults.open.store(false, Ordering::SeqCst);
    assert!(bench.storage.shutdown(NOW).is_err(), "nobody knows what is in it");
    let path = image.0.join("topic-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[batch(0, 1).len() * 5 + 65] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let bench = Bench::start(&image.0);
    assert_eq!(bench.open(p, config()).log_end, 10, "damage below the mark cuts nothing");
}

#[test]
fn a_partition_that_could_not_be_opened_can_be_removed() {
    let dir = TempDir::new();
    let p = partition(1);
    std::fs::create_dir(dir.0.join("topic-0")).unwrap();
    let metadata = format!("version: 0\ntopic_id: {}", p.topic);
    std::fs::write(dir.0.join("topic-0/partition.metadata"), metadata).unwrap();
    std::fs::create_dir(dir.0.join("topic-0/00000000000000000000.log")).unwrap();
    let meta = "version=1\ncluster.id=x\nnode.id=0\nchronik.format=1\n";
    std::fs::write(dir.0.join("meta.properties"), meta).unwrap();
    let bench = Bench::start(&dir.0);
    assert!(bench.try_open(p, config()).is_err());
    let ticket = bench.ticket();
    bench.storage.submit(Job::Remove { ticket, partition: p });
    let removed = bench.wait(|outcome| match outcome {
        Outcome::Removed { ticket: t, result, .. } if *t == ticket => Some(result.clone()),
        _ => None,
    });
    removed.unwrap();
    assert_eq!(bench.open(partition(2), config()).log_end, 0, "the name is free");
    bench.stop();
}

#[test]
fn what_is_kept_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new();
    let data_dir = dir.0.join("data");
    let bench = Bench::start(&data_dir);
    bench.open(partition(1), config());
    bench.append(partition(1), batch(0, 1)).unwrap();
    bench.stop();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&data_dir), mode(&data_dir.join("topic-0"))), (0o700, 0o700));
    for path in content(&data_dir).keys() {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_directory_in_use_is_refused() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let error = Bench::try_start(options(&dir.0)).err().unwrap();
    assert!(matches!(&error, StartError::Locked(path) if path.ends_with(".lock")), "{error}");
    assert!(error.to_string().contains(&dir.0.display().to_string()));
    bench.stop();
    Bench::start(&dir.0).stop();
}

#[test]
fn another_process_is_kept_out_as_java_keeps_it_out() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let script = "import fcntl,sys\nf=open(sys.argv[1],'r+')\ntry:\n fcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB)\nexcept OSError:\n sys.exit(3)";
    let path = dir.0.join(".lock");
    let run = || std::process::Command::new("python3").args(["-c", script]).arg(&path).status();
    let Ok(status) = run() else { return };
    assert_eq!(status.code(), Some(3));
    bench.stop();
    assert!(run().unwrap().success());
}

#[test]
fn an_unusable_directory_is_named_with_the_reason() {
    let dir = TempDir::new();
    let file = dir.0.join("file");
    std::fs::write(&file, "x").unwrap();
    for path in [file.clone(), file.join("below"), PathBuf::from("/sys/chronik-test")] {
        let error = Bench::try_start(options(&path)).err().unwrap().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
        assert!(!error.contains("ermission denied") || error.contains("user id"), "{error}");
    }
}

#[test]
fn a_directory_of_another_time_place_or_program_is_left_as_it_is() {
    let cases = [
        "version=1\ncluster.id=x\nnode.id=0\nchronik.format=99\n",
        "version=9\ncluster.id=x\nnode.id=0\n",
        "version=1\ncluster.id=x\nnode.id=0\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAQ\n",
        "version=1\ncluster.id=x\nnode.id=7\nchronik.format=1\n",
        "garbage\n",
    ];
    for case in cases {
        let dir = TempDir::new();
        std::fs::write(dir.0.join("meta.properties"), case).unwrap();
        std::fs::create_dir(dir.0.join("topic-0")).unwrap();
        std::fs::write(dir.0.join("topic-0/00000000000000000000.log"), "precious").unwrap();
        let before = content(&dir.0);
        let error = Bench::try_start(options(&dir.0)).err().unwrap();
        assert!(error.to_string().contains("meta.properties"), "{error}");
        assert_eq!(content(&dir.0), before, "{case}");
    }
}

#[test]
fn a_new_directory_is_made_with_its_parents() {
    let dir = TempDir::new();
    let deep = dir.0.join("a/b/c");
    let bench = Bench::start(&deep);
    assert_eq!(bench.started.cluster_id, "test-cluster");
    bench.stop();
    let other = Options { new_cluster_id: "another".to_owned(), ..options(&deep) };
    let bench = Bench::try_start(other).unwrap();
    assert_eq!(bench.started.cluster_id, "test-cluster", "an id is given once");
    assert_eq!((bench.started.new, bench.started.stopped_at), (false, Some(NOW)));
    bench.stop();
}

#[test]
fn a_directory_of_another_cluster_is_refused_with_both_ids() {
    let dir = TempDir::new();
    let of_cluster = |id: &str| Options { cluster_id: Some(id.to_owned()), ..options(&dir.0) };
    let bench = Bench::try_start(of_cluster("first")).unwrap();
    assert_eq!(bench.started.cluster_id, "first");
    bench.stop();
    let before = content(&dir.0);
    let error = Bench::try_start(of_cluster("second")).err().unwrap().to_string();
    let place = dir.0.join("meta.properties").display().to_string();
    assert_eq!(error, format!("{place}: it belongs to cluster first, this is cluster second"));
    assert_eq!(content(&dir.0), before);
    let bench = Bench::try_start(of_cluster("first")).unwrap();
    assert!(bench.started.clean);
    bench.stop();
}

fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(content(&path));
        } else {
            all.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    all
}
