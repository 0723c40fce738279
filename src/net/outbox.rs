//! Replies on their way out: parts in memory and in files, written together, as far as the socket takes
//! them and the page cache has them.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use super::batch::{Batch, FLUSH_BYTES, PARTS_PER_WRITE, Stop, ended};
use super::reason::CloseReason;
use super::socket::{Socket, cannot_send_file};
use crate::base::payload::{Bytes, FileRange, Payload};

/// Parts in order. `len` is the sum of their bytes, less what has been sent of the first.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    parts: VecDeque<Payload>,
    /// Bytes of the first part that have been sent, if that part is in memory.
    sent: usize,
    len: usize,
    /// Bytes of memory of the parts that were queued in memory, whole until they are sent.
    memory: usize,
    /// What of a file the first part was read from since. It goes back if the socket takes no more: whoever reads slowly
    /// need not hold memory for what a file has.
    warm: Option<FileRange>,
    /// How many bytes of the first part somebody reads for us from the disk.
    cold: Option<usize>,
    /// Whether the kernel has refused to send a file by itself.
    copies_files: bool,
    /// Bytes sent since the beginning.
    pub(super) total: u64,
    /// Those of them that the kernel sent from a file by itself.
    pub(super) uncopied: u64,
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

impl Outbox {
    /// The parts, for who lends them room.
    pub(super) fn room(&mut self) -> &mut VecDeque<Payload> {
        &mut self.parts
    }

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
        let len = bytes.len();
        let range = match self.parts.front() {
            Some(Payload::File(range)) => Some(FileRange { len, ..range.clone() }),
            _ => None,
        };
        self.skip(len);
        self.warm = range;
        self.len += len;
        self.parts.push_front(Payload::Bytes(bytes));
        Ok(())
    }

    /// Puts what is left of the bytes that were read from the disk back into the file.
    fn cool(&mut self) {
        let Some(mut range) = self.warm.take() else { return };
        let sent = std::mem::take(&mut self.sent);
        range.position += u64::try_from(sent).unwrap_or(0);
        range.len -= sent;
        self.parts.pop_front();
        match self.parts.front_mut() {
            Some(Payload::File(rest)) if range.is_before(rest) => {
                rest.position = range.position;
                rest.len += range.len;
            }
            _ => self.parts.push_front(Payload::File(range)),
        }
    }

    /// Writes what it can, at most [`FLUSH_BYTES`]; `buffer` is where files are read into.
    pub(super) fn flush(
        &mut self,
        socket: &mut impl Socket,
        buffer: &mut [u8],
    ) -> Result<Flushed, CloseReason> {
        let mut budget = FLUSH_BYTES;
        while !self.is_empty() {
            if budget == 0 {
                return Ok(Flushed::Budget);
            }
            let gathered =
                Batch::gather(&self.parts, self.sent, buffer, budget, !self.copies_files);
            let batch = match gathered {
                Ok(batch) => batch,
                Err(Stop::Failed(reason)) => return Err(reason),
                Err(Stop::Cold(range)) => {
                    self.cold = Some(range.len);
                    return Ok(Flushed::Cold(range));
                }
            };
            let before = self.len;
            let takes_more = self.put(socket, buffer, &batch)?;
            budget = budget.saturating_sub(before - self.len);
            if !takes_more {
                self.cool();
                return Ok(Flushed::Blocked);
            }
        }
        Ok(Flushed::Empty)
    }

    /// Writes a batch, its parts with one call and the file behind them with another. `false`: the socket takes no more.
    fn put(
        &mut self,
        socket: &mut impl Socket,
        buffer: &[u8],
        batch: &Batch,
    ) -> Result<bool, CloseReason> {
        if batch.parts > 0 {
            let written = match self.write(socket, buffer, batch) {
                Ok(0) => return Err(CloseReason::Reset),
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(CloseReason::of_socket(&error)),
            };
            self.count_sent(written);
            if written < batch.bytes() {
                return Ok(false);
            }
        }
        self.put_file(socket, batch.from_file)
    }

    /// Has the kernel send bytes of the first part, a file. Less than they are says nothing of the socket: the next call
    /// does. `false`: the socket takes no more.
    fn put_file(&mut self, socket: &mut impl Socket, bytes: usize) -> Result<bool, CloseReason> {
        let mut left = bytes;
        while let Some(Payload::File(range)) = self.parts.front().filter(|_| left > 0) {
            let Some(file) = range.file.descriptor() else { break };
            match socket.send_file(file, range.position, left) {
                Ok(0) => return Err(ended(range.position)),
                Ok(sent) => {
                    left = left.saturating_sub(sent);
                    self.count_sent(sent);
                    self.uncopied += u64::try_from(sent).unwrap_or(0);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if cannot_send_file(&error) => {
                    self.copies_files = true;
                    break;
                }
                Err(error) => return Err(CloseReason::of_sent_file(&error)),
            }
        }
        Ok(true)
    }

    /// Writes the parts of a batch with one call.
    fn write(&self, socket: &mut impl Socket, buffer: &[u8], batch: &Batch) -> io::Result<usize> {
        // Most answers are one part, and to prepare for many takes longer than to send it.
        match batch.parts {
            1 => self.write_parts::<1>(socket, buffer, batch),
            _ => self.write_parts::<PARTS_PER_WRITE>(socket, buffer, batch),
        }
    }

    fn write_parts<const PARTS: usize>(
        &self,
        socket: &mut impl Socket,
        buffer: &[u8],
        batch: &Batch,
    ) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); PARTS];
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
        socket.send(slices, batch.from_file > 0)
    }

    fn count_sent(&mut self, bytes: usize) {
        self.skip(bytes);
        self.total += u64::try_from(bytes).unwrap_or(0);
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
            if self.warm.take().is_none() {
                self.memory = self.memory.saturating_sub(memory_of(part));
            }
            self.parts.pop_front();
        }
    }

    /// What must always hold.
    pub(super) fn check(&self) -> Result<(), String> {
        let sum: usize = self.parts.iter().map(Payload::len).sum();
        if sum.checked_sub(self.sent) != Some(self.len) {
            return Err(format!("outbox counts {}, holds {sum} less {}", self.len, self.sent));
        }
        let counted = self.parts.iter().skip(usize::from(self.warm.is_some()));
        let memory = counted.map(memory_of).sum::<usize>();
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::fs::FileExt;
    use std::sync::Arc;

    use rustix::fs::{MemfdFlags, memfd_create};
    use rustix::io::Errno;

    use super::*;
    use crate::base::payload::RangeFile;

    /// Every other time it takes at most `most` bytes, else none.
    struct Grudging {
        most: usize,
        /// Why it takes no files.
        refuses_files: Option<Errno>,
        calls: usize,
        taken: Vec<u8>,
    }

    impl Socket for Grudging {
        fn send(&mut self, slices: &[IoSlice<'_>], _more: bool) -> io::Result<usize> {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            self.take(&all)
        }

        fn send_file(&mut self, file: BorrowedFd<'_>, at: u64, len: usize) -> io::Result<usize> {
            if let Some(errno) = self.refuses_files {
                return Err(errno.into());
            }
            let mut all = vec![0; len];
            let there = rustix::io::pread(file, &mut all, at)?;
            self.take(&all[..there])
        }
    }

    impl Grudging {
        fn new(most: usize) -> Grudging {
            Grudging { most, refuses_files: None, calls: 0, taken: Vec::new() }
        }

        fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.calls += 1;
            if self.calls % 2 == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let taken = bytes.get(..self.most).unwrap_or(bytes);
            self.taken.extend_from_slice(taken);
            Ok(taken.len())
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
            let mut stream = Grudging::new(most);
            let mut buffer = [0; 16];
            loop {
                match outbox.flush(&mut stream, &mut buffer).unwrap() {
                    Flushed::Empty => break,
                    Flushed::Cold(range) => {
                        let warm = Alphabet::bytes(range.position, range.len.min(4));
                        outbox.warmed(Bytes::from_vec(warm)).unwrap();
                    }
                    Flushed::Blocked => assert!(outbox.warm.is_none(), "what a file has is held"),
                    Flushed::Budget => {}
                }
                outbox.check().unwrap();
                // The three runs of files stay three.
                assert!(outbox.parts.len() <= 7);
            }
            assert_eq!(stream.taken, expected, "{most} bytes at a time");
            assert_eq!(outbox.total, u64::try_from(expected.len()).unwrap());
        }
    }

    /// A file of the kernel's, all of it in memory.
    #[derive(Debug)]
    struct InMemory(fs::File);

    impl RangeFile for InMemory {
        fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
            self.0.read_at(buffer, position)
        }

        fn read_at_nowait(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
            self.read_at(buffer, position)
        }

        fn descriptor(&self) -> Option<BorrowedFd<'_>> {
            Some(self.0.as_fd())
        }
    }

    const LONG: usize = 300_000;

    /// A head and a long run of a file, and the bytes that both are.
    fn head_and_file() -> (Outbox, Vec<u8>) {
        let file = fs::File::from(memfd_create("range", MemfdFlags::CLOEXEC).unwrap());
        let bytes = Alphabet::bytes(0, LONG + 10);
        file.write_all_at(&bytes, 0).unwrap();
        let mut outbox = Outbox::default();
        outbox.push(Payload::Bytes(Bytes::from(&b"head"[..])));
        let file = Arc::new(InMemory(file));
        outbox.push(Payload::File(FileRange { file, position: 10, len: LONG }));
        (outbox, [b"head", &bytes[10..]].concat())
    }

    /// Flushes until nothing is left; at least once something was.
    fn flush_all(outbox: &mut Outbox, socket: &mut Grudging) -> Result<(), CloseReason> {
        let mut buffer = [0; 1000];
        while outbox.flush(socket, &mut buffer)? != Flushed::Empty {
            outbox.check().unwrap();
        }
        Ok(())
    }

    #[test]
    fn a_long_run_of_a_file_is_sent_without_a_copy() {
        for most in [1_000, 4_096, 70_000, 200_000] {
            let (mut outbox, expected) = head_and_file();
            let mut socket = Grudging::new(most);
            flush_all(&mut outbox, &mut socket).unwrap();
            assert!(socket.taken == expected, "{most} bytes at a time");
            assert_eq!(outbox.total, u64::try_from(expected.len()).unwrap());
            assert!(outbox.uncopied > 200_000, "{} of {LONG} bytes", outbox.uncopied);
        }
    }

    #[test]
    fn where_the_kernel_cannot_send_files_they_are_copied() {
        let (mut outbox, expected) = head_and_file();
        let mut socket = Grudging { refuses_files: Some(Errno::INVAL), ..Grudging::new(70_000) };
        flush_all(&mut outbox, &mut socket).unwrap();
        assert!(socket.taken == expected);
        assert_eq!(outbox.uncopied, 0);
    }

    #[test]
    fn a_disk_that_fails_under_the_kernel_is_not_the_peers_fault() {
        for (errno, is_files) in [(Errno::IO, true), (Errno::CONNRESET, false)] {
            let (mut outbox, _) = head_and_file();
            let mut socket = Grudging { refuses_files: Some(errno), ..Grudging::new(70_000) };
            let reason = flush_all(&mut outbox, &mut socket).unwrap_err();
            assert_eq!(matches!(reason, CloseReason::File(_)), is_files, "{reason}");
        }
    }
}
