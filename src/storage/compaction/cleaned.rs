//! Up to where logs are clean: Kafka's `cleaner-offset-checkpoint` in the data directory.
//!
//! Written before the first round of a log and after each, which is rare. Without it a log is compacted again as a whole,
//! which costs work and no more; so a file that cannot be read is no failure. What must not happen is that a log takes over the figure of an
//! earlier one of the same name: its old records would hide from compaction, and a tombstone would go before them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::base::ids::Offset;
use crate::storage::checkpoint::{CLEANED_OFFSETS, OffsetCheckpoint, PartitionOffset};
use crate::storage::files::lock;
use crate::storage::fs::{Fs, read_file, replace_file};
use crate::storage::job::StorageError;

/// Most bytes of the file.
const FILE_BYTES_MAX: usize = 16 << 20;

/// The offsets below which logs are clean, by topic and partition.
#[derive(Debug)]
pub(in crate::storage) struct Cleaned {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    offsets: Mutex<BTreeMap<(String, i32), Offset>>,
}

impl Cleaned {
    /// As the file has them.
    pub(in crate::storage) fn load(fs: Arc<dyn Fs>, data_dir: &Path) -> Cleaned {
        let path = data_dir.join(CLEANED_OFFSETS);
        let offsets = match read(&*fs, &path) {
            Ok(offsets) => offsets,
            Err(error) => {
                log::warn!("{error}; compaction begins anew");
                BTreeMap::new()
            }
        };
        Cleaned { fs, path, offsets: Mutex::new(offsets) }
    }

    /// The offset below which a log that ends at `end` is clean.
    pub(in crate::storage) fn of(&self, topic: &str, partition: i32, end: Offset) -> Offset {
        let known = lock(&self.offsets).get(&(topic.to_owned(), partition)).copied().unwrap_or(0);
        if known <= end {
            return known;
        }
        // The log has lost its end. What is left of it may have gaps all the same.
        self.note(topic, partition, 0);
        0
    }

    /// Whether a log was ever compacted: offsets may have gaps, whatever its configuration is now.
    pub(in crate::storage) fn knows(&self, topic: &str, partition: i32) -> bool {
        lock(&self.offsets).contains_key(&(topic.to_owned(), partition))
    }

    /// A log is about to have gaps. `true`: the file says so for the first time, and its directory is to be synced.
    ///
    /// # Errors
    /// What the disk refused.
    pub(in crate::storage) fn begin(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<bool, StorageError> {
        let mut offsets = lock(&self.offsets);
        let key = (topic.to_owned(), partition);
        if offsets.contains_key(&key) {
            return Ok(false);
        }
        offsets.insert(key.clone(), 0);
        let written = self.write(&offsets).inspect_err(|_| {
            offsets.remove(&key);
        });
        written.map(|()| true)
    }

    /// A round is over.
    pub(in crate::storage) fn note(&self, topic: &str, partition: i32, offset: Offset) {
        let mut offsets = lock(&self.offsets);
        offsets.insert((topic.to_owned(), partition), offset);
        if let Err(error) = self.write(&offsets) {
            log::warn!("{error}");
        }
    }

    /// A log is new. The file does not speak of it any more when this returns; the directory
    /// is for the caller to sync.
    ///
    /// # Errors
    /// What the disk refused.
    pub(in crate::storage) fn forget(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<(), StorageError> {
        let mut offsets = lock(&self.offsets);
        match offsets.remove(&(topic.to_owned(), partition)) {
            Some(_) => self.write(&offsets),
            None => Ok(()),
        }
    }

    fn write(&self, offsets: &BTreeMap<(String, i32), Offset>) -> Result<(), StorageError> {
        let entry = |((topic, partition), offset): (&(String, i32), &Offset)| PartitionOffset {
            topic: topic.clone(),
            partition: *partition,
            offset: *offset,
        };
        let checkpoint = OffsetCheckpoint { entries: offsets.iter().map(entry).collect() };
        replace_file(&*self.fs, &self.path, &checkpoint.encode())
    }
}

fn read(fs: &dyn Fs, path: &Path) -> Result<BTreeMap<(String, i32), Offset>, StorageError> {
    let Some(bytes) = read_file(fs, path, FILE_BYTES_MAX)? else { return Ok(BTreeMap::new()) };
    let checkpoint = OffsetCheckpoint::decode(&bytes)
        .map_err(|error| StorageError::content("read", path, error.to_string()))?;
    let entries = checkpoint.entries.into_iter();
    Ok(entries.map(|entry| ((entry.topic, entry.partition), entry.offset)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fs::SimFs;

    #[test]
    fn a_log_that_lost_its_end_is_dirty_and_may_still_have_gaps() {
        let fs: Arc<dyn Fs> = SimFs::new();
        let data_dir = Path::new("/data");
        fs.create_dir(data_dir).unwrap();
        let cleaned = Cleaned::load(Arc::clone(&fs), data_dir);
        cleaned.note("topic", 0, 10);
        assert_eq!(cleaned.of("topic", 0, 10), 10);
        assert_eq!(cleaned.of("topic", 0, 5), 0);
        let cleaned = Cleaned::load(fs, data_dir);
        assert!(cleaned.knows("topic", 0));
        assert_eq!(cleaned.of("topic", 0, 20), 0);
    }
}
