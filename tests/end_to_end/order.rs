//! Requests and replies of one connection: their order, their silence, and the end of input.

use std::time::{Duration, Instant};

use chronik::wire::api::{ApiKey, Request, Response};
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::*;

use super::client::{Client, batch, fetch, frame, metadata, produce};
use super::process::{Broker, Dir};

fn codes(response: &Response) -> (i16, i64) {
    let Response::Produce(response) = response else { panic!("{response:?}") };
    let part = &response.responses[0].partition_responses[0];
    (part.error_code, part.base_offset)
}

#[test]
fn a_waiting_fetch_is_woken_and_answered_before_what_was_asked_after_it() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let (mut reader, mut writer) = (Client::connect(broker.kafka), Client::connect(broker.kafka));
    writer.create_topic("t", 1);
    let began = Instant::now();
    let first = reader.send(fetch("t", 0, 15_000), 11);
    let second = reader.send(metadata(None), 8);
    assert_eq!(writer.produce("t", -1, batch(b"news")), 0);
    let (answered, response) = reader.receive(ApiKey::Fetch, 11);
    assert_eq!(answered, first);
    let Response::Fetch(response) = response else { panic!() };
    assert!(!response.responses[0].partitions[0].records.as_ref().unwrap().is_empty());
    assert_eq!(reader.receive(ApiKey::Metadata, 8).0, second);
    assert!(began.elapsed() < Duration::from_secs(10), "nobody woke it");
}

#[test]
fn a_fetch_waits_no_longer_than_it_says() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut client = Client::connect(broker.kafka);
    client.create_topic("t", 1);
    let began = Instant::now();
    client.ask(fetch("t", 0, 300), 11);
    let took = began.elapsed();
    assert!((Duration::from_millis(300)..Duration::from_secs(5)).contains(&took), "{took:?}");
}

#[test]
fn pipelined_produces_are_answered_in_order_however_many_there_are() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut client = Client::connect(broker.kafka);
    client.create_topic("t", 1);
    let mut requests: Vec<Request> = (0..700)
        .map(|n| produce("t", if n % 3 == 0 { 1 } else { -1 }, batch(&[7; 100])).into())
        .collect();
    requests[400] = produce("nowhere", -1, batch(b"x")).into();
    let first = 1 + client.send_all(vec![metadata(None).into()], 8);
    client.receive(ApiKey::Metadata, 8);
    let last = client.send_all(requests, 8);
    let mut offset = 0;
    for id in first..=last {
        let (answered, response) = client.receive(ApiKey::Produce, 8);
        assert_eq!(answered, id);
        match codes(&response) {
            (0, base) => {
                assert_eq!(base, offset);
                offset += 1;
            }
            (error, _) => {
                assert_eq!((id - first, error), (400, ErrorCode::UnknownTopicOrPartition.code()));
            }
        }
    }
    assert_eq!(client.end_of("t"), 699);
}

#[test]
fn a_thousand_produces_without_acknowledgement_are_silent() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut client = Client::connect(broker.kafka);
    client.create_topic("t", 1);
    client.send_all((0..1_000).map(|_| produce("t", 0, batch(b"x")).into()).collect(), 8);
    // The next thing that comes is the answer to this, and by then all is done.
    assert_eq!(client.topics(), ["t"]);
    assert_eq!(client.end_of("t"), 1_000);
}

