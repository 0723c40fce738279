//! A queue between threads: who sleeps is woken once for all that is put in together. Several takers may share it. Takers
//! learn that no giver is left; givers do not learn that no taker is, and what they put in then stays until they go, too.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
        self.put_all(std::iter::once(thing));
    }

    /// Puts several things in, one behind the other.
    pub(super) fn put_all(&self, new: impl IntoIterator<Item = T>) {
        let mut state = lock(&self.0.state);
        let before = state.things.len();
        state.things.extend(new);
        let awaited = (state.things.len() - before).min(state.asleep);
        drop(state);
        for _ in 0..awaited {
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
    /// Another end where things are put in.
    pub(super) fn giver(&self) -> Giver<T> {
        lock(&self.0.state).givers += 1;
        Giver(Arc::clone(&self.0))
    }

    /// Waits for something. `None`: nothing will come any more.
    pub(super) fn take(&self) -> Option<T> {
        self.wait(None).things.pop_front()
    }

    /// Waits for something, or for so long, and moves all that is there to `taken`, which is empty. `false`: nothing will
    /// come any more.
    pub(super) fn take_all(&self, taken: &mut VecDeque<T>, timeout: Option<Duration>) -> bool {
        let mut state = self.wait(timeout);
        std::mem::swap(&mut state.things, taken);
        !taken.is_empty() || state.givers > 0
    }

    /// What is there now, one after the other. After the last it may go on, if there is more by then.
    pub(super) fn all_now(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| lock(&self.0.state).things.pop_front())
    }

    /// Waits until there is something, or nobody who could give it, or for so long.
    fn wait(&self, timeout: Option<Duration>) -> MutexGuard<'_, State<T>> {
        let is_empty = |state: &mut State<T>| state.things.is_empty() && state.givers > 0;
        let mut state = lock(&self.0.state);
        state.asleep += 1;
        let changed = &self.0.changed;
        let mut state = match timeout {
            None => changed.wait_while(state, is_empty).unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                let waited = changed.wait_timeout_while(state, timeout, is_empty);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.asleep -= 1;
        state
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
        assert!(taker.take().is_none());
        assert!(!taker.take_all(&mut VecDeque::new(), None));
    }

    #[test]
    fn what_is_put_in_together_is_taken_together() {
        let (giver, taker) = queue();
        let mut taken = VecDeque::new();
        let soon = Some(Duration::from_millis(1));
        assert!(taker.take_all(&mut taken, soon) && taken.is_empty());
        let sleeper = std::thread::spawn(move || {
            let mut groups = Vec::new();
            while taker.take_all(&mut taken, None) {
                groups.push(taken.drain(..).collect::<Vec<u32>>());
            }
            groups
        });
        giver.put_all(1..=100);
        giver.put_all([]);
        drop(giver);
        assert_eq!(sleeper.join().unwrap(), [(1..=100).collect::<Vec<u32>>()]);
    }
}
