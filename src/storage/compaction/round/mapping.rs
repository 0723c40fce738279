//! The first way through a log: its keys and their newest offsets go into the map.

use super::{Progress, Round, Stage};
use crate::base::ids::Offset;
use crate::record::records::RecordReader;
use crate::storage::compaction::map::OffsetMap;
use crate::storage::compaction::transactions::Survey;
use crate::storage::compaction::walk::{Trouble, Walk, is_of_transaction};
use crate::storage::files::Files;
use crate::storage::fs::as_u64;
use crate::storage::job::StorageError;
use crate::storage::validate::DECOMPRESSED_BYTES_MAX;

impl Round {
    pub(super) fn map_batch(&mut self, files: &Files) -> Result<Progress, StorageError> {
        let Stage::Map(walk) = &mut self.stage else { return Ok(Progress::Done) };
        let number = walk.number;
        let Some(closed) = self.segments.get(number) else { return self.begin_cleaning(files) };
        let met = match walk.next(files, closed) {
            Ok(Some(met)) => met,
            Ok(None) => {
                self.stage = Stage::Map(Walk::at(number + 1));
                return Ok(Progress::Again);
            }
            Err(trouble) => return self.skip_in_map(number, trouble),
        };
        let header = met.header;
        self.work.bytes_read += as_u64(header.size_in_bytes());
        if is_of_transaction(&header) && !self.surveyed {
            let survey = Survey::default();
            self.stage = Stage::Survey { walk: Walk::at(number), survey, back: number };
            return Ok(Progress::Again);
        }
        if header.base_offset >= self.bound {
            return self.begin_cleaning(files);
        }
        let counts = header.last_offset() >= self.dirty_from
            && !header.is_control()
            && !self.filter.transactions.is_aborted(&header);
        if !counts {
            return Ok(Progress::Again);
        }
        let (map, dirty_from) = (&mut self.filter.map, self.dirty_from);
        let put = walk.whole(&closed.0, &met).and_then(|batch| put_keys(map, batch, dirty_from));
        match put {
            Ok(None) => Ok(Progress::Again),
            Ok(Some(full_at)) => {
                self.bound = full_at;
                self.begin_cleaning(files)
            }
            Err(trouble) => self.skip_in_map(number, trouble),
        }
    }

    fn skip_in_map(&mut self, number: usize, trouble: Trouble) -> Result<Progress, StorageError> {
        match trouble {
            Trouble::Storage(error) => Err(error),
            Trouble::Damaged => {
                self.note_damage(number);
                self.stage = Stage::Map(Walk::at(number + 1));
                Ok(Progress::Again)
            }
        }
    }

    pub(super) fn survey_batch(&mut self, files: &Files) -> Result<Progress, StorageError> {
        let Stage::Survey { walk, survey, back } = &mut self.stage else {
            return Ok(Progress::Done);
        };
        let number = walk.number;
        let Some(closed) = self.segments.get(number) else {
            let survey = std::mem::take(survey);
            let back = *back;
            self.bound = self.bound.min(survey.first_open().unwrap_or(Offset::MAX));
            self.filter.transactions = survey.into_transactions();
            self.surveyed = true;
            self.stage = Stage::Map(Walk::at(back));
            return Ok(Progress::Again);
        };
        let noted = walk.next(files, closed).and_then(|found| {
            let Some(met) = found else { return Ok(false) };
            let batch = walk.whole(&closed.0, &met)?;
            self.work.bytes_read += as_u64(batch.len());
            survey.meet(&met.header, batch)?;
            Ok(true)
        });
        match noted {
            Ok(true) => {}
            Ok(false) => *walk = Walk::at(number + 1),
            Err(Trouble::Storage(error)) => return Err(error),
            Err(Trouble::Damaged) => {
                // A marker may be in what cannot be read.
                self.bound = self.bound.min(closed.0.base());
                *walk = Walk::at(number + 1);
                self.note_damage(number);
            }
        }
        Ok(Progress::Again)
    }
}

/// Puts the keys of a batch into the map. `Some`: it is full, and the record at this offset has no place in it.
fn put_keys(
    map: &mut OffsetMap,
    batch: &[u8],
    dirty_from: Offset,
) -> Result<Option<Offset>, Trouble> {
    let mut reader = RecordReader::open(batch, DECOMPRESSED_BYTES_MAX)?;
    while let Some(record) = reader.next()? {
        let Some(key) = record.key.filter(|_| record.offset >= dirty_from) else { continue };
        if !map.put(key, record.offset) {
            return Ok(Some(record.offset));
        }
    }
    Ok(None)
}
