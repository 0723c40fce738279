//! What leaves with the next write: parts in memory and short runs of files side by side, and behind them one long run
//! that the kernel sends from its page cache by itself.

use std::collections::VecDeque;
use std::io;

use super::reason::CloseReason;
use crate::base::payload::{FileRange, Payload};

/// Bytes of one connection that are written in one turn, and the most read from a file at once.
pub(super) const FLUSH_BYTES: usize = 256 * 1024;
/// Parts written by one call.
pub(super) const PARTS_PER_WRITE: usize = 64;
/// From so many bytes on `sendfile` costs less than two copies: half as much on a MiB, nothing less on 32 KiB.
const SENDFILE_BYTES_MIN: usize = 64 * 1024;
/// A run of a file is taken to be in memory if a byte in each so many is, and its last.
const PROBE_BYTES: usize = 32 * 1024;

/// The bytes of the next write: so many of each of the first `parts` parts.
pub(super) struct Batch {
    pub(super) takes: [usize; PARTS_PER_WRITE],
    pub(super) parts: usize,
    /// Bytes of the part behind those, which the kernel sends.
    pub(super) from_file: usize,
}

/// Why a batch stays empty.
pub(super) enum Stop {
    Cold(FileRange),
    Failed(CloseReason),
}

impl Batch {
    /// Chooses among `parts`, of the first of which so many bytes have been `sent`, at most `budget` bytes; those in
    /// files that are to be copied are read into `buffer`.
    pub(super) fn gather(
        parts: &VecDeque<Payload>,
        mut sent: usize,
        buffer: &mut [u8],
        budget: usize,
        may_send_file: bool,
    ) -> Result<Batch, Stop> {
        let mut batch = Batch { takes: [0; PARTS_PER_WRITE], parts: 0, from_file: 0 };
        let (mut used, mut left) = (0, budget);
        for (part, take) in parts.iter().zip(batch.takes.iter_mut()) {
            let whole = part.len() - std::mem::take(&mut sent);
            *take = match part {
                Payload::Bytes(_) => whole.min(left),
                Payload::File(range) if may_send_file && is_sent_by_kernel(range, left) => {
                    batch.from_file = range.len.min(left);
                    break;
                }
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

    /// Bytes of the parts that are written by one call.
    pub(super) fn bytes(&self) -> usize {
        self.takes.iter().take(self.parts).sum()
    }
}

/// What is said of a file that is shorter than a range of it.
pub(super) fn ended(position: u64) -> CloseReason {
    CloseReason::File(format!("it ends before byte {position}"))
}

/// Whether the front of a range, at most `bytes_max`, is long enough and lies in memory. The kernel waits for the disk
/// where it does not, and cannot be asked not to: hence a look at a byte here and there. Pages come and go in long runs,
/// so that little can hide between two looks.
fn is_sent_by_kernel(range: &FileRange, bytes_max: usize) -> bool {
    let len = range.len.min(bytes_max);
    if len < SENDFILE_BYTES_MIN || range.file.descriptor().is_none() {
        return false;
    }
    (0..len).step_by(PROBE_BYTES).chain([len - 1]).all(|at| is_warm(range, at))
}

fn is_warm(range: &FileRange, at: usize) -> bool {
    let position = range.position.saturating_add(u64::try_from(at).unwrap_or(u64::MAX));
    range.file.read_at_nowait(&mut [0], position).is_ok_and(|read| read == 1)
}

/// Reads the front of `range` into `room` if it is in memory: at least one byte, at most `bytes_max`.
fn read_warm(range: &FileRange, room: &mut [u8], bytes_max: usize) -> Result<usize, Stop> {
    let wanted = range.len.min(bytes_max).min(room.len());
    let failed = |error: String| Stop::Failed(CloseReason::File(error));
    let cold = || Stop::Cold(FileRange { len: range.len.min(FLUSH_BYTES), ..range.clone() });
    match range.file.read_at_nowait(room.get_mut(..wanted).unwrap_or_default(), range.position) {
        Ok(0) => Err(Stop::Failed(ended(range.position))),
        Ok(bytes) if bytes > wanted => Err(failed(format!("{bytes} bytes came of {wanted}"))),
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(cold()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(cold()),
        Err(error) => Err(failed(error.to_string())),
    }
}
