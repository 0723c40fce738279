//! Replies out: in order, from memory and from files, at the pace of the socket, the disk and the budget.

use std::io::{Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use chronik::base::payload::{Bytes, Payload};
use chronik::net::{CloseReason, Gate, Options};

use super::harness::{FakeFile, Rig, framed, options, pattern, read_all, read_frame, reply};

#[test]
fn who_never_reads_is_not_served_and_then_closed() {
    let mut rig = Rig::new(options());
    let answer = pattern(100_000, 1);
    rig.serve = Box::new(move |net, conn, _| net.send(conn, reply(&answer)));
    let mut client = rig.client();
    let conn = rig.opened[0];
    client.write_all(&framed(b"more").repeat(1_000)).unwrap();
    rig.settle();
    assert!(rig.net.is_outbox_full(conn));
    let (served, unsent) = (rig.served.len(), rig.net.unsent(conn));
    assert!(unsent <= 1_200_000 + 32 * 100_004, "{unsent} bytes wait");
    rig.pass(Duration::from_secs(29));
    assert_eq!((rig.served.len(), rig.closed.len()), (served, 0));
    // The last try to write may find a little room in the kernel's buffer, once.
    rig.pass(Duration::from_secs(1));
    rig.pass(Duration::from_secs(30));
    assert_eq!(rig.reason(conn), Some(&CloseReason::StuckOutbox));
}

#[test]
fn replies_that_nobody_reads_are_bounded_together_and_the_largest_goes_first() {
    let mut rig = Rig::new(Options { outboxes_bytes_max: 50_000_000, ..options() });
    rig.serve = Box::new(move |net, conn, frame| {
        net.send(conn, reply(&pattern(frame.len() * 100_000, 1)));
    });
    let mut clients: Vec<_> = (0..4).map(|_| rig.client()).collect();
    for (client, size) in clients.iter_mut().zip([200, 250, 180]) {
        client.write_all(&framed(&pattern(size, 2))).unwrap();
        rig.settle();
    }
    assert_eq!(rig.reason(rig.opened[1]), Some(&CloseReason::OutboxesFull));
    clients[3].write_all(&framed(b"s")).unwrap();
    rig.settle();
    assert_eq!(read_frame(&mut clients[3]).len(), 100_000);
    assert!(!rig.closed.iter().any(|(conn, _)| *conn == rig.opened[3]));
}

#[test]
fn a_slow_reader_gets_everything() {
    let mut rig = Rig::new(options());
    let answer = pattern(100_000, 1);
    let expected = framed(&answer).repeat(200);
    rig.serve = Box::new(move |net, conn, _| net.send(conn, reply(&answer)));
    let mut client = rig.client();
    let conn = rig.opened[0];
    client.write_all(&framed(b"more").repeat(200)).unwrap();
    rig.settle();
    for _ in 0..3 {
        // It reads a little now and then: progress, in the eyes of the deadline.
        let mut some = vec![0; 700_000];
        client.read_exact(&mut some).unwrap();
        rig.settle();
        rig.pass(Duration::from_secs(25));
    }
    let reader = thread::spawn(move || {
        let mut bytes = vec![0; 20_000_800 - 2_100_000];
        client.read_exact(&mut bytes).unwrap();
        (client, bytes)
    });
    rig.until(|rig| rig.served.len() == 200 && rig.net.unsent(conn) == 0);
    let (_client, bytes) = reader.join().unwrap();
    assert!(bytes == expected[2_100_000..]);
    assert!(rig.outboxes_drained > 0 && rig.closed.is_empty());
    assert!(!rig.net.is_outbox_full(conn));
}

#[test]
fn one_flush_sends_a_quarter_of_a_mebibyte_at_most() {
    let mut rig = Rig::new(options());
    let client = rig.client();
    let conn = rig.opened[0];
    let parts = (0..=249).map(|n| Payload::Bytes(Bytes::from_vec(vec![n; 6_000])));
    rig.net.send(conn, parts);
    let reader = thread::spawn(move || {
        let mut client = client;
        let mut bytes = vec![0; 1_500_000];
        client.read_exact(&mut bytes).unwrap();
        (client, bytes)
    });
    while rig.net.unsent(conn) > 0 {
        let before = rig.net.stats().bytes_out;
        rig.turn();
        assert!(rig.net.stats().bytes_out - before <= 256 * 1024);
    }
    let (_client, bytes) = reader.join().unwrap();
    assert!(bytes.chunks(6_000).zip(0..=249).all(|(chunk, n)| chunk == [n; 6_000]));
}

/// A reply of a head, three ranges of a file and a tail, and its bytes.
fn mixed(file: &Arc<FakeFile>) -> (Vec<Payload>, Vec<u8>) {
    let memory = |bytes: &[u8]| Payload::Bytes(Bytes::from(bytes));
    let ranges = [(10, 700_000), (0, 1), (699_000, 301_000)];
    let mut parts = vec![memory(b"head")];
    let mut bytes = b"head".to_vec();
    for (position, len) in ranges {
        parts.push(Payload::File(file.range(position, len)));
        parts.push(memory(b""));
        parts.push(memory(b"|"));
        bytes.extend_from_slice(&file.bytes[position..position + len]);
        bytes.push(b'|');
    }
    (parts, bytes)
}

#[test]
fn files_travel_between_bytes() {
    let bytes = pattern(1_000_000, 7);
    // Both long runs are the kernel's to send, if it can.
    for (file, uncopied) in [
        (FakeFile::new(bytes.clone(), 1_000_000), 0),
        (FakeFile::open(bytes.clone(), 1_000_000), 1_001_000),
    ] {
        let mut rig = Rig::new(options());
        let mut client = rig.client();
        let conn = rig.opened[0];
        let (parts, expected) = mixed(&file);
        rig.net.send(conn, parts);
        rig.net.close_when_flushed(conn, CloseReason::Shutdown);
        let reader = thread::spawn(move || read_all(&mut client));
        rig.until(|rig| rig.reason(conn).is_some());
        assert!(reader.join().unwrap() == expected);
        assert_eq!(rig.net.stats().cold_reads, 0);
        // The end of a turn's share may be short, and is copied.
        let copied = uncopied - rig.net.stats().bytes_uncopied;
        assert!(copied < 200_000, "{copied}");
    }
}

#[test]
fn what_is_not_in_memory_is_asked_for_and_waited_for() {
    ask_for_what_is_cold(&FakeFile::new(pattern(1_000_000, 7), 300_000));
    // The kernel would wait for the disk: it is not asked for a byte that is cold.
    ask_for_what_is_cold(&FakeFile::open(pattern(1_000_000, 7), 300_000));
}

fn ask_for_what_is_cold(file: &Arc<FakeFile>) {
    let mut rig = Rig::new(options());
    let mut client = rig.client();
    let conn = rig.opened[0];
    let (parts, expected) = mixed(file);
    rig.net.send(conn, parts);
    rig.net.close_when_flushed(conn, CloseReason::Shutdown);
    let reader = thread::spawn(move || read_all(&mut client));
    let mut pieces = 0;
    while rig.reason(conn).is_none() {
        rig.turn();
        let Some((conn, range)) = rig.cold.pop() else { continue };
        assert!(range.len <= 256 * 1024 && rig.cold.is_empty());
        // However long the disk takes, it is not the peer that is stuck.
        rig.pass(Duration::from_secs(31));
        rig.pass(Duration::from_secs(31));
        assert!(rig.cold.is_empty() && rig.reason(conn).is_none());
        // A reader may bring less than was asked for.
        let mut bytes = vec![0; (range.len / 2).max(1)];
        range.file.read_at(&mut bytes, range.position).unwrap();
        rig.net.warmed(conn, Ok(Bytes::from_vec(bytes)));
        rig.check();
        pieces += 1;
        if pieces == 4 {
            file.warm_to(800_000);
        }
    }
    assert!(reader.join().unwrap() == expected);
    assert!(pieces >= 5, "{pieces}");
}

#[test]
fn a_file_that_cannot_be_read_closes_the_connection() {
    let whole = FakeFile::new(pattern(1_000, 7), 1_000);
    let cold = FakeFile::new(pattern(1_000, 7), 0);
    let mut rig = Rig::new(options());
    for (range, answer) in [
        (whole.range(500, 501), None),
        (cold.range(0, 10), Some(Err(std::io::ErrorKind::Other.into()))),
        (cold.range(0, 10), Some(Ok(Bytes::new()))),
        (cold.range(0, 10), Some(Ok(Bytes::from_vec(vec![0; 11])))),
    ] {
        let mut client = rig.client();
        let conn = *rig.opened.last().unwrap();
        rig.net.send(conn, vec![Payload::File(range)]);
        if let Some(answer) = answer {
            rig.until(|rig| !rig.cold.is_empty());
            rig.cold.clear();
            rig.net.warmed(conn, answer);
        }
        rig.until(|rig| rig.reason(conn).is_some());
        assert!(matches!(rig.reason(conn), Some(CloseReason::File(_))));
        assert!(read_all(&mut client).len() <= 500);
    }
}

#[test]
fn a_reset_while_the_disk_reads_is_survived() {
    let mut rig = Rig::new(options());
    let client = rig.client();
    let conn = rig.opened[0];
    let file = FakeFile::new(pattern(1_000, 7), 0);
    rig.net.send(conn, vec![Payload::File(file.range(0, 1_000))]);
    rig.until(|rig| !rig.cold.is_empty());
    rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    drop(client);
    rig.until(|rig| rig.reason(conn) == Some(&CloseReason::Reset));
    rig.net.warmed(conn, Ok(Bytes::from_vec(vec![0; 1_000])));
    rig.check();
}

#[test]
fn replies_leave_behind_a_closed_gate() {
    let mut rig = Rig::new(options());
    let mut client = rig.client();
    let conn = rig.opened[0];
    rig.net.pause(conn, Gate::Throttle);
    rig.net.send(conn, reply(b"throttled"));
    rig.settle();
    assert_eq!(super::harness::read_frame(&mut client), b"throttled");
}

#[test]
fn who_reads_nothing_of_a_cold_file_is_closed() {
    let mut rig = Rig::new(options());
    let _client = rig.client();
    let conn = rig.opened[0];
    // Never in memory for long.
    let file = FakeFile::new(pattern(20_000_000, 7), 0);
    rig.net.send(conn, vec![Payload::File(file.range(0, 20_000_000))]);
    for _ in 0..4 {
        for _ in 0..400 {
            rig.turn_within(Duration::from_millis(1));
            while let Some((conn, range)) = rig.cold.pop() {
                let mut bytes = vec![0; range.len];
                range.file.read_at(&mut bytes, range.position).unwrap();
                rig.net.warmed(conn, Ok(Bytes::from_vec(bytes)));
            }
        }
        rig.pass(Duration::from_secs(31));
    }
    assert_eq!(rig.reason(conn), Some(&CloseReason::StuckOutbox));
}
