//! A server of a few lines around the reactor, clients as plain sockets, and a fake file.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chronik::base::ids::ConnId;
use chronik::base::memory::Pool;
use chronik::base::payload::{Bytes, FileRange, Payload, RangeFile};
use chronik::base::time::Mono;
use chronik::net::{CloseReason, NetEvent, Options, Protocol, Reactor};
use rustix::fs::{MemfdFlags, memfd_create};

/// Turns after which a test gives up; each sleeps 10 ms at most.
const TURNS_MAX: usize = 3_000;

/// What the server of a test does with a frame.
pub(super) type Serve = Box<dyn FnMut(&mut Reactor, ConnId, Bytes)>;

/// A reactor, its server and what it saw.
pub(super) struct Rig {
    pub(super) net: Reactor,
    pub(super) now: Mono,
    pub(super) addr: SocketAddr,
    pub(super) serve: Serve,
    /// Connections in the order in which they were opened.
    pub(super) opened: Vec<ConnId>,
    pub(super) closed: Vec<(ConnId, CloseReason)>,
    pub(super) refused: Vec<CloseReason>,
    pub(super) ended: Vec<ConnId>,
    pub(super) drained: Vec<ConnId>,
    pub(super) cold: Vec<(ConnId, FileRange)>,
    pub(super) outboxes_drained: usize,
    pub(super) accept_pauses: usize,
    pub(super) places_wanted: usize,
    /// Frames served, by connection, in order.
    pub(super) served: Vec<(ConnId, usize)>,
}

/// Pools of 8 MiB for small and 32 MiB for large frames.
pub(super) fn options() -> Options {
    Options::new(Pool::new("small", 8 << 20), Pool::new("large", 32 << 20))
}

impl Rig {
    pub(super) fn new(options: Options) -> Rig {
        Rig::speaking(options, Protocol::Frames)
    }

    pub(super) fn speaking(options: Options, protocol: Protocol) -> Rig {
        let mut net = Reactor::new(options).unwrap();
        let addr = net.listen("127.0.0.1:0".parse().unwrap(), protocol).unwrap();
        Rig {
            net,
            now: Mono(1_000_000),
            addr,
            serve: Box::new(|net, conn, frame| net.send(conn, reply(&frame))),
            opened: Vec::new(),
            closed: Vec::new(),
            refused: Vec::new(),
            ended: Vec::new(),
            drained: Vec::new(),
            cold: Vec::new(),
            outboxes_drained: 0,
            accept_pauses: 0,
            places_wanted: 0,
            served: Vec::new(),
        }
    }

    /// A client whose connection has been accepted.
    pub(super) fn client(&mut self) -> TcpStream {
        let stream = connect(self.addr);
        let before = self.opened.len();
        self.until(|rig| rig.opened.len() > before);
        stream
    }

    pub(super) fn check(&self) {
        self.net.check_invariants().unwrap();
    }

    /// One turn, which sleeps no longer than 10 ms.
    pub(super) fn turn(&mut self) {
        self.turn_within(Duration::from_millis(10));
    }

    /// One turn, which sleeps no longer than `nap`.
    pub(super) fn turn_within(&mut self, nap: Duration) {
        let timeout = if self.net.has_runnable() { Duration::ZERO } else { nap };
        self.net.poll(Some(timeout)).unwrap();
        self.check();
        self.net.accept(self.now);
        self.check();
        while let Some(conn) = self.net.next_runnable() {
            self.net.fill(conn, self.now);
            self.check();
            for _ in 0..Options::FRAMES_PER_TURN {
                let Some(frame) = self.net.next_frame(conn, self.now) else { break };
                self.served.push((conn, frame.len()));
                (self.serve)(&mut self.net, conn, frame);
                self.check();
            }
            self.net.end_turn(conn, self.now);
            self.check();
        }
        self.net.expire(self.now);
        self.check();
        self.net.flush(self.now);
        self.check();
        self.take_events();
        self.check();
    }

    fn take_events(&mut self) {
        for event in self.net.drain_events() {
            match event {
                NetEvent::Opened { conn, .. } => self.opened.push(conn),
                NetEvent::Closed { conn, reason } => self.closed.push((conn, reason)),
                NetEvent::Refused { reason, .. } => self.refused.push(reason),
                NetEvent::InputEnded { conn } => self.ended.push(conn),
                NetEvent::InputDrained { conn } => {
                    self.drained.push(conn);
                    self.net.close_when_flushed(conn, CloseReason::EndOfInput);
                }
                NetEvent::Cold { conn, range } => self.cold.push((conn, range)),
                NetEvent::OutboxDrained { .. } => self.outboxes_drained += 1,
                NetEvent::AcceptPaused { .. } => self.accept_pauses += 1,
                NetEvent::PlacesWanted => self.places_wanted += 1,
            }
        }
    }

