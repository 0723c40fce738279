//! One connection: requests that wait to be written, and replies cut from what arrives.

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;

use crate::frames::{Frame, Stamp};
use crate::reply::HEAD_MAX;

/// A socket and what is under way on it.
pub(super) struct Connection {
    /// The socket.
    pub stream: TcpStream,
    /// Which traffic it belongs to.
    pub traffic: usize,
    /// The partition that it works on next.
    pub partition: i32,
    /// Where it reads next.
    pub offset: i64,
    /// Requests that are not written whole.
    pub pending: VecDeque<Stamp>,
    /// Requests that wait for their replies, and when they began.
    pub awaiting: VecDeque<(i32, Instant)>,
    /// Bytes written of the first that is pending.
    written: usize,
    incoming: Incoming,
    last_correlation: i32,
}

/// A reply on its way in.
#[derive(Default)]
struct Incoming {
    length: [u8; 4],
    length_got: usize,
    /// The reply's length, once it is known.
    bytes: usize,
    left: usize,
    head: Vec<u8>,
}

impl Connection {
    /// Connects and does not wait for it.
    pub(super) fn new(address: SocketAddr, traffic: usize) -> Result<Connection, String> {
        // In the blocking way, so that a queue of a thousand connects does not overflow and come late.
        let stream = std::net::TcpStream::connect(address).map_err(|error| error.to_string())?;
        let prepared = stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true));
        prepared.map_err(|error| error.to_string())?;
        Ok(Connection {
            stream: TcpStream::from_std(stream),
            traffic,
            partition: 0,
            offset: 0,
            pending: VecDeque::new(),
            awaiting: VecDeque::new(),
            written: 0,
            incoming: Incoming::default(),
            last_correlation: 0,
        })
    }

    /// Requests that are not answered yet.
    pub(super) fn in_flight(&self) -> usize {
        self.awaiting.len()
    }

    /// Puts a request behind those that are pending.
    pub(super) fn begin(&mut self, now: Instant) {
        self.last_correlation = self.last_correlation.wrapping_add(1);
        let correlation = self.last_correlation;
        let (partition, offset) = (self.partition, self.offset);
        self.pending.push_back(Stamp { correlation, partition, offset });
        self.awaiting.push_back((correlation, now));
    }

    /// Writes what is pending until the kernel takes no more. Answers how many requests left whole.
    pub(super) fn flush(&mut self, frame: &Frame, scratch: &mut Vec<u8>) -> Result<usize, String> {
        let mut left = 0;
        while let Some(stamp) = self.pending.front() {
            let parts = frame.parts(*stamp, scratch);
            let [head, body, tail] = parts;
            let mut slices = [IoSlice::new(head), IoSlice::new(body), IoSlice::new(tail)];
            let mut unwritten = &mut slices[..];
            IoSlice::advance_slices(&mut unwritten, self.written);
            match self.stream.write_vectored(unwritten) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("write: {error}")),
            }
            if self.written == frame.len() {
                self.written = 0;
                self.pending.pop_front();
                left += 1;
            }
        }
        Ok(left)
    }

    /// Reads into `buffer`. Answers how many bytes came; none: there are no more now.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, String> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err("the peer has closed the connection".to_owned()),
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("read: {error}")),
            }
        }
    }

    /// Goes on in `bytes` to the end of the reply that is coming in. Answers what is left of them, and whether the
    /// reply is whole.
    pub(super) fn take<'a>(&mut self, bytes: &'a [u8]) -> (&'a [u8], bool) {
        let incoming = &mut self.incoming;
        let mut bytes = bytes;
        while incoming.length_got < 4 {
            let Some((first, rest)) = bytes.split_first() else { return (bytes, false) };
            if let Some(place) = incoming.length.get_mut(incoming.length_got) {
                *place = *first;
            }
            incoming.length_got += 1;
            bytes = rest;
            if incoming.length_got == 4 {
                incoming.bytes =
                    usize::try_from(u32::from_be_bytes(incoming.length)).unwrap_or_default();
                incoming.left = incoming.bytes;
                incoming.head.clear();
            }
        }
        let (own, rest) = bytes.split_at_checked(incoming.left).unwrap_or((bytes, &[]));
        incoming.left -= own.len();
        let wanted = own.len().min(HEAD_MAX.saturating_sub(incoming.head.len()));
        incoming.head.extend_from_slice(own.get(..wanted).unwrap_or_default());
        let whole = incoming.left == 0;
        if whole {
            incoming.length_got = 0;
        }
        (rest, whole)
    }

    /// The beginning of the reply that came last, and its length.
    pub(super) fn reply(&self) -> (&[u8], usize) {
        (&self.incoming.head, self.incoming.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_cut_wherever_the_bytes_are() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut connection = Connection::new(listener.local_addr().unwrap(), 0).unwrap();
        let long = vec![7; HEAD_MAX + 100];
        let mut bytes = vec![0, 0, 0, 2, 1, 2, 0, 0, 0, 0];
        bytes.extend(u32::try_from(long.len()).unwrap().to_be_bytes());
        bytes.extend(&long);
        for piece in 1..bytes.len() {
            let mut replies = Vec::new();
            for part in bytes.chunks(piece) {
                let mut rest = part;
                while !rest.is_empty() {
                    let (left, whole) = connection.take(rest);
                    rest = left;
                    if whole {
                        let (head, length) = connection.reply();
                        replies.push((head.to_vec(), length));
                    }
                }
            }
            let head = long.get(..HEAD_MAX).unwrap().to_vec();
            let expected = [(vec![1, 2], 2), (Vec::new(), 0), (head, long.len())];
            assert_eq!(replies, expected, "in pieces of {piece}");
        }
    }
}
