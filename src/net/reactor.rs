//! The reactor itself: the poll, the queues of a turn, and what the server may ask about a connection.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use super::acceptor::Acceptor;
use super::admission::Admission;
use super::batch::FLUSH_BYTES;
use super::connection::{Connection, Gate};
use super::event::NetEvent;
use super::inbox::SCRATCH_BYTES;
use super::options::{Options, Stats};
use super::table::Table;
use crate::base::deadlines::Deadlines;
use crate::base::ids::ConnId;
use crate::base::memory::Pool;
use crate::base::payload::Payload;
use crate::base::rooms::Rooms;
use crate::base::time::Mono;

const WAKER_TOKEN: usize = 0;
const FIRST_LISTENER_TOKEN: usize = 1;
const FIRST_WATCH_TOKEN: usize = 1_000;
pub(super) const FIRST_CONNECTION_TOKEN: usize = 2_000;
/// Events taken from the kernel at once; the rest comes with the next turn.
const EVENTS_PER_TURN: usize = 1024;

/// A descriptor of the server's that is polled with the sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch(usize);

/// What a deadline of the reactor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DueKey {
    /// Accepting rests, or clients wait for places.
    Accept,
    /// A frame is half read.
    HalfFrame(ConnId),
    /// Bytes wait for the peer to take them.
    Stuck(ConnId),
    /// The peer's FIN is awaited.
    Linger(ConnId),
}

/// All sockets of the process, one thread's property. See the module's documentation for a turn.
pub struct Reactor {
    pub(super) poll: Poll,
    kernel_events: Events,
    waker: Arc<Waker>,
    woken: bool,
    /// Set by a frame pool, on any thread, when memory comes back after a refusal.
    room: Arc<AtomicBool>,
    watches: Vec<bool>,
    pub(super) options: Options,
    /// The largest frame of new connections.
    pub(super) frame_bytes_max: usize,
    pub(super) acceptor: Acceptor,
    pub(super) connections: Table,
    pub(super) small: Admission,
    pub(super) large: Admission,
    pub(super) run_queue: VecDeque<ConnId>,
    /// How many of the run queue belong to this turn, once the first was taken.
    turn_left: Option<usize>,
    /// Connections whose outbox is to be looked at by the next flush.
    pub(super) flush_queue: Vec<ConnId>,
    /// Bytes of memory in all outboxes.
    pub(super) outboxes_memory: usize,
    pub(super) outbox_rooms: Rooms<Payload>,
    /// When to look whether a connection has said nothing for long. Re-armed when it passes, by the last activity: an active
    /// connection never touches its own. Apart from the other deadlines, which are few and looked for with every request.
    pub(super) idle: Deadlines<ConnId>,
    pub(super) deadlines: Deadlines<DueKey>,
    pub(super) events: VecDeque<NetEvent>,
    /// Shared by all small reads; lent to one connection at a time.
    pub(super) scratch: Vec<u8>,
    /// Where files are read into on their way out.
    pub(super) file_buffer: Vec<u8>,
    pub(super) stats: Stats,
}

