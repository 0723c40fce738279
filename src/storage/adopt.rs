//! Logs that change hands: those of another broker taken over, and ours given away.
//!
//! A log is copied batch by batch. Each is checked on the way, indexes and the transaction index are made anew, and the
//! copy is on the disk when it is done. The original is only read.

mod directory;
mod segment_writer;
mod transactions;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::directory::{
    PartitionDirectory, is_clean, leave_clean, leave_clean_for_kafka, marks_of,
    partition_directories, remove_tree,
};
use self::segment_writer::SegmentWriter;
pub use self::transactions::OpenTransaction;
use self::transactions::Transactions;
use super::checkpoint::{EpochCheckpoint, LEADER_EPOCHS};
use super::files::Files;
use super::fs::{Fs, OpenMode, read_file, read_full, replace_file};
use super::job::StorageError;
use super::manifest::{ManifestPartition, ManifestSegment};
use super::meta::{PARTITION_METADATA, PartitionMetadata};
use super::scan::{Met, Scan, ScanError, WHOLE};
use super::segment::{LOG_SUFFIX, file_name, parse_file_name};
use super::snapshot::{self, ProducerSnapshot};
use crate::base::ids::{Offset, PartitionId};
use crate::base::time::WallMs;
use crate::record::batch::{BatchHeader, PREFIX_SIZE, set_leader_epoch};

/// Most bytes of a small file beside the log.
const SMALL_FILE_MAX: usize = 64 * 1024 * 1024;
/// Producer snapshots that go with a log.
const SNAPSHOTS_MAX: usize = 2;

/// A log to be copied.
#[derive(Clone, Copy, Debug)]
pub struct Original<'a> {
    /// The partition's directory.
    pub dir: &'a Path,
    /// Its first offset, if a checkpoint says so; the first segment may begin before it.
    pub log_start: Option<Offset>,
    /// From this offset on, what is no good batch was torn by a crash and is left out. `None`: its broker was stopped
    /// cleanly, and a bad batch is damage.
    pub torn_from: Option<Offset>,
}

/// Where a log goes.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// The file system of both.
    pub fs: &'a Arc<dyn Fs>,
    /// The partition's directory, which is made.
    pub dir: &'a Path,
    /// The partition.
    pub partition: PartitionId,
    /// The topic's name.
    pub topic: &'a str,
    /// Bytes of records between two index entries.
    pub index_interval_bytes: u64,
    /// The leader epoch that every batch gets; `None`: each keeps its own.
    pub leader_epoch: Option<i32>,
    /// The time of the markers that abort what is still open; `None`: it stays open.
    pub abort_open: Option<WallMs>,
}

/// What was copied.
#[derive(Clone, Debug)]
pub struct Copied {
    /// What the new directory holds.
    pub manifest: ManifestPartition,
    /// Bytes of records.
    pub bytes: u64,
    /// Bytes that a crash had torn and that were left out.
    pub torn_bytes: u64,
    /// Transactions in progress at the end of the original.
    pub open: Vec<OpenTransaction>,
    /// How many transactions were aborted.
    pub aborted: usize,
    /// The newest leader epoch of its batches, or -1.
    pub leader_epoch: i32,
}

/// The log files of a partition's directory, by rising base offset.
///
/// # Errors
/// What the operating system says.
pub fn log_files(fs: &dyn Fs, dir: &Path) -> Result<Vec<(Offset, PathBuf)>, StorageError> {
    let named = |name: &str| parse_file_name(name, LOG_SUFFIX).map(|base| (base, dir.join(name)));
    Ok(fs.read_dir(dir)?.iter().filter_map(|entry| named(&entry.name)).collect())
}

