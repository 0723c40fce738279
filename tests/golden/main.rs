//! Data directories of earlier versions, and of Kafka, are opened and hold what they held: every record, every position.
//! Those of later versions are refused, and nothing in them changes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is a failed test"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the directories are copied and changed from outside"
)]

#[expect(dead_code, reason = "more is needed elsewhere")]
#[path = "../end_to_end/client.rs"]
mod client;
#[expect(dead_code, reason = "more is needed elsewhere")]
#[path = "../end_to_end/process.rs"]
mod process;
mod reading;
mod refusals;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chronik::record::batch::BatchHeader;
use chronik::wire::api::Response;
use chronik::wire::messages::InitProducerIdRequest;
use client::{Client, batch};
use process::{Broker, Dir, Process};

/// Where the directories are kept.
fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden").join(name)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::write(target, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

/// What a client found when the directory was made, a line for each fact.
fn expected(name: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(kept(name).join("expected.txt")).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
fn assert_same(found: &BTreeSet<String>, expected: &BTreeSet<String>) {
    let lost: Vec<&String> = expected.difference(found).collect();
    let invented: Vec<&String> = found.difference(expected).collect();
    assert!(lost.is_empty() && invented.is_empty(), "lost {lost:#?}, invented {invented:#?}");
}

/// Runs a command that has to succeed.
#[track_caller]
fn command(args: &[&str]) {
    let (status, lines) = Process::run(args).end_within(Duration::from_secs(20));
    assert_eq!(status.code(), Some(0), "{lines:#?}");
}

/// Serves the directory, finds everything, goes on writing behind it, and finds everything again after each stop.
fn lives_on(dir: &Dir, name: &str, keys: &[&str]) {
    let expected = expected(name);
    let broker = Broker::start_with(dir, keys);
    let mut client = Client::connect(broker.kafka);
    assert_same(&reading::everything(&mut client), &expected);
    let end = client.end_of("codecs");
    assert_eq!(client.produce("codecs", -1, batch(b"later")), end);
    broker.kill();
    let broker = Broker::start_with(dir, keys);
    let mut client = Client::connect(broker.kafka);
    assert_eq!(client.end_of("codecs"), end + 1, "what was written later is kept");
    let found = reading::everything(&mut client);
    assert!(found.len() > expected.len());
    let lost: Vec<&String> =
        expected.difference(&found).filter(|line| !line.starts_with("range codecs")).collect();
    assert!(lost.is_empty(), "lost {lost:#?}");
    broker.stop();
}

#[test]
fn format_1_stopped_cleanly_is_read_back() {
    let dir = Dir::new();
    copy(&kept("1-clean/data"), &dir.data());
    lives_on(&dir, "1-clean", &[]);
}

#[test]
fn format_1_killed_is_read_back() {
    let dir = Dir::new();
    copy(&kept("1-killed/data"), &dir.data());
    lives_on(&dir, "1-killed", &[]);
}

#[test]
fn what_kafka_4_4_left_is_imported() {
    let dir = Dir::new();
    let from = kept("kafka-4.4.0/data");
    command(&["import", "--from", from.to_str().unwrap(), dir.data().to_str().unwrap()]);
    lives_on(&dir, "kafka-4.4.0", &["node.id=1"]);
}

#[test]
fn a_retry_of_what_kafka_took_is_recognised_after_the_import() {
    let dir = Dir::new();
    let from = kept("kafka-4.4.0/data");
    command(&["import", "--from", from.to_str().unwrap(), dir.data().to_str().unwrap()]);
    let broker = Broker::start_with(&dir, &["node.id=1"]);
    let mut client = Client::connect(broker.kafka);
    let end = client.end_of("codecs");
    let last = client.fetch("codecs", end - 1);
    assert_eq!(client.produce("codecs", -1, last.clone()), end - 3, "where the original is");
    assert_eq!(client.end_of("codecs"), end);
    // Nor is its number given to anybody else.
    let request = InitProducerIdRequest { transactional_id: None, ..Default::default() };
    let Response::InitProducerId(given) = client.ask(request, 4) else { panic!() };
    let known = BatchHeader::read(&last).unwrap().producer_id;
    assert!(given.producer_id > known, "{} after {known}", given.producer_id);
    broker.stop();
}

#[test]
fn what_kafka_left_is_imported_beside_what_is_there() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut client = Client::connect(broker.kafka);
    client.create_topic("own", 1);
    client.produce("own", -1, batch(b"was here before"));
    broker.stop();
    let from = kept("kafka-4.4.0/data");
    command(&["import", "--from", from.to_str().unwrap(), dir.data().to_str().unwrap()]);
    let broker = Broker::start(&dir);
    let mut client = Client::connect(broker.kafka);
    let mut found = reading::everything(&mut client);
    let own: Vec<String> =
        found.iter().filter(|line| line.split(' ').nth(1) == Some("own")).cloned().collect();
    assert_eq!(own.len(), 3, "a range, and a record that both levels of isolation show: {own:?}");
    found.retain(|line| !own.contains(line));
    assert_same(&found, &expected("kafka-4.4.0"));
    broker.stop();
}

#[test]
fn a_copy_by_way_of_kafkas_form_is_the_same() {
    let dir = Dir::new();
    let kafka = dir.data().with_file_name("kafka");
    let (data, exported) = (dir.data(), kafka.to_str().unwrap().to_owned());
    let from = kept("1-clean/data");
    command(&["export", from.to_str().unwrap(), "--to", &exported]);
    command(&["import", "--from", &exported, data.to_str().unwrap()]);
    lives_on(&dir, "1-clean", &[]);
}
