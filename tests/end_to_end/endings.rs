//! Ends: asked for, insisted on, and sudden; and what the next start finds.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use chronik::base::payload::Bytes;
use chronik::wire::api::{ApiKey, Response, decode_response};
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::*;
use rustix::process::Signal;

use super::client::{Client, batch, commit, committed, fetch, frame, join, metadata, produce};
use super::process::{Broker, Dir};

const MARKER: &str = ".kafka_cleanshutdown";
const UNCLEAN: &str = "not a clean one";

fn joined(response: Response) -> JoinGroupResponse {
    let Response::JoinGroup(response) = response else { panic!("{response:?}") };
    *response
}

#[test]
fn parked_fetches_and_joining_members_are_answered_before_the_end() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut clients: Vec<Client> = (0..4).map(|_| Client::connect(broker.kafka)).collect();
    clients[0].create_topic("t", 1);
    clients[0].produce("t", 1, batch(b"kept"));
    // Parked: a fetch, a member of a generation that waits for its leader's division, and an idle connection.
    let asked = clients[0].send(fetch("t", 1, 60_000), 11);
    let leader = joined(clients[1].ask(join("g"), 3));
    assert_eq!(leader.error_code, 0);
    clients[2].send(join("g"), 3);
    clients[3].topics();
    let lines = broker.stop();
    assert!(lines.iter().any(|line| line.contains("shutdown complete")), "{lines:#?}");
    let (answered, Response::Fetch(answer)) = clients[0].receive(ApiKey::Fetch, 11) else {
        panic!()
    };
    assert_eq!((answered, answer.responses[0].partitions[0].error_code), (asked, 0));
    let refused = joined(clients[2].receive(ApiKey::JoinGroup, 3).1);
    assert_eq!(refused.error_code, ErrorCode::RebalanceInProgress.code());
    for client in &mut clients {
        assert_eq!(client.rest(), b"");
    }
    assert!(dir.names().contains(&MARKER.to_owned()));
    let broker = Broker::start(&dir);
    assert!(!dir.names().contains(&MARKER.to_owned()), "the marker is only there in between");
    assert_eq!(broker.process.lines_with(UNCLEAN).len(), 0);
    assert_eq!(Client::connect(broker.kafka).end_of("t"), 1);
}

#[test]
fn the_end_waits_neither_for_who_does_not_read_nor_for_half_a_frame() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut client = Client::connect(broker.kafka);
    client.create_topic("t", 1);
    for _ in 0..20 {
        client.produce("t", -1, batch(&[7; 500_000]));
    }
    let mut stalled = Client::connect(broker.kafka);
    stalled.send(fetch("t", 0, 0), 11);
    stalled.send(fetch("t", 0, 0), 11);
    let mut half = Client::connect(broker.kafka);
    half.send_bytes(&frame(1, metadata(None), 8)[..9]);
    let mut scraper = Client::connect(broker.http);
    scraper.send_bytes(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\nGET /met");
    client.topics();
    broker.stop();
    assert!(dir.names().contains(&MARKER.to_owned()));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut client = Client::connect(broker.kafka);
    client.create_topic("t", 1);
    for _ in 0..20 {
        client.produce("t", -1, batch(&[7; 500_000]));
    }
    // Answers that nobody takes keep the first signal busy.
    let mut stalled = Client::connect(broker.kafka);
    stalled.send(fetch("t", 0, 0), 11);
    client.topics();
    let mut process = broker.process;
    process.signal(Signal::TERM);
    process.line("shutting down");
    let began = Instant::now();
    process.signal(Signal::INT);
    let (status, _) = process.end_within(Duration::from_secs(2));
    assert_eq!(status.code(), Some(1));
    assert!(began.elapsed() < Duration::from_millis(800), "it took its time");
}

#[test]
fn after_a_crash_topics_records_commits_and_groups_are_there() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut client = Client::connect(broker.kafka);
    client.create_topic("a", 3);
    client.create_topic("b", 1);
    for n in 0..50 {
        assert_eq!(client.produce("a", -1, batch(&[n; 1_000])), i64::from(n));
    }
    client.ask(commit("readers", "a", 42), 8);
    let member = joined(client.ask(join("workers"), 3));
    let sync = SyncGroupRequest {
        group_id: "workers".into(),
        generation_id: member.generation_id,
        member_id: member.member_id.clone(),
        ..SyncGroupRequest::default()
    };
    let Response::SyncGroup(synced) = client.ask(sync, 2) else { panic!() };
    assert_eq!(synced.error_code, 0);
    broker.kill();
    let broker = Broker::start(&dir);
    broker.process.line(UNCLEAN);
    let mut client = Client::connect(broker.kafka);
    assert_eq!(client.topics(), ["a", "b"]);
    assert_eq!(client.end_of("a"), 50);
    assert_eq!(committed(&mut client, "readers", "a"), 42);
    let heartbeat = HeartbeatRequest {
        group_id: "workers".into(),
        generation_id: member.generation_id,
        member_id: member.member_id,
        ..HeartbeatRequest::default()
    };
    let Response::Heartbeat(beat) = client.ask(heartbeat, 2) else { panic!() };
    assert_eq!(beat.error_code, 0, "the group stands where it stood");
    let lines = broker.stop();
    assert!(!lines.iter().any(|line| line.contains("ERROR")), "{lines:#?}");
}