#[test]
fn a_failed_produce_without_acknowledgement_closes_behind_the_replies_before_it() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut client = Client::connect(broker.kafka);
    client.create_topic("t", 1);
    let good = produce("t", -1, batch(b"x"));
    client.send_all(vec![good.into(), produce("nowhere", 0, batch(b"x")).into()], 8);
    assert_eq!(codes(&client.receive(ApiKey::Produce, 8).1), (0, 0));
    assert_eq!(client.rest(), b"");
    broker.process.line("a produce with acks=0 failed");
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_the_oldest_form() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut client = Client::connect(broker.kafka);
    // Key 18, version 99, correlation id 7, no client id, and something nobody knows.
    client.send_bytes(b"\0\0\0\x0d\0\x12\0\x63\0\0\0\x07\xff\xff\x01\x02\x03");
    let frame = client.receive_frame();
    assert_eq!(frame[..4], [0, 0, 0, 7]);
    assert_eq!(frame[4..6], [0, 35], "UNSUPPORTED_VERSION");
    let count = i32::from_be_bytes(frame[6..10].try_into().unwrap());
    assert_eq!(frame.len(), 10 + 6 * usize::try_from(count).unwrap(), "v0 has nothing behind it");
    let rows: Vec<&[u8]> = frame[10..].chunks(6).collect();
    assert!(rows.contains(&&b"\0\x12\0\0\0\x05"[..]), "it says what is spoken here");
    // The connection goes on.
    assert!(matches!(client.ask(ApiVersionsRequest::default(), 0), Response::ApiVersions(_)));
}

#[test]
fn api_versions_with_a_body_of_garbage_is_answered() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut client = Client::connect(broker.kafka);
    client.send_bytes(b"\0\0\0\x0d\0\x12\0\x03\0\0\0\x09\xff\xff\x00\xff\xff");
    let (id, response) = client.receive(ApiKey::ApiVersions, 3);
    let Response::ApiVersions(response) = response else { panic!() };
    assert_eq!((id, response.error_code), (9, 0));
    assert!(!response.api_keys.is_empty());
}

#[test]
fn another_unknown_version_or_request_closes_behind_the_replies_before_it_with_one_line() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let cases: [(&[u8], &str); 4] = [
        (b"\0\0\0\x0a\0\x03\0\x63\0\0\0\x01\xff\xff", "Metadata v99 is not served"),
        (b"\0\0\0\x0a\x03\xe7\0\0\0\0\0\x01\xff\xff", "request 999 is not served"),
        (b"\0\0\0\x03\0\x03\0", "malformed request"),
        (b"\0\0\0\x0b\0\x03\0\x01\0\0\0\x01\xff\xff\x7f", "malformed Metadata v1"),
    ];
    for (bytes, words) in cases {
        let mut client = Client::connect(broker.kafka);
        let id = client.send(metadata(None), 8);
        client.send_bytes(bytes);
        assert_eq!(client.receive(ApiKey::Metadata, 8).0, id);
        assert_eq!(client.rest(), b"", "{words}");
        broker.process.line(words);
        assert_eq!(broker.process.lines_with(words).len(), 1);
    }
}

#[test]
fn what_stands_before_a_malformed_frame_is_answered() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut client = Client::connect(broker.kafka);
    client.create_topic("t", 1);
    let mut bytes = frame(1, produce("t", -1, batch(b"x")), 8);
    bytes.extend_from_slice(b"\0\0\0\x02\0\0");
    client.send_bytes(&bytes);
    assert_eq!(codes(&client.receive(ApiKey::Produce, 8).1), (0, 0));
    assert_eq!(client.rest(), b"");
}

#[test]
fn the_end_of_input_ends_waits_and_everything_is_answered_before_the_connection_closes() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    Client::connect(broker.kafka).create_topic("t", 1);
    for produces in [0, 1, 300] {
        let mut client = Client::connect(broker.kafka);
        let mut requests: Vec<Request> =
            (0..produces).map(|_| produce("t", -1, batch(b"x")).into()).collect();
        requests.push(fetch("t", 1_000, 60_000).into());
        requests.push(fetch("t", 301, 60_000).into());
        client.send_all(requests, 8);
        client.end_input();
        let began = Instant::now();
        for _ in 0..produces {
            assert_eq!(codes(&client.receive(ApiKey::Produce, 8).1).0, 0);
        }
        let Response::Fetch(response) = client.receive(ApiKey::Fetch, 8).1 else { panic!() };
        let error = response.responses[0].partitions[0].error_code;
        assert_eq!(error, ErrorCode::OffsetOutOfRange.code());
        client.receive(ApiKey::Fetch, 8);
        assert_eq!(client.rest(), b"");
        assert!(began.elapsed() < Duration::from_secs(10), "it waited for more");
    }
}

