//! Input of a turn: bytes from the socket, then frames from the bytes, as far as budgets and memory go.

use super::connection::{Gate, State};
use super::event::NetEvent;
use super::frame::{Front, HEAD_BYTES};
use super::inbox::{Received, SCRATCH_BYTES};
use super::options::Options;
use super::reactor::{DueKey, Reactor};
use super::reason::CloseReason;
use crate::base::ids::ConnId;
use crate::base::payload::Bytes;
use crate::base::time::Mono;

/// What a connection reserves to begin reading once it had to wait for memory: any small frame.
const FIRST_READ_BYTES: usize = HEAD_BYTES + Options::SMALL_FRAME_BYTES;
/// After so many bytes of one connection no other frame of it is received in this turn.
const READ_BYTES_PER_TURN: u64 = 256 * 1024;
/// How far a read may go while large frames wait for memory: what it brings may be the beginning of one
/// more of them, which would wait in the memory of the small ones.
const SCARCE_READ_BYTES: usize = 4096;

impl Reactor {
    /// Reads what the peer sent, within the turn's budget, if the connection wants it and memory allows.
    pub fn fill(&mut self, conn: ConnId, now: Mono) {
        let Some(connection) = self.connections.get(conn) else {
            return;
        };
        if connection.ready.reset {
            self.close(conn, CloseReason::Reset);
        } else if connection.ready.readable && connection.wants_read() {
            if connection.is_lingering() {
                self.discard(conn);
            } else if self.may_read(conn) {
                self.receive(conn, now);
            }
        }
    }

    /// Whether there is memory for another read; if not, the connection has been put in the queue for it.
    fn may_read(&mut self, conn: ConnId) -> bool {
        let Some(connection) = self.connections.get_mut(conn) else {
            return false;
        };
        if connection.inbox.is_covered() || self.small.has_room() {
            return true;
        }
        match self.small.take(conn, FIRST_READ_BYTES) {
            Some(lease) => connection.inbox.grant_small(lease),
            None => {
                connection.gates.close(Gate::Memory);
                self.stats.memory_waits += 1;
            }
        }
        connection.gates.all_open()
    }

