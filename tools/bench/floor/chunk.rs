//! Whole frames of one connection in a buffer that is used again.

use std::net::TcpStream;

use rustix::io::Errno;

use super::connection::Id;

/// Bytes before a frame: its length.
const HEAD_BYTES: usize = 4;
/// Where the correlation id stands in a frame, after API key and version, and where it ends.
const CORRELATION: std::ops::Range<usize> = HEAD_BYTES + 4..HEAD_BYTES + 8;
/// A read asks for at least this much where no frame has begun.
const READ_BYTES_MIN: usize = 64 * 1024;
/// No frame is larger.
const FRAME_BYTES_MAX: usize = 128 << 20;

/// A frame in a chunk: its bytes with their length before them, and what its reply must repeat.
struct Frame {
    correlation: [u8; 4],
    range: std::ops::Range<usize>,
}

/// Received bytes: whole frames, and perhaps the beginning of another. `whole <= filled <= bytes.len()`.
#[derive(Default)]
pub(super) struct Chunk {
    /// Whose frames these are.
    pub(super) from: Id,
    bytes: Vec<u8>,
    filled: usize,
    /// Where the whole frames end.
    whole: usize,
    frames: Vec<Frame>,
}

/// What a read brought.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// So many bytes, and perhaps there are more.
    Bytes(usize),
    /// All that was there, if anything.
    Last,
    /// The peer is gone, or speaks something else.
    End,
}

impl Chunk {
    /// Reads once: to the end of the frame that has begun, else as much as the last frame had.
    pub(super) fn receive(&mut self, stream: &TcpStream, last_frame_bytes: usize) -> Received {
        let limit = self.whole + self.frame_bytes().unwrap_or(last_frame_bytes.max(READ_BYTES_MIN));
        if self.bytes.len() < limit {
            self.bytes.resize(limit, 0);
        }
        let Some(room) = self.bytes.get_mut(self.filled..limit) else { return Received::End };
        let wanted = room.len();
        let received = match rustix::io::read(stream, room) {
            Ok(0) => return Received::End,
            Ok(bytes) => bytes,
            Err(Errno::AGAIN) => return Received::Last,
            Err(Errno::INTR) => return Received::Bytes(0),
            Err(_) => return Received::End,
        };
        self.filled += received;
        self.find_frames();
        match self.frame_bytes() {
            Some(bytes) if !(CORRELATION.end..=FRAME_BYTES_MAX).contains(&bytes) => Received::End,
            _ if received < wanted => Received::Last,
            _ => Received::Bytes(received),
        }
    }

    /// Size of the frame after the whole ones, if its head is there.
    fn frame_bytes(&self) -> Option<usize> {
        let head = self.bytes.get(self.whole..self.filled)?.first_chunk::<HEAD_BYTES>()?;
        let len = usize::try_from(i32::from_be_bytes(*head)).unwrap_or(usize::MAX);
        Some(len.saturating_add(HEAD_BYTES))
    }

    fn find_frames(&mut self) {
        while let Some(len) = self.frame_bytes() {
            let range = self.whole..self.whole.saturating_add(len);
            let Some(frame) =
                self.bytes.get(..self.filled).and_then(|filled| filled.get(range.clone()))
            else {
                return;
            };
            let Some(correlation) = frame.get(CORRELATION).and_then(|id| id.first_chunk()) else {
                return;
            };
            self.frames.push(Frame { correlation: *correlation, range: range.clone() });
            self.whole = range.end;
        }
    }

    /// Whether there is a whole frame.
    pub(super) fn has_frames(&self) -> bool {
        !self.frames.is_empty()
    }

    /// Whether there is nothing at all.
    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Size of the last whole frame.
    pub(super) fn last_frame_bytes(&self) -> usize {
        self.frames.last().map_or(0, |frame| frame.range.len())
    }

    /// Moves the frame that has only begun to the empty chunk `next`.
    pub(super) fn split_rest(&mut self, next: &mut Chunk) {
        let rest = self.bytes.get(self.whole..self.filled).unwrap_or_default();
        if next.bytes.len() < rest.len() {
            next.bytes.resize(rest.len(), 0);
        }
        if let Some(front) = next.bytes.get_mut(..rest.len()) {
            front.copy_from_slice(rest);
            next.filled = rest.len();
        }
        self.filled = self.whole;
    }

    /// Whether it ends with a whole frame.
    pub(super) fn is_whole(&self) -> bool {
        self.whole == self.filled
    }

    /// What the replies must repeat, in order.
    pub(super) fn correlations(&self) -> impl Iterator<Item = [u8; 4]> {
        self.frames.iter().map(|frame| frame.correlation)
    }

    /// The whole frames as bytes.
    pub(super) fn payloads(&self) -> impl Iterator<Item = &[u8]> {
        self.frames.iter().filter_map(|frame| self.bytes.get(frame.range.clone()))
    }

    /// Empties it; the memory stays.
    pub(super) fn clear(&mut self) {
        self.frames.clear();
        (self.filled, self.whole) = (0, 0);
    }
}

/// Empty chunks, the one used last first: its memory is in the cache.
#[derive(Default)]
pub(super) struct Pool(Vec<Chunk>);

impl Pool {
    pub(super) fn take(&mut self, from: Id) -> Chunk {
        let mut chunk = self.0.pop().unwrap_or_default();
        chunk.from = from;
        chunk
    }

    pub(super) fn put(&mut self, mut chunk: Chunk) {
        chunk.clear();
        self.0.push(chunk);
    }
}
