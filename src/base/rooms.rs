//! Room for queues that are empty most of the time. An idle connection's queues have none, so that ten thousand of them
//! take little; those that are busy would otherwise ask the allocator for it with every request.

use std::collections::VecDeque;

/// Rooms that are kept, and the most elements that one of them may have room for.
const ROOMS_MAX: usize = 64;
const ELEMENTS_MAX: usize = 16;

/// The rooms of queues that have become empty, for those that fill next.
#[derive(Debug)]
pub struct Rooms<T> {
    free: Vec<VecDeque<T>>,
}

impl<T> Default for Rooms<T> {
    fn default() -> Rooms<T> {
        Rooms { free: Vec::new() }
    }
}

impl<T> Rooms<T> {
    /// For a queue that is about to grow: gives it a room if it has none.
    pub fn lend(&mut self, queue: &mut VecDeque<T>) {
        if queue.capacity() == 0 {
            *queue = self.free.pop().unwrap_or_default();
        }
    }

    /// For a queue that may have become empty: then it has no room any more.
    pub fn reclaim(&mut self, queue: &mut VecDeque<T>) {
        if !queue.is_empty() {
            return;
        }
        let room = std::mem::take(queue);
        if (1..=ELEMENTS_MAX).contains(&room.capacity()) && self.free.len() < ROOMS_MAX {
            self.free.push(room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_queue_leaves_the_next_one_gets() {
        let mut rooms = Rooms::default();
        let mut queue = VecDeque::from([1, 2]);
        rooms.reclaim(&mut queue);
        assert_eq!(queue, [1, 2]);
        queue.clear();
        let capacity = queue.capacity();
        rooms.reclaim(&mut queue);
        assert_eq!(queue.capacity(), 0);
        let mut other = VecDeque::new();
        rooms.lend(&mut other);
        assert_eq!((other.capacity(), other.len()), (capacity, 0));
    }

    #[test]
    fn few_are_kept_and_none_that_is_large() {
        let mut rooms = Rooms::default();
        rooms.reclaim(&mut VecDeque::<u8>::new());
        rooms.reclaim(&mut VecDeque::with_capacity(ELEMENTS_MAX + 1));
        assert!(rooms.free.is_empty());
        for _ in 0..100 {
            rooms.reclaim(&mut VecDeque::with_capacity(4));
        }
        assert_eq!(rooms.free.len(), ROOMS_MAX);
    }
}
