//! One connection: its state, its readiness, its gates, and the two questions the run queues ask of it.

use std::net::SocketAddr;

use mio::net::TcpStream;

use super::inbox::Inbox;
use super::outbox::Outbox;
use super::reason::CloseReason;
use crate::base::ids::ConnId;
use crate::base::time::Mono;

/// Where a connection is in its life. See the drawing in [`super`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Frames are read and served.
    Open,
    /// The peer's FIN has been read: what is buffered is served, nothing more will come.
    Ended,
    /// The server has said its last word: nothing more is served, the outbox empties.
    Flushing(CloseReason),
    /// Everything is sent, our FIN too: what still arrives is thrown away until the peer's FIN, because
    /// closing with unread input would send a reset that may overtake the last reply.
    Lingering(CloseReason),
}

/// Why no further frame of a connection is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// A frame waits for memory. Reopened by `memory_returned`.
    Memory,
    /// The next frame must wait until those before it are answered. Reopened by the server.
    Order,
    /// The peer has used more than its share. Reopened by the server.
    Throttle,
    /// Too much is unsent. Reopened by `flush` at half of the limit.
    Outbox,
}

/// The closed gates of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gates(u8);

impl Gates {
    fn bit(gate: Gate) -> u8 {
        match gate {
            Gate::Memory => 1,
            Gate::Order => 2,
            Gate::Throttle => 4,
            Gate::Outbox => 8,
        }
    }

    pub(super) fn close(&mut self, gate: Gate) {
        self.0 |= Gates::bit(gate);
    }

    pub(super) fn open(&mut self, gate: Gate) {
        self.0 &= !Gates::bit(gate);
    }

    pub(super) fn is_closed(self, gate: Gate) -> bool {
        self.0 & Gates::bit(gate) != 0
    }

    pub(super) fn all_open(self) -> bool {
        self.0 == 0
    }
}

/// What the kernel said and was not used up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Readiness {
    /// A read may bring something.
    pub(super) readable: bool,
    /// A write may take something.
    pub(super) writable: bool,
    /// The peer's FIN stands somewhere behind what is unread.
    pub(super) ending: bool,
    /// The connection was reset.
    pub(super) reset: bool,
}

/// In which queues a connection stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Queued {
    /// In the run queue.
    pub(super) run: bool,
    /// Among those to be flushed.
    pub(super) flush: bool,
    /// Between `next_runnable` and `end_turn`.
    pub(super) in_turn: bool,
}

/// Where the progress of a half-read frame is measured from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    /// Bytes received.
    pub(super) bytes: u64,
    /// Frames taken.
    pub(super) frames: u64,
    /// Whether this is not the first span of this frame.
    pub(super) again: bool,
}

/// A connection.
pub(super) struct Connection {
    pub(super) id: ConnId,
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) state: State,
    pub(super) ready: Readiness,
    pub(super) gates: Gates,
    pub(super) queued: Queued,
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,
    /// When the peer last sent or took a byte.
    pub(super) active: Mono,
    pub(super) bytes_in: u64,
    /// `bytes_in` when its turn began.
    pub(super) turn_from: u64,
    pub(super) frames: u64,
    /// Progress of the half-read frame.
    pub(super) half: Mark,
    /// When the outbox last moved, or began to wait.
    pub(super) moved: Mono,
    /// Whether what is read from the disk now is for a last try to write.
    pub(super) is_last_try: bool,
    /// Whether `InputEnded` was told.
    pub(super) told_ended: bool,
    /// Whether `InputDrained` was told.
    pub(super) told_drained: bool,
}

impl Connection {
    /// A connection that has just been accepted. It may well be readable already.
    pub(super) fn new(id: ConnId, stream: TcpStream, peer: SocketAddr, inbox: Inbox) -> Connection {
        Connection {
            id,
            stream,
            peer,
            state: State::Open,
            ready: Readiness { readable: true, writable: true, ending: false, reset: false },
            gates: Gates::default(),
            queued: Queued::default(),
            inbox,
            outbox: Outbox::default(),
            active: Mono(0),
            bytes_in: 0,
            turn_from: 0,
            frames: 0,
            half: Mark::default(),
            moved: Mono(0),
            is_last_try: false,
            told_ended: false,
            told_drained: false,
        }
    }

    /// Whether frames are still handed out.
    pub(super) fn is_serving(&self) -> bool {
        matches!(self.state, State::Open | State::Ended)
    }

    pub(super) fn is_lingering(&self) -> bool {
        matches!(self.state, State::Lingering(_))
    }

    /// Whether its state has a use for more input.
    pub(super) fn wants_read(&self) -> bool {
        match self.state {
            State::Open => self.gates.all_open() && self.inbox.has_room(),
            State::Ended | State::Flushing(_) => false,
            State::Lingering(_) => true,
        }
    }

    /// Whether a turn would get it further: the one definition.
    pub(super) fn is_runnable(&self) -> bool {
        self.ready.reset
            || (self.ready.readable && self.wants_read())
            || (self.is_serving() && self.gates.all_open() && self.inbox.is_ready())
    }

    /// Whether a flush would get it further: the one definition.
    pub(super) fn is_due(&self) -> bool {
        self.ready.writable && !self.outbox.is_empty() && !self.outbox.is_cold()
    }

    /// Whether the rest of a frame is all that it waits for.
    pub(super) fn is_half_read(&self) -> bool {
        self.state == State::Open && self.gates.all_open() && self.inbox.is_partial()
    }

    /// Whether nothing is owed to the peer.
    pub(super) fn is_idle(&self) -> bool {
        self.gates.all_open() && self.outbox.is_empty()
    }
}
