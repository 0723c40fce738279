//! Beside each writer, the thread that waits for the disk: one sync serves all who wait for the same file.

mod crew;
mod sync;
mod together;
mod waiting;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

pub(super) use crew::Crew;
pub(super) use sync::Hands;
use sync::{Done, now};
use together::Together;
use waiting::Waiting;

use super::fs::is_absent;
use super::job::{Outcome, StorageError};
use super::log::Log;
use super::mark_file::Marks;
use super::marks::Mark;
use super::partition::SyncWork;
use super::queue::{Giver, Taker};
use super::reader::ReadCommand;
use super::segment::DELETED_SUFFIX;
use super::writer::WriteCommand;
use crate::base::ids::{PartitionId, Ticket};
use crate::base::planted::{Bug, is_planted};
use crate::base::time::Mono;

/// What a writer asks of its syncer.
#[derive(Debug)]
pub(super) enum SyncCommand {
    /// Syncs, and reports unless nobody waits.
    Work(SyncWork),
    /// Syncs, has the log's first offset in its durable mark, and only then goes on.
    Trim(SyncWork, Afterwards),
    /// A partition's files do not reach as far as its mark said. The mark is right before anything that is appended
    /// counts; if it cannot be written, nothing ever does.
    Lower(Arc<Log>, Mark),
    /// Syncs, and brings both sides of the durable mark up to date at once.
    Mark(SyncWork),
    /// A partition is gone.
    Forget(PartitionId),
    /// The volume was synced, as this syncer wanted.
    VolumeSynced(io::Result<()>),
    /// Tells the writer once all that came before is synced.
    TellWriter,
    /// Nothing follows.
    Stop,
}

/// What comes after a log's first offset is durable.
#[derive(Debug)]
pub(super) enum Afterwards {
    /// Somebody waits for it.
    Report(Ticket),
    /// These files hold nothing that is needed any more.
    Remove(Leaving),
}

/// Files of segments that are no longer part of a log.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    pub(super) paths: Vec<PathBuf>,
    /// How many segments they are.
    pub(super) segments: u64,
    /// How many bytes of records those had.
    pub(super) bytes: u64,
}

/// A log whose first offset is to be durable.
struct Trim {
    log: Arc<Log>,
    mark: Mark,
    afterwards: Afterwards,
}

/// The thread's state.
#[derive(Debug)]
pub(super) struct Syncer {
    hands: Hands,
    readers: Giver<ReadCommand>,
    marks: Marks,
    waiting: Waiting,
    /// What goes once the marks say that it has gone.
    leaving: Vec<(Arc<Log>, Leaving)>,
    /// What the volume is syncing. The rest that nobody waits for comes after it.
    together: Option<Together>,
    /// Who waits for there to be fewer unsynced files.
    writer: Option<Waiter>,
    /// Who helps when several partitions are dirty, and where to tell of it. `None`: nobody.
    crew: Option<(Arc<Crew>, Taker<SyncCommand>)>,
    /// Whether nothing follows.
    is_stopping: bool,
}

/// The writer whose files are synced. Weak: a writer ends when nobody can send to it.
#[derive(Debug)]
struct Waiter {
    number: usize,
    writers: Weak<Vec<Giver<WriteCommand>>>,
}

impl Waiter {
    fn tell(&self) {
        let Some(writers) = self.writers.upgrade() else { return };
        if let Some(writer) = writers.get(self.number) {
            writer.put(WriteCommand::AllSynced);
        }
    }
}

/// Most partitions that are synced in one go though nobody waits for them: what somebody waits for comes between.
const UNASKED_MAX: usize = 64;

/// What a group of commands asks for, beside syncs.
#[derive(Default)]
struct Asked {
    trims: Vec<Trim>,
    to_mark: Vec<(Arc<Log>, Mark)>,
    forgotten: Vec<PartitionId>,
}

impl Syncer {
    pub(super) fn new(hands: Hands, readers: Giver<ReadCommand>, marks: Marks) -> Syncer {
        Syncer {
            hands,
            readers,
            marks,
            waiting: Waiting::default(),
            leaving: Vec::new(),
            together: None,
            writer: None,
            crew: None,
            is_stopping: false,
        }
    }

    /// Works for this writer.
    pub(super) fn serve(&mut self, number: usize, writers: Weak<Vec<Giver<WriteCommand>>>) {
        self.writer = Some(Waiter { number, writers });
    }

