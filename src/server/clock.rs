//! The only reader of clocks on the loop: one look at both per turn.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::base::time::{Mono, Now, WallMs};

/// Both clocks.
#[derive(Debug)]
pub(super) struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock whose monotonic time begins now.
    #[expect(clippy::disallowed_methods, reason = "this is where the loop reads the clock")]
    #[must_use]
    pub(super) fn start() -> Clock {
        Clock { started: Instant::now() }
    }

    /// The moment.
    #[must_use]
    pub(super) fn now(&self) -> Now {
        let mono = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Now { mono: Mono(mono), wall: wall() }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where the loop reads the clock")]
fn wall() -> WallMs {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}

/// Becomes readable when somebody sets the wall clock.
#[derive(Debug)]
pub(super) struct ClockWatch {
    timer: OwnedFd,
}

impl ClockWatch {
    /// Watches from now on.
    ///
    /// # Errors
    /// What the operating system says about a timer.
    pub(super) fn new() -> io::Result<ClockWatch> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let watch = ClockWatch { timer: timerfd_create(TimerfdClockId::Realtime, flags)? };
        watch.arm()?;
        Ok(watch)
    }

    /// The timer itself never expires; only its being cancelled is of interest.
    fn arm(&self) -> io::Result<()> {
        let never = Timespec { tv_sec: i64::MAX / 2, tv_nsec: 0 };
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&self.timer, flags, &Itimerspec { it_interval: none, it_value: never })?;
        Ok(())
    }

    /// Whether the clock was set since this was last asked.
    pub(super) fn was_set(&self) -> bool {
        let cancelled =
            rustix::io::read(&self.timer, &mut [0; 8]) == Err(rustix::io::Errno::CANCELED);
        cancelled && self.arm().is_ok()
    }
}

impl AsRawFd for ClockWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.timer.as_raw_fd()
    }
}
