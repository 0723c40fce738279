//! The durable marks of one writer as its syncer keeps them: which slot is whose, what is to be written, and when.
//!
//! A mark may be behind the data, so marks wait for each other: a commit a second costs no second sync a second. Once
//! nothing more comes they are written soon, and then nothing wakes up any more.
//! A file that could not be written is written anew, under its name, as soon as the disk lets us.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::files::Files;
use super::fs::{File, Fs, OpenMode, as_u64, replace_file, write_full};
use super::job::StorageError;
use super::marks::{Mark, MarksFile, slot_position, whole_slots};
use super::space::Space;
use crate::base::ids::PartitionId;
use crate::base::time::Mono;

/// How long marks may be behind when an unclean start would have little to read for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after the last sync they are written.
const QUIET: Duration = Duration::from_millis(1500);
/// How long they may be behind when it would have much to read.
const IMPATIENCE: Duration = Duration::from_secs(1);
/// So many bytes above the marks are much.
const MUCH_BYTES: u64 = 4 << 20;
/// The longest time between two tries to write a file anew.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// A partition's place in the file, and the mark that it should have there.
#[derive(Clone, Copy, Debug)]
struct Slot {
    place: usize,
    mark: Mark,
    dirty: bool,
    /// Whether it goes to both sides, one round after the other.
    twice: bool,
}

/// The file of one writer.
#[derive(Debug)]
pub(super) struct Marks {
    fs: Arc<dyn Fs>,
    space: Arc<Space>,
    path: PathBuf,
    writer: u32,
    /// `None`: the last write failed; nothing more is written through that descriptor.
    file: Option<Arc<dyn File>>,
    slots: BTreeMap<PartitionId, Slot>,
    free: Vec<usize>,
    next_place: usize,
    round: u64,
    dirty: usize,
    /// Since when a mark is behind.
    since: Option<Mono>,
    /// When the last mark came.
    last: Mono,
    /// Bytes above the marks in the file.
    behind_bytes: u64,
    /// How long to wait before the next try, while there is no file.
    retry: Duration,
}

impl Marks {
    /// The file as it was just written from `content`.
    pub(super) fn new(
        files: &Files,
        path: PathBuf,
        content: MarksFile,
    ) -> Result<Marks, StorageError> {
        let file = Some(files.fs.open(&path, OpenMode::Write)?);
        let nothing = MarksFile { writer: content.writer, ..MarksFile::default() };
        let mut marks = Marks { file, ..Marks::unwritten(files, path, nothing) };
        marks.settle(content.marks);
        Ok(marks)
    }

    /// The file as it lies on the disk, `bytes`, if that is no worse than to write it anew: undamaged, with these marks,
    /// and with none of them ahead on the other side of its slot.
    pub(super) fn kept(
        files: &Files,
        path: &Path,
        bytes: &[u8],
        content: &MarksFile,
    ) -> Option<Marks> {
        let slots = whole_slots(bytes, content.writer)?;
        let nothing = MarksFile { writer: content.writer, ..MarksFile::default() };
        let mut marks = Marks::unwritten(files, path.to_owned(), nothing);
        marks.settle(BTreeMap::new());
        for (place, sides) in slots.into_iter().enumerate() {
            let newest = sides.into_iter().flatten().map(|mark| mark.round).max();
            marks.round = marks.round.max(newest.map_or(0, |round| round.saturating_add(1)));
            let is_kept = |mark: &Mark| {
                let wanted = content.marks.get(&mark.partition);
                wanted.is_some_and(|wanted| *wanted == Mark { round: wanted.round, ..*mark })
            };
            match older_and_newer(sides) {
                Some((older, newer)) if is_kept(&newer) && !is_wrong_beside(&older, &newer) => {
                    let slot = Slot { place, mark: newer, dirty: false, twice: false };
                    let other = marks.slots.insert(newer.partition, slot);
                    marks.free.extend(other.map(|slot| slot.place));
                }
                _ => marks.free.push(place),
            }
            marks.next_place = place.saturating_add(1);
        }
        if marks.slots.len() != content.marks.len() {
            return None;
        }
        // The first are taken first.
        marks.free.reverse();
        marks.file = Some(files.fs.open(path, OpenMode::Write).ok()?);
        Some(marks)
    }

