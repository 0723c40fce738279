//! `chronik check` finds what is damaged, says where, and changes nothing.

use std::fs;
use std::path::{Path, PathBuf};

use chronik::check::{CheckError, Verdict, run};

use super::client::{Client, batch};
use super::process::{Broker, Dir};

fn check(dir: &Path, json: bool) -> (Verdict, String) {
    let mut args = vec![dir.to_str().unwrap().to_owned()];
    args.extend(json.then(|| "--json".to_owned()));
    let mut out = Vec::new();
    let verdict = run(&args, &mut out, &mut Vec::new()).unwrap();
    (verdict, String::from_utf8(out).unwrap())
}

fn filled() -> (Dir, Broker) {
    let dir = Dir::new();
    let broker =
        Broker::start_with(&dir, &["log.segment.bytes=10000", "log.index.interval.bytes=100"]);
    let mut client = Client::connect(broker.kafka);
    client.create_topic("t", 2);
    for _ in 0..300 {
        client.produce("t", -1, batch(b"some record"));
    }
    (dir, broker)
}

#[test]
fn a_whole_directory_is_sound_while_it_is_used_after_a_kill_and_after_a_stop() {
    let (dir, broker) = filled();
    let (verdict, said) = check(&dir.data(), false);
    assert_eq!(verdict, Verdict::Sound, "{said}");
    assert!(said.contains("t-0: ") && said.contains("300 records"), "{said}");
    broker.kill();
    let (verdict, said) = check(&dir.data(), false);
    assert_eq!(verdict, Verdict::Sound, "{said}");
    assert!(said.contains("no mark of a clean stop"), "{said}");
    Broker::start(&dir).stop();
    let before = dir.contents();
    let (verdict, said) = check(&dir.data(), true);
    assert_eq!(verdict, Verdict::Sound, "{said}");
    assert!(said.lines().last().unwrap().starts_with("{\"type\":\"total\""), "{said}");
    assert!(dir.contents() == before, "something was changed");
}

/// What is done to the file, and what must be said of it.
type Case = (&'static str, fn(&Path), &'static str);

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 4;
    fs::write(path, bytes).unwrap();
}

#[test]
fn every_kind_of_damage_is_found_and_named() {
    let (whole, broker) = filled();
    broker.stop();
    let first = "t-0/00000000000000000000";
    let cases: [Case; 14] = [
        ("t-0/00000000000000000000.log", |p| flip(p, 70), "byte 0 offsets 0 to 1:"),
        ("t-0/00000000000000000000.log", |p| flip(p, 3), "byte 0 offsets 0 to 1:"),
        ("t-0/00000000000000000000.log", |p| fs::remove_file(p).unwrap(), "the file is missing"),
        ("t-0/00000000000000000000.log", |p| fs::write(p, b"").unwrap(), "the manifest says"),
        ("t-0/00000000000000000000.index", |p| flip(p, 6), "byte "),
        ("t-0/00000000000000000000.timeindex", |p| flip(p, 6), "byte "),
        ("t-0/leader-epoch-checkpoint", |p| fs::write(p, "x").unwrap(), ""),
        ("t-0/partition.metadata", |p| fs::remove_file(p).unwrap(), "which topic owns it"),
        ("t-0", |p| fs::remove_dir_all(p).unwrap(), "directory is missing"),
        ("__cluster_metadata-0/00000000000000000000.log", |p| flip(p, 70), "byte 0 offsets 0 to"),
        ("__cluster_metadata-0", |p| fs::remove_dir_all(p).unwrap(), "recorded nowhere"),
        ("chronik-manifest", |p| flip(p, 40), "checksum"),
        ("chronik-marks-0", |p| flip(p, 4), "does not begin"),
        ("meta.properties", |p| fs::remove_file(p).unwrap(), "missing"),
    ];
    for (name, spoil, said) in cases {
        let spoiled = Dir::new();
        copy(&whole.data(), &spoiled.data());
        let path = spoiled.data().join(name);
        spoil(&path);
        let (verdict, lines) = check(&spoiled.data(), false);
        assert_eq!(verdict, Verdict::Damaged, "{name} {said}: {lines}");
        let file = if said.contains("which topic") { spoiled.data().join("t-0") } else { path };
        let damage = format!("DAMAGE {}", file.display());
        let told = lines.lines().any(|line| line.starts_with(&damage) && line.contains(said));
        assert!(told, "{name} {said}: {lines}");
    }
    // A segment of another place.
    let spoiled = Dir::new();
    copy(&whole.data(), &spoiled.data());
    let mut logs: Vec<PathBuf> = fs::read_dir(spoiled.data().join("t-0"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "log"))
        .collect();
    logs.sort();
    fs::copy(&logs[1], spoiled.data().join(format!("{first}.log"))).unwrap();
    let (_, lines) = check(&spoiled.data(), true);
    assert!(lines.contains("no good batch") || lines.contains("the manifest says"), "{lines}");
}

#[test]
fn what_cannot_be_read_is_no_verdict() {
    let args = |text: &[&str]| text.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
    let run = |text: &[&str]| run(&args(text), &mut Vec::new(), &mut Vec::new());
    assert!(matches!(run(&["/no/such/directory"]), Err(CheckError::Input(..))));
    for wrong in [&["--what"][..], &[], &["a", "b"]] {
        assert!(matches!(run(wrong), Err(CheckError::Usage(_))), "{wrong:?}");
    }
    assert!(matches!(run(&["--help"]), Ok(Verdict::Sound)));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
