//! Time as it is handed in: the two clocks of one moment. Nothing below the server reads a clock.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment on the monotonic clock: microseconds since the process started.
///
/// Sessions, timeouts and waits are measured with it, so a step of the wall clock moves none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

impl Mono {
    /// How long after `earlier` this moment is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// This moment and `ms` milliseconds; a negative figure counts as zero.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Mono {
        Mono(self.0.saturating_add(u64::try_from(ms).unwrap_or(0).saturating_mul(1000)))
    }
}

impl Add<Duration> for Mono {
    type Output = Mono;
    fn add(self, length: Duration) -> Mono {
        Mono(self.0.saturating_add(u64::try_from(length.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Mono {
    type Output = Duration;
    fn sub(self, earlier: Mono) -> Duration {
        self.since(earlier)
    }
}

/// Milliseconds since 1970 on the wall clock: what Kafka calls a timestamp.
pub type WallMs = i64;

/// A wall clock before November 2026 is wrong: this program is newer.
const SANE_FROM: WallMs = 1_793_491_200_000;

/// Whether the wall clock can be right. A box without a battery starts in 1970; until somebody sets its clock, nothing
/// expires and no timestamp is too far from it.
#[must_use]
pub fn is_sane(wall: WallMs) -> bool {
    wall >= SANE_FROM
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For everything that waits.
    pub mono: Mono,
    /// For everything that is written down.
    pub wall: WallMs,
}