    /// The file could not be written from `content`: an older one is there, or none.
    pub(super) fn unwritten(files: &Files, path: PathBuf, content: MarksFile) -> Marks {
        let mut marks = Marks {
            fs: Arc::clone(&files.fs),
            space: Arc::clone(&files.space),
            path,
            writer: content.writer,
            file: None,
            slots: BTreeMap::new(),
            free: Vec::new(),
            next_place: 0,
            round: 0,
            dirty: 0,
            since: None,
            last: Mono::default(),
            behind_bytes: 0,
            retry: IMPATIENCE,
        };
        for mark in content.marks.into_values() {
            marks.note(mark, Mono::default());
        }
        marks
    }

    /// Whether the file says all that it should.
    pub(super) fn is_written(&self) -> bool {
        self.file.is_some() && self.dirty == 0
    }

    /// The file holds just these marks.
    fn settle(&mut self, marks: BTreeMap<PartitionId, Mark>) {
        let slot = |(place, (id, mark))| (id, Slot { place, mark, dirty: false, twice: false });
        self.next_place = marks.len();
        self.slots = marks.into_iter().enumerate().map(slot).collect();
        self.free = Vec::new();
        // Rounds 0 and 1 are in a new file.
        self.round = 2;
        self.dirty = 0;
        self.since = None;
        self.behind_bytes = 0;
        self.retry = IMPATIENCE;
    }

    /// Takes note of a mark, to be written when it is time: to both sides of its slot if what the other side says
    /// would be wrong, should this one be damaged later.
    pub(super) fn note(&mut self, mark: Mark, now: Mono) {
        let known = self.slots.get(&mark.partition);
        let marked = known.map_or(0, |slot| {
            if slot.mark.segment_base == mark.segment_base { slot.mark.segment_bytes } else { 0 }
        });
        let grown = mark.segment_bytes.saturating_sub(marked);
        self.behind_bytes = self.behind_bytes.saturating_add(grown);
        self.since.get_or_insert(now);
        self.last = now;
        let (place, was_dirty, twice) = match known {
            Some(slot) => (slot.place, slot.dirty, slot.twice || misleads(&slot.mark, &mark)),
            // A side that is not whole beside a free one never held a mark that counted.
            None => (self.free_place(), false, true),
        };
        self.dirty += usize::from(!was_dirty);
        self.slots.insert(mark.partition, Slot { place, mark, dirty: true, twice });
    }

    /// Takes note of a mark, or a newer one of the same partition, for both sides of its slot: once that is written no
    /// older mark comes back, whatever is damaged later.
    pub(super) fn note_for_both_sides(&mut self, mark: Mark, now: Mono) {
        let known = self.slots.get(&mark.partition).map(|slot| slot.mark);
        self.note(known.filter(|known| known.end > mark.end).unwrap_or(mark), now);
        if let Some(slot) = self.slots.get_mut(&mark.partition) {
            slot.twice = true;
        }
    }

    /// Takes note of a log that begins later. What is known of its end already may be more than this mark says of it.
    pub(super) fn note_start(&mut self, mark: Mark, now: Mono) {
        let known = self.slots.get(&mark.partition).map(|slot| slot.mark);
        let further = known.filter(|known| known.end > mark.end);
        self.note(further.map_or(mark, |known| Mark { log_start: mark.log_start, ..known }), now);
    }

