//! A data directory that is read, Kafka's or ours: nobody else may use it meanwhile, and nothing in it is changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{TransferError, refuse};
use crate::base::ids::Offset;
use crate::storage::adopt;
use crate::storage::checkpoint::OffsetCheckpoint;
use crate::storage::fs::{Fs, LockGuard, read_file};
use crate::storage::job::StorageError;
use crate::storage::meta::{META_PROPERTIES, MetaProperties};

/// Most bytes of a file that is read whole.
pub(super) const FILE_BYTES_MAX: usize = 1 << 30;

/// A directory that is held.
pub(super) struct Source {
    pub(super) dir: PathBuf,
    pub(super) meta: MetaProperties,
    pub(super) clean: bool,
    _lock: LockGuard,
}

impl Source {
    /// Takes hold of a directory.
    pub(super) fn open(fs: &dyn Fs, dir: &Path) -> Result<Source, TransferError> {
        let path = dir.join(META_PROPERTIES);
        let Some(meta) = read_meta(fs, dir)? else {
            return refuse(format!("{} is missing: this is no data directory", path.display()));
        };
        let Some(lock) = fs.try_lock_shared(&dir.join(".lock"))? else {
            return refuse(format!("{} is in use: stop its broker first", dir.display()));
        };
        let clean = adopt::is_clean(fs, dir)?;
        Ok(Source { dir: dir.to_owned(), meta, clean, _lock: lock })
    }

    /// Refuses if a broker was started in the directory since it was opened.
    pub(super) fn check_unused(&self, fs: &dyn Fs) -> Result<(), TransferError> {
        if self.clean && !adopt::is_clean(fs, &self.dir)? {
            return refuse(format!("{} was used while it was copied", self.dir.display()));
        }
        Ok(())
    }

    /// One of the directory's checkpoints; empty if there is none.
    pub(super) fn checkpoint(
        &self,
        fs: &dyn Fs,
        name: &str,
    ) -> Result<BTreeMap<(String, i32), Offset>, TransferError> {
        let path = self.dir.join(name);
        let bytes = read_file(fs, &path, FILE_BYTES_MAX)?.unwrap_or_default();
        let checkpoint = OffsetCheckpoint::decode(&bytes)
            .map_err(|error| StorageError::content("read", &path, error.to_string()))?;
        let entries = checkpoint.entries.into_iter();
        Ok(entries.map(|entry| ((entry.topic, entry.partition), entry.offset)).collect())
    }
}

/// Whose a directory is; `None`: it does not say.
pub(super) fn read_meta(fs: &dyn Fs, dir: &Path) -> Result<Option<MetaProperties>, TransferError> {
    let path = dir.join(META_PROPERTIES);
    let Some(bytes) = read_file(fs, &path, FILE_BYTES_MAX)? else { return Ok(None) };
    let decoded = MetaProperties::decode(&bytes);
    let refused = |error| TransferError::Refused(vec![format!("{}: {error}", path.display())]);
    decoded.map(Some).map_err(refused)
}
