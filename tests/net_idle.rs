//! What a thousand connections cost that do nothing: no turn of the loop, and next to no memory. Alone in
//! its process, whose memory it measures.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use chronik::base::memory::Pool;
use chronik::base::time::Mono;
use chronik::net::{Options, Protocol, Reactor};
use rustix::process::{Resource, getrlimit, setrlimit};

const CONNECTIONS: usize = 1_000;

/// Turns until the loop would sleep until a deadline.
fn settle(net: &mut Reactor, now: Mono) {
    let mut quiet = 0;
    while quiet < 5 {
        let before = net.stats();
        let timeout = if net.has_runnable() { 0 } else { 20 };
        net.poll(Some(Duration::from_millis(timeout))).unwrap_or_default();
        net.accept(now);
        while let Some(conn) = net.next_runnable() {
            net.fill(conn, now);
            while net.next_frame(conn, now).is_some() {}
            net.end_turn(conn, now);
        }
        net.expire(now);
        net.flush(now);
        net.drain_events().for_each(drop);
        let same =
            (before.bytes_in, before.accepted) == (net.stats().bytes_in, net.stats().accepted);
        quiet = if same && !net.has_runnable() { quiet + 1 } else { 0 };
    }
    assert_eq!(net.check_invariants(), Ok(()));
}

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size()
}

/// The monotonic clock.
fn seconds() -> f64 {
    Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic))
        .unwrap_or_default()
        .as_secs_f64()
}

#[test]
fn a_thousand_idle_connections_cost_no_turn_and_little_memory() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum.map_or(Some(4_096), |most| Some(most.min(4_096)));
    setrlimit(Resource::Nofile, limit).unwrap();
    // A pool that would let every peer reserve what it announces.
    let (small, large) = (Pool::new("small", 64 << 20), Pool::new("large", 1 << 40));
    let mut options = Options::new(small, large);
    options.connections_per_address_max = CONNECTIONS;
    let mut net = Reactor::new(options).unwrap();
    let addr = net.listen("127.0.0.1:0".parse().unwrap(), Protocol::Frames).unwrap();
    let now = Mono(1_000_000);
    settle(&mut net, now);

    let before = resident();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS / 50 {
        clients.extend((0..50).map(|_| TcpStream::connect(addr).unwrap()));
        settle(&mut net, now);
    }
    for client in &mut clients {
        client.write_all(b"\0\0\0\x05hello").unwrap();
    }
    settle(&mut net, now);
    assert_eq!((net.stats().open, net.stats().frames), (CONNECTIONS, 1_000));
    let per_connection = (resident() - before) / CONNECTIONS;
    assert!(per_connection < 4096, "{per_connection} bytes for each idle connection");

    // The only thing that may wake the loop is the idle timeout of the first one.
    assert!(!net.has_runnable());
    assert_eq!(net.next_deadline(), Some(now + Duration::from_secs(600)));
    let turns = net.stats().turns;
    let began = seconds();
    net.poll(Some(Duration::from_secs(3))).unwrap();
    assert!(seconds() - began >= 2.9, "an event ended the sleep");
    assert!(!net.has_runnable() && !net.woken());
    assert_eq!(net.stats().turns, turns + 1, "the one that its own timeout ended");

    // Announcing the largest frame allocates nothing of that size.
    for client in &mut clients {
        client.write_all(b"\x00\xf0\x00\x00").unwrap();
    }
    settle(&mut net, now);
    let announced = resident() - before;
    assert!(announced < CONNECTIONS * 100 * 1024, "{announced} bytes for announcements");
}
