//! The benchmark counts what the broker has: its generator against a real broker, and against a floor.

#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]
#![expect(clippy::disallowed_methods, reason = "it reads what the broker has stored")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use chronik::base::payload::Bytes;
use chronik::record::batch::Batches;

/// A directory that is gone when the test is over.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let path = std::env::temp_dir().join(format!("chronik-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Dir(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A broker that ends with the test.
struct Broker {
    child: Child,
    address: String,
}

impl Broker {
    fn start(data: &Path) -> Broker {
        let mut child = Command::new(env!("CARGO_BIN_EXE_chronik"))
            .args(["-l", "127.0.0.1:0", "--http", "none", "-d", data.to_str().unwrap()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let ready = lines.find(|line| line.contains("ready on ")).unwrap();
        let (_, rest) = ready.split_once("ready on ").unwrap();
        let address = rest.split(' ').next().unwrap().to_owned();
        std::thread::spawn(move || lines.for_each(drop));
        Broker { child, address }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A measurement and how it ends.
fn attempt(arguments: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chronik-bench"));
    command.args(arguments.split(' ')).args(more).output().unwrap()
}

/// The line of results of a measurement.
fn measure(arguments: &str, more: &[&str]) -> String {
    let output = attempt(arguments, more);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A figure of a line.
fn figure(line: &str, name: &str) -> i64 {
    let (_, rest) = line.split_once(&format!("\"{name}\":")).unwrap();
    rest.split([',', '}']).next().unwrap().parse().unwrap()
}

/// Records in all segments of the benchmark's topics.
fn stored(data: &Path) -> i64 {
    let partitions = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let own = partitions.filter(|path| path.to_string_lossy().contains("/bench-"));
    let files = own.flat_map(|path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
    let segments = files.filter(|path| path.extension().is_some_and(|end| end == "log"));
    segments
        .map(|path| {
            let bytes = Bytes::from_vec(fs::read(path).unwrap());
            // What follows the batches, if anything, are blocks reserved for more.
            let batches = Batches::new(&bytes).map_while(Result::ok);
            batches.map(|(header, _)| i64::from(header.record_count)).sum::<i64>()
        })
        .sum()
}

#[test]
fn the_generator_counts_what_the_broker_stores() {
    let dir = Dir::new("bench-counts");
    let broker = Broker::start(&dir.0.join("data"));
    let pid = broker.child.id().to_string();
    let mut counted = 0;
    for arguments in [
        "produce --keep --seconds 0.4 --bytes 20000000 --connections 3 --partitions 2",
        "produce --keep --seconds 0.3 --record 100 --request 4096 --acks 0 --bytes 2000000",
        "produce --keep --seconds 0.3 --record 100 --request 4096 --acks all --codec lz4",
    ] {
        let line = measure(arguments, &["--address", &broker.address, "--pid", &pid]);
        assert!(figure(&line, "requests") > 0, "{line}");
        counted += figure(&line, "records");
    }
    drop(broker);
    assert_eq!(stored(&dir.0.join("data")), counted);
}

#[test]
fn a_topic_has_the_settings_that_were_asked_for() {
    let dir = Dir::new("bench-settings");
    let broker = Broker::start(&dir.0.join("data"));
    let pid = broker.child.id().to_string();
    let more = ["--address", &broker.address, "--pid", &pid, "--setting", "max.message.bytes=2000"];
    let output = attempt("produce --record 100 --request 4096 --seconds 0.1", &more);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("MESSAGE_TOO_LARGE"), "{said}");
    measure("produce --record 100 --request 1024 --seconds 0.1", &more);
}

#[test]
fn what_is_fetched_is_as_much_as_was_asked_for() {
    let dir = Dir::new("bench-fetch");
    let broker = Broker::start(&dir.0.join("data"));
    let pid = broker.child.id().to_string();
    let arguments = "fetch --fill 4000000 --bytes 8000000 --connections 2 --seconds 5";
    let line = measure(arguments, &["--address", &broker.address, "--pid", &pid]);
    assert!(figure(&line, "bytes") >= 7_000_000, "{line}");
    let line =
        measure("follow --seconds 0.5 --rate 200", &["--address", &broker.address, "--pid", &pid]);
    assert_eq!(figure(&line, "arrived"), figure(&line, "requests"), "{line}");
}

#[test]
fn a_floor_answers_the_same_generator() {
    let dir = Dir::new("bench-floor");
    let dir = dir.0.to_str().unwrap();
    for floor in ["floor:discard", "floor:write-worker --file-bytes 1000000"] {
        let line =
            measure("produce --seconds 0.2 --bytes 5000000", &["--spawn", floor, "--dir", dir]);
        assert!(figure(&line, "bytes") >= 5_000_000, "{line}");
    }
}
