//! The end of a log after an unclean stop: scanned, cut where it is torn, and synced.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Known;
use crate::base::ids::Offset;
use crate::record::batch::{BatchHeader, HEADER_SIZE, verify_crc};
use crate::storage::fs::{File, Fs, OpenMode, read_full, replace_file};
use crate::storage::job::{LogConfig, StorageError};
use crate::storage::marks::Mark;
use crate::storage::scan::{Scan, ScanError, WHOLE};
use crate::storage::segment::{LOG_SUFFIX, OnDisk, Segment, file_name};

/// How the name of a file of cut bytes ends.
const TAIL_SUFFIX: &str = ".tail";
/// Most bytes that are kept aside.
const TAIL_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where the scan of a log's tail begins.
struct Start {
    segment: usize,
    position: u64,
    offset: Offset,
    /// Whether it is where the durable mark says.
    marked: bool,
}

/// The end of a log, being found.
pub(super) struct Tail<'a> {
    pub(super) fs: &'a dyn Fs,
    pub(super) dir: &'a Path,
    pub(super) config: &'a LogConfig,
    pub(super) bases: Vec<Offset>,
    pub(super) epochs: Vec<(i32, Offset)>,
    pub(super) segments: Vec<Arc<Segment>>,
    /// Bytes that were cut and are kept aside.
    pub(super) kept: Vec<u8>,
    pub(super) kept_name: Option<PathBuf>,
    /// Whether the directory's names have to be synced.
    pub(super) changed: bool,
}

impl Tail<'_> {
    /// Scans, cuts and syncs; gives the log's end.
    pub(super) fn recover(&mut self, known: &Known<'_>) -> Result<Offset, StorageError> {
        let Some(start) = self.start(known)? else {
            // Offsets that were given out are not given out again.
            return Ok(known.mark.map_or(0, |mark| mark.end));
        };
        let bases = self.bases.split_off(start.segment.min(self.bases.len()));
        for base in std::mem::take(&mut self.bases) {
            let size = self.size(base)?;
            let doubted = (!start.marked).then_some(size);
            self.keep(base, OnDisk { size, doubted, good_from: size });
        }
        let (mut next, mut position) = (start.offset, start.position);
        for (number, base) in bases.iter().enumerate() {
            let follows =
                number == 0 || *base == next || (*base > next && self.may_have_gaps(&start));
            if !follows {
                self.remove_segments(bases.get(number..).unwrap_or_default(), next)?;
                break;
            }
            next = next.max(*base);
            let (end, whole) = self.scan_segment(*base, position, next, &start)?;
            let doubted = Some(if number == 0 && start.marked { position } else { 0 });
            self.keep_scanned(*base, doubted, position)?;
            next = end;
            position = 0;
            if !whole {
                self.remove_segments(bases.get(number + 1..).unwrap_or_default(), next)?;
                break;
            }
        }
        self.epochs.retain(|(_, from)| *from < next);
        Ok(next)
    }

    /// The mark's place, the beginning of the log, or that of the segment before the last.
    fn start(&self, known: &Known<'_>) -> Result<Option<Start>, StorageError> {
        if let Some(mark) = known.mark {
            if let Some(start) = self.start_at(mark)? {
                return Ok(Some(start));
            }
            if mark.end > mark.log_start {
                log::error!("{} has lost records below offset {}", self.dir.display(), mark.end);
            }
        }
        let new = known.mark.is_none() && known.marks_whole;
        let segment = if new { 0 } else { self.bases.len().saturating_sub(2) };
        let offset = self.bases.get(segment).copied();
        Ok(offset.map(|offset| Start { segment, position: 0, offset, marked: false }))
    }

    /// The mark's place. `None`: the files do not reach that far.
    fn start_at(&self, mark: &Mark) -> Result<Option<Start>, StorageError> {
        let at = |segment, position| Start { segment, position, offset: mark.end, marked: true };
        match self.bases.binary_search(&mark.segment_base) {
            Ok(segment) => {
                let reached = self.size(mark.segment_base)? >= mark.segment_bytes;
                Ok(reached.then(|| at(segment, mark.segment_bytes)))
            }
            // A segment that nothing was written to has no file; the one before it is whole.
            Err(_) if mark.segment_bytes == 0 => match self.bases.last() {
                Some(last) if *last < mark.segment_base => {
                    Ok(Some(at(self.bases.len().saturating_sub(1), self.size(*last)?)))
                }
                _ => Ok(None),
            },
            Err(_) => Ok(None),
        }
    }

    /// Compaction leaves gaps, but not above the mark.
    fn may_have_gaps(&self, start: &Start) -> bool {
        !start.marked && self.config.compact
    }

    fn size(&self, base: Offset) -> Result<u64, StorageError> {
        let path = self.dir.join(file_name(base, LOG_SUFFIX));
        let file = self.fs.open(&path, OpenMode::Read)?;
        file.size().map_err(|error| StorageError::io("read", &path, &error))
    }

    fn keep(&mut self, base: Offset, state: OnDisk) {
        let interval = self.config.index_interval_bytes;
        self.segments.push(Segment::on_disk(self.dir, base, interval, state));
    }

    fn keep_scanned(
        &mut self,
        base: Offset,
        doubted: Option<u64>,
        good_from: u64,
    ) -> Result<(), StorageError> {
        let size = self.size(base)?;
        self.keep(base, OnDisk { size, doubted, good_from });
        Ok(())
    }

    /// Syncs a segment, scans it from `position` and cuts what is not good. Gives the next offset and whether the
    /// segment was good to its end.
    fn scan_segment(
        &mut self,
        base: Offset,
        position: u64,
        offset: Offset,
        start: &Start,
    ) -> Result<(Offset, bool), StorageError> {
        let path = self.dir.join(file_name(base, LOG_SUFFIX));
        let file = self.fs.open(&path, OpenMode::Write)?;
        file.sync_data().map_err(|error| StorageError::io("sync", &path, &error))?;
        file.drop_cache();
        let size = file.size().map_err(|error| StorageError::io("read", &path, &error))?;
        let mut scan = Scan::new(Arc::clone(&file), position, size, WHOLE);
        let mut next = offset;
        loop {
            match scan.next_good(next) {
                Ok(Some(met)) if met.header.base_offset == next || self.may_have_gaps(start) => {
                    self.note_epoch(&met.header);
                    next = met.header.next_offset();
                }
                Ok(None) => return Ok((next, true)),
                Ok(Some(met)) => {
                    self.cut(&path, &file, met.position, next)?;
                    return Ok((next, false));
                }
                Err(ScanError::Bad) => {
                    self.cut(&path, &file, scan.position(), next)?;
                    return Ok((next, false));
                }
                Err(ScanError::Io(error)) => return Err(StorageError::io("read", &path, &error)),
            }
        }
    }

    fn note_epoch(&mut self, header: &BatchHeader) {
        let newest = self.epochs.last().map_or(-1, |(epoch, _)| *epoch);
        if header.partition_leader_epoch > newest {
            self.epochs.push((header.partition_leader_epoch, header.base_offset));
        }
    }

    /// Cuts a log file, durably.
    fn cut(
        &mut self,
        path: &Path,
        file: &Arc<dyn File>,
        position: u64,
        offset: Offset,
    ) -> Result<(), StorageError> {
        let size = file.size().map_err(|error| StorageError::io("read", path, &error))?;
        log::warn!(
            "{}: {} bytes behind offset {offset} are no whole batch and are cut off",
            path.display(),
            size.saturating_sub(position)
        );
        self.keep_aside(&**file, position, size, offset);
        file.set_len(position).map_err(|error| StorageError::io("truncate", path, &error))?;
        file.sync_data().map_err(|error| StorageError::io("sync", path, &error))
    }

    /// Removes segments that nothing connects to the log any more.
    fn remove_segments(&mut self, bases: &[Offset], offset: Offset) -> Result<(), StorageError> {
        for base in bases {
            self.changed = true;
            let path = self.dir.join(file_name(*base, LOG_SUFFIX));
            log::warn!("{} does not follow offset {offset} and is removed", path.display());
            if let Ok(file) = self.fs.open(&path, OpenMode::Read) {
                self.keep_aside(&*file, 0, file.size().unwrap_or(0), *base);
            }
            for suffix in [".index", ".timeindex"] {
                let _ = self.fs.remove_file(&self.dir.join(file_name(*base, suffix)));
            }
            self.fs.remove_file(&path)?;
        }
        Ok(())
    }

    /// Keeps bytes that hold a whole batch, as far as there is room. Recovery does not depend on it.
    fn keep_aside(&mut self, file: &dyn File, from: u64, to: u64, offset: Offset) {
        let len = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(TAIL_BYTES_MAX.saturating_sub(self.kept.len()))];
        let read = read_full(file, &mut bytes, from).unwrap_or(0);
        bytes.truncate(read);
        if !holds_whole_batch(&bytes) {
            return;
        }
        self.kept.extend(bytes);
        let path = match &self.kept_name {
            Some(path) => path.clone(),
            None => self.name_kept(offset),
        };
        match replace_file(self.fs, &path, &self.kept) {
            Ok(()) => log::warn!("{} keeps {read} bytes that were cut off", path.display()),
            Err(error) => log::warn!("{error}"),
        }
    }

    /// Names the file of this recovery, and removes that of an earlier one.
    fn name_kept(&mut self, offset: Offset) -> PathBuf {
        let earlier = self.fs.read_dir(self.dir).unwrap_or_default();
        for entry in earlier.iter().filter(|entry| entry.name.ends_with(TAIL_SUFFIX)) {
            let _ = self.fs.remove_file(&self.dir.join(&entry.name));
        }
        let path = self.dir.join(file_name(offset, TAIL_SUFFIX));
        self.kept_name = Some(path.clone());
        path
    }
}

