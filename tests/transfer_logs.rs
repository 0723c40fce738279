//! Logs that change hands: what Kafka wrote is copied byte for byte, and indexes are made anew as Kafka made them.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "only tests use this")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chronik::base::ids::{PartitionId, TopicId};
use chronik::dump_log::{Verdict, run};
use chronik::storage::adopt::{Copied, Destination, Original, copy_log};
use chronik::storage::fs::{Fs, RealFs};
use chronik::storage::job::StorageError;

#[path = "support/hex.rs"]
mod hex;

/// A place for a fixture of Kafka's and its copy, empty at first.
fn place(test: &str, fixture: &str) -> (PathBuf, PathBuf) {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("transfer_logs_{test}"));
    let _ = fs::remove_dir_all(&root);
    let (original, copy) = (root.join("kafka").join(fixture), root.join(fixture));
    fs::create_dir_all(&original).unwrap();
    for entry in fs::read_dir(Path::new("tests/data/storage").join(fixture)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let bytes = fs::read(entry.path()).unwrap();
        match name.strip_suffix(".hex") {
            Some(name) => {
                fs::write(original.join(name), hex::bytes(std::str::from_utf8(&bytes).unwrap()))
            }
            None => fs::write(original.join(name), bytes),
        }
        .unwrap();
    }
    (original, copy)
}

fn copied(
    from: &Path,
    to: &Path,
    change: impl FnOnce(&mut Destination<'_>),
) -> Result<Copied, StorageError> {
    let real: Arc<dyn Fs> = Arc::new(RealFs);
    let mut destination = Destination {
        fs: &real,
        dir: to,
        partition: PartitionId { topic: TopicId([7; 16]), index: 0 },
        topic: "mixed",
        index_interval_bytes: 256,
        leader_epoch: None,
        abort_open: None,
    };
    change(&mut destination);
    copy_log(&Original { dir: from, log_start: None, torn_from: None }, &destination)
}

fn assert_sound(dir: &Path) {
    let mut out = Vec::new();
    let args = ["--verify".to_owned(), dir.to_str().unwrap().to_owned()];
    let verdict = run(&args, &mut out).unwrap();
    assert_eq!(verdict, Verdict::Sound, "{}", String::from_utf8_lossy(&out));
}

#[test]
fn a_copy_has_kafkas_bytes_and_kafkas_indexes() {
    let (original, copy) = place("bytes", "mixed-0");
    let told = copied(&original, &copy, |_| {}).unwrap();
    assert_eq!((told.manifest.log_start, told.manifest.log_end), (0, 64));
    assert_eq!((told.aborted, told.open.len()), (1, 0));
    assert_eq!(told.manifest.snapshots, [61, 64]);
    for entry in fs::read_dir(&original).unwrap() {
        let name = entry.unwrap().file_name();
        // Kafka's own says which topic it was; the test names another.
        if name != "partition.metadata" {
            let (mine, theirs) =
                (fs::read(copy.join(&name)), fs::read(original.join(&name)).unwrap());
            assert!(mine.unwrap_or_default() == theirs, "{}", name.display());
        }
    }
    assert_sound(&copy);
}

#[test]
fn a_copy_for_another_cluster_has_the_epoch_of_a_new_topic() {
    let (original, copy) = place("epoch", "mixed-0");
    let told = copied(&original, &copy, |to| to.leader_epoch = Some(4)).unwrap();
    assert_eq!((told.leader_epoch, told.manifest.epochs), (4, vec![(4, 0)]));
    assert_eq!(fs::read_to_string(copy.join("leader-epoch-checkpoint")).unwrap(), "0\n1\n4 0\n");
    let log = "00000000000000000000.log";
    let (mine, theirs) = (fs::read(copy.join(log)).unwrap(), fs::read(original.join(log)).unwrap());
    assert_eq!(mine.len(), theirs.len());
    assert_eq!(mine.get(12..16), Some(&[0, 0, 0, 4][..]));
    assert_sound(&copy);
}

#[test]
fn a_transaction_in_progress_is_told_and_aborted_if_wanted() {
    let (original, copy) = place("open", "mixed-0");
    // Without its last batch, the marker, and what Kafka knew behind it.
    let log = original.join("00000000000000000061.log");
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, bytes.get(..bytes.len() - 78).unwrap()).unwrap();
    fs::remove_file(original.join("00000000000000000064.snapshot")).unwrap();
    let told = copied(&original, &copy, |_| {}).unwrap();
    let open = told.open.first().copied().unwrap();
    assert_eq!((told.open.len(), open.producer_id, open.first_offset), (1, 5, 62));
    fs::remove_dir_all(&copy).unwrap();
    let ended = copied(&original, &copy, |to| to.abort_open = Some(1_800_000_000_000)).unwrap();
    let end = told.manifest.log_end;
    assert_eq!(ended.manifest.log_end, end + 1, "the marker");
    let index = "00000000000000000061.txnindex";
    let theirs = fs::read(original.join(index)).unwrap();
    assert!(fs::read(copy.join(index)).unwrap() == theirs, "as Kafka's own coordinator did");
    assert_sound(&copy);
}

#[test]
fn messages_of_the_old_formats_are_refused_by_name() {
    let (original, copy) = place("old", "old-0");
    let error = copied(&original, &copy, |_| {}).unwrap_err().to_string();
    assert!(error.contains("messages of the old format"), "{error}");
}
