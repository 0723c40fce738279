//! Room on the disk: how much there is, from where on clients may not have it, and the ballast that the broker lives on
//! when there is none.
//!
//! ```text
//!  free space   ───────────────┬──────────────────┬────────────┐
//!               clients' appends │ the reserve      │ none        │ + the ballast file
//!  state                  Ready  │ Short            │ Short       │ Spent: the ballast is nearly gone, too
//! ```
//!
//! Nothing here ticks. What is written is counted, and the file system is asked again when a fraction of what may be
//! written has been: rarely while there is much, often near the limit. While space is short the broker asks for a look
//! once a second ([`Job::LookForSpace`](super::job::Job::LookForSpace)). Every change of state is reported by
//! [`Outcome::Disk`].

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::files::lock;
use super::fs::{File, Fs, OpenMode, Room, is_absent, write_full};
use super::job::{Disk, DiskState, Outcome, StorageError};
use super::outcomes::Outcomes;

/// The file that is given up when the journal finds no room.
pub const BALLAST: &str = "chronik-ballast";

const MIB: u64 = 1 << 20;
/// The reserve of a file system of middling size.
const RESERVE_MIN: u64 = 64 * MIB;
/// No reserve of ours grows beyond this.
const RESERVE_MAX: u64 = 1024 * MIB;
/// Least bytes that are given up at a time, and least free bytes by which the reserve must be exceeded again.
const STEP_MIN: u64 = 64 << 10;
/// Bytes after which the file system is asked again, at least and at most.
const LOOK_AFTER: (u64, u64) = (256 << 10, 64 * MIB);

/// What the operator decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpaceOptions {
    /// Free bytes below which clients' records are refused. `None`: 2 % of the file system, at least 64 MiB and at most
    /// 1 GiB, but never more than a quarter of it.
    pub reserve_bytes: Option<u64>,
    /// Bytes of the ballast file, never more than a sixteenth of the file system; 0: there is none.
    pub ballast_bytes: u64,
}

/// The disk's room, shared by all threads.
pub(super) struct Space {
    fs: Arc<dyn Fs>,
    data_dir: PathBuf,
    options: SpaceOptions,
    outcomes: Arc<Outcomes>,
    is_ready: AtomicBool,
    /// Bytes written since the last look, and how many may be before the next.
    written: AtomicU64,
    look_after: AtomicU64,
    inner: Mutex<Inner>,
    /// For those who only want to know, and may not wait for a file.
    shown: Mutex<Disk>,
}

/// What only a look changes.
#[derive(Debug)]
struct Inner {
    disk: Disk,
    /// What the ballast should be.
    ballast_bytes: u64,
    /// Whether the ballast was seen to be whole: a copied file may be one hole.
    is_whole: bool,
    ballast: Option<Arc<dyn File>>,
}

impl std::fmt::Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Space({:?})", self.disk())
    }
}

impl Space {
    /// Plenty, until it is looked at.
    pub(super) fn new(
        fs: Arc<dyn Fs>,
        data_dir: PathBuf,
        options: SpaceOptions,
        outcomes: Arc<Outcomes>,
    ) -> Arc<Space> {
        let disk = Disk {
            state: DiskState::Ready,
            free: u64::MAX,
            total: u64::MAX,
            reserve: 0,
            ballast: 0,
        };
        Arc::new(Space {
            fs,
            data_dir,
            options,
            outcomes,
            is_ready: AtomicBool::new(true),
            written: AtomicU64::new(0),
            look_after: AtomicU64::new(0),
            inner: Mutex::new(Inner { disk, ballast_bytes: 0, is_whole: false, ballast: None }),
            shown: Mutex::new(disk),
        })
    }

    /// The data directory is there and ours: finds the ballast that the last run left. Nothing is written.
    pub(super) fn open(&self) -> Result<(), StorageError> {
        let room = self.fs.room(&self.data_dir)?;
        let mut inner = lock(&self.inner);
        inner.disk.reserve = self.options.reserve_bytes.unwrap_or_else(|| default_reserve(room));
        inner.ballast_bytes = self.options.ballast_bytes.min(room.total / 16);
        inner.ballast = match self.fs.open(&self.data_dir.join(BALLAST), OpenMode::Write) {
            Ok(file) => Some(file),
            Err(error) if is_absent(&error) => None,
            Err(error) => return Err(error),
        };
        inner.disk.ballast = inner.ballast.as_ref().map_or(0, |file| file.size().unwrap_or(0));
        Ok(())
    }