/// Hands over the good batches of a file, in order, up to the first bad one. Gives how many bytes are left there.
///
/// # Errors
/// What the operating system says.
pub fn visit_batches(
    fs: &dyn Fs,
    path: &Path,
    visit: &mut dyn FnMut(&BatchHeader, &[u8]),
) -> Result<u64, StorageError> {
    let file = fs.open(path, OpenMode::Read)?;
    let size = file.size().map_err(|error| StorageError::io("read", path, &error))?;
    let mut scan = Scan::new(file, 0, size, WHOLE);
    let met_or_end = |result| match result {
        Ok(met) => Ok(met),
        Err(ScanError::Bad) => Ok(None),
        Err(ScanError::Io(error)) => Err(StorageError::io("read", path, &error)),
    };
    while let Some(met) = met_or_end(scan.next_good(0))? {
        match scan.whole(&met) {
            Ok(batch) => visit(&met.header, batch),
            Err(ScanError::Io(error)) => return Err(StorageError::io("read", path, &error)),
            Err(ScanError::Bad) => break,
        }
    }
    Ok(size.saturating_sub(scan.position()))
}

/// Copies a log. The parent of the new directory is not synced.
///
/// # Errors
/// What the operating system says, or where the original is damaged.
pub fn copy_log(from: &Original<'_>, to: &Destination<'_>) -> Result<Copied, StorageError> {
    make_directory(to)?;
    let mut copying = Copying::new(from, to)?;
    let mut whole = true;
    for (base, path) in log_files(&**to.fs, from.dir)? {
        whole = whole && copying.segment(base, &path)?;
        if !whole {
            copying.leave_out(&path)?;
        }
    }
    copying.finish()
}

/// Makes a log of these batches, which follow each other from `base` on.
///
/// # Errors
/// What the operating system says.
pub fn write_log(
    to: &Destination<'_>,
    base: Offset,
    batches: &[Vec<u8>],
) -> Result<ManifestPartition, StorageError> {
    make_directory(to)?;
    let (segment, end) = write_segment(to, base, batches)?;
    let epoch = to.leader_epoch.filter(|epoch| *epoch >= 0).unwrap_or(0);
    write_epochs(to, &[(epoch, base)])?;
    to.fs.sync_dir(to.dir)?;
    Ok(ManifestPartition {
        partition: to.partition,
        topic: to.topic.to_owned(),
        log_start: base,
        log_end: end,
        segments: vec![segment],
        snapshots: Vec::new(),
        epochs: vec![(epoch, base)],
    })
}

/// Makes a further segment of a log. Its name appears when all of it is on the disk, but for the sync of the directory.
/// Gives the offset behind it, too.
///
/// # Errors
/// What the operating system says.
pub fn write_segment(
    to: &Destination<'_>,
    base: Offset,
    batches: &[Vec<u8>],
) -> Result<(ManifestSegment, Offset), StorageError> {
    let path = to.dir.join(file_name(base, LOG_SUFFIX));
    replace_file(&**to.fs, &path, &batches.concat())?;
    let mut writer = SegmentWriter::behind(to, base)?;
    let mut end = base;
    for batch in batches {
        let header = BatchHeader::read(batch)
            .map_err(|error| StorageError::content("write", &path, error.to_string()))?;
        end = header.next_offset();
        writer.note(header);
    }
    Ok((writer.finish(&[])?, end))
}

fn make_directory(to: &Destination<'_>) -> Result<(), StorageError> {
    to.fs.create_dir(to.dir)?;
    let metadata = PartitionMetadata { topic_id: to.partition.topic };
    replace_file(&**to.fs, &to.dir.join(PARTITION_METADATA), &metadata.encode())
}

fn write_epochs(to: &Destination<'_>, epochs: &[(i32, Offset)]) -> Result<(), StorageError> {
    let checkpoint = EpochCheckpoint { epochs: epochs.to_vec() };
    replace_file(&**to.fs, &to.dir.join(LEADER_EPOCHS), &checkpoint.encode())
}

/// A log on its way.
struct Copying<'a> {
    from: &'a Original<'a>,
    to: &'a Destination<'a>,
    files: Arc<Files>,
    /// The offset behind what was copied.
    end: Offset,
    first: Option<Offset>,
    writer: Option<SegmentWriter>,
    segments: Vec<ManifestSegment>,
    epochs: Vec<(i32, Offset)>,
    transactions: Transactions,
    bytes: u64,
    /// How much of the torn segment was good.
    torn_at: u64,
    torn_bytes: u64,
    leader_epoch: i32,
}

