//! Limits and deadlines: who is kept, and for how long one may be silent or slow.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use chronik::net::{CloseReason, Gate, Protocol};
use rustix::net::{AddressFamily, SocketType};

use super::harness::{Rig, connect, framed, options, read_all, read_frame};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn one_connection_too_many_is_closed_at_once_for_a_named_reason() {
    let mut options = options();
    options.connections_max = 2;
    let mut rig = Rig::new(options);
    let (first, _second) = (rig.client(), rig.client());
    let mut third = connect(rig.addr);
    rig.until(|rig| rig.refused == [CloseReason::TooManyConnections(2)]);
    assert_eq!(read_all(&mut third), b"");
    drop(first);
    rig.until(|rig| rig.closed.len() == 1);
    rig.client();
    let stats = rig.net.stats();
    assert_eq!((stats.accepted, stats.refused, stats.closed), (3, 1, 1));
}

#[test]
fn health_can_be_asked_for_when_every_place_is_taken() {
    let mut options = options();
    options.connections_max = 1;
    options.connections_per_address_max = 1;
    let mut rig = Rig::new(options);
    let http = rig.net.listen("127.0.0.1:0".parse().unwrap(), Protocol::Http).unwrap();
    let _client = rig.client();
    let _checks: Vec<_> = (0..17).map(|_| connect(http)).collect();
    rig.until(|rig| rig.opened.len() == 17 && rig.refused.len() == 1);
    assert_eq!(rig.refused, [CloseReason::TooManyConnections(17)]);
}

#[test]
fn who_comes_when_descriptors_are_short_waits_and_is_not_refused() {
    let mut options = options();
    options.connections_max = 4;
    let mut rig = Rig::new(options);
    let http = rig.net.listen("127.0.0.1:0".parse().unwrap(), Protocol::Http).unwrap();
    rig.net.set_places(1);
    let _first = rig.client();
    let _second = connect(rig.addr);
    rig.until(|rig| rig.places_wanted == 1);
    assert!(!rig.net.has_runnable(), "it sleeps meanwhile");
    // Health can be asked for.
    let _check = connect(http);
    rig.until(|rig| rig.opened.len() == 2);
    rig.now = rig.now + SECOND;
    rig.until(|rig| rig.places_wanted == 2);
    assert_eq!((rig.opened.len(), rig.refused.len(), rig.net.stats().accept_pauses), (2, 0, 0));
    rig.net.set_places(4);
    rig.until(|rig| rig.opened.len() == 3);
    // Beyond the limit somebody is refused, places or not.
    let _third = rig.client();
    rig.net.set_places(1);
    let _fourth = connect(rig.addr);
    rig.until(|rig| rig.refused == [CloseReason::TooManyConnections(4)]);
}

/// A client that comes from `source`.
fn connect_from(source: &str, to: SocketAddr) -> std::net::TcpStream {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    let source: SocketAddr = format!("{source}:0").parse().unwrap();
    rustix::net::bind(&socket, &source).unwrap();
    rustix::net::connect(&socket, &to).unwrap();
    socket.into()
}

#[test]
fn one_address_cannot_take_the_place_of_another() {
    let mut options = options();
    options.connections_per_address_max = 2;
    let mut rig = Rig::new(options);
    let _first = [rig.client(), rig.client()];
    let _third = connect(rig.addr);
    rig.until(|rig| rig.refused == [CloseReason::TooManyFromAddress(2)]);
    let _other = [connect_from("127.0.0.2", rig.addr), connect_from("127.0.0.2", rig.addr)];
    rig.until(|rig| rig.opened.len() == 4);
    let peer = rig.net.peer(rig.opened[3]).unwrap();
    assert_eq!(peer.ip().to_string(), "127.0.0.2");
    assert_eq!(rig.net.local_addr(rig.opened[3]), Some(rig.addr));
}

#[test]
fn both_families_can_be_listened_on() {
    let mut rig = Rig::new(options());
    let Ok(addr) = rig.net.listen("[::1]:0".parse().unwrap(), Protocol::Frames) else {
        return; // A machine without IPv6.
    };
    let mut client = connect(addr);
    client.write_all(&framed(b"six")).unwrap();
    rig.until(|rig| !rig.served.is_empty());
    rig.settle();
    assert_eq!(read_frame(&mut client), b"six");
}

#[test]
fn the_idle_close_and_the_active_stay() {
    let mut rig = Rig::new(options());
    let (_idle, mut active) = (rig.client(), rig.client());
    let set_at_start = rig.net.next_deadline();
    for _ in 0..9 {
        rig.pass(60 * SECOND);
        active.write_all(&framed(b"ping")).unwrap();
        let before = rig.served.len();
        rig.until(|rig| rig.served.len() > before);
        rig.settle();
        assert_eq!(rig.net.next_deadline(), set_at_start, "activity leaves the deadlines alone");
    }
    rig.pass(60 * SECOND);
    assert_eq!(rig.closed, [(rig.opened[0], CloseReason::Idle)]);
    rig.pass(540 * SECOND);
    assert_eq!(rig.closed.last(), Some(&(rig.opened[1], CloseReason::Idle)));
}

