//! Who may take memory for a frame, and who waits for it, in order of arrival.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::ids::ConnId;
use crate::base::memory::{Lease, Pool};

/// A memory pool with a queue: nobody overtakes, so a large need is met in the end.
#[derive(Debug)]
pub(super) struct Admission {
    pool: Arc<Pool>,
    waiting: VecDeque<(ConnId, usize)>,
}

impl Admission {
    pub(super) fn new(pool: Arc<Pool>) -> Admission {
        Admission { pool, waiting: VecDeque::new() }
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Takes `bytes`, or puts `conn` at the end of the queue.
    pub(super) fn take(&mut self, conn: ConnId, bytes: usize) -> Option<Lease> {
        // More than the whole pool could never be granted.
        let bytes = bytes.min(self.pool.limit());
        let lease = if self.waiting.is_empty() { self.pool.reserve(bytes) } else { None };
        if lease.is_none() {
            self.waiting.push_back((conn, bytes));
        }
        lease
    }

    /// Grants the first in the queue what it waits for, if there is room now.
    pub(super) fn grant(&mut self) -> Option<(ConnId, Lease)> {
        let (conn, bytes) = *self.waiting.front()?;
        let lease = self.pool.reserve(bytes)?;
        self.waiting.pop_front();
        Some((conn, lease))
    }

    /// Takes `conn` out of the queue.
    pub(super) fn forget(&mut self, conn: ConnId) {
        self.waiting.retain(|(waiting, _)| *waiting != conn);
    }

    pub(super) fn is_waiting(&self, conn: ConnId) -> bool {
        self.waiting.iter().any(|(waiting, _)| *waiting == conn)
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether another read may begin: the pool is not used up and nobody waits for it.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.is_empty() && self.pool.used() < self.pool.limit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_need_does_not_overtake_a_large_one() {
        let conn = |slot| ConnId { slot, generation: 0 };
        let mut admission = Admission::new(Pool::new("test", 100));
        let first = admission.take(conn(1), 60);
        assert!(first.is_some());
        assert!(admission.take(conn(2), 500).is_none());
        assert!(admission.take(conn(3), 10).is_none());
        assert!(admission.grant().is_none());
        drop(first);
        let (granted, lease) = admission.grant().unwrap();
        assert_eq!((granted, lease.bytes()), (conn(2), 100));
        assert!(admission.grant().is_none());
        drop(lease);
        admission.forget(conn(3));
        assert!(admission.grant().is_none() && admission.has_room());
    }
}
