//! Records: what was produced comes back, from memory and from the disk, after any end.

use std::fs::File;

use chronik::wire::api::Response;
use chronik::wire::messages::{
    ListOffsetsRequest, ListOffsetsRequestPartition, ListOffsetsRequestTopic,
};

use super::client::{Client, batch};
use super::process::{Broker, Dir};

/// Values of a batch each, together several MiB over several segments.
fn values() -> Vec<Vec<u8>> {
    let value =
        |n: usize| (0..150_000 + n * 1_000).map(|i| (i * 31 + n).to_le_bytes()[0]).collect();
    (0..40).map(value).collect()
}

/// The batches as the broker keeps them: with offsets, and the leader epoch of a first start.
fn kept(batches: &[Vec<u8>]) -> Vec<u8> {
    let mut all = Vec::new();
    for (offset, batch) in (0_i64..).zip(batches) {
        all.extend_from_slice(&offset.to_be_bytes());
        all.extend_from_slice(&batch[8..12]);
        all.extend_from_slice(&0_i32.to_be_bytes());
        all.extend_from_slice(&batch[16..]);
    }
    all
}

/// Everything from the start on, by as many fetches as it takes.
fn fetch_all(client: &mut Client, topic: &str, end: i64) -> Vec<u8> {
    let (mut all, mut next) = (Vec::new(), 0);
    while next < end {
        let bytes = client.fetch(topic, next);
        assert!(!bytes.is_empty());
        let mut at = 0;
        while at < bytes.len() {
            let offset = i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
            let length = i32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap());
            assert_eq!(offset, next);
            next += 1;
            at += 12 + usize::try_from(length).unwrap();
        }
        all.extend(bytes);
    }
    all
}

/// Has the system forget what it keeps of the files in memory.
fn drop_pages(dir: &Dir) -> usize {
    let mut logs = 0;
    for (path, _) in dir.contents() {
        if path.extension().is_some_and(|extension| extension == "log") {
            let file = File::open(&path).unwrap();
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
            logs += 1;
        }
    }
    logs
}

#[test]
fn several_mebibytes_over_several_segments_come_back_as_they_were() {
    let dir = Dir::new();
    let broker = Broker::start_with(&dir, &["log.segment.bytes=1048576"]);
    let mut client = Client::connect(broker.kafka);
    client.create_topic("t", 1);
    let batches: Vec<Vec<u8>> = values().iter().map(|value| batch(value)).collect();
    for (offset, batch) in (0..).zip(&batches) {
        assert_eq!(client.produce("t", -1, batch.clone()), offset);
    }
    let (expected, end) = (kept(&batches), client.end_of("t"));
    assert!(fetch_all(&mut client, "t", end) == expected, "warm");
    assert!(drop_pages(&dir) > 5, "too few segments");
    assert!(fetch_all(&mut client, "t", end) == expected, "cold");
    broker.kill();
    let broker = Broker::start_with(&dir, &["log.segment.bytes=1048576"]);
    drop_pages(&dir);
    let mut client = Client::connect(broker.kafka);
    assert_eq!(client.end_of("t"), end);
    assert!(fetch_all(&mut client, "t", end) == expected, "after a crash");
    assert_eq!(client.produce("t", -1, batch(b"on")), end);
    broker.stop();
}

#[test]
fn the_oldest_clients_find_starts_of_segments_by_the_time_they_were_written() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut client = Client::connect(broker.kafka);
    client.create_topic("t", 1);
    client.produce("t", -1, batch(b"a record"));
    let mut starts = |timestamp, max_num_offsets| {
        let partition =
            ListOffsetsRequestPartition { timestamp, max_num_offsets, ..Default::default() };
        let topic = ListOffsetsRequestTopic { name: "t".into(), partitions: vec![partition] };
        let request = ListOffsetsRequest { topics: vec![topic], ..Default::default() };
        let Response::ListOffsets(response) = client.ask(request, 0) else { panic!() };
        let part = &response.topics[0].partitions[0];
        assert_eq!(part.error_code, 0, "{response:?}");
        part.old_style_offsets.clone()
    };
    for timestamp in [-1, i64::MAX] {
        assert_eq!(starts(timestamp, 1), [1]);
        assert_eq!(starts(timestamp, 10), [1, 0]);
    }
    assert_eq!(starts(-2, 10), [0]);
    assert_eq!(starts(1_600_000_000_000, 10), [], "nothing was written so early");
}
