//! A queue with several takers: what is put in wakes one of them, and nobody else.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::files::lock;

/// The end where things are put in.
#[derive(Debug)]
pub(super) struct Giver<T>(Arc<Shared<T>>);

/// The end where they are taken out, in the same order.
#[derive(Debug)]
pub(super) struct Taker<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    things: VecDeque<T>,
    givers: usize,
    /// How many takers sleep.
    asleep: usize,
}

/// An empty queue.
pub(super) fn queue<T>() -> (Giver<T>, Taker<T>) {
    let state = State { things: VecDeque::new(), givers: 1, asleep: 0 };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
    (Giver(Arc::clone(&shared)), Taker(shared))
}

impl<T> Giver<T> {
    /// Puts something in.
    pub(super) fn put(&self, thing: T) {
        let mut state = lock(&self.0.state);
        state.things.push_back(thing);
        let is_awaited = state.asleep > 0;
        drop(state);
        if is_awaited {
            self.0.changed.notify_one();
        }
    }
}

impl<T> Clone for Giver<T> {
    fn clone(&self) -> Giver<T> {
        lock(&self.0.state).givers += 1;
        Giver(Arc::clone(&self.0))
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        lock(&self.0.state).givers -= 1;
        self.0.changed.notify_all();
    }
}

impl<T> Taker<T> {
    /// Waits for something. `None`: nothing will come any more.
    pub(super) fn take(&self) -> Option<T> {
        let mut state = lock(&self.0.state);
        loop {
            if let Some(thing) = state.things.pop_front() {
                return Some(thing);
            }
            if state.givers == 0 {
                return None;
            }
            state.asleep += 1;
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.asleep -= 1;
        }
    }

    /// What is there now.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn take_all(&self) -> VecDeque<T> {
        std::mem::take(&mut lock(&self.0.state).things)
    }
}

impl<T> Clone for Taker<T> {
    fn clone(&self) -> Taker<T> {
        Taker(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_taken_once_and_then_everybody_is_sent_home() {
        let (giver, taker) = queue();
        let takers: Vec<_> = (0..3)
            .map(|_| {
                let taker = taker.clone();
                std::thread::spawn(move || std::iter::from_fn(|| taker.take()).sum::<u64>())
            })
            .collect();
        let other = giver.clone();
        (1..=500).for_each(|n| giver.put(n));
        drop(giver);
        (501..=1000).for_each(|n| other.put(n));
        drop(other);
        let taken: u64 = takers.into_iter().map(|taker| taker.join().unwrap()).sum();
        assert_eq!(taken, 500_500);
        assert!(taker.take().is_none() && taker.take_all().is_empty());
    }
}
