//! A walk over the batches of several segments, one batch at a time.

use std::sync::Arc;

use crate::base::ids::Offset;
use crate::record::RecordError;
use crate::record::batch::BatchHeader;
use crate::storage::files::Files;
use crate::storage::job::StorageError;
use crate::storage::scan::{Met, Scan, ScanError, WHOLE};
use crate::storage::segment::Segment;

/// A closed segment and the offset at which it ends.
pub(in crate::storage) type Closed = (Arc<Segment>, Offset);

/// What is wrong with a segment.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The disk refused.
    Storage(StorageError),
    /// It holds something that is no good batch.
    Damaged,
}

impl From<StorageError> for Trouble {
    fn from(error: StorageError) -> Trouble {
        Trouble::Storage(error)
    }
}

impl From<RecordError> for Trouble {
    fn from(_: RecordError) -> Trouble {
        Trouble::Damaged
    }
}

/// A place in a segment.
#[derive(Default)]
pub(super) struct Walk {
    /// Which segment.
    pub(super) number: usize,
    scan: Option<Scan>,
    /// Offsets rise.
    least: Offset,
}

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Walk(segment {}, offset {})", self.number, self.least)
    }
}

impl Walk {
    /// At the beginning of a segment.
    pub(super) fn at(number: usize) -> Walk {
        Walk { number, scan: None, least: 0 }
    }

    /// Goes to the next good batch of the segment. `None`: it has no more.
    pub(super) fn next(
        &mut self,
        files: &Files,
        (segment, end): &Closed,
    ) -> Result<Option<Met>, Trouble> {
        if segment.size() == 0 {
            return Ok(None);
        }
        let scan = match &mut self.scan {
            Some(scan) => scan,
            None => {
                self.least = segment.base();
                let file = files.get(segment.log())?;
                self.scan.insert(Scan::new(file, 0, segment.size(), WHOLE))
            }
        };
        let met = scan.next_good(self.least).map_err(|error| trouble(segment, error))?;
        if let Some(met) = &met {
            self.least = met.header.next_offset();
            if self.least > *end {
                return Err(Trouble::Damaged);
            }
        }
        Ok(met)
    }

    /// All of a batch that was met last.
    pub(super) fn whole(&mut self, segment: &Segment, met: &Met) -> Result<&[u8], Trouble> {
        let scan = self.scan.as_mut().ok_or(Trouble::Damaged)?;
        scan.whole(met).map_err(|error| trouble(segment, error))
    }
}

fn trouble(segment: &Segment, error: ScanError) -> Trouble {
    match error {
        ScanError::Io(error) => StorageError::io("read", segment.log().path(), &error).into(),
        ScanError::Bad => Trouble::Damaged,
    }
}

/// Whether a batch has to do with transactions.
pub(super) fn is_of_transaction(header: &BatchHeader) -> bool {
    header.is_transactional() || header.is_control()
}
