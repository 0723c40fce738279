//! Index files that are not to be trusted: they are made anew from the log, when they are used or at a clean stop.

use super::{Indexed, Segment};
use crate::storage::files::lock;

impl Segment {
    /// Whether a crash may have torn its index files, somewhere before their end.
    pub(in crate::storage) fn are_indexes_torn(&self) -> bool {
        let state = lock(&self.state);
        matches!(state.indexed, Indexed::Doubted(from) if from < state.extent.size)
    }

    /// An index file is missing, or contradicts the log.
    pub(in crate::storage) fn miss_indexes(&self) {
        lock(&self.state).indexed = Indexed::Doubted(0);
    }

    /// Takes note of contradictions that a lookup has met.
    pub(super) fn doubt_indexes(&self) {
        log::warn!("{} or the one beside it is damaged; made anew", self.index_path().display());
        self.miss_indexes();
    }
}
