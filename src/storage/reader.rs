//! The threads that serve what must not hold up appends: ranges of records, searches by time, conversions.
//!
//! They look at published logs only, below the end that the job names, and read by position.

mod aborted;
mod ahead;
mod conversion;
mod times;

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use super::compaction::Round;
use super::damage::DamagePolicy;
use super::directories;
use super::files::Files;
use super::fs::{as_u64, is_absent, read_full};
use super::job::{AbortedTransaction, Job, Outcome, Read, ReadError, ReadPart};
use super::log::{Log, View};
use super::outcomes::Outcomes;
use super::queue::{Giver, Taker};
use super::registry::Registry;
use super::scan::Met;
use super::segment::{Place, Segment};
use super::writer::WriteCommand;
use crate::base::ids::{ConnId, Offset};
use crate::base::memory::Pool;
use crate::base::payload::{Bytes, FileRange, Payload};
use crate::base::planted::{Bug, is_planted};
use conversion::convert_records;

/// Most bytes that are read at once for a connection.
const WARM_BYTES_MAX: usize = 256 * 1024;

/// Bytes that a round of compaction reads and writes before others have their turn.
const COMPACTION_BYTES: u64 = 1 << 20;

/// What readers are asked to do.
#[derive(Debug)]
pub(super) enum ReadCommand {
    /// A job of the broker.
    Job(Job),
    /// Unlinks a directory that was renamed before.
    RemoveTree(PathBuf),
    /// Unlinks files that were renamed before.
    Unlink(Vec<PathBuf>),
    /// Does the next piece of a round of compaction.
    Compact(Box<Round>),
    /// Nothing follows for one of the readers.
    Stop,
}

/// One reading thread.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) files: Arc<Files>,
    pub(super) registry: Arc<Registry>,
    pub(super) outcomes: Arc<Outcomes>,
    /// Memory of records that were converted for old clients, until they are sent.
    pub(super) conversions: Arc<Pool>,
    /// The way back to the writers, by number.
    pub(super) writers: Weak<Vec<Giver<WriteCommand>>>,
}

/// Bytes that a read may still give.
struct Budget {
    left: u64,
    /// Whether the next batch comes whole, however large.
    whole_first: bool,
}

/// Ranges of one segment.
struct Piece<'a> {
    segment: &'a Arc<Segment>,
    first: Met,
    from: u64,
    to: u64,
    /// The offset behind it.
    next: Offset,
}

/// What a read still wants.
struct Want {
    offset: Offset,
    left: u64,
    /// Whether the next batch comes whole, however large.
    whole_first: bool,
}

/// What one part of a read has found.
struct Found {
    payloads: Vec<Payload>,
    aborted: Vec<AbortedTransaction>,
    /// The offset behind it.
    next: Offset,
}

/// Why a read failed.
enum Failed {
    Read(ReadError),
    /// The file of this segment is not there.
    Missing(Arc<Segment>),
}

impl Failed {
    fn of(segment: &Arc<Segment>) -> impl Fn(ReadError) -> Failed {
        move |error| match error {
            ReadError::Storage(error) if is_absent(&error) => Failed::Missing(Arc::clone(segment)),
            error => Failed::Read(error),
        }
    }

    fn why(self) -> ReadError {
        match self {
            Failed::Read(error) => error,
            // It was removed while it was read.
            Failed::Missing(_) => ReadError::OutOfRange,
        }
    }
}

impl From<ReadError> for Failed {
    fn from(error: ReadError) -> Failed {
        Failed::Read(error)
    }
}

impl Reader {
    /// Works until it is told to stop.
    pub(super) fn run(self, commands: &Taker<ReadCommand>) {
        while let Some(command) = commands.take() {
            match command {
                ReadCommand::Stop => return,
                command => self.turn(command),
            }
        }
    }

    /// Does one thing and reports.
    pub(super) fn turn(&self, command: ReadCommand) {
        let outcome = match command {
            ReadCommand::Job(Job::Read(read)) => return self.serve(&read),
            ReadCommand::Job(job) => self.do_job(job),
            ReadCommand::RemoveTree(dir) => {
                if let Err(error) = directories::remove_tree(&*self.files.fs, &dir) {
                    log::warn!("{error}");
                }
                None
            }
            ReadCommand::Unlink(paths) => {
                self.unlink(&paths);
                None
            }
            ReadCommand::Compact(round) => {
                self.compact(round);
                None
            }
            ReadCommand::Stop => None,
        };
        self.outcomes.report(outcome, false);
    }

    fn unlink(&self, paths: &[PathBuf]) {
        for path in paths {
            match self.files.fs.remove_file(path) {
                Err(error) if !is_absent(&error) => log::warn!("{error}"),
                _ => {}
            }
        }
    }

