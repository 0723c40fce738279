//! Bugs that tests plant, to see whether they would be caught.
//!
//! A bug is planted on one thread, so tests beside each other do not disturb each other; without the feature
//! `testing` there is none, and the question costs nothing.

/// A bug that can be planted. Each names the rule that it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// A log is not synced at all, but said to be.
    NoSync,
}

/// Whether a bug is planted on this thread.
#[cfg(not(feature = "testing"))]
#[must_use]
#[inline]
pub const fn is_planted(_: Bug) -> bool {
    false
}

#[cfg(feature = "testing")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Whether a bug is planted on this thread.
#[cfg(feature = "testing")]
#[must_use]
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.with(|planted| planted.get() == Some(bug))
}

/// Plants a bug on this thread, or removes it.
#[cfg(feature = "testing")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.with(|planted| planted.set(bug));
}