#[test]
fn a_parked_connection_is_not_idle() {
    let mut rig = Rig::new(options());
    rig.serve = Box::new(|net, conn, _| net.pause(conn, Gate::Order));
    let mut client = rig.client();
    client.write_all(&framed(b"park")).unwrap();
    rig.until(|rig| !rig.served.is_empty());
    rig.pass(1_500 * SECOND);
    assert!(rig.closed.is_empty());
    rig.net.resume(rig.opened[0], Gate::Order);
    rig.pass(700 * SECOND);
    rig.pass(700 * SECOND);
    assert_eq!(rig.closed, [(rig.opened[0], CloseReason::Idle)]);
}

#[test]
fn half_a_frame_is_waited_for_thirty_seconds() {
    let mut rig = Rig::new(options());
    let mut client = rig.client();
    let conn = rig.opened[0];
    let idle = rig.net.next_deadline();
    let frame = framed(&[1; 1_000]);
    client.write_all(&frame[..500]).unwrap();
    rig.settle();
    assert_eq!(rig.net.next_deadline(), Some(rig.now + 30 * SECOND));
    client.write_all(&frame[500..]).unwrap();
    rig.until(|rig| !rig.served.is_empty());
    assert_eq!(rig.net.next_deadline(), idle, "what finishes removes its deadline");
    client.write_all(&frame[..2]).unwrap();
    rig.settle();
    rig.pass(29 * SECOND);
    assert!(rig.closed.is_empty());
    rig.pass(SECOND);
    assert_eq!(rig.reason(conn), Some(&CloseReason::HalfFrame));
}

#[test]
fn a_trickle_is_not_progress_but_a_slow_link_is() {
    let mut rig = Rig::new(options());
    let (mut trickle, mut slow) = (rig.client(), rig.client());
    let (trickling, slowing) = (rig.opened[0], rig.opened[1]);
    let frame = framed(&[1; 400_000]);
    for at in 0..6 {
        trickle.write_all(&frame[at..=at]).unwrap_or_default();
        slow.write_all(&frame[at * 60_000..][..60_000]).unwrap();
        rig.settle();
        rig.pass(15 * SECOND);
    }
    assert_eq!(rig.reason(trickling), Some(&CloseReason::HalfFrame));
    assert_eq!(rig.reason(slowing), None);
    slow.write_all(&frame[360_000..]).unwrap();
    rig.until(|rig| rig.served == [(slowing, 400_000)]);
}

#[test]
fn the_larger_a_frame_is_the_faster_it_must_come() {
    let mut rig = Rig::new(options());
    let (mut small, mut large) = (rig.client(), rig.client());
    let (short, long) = (rig.opened[0], rig.opened[1]);
    // 4 KiB a second are enough for the one, and would take the other more than an hour.
    for (client, size) in [(&mut small, 1_000_000), (&mut large, 16_000_000)] {
        client.write_all(&i32::to_be_bytes(size)).unwrap();
    }
    for _ in 0..6 {
        small.write_all(&[1; 60 << 10]).unwrap();
        large.write_all(&[1; 60 << 10]).unwrap_or_default();
        rig.settle();
        rig.pass(15 * SECOND);
    }
    assert_eq!(rig.reason(short), None);
    assert_eq!(rig.reason(long), Some(&CloseReason::HalfFrame));
}

#[test]
fn a_frame_held_back_by_a_gate_is_not_the_peers_fault() {
    let mut rig = Rig::new(options());
    rig.serve = Box::new(|net, conn, _| net.pause(conn, Gate::Throttle));
    let mut client = rig.client();
    let conn = rig.opened[0];
    client.write_all(&[&framed(b"first")[..], b"\0\0"].concat()).unwrap();
    rig.until(|rig| !rig.served.is_empty());
    rig.pass(100 * SECOND);
    assert!(rig.closed.is_empty());
    rig.net.resume(conn, Gate::Throttle);
    rig.check();
    rig.settle();
    assert_eq!(rig.net.next_deadline(), Some(rig.now + 30 * SECOND));
    rig.pass(30 * SECOND);
    assert_eq!(rig.reason(conn), Some(&CloseReason::HalfFrame));
}

#[test]
fn the_limit_of_one_connection_can_be_moved() {
    let mut options = options();
    options.frame_bytes_max = 100;
    let mut rig = Rig::new(options);
    let (mut known, mut unknown) = (rig.client(), rig.client());
    rig.net.set_frame_bytes_max(rig.opened[0], 1_000);
    for client in [&mut known, &mut unknown] {
        client.write_all(&framed(&[1; 1_000])).unwrap();
    }
    rig.until(|rig| rig.served.len() == 1 && rig.closed.len() == 1);
    let reason = CloseReason::TooLarge { bytes: 1_000, bytes_max: 100 };
    assert_eq!(rig.closed, [(rig.opened[1], reason)]);
}
