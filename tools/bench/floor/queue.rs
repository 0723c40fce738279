//! Queues between threads: the one that waits is woken once for all that it will find.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::event::EventfdFlags;

/// A queue for a thread that does nothing but wait for it.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

struct State<T> {
    items: Vec<T>,
    /// Whether the thread sleeps: only then it costs a system call to tell it.
    asleep: bool,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Arc<Queue<T>> {
        let state = State { items: Vec::new(), asleep: false };
        Arc::new(Queue { state: Mutex::new(state), filled: Condvar::new() })
    }

    /// Moves all of `items` here.
    pub(super) fn append(&self, items: &mut Vec<T>) {
        let mut state = lock(&self.state);
        state.items.append(items);
        let wake = std::mem::take(&mut state.asleep);
        drop(state);
        if wake {
            self.filled.notify_one();
        }
    }

    /// Waits until there is something, and moves all of it to `items`, which is empty.
    pub(super) fn take(&self, items: &mut Vec<T>) {
        let mut state = lock(&self.state);
        while state.items.is_empty() {
            state.asleep = true;
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.asleep = false;
        std::mem::swap(&mut state.items, items);
    }
}

/// What the thread of the sockets waits for beside them.
#[derive(Clone)]
pub(super) struct Waker(Arc<OwnedFd>);

impl Waker {
    pub(super) fn new() -> io::Result<Waker> {
        Ok(Waker(Arc::new(rustix::event::eventfd(
            0,
            EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
        )?)))
    }

    fn wake(&self) {
        // A counter at its maximum has been noticed long ago.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A queue for the thread of the sockets.
pub(super) struct Outcomes<T> {
    items: Mutex<Vec<T>>,
    waker: Waker,
}

impl<T> Outcomes<T> {
    pub(super) fn new(waker: &Waker) -> Arc<Outcomes<T>> {
        Arc::new(Outcomes { items: Mutex::new(Vec::new()), waker: waker.clone() })
    }

    /// Moves all of `items` here. What is here already has woken the reader.
    pub(super) fn append(&self, items: &mut Vec<T>) {
        let mut all = lock(&self.items);
        let wake = all.is_empty() && !items.is_empty();
        all.append(items);
        drop(all);
        if wake {
            self.waker.wake();
        }
    }

    /// Moves all to `items`, which is empty.
    pub(super) fn take(&self, items: &mut Vec<T>) {
        std::mem::swap(&mut *lock(&self.items), items);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
