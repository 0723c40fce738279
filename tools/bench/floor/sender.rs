//! From a file to a socket, in two ways.

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;

use rustix::io::Errno;

use super::outbox::{Outbox, Sent};
use super::reply::Reply;

/// Bytes that are read from the file and written to the socket at once.
const PIECE_BYTES: usize = 256 * 1024;

/// How bytes get from the file to the socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The kernel moves them.
    Sendfile,
    /// They are read into a buffer, which is written.
    ReadWrite,
}

/// What one connection still gets.
#[derive(Default)]
pub(super) struct Sending {
    /// The correlation ids of requests whose replies have not begun.
    pub(super) requests: VecDeque<[u8; 4]>,
    /// Where the next bytes of the file come from.
    offset: u64,
    /// Bytes of the file that belong to the reply that has begun and are not in the outbox yet.
    left: usize,
}

impl Sending {
    /// Whether there is a reply to begin or to go on with.
    pub(super) fn is_pending(&self) -> bool {
        self.left > 0 || !self.requests.is_empty()
    }
}

/// Answers with parts of a file.
pub(super) struct Sender {
    way: Way,
    file: OwnedFd,
    file_bytes: u64,
    reply: Reply,
    reply_bytes: usize,
    /// The buffer of the outbox that was emptied last: its memory is in the cache.
    spare: Outbox,
}

impl Sender {
    pub(super) fn new(way: Way, file: OwnedFd, file_bytes: u64, reply_bytes: usize) -> Sender {
        let reply = Reply::fetch(reply_bytes);
        Sender { way, file, file_bytes, reply, reply_bytes, spare: Outbox::default() }
    }

    /// Sends one piece of what is asked for.
    pub(super) fn send(
        &mut self,
        stream: &TcpStream,
        sending: &mut Sending,
        outbox: &mut Outbox,
    ) -> io::Result<Sent> {
        if sending.left == 0 && outbox.is_empty() && !self.begin(sending, outbox) {
            if outbox.has_memory() {
                self.spare = std::mem::take(outbox);
            }
            return Ok(Sent::All);
        }
        match self.way {
            Way::Sendfile => self.sendfile(stream, sending, outbox),
            Way::ReadWrite => self.read_write(stream, sending, outbox),
        }
    }

    /// Begins the next reply, if one is asked for.
    fn begin(&mut self, sending: &mut Sending, outbox: &mut Outbox) -> bool {
        let Some(correlation) = sending.requests.pop_front() else { return false };
        let bytes = u64::try_from(self.reply_bytes).unwrap_or_default();
        if sending.offset + bytes > self.file_bytes {
            sending.offset = 0;
        }
        sending.left = self.reply_bytes;
        if !outbox.has_memory() {
            *outbox = std::mem::take(&mut self.spare);
        }
        self.reply.write(correlation, outbox);
        true
    }

    fn sendfile(
        &self,
        stream: &TcpStream,
        sending: &mut Sending,
        outbox: &mut Outbox,
    ) -> io::Result<Sent> {
        let follows = sending.left > 0;
        if outbox.flush(stream, follows)? == Sent::Full {
            return Ok(Sent::Full);
        }
        if !follows {
            return Ok(Sent::Bytes(0));
        }
        match rustix::fs::sendfile(stream, &self.file, Some(&mut sending.offset), sending.left) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => {
                sending.left -= bytes;
                Ok(Sent::Bytes(bytes))
            }
            Err(Errno::AGAIN) => Ok(Sent::Full),
            Err(error) => Err(error.into()),
        }
    }

    /// A piece is read only when the one before it is out, apart from the head of the reply.
    fn read_write(
        &self,
        stream: &TcpStream,
        sending: &mut Sending,
        outbox: &mut Outbox,
    ) -> io::Result<Sent> {
        let head_alone = sending.left == self.reply_bytes;
        if sending.left > 0 && (head_alone || outbox.is_empty()) {
            let read = |room: &mut [u8]| Ok(rustix::io::pread(&self.file, room, sending.offset)?);
            let bytes = outbox.fill(sending.left.min(PIECE_BYTES), read)?;
            if bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            sending.left -= bytes;
            sending.offset += u64::try_from(bytes).unwrap_or_default();
        }
        outbox.flush(stream, false)
    }
}