impl Reactor {
    /// A reactor without sockets. It becomes the one whom the frame pools wake.
    ///
    /// # Errors
    /// What the operating system says about an epoll instance and an eventfd.
    pub fn new(options: Options) -> io::Result<Reactor> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), Token(WAKER_TOKEN))?);
        let room = Arc::new(AtomicBool::new(false));
        for pool in [&options.small_frames, &options.large_frames] {
            wake_when_room(pool, &room, &waker);
        }
        Ok(Reactor {
            poll,
            kernel_events: Events::with_capacity(EVENTS_PER_TURN),
            waker,
            woken: false,
            room,
            watches: Vec::new(),
            frame_bytes_max: options.frame_bytes_max.min(options.largest_frame()),
            acceptor: Acceptor::default(),
            connections: Table::default(),
            small: Admission::new(Arc::clone(&options.small_frames)),
            large: Admission::new(Arc::clone(&options.large_frames)),
            options,
            run_queue: VecDeque::new(),
            turn_left: None,
            flush_queue: Vec::new(),
            outboxes_memory: 0,
            outbox_rooms: Rooms::default(),
            idle: Deadlines::default(),
            deadlines: Deadlines::default(),
            events: VecDeque::new(),
            scratch: vec![0; SCRATCH_BYTES],
            file_buffer: vec![0; FLUSH_BYTES],
            stats: Stats::default(),
        })
    }

    /// What other threads use to end the loop's sleep.
    #[must_use]
    pub fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Whether the waker has fired since this was last asked.
    pub fn woken(&mut self) -> bool {
        std::mem::take(&mut self.woken)
    }

    /// Polls a descriptor of the server's for reading: a signal pipe, a timer. It is edge-triggered: its
    /// owner reads until `WouldBlock`, and keeps it open as long as the reactor lives.
    ///
    /// # Errors
    /// What the operating system says; `OutOfMemory` beyond a thousand of them.
    pub fn watch(&mut self, source: &impl AsRawFd) -> io::Result<Watch> {
        let index = self.watches.len();
        let token = bounded_token(FIRST_WATCH_TOKEN, index, FIRST_CONNECTION_TOKEN)?;
        self.poll.registry().register(
            &mut SourceFd(&source.as_raw_fd()),
            token,
            Interest::READABLE,
        )?;
        // It may have fired before it was watched.
        self.watches.push(true);
        Ok(Watch(index))
    }

    /// Whether a watched descriptor has become readable since this was last asked.
    pub fn fired(&mut self, watch: Watch) -> bool {
        self.watches.get_mut(watch.0).is_some_and(std::mem::take)
    }

    pub(super) fn listener_token(&self, index: usize) -> io::Result<Token> {
        bounded_token(FIRST_LISTENER_TOKEN, index, FIRST_WATCH_TOKEN)
    }

    /// Whether the next turn has something to do without any event: then `poll` must not sleep.
    #[must_use]
    pub fn has_runnable(&self) -> bool {
        !self.run_queue.is_empty()
            || !self.flush_queue.is_empty()
            || !self.events.is_empty()
            || self.acceptor.is_runnable()
    }

    /// The nearest of the reactor's own deadlines.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.deadlines.next().into_iter().chain(self.idle.next()).min()
    }

    /// How long `poll` may sleep, as far as the reactor is concerned. `None`: for ever.
    #[must_use]
    pub fn poll_timeout(&self, now: Mono) -> Option<Duration> {
        if self.has_runnable() {
            return Some(Duration::ZERO);
        }
        self.next_deadline().map(|at| at.since(now))
    }

    /// Sleeps until something happens or `timeout` has passed, and notes what happened: this begins a
    /// turn. It does no other work.
    ///
    /// # Errors
    /// What the operating system says about epoll; never `Interrupted`.
    pub fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.kernel_events, timeout) {
            // The events are those of the last time then.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.kernel_events.clear(),
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        self.stats.turns += 1;
        self.turn_left = None;
        let events = std::mem::replace(&mut self.kernel_events, Events::with_capacity(0));
        for event in &events {
            self.note(event);
        }
        self.kernel_events = events;
        if self.room.swap(false, Ordering::SeqCst) {
            self.memory_returned();
        }
        Ok(())
    }

    /// Notes one event of the kernel.
    fn note(&mut self, event: &mio::event::Event) {
        let token = event.token().0;
        if token == WAKER_TOKEN {
            self.woken = true;
        } else if let Some(slot) = token.checked_sub(FIRST_CONNECTION_TOKEN) {
            self.note_connection(slot, event);
        } else if let Some(index) = token.checked_sub(FIRST_WATCH_TOKEN) {
            if let Some(fired) = self.watches.get_mut(index) {
                *fired = true;
            }
        } else if let Some(listener) = self.acceptor.listeners.get_mut(token - FIRST_LISTENER_TOKEN)
        {
            listener.ready = true;
        }
    }

    /// Notes one event of a connection.
    fn note_connection(&mut self, slot: usize, event: &mio::event::Event) {
        let Some(connection) = self.connections.at(slot) else {
            return;
        };
        let conn = connection.id;
        let ready = &mut connection.ready;
        ready.readable |= event.is_readable() || event.is_read_closed();
        ready.writable |= event.is_writable();
        ready.ending |= event.is_read_closed();
        // Both directions closed is a reset, unless we have closed ours.
        let is_lingering = connection.is_lingering();
        let ready = &mut connection.ready;
        ready.reset |= event.is_error() || (event.is_write_closed() && !is_lingering);
        self.tell_ended(conn);
        self.wake(conn);
    }

    /// Tells the server that nothing more will be sent, once.
    fn tell_ended(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        if connection.ready.ending && !connection.told_ended && connection.is_serving() {
            connection.told_ended = true;
            self.events.push_back(NetEvent::InputEnded { conn });
        }
    }

    /// Puts a connection into the queues it belongs in.
    pub(super) fn wake(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        let queued = &mut connection.queued;
        if !queued.run && !queued.in_turn && connection.is_runnable() {
            connection.queued.run = true;
            self.run_queue.push_back(conn);
        }
        if !connection.queued.flush && connection.is_due() {
            connection.queued.flush = true;
            self.flush_queue.push(conn);
        }
    }

    /// Puts a connection into the run queue for the sake of what `end_turn` does, runnable or not.
    pub(super) fn revisit(&mut self, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(conn)
            && !connection.queued.run
            && !connection.queued.in_turn
        {
            connection.queued.run = true;
            self.run_queue.push_back(conn);
        }
    }

    /// Has the next flush look at a connection, whether its socket takes bytes or not.
    pub(super) fn look_at_outbox(&mut self, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(conn)
            && !connection.queued.flush
        {
            connection.queued.flush = true;
            self.flush_queue.push(conn);
        }
    }

    /// The next connection that has its turn; each comes once between two polls. `end_turn` must follow.
    pub fn next_runnable(&mut self) -> Option<ConnId> {
        let left = self.turn_left.get_or_insert(self.run_queue.len());
        while *left > 0 {
            *left -= 1;
            let conn = self.run_queue.pop_front()?;
            if let Some(connection) = self.connections.get_mut(conn) {
                connection.queued.run = false;
                connection.queued.in_turn = true;
                connection.turn_from = connection.bytes_in;
                return Some(conn);
            }
        }
        None
    }

    /// What happened to connections and listeners since this was last asked.
    pub fn drain_events(&mut self) -> impl Iterator<Item = NetEvent> + use<> {
        std::mem::take(&mut self.events).into_iter()
    }

    /// Closes a gate: no further frame of the connection is served or read.
    pub fn pause(&mut self, conn: ConnId, gate: Gate) {
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.gates.close(gate);
            // Its frame waits for us now, not for the peer.
            self.deadlines.remove(DueKey::HalfFrame(conn));
        }
    }

    /// Opens a gate that the server has closed.
    pub fn resume(&mut self, conn: ConnId, gate: Gate) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        connection.gates.open(gate);
        let is_half_read = connection.is_half_read();
        self.wake(conn);
        if is_half_read {
            self.revisit(conn);
        }
    }

    /// Changes the largest frame of one connection, in bytes, from its next frame on. It cannot exceed what
    /// the pool of large frames holds.
    pub fn set_frame_bytes_max(&mut self, conn: ConnId, bytes: usize) {
        let bytes = bytes.min(self.options.largest_frame());
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.inbox.frame_bytes_max = bytes;
        }
    }

    /// The peer's address.
    #[must_use]
    pub fn peer(&self, conn: ConnId) -> Option<SocketAddr> {
        self.connections.get(conn).map(|connection| connection.peer)
    }

    /// The address that the peer reached.
    #[must_use]
    pub fn local_addr(&self, conn: ConnId) -> Option<SocketAddr> {
        self.connections.get(conn)?.stream.local_addr().ok()
    }

    /// Bytes of the connection that are queued and not sent.
    #[must_use]
    pub fn unsent(&self, conn: ConnId) -> usize {
        self.connections.get(conn).map_or(0, |connection| connection.outbox.len())
    }

    /// Whether the connection's last frame has been handed out, and no more can come.
    #[must_use]
    pub fn is_drained(&self, conn: ConnId) -> bool {
        self.connections.get(conn).is_some_and(|connection| connection.told_drained)
    }

    /// Counters and gauges.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats { open: self.connections.len(), ..self.stats }
    }

    /// Every open connection, in the order of their places.
    pub fn connections(&self) -> impl Iterator<Item = ConnId> {
        self.connections.iter().map(|connection: &Connection| connection.id)
    }
}

/// Has a pool wake the loop when it has room again.
fn wake_when_room(pool: &Arc<Pool>, room: &Arc<AtomicBool>, waker: &Arc<Waker>) {
    let (room, waker) = (Arc::clone(room), Arc::clone(waker));
    pool.on_room(move || {
        room.store(true, Ordering::SeqCst);
        // An eventfd whose counter is full has woken the loop already.
        let _ = waker.wake();
    });
}

fn bounded_token(first: usize, index: usize, end: usize) -> io::Result<Token> {
    let token = first + index;
    if token < end { Ok(Token(token)) } else { Err(io::ErrorKind::OutOfMemory.into()) }
}
