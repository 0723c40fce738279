//! A journal that is damaged or gone: nothing is deleted, nothing is guessed, and the ways out are named.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::client::{Client, batch};
use super::process::{Broker, Dir, EachRefStr, Process, arguments};
use chronik::wire::api::Response;
use chronik::wire::messages::{DescribeConfigsRequest, DescribeConfigsRequestResource};

#[track_caller]
fn refused(dir: &Dir) -> String {
    let args = arguments(&dir.data(), &[]);
    let (status, lines) = Process::run(&args.each_ref_str()).end_within(Duration::from_secs(10));
    assert_eq!(status.code(), Some(1), "{lines:#?}");
    lines.join("\n")
}

fn with_records(clean: bool) -> Dir {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut client = Client::connect(broker.kafka);
    client.create_topic("t", 2);
    client.produce("t", -1, batch(b"kept"));
    if clean {
        broker.stop();
    } else {
        broker.kill();
    }
    dir
}

/// What was set for the topic `t`, and not by default.
fn settings(client: &mut Client) -> Vec<String> {
    let resource = DescribeConfigsRequestResource {
        resource_type: 2,
        resource_name: "t".to_owned(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let Response::DescribeConfigs(response) = client.ask(request, 4) else { panic!() };
    let set = response.results[0].configs.iter().filter(|config| config.config_source == 1);
    set.map(|config| format!("{}={}", config.name, config.value.as_deref().unwrap())).collect()
}

fn journal(dir: &Dir) -> PathBuf {
    dir.data().join("__cluster_metadata-0")
}

#[test]
fn a_lost_journal_deletes_nothing_and_its_topics_can_be_recorded_anew() {
    for clean in [true, false] {
        let dir = with_records(clean);
        fs::rename(journal(&dir), dir.data().join("away")).unwrap();
        let before = dir.contents();
        let said = refused(&dir);
        assert!(said.contains("__cluster_metadata-0") && said.contains("adopt"), "{said}");
        if clean {
            assert!(dir.contents() == before, "something was changed");
        }
        let broker = Broker::start_with(&dir, &["chronik.metadata.lost=adopt"]);
        let mut client = Client::connect(broker.kafka);
        assert_eq!((client.topics(), client.end_of("t")), (vec!["t".to_owned()], 1));
        client.produce("t", -1, batch(b"more"));
        let mut kept = settings(&mut client);
        kept.sort();
        assert_eq!(kept, ["retention.bytes=-1", "retention.ms=-1"], "nothing goes by a default");
        broker.kill();
        let broker = Broker::start(&dir);
        let mut client = Client::connect(broker.kafka);
        assert_eq!((client.topics(), client.end_of("t")), (vec!["t".to_owned()], 2));
        assert!(!dir.names().iter().any(|name| name.ends_with("-stray")), "{:?}", dir.names());
    }
}

#[test]
fn an_emptied_journal_is_a_lost_one() {
    let dir = with_records(true);
    fs::write(journal(&dir).join("00000000000000000000.log"), "").unwrap();
    let before = dir.contents();
    assert!(refused(&dir).contains("chronik.metadata.lost"));
    assert!(dir.contents() == before, "something was changed");
}

#[test]
fn a_damaged_journal_is_not_guessed_at() {
    let dir = with_records(true);
    let log = journal(&dir).join("00000000000000000000.log");
    let whole = fs::read(&log).unwrap();
    let mut bytes = whole.clone();
    bytes[70] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let said = refused(&dir);
    let named = ["00000000000000000000.log", "bytes 0 to", "chronik.damage=skip"];
    assert!(named.iter().all(|words| said.contains(words)), "{said}");
    assert_eq!(fs::read(&log).unwrap(), bytes, "nothing is cut");
    fs::write(&log, &whole).unwrap();
    let broker = Broker::start(&dir);
    assert_eq!(Client::connect(broker.kafka).end_of("t"), 1);
}

#[test]
fn a_directory_whose_topic_id_is_damaged_still_belongs_to_its_topic() {
    let dir = with_records(false);
    let path = dir.data().join("t-0").join("partition.metadata");
    let whole = fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    let last = bytes.len() - 3;
    bytes[last] = if bytes[last] == b'a' { b'b' } else { b'a' };
    fs::write(&path, &bytes).unwrap();
    let broker = Broker::start(&dir);
    assert_eq!(Client::connect(broker.kafka).end_of("t"), 1);
    assert_eq!(fs::read(&path).unwrap(), whole, "it says so again");
}
