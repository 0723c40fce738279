//! An ordered set of deadlines: what the loop sleeps until.

use std::collections::{BTreeMap, BTreeSet};

use super::time::Mono;

/// At most one deadline per key, ordered by time. What finishes removes its own.
#[derive(Debug)]
pub struct Deadlines<K> {
    ordered: BTreeSet<(Mono, K)>,
    by_key: BTreeMap<K, Mono>,
}

impl<K: Ord + Copy> Default for Deadlines<K> {
    fn default() -> Self {
        Deadlines { ordered: BTreeSet::new(), by_key: BTreeMap::new() }
    }
}

impl<K: Ord + Copy> Deadlines<K> {
    /// Sets or moves the deadline of `key`.
    pub fn set(&mut self, key: K, at: Mono) {
        if let Some(old) = self.by_key.insert(key, at) {
            self.ordered.remove(&(old, key));
        }
        self.ordered.insert((at, key));
    }

    /// Forgets the deadline of `key`, if it has one.
    pub fn remove(&mut self, key: K) {
        if let Some(old) = self.by_key.remove(&key) {
            self.ordered.remove(&(old, key));
        }
    }

    /// The deadline of `key`.
    #[must_use]
    pub fn get(&self, key: K) -> Option<Mono> {
        self.by_key.get(&key).copied()
    }

    /// The nearest deadline. `None`: nothing waits, and the loop may sleep for ever.
    #[must_use]
    pub fn next(&self) -> Option<Mono> {
        self.ordered.first().map(|(at, _)| *at)
    }

    /// Takes one key whose time has come.
    pub fn pop_due(&mut self, now: Mono) -> Option<K> {
        let (at, key) = *self.ordered.first()?;
        if at > now {
            return None;
        }
        self.ordered.pop_first();
        self.by_key.remove(&key);
        Some(key)
    }

    /// How many things wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_deadline_leaves_one() {
        let mut deadlines = Deadlines::default();
        deadlines.set(1, Mono(10));
        deadlines.set(2, Mono(20));
        deadlines.set(1, Mono(30));
        assert_eq!((deadlines.len(), deadlines.next()), (2, Some(Mono(20))));
        assert_eq!(deadlines.pop_due(Mono(19)), None);
        assert_eq!(deadlines.pop_due(Mono(25)), Some(2));
        deadlines.remove(1);
        assert_eq!((deadlines.is_empty(), deadlines.next()), (true, None));
    }
}
