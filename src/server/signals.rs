//! SIGTERM and SIGINT as a readable socket. A second one ends the process at once, and so does the first one while the
//! broker still starts: nobody was served, and a recovery that breaks off is begun again by the next start.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// Where signals arrive.
#[derive(Debug)]
pub(super) struct Signals {
    socket: UnixStream,
    starting: Arc<AtomicBool>,
}

impl Signals {
    /// Catches the signals that end the broker, from now on.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn catch() -> io::Result<Signals> {
        let (socket, sender) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        let (seen, starting) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        for signal in [SIGTERM, SIGINT] {
            // In this order: the second signal finds the flag that the first one set.
            flag::register_conditional_shutdown(signal, 1, Arc::clone(&seen))?;
            flag::register_conditional_shutdown(signal, 0, Arc::clone(&starting))?;
            flag::register(signal, Arc::clone(&seen))?;
            low_level::pipe::register(signal, sender.try_clone()?)?;
        }
        Ok(Signals { socket, starting })
    }

    /// The broker serves from now on: a signal asks for an orderly end.
    pub(super) fn serve(&self) {
        self.starting.store(false, Ordering::SeqCst);
    }

    /// Whether a signal arrived since this was last asked.
    pub(super) fn arrived(&mut self) -> bool {
        let mut bytes = [0; 64];
        matches!(self.socket.read(&mut bytes), Ok(count) if count > 0)
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
