//! Looking ahead for whoever reads on and on: where the next pieces lie is found before they are asked for, so that the
//! broker can name them without a trip to a reader.

use std::sync::Arc;

use super::{Reader, Want};
use crate::base::ids::Offset;
use crate::storage::fs::as_u64;
use crate::storage::job::{Ahead, Read, ReadError, ReadPart};
use crate::storage::log::Log;
use crate::storage::segment::{Place, Segment, Stop};

/// Pieces that are looked for, each as large as what was asked for last.
const PIECES: usize = 8;

/// Somebody who reads on and on.
pub(super) struct Onward {
    log: Arc<Log>,
    part: ReadPart,
    bytes_max: u64,
}

impl Reader {
    /// Whether a read goes on where one has stopped before, and is answered with bytes as they lie in a file.
    pub(super) fn goes_on(&self, read: &Read) -> Option<Onward> {
        let [part] = &*read.parts else { return None };
        if read.magic_max < 2 || !read.whole_first_batch {
            return None;
        }
        let log = self.registry.get(part.partition)?;
        let view = log.view();
        let (segment, _) = view.from(part.offset).next()?;
        segment.stop_at(part.offset)?;
        let bytes_max = as_u64(read.bytes_max.min(part.bytes_max));
        Some(Onward { log, part: *part, bytes_max })
    }

    /// Where that comes which follows `next`, in one segment and as far as its bytes are known to be good. Nothing where
    /// a transaction was aborted, of which some clients have to be told.
    pub(super) fn look_ahead(&self, onward: &Onward, next: Offset) -> Option<Ahead> {
        let view = onward.log.view();
        let (segment, segment_end) = view.from(next).next()?;
        let stop = segment.stop_at(next)?;
        let ahead = self.pieces(onward, segment, stop, onward.part.end.min(segment_end)).ok()?;
        let aborted = self.aborted_in(&view, next, ahead.end.0).ok()?;
        let is_there = !onward.log.is_removed() && onward.log.has_segment(segment);
        (is_there && aborted.is_empty() && !ahead.begins.is_empty()).then_some(ahead)
    }

    /// Pieces from a place on, up to an offset.
    fn pieces(
        &self,
        onward: &Onward,
        segment: &Arc<Segment>,
        from: Stop,
        end: Offset,
    ) -> Result<Ahead, ReadError> {
        let (file, partition) = (self.files.get(segment.log())?.as_range(), onward.part.partition);
        let mut begins = Vec::with_capacity(PIECES);
        let mut at = from;
        while begins.len() < PIECES && at.offset < end {
            let limit = at.position.saturating_add(onward.bytes_max);
            let Place::Batch(met) = segment.find_behind(&self.files, at)? else { break };
            let is_next = met.position == at.position && met.header.base_offset < end;
            if !is_next || !segment.is_checked(at.position, limit) {
                break;
            }
            let want = Want { offset: at.offset, left: onward.bytes_max, whole_first: true };
            let piece = self.piece(segment, &met, end, &want)?;
            if piece.to > limit {
                // A batch that is larger than what may be given: a reader's to decide.
                break;
            }
            begins.push((at.offset, at.position));
            at = Stop { position: piece.to, offset: piece.next };
        }
        segment.note_stop(at.position, at.offset);
        Ok(Ahead { partition, file, begins, end: (at.offset, at.position) })
    }
}