    /// From now on a crew helps. Commands come from `own`.
    pub(super) fn join(&mut self, crew: &Arc<Crew>, own: &Taker<SyncCommand>) {
        self.crew = Some((Arc::clone(crew), own.clone()));
    }

    /// Works until it is told to stop, or nobody is left to tell it anything. Says whether the stop may be a clean one.
    pub(super) fn run(mut self, commands: &Taker<SyncCommand>) -> bool {
        let begun = now();
        let mono = || Mono::default() + now().saturating_duration_since(begun);
        let mut taken = VecDeque::new();
        loop {
            let timeout = self.marks.due().map(|at| at.since(mono()));
            if !commands.take_all(&mut taken, timeout) {
                taken.push_back(SyncCommand::Stop);
            }
            if self.turn(taken.drain(..).chain(commands.all_now()), mono) {
                return self.is_clean();
            }
            taken.shrink_to(UNASKED_MAX);
        }
    }

    /// Whether nothing is left that no clean start would look for.
    pub(super) fn is_clean(&self) -> bool {
        self.leaving.is_empty()
    }

    /// Does all that waits, and writes the marks when it is time. What comes meanwhile is done, too, and first, if
    /// somebody waits for it. `true`: it was told to stop.
    pub(super) fn turn(
        &mut self,
        mut commands: impl Iterator<Item = SyncCommand>,
        now: impl Fn() -> Mono,
    ) -> bool {
        loop {
            let asked = self.take(&mut commands, now());
            self.work(asked, now());
            self.hands.files.close_synced();
            let is_waiting = self.together.is_some();
            let is_done = self.waiting.is_empty() && !is_waiting;
            let is_over = self.is_stopping && is_done;
            if is_over || self.marks.due().is_some_and(|at| at <= now()) {
                // The marks say what went wrong, and when to try again.
                let _ = self.marks.write(now());
            }
            if self.marks.is_written() {
                self.remove_leaving();
            }
            if is_done || is_waiting {
                return is_over;
            }
        }
    }

