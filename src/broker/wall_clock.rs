//! How far the wall clock may be trusted with deleting things.
//!
//! A machine may start in 1970, or at the moment of its last stop, and be set right later; a bad battery may say 2099. So
//! nothing is deleted for its age
//!
//! - while the time is before this program was made ([`is_sane`]),
//! - for ten minutes after the clock jumped ahead by more than a day, or after a start so long after the last stop, or
//!   after one that does not know when that was,
//! - while the time is before the newest that this broker wrote down itself, unless it has been so for a day of
//!   running: then it was the newest that was wrong.
//!
//! What was written before a jump is as old as the jump, at most: nobody can tell which of the two times was right.
//!
//! A stop within those ten minutes writes down the last time that was believed, so the next start waits again.

use crate::base::time::{Mono, Now, WallMs, is_sane};

/// A change of the wall clock beyond this is a jump, in milliseconds.
const JUMP_MS: i64 = 24 * 3_600_000;
/// How long after a jump ahead nothing is deleted for its age, in milliseconds.
const AFTER_JUMP_MS: i64 = 600_000;
/// How long a clock must go on behind what was written before it is believed, in milliseconds.
const BEHIND_MS: i64 = 24 * 3_600_000;

/// What is known of the wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock {
    /// The last look at it.
    seen: Option<Now>,
    /// Where it jumped to last; 0: it did not.
    jumped_to: WallMs,
    /// When a jump is forgotten.
    quiet_from: Mono,
    /// The time before the jump that is not forgotten yet.
    before: WallMs,
    /// Since when it goes on as it does.
    steady_since: Mono,
    /// The newest time that was written down.
    newest: WallMs,
}

impl WallClock {
    /// Looks at the clock. Answers whether it jumped.
    pub fn observe(&mut self, now: Now) -> bool {
        let Some(seen) = self.seen.replace(now) else {
            self.steady_since = now.mono;
            if self.newest > 0 && now.wall.saturating_sub(self.newest) > JUMP_MS {
                // It may have been off for long, or its clock is about to be set right.
                self.doubt(now, self.newest);
            }
            return false;
        };
        let passed = i64::try_from(now.mono.since(seen.mono).as_millis()).unwrap_or(i64::MAX);
        let expected = seen.wall.saturating_add(passed);
        let jump = now.wall.saturating_sub(expected);
        if jump.saturating_abs() <= JUMP_MS {
            if self.steady_since.plus_ms(BEHIND_MS) <= now.mono {
                self.newest = self.newest.min(now.wall);
            }
            return false;
        }
        self.jumped_to = now.wall;
        self.steady_since = now.mono;
        if jump > 0 {
            self.doubt(now, expected);
        }
        true
    }

    /// The clock has jumped ahead from this time.
    fn doubt(&mut self, now: Now, from: WallMs) {
        if self.quiet_from <= now.mono {
            self.before = from;
        }
        self.quiet_from = now.mono.plus_ms(AFTER_JUMP_MS);
    }

    /// The newest time that is believed: the clock's, or the one before a jump ahead that may still be taken back.
    #[must_use]
    pub fn believed(&self, now: Now) -> WallMs {
        if now.mono < self.quiet_from { self.before.min(now.wall) } else { now.wall }
    }

    /// Something was written down with this time.
    pub fn wrote(&mut self, wall: WallMs) {
        self.newest = self.newest.max(wall);
    }

    /// Where it jumped to last, by more than a day, while this process ran; 0: it did not.
    #[must_use]
    pub fn jumped_to(&self) -> WallMs {
        self.jumped_to
    }

    /// When it can be trusted, if it goes on as it does. `None`: not before somebody sets it.
    #[must_use]
    pub fn trusted_at(&self, now: Now) -> Option<Mono> {
        if !is_sane(now.wall) {
            return None;
        }
        let behind = self.newest.saturating_sub(now.wall);
        let believed = self.steady_since.plus_ms(BEHIND_MS);
        let caught_up = if behind > 0 { now.mono.plus_ms(behind).min(believed) } else { now.mono };
        Some(caught_up.max(self.quiet_from).max(now.mono))
    }

