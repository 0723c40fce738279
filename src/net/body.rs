//! A frame on its way into a buffer of its own, which may have served another frame before.
//!
//! `filled <= buffer.len()`. Its memory is reserved whole; the buffer grows as bytes arrive. A read may go a little
//! beyond the frame's end: then it says at once whether the kernel has more, and the next frame has begun.

use std::io::{self, Read};
use std::sync::Arc;

use super::inbox::{Received, retry};
use crate::base::memory::Lease;
use crate::base::payload::Bytes;
use crate::base::spares::Spares;

/// Frames of more bytes have a buffer of their own: below, copying costs less than another read.
pub(super) const OWN_BUFFER_BYTES: usize = 16 * 1024;
/// How far a read goes beyond the frame, in bytes.
pub(super) const BEYOND_BYTES: usize = 4096;
/// Bytes of one connection that are received into such frames in one turn, at least: what was begun is read on.
const READ_BYTES_PER_TURN: usize = 256 * 1024;
/// Most bytes of one read.
const READ_BYTES_MAX: usize = 1024 * 1024;
/// The least step by which the buffer grows.
const GROWTH_BYTES_MIN: usize = 64 * 1024;

/// A frame of `len` bytes, the length not counted.
#[derive(Debug)]
pub(super) struct Body {
    buffer: Vec<u8>,
    filled: usize,
    len: usize,
    lease: Lease,
    home: Arc<Spares>,
}

impl Body {
    /// A frame whose first bytes are `here`. The lease covers all of it.
    pub(super) fn begin(len: usize, here: &[u8], mut lease: Lease, home: &Arc<Spares>) -> Body {
        let wanted = len.saturating_add(BEYOND_BYTES);
        let buffer = home
            .take(wanted, &mut lease)
            .unwrap_or_else(|| vec![0; wanted.min(here.len() + GROWTH_BYTES_MIN)]);
        let mut body = Body { buffer, filled: 0, len, lease, home: Arc::clone(home) };
        if let Some(front) = body.buffer.get_mut(..here.len()) {
            front.copy_from_slice(here);
            body.filled = here.len();
        }
        body
    }

    /// How long the frame is.
    pub(super) fn bytes(&self) -> usize {
        self.len
    }

    pub(super) fn is_whole(&self) -> bool {
        self.filled >= self.len
    }

    /// Reads on until the turn's budget, the frame or the kernel ends.
    pub(super) fn receive(&mut self, stream: &mut impl Read) -> io::Result<Received> {
        let before = self.filled;
        loop {
            let got = self.filled - before;
            if self.is_whole() || got >= READ_BYTES_PER_TURN {
                return Ok(Received::Bytes { bytes: got, short: false });
            }
            let room = self.room();
            let wanted = room.len();
            match retry(|| stream.read(room))?.judged(wanted) {
                Received::Bytes { bytes, short } => {
                    self.filled += bytes;
                    if short {
                        return Ok(Received::Bytes { bytes: got + bytes, short });
                    }
                }
                _ if got > 0 => return Ok(Received::Bytes { bytes: got, short: true }),
                end_or_nothing => return Ok(end_or_nothing),
            }
        }
    }

    /// Where the next read goes: at least one byte.
    fn room(&mut self) -> &mut [u8] {
        let end = self.len.saturating_add(BEYOND_BYTES);
        if self.filled == self.buffer.len() {
            let grown = self.filled.saturating_add(self.filled.max(GROWTH_BYTES_MIN)).min(end);
            self.buffer.reserve_exact(grown - self.filled);
            self.buffer.resize(grown, 0);
        }
        let end = end.min(self.filled.saturating_add(READ_BYTES_MAX)).min(self.buffer.len());
        self.buffer.get_mut(self.filled..end).unwrap_or_default()
    }

    /// What came behind the frame.
    pub(super) fn beyond(&self) -> &[u8] {
        self.buffer.get(self.len..self.filled).unwrap_or_default()
    }

    /// The whole frame.
    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::lent(self.buffer, self.len, self.lease, &self.home)
    }
}
