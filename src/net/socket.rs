//! What an outbox asks of a socket, so that a test can stand in for one.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;

use mio::net::TcpStream;
use rustix::fs::sendfile;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};

/// Where replies are written to. Nothing here waits: `WouldBlock` says that no byte was taken.
pub(super) trait Socket {
    /// Takes bytes from memory. `more` follow at once: the last packet may wait for them.
    fn send(&mut self, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize>;

    /// Takes bytes from a file, which nobody copies on the way. No bytes: the file has ended.
    fn send_file(&mut self, file: BorrowedFd<'_>, position: u64, len: usize) -> io::Result<usize>;
}

impl Socket for TcpStream {
    fn send(&mut self, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        let flags = if more { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
        if let [slice] = slices {
            // Most answers. The kernel does less for it.
            return Ok(retry_on_intr(|| send(&*self, slice, flags))?);
        }
        let mut nothing = SendAncillaryBuffer::default();
        Ok(retry_on_intr(|| sendmsg(&*self, slices, &mut nothing, flags))?)
    }

    fn send_file(&mut self, file: BorrowedFd<'_>, position: u64, len: usize) -> io::Result<usize> {
        let mut position = position;
        Ok(retry_on_intr(|| sendfile(&*self, file, Some(&mut position), len))?)
    }
}

/// Whether an error says that this file cannot be sent from, on this kernel.
pub(super) fn cannot_send_file(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP))
}