    /// Whether it can be trusted now.
    #[must_use]
    pub fn is_trusted(&self, now: Now) -> bool {
        self.trusted_at(now).is_some_and(|at| at <= now.mono)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3_600_000;
    const TODAY: WallMs = 1_800_000_000_000;

    fn at(seconds: u64, wall: WallMs) -> Now {
        Now { mono: Mono(seconds * 1_000_000), wall }
    }

    fn later(now: Now, ms: i64) -> Now {
        Now { mono: now.mono.plus_ms(ms), wall: now.wall + ms }
    }

    #[test]
    fn a_clock_of_1970_is_not_trusted_until_ten_minutes_after_it_was_set() {
        let mut clock = WallClock::default();
        clock.observe(at(0, 5_000));
        clock.wrote(5_000);
        assert_eq!(clock.trusted_at(at(0, 5_000)), None);
        let set = at(60, TODAY);
        assert!(clock.observe(set));
        assert_eq!(clock.jumped_to(), TODAY);
        assert_eq!(clock.trusted_at(set), Some(set.mono.plus_ms(600_000)));
        assert!(!clock.is_trusted(later(set, 599_999)));
        assert!(clock.is_trusted(later(set, 600_000)));
    }

    #[test]
    fn a_start_long_after_the_last_stop_waits_for_ten_minutes() {
        let mut clock = WallClock::default();
        clock.wrote(TODAY);
        let start = at(0, TODAY + 30 * DAY);
        assert!(!clock.observe(start));
        assert_eq!(clock.trusted_at(start), Some(start.mono.plus_ms(600_000)));
        let mut clock = WallClock::default();
        clock.wrote(TODAY);
        clock.observe(at(0, TODAY + 3_600_000));
        assert!(clock.is_trusted(at(0, TODAY + 3_600_000)));
    }

    #[test]
    fn a_restart_within_the_ten_minutes_after_a_jump_does_not_make_it_believed() {
        let mut clock = WallClock::default();
        clock.observe(at(0, TODAY));
        let jumped = at(60, TODAY + 3650 * DAY);
        assert!(clock.observe(jumped));
        // Two jumps are no better than one.
        let again = Now { wall: jumped.wall + 3650 * DAY, ..later(jumped, 1_000) };
        assert!(clock.observe(again));
        clock.wrote(again.wall);
        let mut stop = later(again, 599_999);
        assert_eq!(clock.believed(stop), TODAY + 60_000);
        assert_eq!(clock.believed(later(stop, 1)), stop.wall + 1);

        // The next process, and the one after it.
        for _ in 0..2 {
            let mut next = WallClock::default();
            next.wrote(clock.believed(stop));
            let start = Now { mono: Mono(0), ..stop };
            next.observe(start);
            (clock, stop) = (next, later(start, 599_999));
            assert!(!clock.is_trusted(stop));
            assert_eq!(clock.believed(stop), TODAY + 60_000);
        }
    }

    #[test]
    fn small_corrections_change_nothing() {
        let mut clock = WallClock::default();
        clock.observe(at(0, TODAY));
        for (number, step) in [DAY, -DAY, 3_600_000, 1].into_iter().enumerate() {
            let seen = clock.seen.unwrap();
            let now = Now { wall: seen.wall + step, ..seen };
            assert!(!clock.observe(now), "{number}");
            assert!(clock.is_trusted(now) && clock.jumped_to() == 0, "{number}");
        }
    }

    #[test]
    fn a_clock_behind_what_was_written_is_trusted_when_it_has_caught_up_or_after_a_day() {
        let mut clock = WallClock::default();
        clock.wrote(TODAY);
        let hour_behind = at(0, TODAY - 3_600_000);
        clock.observe(hour_behind);
        assert_eq!(clock.trusted_at(hour_behind), Some(Mono(3_600_000_000)));
        // After years in the future it is another day until the present is believed.
        let future = later(hour_behind, 3650 * DAY);
        clock.observe(Now { mono: hour_behind.mono, ..future });
        clock.wrote(future.wall);
        let back = at(7_200, TODAY);
        assert!(clock.observe(back));
        assert_eq!(clock.trusted_at(back), Some(back.mono.plus_ms(DAY)));
        let next_day = later(back, DAY);
        assert!(!clock.observe(next_day));
        assert!(clock.is_trusted(next_day));
        clock.wrote(next_day.wall);
        assert!(clock.is_trusted(later(next_day, 1)), "the future is forgotten");
    }
}
