//! The one queue through which all storage threads report, and the bell that says so.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::files::lock;
use super::job::Outcome;

/// Called, from any storage thread, when outcomes are ready to be taken.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Outcomes that nobody has taken yet.
pub(super) struct Outcomes {
    queue: Mutex<Vec<Outcome>>,
    ready: Condvar,
    wake: Wake,
}

impl std::fmt::Debug for Outcomes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outcomes({})", lock(&self.queue).len())
    }
}

impl Outcomes {
    pub(super) fn new(wake: Wake) -> Arc<Outcomes> {
        Arc::new(Outcomes { queue: Mutex::new(Vec::new()), ready: Condvar::new(), wake })
    }

    /// Reports; rings once, unless `quiet` because something that rings is sure to follow.
    pub(super) fn report(&self, outcomes: Vec<Outcome>, quiet: bool) {
        if outcomes.is_empty() {
            return;
        }
        lock(&self.queue).extend(outcomes);
        if !quiet {
            self.ready.notify_all();
            (self.wake)();
        }
    }

    /// Moves all outcomes to the end of `taken`.
    pub(super) fn take(&self, taken: &mut Vec<Outcome>) {
        taken.append(&mut lock(&self.queue));
    }

    /// Waits until there is an outcome, or for so long.
    pub(super) fn wait(&self, timeout: Duration) {
        let queue = lock(&self.queue);
        let waited = self.ready.wait_timeout_while(queue, timeout, |queue| queue.is_empty());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}
