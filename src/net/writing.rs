//! Output: replies queue during the turn and leave once, at its end.

use std::io;

use super::connection::{Gate, State};
use super::event::NetEvent;
use super::outbox::Flushed;
use super::reactor::{DueKey, Reactor};
use super::reason::CloseReason;
use crate::base::ids::ConnId;
use crate::base::payload::{Bytes, Payload};
use crate::base::time::Mono;

impl Reactor {
    /// Queues a reply. It leaves with the next flush, behind what was queued before. After
    /// `close_when_flushed` it is dropped.
    pub fn send(&mut self, conn: ConnId, parts: impl IntoIterator<Item = Payload>) {
        let Some(connection) = self.connections.get_mut(conn).filter(|c| c.is_serving()) else {
            return;
        };
        let before = connection.outbox.memory();
        self.outbox_rooms.lend(connection.outbox.room());
        for part in parts {
            connection.outbox.push(part);
        }
        self.outboxes_memory += connection.outbox.memory() - before;
        if connection.outbox.len() > self.options.outbox_bytes_max {
            connection.gates.close(Gate::Outbox);
            self.deadlines.remove(DueKey::HalfFrame(conn));
        }
        self.look_at_outbox(conn);
    }

    /// Whether more is queued for the connection than its limit; [`NetEvent::OutboxDrained`] says when half
    /// of that is left.
    #[must_use]
    pub fn is_outbox_full(&self, conn: ConnId) -> bool {
        self.connections.get(conn).is_some_and(|c| c.gates.is_closed(Gate::Outbox))
    }

    /// The answer to [`NetEvent::Cold`]: the first bytes of the range, at least one, or why there are none,
    /// which closes the connection.
    pub fn warmed(&mut self, conn: ConnId, result: io::Result<Bytes>) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        let placed = match result {
            Ok(bytes) => connection.outbox.warmed(bytes),
            Err(error) => Err(CloseReason::File(error.to_string())),
        };
        match placed {
            Ok(()) => self.look_at_outbox(conn),
            Err(reason) => self.close(conn, reason),
        }
    }

    /// Writes every outbox that has something to write, once.
    pub fn flush(&mut self, now: Mono) {
        let mut queue = std::mem::take(&mut self.flush_queue);
        for conn in queue.drain(..) {
            if let Some(connection) = self.connections.get_mut(conn) {
                connection.queued.flush = false;
                self.flush_one(conn, now);
            }
        }
        if self.flush_queue.is_empty() {
            // Keeps the allocation.
            self.flush_queue = queue;
        }
        self.relieve();
    }

    /// Closes those who leave most unread while all outboxes together take too much memory. After a flush: what the
    /// kernel takes, nobody is blamed for.
    fn relieve(&mut self) {
        while self.outboxes_memory > self.options.outboxes_bytes_max {
            let largest = self.connections.iter().max_by_key(|c| c.outbox.memory());
            let Some(conn) = largest.map(|connection| connection.id) else { return };
            self.close(conn, CloseReason::OutboxesFull);
        }
    }

    pub(super) fn flush_one(&mut self, conn: ConnId, now: Mono) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        if connection.is_due() {
            let (before, uncopied) = (connection.outbox.total, connection.outbox.uncopied);
            let memory = connection.outbox.memory();
            let result = connection.outbox.flush(&mut connection.stream, &mut self.file_buffer);
            self.outbox_rooms.reclaim(connection.outbox.room());
            self.outboxes_memory -= memory - connection.outbox.memory();
            let written = connection.outbox.total - before;
            self.stats.bytes_uncopied += connection.outbox.uncopied - uncopied;
            if written > 0 {
                connection.active = now;
                connection.moved = now;
                connection.is_last_try = false;
                if connection.inbox.is_framed() {
                    self.stats.bytes_out += written;
                }
            }
            match result {
                Err(reason) => return self.close(conn, reason),
                Ok(Flushed::Blocked) if std::mem::take(&mut connection.is_last_try) => {
                    return self.close(conn, CloseReason::StuckOutbox);
                }
                Ok(Flushed::Blocked) => connection.ready.writable = false,
                Ok(Flushed::Cold(range)) => {
                    self.stats.cold_reads += 1;
                    self.events.push_back(NetEvent::Cold { conn, range });
                }
                Ok(Flushed::Empty | Flushed::Budget) => {}
            }
        }
        self.reopen_outbox(conn);
        self.time_outbox(conn, now);
        self.linger_if_flushed(conn, now);
        self.wake(conn);
    }

    /// Opens the outbox gate when half of the limit is left.
    fn reopen_outbox(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        let is_low = connection.outbox.len() <= self.options.outbox_bytes_max / 2;
        if is_low && connection.gates.is_closed(Gate::Outbox) {
            self.events.push_back(NetEvent::OutboxDrained { conn });
            self.resume(conn, Gate::Outbox);
        }
    }

    /// Sets or removes the deadline of bytes that the peer does not take.
    fn time_outbox(&mut self, conn: ConnId, now: Mono) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        let key = DueKey::Stuck(conn);
        if connection.outbox.is_empty() {
            self.deadlines.remove(key);
        } else if self.deadlines.get(key).is_none() {
            connection.moved = now;
            self.deadlines.set(key, now + self.options.stuck_timeout);
        }
    }

    /// When the last word is sent: says so to the peer, and waits for its FIN unless that has been read.
    fn linger_if_flushed(&mut self, conn: ConnId, now: Mono) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        let State::Flushing(reason) = &connection.state else {
            return;
        };
        if !connection.outbox.is_empty() {
            return;
        }
        let reason = reason.clone();
        let ended = connection.told_drained;
        if ended || connection.stream.shutdown(std::net::Shutdown::Write).is_err() {
            return self.close(conn, reason);
        }
        connection.state = State::Lingering(reason);
        self.deadlines.set(DueKey::Linger(conn), now + self.options.linger_timeout);
    }
}
