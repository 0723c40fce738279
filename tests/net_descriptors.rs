//! Running out of descriptors: alone in its process, whose limit it lowers.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use chronik::base::memory::Pool;
use chronik::base::time::Mono;
use chronik::net::{CloseReason, NetEvent, Options, Protocol, Reactor};
use rustix::process::{Resource, getrlimit, setrlimit};

/// Turns until nothing is left to do at once; returns how many were opened, and how often accepting paused.
fn turns(net: &mut Reactor, now: Mono) -> (usize, usize) {
    let (mut opened, mut paused) = (0, 0);
    for _ in 0..20 {
        net.poll(Some(Duration::from_millis(5))).unwrap_or_default();
        net.accept(now);
        while let Some(conn) = net.next_runnable() {
            net.fill(conn, now);
            net.end_turn(conn, now);
        }
        net.expire(now);
        net.flush(now);
        for event in net.drain_events() {
            opened += usize::from(matches!(event, NetEvent::Opened { .. }));
            paused += usize::from(matches!(event, NetEvent::AcceptPaused { .. }));
        }
        assert_eq!(net.check_invariants(), Ok(()));
    }
    (opened, paused)
}

/// Takes every free descriptor of this process.
fn exhaust() -> Vec<std::os::fd::OwnedFd> {
    std::iter::from_fn(|| rustix::io::dup(std::io::stderr()).ok()).collect()
}

fn client(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).unwrap_or_else(|error| unreachable!("{error}"))
}

#[test]
fn accepting_pauses_without_descriptors_and_resumes_when_one_returns() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(200);
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut net =
        Reactor::new(Options::new(Pool::new("s", 1 << 20), Pool::new("l", 1 << 20))).unwrap();
    let addr = net.listen("127.0.0.1:0".parse().unwrap(), Protocol::Frames).unwrap();
    let now = Mono(1_000_000);

    let first = client(addr);
    assert_eq!(turns(&mut net, now), (1, 0));
    let waiting = [client(addr), client(addr), client(addr), client(addr)];
    let mut hoard = exhaust();

    // One pause, one deadline, and no spin: with nobody to serve the loop may sleep.
    assert_eq!(turns(&mut net, now), (0, 1));
    assert!(!net.has_runnable());
    let resume_at = now + Duration::from_secs(1);
    assert_eq!(net.next_deadline(), Some(resume_at));

    // The deadline tries again, in vain.
    assert_eq!(turns(&mut net, resume_at), (0, 1));
    assert_eq!(net.stats().accept_pauses, 2);

    // A descriptor that returned elsewhere is reported.
    drop(hoard.pop());
    net.descriptors_returned();
    assert!(net.has_runnable());
    assert_eq!(turns(&mut net, resume_at), (1, 1));

    // A connection that closes here makes room by itself; the client's own descriptor is not reported.
    drop(first);
    assert_eq!(turns(&mut net, resume_at), (0, 0));
    let oldest = net.connections().next().unwrap();
    net.close(oldest, CloseReason::Shutdown);
    assert!(turns(&mut net, resume_at).0 >= 1);

    // With everything free the last ones come in, and no deadline is left but the idle ones.
    hoard.clear();
    net.descriptors_returned();
    assert_eq!(turns(&mut net, resume_at).1, 0);
    assert_eq!(net.stats().accepted, 5);
    assert!(net.next_deadline() > Some(now + Duration::from_secs(600)));
    drop(waiting);
}
