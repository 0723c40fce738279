//! What cannot be opened is left as it is, to the byte and to the time of its last change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::process::{Dir, arguments};
use crate::{copy, kept};

/// Names, bytes and times of everything below a directory.
fn everything(dir: &Path) -> Vec<(PathBuf, Vec<u8>, SystemTime)> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let changed = fs::metadata(&path).unwrap().modified().unwrap();
            let bytes = if path.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
            found.push((path.clone(), bytes, changed));
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Runs the program to its end, which comes soon or is brought about; gives all that it says.
fn run(args: &[&str]) -> (Option<i32>, String) {
    let program = env!("CARGO_BIN_EXE_chronik");
    let done = Command::new("timeout").args(["30", program]).args(args).output().unwrap();
    let text = [done.stdout, done.stderr].concat();
    (done.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[track_caller]
fn assert_refused(args: &[&str], dir: &Path, words: &str) {
    let before = everything(dir);
    let (code, said) = run(args);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(words), "{said}");
    assert!(everything(dir) == before, "something was changed");
}

#[track_caller]
fn assert_start_refused(data: &Path, words: &str) {
    let arguments = arguments(data, &[]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    assert_refused(&arguments, data, words);
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_newer_format_is_refused_without_a_byte_changed() {
    let dir = Dir::new();
    copy(&kept("1-clean/data"), &dir.data());
    let path = dir.data().join("meta.properties");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("chronik.format=1", "chronik.format=2")).unwrap();
    assert_start_refused(&dir.data(), "version 2, newest known is 1");
    let (data, to) = (dir.data(), dir.data().with_file_name("to"));
    let (data, to) = (data.to_str().unwrap(), to.to_str().unwrap());
    let root = dir.data().parent().unwrap().to_owned();
    assert_refused(&["export", data, "--to", to], &root, "version 2");
    let kafka = kept("kafka-4.4.0/data");
    assert_refused(&["import", "--from", kafka.to_str().unwrap(), data], &root, "version 2");
}

#[test]
fn a_newer_manifest_is_refused_without_a_byte_changed() {
    let dir = Dir::new();
    copy(&kept("1-clean/data"), &dir.data());
    change(&dir.data().join("chronik-manifest"), |bytes| make_newer(bytes));
    assert_start_refused_but_for_the_lock(&dir);
}

#[test]
fn newer_marks_are_refused_without_a_byte_changed() {
    let dir = Dir::new();
    copy(&kept("1-killed/data"), &dir.data());
    change(&dir.data().join("chronik-marks-1"), |bytes| make_newer(bytes));
    assert_start_refused_but_for_the_lock(&dir);
}

/// A version that nobody knows, behind eight bytes of magic, and a content whose checksum is not ours: were it, the
/// version would be what is damaged.
fn make_newer(bytes: &mut [u8]) {
    bytes[11] = 9;
    bytes[15] ^= 0x55;
}

/// These are read under the lock, whose file is there already after any start.
#[track_caller]
fn assert_start_refused_but_for_the_lock(dir: &Dir) {
    fs::write(dir.data().join(".lock"), []).unwrap();
    assert_start_refused(&dir.data(), "newest known is");
}

#[test]
fn kafkas_own_directory_is_not_started_on() {
    let dir = Dir::new();
    copy(&kept("kafka-4.4.0/data"), &dir.data());
    assert_start_refused(&dir.data(), "was written by Kafka");
}

#[test]
fn an_import_refuses_what_is_in_the_way() {
    let dir = Dir::new();
    let root = dir.data().parent().unwrap().to_owned();
    let kafka = kept("kafka-4.4.0/data");
    let (from, data) = (kafka.to_str().unwrap(), dir.data());
    let to = data.to_str().unwrap();
    fs::create_dir(&data).unwrap();
    fs::write(data.join("of-value"), "x").unwrap();
    assert_refused(&["import", "--from", from, to], &root, "is not empty");
    fs::remove_file(data.join("of-value")).unwrap();
    copy(&kept("1-killed/data"), &data);
    assert_refused(&["import", "--from", from, to], &root, "was not stopped cleanly");
    assert_refused(&["import", "--from", to, to], &root, "is Chronik's own");
    let (code, said) = run(&["import", to]);
    assert_eq!(code, Some(2), "{said}");
}

#[test]
fn nothing_is_copied_into_the_directory_that_is_read() {
    let dir = Dir::new();
    let root = dir.data().parent().unwrap().to_owned();
    let (ours, kafka) = (dir.data(), root.join("kafka"));
    copy(&kept("1-clean/data"), &ours);
    copy(&kept("kafka-4.4.0/data"), &kafka);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (ours, kafka) = (text(&ours), text(&kafka));
    for to in [format!("{ours}/copy"), format!("{kafka}/../data/./deep/copy"), ours.clone()] {
        assert_refused(&["export", &ours, "--to", &to], &root, &format!("{to} lies in {ours}"));
    }
    let to = format!("{kafka}/copy");
    let words = format!("{to} lies in {kafka}");
    assert_refused(&["import", "--from", &kafka, &to], &root, &words);
    let (code, said) = run(&["export", &ours, "--to", &format!("{ours}-copy")]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_pattern_that_no_topic_matches_is_named() {
    let dir = Dir::new();
    let root = dir.data().parent().unwrap().to_owned();
    let (ours, kafka) = (dir.data(), kept("kafka-4.4.0/data"));
    copy(&kept("1-clean/data"), &ours);
    let (ours, kafka) = (ours.to_str().unwrap(), kafka.to_str().unwrap());
    let to = root.join("to");
    let to = to.to_str().unwrap();
    for globs in ["codec", "codecs,codec", "*,codec", "codec,__*"] {
        let words = "no topic matches \"codec\"";
        assert_refused(&["import", "--topics", globs, "--from", kafka, to], &root, words);
        assert_refused(&["export", "--topics", globs, "--to", to, ours], &root, words);
    }
    let (code, said) = run(&["import", "--topics", "codecs,*", "--from", kafka, to]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn an_import_refuses_a_killed_kafka_unless_it_is_told() {
    let dir = Dir::new();
    let root = dir.data().parent().unwrap().to_owned();
    let kafka = root.join("kafka");
    copy(&kept("kafka-4.4.0/data"), &kafka);
    fs::remove_file(kafka.join(".kafka_cleanshutdown")).unwrap();
    // A torn batch at the end, above the recovery point.
    let log = kafka.join("codecs-0/00000000000000000000.log");
    change(&log, |bytes| bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 15, 0, 0, 0, 99, 7]));
    let (from, to) = (kafka.to_str().unwrap(), dir.data());
    let to = to.to_str().unwrap();
    assert_refused(&["import", "--from", from, to], &root, "was not stopped cleanly");
    let (code, said) = run(&["import", "--unclean", "--from", from, to]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("codecs-0: 13 bytes were torn by the crash"), "{said}");
}

#[test]
fn an_import_refuses_damage() {
    let dir = Dir::new();
    let root = dir.data().parent().unwrap().to_owned();
    let kafka = root.join("kafka");
    copy(&kept("kafka-4.4.0/data"), &kafka);
    let log = kafka.join("codecs-0/00000000000000000000.log");
    change(&log, |bytes| bytes[200] ^= 1);
    let (from, to) = (kafka.to_str().unwrap(), dir.data());
    let to = to.to_str().unwrap();
    assert_refused(&["import", "--from", from, to], &root, "damaged at byte");
    // Below the recovery point it is no crash that did it.
    assert_refused(&["import", "--unclean", "--from", from, to], &root, "damaged at byte");
}
