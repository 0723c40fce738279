//! The end of a connection, which is one path, and the deadlines that may lead to it.

use super::connection::{Connection, Mark, State};
use super::event::NetEvent;
use super::reactor::{DueKey, Reactor};
use super::reason::CloseReason;
use crate::base::ids::ConnId;
use crate::base::time::Mono;

/// What a frame must bring each second once its first half-frame timeout has passed.
const HALF_FRAME_BYTES_PER_SECOND: u64 = 1024;
/// So long a frame may take at most: others wait for the memory that it holds, and no client waits longer for an answer.
const FRAME_SECONDS_MAX: u64 = 600;

impl Reactor {
    /// Closes a connection at once: what is unsent is lost. The one path by which connections end.
    pub fn close(&mut self, conn: ConnId, reason: CloseReason) {
        let Some(mut connection) = self.connections.remove(conn) else {
            return;
        };
        if let Some(scratch) = connection.inbox.give_back() {
            self.scratch = scratch;
        }
        // A socket that is closed leaves the poll by itself.
        let _ = self.poll.registry().deregister(&mut connection.stream);
        self.idle.remove(conn);
        for key in [DueKey::HalfFrame, DueKey::Stuck, DueKey::Linger] {
            self.deadlines.remove(key(conn));
        }
        self.acceptor.forget(connection.peer);
        self.stats.closed += 1;
        self.outboxes_memory -= connection.outbox.memory();
        self.events.push_back(NetEvent::Closed { conn, reason });
        // Its descriptor and its leases return before anybody is told of the room they leave.
        drop(connection);
        self.descriptors_returned();
        self.leave_memory_queues(conn);
    }

    /// Closes a connection when everything queued has been sent. Nothing more is read or served.
    pub fn close_when_flushed(&mut self, conn: ConnId, reason: CloseReason) {
        let Some(connection) = self.connections.get_mut(conn).filter(|c| c.is_serving()) else {
            return;
        };
        connection.state = State::Flushing(reason);
        connection.inbox.clear();
        self.deadlines.remove(DueKey::HalfFrame(conn));
        self.leave_memory_queues(conn);
        // `end_turn` lets go of its buffer and its lease, `flush` finds out that all is sent.
        self.revisit(conn);
        self.look_at_outbox(conn);
    }

    /// Ends a lingering connection for the reason it has been given.
    pub(super) fn finish(&mut self, conn: ConnId) {
        let reason = match self.connections.get(conn).map(|connection| &connection.state) {
            Some(State::Flushing(reason) | State::Lingering(reason)) => reason.clone(),
            _ => CloseReason::Reset,
        };
        self.close(conn, reason);
    }

    /// Takes a connection out of the queues for memory; whoever stood behind it may be next.
    fn leave_memory_queues(&mut self, conn: ConnId) {
        if self.small.has_waiting() || self.large.has_waiting() {
            self.small.forget(conn);
            self.large.forget(conn);
            self.memory_returned();
        }
    }

    /// Does what is due.
    pub fn expire(&mut self, now: Mono) {
        while let Some(key) = self.deadlines.pop_due(now) {
            match key {
                DueKey::Accept => {
                    self.acceptor.paused = false;
                    self.want_places_no_more();
                }
                DueKey::HalfFrame(conn) => self.expire_half_frame(conn, now),
                DueKey::Stuck(conn) => self.expire_stuck(conn, now),
                DueKey::Linger(conn) => self.finish(conn),
            }
        }
        while let Some(conn) = self.idle.pop_due(now) {
            self.expire_idle(conn, now);
        }
    }

    /// The idle deadline is set once and looks at the last activity when it passes.
    fn expire_idle(&mut self, conn: ConnId, now: Mono) {
        let Some(connection) = self.connections.get(conn) else {
            return;
        };
        let timeout = self.options.idle_timeout;
        let due = connection.active + timeout;
        if due > now {
            self.idle.set(conn, due);
        } else if connection.is_idle() {
            self.close(conn, CloseReason::Idle);
        } else {
            self.idle.set(conn, now + timeout);
        }
    }

    /// A half-read frame must move, and after its first span at a certain speed.
    fn expire_half_frame(&mut self, conn: ConnId, now: Mono) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        let timeout = self.options.half_frame_timeout;
        let (mark, current) = (connection.half, connection.mark_of_input());
        let whole = u64::try_from(connection.inbox.body_bytes()).unwrap_or(u64::MAX);
        let speed = HALF_FRAME_BYTES_PER_SECOND.max(whole / FRAME_SECONDS_MAX);
        let least = if mark.again { timeout.as_secs() * speed } else { 1 };
        let is_another = current.frames != mark.frames;
        if is_another || current.bytes - mark.bytes >= least.max(1) {
            connection.half = Mark { again: !is_another, ..current };
            self.deadlines.set(DueKey::HalfFrame(conn), now + timeout);
        } else {
            self.close(conn, CloseReason::HalfFrame);
        }
    }

    /// Bytes must move out, unless it is we who wait, for the disk. The kernel reports a socket writable only
    /// when a third of its buffer is free, which a slow link may take minutes for: a last try to write tells
    /// slow from stuck.
    fn expire_stuck(&mut self, conn: ConnId, now: Mono) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        if connection.outbox.is_cold() {
            connection.moved = now;
        }
        let due = connection.moved + self.options.stuck_timeout;
        if due > now {
            self.deadlines.set(DueKey::Stuck(conn), due);
            return;
        }
        let before = connection.outbox.total;
        connection.ready.writable = true;
        self.flush_one(conn, now);
        match self.connections.get_mut(conn) {
            Some(connection) if connection.outbox.total != before => {}
            Some(connection) if connection.outbox.is_cold() => {
                connection.is_last_try = true;
                self.deadlines.set(DueKey::Stuck(conn), now + self.options.stuck_timeout);
            }
            Some(_) => self.close(conn, CloseReason::StuckOutbox),
            None => {}
        }
    }
}

impl Connection {
    /// How far its input has come.
    pub(super) fn mark_of_input(&self) -> Mark {
        Mark { bytes: self.bytes_in, frames: self.frames, again: false }
    }
}
