//! Files that the disk may not have yet. Each keeps its descriptor until it is synced, since only the descriptor by which a
//! file was written is sure to learn that a write was lost. So they are counted.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fs::File;

/// How many there are, of all partitions together.
#[derive(Clone, Debug, Default)]
pub(super) struct Unsynced(Arc<AtomicUsize>);

impl Unsynced {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// One more.
    pub(super) fn add(&self, path: PathBuf, file: Arc<dyn File>) -> Dirty {
        self.0.fetch_add(1, Ordering::Relaxed);
        Dirty { path, file, counted: self.clone() }
    }
}

/// A file that the disk may not have yet.
#[derive(Debug)]
pub(super) struct Dirty {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn File>,
    counted: Unsynced,
}

impl Drop for Dirty {
    fn drop(&mut self) {
        self.counted.0.fetch_sub(1, Ordering::Relaxed);
    }
}