    /// What the last look found.
    pub(super) fn disk(&self) -> Disk {
        *lock(&self.shown)
    }

    /// Whether a client may write so many bytes more.
    pub(super) fn admit(&self, bytes: u64) -> bool {
        self.count(bytes);
        self.is_ready.load(Ordering::Relaxed)
    }

    /// Counts what is written; looks when it is time to.
    pub(super) fn count(&self, bytes: u64) {
        let written = self.written.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let is_due = written > self.look_after.load(Ordering::Relaxed);
        if is_due && self.is_ready.load(Ordering::Relaxed) {
            self.look(None);
        }
    }

    /// Somebody waits for news: looks, makes the ballast whole if there is room for it, and reports in any case.
    pub(super) fn look_again(&self) {
        if !self.look(None) {
            self.outcomes.report([Outcome::Disk(self.disk())], false);
        }
    }

    /// The disk has refused something of the broker's own, which waits: that counts, whatever the file system says of
    /// itself. There may be a quota, or a limit of files.
    pub(super) fn insist(&self, error: &StorageError) {
        let refused = if error.is_read_only() { DiskState::ReadOnly } else { DiskState::Short };
        self.look(Some(refused));
    }

    /// Does something for which the broker cannot be without space: on a full disk it is tried again with ever less
    /// ballast.
    pub(super) fn with_ballast<T>(
        &self,
        mut act: impl FnMut() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        loop {
            match act() {
                Err(error) if error.is_out_of_space() && self.release() => {}
                result => return result,
            }
        }
    }

    /// Gives up a piece of the ballast. `false`: there is none left.
    pub(super) fn release(&self) -> bool {
        let mut inner = lock(&self.inner);
        let Some(file) = inner.ballast.clone() else { return false };
        let held = inner.disk.ballast;
        let left = held.saturating_sub(step_of(inner.ballast_bytes));
        if held == 0 {
            return false;
        }
        // Some file systems have the room only once the cut itself is durable.
        if let Err(error) = file.set_len(left).and_then(|()| file.sync_data()) {
            log::warn!("{}: {error}", self.data_dir.join(BALLAST).display());
            return false;
        }
        (inner.disk.ballast, inner.is_whole) = (left, false);
        *lock(&self.shown) = inner.disk;
        true
    }

    /// Asks the file system. `true`: the state has changed and was reported.
    pub(super) fn look(&self, refused: Option<DiskState>) -> bool {
        let room = match self.fs.room(&self.data_dir) {
            Ok(room) => room,
            Err(error) => {
                log::warn!("{error}");
                return false;
            }
        };
        let mut inner = lock(&self.inner);
        let state = inner.judge(room, refused);
        let is_ready = state == DiskState::Ready;
        (inner.disk.free, inner.disk.total) = (room.free, room.total);
        if is_ready && !inner.is_whole {
            self.refill(&mut inner);
        }
        let before = std::mem::replace(&mut inner.disk.state, state);
        let distance = inner.disk.free.saturating_sub(inner.disk.reserve);
        let (least, most) = LOOK_AFTER;
        self.look_after.store((distance / 4).clamp(least, most), Ordering::Relaxed);
        self.written.store(0, Ordering::Relaxed);
        self.is_ready.store(is_ready, Ordering::Relaxed);
        let disk = inner.disk;
        *lock(&self.shown) = disk;
        drop(inner);
        if before == state {
            return false;
        }
        tell(disk, refused.is_some());
        self.outcomes.report([Outcome::Disk(disk)], false);
        true
    }

    /// Makes the ballast as large as it should be, if that leaves clients as much as lets them go on.
    fn refill(&self, inner: &mut Inner) {
        let wanted = inner.ballast_bytes;
        let missing = wanted.saturating_sub(inner.disk.ballast);
        if inner.disk.free.saturating_sub(missing) < inner.resume_from() {
            return;
        }
        inner.is_whole = true;
        match self.try_refill(inner, wanted) {
            Ok(()) => {
                inner.disk.ballast = wanted;
                inner.disk.free = inner.disk.free.saturating_sub(missing);
            }
            Err(error) => {
                log::warn!("{error}; there is less ballast for a full disk");
                inner.ballast_bytes = inner.disk.ballast;
                if let Some(file) = &inner.ballast {
                    let _ = file.set_len(inner.disk.ballast);
                }
            }
        }
    }

