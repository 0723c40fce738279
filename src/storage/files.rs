//! Descriptors on loan: a file is opened when it is used and closed again when too many are open.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use super::damage::DamagePolicy;
use super::dirty::Unsynced;
use super::fs::{File, Fs, OpenMode, Volume};
use super::job::StorageError;
use super::pool::FileLimits;
use super::space::Space;
use crate::base::metrics::StorageCounters;

/// From so many partitions on they are synced together.
pub(super) const SYNC_ALL_FROM: usize = 8;

/// Locks a mutex whose holders never leave it half changed: a storage thread that panics ends the process.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file that is opened when it is used.
#[derive(Debug)]
pub(super) struct LazyFile {
    path: PathBuf,
    open: Mutex<Option<Arc<dyn File>>>,
    used: AtomicU64,
}

impl LazyFile {
    pub(super) fn new(path: PathBuf) -> Arc<LazyFile> {
        Arc::new(LazyFile { path, open: Mutex::new(None), used: AtomicU64::new(0) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Closes the file unless somebody uses it: a reply on its way, or a sync to come. Does not wait for who is about to
    /// open it, which may be the caller. `true`: it is closed.
    fn close_if_idle(&self) -> bool {
        let Ok(mut open) = self.open.try_lock() else { return false };
        if open.as_ref().is_some_and(|file| Arc::strong_count(file) == 1) {
            *open = None;
        }
        open.is_none()
    }
}

/// The file system and the files now open on it.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) space: Arc<Space>,
    /// What becomes of reads that meet damage.
    pub(super) damage: DamagePolicy,
    /// Where damage is counted.
    pub(super) stats: Arc<StorageCounters>,
    /// Those that the disk may not have yet.
    pub(super) unsynced: Unsynced,
    unsynced_max: AtomicUsize,
    open_max: usize,
    clock: AtomicU64,
    open: Mutex<Open>,
    /// What holds the data directory, and who syncs it now.
    volume: OnceLock<Arc<dyn Volume>>,
    volume_turn: Mutex<()>,
    /// Whether a sync of it has failed.
    has_volume_lost: AtomicBool,
    /// From so many partitions on that nobody waits for, the volume is synced instead of their files.
    together: usize,
    /// The first failure of a sync of everything.
    sync_all_failure: OnceLock<StorageError>,
}

/// The files now open.
#[derive(Debug)]
struct Open {
    files: Vec<Weak<LazyFile>>,
    /// From so many on those are closed that nobody uses.
    sweep_from: usize,
    /// The same of those that need not stay open until they are synced.
    sweep_synced_from: usize,
}

impl Files {
    /// Files of which at most so many are open, or unsynced; damage in them is counted.
    pub(super) fn new(
        fs: Arc<dyn Fs>,
        space: Arc<Space>,
        limits: FileLimits,
        damage: DamagePolicy,
        stats: Arc<StorageCounters>,
    ) -> Arc<Files> {
        let (open_max, clock) = (limits.open.max(4), AtomicU64::new(0));
        let sweep_synced_from = open_max + open_max / 4;
        let open = Open { files: Vec::new(), sweep_from: open_max, sweep_synced_from };
        let open = Mutex::new(open);
        let sync_all_failure = OnceLock::new();
        Arc::new(Files {
            fs,
            space,
            damage,
            stats,
            unsynced: Unsynced::default(),
            unsynced_max: AtomicUsize::new(limits.unsynced),
            open_max,
            clock,
            open,
            volume: OnceLock::new(),
            volume_turn: Mutex::default(),
            has_volume_lost: AtomicBool::new(false),
            together: limits.together,
            sync_all_failure,
        })
    }

    /// The clock of use: each answer is later than the last.
    pub(super) fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    /// The open file; opens it if need be.
    pub(super) fn get(&self, lazy: &Arc<LazyFile>) -> Result<Arc<dyn File>, StorageError> {
        self.get_mode(lazy, OpenMode::Write)
    }

    /// The open file, made if there is none.
    pub(super) fn create(&self, lazy: &Arc<LazyFile>) -> Result<Arc<dyn File>, StorageError> {
        self.get_mode(lazy, OpenMode::Create)
    }

    fn get_mode(
        &self,
        lazy: &Arc<LazyFile>,
        mode: OpenMode,
    ) -> Result<Arc<dyn File>, StorageError> {
        lazy.used.store(self.tick(), Ordering::Relaxed);
        let file = {
            let mut open = lock(&lazy.open);
            if let Some(file) = &*open {
                return Ok(Arc::clone(file));
            }
            let file = self.with_descriptors(|| self.fs.open(&lazy.path, mode))?;
            *open = Some(Arc::clone(&file));
            file
        };
        self.note_opened(lazy);
        Ok(file)
    }

    /// One more file is open.
    fn note_opened(&self, lazy: &Arc<LazyFile>) {
        let mut open = lock(&self.open);
        open.files.push(Arc::downgrade(lazy));
        if open.files.len() > open.sweep_from {
            self.sweep(&mut open);
        }
    }

    /// Closes so many files that a quarter more may come, those unused for longest. Some may be in use, the newest surely.
    fn sweep(&self, open: &mut Open) {
        let mut alive: Vec<Arc<LazyFile>> = open.files.iter().filter_map(Weak::upgrade).collect();
        // Each is looked at once: others go on using them, and what changes meanwhile cannot be sorted.
        alive.sort_by_cached_key(|file| file.used.load(Ordering::Relaxed));
        let keep = self.open_max - self.open_max / 4;
        let mut excess = alive.len().saturating_sub(keep);
        alive.retain(|file| {
            let closed = excess > 0 && file.close_if_idle();
            excess -= usize::from(closed);
            !closed
        });
        open.files = alive.iter().map(Arc::downgrade).collect();
        self.sweep_later(open);
    }

    /// Where most are in use, a quarter more may come before the next look.
    fn sweep_later(&self, open: &mut Open) {
        let more = self.open_max / 4;
        open.sweep_from = self.open_max.max(open.files.len() + more);
        open.sweep_synced_from = self.open_max.max(self.count_synced(open)) + more;
    }

    fn count_synced(&self, open: &Open) -> usize {
        open.files.len().saturating_sub(self.unsynced.count())
    }

    /// Does something that takes a descriptor. If there is none left, the files that nobody uses are closed, and it is
    /// tried once more.
    pub(super) fn with_descriptors<T>(
        &self,
        mut act: impl FnMut() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        match act() {
            Err(error) if error.is_out_of_descriptors() => {
                self.close_idle();
                act()
            }
            result => result,
        }
    }

    /// Closes the files that nobody uses. `true`: there was one.
    pub(super) fn close_idle(&self) -> bool {
        let mut open = lock(&self.open);
        let before = open.files.len();
        open.files.retain(|file| file.upgrade().is_some_and(|file| !file.close_if_idle()));
        self.sweep_later(&mut open);
        open.files.len() < before
    }

    /// Files had to stay open until they were synced, and now are: closes the oldest of those that nobody uses, if they are
    /// more than are kept.
    pub(super) fn close_synced(&self) {
        let mut open = lock(&self.open);
        if self.count_synced(&open) > open.sweep_synced_from {
            self.sweep(&mut open);
        }
    }

    /// Opens the volume of the data directory, before anything is written that it could lose.
    pub(super) fn open_volume(&self, data_dir: &Path) -> Result<(), StorageError> {
        let volume = self.fs.volume(data_dir)?;
        let _ = self.volume.set(volume);
        Ok(())
    }

    /// Syncs the volume. If that fails, anything may be lost that was not synced by then, each file's own sync says what,
    /// and no later sync of the volume does: none succeeds any more.
    pub(super) fn sync_volume(&self) -> io::Result<()> {
        let volume = self.volume.get().ok_or(io::ErrorKind::Unsupported)?;
        // One after the other: a failure is told to one of those who sync.
        let _turn = lock(&self.volume_turn);
        if self.has_volume_lost() {
            return Err(io::Error::other("an earlier sync of the volume has failed"));
        }
        let synced = volume.sync();
        self.has_volume_lost.store(synced.is_err(), Ordering::Relaxed);
        synced
    }

    /// Whether so many partitions that nobody waits for are synced better by a sync of the volume.
    pub(super) fn are_better_together(&self, partitions: usize) -> bool {
        partitions >= self.together && self.can_believe_volume()
    }

    /// Whether a sync of the volume without an error means that nothing is lost.
    pub(super) fn can_believe_volume(&self) -> bool {
        !self.has_volume_lost() && self.volume.get().is_some_and(|volume| volume.tells_of_losses())
    }

    /// Whether a sync of the volume has failed: none succeeds any more.
    pub(super) fn has_volume_lost(&self) -> bool {
        self.has_volume_lost.load(Ordering::Relaxed)
    }

    /// Syncs the volume instead of files that cannot stay open. If that fails, nobody knows whose bytes were lost, and a
    /// later sync of one file may not tell: none counts any more.
    pub(super) fn sync_all(&self, path: &Path) -> Result<(), StorageError> {
        let synced = self.sync_volume().map_err(|error| StorageError::io("sync", path, &error));
        if let Err(error) = &synced {
            let _ = self.sync_all_failure.set(error.clone());
        }
        synced
    }

    /// Why no sync counts any more.
    pub(super) fn sync_all_failure(&self) -> Option<&StorageError> {
        self.sync_all_failure.get()
    }

    /// How many partitions may have files of their own open until they are synced, a few each, beside those that are
    /// kept open.
    pub(super) fn dirty_max(&self) -> usize {
        (self.open_max / 8).min(SYNC_ALL_FROM)
    }

    /// How many unsynced files there may be from now on.
    pub(super) fn set_unsynced_max(&self, files: usize) {
        self.unsynced_max.store(files, Ordering::Relaxed);
    }

    /// Whether there are so many unsynced files that no partition should add to them which has none yet.
    pub(super) fn has_many_unsynced(&self) -> bool {
        self.unsynced.count() >= self.unsynced_max.load(Ordering::Relaxed)
    }

    /// Whether it is time to do something about that.
    pub(super) fn will_have_many_unsynced(&self) -> bool {
        self.unsynced.count() >= self.unsynced_max.load(Ordering::Relaxed) / 2
    }

    /// How many files are listed as open.
    pub(super) fn open_count(&self) -> usize {
        lock(&self.open).files.iter().filter(|file| file.strong_count() > 0).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::outcomes::Outcomes;
    use crate::storage::space::SpaceOptions;
    use crate::testing::fs::SimFs;

    const OPEN: usize = 100;

    fn files() -> Arc<Files> {
        let fs: Arc<dyn Fs> = SimFs::new();
        let options = SpaceOptions { reserve_bytes: Some(0), ballast_bytes: 0 };
        let space =
            Space::new(Arc::clone(&fs), "/".into(), options, Outcomes::new(Arc::new(|| {})));
        let limits = FileLimits { open: OPEN, unsynced: OPEN, together: OPEN };
        Files::new(fs, space, limits, DamagePolicy::Fence, Arc::default())
    }

    #[test]
    fn the_oldest_are_closed_while_others_use_them() {
        let files = files();
        let lazy = |number: usize| LazyFile::new(format!("/{number}").into());
        let all: Vec<Arc<LazyFile>> = (0..3 * OPEN).map(lazy).collect();
        all.iter().for_each(|file| drop(files.create(file)));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        all.iter().for_each(|file| drop(files.get(file)));
                    }
                });
            }
        });
        assert!(files.open_count() <= OPEN * 5 / 4);
    }

    #[test]
    fn what_had_to_stay_open_is_closed_once_it_is_synced() {
        let files = files();
        let lazy = |number: usize| LazyFile::new(format!("/{number}").into());
        let all: Vec<Arc<LazyFile>> = (0..5 * OPEN).map(lazy).collect();
        let dirty = |lazy: &Arc<LazyFile>| {
            files.unsynced.add(lazy.path().to_owned(), files.create(lazy).unwrap())
        };
        let unsynced: Vec<_> = all.iter().map(dirty).collect();
        files.close_synced();
        assert_eq!(files.open_count(), 5 * OPEN);
        drop(unsynced);
        files.close_synced();
        assert!(files.open_count() <= OPEN, "{}", files.open_count());
        assert!(files.close_idle());
        assert_eq!(files.open_count(), 0);
    }
}
