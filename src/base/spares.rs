//! Buffers that are used again. A page that the kernel has yet to give costs as much as copying it full: what one large
//! frame has used, the next one gets.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::memory::Lease;

/// How much larger than wanted a buffer may be, in bytes, without its being paid for.
pub const SLACK_BYTES: usize = 8192;

/// Buffers that nobody uses, as many as fit into a budget of their own. Whoever takes one pays for its size with the lease
/// that covers the content; whoever is done with it may be any thread.
#[derive(Debug)]
pub struct Spares {
    bytes_max: usize,
    shelf: Mutex<Shelf>,
}

/// The newest last: its pages are in the processor's caches.
#[derive(Debug, Default)]
struct Shelf {
    buffers: VecDeque<Vec<u8>>,
    /// Bytes of all of them.
    bytes: usize,
}

impl Spares {
    /// Keeps at most `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Arc<Spares> {
        Arc::new(Spares { bytes_max, shelf: Mutex::default() })
    }

    /// A buffer of at least `bytes` initialized bytes, whatever they are, and at most twice as many. `lease` grows if it
    /// has to.
    #[must_use]
    pub fn take(&self, bytes: usize, lease: &mut Lease) -> Option<Vec<u8>> {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |buffer: &Vec<u8>| buffer.len() >= bytes && buffer.len() / 2 <= bytes;
        let place = shelf.buffers.iter().rposition(fits)?;
        let size = shelf.buffers.get(place)?.len();
        let excess = size.saturating_sub(lease.bytes().saturating_add(SLACK_BYTES));
        if !lease.grow(excess) {
            return None;
        }
        shelf.bytes -= size;
        shelf.buffers.remove(place)
    }

    /// Keeps a buffer for the next one. Those that nobody wanted for longest make room for it.
    pub(super) fn put(&self, buffer: Vec<u8>) {
        let size = buffer.len();
        // What leaves is freed behind the lock.
        let mut leaving = Vec::new();
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        if size == 0 || size > self.bytes_max {
            return;
        }
        while shelf.bytes + size > self.bytes_max {
            let Some(oldest) = shelf.buffers.pop_front() else { break };
            shelf.bytes -= oldest.len();
            leaving.push(oldest);
        }
        shelf.bytes += size;
        shelf.buffers.push_back(buffer);
        drop(shelf);
    }

    /// Bytes of the buffers that nobody uses.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::memory::Pool;

    #[test]
    fn a_buffer_comes_back_to_who_needs_about_as_much_and_pays_for_it() {
        let (pool, spares) = (Pool::new("test", 140_000), Spares::new(300_000));
        spares.put(vec![1; 150_000]);
        spares.put(vec![2; 100_000]);
        let mut lease = pool.reserve(90_000).unwrap();
        assert!(spares.take(100_001, &mut lease).is_none(), "beyond the budget");
        assert!(spares.take(40_000, &mut lease).is_none(), "wasteful");
        assert_eq!(spares.take(90_000, &mut lease).unwrap().len(), 100_000);
        assert_eq!((lease.bytes(), spares.bytes()), (100_000 - SLACK_BYTES, 150_000));
        drop(lease);
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn what_is_kept_stays_within_its_budget() {
        let (pool, spares) = (Pool::new("test", 1000), Spares::new(100));
        for fill in 0..5 {
            spares.put(vec![fill; 40]);
            assert!(spares.bytes() <= 100);
        }
        spares.put(vec![9; 101]);
        let mut lease = pool.reserve(40).unwrap();
        let newest = spares.take(40, &mut lease).unwrap();
        assert_eq!((newest[0], spares.bytes()), (4, 40));
    }
}