    /// Reads once, into the scratch buffer or the frame's own.
    fn receive(&mut self, conn: ConnId, now: Mono) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        if connection.inbox.wants_scratch() {
            let mut scratch = std::mem::take(&mut self.scratch);
            scratch.resize(SCRATCH_BYTES, 0);
            connection.inbox.borrow(scratch);
        }
        let allowance = match (self.small.has_room(), self.large.has_waiting()) {
            (false, _) => 0,
            (true, true) => SCARCE_READ_BYTES,
            (true, false) => SCRATCH_BYTES,
        };
        match connection.inbox.receive(&mut connection.stream, allowance) {
            Ok(Received::Bytes { bytes, short }) => {
                let bytes = u64::try_from(bytes).unwrap_or(0);
                connection.active = now;
                connection.bytes_in += bytes;
                if connection.inbox.is_framed() {
                    self.stats.bytes_in += bytes;
                }
                // A FIN makes no second edge once it was reported: it is still to be read.
                connection.ready.readable = !short || connection.ready.ending;
            }
            Ok(Received::Nothing) => connection.ready.readable = false,
            Ok(Received::End) => self.end_input(conn),
            Err(error) => self.close(conn, CloseReason::of_socket(&error)),
        }
    }

    /// The peer's FIN has been read.
    fn end_input(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        connection.ready.readable = false;
        connection.ready.ending = true;
        connection.state = State::Ended;
        if !connection.told_ended {
            connection.told_ended = true;
            self.events.push_back(NetEvent::InputEnded { conn });
        }
    }

    /// Throws away what a lingering peer still sends.
    fn discard(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        let read = std::io::Read::read(&mut connection.stream, &mut self.file_buffer);
        match read {
            Ok(0) => self.finish(conn),
            Ok(bytes) => {
                let short = bytes < self.file_buffer.len();
                connection.ready.readable = !short || connection.ready.ending;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                connection.ready.readable = false;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => self.finish(conn),
        }
    }

    /// The next frame, without its length, if it is whole, every gate is open and there is memory for it.
    /// A frame of impossible length closes the connection.
    pub fn next_frame(&mut self, conn: ConnId, now: Mono) -> Option<Bytes> {
        let connection = self.connections.get_mut(conn)?;
        if !connection.is_serving() || !connection.gates.all_open() {
            return None;
        }
        let frame = match connection.inbox.take_body() {
            Some(frame) => Some(frame),
            None => self.frame_at_front(conn, now),
        }?;
        let connection = self.connections.get_mut(conn)?;
        connection.active = now;
        connection.frames += 1;
        self.stats.frames += 1;
        Some(frame)
    }

    /// The frame at the front of what was read.
    fn frame_at_front(&mut self, conn: ConnId, now: Mono) -> Option<Bytes> {
        let connection = self.connections.get_mut(conn)?;
        let inbox = &mut connection.inbox;
        let spares = &self.options.spares;
        match inbox.front() {
            Front::Unknown => None,
            Front::Partial { len } => {
                let is_begun =
                    self.small.has_room() && inbox.begin_small(len, self.small.pool(), spares);
                if is_begun { self.read_on(conn, now) } else { None }
            }
            Front::Whole { len } => inbox.take_small(len, self.small.pool(), spares),
            Front::Bad(reason) => {
                self.close(conn, reason);
                None
            }
            Front::Large { len } => {
                let Some(lease) = self.large.take(conn, len) else {
                    connection.gates.close(Gate::Memory);
                    self.stats.memory_waits += 1;
                    return None;
                };
                inbox.begin_body(len, lease, spares);
                self.read_on(conn, now)
            }
        }
    }

    /// The frame that has just begun, if what the kernel has makes it whole.
    fn read_on(&mut self, conn: ConnId, now: Mono) -> Option<Bytes> {
        let connection = self.connections.get(conn)?;
        let received = connection.bytes_in - connection.turn_from;
        let may_go_on = received < READ_BYTES_PER_TURN;
        if may_go_on && connection.ready.readable && connection.wants_read() {
            self.receive(conn, now);
        }
        self.connections.get_mut(conn)?.inbox.take_body()
    }

    /// The text that a connection of [`Protocol::Http`](super::Protocol::Http) has sent and that was not consumed.
    #[must_use]
    pub fn input(&self, conn: ConnId) -> &[u8] {
        match self.connections.get(conn) {
            Some(connection) if connection.is_serving() => connection.inbox.bytes(),
            _ => &[],
        }
    }

    /// Takes the first `bytes` bytes off [`Reactor::input`].
    pub fn consume(&mut self, conn: ConnId, bytes: usize) {
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.inbox.consume(bytes);
            connection.frames += 1;
            self.revisit(conn);
        }
    }

    /// Ends the turn of a connection: the scratch buffer returns, and what can go on goes to the end of the
    /// run queue.
    pub fn end_turn(&mut self, conn: ConnId, now: Mono) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        connection.queued.in_turn = false;
        if connection.gates.all_open() {
            connection.inbox.mark_seen();
        }
        let is_drained = connection.state == State::Ended && !connection.inbox.is_ready();
        if is_drained {
            // The beginning of a frame whose rest cannot come.
            connection.inbox.clear();
        }
        if let Some(scratch) = connection.inbox.give_back() {
            self.scratch = scratch;
        }
        connection.inbox.settle(self.small.pool());
        if is_drained && !std::mem::replace(&mut connection.told_drained, true) {
            self.events.push_back(NetEvent::InputDrained { conn });
        }
        self.time_half_frame(conn, now);
        self.wake(conn);
    }

    /// Sets or removes the deadline of a half-read frame.
    fn time_half_frame(&mut self, conn: ConnId, now: Mono) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        let key = DueKey::HalfFrame(conn);
        if !connection.is_half_read() {
            self.deadlines.remove(key);
        } else if self.deadlines.get(key).is_none() {
            connection.half = connection.mark_of_input();
            self.deadlines.set(key, now + self.options.half_frame_timeout);
        }
    }

    /// Grants memory to those who wait for it, in order of arrival. The reactor calls it itself when a frame
    /// pool reports room.
    pub fn memory_returned(&mut self) {
        while let Some((conn, lease)) = self.small.grant() {
            if let Some(connection) = self.connections.get_mut(conn) {
                connection.inbox.grant_small(lease);
                self.reopen_memory(conn);
            }
        }
        while let Some((conn, lease)) = self.large.grant() {
            if let Some(connection) = self.connections.get_mut(conn) {
                if let Front::Large { len } = connection.inbox.front() {
                    connection.inbox.begin_body(len, lease, &self.options.spares);
                }
                self.reopen_memory(conn);
            }
        }
    }

    fn reopen_memory(&mut self, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.gates.open(Gate::Memory);
            // `end_turn` times the frame and settles the lease even if nothing can be read now.
            self.revisit(conn);
        }
    }
}