    /// One piece, so that reads are not held up; the writer sends the round back for the next.
    fn compact(&self, mut round: Box<Round>) {
        let progress = round.go_on(&self.files, COMPACTION_BYTES);
        // Without writers nobody wants it any more.
        let Some(writers) = self.writers.upgrade() else { return };
        if let Some(writer) = writers.get(round.writer()) {
            writer.put(WriteCommand::Compacted(round, progress));
        }
    }

    fn do_job(&self, job: Job) -> Option<Outcome> {
        match job {
            Job::FindTimes(find) => Some(self.find_times(&find)),
            Job::Convert(job) => Some(convert_records(job)),
            Job::Warm { conn, range } => Some(warm(conn, &range)),
            _ => None,
        }
    }

    /// Reads, and once that is on its way looks for what will be asked for next.
    fn serve(&self, read: &Read) {
        let onward = self.goes_on(read);
        let (outcome, next) = self.read(read);
        self.outcomes.report([outcome], false);
        if let (Some(onward), Some(next)) = (onward, next) {
            let ahead = self.look_ahead(&onward, next);
            self.outcomes.report(ahead.map(Outcome::Ahead), false);
        }
    }

    /// Gives also the offset behind what was read last. `None`: nothing could be.
    fn read(&self, read: &Read) -> (Outcome, Option<Offset>) {
        let mut next = None;
        let whole_first = read.whole_first_batch;
        let mut budget = Budget { left: as_u64(read.bytes_max), whole_first };
        let mut parts = Vec::with_capacity(read.parts.len());
        let mut aborted = Vec::new();
        for part in &read.parts {
            let found = self.read_part(read, part, &budget);
            let found = found.map_err(|error| self.as_of_now(part, error));
            if let Ok(found) = &found {
                let given: u64 = found.payloads.iter().map(|payload| as_u64(payload.len())).sum();
                budget.left = budget.left.saturating_sub(given);
                budget.whole_first &= given == 0;
                next = Some(found.next);
            }
            let (result, touching) = match found {
                Ok(found) => (Ok(found.payloads), found.aborted),
                Err(error) => (Err(error), Vec::new()),
            };
            parts.push(result);
            aborted.push(touching);
        }
        (Outcome::Read { ticket: read.ticket, parts, aborted }, next)
    }

    /// Files that were removed while they were looked for held what is out of range by now.
    fn as_of_now(&self, part: &ReadPart, error: ReadError) -> ReadError {
        let log_start = self.registry.get(part.partition).map(|log| log.log_start());
        let is_gone = log_start.is_some_and(|log_start| part.offset < log_start);
        if is_gone { ReadError::OutOfRange } else { error }
    }

    fn read_part(&self, read: &Read, part: &ReadPart, budget: &Budget) -> Result<Found, ReadError> {
        let log = self.registry.get(part.partition).ok_or(ReadError::UnknownPartition)?;
        let found = log.read(|view| self.read_view(read, part, (&log, view), budget));
        // The paths may be those of a new topic of the same name by now.
        if log.is_removed() {
            return Err(ReadError::UnknownPartition);
        }
        found
    }

    fn read_view(
        &self,
        read: &Read,
        part: &ReadPart,
        (log, view): (&Log, &View),
        budget: &Budget,
    ) -> Result<Found, ReadError> {
        if part.offset < view.log_start || part.offset > view.end {
            return Err(ReadError::OutOfRange);
        }
        let found = self.read_log(read, part, view, budget);
        if log.is_removed() {
            return Err(ReadError::UnknownPartition);
        }
        let found = match found {
            Err(Failed::Missing(segment)) if log.has_segment(&segment) => {
                // What a swap that broke off has renamed is no damage, and comes back with the next start.
                if let Some(error) = log.failure() {
                    return Err(ReadError::Storage(error.clone()));
                }
                segment.note_missing(&self.files);
                self.read_log(read, part, view, budget)
            }
            found => found,
        };
        let (payloads, next) = found.map_err(Failed::why)?;
        let aborted =
            if read.committed { self.aborted_in(view, part.offset, next)? } else { Vec::new() };
        Ok(Found { payloads, aborted, next })
    }

    /// What a part wants, and the offset behind it.
    fn read_log(
        &self,
        read: &Read,
        part: &ReadPart,
        view: &View,
        budget: &Budget,
    ) -> Result<(Vec<Payload>, Offset), Failed> {
        let end = part.end.min(view.end);
        let mut want = Want {
            offset: part.offset,
            left: budget.left.min(as_u64(part.bytes_max)),
            whole_first: budget.whole_first,
        };
        let mut payloads = Vec::new();
        for (segment, next) in view.from(part.offset) {
            let end = end.min(next);
            if self.read_segment(read, segment, end, &mut want, &mut payloads)? {
                break;
            }
        }
        Ok((payloads, want.offset))
    }

