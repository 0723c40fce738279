//! Peers that are wrong, greedy or slow: one line about them, and nobody else notices.

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use chronik::wire::api::{ApiKey, Response};
use chronik::wire::messages::ProduceRequestPartition;

use super::client::{Client, batch, fetch, frame, metadata, produce};
use super::http::metric;
use super::idle::sleeps;
use super::process::{Broker, Dir, EachRefStr, Process, arguments, until};

const MIB: usize = 1 << 20;
const CONNECTIONS: &str = "kafka_server_socketservermetrics_connection_count";

/// Resident memory of a process in bytes.
fn resident(broker: &Broker) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.process.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn what_is_no_request_costs_one_line_and_its_connection() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let hello = [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &[7; 500]].concat();
    let cases: [(&[u8], &str); 6] = [
        (b"\0\0\0\0", "it announces zero bytes"),
        (b"\xff\xff\xff\xff", "negative length (-1)"),
        (b"\x7f\xff\xff\xff", "a request of 2147483647 bytes is announced"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "an HTTP request on a port that is not HTTP"),
        (&hello, "a TLS handshake on a port without TLS"),
        (b"\0\0\0\x04abcd", "malformed request"),
    ];
    for (bytes, words) in cases {
        let began = Instant::now();
        let mut client = Client::connect(broker.kafka);
        client.send_bytes(bytes);
        assert_eq!(client.rest(), b"", "{words}");
        assert!(began.elapsed() < Duration::from_secs(5), "{words}: not prompt");
        broker.process.line(words);
        assert_eq!(broker.process.lines_with(words).len(), 1, "{words}");
    }
    assert_eq!(metric(broker.http, "chronik_connections_protocol_errors_total"), 6.0);
    assert_eq!(Client::connect(broker.kafka).topics(), [""; 0]);
}

#[test]
fn a_frame_larger_than_the_memory_allows_is_refused_by_its_size() {
    let dir = Dir::new();
    let broker = Broker::start_with(&dir, &["chronik.memory.bytes=8388608"]);
    let mut client = Client::connect(broker.kafka);
    client.send_bytes(&(2 * 1_048_576_i32 + 1).to_be_bytes());
    assert_eq!(client.rest(), b"");
    let line = broker.process.line("bytes is announced");
    assert!(line.contains("2097153") && line.contains("2097152 are allowed"), "{line}");
}

#[test]
fn an_address_has_only_so_many_connections_and_gets_places_back() {
    let dir = Dir::new();
    let broker = Broker::start_with(&dir, &["max.connections.per.ip=3"]);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(broker.kafka)).collect();
    for client in &mut clients {
        client.topics();
    }
    let mut refused = Client::connect(broker.kafka);
    assert_eq!(refused.rest(), b"");
    broker.process.line("the limit of 3 connections from one address is reached");
    drop(clients.pop());
    until("a place is free", || {
        let mut client = Client::connect(broker.kafka);
        let frame = frame(1, metadata(None), 8);
        client.stream.write_all(&frame).is_ok() && {
            let mut byte = [0];
            matches!(std::io::Read::read(&mut client.stream, &mut byte), Ok(1))
        }
    });
}

#[test]
fn who_never_reads_holds_up_nobody_and_takes_no_memory() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut client = Client::connect(broker.kafka);
    client.create_topic("t", 1);
    for _ in 0..16 {
        client.produce("t", -1, batch(&[7; MIB / 2]));
    }
    let before = resident(&broker);
    let greedy: Vec<Client> = (0..20)
        .map(|_| {
            let mut greedy = Client::connect(broker.kafka);
            greedy.stream.set_nonblocking(true).unwrap();
            for id in 0.. {
                // As much as the broker takes; each asks for 8 MiB.
                match greedy.stream.write(&frame(id, fetch("t", 0, 0), 11)) {
                    Ok(_) if id < 500 => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    _ => break,
                }
            }
            greedy
        })
        .collect();
    let began = Instant::now();
    for _ in 0..20 {
        client.produce("t", -1, batch(b"x"));
        assert!(!client.fetch("t", 16).is_empty());
    }
    assert!(began.elapsed() < Duration::from_secs(10), "others have to wait");
    let grown = resident(&broker).saturating_sub(before);
    assert!(grown < 40 * MIB, "{grown} bytes for answers that nobody takes");
    drop(greedy);
    assert!(!client.topics().is_empty());
}

#[test]
fn a_thousand_connections_that_come_and_go_leave_nothing_behind() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let descriptors = || {
        let path = format!("/proc/{}/fd", broker.process.pid());
        std::fs::read_dir(path).unwrap().count()
    };
    let mut client = Client::connect(broker.kafka);
    client.create_topic("t", 1);
    let before = descriptors();
    for round in 0..1_000 {
        let mut passing = Client::connect(broker.kafka);
        match round % 4 {
            0 => {}
            1 => passing.send_bytes(b"\0\0\0\x20\0"),
            2 => passing.send_bytes(&frame(1, fetch("t", 0, 60_000), 11)),
            _ => {
                passing.send(metadata(None), 8);
                passing.receive(ApiKey::Metadata, 8);
            }
        }
    }
    until("all descriptors are closed", || descriptors() <= before);
    assert_eq!(client.topics(), ["t"]);
}