    fn try_refill(&self, inner: &mut Inner, wanted: u64) -> Result<(), StorageError> {
        let path = self.data_dir.join(BALLAST);
        if wanted == 0 {
            return inner.ballast.take().map_or(Ok(()), |_| self.fs.remove_file(&path));
        }
        let file = match &inner.ballast {
            Some(file) => Arc::clone(file),
            None => self.fs.open(&path, OpenMode::Create)?,
        };
        inner.ballast = Some(Arc::clone(&file));
        fill(&*file, inner.disk.ballast, wanted)
            .map_err(|error| StorageError::io("set aside", &path, &error))
    }
}

/// Where nothing can be set aside, bytes are written.
fn fill(file: &dyn File, from: u64, to: u64) -> std::io::Result<()> {
    match file.allocate(to) {
        Err(error) if is_unsupported(&error) => {}
        Err(error) => return Err(error),
        Ok(()) => return file.set_len(to),
    }
    const PIECE: u64 = 64 << 10;
    let zeros = [0; 64 << 10];
    let mut at = from;
    while at < to {
        let len = usize::try_from((to - at).min(PIECE)).unwrap_or(zeros.len());
        write_full(file, zeros.get(..len).unwrap_or(&zeros), at)?;
        at = at.saturating_add(PIECE);
    }
    file.set_len(to)
}

fn is_unsupported(error: &std::io::Error) -> bool {
    let unknown = rustix::io::Errno::OPNOTSUPP.raw_os_error();
    error.kind() == std::io::ErrorKind::Unsupported || error.raw_os_error() == Some(unknown)
}

impl Inner {
    /// Free bytes from which on clients may write again: a little beyond the reserve, so that nothing flutters.
    fn resume_from(&self) -> u64 {
        self.disk.reserve.saturating_add((self.disk.reserve / 16).max(STEP_MIN))
    }

    fn judge(&self, room: Room, refused: Option<DiskState>) -> DiskState {
        let enough = match self.disk.state {
            DiskState::Ready => self.disk.reserve,
            _ => self.resume_from(),
        };
        let left = room.free.saturating_add(self.disk.ballast);
        match refused {
            _ if room.read_only => DiskState::ReadOnly,
            None if room.free >= enough => DiskState::Ready,
            Some(DiskState::ReadOnly) => DiskState::ReadOnly,
            _ if left <= step_of(self.ballast_bytes) => DiskState::Spent,
            _ => DiskState::Short,
        }
    }
}

/// How much of the ballast is given up at a time. As much stays for the next start, which needs some, too.
fn step_of(ballast_bytes: u64) -> u64 {
    (ballast_bytes / 16).max(STEP_MIN)
}

fn default_reserve(room: Room) -> u64 {
    (room.total / 50).clamp(RESERVE_MIN, RESERVE_MAX).min(room.total / 4)
}

/// One line for each change.
fn tell(disk: Disk, was_refused: bool) {
    let Disk { state, free, reserve, ballast, .. } = disk;
    let figures = format!("{free} bytes are free, {reserve} are kept back");
    match state {
        DiskState::Ready => log::info!("the disk has room again: {figures}; records are taken"),
        DiskState::Short if was_refused && free >= reserve => log::warn!(
            "the disk refused a write, though {figures}: is there a quota, or a limit of files? Records are refused for a moment"
        ),
        DiskState::Short => log::warn!(
            "the disk is nearly full: {figures}; records are refused until there is more, commits and reads go on"
        ),
        DiskState::Spent => log::error!(
            "the disk is full: {figures}, and {ballast} bytes of ballast are left; records, commits and changes are refused"
        ),
        DiskState::ReadOnly => log::error!(
            "the file system of the data directory is read-only; records, commits and changes are refused"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_fits_the_file_system() {
        let reserve = |total| default_reserve(Room { free: 0, total, read_only: false });
        assert_eq!(reserve(64 * MIB), 16 * MIB, "a quarter of a small one");
        assert_eq!(reserve(1024 * MIB), 64 * MIB);
        assert_eq!(reserve(10 << 30), (10 << 30) / 50);
        assert_eq!(reserve(4 << 40), 1024 * MIB, "a large disk is not left unused");
    }
}