    /// Turns until `done`.
    #[track_caller]
    pub(super) fn until(&mut self, done: impl Fn(&Rig) -> bool) {
        for _ in 0..TURNS_MAX {
            if done(self) {
                return;
            }
            self.turn();
        }
        panic!("not done after {TURNS_MAX} turns: {:?}", self.net.stats());
    }

    /// Turns until nothing has happened for a while.
    pub(super) fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 3 {
            let before = self.net.stats();
            self.turn();
            let after = self.net.stats();
            let moved = (before.bytes_in, before.bytes_out) != (after.bytes_in, after.bytes_out);
            quiet = if moved || self.net.has_runnable() { 0 } else { quiet + 1 };
        }
    }

    /// Moves the clock and does what is due then.
    pub(super) fn pass(&mut self, length: Duration) {
        self.now = self.now + length;
        self.turn();
        self.turn();
    }

    pub(super) fn reason(&self, conn: ConnId) -> Option<&CloseReason> {
        self.closed.iter().find(|(closed, _)| *closed == conn).map(|(_, reason)| reason)
    }
}

/// A client whose calls end in an error after 20 s instead of blocking for ever.
pub(super) fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).unwrap();
    stream.set_write_timeout(patience).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A frame as it travels.
pub(super) fn framed(body: &[u8]) -> Vec<u8> {
    let len = i32::try_from(body.len()).unwrap();
    [&len.to_be_bytes()[..], body].concat()
}

/// A frame that repeats `body`.
pub(super) fn reply(body: &[u8]) -> Vec<Payload> {
    vec![Payload::Bytes(Bytes::from_vec(framed(body)))]
}

/// Bytes that differ from place to place.
pub(super) fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    (0..len).map(|_| random.next().to_le_bytes()[0]).collect()
}

/// Everything until the end of input.
pub(super) fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Reads one frame.
pub(super) fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).unwrap();
    let mut body = vec![0; usize::try_from(i32::from_be_bytes(head)).unwrap()];
    stream.read_exact(&mut body).unwrap();
    body
}

/// Writes all and says that nothing follows.
pub(super) fn write_and_end(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
}

/// A small generator (splitmix64): the same seed, the same run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }
}

/// A file in memory whose first bytes only are in the "page cache".
#[derive(Debug)]
pub(super) struct FakeFile {
    pub(super) bytes: Vec<u8>,
    warm: AtomicUsize,
    /// What the kernel sends from, if it may: the warm bytes, so that it cannot send others.
    kernel: Option<fs::File>,
}

impl FakeFile {
    pub(super) fn new(bytes: Vec<u8>, warm: usize) -> Arc<FakeFile> {
        Arc::new(FakeFile { bytes, warm: AtomicUsize::new(warm), kernel: None })
    }

    /// One that the kernel can send from by itself.
    pub(super) fn open(bytes: Vec<u8>, warm: usize) -> Arc<FakeFile> {
        let mut file = fs::File::from(memfd_create("range", MemfdFlags::CLOEXEC).unwrap());
        file.write_all(&bytes[..warm]).unwrap();
        Arc::new(FakeFile { bytes, warm: AtomicUsize::new(warm), kernel: Some(file) })
    }

    /// From now on so many bytes are warm.
    pub(super) fn warm_to(&self, end: usize) {
        if let Some(file) = &self.kernel {
            file.write_all_at(&self.bytes[..end], 0).unwrap();
        }
        self.warm.store(end, Ordering::SeqCst);
    }

    pub(super) fn range(self: &Arc<FakeFile>, position: usize, len: usize) -> FileRange {
        let position = u64::try_from(position).unwrap();
        FileRange { file: Arc::clone(self) as Arc<dyn RangeFile>, position, len }
    }

    fn copy(&self, end: usize, buffer: &mut [u8], position: u64) -> usize {
        let position = usize::try_from(position).unwrap();
        let there = self.bytes.get(position..end).unwrap_or_default();
        let len = there.len().min(buffer.len());
        buffer[..len].copy_from_slice(&there[..len]);
        len
    }
}

impl RangeFile for FakeFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        Ok(self.copy(self.bytes.len(), buffer, position))
    }

    fn read_at_nowait(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let warm = self.warm.load(Ordering::SeqCst).min(self.bytes.len());
        match self.copy(warm, buffer, position) {
            0 if warm < self.bytes.len() => Err(io::ErrorKind::WouldBlock.into()),
            len => Ok(len),
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.kernel.as_ref().map(AsFd::as_fd)
    }
}
