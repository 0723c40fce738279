//! Replies on their way out: parts in memory and in files, written together, as far as the socket takes
//! them and the page cache has them.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};

use super::reason::CloseReason;
use crate::base::payload::{Bytes, FileRange, Payload};

/// Bytes of one connection that are written in one turn, and the most read from a file at once.
pub(super) const FLUSH_BYTES: usize = 256 * 1024;
/// Parts written by one call.
const PARTS_PER_WRITE: usize = 64;

/// Parts in order. `len` is the sum of their bytes, less what has been sent of the first.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    parts: VecDeque<Payload>,
    /// Bytes of the first part that have been sent, if that part is in memory.
    sent: usize,
    len: usize,
    /// Bytes of memory of the parts that were queued in memory, whole until they are sent.
    memory: usize,
    /// Whether the first part was read from the disk since: that is bounded for each connection.
    is_warm: bool,
    /// How many bytes of the first part somebody reads for us from the disk.
    cold: Option<usize>,
    /// Bytes sent since the beginning.
    pub(super) total: u64,
}

/// Where a flush stopped.
#[derive(Debug, PartialEq)]
pub(super) enum Flushed {
    /// Everything is sent.
    Empty,
    /// The turn's budget is used up.
    Budget,
    /// The socket takes no more.
    Blocked,
    /// These bytes are not in memory.
    Cold(FileRange),
}

/// The bytes of the next write: so many of each of the first `parts` parts.
struct Batch {
    takes: [usize; PARTS_PER_WRITE],
    parts: usize,
}

/// Why a batch stays empty.
enum Stop {
    Cold(FileRange),
    Failed(CloseReason),
}

impl Outbox {
    /// Adds a part at the end.
    pub(super) fn push(&mut self, part: Payload) {
        if !part.is_empty() {
            self.len += part.len();
            self.memory += memory_of(&part);
            self.parts.push_back(part);
        }
    }

    /// Bytes not sent yet.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory that replies hold.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the first bytes are being read from the disk.
    pub(super) fn is_cold(&self) -> bool {
        self.cold.is_some()
    }

    /// Puts `bytes`, read from the disk, in place of as many bytes at the front.
    pub(super) fn warmed(&mut self, bytes: Bytes) -> Result<(), CloseReason> {
        let Some(asked) = self.cold.take() else {
            return Ok(());
        };
        if bytes.is_empty() || bytes.len() > asked {
            let error = format!("{} bytes came of {asked}", bytes.len());
            return Err(CloseReason::File(error));
        }
        let warm = bytes.len();
        self.skip(warm);
        self.len += warm;
        self.is_warm = true;
        self.parts.push_front(Payload::Bytes(bytes));
        Ok(())
    }

