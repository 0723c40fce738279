//! What a socket has not taken yet.

use std::io;
use std::net::TcpStream;

use rustix::io::Errno;
use rustix::net::SendFlags;

/// Bytes on their way out, in a buffer that is used again: `start <= end <= bytes.len()`.
#[derive(Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

/// What sending led to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// There is nothing left.
    All,
    /// So many bytes, and there may be more.
    Bytes(usize),
    /// As much as the kernel takes now.
    Full,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether it holds memory.
    pub(super) fn has_memory(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Appends `bytes`.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Appends what `fill` writes into a room of `len` bytes; it returns how many it wrote.
    pub(super) fn fill(
        &mut self,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let filled = fill(self.room(len))?;
        self.end += filled.min(len);
        Ok(filled)
    }

    /// The next `len` bytes, whatever they are.
    fn room(&mut self, len: usize) -> &mut [u8] {
        let wanted = self.end + len;
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
        self.bytes.get_mut(self.end..wanted).unwrap_or_default()
    }

    /// Sends once. `more`: other bytes follow at once, so the last segment need not leave alone.
    pub(super) fn flush(&mut self, stream: &TcpStream, more: bool) -> io::Result<Sent> {
        let rest = self.bytes.get(self.start..self.end).unwrap_or_default();
        if rest.is_empty() {
            return Ok(Sent::All);
        }
        let flags = if more { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
        match rustix::net::send(stream, rest, flags) {
            Ok(bytes) => {
                self.start += bytes;
                let all = self.is_empty();
                if all {
                    (self.start, self.end) = (0, 0);
                }
                Ok(if all { Sent::Bytes(bytes) } else { Sent::Full })
            }
            Err(Errno::AGAIN) => Ok(Sent::Full),
            Err(error) => Err(error.into()),
        }
    }
}
