//! Who waits for what, and until when. It knows keys, tickets and deadlines, and nothing about fetch or join.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::deadlines::Deadlines;
use crate::base::ids::Ticket;
use crate::base::time::Mono;

/// Tickets that wait for a change of any of several keys, or for their deadline.
#[derive(Debug)]
pub struct Waiters<K> {
    by_key: BTreeMap<K, BTreeSet<Ticket>>,
    keys: BTreeMap<Ticket, Vec<K>>,
    deadlines: Deadlines<Ticket>,
}

impl<K: Ord + Copy> Default for Waiters<K> {
    fn default() -> Self {
        Waiters { by_key: BTreeMap::new(), keys: BTreeMap::new(), deadlines: Deadlines::default() }
    }
}

impl<K: Ord + Copy> Waiters<K> {
    /// `ticket` waits for a change of one of `keys`, and no longer than until `deadline`.
    pub fn park(&mut self, ticket: Ticket, keys: Vec<K>, deadline: Mono) {
        self.leave(ticket);
        for key in &keys {
            self.by_key.entry(*key).or_default().insert(ticket);
        }
        self.keys.insert(ticket, keys);
        self.deadlines.set(ticket, deadline);
    }

    /// `ticket` waits no more.
    pub fn leave(&mut self, ticket: Ticket) {
        for key in self.keys.remove(&ticket).unwrap_or_default() {
            if let Some(tickets) = self.by_key.get_mut(&key) {
                tickets.remove(&ticket);
                if tickets.is_empty() {
                    self.by_key.remove(&key);
                }
            }
        }
        self.deadlines.remove(ticket);
    }

    /// Who waits for a change of `key`. They go on waiting.
    pub fn waiting_for(&self, key: K) -> impl Iterator<Item = Ticket> + '_ {
        self.by_key.get(&key).into_iter().flatten().copied()
    }

    /// Takes one whose time has come.
    pub fn pop_due(&mut self, now: Mono) -> Option<Ticket> {
        let ticket = self.deadlines.pop_due(now)?;
        self.leave(ticket);
        Some(ticket)
    }

    /// The nearest deadline.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.deadlines.next()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_leaves_every_key_it_waited_for() {
        let mut waiters = Waiters::default();
        waiters.park(Ticket(1), vec!['a', 'b'], Mono(10));
        waiters.park(Ticket(2), vec!['b'], Mono(20));
        assert_eq!(waiters.waiting_for('b').collect::<Vec<_>>(), [Ticket(1), Ticket(2)]);
        assert_eq!(waiters.pop_due(Mono(10)), Some(Ticket(1)));
        assert_eq!(waiters.waiting_for('b').collect::<Vec<_>>(), [Ticket(2)]);
        assert_eq!(waiters.waiting_for('a').count(), 0);
        waiters.leave(Ticket(2));
        assert!(waiters.is_empty() && waiters.next_deadline().is_none());
    }
}