    fn free_place(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.next_place += 1;
            self.next_place - 1
        })
    }

    /// Forgets a partition.
    pub(super) fn forget(&mut self, partition: PartitionId) {
        let Some(slot) = self.slots.remove(&partition) else { return };
        self.free.push(slot.place);
        self.dirty -= usize::from(slot.dirty);
        if self.dirty == 0 {
            self.since = None;
        }
    }

    /// When the file wants to be written. `None`: it says all there is to say.
    pub(super) fn due(&self) -> Option<Mono> {
        let since = self.since?;
        Some(match &self.file {
            None => since + self.retry,
            Some(_) if self.behind_bytes >= MUCH_BYTES => since + IMPATIENCE,
            Some(_) => (since + PATIENCE).min(self.last + QUIET),
        })
    }

    /// Writes and syncs what is behind. A failure is told once; the marks stay behind until a later try succeeds.
    pub(super) fn write(&mut self, now: Mono) -> Result<(), StorageError> {
        if self.dirty == 0 {
            return Ok(());
        }
        let written = match self.file.clone() {
            Some(file) => self.write_rounds(&*file).inspect_err(|error| {
                log::error!("{error}; until this file is written, a start has more to read");
            }),
            None => self.write_anew().inspect(|()| {
                log::info!("{} is up to date again", self.path.display());
            }),
        };
        if written.is_err() {
            if self.file.take().is_none() {
                self.retry = (self.retry * 2).min(RETRY_MAX);
            }
            self.since = Some(now);
        }
        written
    }

    /// Writes what is behind: a round, and another for what goes to both sides.
    fn write_rounds(&mut self, file: &dyn File) -> Result<(), StorageError> {
        while self.dirty > 0 {
            self.write_round(file)?;
        }
        self.since = None;
        self.behind_bytes = 0;
        Ok(())
    }

    fn write_round(&mut self, file: &dyn File) -> Result<(), StorageError> {
        self.write_dirty(file).map_err(|error| StorageError::io("write", &self.path, &error))?;
        file.sync_data().map_err(|error| StorageError::io("sync", &self.path, &error))?;
        self.round += 1;
        for slot in self.slots.values_mut().filter(|slot| slot.dirty) {
            slot.dirty = std::mem::take(&mut slot.twice);
        }
        self.dirty = self.slots.values().filter(|slot| slot.dirty).count();
        Ok(())
    }

    /// One write for slots that lie side by side.
    fn write_dirty(&self, file: &dyn File) -> io::Result<()> {
        let round = self.round;
        let mut dirty: Vec<&Slot> = self.slots.values().filter(|slot| slot.dirty).collect();
        dirty.sort_unstable_by_key(|slot| slot.place);
        let (mut bytes, mut position) = (Vec::new(), 0);
        for slot in dirty {
            let place = slot_position(slot.place, round);
            if place != position + as_u64(bytes.len()) {
                write_full(file, &bytes, position)?;
                bytes.clear();
                position = place;
            }
            bytes.extend(Mark { round, ..slot.mark }.encode());
        }
        write_full(file, &bytes, position)
    }

    fn write_anew(&mut self) -> Result<(), StorageError> {
        let marks = self.slots.iter().map(|(id, slot)| (*id, slot.mark)).collect();
        let content = MarksFile { writer: self.writer, marks, ..MarksFile::default() };
        let bytes = content.encode();
        // Retention makes room only once the marks say what goes.
        self.space.with_ballast(|| replace_file(&*self.fs, &self.path, &bytes))?;
        self.fs.sync_dir(self.path.parent().unwrap_or(Path::new(".")))?;
        self.file = Some(self.fs.open(&self.path, OpenMode::Write)?);
        self.settle(content.marks);
        Ok(())
    }
}

/// The two marks of one partition in a slot.
fn older_and_newer(sides: [Option<Mark>; 2]) -> Option<(Mark, Mark)> {
    let [Some(even), Some(odd)] = sides else { return None };
    let ordered = if even.round < odd.round { (even, odd) } else { (odd, even) };
    (even.partition == odd.partition).then_some(ordered)
}

/// Whether an older mark of a partition must not come back: its log began earlier, or ended later.
fn misleads(older: &Mark, newer: &Mark) -> bool {
    older.log_start < newer.log_start || older.end > newer.end
}

/// Whether the older of two marks of a partition could not stand in for the newer one.
fn is_wrong_beside(older: &Mark, newer: &Mark) -> bool {
    older.log_start != newer.log_start || older.end > newer.end
}
