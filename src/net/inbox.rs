//! What a connection has received and nobody has taken yet.
//!
//! In a turn the inbox borrows the reactor's scratch buffer; at the end of the turn what is left over
//! moves to an exact buffer of its own, covered by a lease. An idle connection has neither. All but the smallest frames
//! are received into buffers of their own ([`Body`]).

use std::io::{self, Read};
use std::sync::Arc;

use super::body::{BEYOND_BYTES, Body, OWN_BUFFER_BYTES};
use super::frame::{self, Front, HEAD_BYTES};
use super::options::Protocol;
use crate::base::memory::{Lease, Pool};
use crate::base::payload::Bytes;
use crate::base::spares::Spares;

/// Size of the shared scratch buffer: room for a small frame behind a partial one.
pub(super) const SCRATCH_BYTES: usize = 128 * 1024;
/// Bytes of text that may wait for the rest of their message.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// Received bytes: `start <= end <= buffer.len()`.
#[derive(Debug)]
pub(super) struct Inbox {
    protocol: Protocol,
    /// The largest frame in bytes.
    pub(super) frame_bytes_max: usize,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Whether `buffer` is the reactor's scratch buffer.
    borrowed: bool,
    /// Covers what waits here between turns, and all of the first frame if that is small and partial.
    lease: Option<Lease>,
    /// The first frame, if it has a buffer of its own. Nothing waits behind it before it is whole.
    body: Option<Body>,
    /// Whether the last frame had one: then the next one is likely to, and is not read into the scratch buffer first.
    expects_body: bool,
    /// Text that the server has seen and left: it waits for more.
    seen: bool,
}

/// What one call of read brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// So many bytes; `short` if the kernel had no more at that moment.
    Bytes { bytes: usize, short: bool },
    /// The peer's FIN.
    End,
    /// Nothing now.
    Nothing,
}

impl Inbox {
    pub(super) fn new(protocol: Protocol, frame_bytes_max: usize) -> Inbox {
        Inbox {
            protocol,
            frame_bytes_max,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            borrowed: false,
            lease: None,
            body: None,
            expects_body: false,
            seen: false,
        }
    }

    /// Whether the peer speaks in frames.
    pub(super) fn is_framed(&self) -> bool {
        self.protocol == Protocol::Frames
    }

    /// The bytes received and not taken.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// What stands at the front. Text is never a frame.
    pub(super) fn front(&self) -> Front {
        match self.protocol {
            Protocol::Frames => frame::front(self.bytes(), self.frame_bytes_max),
            Protocol::Http => Front::Unknown,
        }
    }

    /// Whether the server has something to take, or a decision to make, without another byte.
    pub(super) fn is_ready(&self) -> bool {
        match (&self.body, self.protocol) {
            (Some(body), _) => body.is_whole(),
            (None, Protocol::Http) => !self.seen && !self.bytes().is_empty(),
            (None, Protocol::Frames) => {
                matches!(self.front(), Front::Whole { .. } | Front::Large { .. } | Front::Bad(_))
            }
        }
    }

    /// Whether more bytes may be received.
    pub(super) fn has_room(&self) -> bool {
        match self.protocol {
            Protocol::Frames => !self.is_ready(),
            Protocol::Http => self.bytes().len() < TEXT_BYTES_MAX,
        }
    }

    /// Whether a frame or a message has begun and waits for the rest.
    pub(super) fn is_partial(&self) -> bool {
        !self.is_ready() && (self.body.is_some() || !self.bytes().is_empty())
    }

    /// Bytes of the frame that is received into a buffer of its own; 0: there is none.
    pub(super) fn body_bytes(&self) -> usize {
        self.body.as_ref().map_or(0, Body::bytes)
    }

    /// Whether a reservation already covers the next read, so that it needs no room in the pool.
    pub(super) fn is_covered(&self) -> bool {
        let held = self.lease.as_ref().map_or(0, Lease::bytes);
        self.body.is_some() || self.protocol == Protocol::Http || held > self.bytes().len()
    }

    /// Whether the next read needs the scratch buffer.
    pub(super) fn wants_scratch(&self) -> bool {
        self.body.is_none() && !self.borrowed
    }

    /// Borrows the scratch buffer; what was left over stands at its front.
    pub(super) fn borrow(&mut self, mut scratch: Vec<u8>) {
        let left = self.bytes();
        let len = left.len();
        if let Some(front) = scratch.get_mut(..len) {
            front.copy_from_slice(left);
        }
        (self.buffer, self.start, self.end, self.borrowed) = (scratch, 0, len, true);
    }

    /// Gives the scratch buffer back; what is left over moves to a buffer of its own.
    pub(super) fn give_back(&mut self) -> Option<Vec<u8>> {
        if !self.borrowed {
            if self.start == self.end {
                (self.buffer, self.start, self.end) = (Vec::new(), 0, 0);
            }
            return None;
        }
        let left = self.bytes().to_vec();
        (self.start, self.end, self.borrowed) = (0, left.len(), false);
        Some(std::mem::replace(&mut self.buffer, left))
    }

    /// Makes the lease cover what waits here between turns. Refusing is too late for bytes that have been
    /// read; a read begins only while the pool has room, which bounds the excess to one scratch buffer and
    /// the rest of one small frame.
    pub(super) fn settle(&mut self, pool: &Arc<Pool>) {
        let needed = match self.front() {
            Front::Partial { len } => self.bytes().len().max(HEAD_BYTES + len),
            _ => self.bytes().len(),
        };
        let held = self.lease.as_ref().map_or(0, Lease::bytes);
        if needed == 0 {
            self.lease = None;
        } else if held < needed {
            self.lease = Some(pool.reserve_anyway(needed));
        } else if let Some(lease) = &mut self.lease {
            drop(lease.split(held - needed));
        }
    }

