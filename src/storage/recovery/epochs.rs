//! The leader epochs of a partition after an unclean stop: from their file, or from the log where that is missing or
//! damaged.

use std::path::Path;
use std::sync::Arc;

use crate::base::ids::Offset;
use crate::record::batch::BatchHeader;
use crate::storage::checkpoint::{EpochCheckpoint, LEADER_EPOCHS};
use crate::storage::files::Files;
use crate::storage::fs::{Fs, read_file_from_disk, replace_file};
use crate::storage::job::StorageError;
use crate::storage::scan::{HEADERS, Scan, ScanError};
use crate::storage::segment::Segment;

/// Epochs and the first offset of each, both rising.
pub(super) type Epochs = Vec<(i32, Offset)>;

/// Most bytes of the file: tens of thousands of unclean starts.
const FILE_BYTES_MAX: usize = 1 << 20;

/// What the file says. `None`: there is none, or it says nothing.
pub(super) fn read(fs: &dyn Fs, dir: &Path) -> Result<Option<Epochs>, StorageError> {
    let path = dir.join(LEADER_EPOCHS);
    let bytes = match read_file_from_disk(fs, &path, FILE_BYTES_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(error) if error.errno.is_none() => {
            log::warn!("{error}");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    match EpochCheckpoint::decode(&bytes) {
        // It was written, but a power cut came before its sync.
        Ok(_) if bytes.is_empty() => Ok(None),
        Ok(checkpoint) => Ok(Some(checkpoint.epochs)),
        Err(error) => {
            log::warn!("{}: {error}", path.display());
            Ok(None)
        }
    }
}

/// Replaces the file. The next epoch writes all of them again, so a full disk is no reason not to start.
pub(super) fn write(fs: &dyn Fs, dir: &Path, epochs: &Epochs) {
    let checkpoint = EpochCheckpoint { epochs: epochs.clone() };
    replace_file(fs, &dir.join(LEADER_EPOCHS), &checkpoint.encode())
        .unwrap_or_else(|error| log::warn!("{error}"));
}

/// Notes the epoch of a batch if it is newer than those before. One that was to begin at the batch or after it is of a
/// log that was cut since.
pub(super) fn note(epochs: &mut Epochs, header: &BatchHeader) {
    let (epoch, from) = (header.partition_leader_epoch, header.base_offset);
    if epoch > epochs.last().map_or(-1, |newest| newest.0) {
        epochs.retain(|known| known.1 < from);
        epochs.push((epoch, from));
    }
}

/// What the batches say. Only segments within which the epoch changes are walked, header by header.
pub(super) fn from_log(files: &Files, segments: &[Arc<Segment>]) -> Result<Epochs, StorageError> {
    let mut epochs = Epochs::new();
    let mut firsts = Vec::with_capacity(segments.len());
    for segment in segments {
        firsts.push(walk(files, segment, |_| false)?);
    }
    for (number, segment) in segments.iter().enumerate() {
        let epoch = |number: usize| {
            let first = firsts.get(number).copied().flatten();
            first.map(|header: BatchHeader| header.partition_leader_epoch)
        };
        if let (Some(this), Some(next)) = (epoch(number), epoch(number + 1)) {
            if this == next {
                firsts.get(number).copied().flatten().iter().for_each(|h| note(&mut epochs, h));
                continue;
            }
        }
        walk(files, segment, |header| {
            note(&mut epochs, header);
            true
        })?;
    }
    Ok(epochs)
}

/// Visits the headers of a segment up to the first for which `go_on` is false, or up to damage. Gives the last visited.
fn walk(
    files: &Files,
    segment: &Segment,
    mut go_on: impl FnMut(&BatchHeader) -> bool,
) -> Result<Option<BatchHeader>, StorageError> {
    if segment.size() == 0 {
        return Ok(None);
    }
    let mut scan = Scan::new(files.get(segment.log())?, 0, segment.size(), HEADERS);
    let mut last = None;
    loop {
        match scan.next() {
            Ok(Some(met)) => {
                last = Some(met.header);
                if !go_on(&met.header) {
                    return Ok(last);
                }
            }
            Ok(None) | Err(ScanError::Bad) => return Ok(last),
            Err(ScanError::Io(error)) => {
                return Err(StorageError::io("read", segment.log().path(), &error));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::builder::{BatchBuilder, BatchOptions};

    #[test]
    fn an_epoch_takes_the_place_of_one_that_no_batch_was_left_of() {
        let bytes = BatchBuilder::new(BatchOptions::default()).and_then(|mut batch| {
            batch.append(0, None, None, &[])?;
            batch.finish()
        });
        let read = BatchHeader::read(&bytes.unwrap()).unwrap();
        let header = BatchHeader { base_offset: 5, partition_leader_epoch: 3, ..read };
        let mut epochs = vec![(0, 0), (1, 5), (2, 9)];
        note(&mut epochs, &header);
        assert_eq!(epochs, [(0, 0), (3, 5)]);
        note(&mut epochs, &BatchHeader { base_offset: 7, ..header });
        assert_eq!(epochs, [(0, 0), (3, 5)]);
    }
}
