//! Everything at once, at random: peers that send, stall, end and reset; a server that answers, holds, pauses
//! and closes; too little memory; a clock that jumps. The invariants hold after every step, every connection
//! ends once, and in the end nothing is left.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use chronik::base::memory::Pool;
use chronik::base::payload::{Bytes, Payload};
use chronik::net::{CloseReason, Gate, Options};

use rustix::net::sockopt;

use super::harness::{FakeFile, Random, Rig, connect, framed, pattern, reply};

const STEPS: usize = 1_500;

struct Chaos {
    random: Random,
    rig: Rig,
    clients: Vec<TcpStream>,
    hoard: Rc<RefCell<Vec<Bytes>>>,
    file: Arc<FakeFile>,
    /// What random clients send: frames of all sizes, now and then nonsense.
    traffic: Vec<Vec<u8>>,
}

impl Chaos {
    fn new(seed: u64, small: &Arc<Pool>, large: &Arc<Pool>) -> Chaos {
        let mut options = Options::new(Arc::clone(small), Arc::clone(large));
        options.connections_max = 12;
        options.outbox_bytes_max = 50_000;
        let mut rig = Rig::new(options);
        let hoard = Rc::new(RefCell::new(Vec::new()));
        let (kept, mut dice) = (Rc::clone(&hoard), Random(!seed));
        rig.serve = Box::new(move |net, conn, frame| match dice.below(10) {
            0 => net.pause(conn, Gate::Order),
            1 => net.pause(conn, Gate::Throttle),
            2 => kept.borrow_mut().push(frame),
            3 => net.send(conn, reply(&[1; 60_000])),
            4 if dice.below(8) == 0 => net.close(conn, CloseReason::Shutdown),
            5 if dice.below(8) == 0 => net.close_when_flushed(conn, CloseReason::Shutdown),
            _ => net.send(conn, reply(&frame)),
        });
        let sizes = [1, 10, 100, 1_000, 30_000, 65_536, 65_537, 100_000, 250_000];
        let mut traffic: Vec<Vec<u8>> = sizes.iter().map(|len| framed(&vec![1; *len])).collect();
        traffic.push(framed(&[2; 20]).repeat(100));
        traffic.push(b"\0\0\0\0".to_vec());
        traffic.push(b"GET / HTTP/1.1\r\n\r\n".to_vec());
        let make = if seed % 2 == 0 { FakeFile::new } else { FakeFile::open };
        let file = make(pattern(500_000, seed), 200_000);
        Chaos { random: Random(seed), rig, clients: Vec::new(), hoard, file, traffic }
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0 => self.clients.push(connect(self.rig.addr)),
            1 if self.random.below(4) == 0 => self.leave(),
            2..=7 => self.client_writes(),
            8..=10 => self.client_reads(),
            11..=12 => self.server_reopens(),
            13 => self.server_sends_a_file(),
            14 => self.hoard.borrow_mut().truncate(self.random.below(4)),
            15 => self.disk_answers(),
            16 if self.random.below(20) == 0 => {
                self.rig.now = self.rig.now + Duration::from_millis(20_000);
            }
            _ => self.rig.turn_within(Duration::ZERO),
        }
        self.rig.check();
    }

    fn any_client(&mut self) -> Option<&mut TcpStream> {
        let index = self.random.below(self.clients.len().max(1));
        let client = self.clients.get_mut(index)?;
        client.set_nonblocking(true).unwrap();
        Some(client)
    }

    fn leave(&mut self) {
        let how = self.random.below(3);
        let Some(client) = self.any_client() else { return };
        match how {
            0 => drop(client.shutdown(Shutdown::Write)),
            1 => drop(client.shutdown(Shutdown::Both)),
            _ => sockopt::set_socket_linger(&*client, Some(Duration::ZERO)).unwrap(),
        }
        if how > 0 {
            let index = self.random.below(self.clients.len());
            self.clients.swap_remove(index);
        }
    }

    fn client_writes(&mut self) {
        // Nonsense is rare.
        let kinds =
            if self.random.below(40) == 0 { self.traffic.len() } else { self.traffic.len() - 2 };
        let bytes = self.traffic[self.random.below(kinds)].clone();
        let cut =
            if self.random.below(4) == 0 { self.random.below(bytes.len()) } else { bytes.len() };
        if let Some(client) = self.any_client() {
            let _ = client.write(&bytes[..cut]);
        }
    }

    fn client_reads(&mut self) {
        let mut buffer = vec![0; 1 + self.random.below(400_000)];
        if let Some(client) = self.any_client() {
            let _ = client.read(&mut buffer);
        }
    }

    fn server_reopens(&mut self) {
        let conns: Vec<_> = self.rig.net.connections().collect();
        for conn in conns {
            self.rig.net.resume(conn, [Gate::Order, Gate::Throttle][self.random.below(2)]);
            self.rig.check();
        }
    }

    fn server_sends_a_file(&mut self) {
        let conns: Vec<_> = self.rig.net.connections().collect();
        if let Some(conn) = conns.get(self.random.below(conns.len().max(1))) {
            let position = self.random.below(400_000);
            let range = self.file.range(position, 1 + self.random.below(100_000));
            self.rig.net.send(*conn, vec![Payload::File(range)]);
        }
    }

    fn disk_answers(&mut self) {
        let Some((conn, range)) = self.rig.cold.pop() else { return };
        let mut bytes = vec![0; range.len.min(1 + self.random.below(range.len))];
        range.file.read_at(&mut bytes, range.position).unwrap();
        self.rig.net.warmed(conn, Ok(Bytes::from_vec(bytes)));
    }

    /// Everybody leaves, and all that is held returns.
    fn wind_up(&mut self) {
        self.clients.clear();
        self.rig.serve = Box::new(|_, _, _| {});
        self.hoard.borrow_mut().clear();
        for _ in 0..50 {
            self.server_reopens();
            while !self.rig.cold.is_empty() {
                self.disk_answers();
            }
            self.rig.now = self.rig.now + Duration::from_secs(31);
            self.rig.turn_within(Duration::from_millis(1));
        }
    }
}

fn nothing_is_left_after(seed: u64) {
    println!("seed {seed}");
    let (small, large) = (Pool::new("small", 200_000), Pool::new("large", 300_000));
    let mut chaos = Chaos::new(seed, &small, &large);
    for _ in 0..STEPS {
        chaos.step();
    }
    chaos.wind_up();
    let rig = &chaos.rig;
    let stats = rig.net.stats();
    assert_eq!(stats.open, 0, "{stats:?}");
    assert_eq!((small.used(), large.used()), (0, 0));
    assert_eq!((rig.net.next_deadline(), rig.net.has_runnable()), (None, false));
    let opened: BTreeSet<_> = rig.opened.iter().collect();
    let closed: BTreeSet<_> = rig.closed.iter().map(|(conn, _)| conn).collect();
    assert_eq!(opened, closed);
    assert_eq!((opened.len(), closed.len()), (rig.opened.len(), rig.closed.len()));
}

#[test]
fn nothing_is_left_after_chaos() {
    match std::env::var("CHRONIK_SEED") {
        Ok(seed) => nothing_is_left_after(seed.parse().unwrap()),
        Err(_) => (1..=12).for_each(nothing_is_left_after),
    }
}