impl<'a> Copying<'a> {
    fn new(from: &'a Original<'a>, to: &'a Destination<'a>) -> Result<Copying<'a>, StorageError> {
        let path = from.dir.join(LEADER_EPOCHS);
        let known = match read_file(&**to.fs, &path, SMALL_FILE_MAX)? {
            // A checkpoint that is damaged is made anew from what the batches say.
            Some(bytes) if to.leader_epoch.is_none() => EpochCheckpoint::decode(&bytes).ok(),
            _ => None,
        };
        Ok(Copying {
            from,
            to,
            files: directory::files(to.fs, to.dir),
            end: 0,
            first: None,
            writer: None,
            segments: Vec::new(),
            epochs: known.unwrap_or_default().epochs,
            transactions: Transactions::default(),
            bytes: 0,
            torn_at: 0,
            torn_bytes: 0,
            leader_epoch: -1,
        })
    }

    /// Copies one segment. `false`: it was torn, and nothing follows.
    fn segment(&mut self, base: Offset, path: &Path) -> Result<bool, StorageError> {
        if self.first.is_some() && base < self.end {
            return self.bad(path, 0);
        }
        self.first.get_or_insert(base);
        self.end = base;
        let file = self.to.fs.open(path, OpenMode::Read)?;
        let size = file.size().map_err(|error| StorageError::io("read", path, &error))?;
        if size == 0 {
            return Ok(true);
        }
        self.finish_segment()?;
        self.writer = Some(SegmentWriter::create(self.to, &self.files, base)?);
        let mut scan = Scan::new(file, 0, size, WHOLE);
        loop {
            let met = match scan.next_good(self.end) {
                Ok(Some(met)) => met,
                Ok(None) => return Ok(true),
                Err(ScanError::Bad) => return self.bad(path, scan.position()),
                Err(ScanError::Io(error)) => return Err(StorageError::io("read", path, &error)),
            };
            match scan.whole(&met) {
                Ok(batch) => self.batch(path, &met, batch.to_vec())?,
                Err(error) => {
                    return Err(StorageError::content("read", path, format!("{error:?}")));
                }
            }
        }
    }

    fn batch(&mut self, path: &Path, met: &Met, mut batch: Vec<u8>) -> Result<(), StorageError> {
        let damaged = |error: crate::record::RecordError| {
            StorageError::content("read", path, format!("at byte {}: {error}", met.position))
        };
        let mut header = met.header;
        if let Some(epoch) = self.to.leader_epoch {
            set_leader_epoch(&mut batch, epoch).map_err(damaged)?;
            header.partition_leader_epoch = epoch;
        }
        self.transactions.note(&header, &batch).map_err(damaged)?;
        self.append(&batch, header)
    }

    fn append(&mut self, batch: &[u8], header: BatchHeader) -> Result<(), StorageError> {
        let newest = self.epochs.last().map_or(-1, |(epoch, _)| *epoch);
        if header.partition_leader_epoch > newest {
            self.epochs.push((header.partition_leader_epoch, header.base_offset));
        }
        self.leader_epoch = self.leader_epoch.max(header.partition_leader_epoch);
        self.end = header.next_offset();
        self.bytes = self.bytes.saturating_add(super::fs::as_u64(batch.len()));
        match &mut self.writer {
            Some(writer) => writer.append(batch, header),
            None => Ok(()),
        }
    }

    /// What stands at `position` is no good batch.
    fn bad(&mut self, path: &Path, position: u64) -> Result<bool, StorageError> {
        let mut prefix = [0; PREFIX_SIZE];
        let file = self.to.fs.open(path, OpenMode::Read)?;
        let read = read_full(&*file, &mut prefix, position).unwrap_or(0);
        if self.from.torn_from.is_some_and(|from| self.end >= from) {
            self.torn_at = position;
            return Ok(false);
        }
        let [.., magic] = prefix;
        let reason = if read == PREFIX_SIZE && magic < 2 && position == 0 {
            format!("these are messages of the old format {magic}; only format 2 can be copied")
        } else {
            format!("damaged at byte {position}: there is no good batch at offset {}", self.end)
        };
        Err(StorageError::content("read", path, reason))
    }

    /// Counts a torn segment, or one behind it.
    fn leave_out(&mut self, path: &Path) -> Result<(), StorageError> {
        let file = self.to.fs.open(path, OpenMode::Read)?;
        let size = file.size().map_err(|error| StorageError::io("read", path, &error))?;
        let left = size.saturating_sub(std::mem::take(&mut self.torn_at));
        self.torn_bytes = self.torn_bytes.saturating_add(left);
        Ok(())
    }

    fn finish_segment(&mut self) -> Result<(), StorageError> {
        if let Some(writer) = self.writer.take() {
            let aborted = self.transactions.take_aborted();
            if let Some(segment) = Some(writer.finish(&aborted)?).filter(|s| s.bytes > 0) {
                self.segments.push(segment);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Copied, StorageError> {
        let fs = &**self.to.fs;
        let snapshots = self.snapshots()?;
        let open = self.transactions.open();
        if let Some(now) = self.to.abort_open {
            for transaction in &open {
                self.abort(transaction, now)?;
            }
        }
        self.finish_segment()?;
        let first = self.first.unwrap_or(0);
        let log_start = self.from.log_start.unwrap_or(first).clamp(first, self.end.max(first));
        self.epochs.retain(|(_, from)| *from < self.end);
        write_epochs(self.to, &self.epochs)?;
        fs.sync_dir(self.to.dir)?;
        let manifest = ManifestPartition {
            partition: self.to.partition,
            topic: self.to.topic.to_owned(),
            log_start,
            log_end: self.end,
            segments: self.segments,
            snapshots,
            epochs: self.epochs,
        };
        Ok(Copied {
            manifest,
            bytes: self.bytes,
            torn_bytes: self.torn_bytes,
            open,
            aborted: self.transactions.aborted_count(),
            leader_epoch: self.leader_epoch,
        })
    }

    /// Copies the newest producer snapshots. One at the end of the log knows best what is open.
    fn snapshots(&mut self) -> Result<Vec<Offset>, StorageError> {
        let fs = &**self.to.fs;
        let mut copied = Vec::new();
        let entries = fs.read_dir(self.from.dir)?;
        let offsets = entries.iter().filter_map(|e| parse_file_name(&e.name, snapshot::SUFFIX));
        for offset in offsets.collect::<Vec<_>>().into_iter().rev() {
            if offset > self.end || copied.len() >= SNAPSHOTS_MAX {
                continue;
            }
            let name = ProducerSnapshot::file_name(offset);
            let bytes = read_file(fs, &self.from.dir.join(&name), SMALL_FILE_MAX)?;
            let Some(bytes) = bytes else { continue };
            let Ok(decoded) = ProducerSnapshot::decode(&bytes) else { continue };
            if offset == self.end {
                self.transactions.keep_open(&decoded);
            }
            replace_file(fs, &self.to.dir.join(&name), &bytes)?;
            copied.insert(0, offset);
        }
        Ok(copied)
    }

    /// Ends a transaction in progress as if its coordinator had given it up.
    fn abort(&mut self, transaction: &OpenTransaction, now: WallMs) -> Result<(), StorageError> {
        let epoch = self.epochs.last().map_or(0, |(epoch, _)| *epoch);
        let refused = |error: crate::record::RecordError| {
            StorageError::content("write", self.to.dir, error.to_string())
        };
        let marker = transaction.marker(self.end, epoch, now).map_err(refused)?;
        let header = BatchHeader::read(&marker).map_err(refused)?;
        self.transactions.note(&header, &marker).map_err(refused)?;
        self.append(&marker, header)
    }
}