/// Whether a good batch begins anywhere in these bytes. Bytes made to look like many long batches are taken for one
/// rather than all looked at.
fn holds_whole_batch(bytes: &[u8]) -> bool {
    const MAGIC_AT: usize = 16;
    const PASSES_MAX: usize = 8;
    let mut patience = bytes.len().saturating_mul(PASSES_MAX);
    let mut begins = |at: usize| {
        let rest = bytes.get(at..).unwrap_or_default();
        let Ok(header) = BatchHeader::read(rest) else { return false };
        let Some(batch) = rest.get(..header.size_in_bytes()) else { return false };
        let Some(left) = patience.checked_sub(batch.len()) else { return true };
        patience = left;
        header.base_offset >= 0 && verify_crc(batch).is_ok()
    };
    let candidates = bytes.iter().enumerate().filter(|(_, byte)| **byte == 2);
    let mut starts = candidates.filter_map(|(at, _)| at.checked_sub(MAGIC_AT));
    bytes.len() >= HEADER_SIZE && starts.any(&mut begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_made_to_look_like_many_long_batches_do_not_hold_up_the_start() {
        // At every position a header whose batch takes half of the bytes that follow.
        let len: usize = 4 << 20;
        let mut bytes = vec![0; len];
        for at in (0..len / 2).step_by(17) {
            let length = u32::try_from(len / 2 - 12).unwrap();
            bytes[at + 8..at + 12].copy_from_slice(&length.to_be_bytes());
            bytes[at + 16] = 2;
        }
        assert!(holds_whole_batch(&bytes), "it is kept, for want of time");
        assert!(!holds_whole_batch(&[2; 4096]));
    }
}