#[test]
fn a_wait_that_begins_with_the_end_of_input_ends_at_once() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut client = Client::connect(broker.kafka);
    client.create_topic("t", 1);
    for _ in 0..20 {
        let mut client = Client::connect(broker.kafka);
        client.send(fetch("t", 0, 60_000), 11);
        client.end_input();
        client.receive(ApiKey::Fetch, 11);
        assert_eq!(client.rest(), b"");
    }
}

/// One request of a random kind, and what answers it, if anything does.
fn any(choice: u64, id: i32) -> (Vec<u8>, Option<(ApiKey, i16)>) {
    let of = |request: Request, version: i16| {
        let api = request.api();
        (frame(id, request, version), Some((api, version)))
    };
    match choice % 9 {
        0 => of(metadata(Some("t")).into(), 8),
        1 => of(fetch("t", 0, 0).into(), 11),
        2 => of(ApiVersionsRequest::default().into(), 2),
        3 => (frame(id, produce("t", 0, batch(b"silent")), 8), None),
        4 => of(produce("nowhere", 1, batch(b"refused")).into(), 8),
        5 => {
            // A version that nobody knows is answered in the form of version 0.
            let mut bytes = b"\0\0\0\x0a\0\x12\0\x63".to_vec();
            bytes.extend_from_slice(&id.to_be_bytes());
            bytes.extend_from_slice(b"\xff\xff");
            (bytes, Some((ApiKey::ApiVersions, 0)))
        }
        even if even % 2 == 0 => of(produce("t", -1, batch(&[1; 3_000])).into(), 8),
        _ => of(produce("t", 1, batch(b"one")).into(), 8),
    }
}

#[test]
fn whatever_is_pipelined_is_answered_in_order_however_it_is_cut() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    Client::connect(broker.kafka).create_topic("t", 1);
    for seed in 1..=12_u64 {
        let mut state = seed;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99_991);
            state >> 33
        };
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for id in 0..400 {
            let (frame, answer) = any(random(), id);
            bytes.extend(frame);
            expected.extend(answer.map(|answer| (id, answer)));
        }
        let mut client = Client::connect(broker.kafka);
        let mut writer = client.stream.try_clone().unwrap();
        let cuts: Vec<usize> =
            (0..4_000).map(|_| usize::try_from(random() % 6_000).unwrap()).collect();
        let sender = std::thread::spawn(move || {
            let mut rest = &bytes[..];
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                std::io::Write::write_all(&mut writer, now).unwrap();
                rest = later;
            }
            assert!(rest.is_empty());
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        for (id, (api, version)) in expected {
            assert_eq!(client.receive(api, version).0, id, "seed {seed}");
        }
        assert_eq!(client.rest(), b"", "seed {seed}");
        sender.join().unwrap();
    }
    broker.stop();
}

#[test]
fn nothing_that_was_asked_before_the_end_of_input_is_waited_for() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut client = Client::connect(broker.kafka);
    client.create_topic("t", 1);
    let began = Instant::now();
    // The end of input stands behind all of them, where it is read last.
    let waits = (0..5).map(|_| Request::from(fetch("t", 0, 600_000))).collect();
    let last = client.send_all(waits, 11);
    client.end_input();
    let answered: Vec<i32> = (0..5).map(|_| client.receive(ApiKey::Fetch, 11).0).collect();
    assert_eq!(answered, (last - 4..=last).collect::<Vec<i32>>());
    assert_eq!(client.rest(), b"");
    assert!(began.elapsed() < Duration::from_secs(10), "a fetch was waited for");
}