    /// Writes what it can, at most [`FLUSH_BYTES`]; `buffer` is where files are read into.
    pub(super) fn flush(
        &mut self,
        stream: &mut impl Write,
        buffer: &mut [u8],
    ) -> Result<Flushed, CloseReason> {
        let mut budget = FLUSH_BYTES;
        while !self.is_empty() {
            if budget == 0 {
                return Ok(Flushed::Budget);
            }
            let batch = match self.gather(buffer, budget) {
                Ok(batch) => batch,
                Err(Stop::Failed(reason)) => return Err(reason),
                Err(Stop::Cold(range)) => {
                    self.cold = Some(range.len);
                    return Ok(Flushed::Cold(range));
                }
            };
            let wanted = batch.bytes();
            let written = match self.write(stream, buffer, &batch) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Flushed::Blocked);
                }
                Err(error) => return Err(CloseReason::of_socket(&error)),
            };
            self.skip(written);
            self.total += u64::try_from(written).unwrap_or(0);
            budget = budget.saturating_sub(written);
            if written < wanted {
                return Ok(Flushed::Blocked);
            }
        }
        Ok(Flushed::Empty)
    }

    /// Chooses the bytes of the next write and reads those that are in files into `buffer`.
    fn gather(&self, buffer: &mut [u8], budget: usize) -> Result<Batch, Stop> {
        let mut batch = Batch { takes: [0; PARTS_PER_WRITE], parts: 0 };
        let (mut used, mut left) = (0, budget);
        let mut sent = self.sent;
        for (part, take) in self.parts.iter().zip(batch.takes.iter_mut()) {
            let whole = part.len() - std::mem::take(&mut sent);
            *take = match part {
                Payload::Bytes(_) => whole.min(left),
                Payload::File(range) => {
                    let room = buffer.get_mut(used..).unwrap_or_default();
                    match read_warm(range, room, left) {
                        Ok(bytes) => bytes,
                        // What is before it goes first; then the same question is asked again.
                        Err(_) if batch.parts > 0 => break,
                        Err(stop) => return Err(stop),
                    }
                }
            };
            if matches!(part, Payload::File(_)) {
                used += *take;
            }
            left -= *take;
            batch.parts += 1;
            if *take < whole || left == 0 || used >= buffer.len() {
                break;
            }
        }
        Ok(batch)
    }

    /// Writes a batch with one call.
    fn write(&self, stream: &mut impl Write, buffer: &[u8], batch: &Batch) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); PARTS_PER_WRITE];
        let (mut from_files, mut sent) = (buffer, self.sent);
        let chosen = self.parts.iter().zip(batch.takes).take(batch.parts);
        for (slice, (part, take)) in slices.iter_mut().zip(chosen) {
            let bytes = match part {
                Payload::Bytes(bytes) => bytes.get(sent..sent + take),
                Payload::File(_) => from_files.get(..take),
            };
            if matches!(part, Payload::File(_)) {
                from_files = from_files.get(take..).unwrap_or_default();
            }
            sent = 0;
            *slice = IoSlice::new(bytes.unwrap_or_default());
        }
        let slices = slices.get(..batch.parts).unwrap_or_default();
        loop {
            match stream.write_vectored(slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Takes `bytes` bytes off the front.
    fn skip(&mut self, mut bytes: usize) {
        self.len = self.len.saturating_sub(bytes);
        while let Some(part) = self.parts.front_mut() {
            let left = part.len() - self.sent;
            if bytes < left {
                match part {
                    Payload::Bytes(_) => self.sent += bytes,
                    Payload::File(range) => {
                        range.position += u64::try_from(bytes).unwrap_or(0);
                        range.len -= bytes;
                    }
                }
                return;
            }
            bytes -= left;
            self.sent = 0;
            if !std::mem::take(&mut self.is_warm) {
                self.memory = self.memory.saturating_sub(memory_of(part));
            }
            self.parts.pop_front();
        }
        if self.parts.is_empty() {
            // Most connections are idle, and need no room.
            self.parts = VecDeque::new();
        }
    }

    /// What must always hold.
    pub(super) fn check(&self) -> Result<(), String> {
        let sum: usize = self.parts.iter().map(Payload::len).sum();
        if sum.checked_sub(self.sent) != Some(self.len) {
            return Err(format!("outbox counts {}, holds {sum} less {}", self.len, self.sent));
        }
        let memory =
            self.parts.iter().skip(usize::from(self.is_warm)).map(memory_of).sum::<usize>();
        if memory != self.memory {
            return Err(format!("outbox counts {} in memory, holds {memory}", self.memory));
        }
        if self.cold.is_some() && !matches!(self.parts.front(), Some(Payload::File(_))) {
            return Err(String::from("a cold read without its range"));
        }
        Ok(())
    }
}

fn memory_of(part: &Payload) -> usize {
    match part {
        Payload::Bytes(bytes) => bytes.len(),
        Payload::File(_) => 0,
    }
}

impl Batch {
    fn bytes(&self) -> usize {
        self.takes.iter().take(self.parts).sum()
    }
}

/// Reads the front of `range` into `room` if it is in memory: at least one byte, at most `bytes_max`.
fn read_warm(range: &FileRange, room: &mut [u8], bytes_max: usize) -> Result<usize, Stop> {
    let wanted = range.len.min(bytes_max).min(room.len());
    let failed = |error: String| Stop::Failed(CloseReason::File(error));
    let cold = || Stop::Cold(FileRange { len: range.len.min(FLUSH_BYTES), ..range.clone() });
    match range.file.read_at_nowait(room.get_mut(..wanted).unwrap_or_default(), range.position) {
        Ok(0) => Err(failed(format!("it ends before byte {}", range.position))),
        Ok(bytes) if bytes > wanted => Err(failed(format!("{bytes} bytes came of {wanted}"))),
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(cold()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(cold()),
        Err(error) => Err(failed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::payload::RangeFile;

    /// Every other time it takes at most `most` bytes, else none.
    struct Grudging {
        most: usize,
        calls: usize,
        taken: Vec<u8>,
    }

    impl Write for Grudging {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.write_vectored(&[IoSlice::new(bytes)])
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            self.calls += 1;
            if self.calls % 2 == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let taken = all.get(..self.most).unwrap_or(&all);
            self.taken.extend_from_slice(taken);
            Ok(taken.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A file of which each read brings seven bytes at most; bytes from 50 on are cold.
    #[derive(Debug)]
    struct Alphabet;

    impl Alphabet {
        fn bytes(position: u64, len: usize) -> Vec<u8> {
            let position = usize::try_from(position).unwrap();
            (b'a'..=b'z').cycle().skip(position).take(len).collect()
        }
    }

    impl RangeFile for Alphabet {
        fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
            buffer.copy_from_slice(&Alphabet::bytes(position, buffer.len()));
            Ok(buffer.len())
        }

        fn read_at_nowait(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
            let warm = usize::try_from(50u64.saturating_sub(position)).unwrap();
            let len = buffer.len().min(7).min(warm);
            if len == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.read_at(&mut buffer[..len], position)
        }
    }

    #[test]
    fn the_bytes_are_the_same_however_writes_and_reads_are_cut() {
        for most in 1..150 {
            let mut outbox = Outbox::default();
            let mut expected = Vec::new();
            for (text, position, len) in [("one", 0, 30), ("", 40, 30), ("three", 60, 9)] {
                outbox.push(Payload::Bytes(Bytes::from(text.as_bytes())));
                outbox.push(Payload::File(FileRange { file: Arc::new(Alphabet), position, len }));
                expected.extend_from_slice(text.as_bytes());
                expected.extend_from_slice(&Alphabet::bytes(position, len));
            }
            outbox.push(Payload::Bytes(Bytes::from(&b"end"[..])));
            expected.extend_from_slice(b"end");
            let mut stream = Grudging { most, calls: 0, taken: Vec::new() };
            let mut buffer = [0; 16];
            loop {
                match outbox.flush(&mut stream, &mut buffer).unwrap() {
                    Flushed::Empty => break,
                    Flushed::Cold(range) => {
                        let warm = Alphabet::bytes(range.position, range.len.min(4));
                        outbox.warmed(Bytes::from_vec(warm)).unwrap();
                    }
                    Flushed::Blocked | Flushed::Budget => {}
                }
                outbox.check().unwrap();
            }
            assert_eq!(stream.taken, expected, "{most} bytes at a time");
            assert_eq!(outbox.total, u64::try_from(expected.len()).unwrap());
        }
    }
}
