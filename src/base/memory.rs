//! Memory budgets: a pool of bytes from which leases are taken and to which they return by being dropped.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// A budget of bytes, shared by the loop and the workers.
///
/// A lease may end on any thread. Whoever was refused is told through the pool's waker when room returns.
pub struct Pool {
    name: &'static str,
    limit: usize,
    used: AtomicUsize,
    starved: AtomicBool,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({} {}/{})", self.name, self.used(), self.limit)
    }
}

impl Pool {
    /// A pool of `limit` bytes.
    #[must_use]
    pub fn new(name: &'static str, limit: usize) -> Arc<Pool> {
        Arc::new(Pool {
            name,
            limit,
            used: AtomicUsize::new(0),
            starved: AtomicBool::new(false),
            wake: OnceLock::new(),
        })
    }

    /// What to call, from any thread, when bytes come back after a refusal. Set once.
    pub fn on_room(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _ = self.wake.set(Box::new(wake));
    }

    /// Takes `bytes` from the budget, or nothing. A refusal is remembered until something returns.
    pub fn reserve(self: &Arc<Pool>, bytes: usize) -> Option<Lease> {
        if let Some(lease) = self.try_reserve(bytes) {
            return Some(lease);
        }
        self.starved.store(true, Ordering::SeqCst);
        // Something may have returned between the look and the flag.
        self.try_reserve(bytes)
    }

    fn try_reserve(self: &Arc<Pool>, bytes: usize) -> Option<Lease> {
        self.try_take(bytes).then(|| Lease { pool: Arc::clone(self), bytes })
    }

    fn try_take(&self, bytes: usize) -> bool {
        let grown = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, grown).is_ok()
    }

    /// Takes `bytes` even beyond the limit: for what must not be refused, and is bounded elsewhere.
    pub fn reserve_anyway(self: &Arc<Pool>, bytes: usize) -> Lease {
        self.used.fetch_add(bytes, Ordering::SeqCst);
        Lease { pool: Arc::clone(self), bytes }
    }

    /// The pool's name, as metrics show it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The whole budget in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The bytes now out on lease.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }
}

/// Bytes taken from a [`Pool`]; dropping it gives them back.
#[derive(Debug)]
pub struct Lease {
    pool: Arc<Pool>,
    bytes: usize,
}

impl Lease {
    /// How many bytes are held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes `bytes` more, if the budget has them. Nobody is told when it has.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let grown = bytes == 0 || self.pool.try_take(bytes);
        self.bytes += if grown { bytes } else { 0 };
        grown
    }

    /// Takes `bytes` of this lease into one of its own. `None`, and nothing changed, if it holds fewer.
    #[must_use]
    pub fn split(&mut self, bytes: usize) -> Option<Lease> {
        self.bytes = self.bytes.checked_sub(bytes)?;
        Some(Lease { pool: Arc::clone(&self.pool), bytes })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.used.fetch_sub(self.bytes, Ordering::SeqCst);
        if self.pool.starved.swap(false, Ordering::SeqCst) {
            if let Some(wake) = self.pool.wake.get() {
                wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_reservation_is_told_when_room_returns() {
        let pool = Pool::new("test", 100);
        let woken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&woken);
        pool.on_room(move || {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        let first = pool.reserve(60);
        assert!(first.is_some());
        drop(pool.reserve(10));
        assert_eq!(woken.load(Ordering::SeqCst), 0);
        assert!(pool.reserve(50).is_none());
        drop(first);
        assert_eq!((woken.load(Ordering::SeqCst), pool.used()), (1, 0));
    }

    #[test]
    fn a_split_lease_returns_each_part_once() {
        let pool = Pool::new("test", 100);
        let mut whole = pool.reserve(60).unwrap();
        let part = whole.split(45).unwrap();
        assert!(whole.split(16).is_none());
        assert_eq!((part.bytes(), whole.bytes(), pool.used()), (45, 15, 60));
        drop(part);
        assert_eq!(pool.used(), 15);
        drop(whole);
        assert_eq!(pool.used(), 0);
    }
}
