//! Starts: what is in the way is named, and what is not ours is left alone.

use std::fs;
use std::time::Duration;

use super::client::{Client, batch};
use super::process::{Broker, Dir, EachRefStr, Process, arguments};

/// Runs a broker that cannot start. Answers its exit code and all that it says.
#[track_caller]
fn fails(args: &[&str]) -> (Option<i32>, Vec<String>) {
    let (status, lines) = Process::run(args).end_within(Duration::from_secs(10));
    (status.code(), lines)
}

#[test]
fn a_directory_in_use_is_named() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let (code, lines) = fails(&arguments(&dir.data(), &[]).each_ref_str());
    assert_eq!((code, lines.len()), (Some(1), 1), "{lines:#?}");
    let data = dir.data();
    assert!(lines[0].contains(data.to_str().unwrap()) && lines[0].contains("another process"));
    assert_eq!(Client::connect(broker.kafka).topics(), [""; 0], "the first goes on");
}

#[test]
fn a_port_in_use_is_named_and_the_data_stay_clean() {
    let (dir, other) = (Dir::new(), Dir::new());
    let broker = Broker::start(&other);
    for flags in [["-l", "--http"], ["--http", "-l"]] {
        let (data, taken) = (dir.data(), broker.kafka.to_string());
        let data = data.to_str().unwrap();
        let (code, lines) = fails(&["-d", data, flags[0], &taken, flags[1], "127.0.0.1:0"]);
        assert_eq!((code, lines.len()), (Some(1), 1), "{lines:#?}");
        assert!(lines[0].contains(&taken) && lines[0].contains("in use"), "{lines:?}");
    }
    let broker = Broker::start(&dir);
    assert_eq!(broker.process.lines_with("not a clean one").len(), 0);
}

#[test]
fn a_format_of_the_future_is_refused_without_a_byte_changed() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    Client::connect(broker.kafka).create_topic("t", 1);
    broker.stop();
    let meta = dir.data().join("meta.properties");
    let text = fs::read_to_string(&meta).unwrap();
    assert!(text.contains("chronik.format=1\n"));
    fs::write(&meta, text.replace("chronik.format=1\n", "chronik.format=99\n")).unwrap();
    let before = dir.contents();
    let (code, lines) = fails(&arguments(&dir.data(), &[]).each_ref_str());
    assert_eq!((code, lines.len()), (Some(1), 1), "{lines:#?}");
    assert!(lines[0].contains("meta.properties") && lines[0].contains("99"), "{lines:?}");
    assert!(dir.contents() == before, "something was changed");
}

#[test]
fn a_directory_of_another_cluster_is_refused() {
    let dir = Dir::new();
    Broker::start_with(&dir, &["chronik.cluster.id=first"]).stop();
    Broker::start(&dir).stop();
    let data = dir.data();
    let second = arguments(&data, &["chronik.cluster.id=second"]);
    let (code, lines) = fails(&second.each_ref_str());
    assert_eq!((code, lines.len()), (Some(1), 1), "{lines:#?}");
    let path = data.to_str().unwrap();
    assert!([path, "first", "second"].iter().all(|word| lines[0].contains(word)), "{lines:?}");
}

#[test]
fn a_directory_that_cannot_be_written_is_named_with_the_reason() {
    let dir = Dir::new();
    fs::write(dir.data(), "a file").unwrap();
    for (data, reason) in [
        (dir.data(), "ot a directory"),
        (dir.data().join("below"), "ot a directory"),
        ("/proc/chronik".into(), "o such file"),
    ] {
        let (code, lines) = fails(&arguments(&data, &[]).each_ref_str());
        assert_eq!((code, lines.len()), (Some(1), 1), "{lines:#?}");
        let path = data.to_str().unwrap();
        assert!(lines[0].contains(path) && lines[0].contains(reason), "{lines:?}");
    }
}

#[test]
fn what_cannot_be_configured_is_named_by_its_key() {
    let dir = Dir::new();
    for (setting, key) in [
        ("num.partitions=none", "num.partitions"),
        ("log.segment.bytes=-5", "log.segment.bytes"),
        ("chronik.durability=perhaps", "chronik.durability"),
        ("group.min.session.timeout.ms=2000000", "group.min.session.timeout.ms"),
        ("listeners=PLAINTEXT://here:port", "listeners"),
        ("chronik.http=here:port", "chronik.http"),
    ] {
        let (code, lines) = fails(&["-d", dir.data().to_str().unwrap(), "-o", setting]);
        assert_eq!(code, Some(2), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains(key)), "{lines:#?}");
    }
    assert!(!dir.data().exists(), "nothing was touched");
}

#[test]
fn an_unknown_key_is_a_warning() {
    let dir = Dir::new();
    let broker = Broker::start_with(&dir, &["no.such.key=1"]);
    assert!(broker.process.line("no.such.key").contains("WARN"));
    assert!(broker.process.lines()[0].contains("ready on"), "the addresses come first");
}

#[test]
fn a_directory_that_nobody_knows_is_set_aside() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    Client::connect(broker.kafka).create_topic("t", 1);
    broker.stop();
    let stray = dir.data().join("stray-0");
    fs::create_dir(&stray).unwrap();
    let metadata = "version: 0\ntopic_id: 1NS0HF2bRPSFyoo84iOnJw";
    fs::write(stray.join("partition.metadata"), metadata).unwrap();
    fs::write(stray.join("00000000000000000000.log"), "whatever this is").unwrap();
    fs::create_dir(dir.data().join("lost+found")).unwrap();
    let broker = Broker::start(&dir);
    broker.process.line("stray-0");
    assert_eq!(Client::connect(broker.kafka).topics(), ["t"]);
    let names = dir.names();
    assert!(!names.contains(&"stray-0".to_owned()) && names.contains(&"lost+found".to_owned()));
    let kept = names.iter().find(|name| name.ends_with("-stray")).unwrap();
    let log = dir.data().join(kept).join("00000000000000000000.log");
    assert_eq!(fs::read_to_string(log).unwrap(), "whatever this is");
    broker.stop();
    let broker = Broker::start(&dir);
    assert_eq!(broker.process.lines_with("stray").len(), 0, "once is enough");
}

#[test]
fn a_directory_that_does_not_say_whose_it_is_belongs_to_the_topic_of_its_name() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut client = Client::connect(broker.kafka);
    client.create_topic("t", 2);
    client.produce("t", -1, batch(b"kept"));
    broker.kill();
    // As after a crash between the making of a directory and the first file in it, or after damage to that file.
    let (full, empty) = (dir.data().join("t-0"), dir.data().join("t-1"));
    fs::remove_file(full.join("partition.metadata")).unwrap();
    fs::remove_dir_all(&empty).unwrap();
    fs::create_dir(&empty).unwrap();
    let broker = Broker::start(&dir);
    assert_eq!(Client::connect(broker.kafka).end_of("t"), 1);
    assert!(!dir.names().iter().any(|name| name.ends_with("-stray")));
    assert!(full.join("partition.metadata").exists() && empty.join("partition.metadata").exists());
    broker.stop();
}