#[test]
fn a_deleted_topic_is_gone_and_its_name_is_free_whatever_end_comes() {
    let dir = Dir::new();
    let mut broker = Broker::start(&dir);
    for round in 0..4 {
        let mut client = Client::connect(broker.kafka);
        client.create_topic("t", 2);
        client.produce("t", -1, batch(b"x"));
        let topic = DeleteTopicsRequestTopic { name: Some("t".into()), ..Default::default() };
        let request = DeleteTopicsRequest { topics: vec![topic], ..Default::default() };
        let Response::DeleteTopics(response) = client.ask(request, 6) else { panic!() };
        assert_eq!(response.responses[0].error_code, 0);
        assert!(!dir.names().contains(&"t-0".to_owned()), "its name is not free");
        if round % 2 == 0 {
            broker.kill();
        } else {
            broker.stop();
        }
        broker = Broker::start(&dir);
        assert_eq!(Client::connect(broker.kafka).topics(), [""; 0]);
        super::process::until("its files are gone", || {
            !dir.names().iter().any(|name| name.starts_with("t-"))
        });
    }
}

#[test]
fn the_end_under_load_comes_in_time_and_keeps_what_was_acknowledged() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let address = broker.kafka;
    Client::connect(address).create_topic("t", 1);
    let (report, acknowledged) = std::sync::mpsc::channel();
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let report = report.clone();
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                client.send_all(vec![produce("t", -1, batch(b"x")).into(); 16], 8);
                let mut count = 0_i64;
                while let Some(offset) = next_offset(&mut client) {
                    let _ = report.send(offset);
                    count += 1;
                    let frame = frame(1, produce("t", -1, batch(b"x")), 8);
                    let _ = client.stream.write_all(&frame);
                }
                count
            })
        })
        .collect();
    while acknowledged.recv().unwrap() < 1_000 {}
    broker.stop();
    drop(report);
    let most = acknowledged.iter().max().unwrap();
    let count: i64 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
    let broker = Broker::start(&dir);
    assert_eq!(broker.process.lines_with(UNCLEAN).len(), 0);
    let end = Client::connect(broker.kafka).end_of("t");
    assert!(end > most && end >= count, "{end} records of {count}, the last at {most}");
}

/// The offset that the next answer tells, unless the connection has ended.
fn next_offset(client: &mut Client) -> Option<i64> {
    let mut length = [0; 4];
    client.stream.read_exact(&mut length).ok()?;
    let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap()];
    client.stream.read_exact(&mut frame).ok()?;
    let frame = Bytes::from_vec(frame);
    let (_, Response::Produce(response)) = decode_response(&frame, ApiKey::Produce, 8).unwrap()
    else {
        panic!()
    };
    let part = &response.responses[0].partition_responses[0];
    assert_eq!(part.error_code, 0);
    Some(part.base_offset)
}

/// Sends creations and deletions one after the other, without reading.
fn come_and_go(round: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for n in 0..60 {
        let name = format!("r{round}-{n}");
        let topic = CreateTopicsRequestTopic {
            name: name.clone(),
            num_partitions: 2,
            replication_factor: 1,
            ..CreateTopicsRequestTopic::default()
        };
        let create = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
        bytes.extend(frame(0, create, 5));
        if n % 2 == 0 {
            let topic = DeleteTopicsRequestTopic { name: Some(name), ..Default::default() };
            bytes.extend(frame(
                0,
                DeleteTopicsRequest { topics: vec![topic], ..Default::default() },
                6,
            ));
        }
    }
    bytes
}

#[test]
fn a_crash_while_topics_come_and_go_leaves_what_was_answered_and_nothing_half() {
    let dir = Dir::new();
    let mut kept: Vec<String> = Vec::new();
    for round in 0..8 {
        let broker = Broker::start(&dir);
        let mut client = Client::connect(broker.kafka);
        client.send_bytes(&come_and_go(round));
        // Every third answer is one to a deletion; the crash comes behind any of them.
        let (mut created, mut deleted) = (Vec::new(), Vec::new());
        for answer in 0..7 + round * 11 {
            let number = answer / 3 * 2 + usize::from(answer % 3 == 2);
            let name = format!("r{round}-{number}");
            client.receive_frame();
            if answer % 3 == 1 { deleted.push(name) } else { created.push(name) }
        }
        broker.kill();
        let broker = Broker::start(&dir);
        let mut client = Client::connect(broker.kafka);
        let there = client.topics();
        kept.extend(created.into_iter().filter(|name| !deleted.contains(name)));
        // The last one may be on its way out: its deletion was sent, and nobody was told.
        let missing: Vec<_> = kept.iter().filter(|name| !there.contains(name)).collect();
        assert!(missing.len() <= 1, "round {round}: {missing:?}");
        assert!(!deleted.iter().any(|name| there.contains(name)), "round {round}: deleted");
        for name in &there {
            assert_eq!(client.produce(name, -1, batch(b"x")), client.end_of(name) - 1);
        }
        let mut expected: Vec<String> =
            there.iter().flat_map(|name| [format!("{name}-0"), format!("{name}-1")]).collect();
        expected.sort();
        super::process::until_none(|| {
            let mut own = dir.names();
            own.retain(|name| name[1..].starts_with(|c: char| c.is_ascii_digit()));
            (own != expected).then(|| format!("{own:?} instead of {expected:?}"))
        });
        assert_eq!(broker.process.lines_with("ERROR").len(), 0, "{:#?}", broker.process.lines());
        kept = there;
        if round % 2 == 0 { broker.kill() } else { drop(broker.stop()) }
    }
}
