//! From when a segment's age counts.
//!
//! From its largest timestamp, as in Kafka, but never from a moment after it was last written: a record of 2099 must not
//! keep its segment for ever. A timestamp that no right clock gives (or none) is replaced by the moment of that write.

use std::sync::Arc;

use super::{Indexed, Segment};
use crate::base::time::{WallMs, is_sane};
use crate::storage::files::{Files, lock};

impl Segment {
    /// This process wrote to it.
    pub(in crate::storage) fn written_at(&self, now: WallMs) {
        let mut state = lock(&self.state);
        state.written = state.written.max(Some(now));
        state.is_own = true;
    }

    /// It holds what others held, and is as young as the youngest of them.
    pub(in crate::storage) fn take_age(&self, files: &Files, old: &[Arc<Segment>]) {
        let written = old.iter().filter_map(|segment| segment.written(files)).max();
        lock(&self.state).written = written;
    }

    /// When it was last written, as far as the clock then was right.
    pub(in crate::storage) fn written(&self, files: &Files) -> Option<WallMs> {
        let known = lock(&self.state).written;
        let written = known.or_else(|| {
            let modified = files.get(&self.log).ok()?.modified().ok()?;
            Some(*lock(&self.state).written.insert(modified))
        });
        written.filter(|written| is_sane(*written))
    }

    /// From when its age counts; never from before `stepped`, if this process wrote to it. `None`: it was written
    /// while the clock was wrong.
    pub(in crate::storage) fn aged_from(&self, files: &Files, stepped: WallMs) -> Option<WallMs> {
        let written = self.written(files)?;
        let stamped = self.newest_timestamp(files).filter(|stamp| is_sane(*stamp));
        let from = stamped.map_or(written, |stamp| stamp.min(written));
        let is_own = lock(&self.state).is_own;
        Some(if is_own { from.max(stepped) } else { from })
    }

    /// A clock that is right has seen this segment: what a wrong one wrote counts from here on.
    pub(in crate::storage) fn seen_at(&self, files: &Files, now: WallMs) {
        if self.written(files).is_none_or(|written| written > now) {
            lock(&self.state).written = Some(now);
        }
    }

    /// Whether its age is known without a look at its files.
    pub(in crate::storage) fn knows_age(&self) -> bool {
        lock(&self.state).written.is_some()
    }

    /// The largest timestamp, from memory if it is there.
    fn newest_timestamp(&self, files: &Files) -> Option<WallMs> {
        {
            let state = lock(&self.state);
            if state.indexed == Indexed::Yes || state.told_largest.is_some() {
                let noted = state.largest.map(|largest| largest.timestamp);
                return noted.max(state.told_largest);
            }
        }
        // A segment that cannot be read is as old as its last write.
        self.largest(files).ok().flatten().map(|largest| largest.timestamp)
    }
}