    /// When the marks are to be written, if something has to be.
    #[cfg(feature = "testing")]
    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.marks.due()
    }

    /// Adds work. If somebody waits for it, all that the partition has written goes with it.
    fn add(&mut self, work: SyncWork) {
        if work.awaited && !is_planted(Bug::EarlierLeftOut) {
            let partition = work.log.partition;
            let earlier = self.together.as_mut().and_then(|together| together.take(partition));
            earlier.into_iter().for_each(|earlier| self.waiting.add_earlier(earlier));
        }
        self.waiting.add(work);
    }

    /// Takes note of what is asked.
    fn take(&mut self, commands: impl Iterator<Item = SyncCommand>, now: Mono) -> Asked {
        let mut asked = Asked::default();
        for command in commands {
            match command {
                SyncCommand::Work(work) => self.add(work),
                SyncCommand::Mark(work) => {
                    asked.to_mark.push((Arc::clone(&work.log), work.mark()));
                    self.add(work.awaited());
                }
                SyncCommand::Trim(work, afterwards) => {
                    let (log, mark) = (Arc::clone(&work.log), work.mark());
                    asked.trims.push(Trim { log, mark, afterwards });
                    self.add(work.awaited());
                }
                SyncCommand::Lower(log, mark) => {
                    self.marks.note(mark, now);
                    if let Err(error) = self.marks.write(now) {
                        log.fail(error);
                    }
                }
                SyncCommand::Forget(partition) => asked.forgotten.push(partition),
                SyncCommand::VolumeSynced(synced) => self.end_together(synced, now),
                SyncCommand::TellWriter => self.waiting.add_signal(),
                SyncCommand::Stop => self.is_stopping = true,
            }
        }
        asked
    }

    /// Syncs everything that somebody waits for, and a piece of the rest.
    fn work(&mut self, asked: Asked, now: Mono) {
        let awaited = self.waiting.take_awaited();
        self.sync(awaited, now);
        if !asked.to_mark.is_empty() {
            self.mark(asked.to_mark, now);
        }
        if !asked.trims.is_empty() {
            self.trim(asked.trims, now);
        }
        if self.together.is_none() && !self.begin_together(now) {
            let (others, signal) = self.waiting.take_others(UNASKED_MAX);
            self.sync(others, now);
            if signal {
                self.writer.iter().for_each(Waiter::tell);
            }
        }
        for partition in asked.forgotten {
            self.marks.forget(partition);
        }
    }

    fn sync(&mut self, works: Vec<SyncWork>, now: Mono) {
        if is_planted(Bug::MarkBeforeData) {
            for work in works.iter().filter(|work| sync::check(work).is_ok()) {
                self.marks.note(sync::mark_of(work), now);
                let _ = self.marks.write(now);
            }
        }
        let done = match &self.crew {
            Some((crew, _)) if works.len() > 1 => crew.work_off(works),
            _ => works.iter().map(|work| self.hands.work_off(work)).collect(),
        };
        self.report(done, now);
    }

    /// Tells the broker, and takes note of what the disk has.
    fn report(&mut self, done: Vec<Done>, now: Mono) {
        let mut outcomes = Vec::new();
        for Done { outcome, mark } in done {
            outcomes.extend(outcome);
            if let Some(mark) = mark {
                self.marks.note(mark, now);
            }
        }
        self.hands.outcomes.report(outcomes, false);
    }

    /// Brings durable marks up to date, all with one write.
    fn mark(&mut self, to_mark: Vec<(Arc<Log>, Mark)>, now: Mono) {
        let is_synced =
            |(log, mark): &(Arc<Log>, Mark)| log.failure().is_none() && log.synced() >= mark.end;
        let synced: Vec<(Arc<Log>, Mark)> = to_mark.into_iter().filter(is_synced).collect();
        synced.iter().for_each(|(_, mark)| self.marks.note_for_both_sides(*mark, now));
        match self.marks.write(now) {
            Ok(()) => synced.iter().for_each(|(log, mark)| log.publish_marked(mark.segment_base)),
            Err(error) => log::warn!("{error}"),
        }
    }

    /// One write of the marks for all; what is in the way afterwards goes only once they could be written.
    fn trim(&mut self, trims: Vec<Trim>, now: Mono) {
        for trim in &trims {
            // A mark must not be ahead of the disk.
            if trim.log.failure().is_none() && trim.log.synced() >= trim.mark.end {
                self.marks.note_start(trim.mark, now);
            }
        }
        let early = is_planted(Bug::TrimNotDurable);
        let written = if early { Ok(()) } else { self.marks.write(now) };
        for Trim { log, mark, afterwards } in trims {
            let gone = || StorageError::content("trim", &log.dir, "the partition was removed");
            let failure = log.failure().cloned().or_else(|| log.is_removed().then(gone));
            let result = failure.map_or_else(|| written.clone(), Err);
            match (afterwards, result) {
                (Afterwards::Report(ticket), result) => {
                    let (partition, result) = (log.partition, result.map(|()| mark.log_start));
                    self.hands
                        .outcomes
                        .report(vec![Outcome::Trimmed { ticket, partition, result }], false);
                }
                (Afterwards::Remove(leaving), Ok(())) => self.remove(&log, leaving),
                (Afterwards::Remove(leaving), Err(_))
                    if log.failure().is_none() && !log.is_removed() =>
                {
                    self.leaving.push((log, leaving));
                }
                // The next start finds out what is in the way.
                (Afterwards::Remove(_), Err(error)) => log::warn!("nothing is removed: {error}"),
            }
        }
    }

    /// The marks had to be written first, and now they are.
    fn remove_leaving(&mut self) {
        for (log, leaving) in std::mem::take(&mut self.leaving) {
            self.remove(&log, leaving);
        }
    }

    /// Renames what leaves, as Kafka does, and leaves the unlinking, which may take its time, to the readers.
    fn remove(&self, log: &Log, leaving: Leaving) {
        let mut renamed = Vec::with_capacity(leaving.paths.len());
        log.while_there(|| {
            for path in leaving.paths {
                let mut name = path.clone().into_os_string();
                name.push(DELETED_SUFFIX);
                match self.hands.files.fs.rename(&path, Path::new(&name)) {
                    Ok(()) => renamed.push(PathBuf::from(name)),
                    Err(error) if is_absent(&error) => {}
                    Err(error) => log::warn!("{error}"),
                }
            }
        });
        self.hands.stats.segments_removed.add(leaving.segments);
        self.hands.stats.segment_bytes_removed.add(leaving.bytes);
        self.readers.put(ReadCommand::Unlink(renamed));
    }
}