    /// A lease that lets the next read begin, granted after a wait.
    pub(super) fn grant_small(&mut self, lease: Lease) {
        self.lease = Some(lease);
    }

    /// Reads once: no further than the reservation reaches, or than `allowance` bytes if that is more.
    pub(super) fn receive(
        &mut self,
        stream: &mut impl Read,
        allowance: usize,
    ) -> io::Result<Received> {
        if let Some(body) = &mut self.body {
            return body.receive(stream);
        }
        let is_likely_body = self.expects_body && self.start == self.end;
        let allowance = if is_likely_body { allowance.min(BEYOND_BYTES) } else { allowance };
        let limit = match self.protocol {
            Protocol::Http => TEXT_BYTES_MAX,
            Protocol::Frames => self.lease.as_ref().map_or(0, Lease::bytes).max(allowance),
        };
        let limit = self.start.saturating_add(limit);
        let limit = limit.min(self.buffer.len());
        let Some(room) = self.buffer.get_mut(self.end..limit).filter(|room| !room.is_empty())
        else {
            return Ok(Received::Nothing);
        };
        let wanted = room.len();
        let received = retry(|| stream.read(room))?;
        if let Received::Bytes { bytes, .. } = received {
            self.end += bytes;
            self.seen = false;
        }
        Ok(received.judged(wanted))
    }

    /// Takes the whole small frame of `len` bytes at the front. Its bytes are in memory already, so the
    /// pool is not asked but told, unless the inbox holds the lease.
    pub(super) fn take_small(
        &mut self,
        len: usize,
        pool: &Arc<Pool>,
        home: &Arc<Spares>,
    ) -> Option<Bytes> {
        self.expects_body = len > OWN_BUFFER_BYTES;
        let total = HEAD_BYTES + len;
        let lease = self.lease_of(total, pool);
        let here = self.bytes().get(HEAD_BYTES..total)?;
        let frame = if self.expects_body {
            Body::begin(len, here, lease, home).into_bytes()
        } else {
            Bytes::leased(here.to_vec(), Some(lease))
        };
        self.start += total;
        Some(frame)
    }

    /// Covers a small frame of so many bytes in all.
    fn lease_of(&mut self, total: usize, pool: &Arc<Pool>) -> Lease {
        let held = self.lease.as_mut().and_then(|lease| lease.split(total));
        held.unwrap_or_else(|| pool.reserve_anyway(total))
    }

    /// Gives the small frame of `len` bytes, of which only the beginning is here, a buffer of its own if it is worth
    /// one.
    pub(super) fn begin_small(&mut self, len: usize, pool: &Arc<Pool>, home: &Arc<Spares>) -> bool {
        let is_worth_it = len > OWN_BUFFER_BYTES;
        if is_worth_it {
            let lease = self.lease_of(HEAD_BYTES + len, pool);
            self.begin_body(len, lease, home);
        }
        is_worth_it
    }

    /// Begins the frame of `len` bytes at the front, whose memory is reserved, in a buffer of its own.
    pub(super) fn begin_body(&mut self, len: usize, lease: Lease, home: &Arc<Spares>) {
        let here = self.bytes().get(HEAD_BYTES..).unwrap_or_default();
        let here = here.get(..len).unwrap_or(here);
        let taken = here.len();
        self.body = Some(Body::begin(len, here, lease, home));
        self.expects_body = true;
        self.start += HEAD_BYTES + taken;
    }

    /// Takes the frame that has a buffer of its own, if it is whole.
    pub(super) fn take_body(&mut self) -> Option<Bytes> {
        let body = self.body.take_if(|body| body.is_whole())?;
        let beyond = body.beyond();
        if !beyond.is_empty() {
            // Nothing was waiting behind it.
            if !self.borrowed {
                self.buffer = vec![0; beyond.len()];
            }
            if let Some(front) = self.buffer.get_mut(..beyond.len()) {
                front.copy_from_slice(beyond);
                (self.start, self.end) = (0, beyond.len());
            }
        }
        Some(body.into_bytes())
    }

    /// Takes `bytes` bytes of text off the front.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.start = self.start.saturating_add(bytes).min(self.end);
        self.seen = false;
    }

    /// Remembers that the server has had its chance to take the text that is here.
    pub(super) fn mark_seen(&mut self) {
        self.seen = true;
    }

    /// Forgets everything received.
    pub(super) fn clear(&mut self) {
        self.start = self.end;
        self.body = None;
    }

    /// What must hold between turns.
    pub(super) fn check(&self) -> Result<(), String> {
        let held = self.lease.as_ref().map_or(0, Lease::bytes);
        if self.start > self.end || self.end > self.buffer.len() {
            return Err(format!("inbox {}..{} of {}", self.start, self.end, self.buffer.len()));
        }
        if self.borrowed {
            return Ok(());
        }
        if self.bytes().is_empty() && self.buffer.capacity() > 0 {
            return Err(String::from("a buffer without bytes"));
        }
        if held < self.bytes().len() {
            return Err(format!("{} bytes wait under a lease of {held}", self.bytes().len()));
        }
        Ok(())
    }
}

impl Received {
    /// The same, knowing how many bytes were asked for.
    pub(super) fn judged(self, wanted: usize) -> Received {
        match self {
            Received::Bytes { bytes, .. } => Received::Bytes { bytes, short: bytes < wanted },
            other => other,
        }
    }
}

/// Calls `read` until it is not interrupted, and names what it says.
pub(super) fn retry(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<Received> {
    loop {
        return match read() {
            Ok(0) => Ok(Received::End),
            Ok(bytes) => Ok(Received::Bytes { bytes, short: false }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Received::Nothing),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
    }
}