    /// Reads on in one segment, up to `end`. `true`: nothing behind it is wanted.
    fn read_segment(
        &self,
        read: &Read,
        segment: &Arc<Segment>,
        end: Offset,
        want: &mut Want,
        payloads: &mut Vec<Payload>,
    ) -> Result<bool, Failed> {
        loop {
            if want.offset >= end {
                return Ok(false);
            }
            if want.left == 0 && !want.whole_first {
                return Ok(true);
            }
            let at = Failed::of(segment);
            let piece = match segment.find(&self.files, want.offset).map_err(&at)? {
                Place::Batch(met) if met.header.base_offset >= end => return Ok(true),
                Place::Batch(met) => self.piece(segment, &met, end, want).map_err(&at)?,
                Place::Damage(damage) if self.files.damage == DamagePolicy::Skip => {
                    want.offset = damage.next;
                    continue;
                }
                Place::Damage(_) if payloads.is_empty() => return Err(ReadError::Corrupt.into()),
                Place::Damage(_) => return Ok(true),
                Place::End => return Ok(false),
            };
            if read.magic_max < 2 && self.conversions.used() >= self.conversions.limit() {
                // Converted records that wait to be sent take all the memory there is for them: the client asks again.
                return Ok(true);
            }
            if piece.from == piece.to {
                if !want.whole_first && payloads.is_empty() && read.magic_max < 2 {
                    payloads.extend(self.cut_batch(read, &piece, want)?);
                }
                return Ok(!is_planted(Bug::BatchSkipped));
            }
            payloads.extend(self.hand_out(read, &piece, want.offset)?);
            want.left = want.left.saturating_sub(piece.to.saturating_sub(piece.from));
            want.whole_first = false;
            want.offset = piece.next;
            segment.note_stop(piece.to, piece.next);
        }
    }

    /// The range of one segment from its batch `first` to the last batch that is wanted.
    fn piece<'a>(
        &self,
        segment: &'a Arc<Segment>,
        first: &Met,
        end: Offset,
        want: &Want,
    ) -> Result<Piece<'a>, ReadError> {
        let (from, next) = (first.position, first.header.next_offset());
        let piece = Piece { segment, first: *first, from, to: first.end(), next };
        if first.end().saturating_sub(from) > want.left {
            return Ok(if want.whole_first { piece } else { Piece { to: from, ..piece } });
        }
        let (to, next) = segment.whole_batches(&self.files, first, want.left, end)?;
        Ok(Piece { to, next, ..piece })
    }

    /// A range as the client understands it. Nothing if it holds nothing that an old client could be told.
    fn hand_out(
        &self,
        read: &Read,
        piece: &Piece<'_>,
        offset: Offset,
    ) -> Result<Option<Payload>, ReadError> {
        if read.magic_max < 2 {
            self.refuse_zstd(piece)?;
            let converted = self.convert_down(read, piece, offset)?;
            return Ok((!converted.is_empty()).then(|| Payload::Bytes(converted)));
        }
        let file = self.files.get(piece.segment.log())?.as_range();
        let len = usize::try_from(piece.to.saturating_sub(piece.from)).unwrap_or(usize::MAX);
        Ok(Some(Payload::File(FileRange { file, position: piece.from, len })))
    }

    /// For clients that hold a broker to its limit to the byte: as much of the first batch as fits, so that they learn
    /// that it is larger than they thought.
    fn cut_batch(
        &self,
        read: &Read,
        piece: &Piece<'_>,
        want: &Want,
    ) -> Result<Option<Payload>, ReadError> {
        let whole = Piece { to: piece.first.end(), ..*piece };
        let Some(Payload::Bytes(bytes)) = self.hand_out(read, &whole, want.offset)? else {
            return Ok(None);
        };
        let len = bytes.len().min(usize::try_from(want.left).unwrap_or(usize::MAX));
        Ok(bytes.slice(0..len).map(Payload::Bytes))
    }
}

fn warm(conn: ConnId, range: &FileRange) -> Outcome {
    let mut bytes = vec![0; range.len.min(WARM_BYTES_MAX)];
    let result = read_full(&*range.file, &mut bytes, range.position).and_then(|read| {
        bytes.truncate(read);
        if read == 0 {
            Err(std::io::ErrorKind::UnexpectedEof.into())
        } else {
            Ok(Bytes::from_vec(bytes))
        }
    });
    Outcome::Warmed { conn, result }
}
