//! A clock that ticks finer than the milliseconds of a poll.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// A descriptor that becomes readable in equal steps.
pub(super) struct Timer(OwnedFd);

impl Timer {
    /// Ticks from now on.
    pub(super) fn new(every: Duration, registry: &Registry, token: Token) -> Result<Timer, String> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(|e| e.to_string())?;
        let step = Timespec {
            tv_sec: i64::try_from(every.as_secs()).unwrap_or(1),
            tv_nsec: i64::from(every.subsec_nanos()),
        };
        let times = Itimerspec { it_interval: step, it_value: step };
        timerfd_settime(&fd, TimerfdTimerFlags::empty(), &times).map_err(|e| e.to_string())?;
        registry
            .register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)
            .map_err(|error| error.to_string())?;
        Ok(Timer(fd))
    }

    /// Steps since this was asked last.
    pub(super) fn expired(&self) -> Result<u64, String> {
        let mut count = [0; 8];
        match rustix::io::read(&self.0, &mut count) {
            Ok(_) => Ok(u64::from_ne_bytes(count)),
            Err(error) if error == rustix::io::Errno::AGAIN => Ok(0),
            Err(error) => Err(error.to_string()),
        }
    }
}
