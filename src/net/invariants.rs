//! What must hold between any two calls, checked by tests after every step.

use std::collections::BTreeMap;

use super::connection::{Connection, Gate, State};
use super::reactor::{DueKey, Reactor};

impl Reactor {
    /// Checks that no wake-up is lost, no deadline forgotten and no count wrong.
    ///
    /// # Errors
    /// The first thing found to be wrong.
    pub fn check_invariants(&self) -> Result<(), String> {
        let mut by_address = BTreeMap::new();
        for connection in self.connections.iter() {
            *by_address.entry(connection.peer.ip().to_canonical()).or_insert(0) += 1;
            self.check_connection(connection)
                .map_err(|what| format!("{} {:?}: {what}", connection.id, connection.state))?;
        }
        if by_address != self.acceptor.by_address {
            return Err(format!("addresses {by_address:?} != {:?}", self.acceptor.by_address));
        }
        if self.idle.len() != self.connections.len() {
            return Err(format!("{} idle deadlines", self.idle.len()));
        }
        let memory: usize = self.connections.iter().map(|c| c.outbox.memory()).sum();
        if memory != self.outboxes_memory {
            return Err(format!("outboxes count {}, hold {memory}", self.outboxes_memory));
        }
        let rests = self.acceptor.paused || self.acceptor.wants_places;
        if rests != self.deadlines.get(DueKey::Accept).is_some() {
            return Err(String::from("accepting rests without a deadline, or the reverse"));
        }
        Ok(())
    }

    fn check_connection(&self, connection: &Connection) -> Result<(), String> {
        let queued = connection.queued;
        let in_run = self.run_queue.iter().filter(|conn| **conn == connection.id).count();
        let in_flush = self.flush_queue.iter().filter(|conn| **conn == connection.id).count();
        let claims = [
            (in_run == usize::from(queued.run), "its place in the run queue"),
            (in_flush == usize::from(queued.flush), "its place in the flush queue"),
            (!connection.is_runnable() || queued.run || queued.in_turn, "a lost wake-up"),
            (!connection.is_due() || queued.flush, "a lost flush"),
            (!(queued.run && queued.in_turn), "queued in its own turn"),
        ];
        for (holds, what) in claims {
            if !holds {
                return Err(String::from(what));
            }
        }
        connection.outbox.check()?;
        self.check_gates(connection)?;
        if !queued.in_turn && !queued.run {
            connection.inbox.check()?;
        }
        self.check_deadlines(connection)
    }

    fn check_gates(&self, connection: &Connection) -> Result<(), String> {
        let waits = self.small.is_waiting(connection.id) || self.large.is_waiting(connection.id);
        if waits != (connection.gates.is_closed(Gate::Memory) && connection.is_serving()) {
            return Err(format!("in a queue for memory: {waits}"));
        }
        let low = connection.outbox.len() <= self.options.outbox_bytes_max / 2;
        if connection.gates.is_closed(Gate::Outbox) && low && !connection.queued.flush {
            return Err(String::from("the outbox has drained and its gate is closed"));
        }
        Ok(())
    }

    fn check_deadlines(&self, connection: &Connection) -> Result<(), String> {
        let conn = connection.id;
        let queued = connection.queued;
        let has = |key: DueKey| self.deadlines.get(key).is_some();
        if self.idle.get(conn).is_none() {
            return Err(String::from("no idle deadline"));
        }
        let between_turns = !queued.run && !queued.in_turn;
        if between_turns && has(DueKey::HalfFrame(conn)) != connection.is_half_read() {
            return Err(format!("half read: {}, and its deadline", connection.is_half_read()));
        }
        if !queued.flush && has(DueKey::Stuck(conn)) == connection.outbox.is_empty() {
            return Err(String::from("unsent bytes without a deadline, or the reverse"));
        }
        if has(DueKey::Linger(conn)) != matches!(connection.state, State::Lingering(_)) {
            return Err(String::from("lingering without a deadline, or the reverse"));
        }
        Ok(())
    }
}
