//! One client.

use std::io;
use std::net::TcpStream;

use super::chunk::{Chunk, Pool, Received};
use super::outbox::{Outbox, Sent};
use super::reply::Reply;
use super::sender::{Sender, Sending};

/// Bytes that one connection receives or sends before others get their turn.
pub(super) const TURN_BYTES: usize = 1 << 20;

/// Which connection: its place, and how many were accepted before it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Id {
    pub(super) place: usize,
    pub(super) serial: u64,
}

/// A socket, what it has brought and what it has not taken. The flags are what the kernel said and was not used up.
pub(super) struct Connection {
    pub(super) id: Id,
    pub(super) stream: TcpStream,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// Whether it is in the run queue.
    pub(super) queued: bool,
    /// The beginning of a frame.
    begun: Option<Chunk>,
    last_frame_bytes: usize,
    outbox: Outbox,
    pub(super) sending: Sending,
}

impl Connection {
    pub(super) fn new(id: Id, stream: TcpStream) -> Connection {
        Connection {
            id,
            stream,
            readable: false,
            writable: true,
            queued: false,
            begun: None,
            last_frame_bytes: 0,
            outbox: Outbox::default(),
            sending: Sending::default(),
        }
    }

    /// Reads until there is nothing more, or the turn is over, or a chunk of whole frames is there, which it returns.
    ///
    /// # Errors
    /// When the peer is gone.
    pub(super) fn receive(
        &mut self,
        pool: &mut Pool,
        budget: &mut usize,
    ) -> io::Result<Option<Chunk>> {
        let mut chunk = self.begun.take().unwrap_or_else(|| pool.take(self.id));
        while self.readable && *budget > 0 && !chunk.has_frames() {
            match chunk.receive(&self.stream, self.last_frame_bytes) {
                Received::Bytes(bytes) => *budget = budget.saturating_sub(bytes),
                Received::Last => self.readable = false,
                Received::End => return Err(io::ErrorKind::ConnectionReset.into()),
            }
        }
        if !chunk.has_frames() {
            self.keep(chunk, pool);
            return Ok(None);
        }
        self.last_frame_bytes = chunk.last_frame_bytes();
        if !chunk.is_whole() {
            let mut rest = pool.take(self.id);
            chunk.split_rest(&mut rest);
            self.begun = Some(rest);
        }
        Ok(Some(chunk))
    }

    /// Nothing is held for a connection that has sent nothing.
    fn keep(&mut self, chunk: Chunk, pool: &mut Pool) {
        if chunk.is_empty() {
            pool.put(chunk);
        } else {
            self.begun = Some(chunk);
        }
    }

    /// Puts a reply to every frame of `chunk` into the outbox.
    pub(super) fn answer(&mut self, chunk: &Chunk, reply: &Reply) {
        for correlation in chunk.correlations() {
            reply.write(correlation, &mut self.outbox);
        }
    }

    /// Sends what is in the outbox.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.writable && self.outbox.flush(&self.stream, false)? == Sent::Full {
            self.writable = false;
        }
        Ok(())
    }

    /// Sends parts of the file that are asked for, until there is nothing more to send, or no room, or the turn is over.
    pub(super) fn send(&mut self, sender: &mut Sender) -> io::Result<()> {
        let mut budget = TURN_BYTES;
        while self.writable && budget > 0 {
            match sender.send(&self.stream, &mut self.sending, &mut self.outbox)? {
                Sent::All => return Ok(()),
                Sent::Bytes(bytes) => budget = budget.saturating_sub(bytes),
                Sent::Full => self.writable = false,
            }
        }
        Ok(())
    }

    /// Puts it into the run queue, once.
    pub(super) fn enqueue(&mut self, run: &mut Vec<usize>) {
        if !std::mem::replace(&mut self.queued, true) {
            run.push(self.id.place);
        }
    }

    /// Whether it has something to do without another event.
    pub(super) fn is_runnable(&self) -> bool {
        self.readable || (self.writable && (!self.outbox.is_empty() || self.sending.is_pending()))
    }
}
