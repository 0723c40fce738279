//! The one queue through which all storage threads report, and the bell that says so.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::files::lock;
use super::job::Outcome;

/// Outcomes for which there stays room.
const KEPT: usize = 1024;

/// Called, from any storage thread, when outcomes are ready to be taken.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Outcomes that nobody has taken yet.
pub(super) struct Outcomes {
    queue: Mutex<Queue>,
    ready: Condvar,
    wake: Wake,
}

#[derive(Default)]
struct Queue {
    outcomes: Vec<Outcome>,
    /// Whether the bell was rung since they were last taken: once is enough.
    is_rung: bool,
    /// How many wait on `ready`.
    waiting: usize,
}

impl std::fmt::Debug for Outcomes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outcomes({})", lock(&self.queue).outcomes.len())
    }
}

impl Outcomes {
    pub(super) fn new(wake: Wake) -> Arc<Outcomes> {
        Arc::new(Outcomes { queue: Mutex::default(), ready: Condvar::new(), wake })
    }

    /// Reports; rings once, unless `quiet` because something that rings is sure to follow.
    pub(super) fn report(&self, outcomes: impl IntoIterator<Item = Outcome>, quiet: bool) {
        let mut queue = lock(&self.queue);
        let before = queue.outcomes.len();
        queue.outcomes.extend(outcomes);
        if quiet || queue.outcomes.len() == before {
            return;
        }
        let (is_rung, waiting) = (std::mem::replace(&mut queue.is_rung, true), queue.waiting);
        drop(queue);
        if waiting > 0 {
            self.ready.notify_all();
        }
        if !is_rung {
            (self.wake)();
        }
    }

    /// Moves all outcomes to the end of `taken`.
    pub(super) fn take(&self, taken: &mut Vec<Outcome>) {
        let mut queue = lock(&self.queue);
        queue.is_rung = false;
        if taken.is_empty() {
            // Nothing is copied; the room that a burst took does not stay.
            std::mem::swap(taken, &mut queue.outcomes);
            queue.outcomes.shrink_to(KEPT);
        } else {
            taken.append(&mut queue.outcomes);
        }
    }

    /// Waits until there is an outcome, or for so long.
    pub(super) fn wait(&self, timeout: Duration) {
        let mut queue = lock(&self.queue);
        queue.waiting += 1;
        let is_empty = |queue: &mut Queue| queue.outcomes.is_empty();
        let waited = self.ready.wait_timeout_while(queue, timeout, is_empty);
        waited.unwrap_or_else(PoisonError::into_inner).0.waiting -= 1;
    }
}