#[test]
fn however_many_connect_files_keep_their_descriptors() {
    let dir = Dir::new();
    let args = arguments(&dir.data(), &["log.segment.bytes=65536"]);
    let broker = Broker::of(Process::run_with_descriptors(128, &args.each_ref_str()));
    broker.process.line("there are descriptors for 48");
    let mut client = Client::connect(broker.kafka);
    client.create_topic("t", 1);
    client.topics();
    let crowd: Vec<Client> = (0..200).map(|_| Client::connect(broker.kafka)).collect();
    broker.process.line("the limit of 48 connections is reached");
    for _ in 0..20 {
        client.produce("t", -1, batch(&[7; 30_000]));
        assert!(!client.fetch("t", 0).is_empty());
    }
    assert!(
        metric(broker.http, "process_open_fds") > 48.0,
        "health checks have places of their own"
    );
    let before: u64 = sleeps(&broker).values().sum();
    broker.process.stays_silent_for(Duration::from_millis(1_500));
    let woken = sleeps(&broker).values().sum::<u64>() - before;
    assert!(woken < 20, "{woken} wake-ups in a second and a half");
    drop(crowd);
    until("there is room", || metric(broker.http, CONNECTIONS) < 10.0);
    assert_eq!(Client::connect(broker.kafka).topics(), ["t"]);
    broker.stop();
}

#[test]
fn more_partitions_are_written_at_once_than_there_are_descriptors() {
    const PARTITIONS: i32 = 300;
    let dir = Dir::new();
    let args = arguments(&dir.data(), &[]);
    let broker = Broker::of(Process::run_with_descriptors(128, &args.each_ref_str()));
    let mut client = Client::connect(broker.kafka);
    client.create_topic("wide", PARTITIONS);
    client.topics();
    for acks in [1, -1] {
        let mut request = produce("wide", acks, batch(&[7; 100]));
        let one = request.topic_data[0].partition_data[0].clone();
        request.topic_data[0].partition_data =
            (0..PARTITIONS).map(|index| ProduceRequestPartition { index, ..one.clone() }).collect();
        let Response::Produce(answer) = client.ask(request, 8) else { panic!("another answer") };
        let answers = &answer.responses[0].partition_responses;
        assert_eq!(answers.len(), 300);
        for answer in answers {
            assert_eq!(answer.error_code, 0, "partition {}", answer.index);
        }
    }
    broker.stop();
    let broker = Broker::start(&dir);
    assert_eq!(Client::connect(broker.kafka).end_of("wide"), 2);
}

#[test]
fn clients_and_unsynced_files_leave_descriptors_to_each_other() {
    const PARTITIONS: i32 = 600;
    let dir = Dir::new();
    let args = arguments(&dir.data(), &["log.flush.interval.ms=3600000"]);
    let broker = Broker::of(Process::run_with_descriptors(1_024, &args.each_ref_str()));
    let mut client = Client::connect(broker.kafka);
    client.create_topic("wide", PARTITIONS);
    client.topics();
    let mut request = produce("wide", 1, batch(&[7; 100]));
    let one = request.topic_data[0].partition_data[0].clone();
    request.topic_data[0].partition_data =
        (0..PARTITIONS).map(|index| ProduceRequestPartition { index, ..one.clone() }).collect();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let Response::Produce(answer) = client.ask(request.clone(), 8) else { unreachable!() };
        let answers = &answer.responses[0].partition_responses;
        assert!(answers.iter().all(|answer| answer.error_code == 0));
        // More than are left beside so many files: some wait for a sync.
        clients.extend((0..150).map(|_| Client::connect(broker.kafka)));
        for client in &mut clients {
            assert!(client.end_of("wide") > 0);
        }
    }
    broker.stop();
}

#[test]
fn memory_comes_back_whatever_becomes_of_a_request() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut client = Client::connect(broker.kafka);
    client.create_topic("t", 1);
    for round in 0..40 {
        let mut passing = Client::connect(broker.kafka);
        let size = if round % 2 == 0 { 500 } else { 300_000 };
        let whole = frame(1, produce("t", -1, batch(&vec![7; size])), 8);
        let fetches = frame(2, fetch("t", 1_000_000, 60_000), 11);
        match round % 10 {
            0 | 1 => passing.send_bytes(&whole[..whole.len() / 2]),
            2 | 3 => passing.send_bytes(&whole),
            4 | 5 => passing.send_bytes(&[whole.repeat(5), fetches, whole].concat()),
            6 | 7 => passing.send_bytes(&[whole.repeat(5), b"\0\0\0\x02ab".to_vec()].concat()),
            _ => passing.send_bytes(&[fetches, whole.repeat(3)].concat()),
        }
        if round % 3 == 0 {
            passing.end_input();
            passing.rest();
        }
    }
    for pool in ["small_frames", "large_frames"] {
        let name = format!("chronik_memory_used_bytes{{pool=\"{pool}\"}}");
        until("all memory is back", || metric(broker.http, &name) == 0.0);
    }
    client.produce("t", -1, batch(b"x"));
    broker.stop();
}
