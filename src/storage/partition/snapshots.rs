//! Snapshots of the producers: who wrote what below an offset, so that a start need not read it in the log.

use std::path::PathBuf;

use super::Partition;
use crate::base::ids::Offset;
use crate::storage::earlier_batches::EarlierBatches;
use crate::storage::fs::{OpenMode, write_full};
use crate::storage::job::StorageError;
use crate::storage::producers::Producers;
use crate::storage::recovery;
use crate::storage::snapshot::ProducerSnapshot;

/// So many bytes that idempotent producers write, too, are followed by a snapshot: a start need not read more to know them.
const SNAPSHOT_EVERY_BYTES: u64 = 16 << 20;

impl Partition {
    /// Writes who wrote what below the current end, so that the next start need not read it. Two snapshots stay, and
    /// the newest of those that are on the disk for sure.
    pub(in crate::storage) fn write_snapshot(&mut self) -> Result<(), StorageError> {
        if self.whole == Some(self.end) {
            return Ok(());
        }
        self.since_snapshot = 0;
        let (snapshot, earlier) = self.producers()?.to_snapshot();
        // A crash may leave one of the two: producers without the other file are known for incomplete.
        if !snapshot.producers.is_empty() {
            self.write_beside(&EarlierBatches::file_name(self.end), &earlier.encode())?;
        }
        self.write_beside(&ProducerSnapshot::file_name(self.end), &snapshot.encode())?;
        self.names_dirty = true;
        self.whole = Some(self.end);
        self.snapshots.retain(|offset| *offset != self.end);
        self.snapshots.push(self.end);
        self.forget_snapshots();
        Ok(())
    }

    /// Beside the anchor the newest two stay, or more, until all but one of them are on the disk.
    fn forget_snapshots(&mut self) {
        let synced = self.log.synced();
        let mut others: Vec<Offset> = self.snapshots.clone();
        others.retain(|offset| Some(*offset) != self.anchor);
        while let [old, second, _, ..] = others[..] {
            if second >= synced {
                break;
            }
            others.remove(0);
            self.snapshots.retain(|offset| *offset != old);
            for path in self.snapshot_paths(old) {
                let _ = self.files.fs.remove_file(&path);
            }
        }
    }

    pub(super) fn snapshot_paths(&self, offset: Offset) -> [PathBuf; 2] {
        let names = [ProducerSnapshot::file_name(offset), EarlierBatches::file_name(offset)];
        names.map(|name| self.log.dir.join(name))
    }

    /// Writes a snapshot if much was appended since the last one and there are producers to remember.
    pub(super) fn snapshot_now_and_then(&mut self, bytes: u64) {
        self.since_snapshot = self.since_snapshot.saturating_add(bytes);
        let none = self.producers.as_ref().is_none_or(Producers::is_empty);
        if none || self.since_snapshot < SNAPSHOT_EVERY_BYTES {
            return;
        }
        if let Err(error) = self.write_snapshot() {
            log::warn!("{error}");
            self.since_snapshot = 0;
        }
    }

    fn write_beside(&mut self, name: &str, content: &[u8]) -> Result<(), StorageError> {
        let path = self.log.dir.join(name);
        let files = &self.files;
        let file = files.with_descriptors(|| files.fs.open(&path, OpenMode::Truncate))?;
        write_full(&*file, content, 0).map_err(|error| {
            // Half a file is worth nothing, and may take the room that there is.
            let _ = files.fs.remove_file(&path);
            StorageError::io("write", &path, &error)
        })?;
        self.note_dirty(self.files.unsynced.add(path, file));
        Ok(())
    }

    /// The producers; reads them from the newest snapshot and the batches behind it when first asked.
    pub(super) fn producers(&mut self) -> Result<&mut Producers, StorageError> {
        let producers = match self.producers.take() {
            Some(producers) => producers,
            None => {
                let (view, snapshots) = (self.log.view(), &mut self.snapshots);
                let (files, dir) = (&self.files, &self.log.dir);
                let (mut producers, whole) =
                    recovery::load_producers(files, dir, &view, snapshots)?;
                (self.whole, self.anchor) = (whole, whole);
                // Whatever is there at a start is on the disk.
                whole.into_iter().for_each(|offset| self.log.publish_snapshot(offset));
                producers.were_read(|| self.files.tick());
                producers.add_unknown(std::mem::take(&mut self.refused));
                producers
            }
        };
        Ok(self.producers.insert(producers))
    }

    /// All that is known of producers.
    pub(in crate::storage) fn known_producers(&mut self) -> impl Iterator<Item = &mut Producers> {
        self.producers.as_mut().into_iter().chain([&mut self.refused])
    }

    /// How many producers are known.
    pub(in crate::storage) fn count_producers(&mut self) -> usize {
        self.producers_told = self.known_producers().map(|producers| producers.len()).sum();
        self.producers_told
    }

    /// How many more of them than when they were counted last.
    pub(in crate::storage) fn more_producers(&mut self) -> usize {
        let told = self.producers_told;
        self.count_producers().saturating_sub(told)
    }
}
