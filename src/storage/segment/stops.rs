//! Where the last reads of a segment stopped: whoever reads on begins there, and needs no index for it.

use super::Segment;
use crate::base::ids::Offset;
use crate::storage::files::lock;

/// How many are remembered: so many can read one segment side by side.
const STOPS_MAX: usize = 8;

/// Places between batches, the newest last.
#[derive(Debug, Default)]
pub(super) struct Stops(Vec<Stop>);

/// A place between batches: everything before it lies below the offset, everything behind it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) struct Stop {
    pub(in crate::storage) position: u64,
    pub(in crate::storage) offset: Offset,
}

impl Stops {
    fn note(&mut self, stop: Stop) {
        self.0.retain(|known| *known != stop);
        if self.0.len() == STOPS_MAX {
            self.0.remove(0);
        }
        self.0.push(stop);
    }
}

impl Segment {
    /// A read has come to this place, which is known to lie between batches.
    pub(in crate::storage) fn note_stop(&self, position: u64, offset: Offset) {
        lock(&self.state).stops.note(Stop { position, offset });
    }

    /// The place where a read stopped that came up to this offset.
    pub(in crate::storage) fn stop_at(&self, offset: Offset) -> Option<Stop> {
        let state = lock(&self.state);
        state.stops.0.iter().find(|stop| stop.offset == offset).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_few_are_remembered() {
        let mut stops = Stops::default();
        let stop = |n: u64| Stop { position: n * 100, offset: Offset::try_from(n).unwrap() };
        (1..=9).for_each(|n| stops.note(stop(n)));
        stops.note(stop(3));
        assert_eq!(stops.0, [2, 4, 5, 6, 7, 8, 9, 3].map(stop));
    }
}
