//! Where the last reads of a segment stopped: whoever reads on begins there, and needs no index for it.

use super::{Extent, Segment};
use crate::base::ids::Offset;
use crate::storage::files::lock;

/// How many are remembered: so many can read one segment side by side.
const STOPS_MAX: usize = 4;

/// Places between batches, the newest last.
#[derive(Debug, Default)]
pub(super) struct Stops(Vec<Stop>);

/// A place between batches: everything before it lies below the offset, everything behind it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) struct Stop {
    pub(super) position: u64,
    pub(super) offset: Offset,
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
    pub(super) fn stop_at(&self, offset: Offset) -> Option<(Stop, Extent)> {
        let state = lock(&self.state);
        let stop = state.stops.0.iter().find(|stop| stop.offset == offset)?;
        Some((*stop, state.extent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_few_are_remembered() {
        let mut stops = Stops::default();
        let stop = |n: u64| Stop { position: n * 100, offset: Offset::try_from(n).unwrap() };
        (1..=5).for_each(|n| stops.note(stop(n)));
        stops.note(stop(2));
        assert_eq!(stops.0, [stop(3), stop(4), stop(5), stop(2)]);
    }
}
