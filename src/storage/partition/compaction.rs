//! Compaction as the partition's writer sees it: when it is due, what is to be done, and putting the result in place.
//!
//! The swap of old segments for a new one, in Kafka's order:
//!
//! 1. the new files are on the disk under names that end in `.cleaned`;
//! 2. they are renamed to `.swap`, the log last, and the directory is synced: from here on the swap will happen;
//! 3. the old files are renamed to `.deleted`, indexes first, and the directory is synced, so that no old index can
//!    stand beside a new log;
//! 4. the new files get their names, the log last, and the directory is synced.
//!
//! Before all this the durable mark lies behind the segments: a start after a crash must not look for a place in a file
//! that has changed. And a snapshot that is on the disk tells who wrote what in them. Whoever reads meanwhile reads
//! again, see [`Log::read`](crate::storage::log::Log::read).

use std::path::PathBuf;

use super::Partition;
use super::upkeep::{AT_ONCE, ONCE_TRUSTED};
use crate::base::ids::Offset;
use crate::base::planted::{Bug, is_planted};
use crate::base::time::WallMs;
use crate::storage::compaction::output::{CLEANED, discard, files_of, with_suffix};
use crate::storage::compaction::{Closed, Dirt, Limits, Plan, Ready, Round};
use crate::storage::fs::{Fs, is_absent};
use crate::storage::job::{StorageError, Upkeep};
use crate::storage::segment::{DELETED_SUFFIX, Segment};

/// How the names of files end that are about to get their place; Kafka's.
pub(in crate::storage) const SWAP: &str = ".swap";
/// When somebody else's round may be over, in milliseconds.
const WAIT_MS: i64 = 1_000;

/// When a log is looked at again after a round could not be run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Retry {
    /// There is nothing to wait for.
    #[default]
    Now,
    /// Not before this time.
    At(WallMs),
    /// Not before another segment is closed.
    WhenGrown(Offset),
}

/// What the writer knows of a log's compaction.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    /// What lies below is clean.
    cleaned_to: Offset,
    is_running: bool,
    /// Whether the last look was in vain because the mark was behind.
    has_waited: bool,
    retry: Retry,
    /// Rounds that failed since the last one that did not.
    failures: u32,
    /// A round that waits for its turn to read and write more.
    held: Option<Box<Round>>,
    /// When the next round may be due, as of the last change.
    due: Option<WallMs>,
}

/// What is to be done about a log.
#[derive(Debug)]
pub(in crate::storage) enum Wanted {
    /// Nothing.
    Nothing,
    /// The durable mark has to be ahead first, or the snapshot of the producers.
    Mark,
    /// A round.
    Round(Plan),
}

impl Partition {
    /// What lies below is clean.
    pub(in crate::storage) fn set_cleaned(&mut self, cleaned_to: Offset) {
        self.compaction.cleaned_to = cleaned_to;
        let config = &self.config;
        let lags = config.min_compaction_lag_ms > 0 || config.max_compaction_lag_ms < i64::MAX;
        if lags {
            // No file is opened for that yet.
            let is_dirty = Dirt::of(&self.closed_segments(), cleaned_to).is_any();
            self.compaction.due = (config.compact && is_dirty).then_some(ONCE_TRUSTED);
        } else {
            self.note_compaction_due();
        }
    }

    /// The log is kept in another way from now on. What was in vain before need not be so any more.
    pub(super) fn compaction_configured(&mut self, is_new: bool) {
        if is_new {
            self.compaction.retry = Retry::Now;
        }
        self.set_cleaned(self.compaction.cleaned_to);
    }

    /// When upkeep is wanted, for whatever reason.
    pub(in crate::storage) fn wanted_at(&self) -> Option<WallMs> {
        let wanted = self.due.at.into_iter().chain(self.compaction.due).min();
        wanted.filter(|_| self.log.failure().is_none())
    }

    /// Finds out anew when a round may be due.
    pub(in crate::storage) fn note_compaction_due(&mut self) {
        self.compaction.due = self.compaction_due();
    }

    /// When a round may be due. `None`: not before another segment is closed.
    fn compaction_due(&self) -> Option<WallMs> {
        let state = &self.compaction;
        if !self.config.compact || (state.is_running && state.held.is_none()) {
            return None;
        }
        let not_before = match state.retry {
            Retry::Now => AT_ONCE,
            Retry::At(at) => at,
            Retry::WhenGrown(base) if base == self.active.base() => return None,
            Retry::WhenGrown(_) => AT_ONCE,
        };
        let due = self.is_wanted_at(&self.closed_segments())?;
        Some(due.max(not_before))
    }

    /// From when on enough is dirty, or overdue, among the segments that are ripe by then.
    fn is_wanted_at(&self, closed: &[Closed]) -> Option<WallMs> {
        let cleaned_to = self.compaction.cleaned_to;
        let clean = closed.iter().take_while(|(_, end)| *end <= cleaned_to).count();
        let mut dirt = Dirt::of(closed.get(..clean)?, cleaned_to);
        let overdue_at = self.is_overdue_at(closed);
        let (mut ripe_at, mut wanted) = (AT_ONCE, None);
        for segment in closed.get(clean..)? {
            dirt.add(segment, cleaned_to);
            ripe_at = ripe_at.max(self.is_ripe_at(segment).unwrap_or(AT_ONCE));
            if dirt.is_too_much(&self.config) {
                return wanted.into_iter().chain([ripe_at]).min();
            }
            let overdue_at = overdue_at.filter(|_| dirt.is_any());
            wanted = wanted.or(overdue_at.map(|at| at.max(ripe_at)));
        }
        wanted
    }

    /// All closed segments, each with its end.
    fn closed_segments(&self) -> Vec<Closed> {
        let view = self.log.view();
        let all = view.from(Offset::MIN).map(|(segment, end)| (segment.clone(), end));
        all.take_while(|(segment, _)| segment.base() < self.active.base()).collect()
    }

    /// From when on `min.compaction.lag.ms` lets a segment be compacted. `None`: always.
    fn is_ripe_at(&self, (segment, _): &Closed) -> Option<WallMs> {
        let lag = self.config.min_compaction_lag_ms;
        if lag <= 0 {
            return None;
        }
        let largest = segment.largest(&self.files).ok().flatten();
        // A timestamp far ahead must not keep the log from being compacted for good, nor must none.
        largest.map(|largest| largest.timestamp.saturating_add(lag).saturating_add(1).max(1))
    }

    /// From when on `max.compaction.lag.ms` wants a round.
    fn is_overdue_at(&self, closed: &[Closed]) -> Option<WallMs> {
        let lag = self.config.max_compaction_lag_ms;
        if lag == i64::MAX {
            return None;
        }
        let dirty = closed.iter().filter(|(_, end)| *end > self.compaction.cleaned_to);
        let firsts = dirty.filter_map(|(s, _)| s.first_timestamp(&self.files).ok().flatten());
        let oldest = firsts.filter(|timestamp| *timestamp > 0).min()?;
        Some(oldest.saturating_add(lag).saturating_add(1))
    }

    /// What is to be done now.
    pub(in crate::storage) fn wants_compaction(
        &mut self,
        upkeep: &Upkeep,
    ) -> Result<Wanted, StorageError> {
        let state = &self.compaction;
        if !self.config.compact || state.is_running || self.log.failure().is_some() {
            return Ok(Wanted::Nothing);
        }
        let clock = upkeep.expire.then_some(upkeep.now);
        let cleaned_to = state.cleaned_to;
        let mut segments = self.closed_segments();
        let is_overdue =
            self.is_overdue_at(&segments).zip(clock).is_some_and(|(at, now)| at <= now);
        let ripe = |closed: &Closed| {
            closed.1 <= cleaned_to
                || self.is_ripe_at(closed).is_none_or(|at| clock.is_some_and(|now| at <= now))
        };
        let end = segments.iter().position(|closed| !ripe(closed)).unwrap_or(segments.len());
        segments.truncate(end);
        if !self.is_enough(&segments, is_overdue) {
            return Ok(Wanted::Nothing);
        }
        // Once it has waited for the mark, what is marked does not wait for what was closed meanwhile.
        let marked = self.log.marked();
        let told = segments.iter().take_while(|(_, end)| *end <= marked).count();
        let is_told_enough = segments.get(..told).is_some_and(|t| self.is_enough(t, is_overdue));
        if self.compaction.has_waited && is_told_enough {
            segments.truncate(told);
        }
        let end = segments.last().map_or(Offset::MIN, |(_, end)| *end);
        self.compaction.has_waited = !self.producers_are_told(end)? || end > marked;
        if self.compaction.has_waited {
            return Ok(Wanted::Mark);
        }
        Ok(Wanted::Round(Plan {
            log: self.log.clone(),
            config: self.config.clone(),
            segments,
            dirty_from: cleaned_to.max(self.log_start),
            clock,
            producers: self.producers()?.last_batches(),
        }))
    }

    /// Whether so much of these segments is dirty, or anything if a round is overdue.
    fn is_enough(&self, segments: &[Closed], is_overdue: bool) -> bool {
        let dirt = Dirt::of(segments, self.compaction.cleaned_to);
        dirt.is_too_much(&self.config) || (is_overdue && dirt.is_any())
    }

    /// Whether a snapshot that is on the disk tells who wrote what below an offset. If there is none it is written, and
    /// has to be synced: a round leaves but the last batch of each producer, and a retry of one before it would be taken
    /// for a gap.
    fn producers_are_told(&mut self, end: Offset) -> Result<bool, StorageError> {
        if self.producers()?.is_empty() {
            return Ok(true);
        }
        if self.whole.is_none_or(|newest| newest < end) {
            self.write_snapshot()?;
        }
        Ok(self.log.snapshot() >= end)
    }

    /// A round has begun.
    pub(in crate::storage) fn compaction_began(&mut self) {
        self.compaction.is_running = true;
        self.compaction.retry = Retry::Now;
    }

    /// There is something to do, but not now.
    pub(in crate::storage) fn compaction_waits(&mut self, upkeep: &Upkeep) {
        // The broker leaves a partition alone for a while in any case.
        let at = upkeep.now.saturating_add(WAIT_MS);
        self.compaction.retry = if upkeep.expire { Retry::At(at) } else { Retry::Now };
    }

    fn retry_after(&mut self, clock: Option<WallMs>, wait_ms: i64) {
        self.compaction.retry = match clock {
            Some(now) => Retry::At(now.saturating_add(wait_ms)),
            // Without a clock there is no waiting but for events.
            None => Retry::WhenGrown(self.active.base()),
        };
    }

    /// A round is over, and the log is clean up to an offset. `false`: it could not do anything.
    pub(in crate::storage) fn compaction_done(&mut self, covered: Offset) -> bool {
        self.compaction.is_running = false;
        self.compaction.failures = 0;
        let is_progress = covered > self.compaction.cleaned_to;
        if is_progress {
            self.compaction.cleaned_to = covered;
        } else {
            self.compaction.retry = Retry::WhenGrown(self.active.base());
        }
        is_progress
    }

    /// A round has failed. The next one waits, the longer the more have failed.
    pub(in crate::storage) fn compaction_failed(&mut self, clock: Option<WallMs>, limits: &Limits) {
        self.compaction.is_running = false;
        let factor = 1i64 << self.compaction.failures.min(8);
        self.compaction.failures = self.compaction.failures.saturating_add(1);
        self.retry_after(clock, limits.backoff_ms.max(WAIT_MS).saturating_mul(factor));
    }

    /// Keeps a round until a time.
    pub(in crate::storage) fn hold_round(&mut self, round: Box<Round>, until: WallMs) {
        self.compaction.held = Some(round);
        self.compaction.retry = Retry::At(until);
    }

    /// Whether what a round makes could not be put in place any more.
    pub(in crate::storage) fn is_round_in_vain(&self) -> bool {
        !self.config.compact || self.log.failure().is_some()
    }

    /// Gives back the round that waits, if it does so in vain.
    pub(in crate::storage) fn take_vain_round(&mut self) -> Option<Box<Round>> {
        if self.is_round_in_vain() { self.compaction.held.take() } else { None }
    }

    /// Gives back the round that waits, if its time has come.
    pub(in crate::storage) fn resume_round(&mut self, upkeep: &Upkeep) -> Option<Box<Round>> {
        let waits = matches!(self.compaction.retry, Retry::At(at) if upkeep.now < at);
        if waits && upkeep.expire {
            return None;
        }
        let round = self.compaction.held.take();
        if round.is_some() {
            self.compaction.retry = Retry::Now;
        }
        round
    }

    /// Puts a new segment in the place of old ones. `Ok(None)`: the log is not what it was, and nothing has happened.
    /// Otherwise gives what is left to unlink. After an error the partition is offline, or nothing has happened.
    pub(in crate::storage) fn swap(
        &mut self,
        ready: &Ready,
    ) -> Result<Option<Vec<PathBuf>>, StorageError> {
        let fs = self.files.fs.clone();
        let fs = &*fs;
        if self.is_round_in_vain() || !self.log.has_run(&ready.old) {
            discard(fs, &ready.new);
            return Ok(None);
        }
        if let Err(error) = rename_new(fs, &ready.new, CLEANED, SWAP) {
            self.take_back(&ready.new);
            return Err(error);
        }
        let log = self.log.clone();
        let rename = || {
            for old in &ready.old {
                rename_old(fs, old)?;
            }
            fs.sync_dir(&log.dir)?;
            rename_new(fs, &ready.new, SWAP, "")?;
            fs.sync_dir(&log.dir)
        };
        // The next start completes what has failed. Readers know before they miss a file.
        let fail = |error: &StorageError| log.fail(error.clone());
        let swapped = fs
            .sync_dir(&log.dir)
            .inspect_err(fail)
            .and_then(|()| log.replace(&ready.old, &ready.new, || rename().inspect_err(fail)));
        let bytes = |segments: &[std::sync::Arc<Segment>]| segments.iter().map(|s| s.size()).sum();
        let old: u64 = bytes(&ready.old);
        self.closed_bytes = self.closed_bytes.saturating_sub(old).saturating_add(ready.new.size());
        swapped?;
        let left = ready.old.iter().flat_map(|old| files_of(old));
        Ok(Some(left.map(|path| with_suffix(&path, DELETED_SUFFIX)).collect()))
    }

    /// Removes files that were about to be swapped in. If even that fails the partition cannot go on: the next start
    /// would find a swap to complete.
    fn take_back(&self, new: &Segment) {
        let fs = &*self.files.fs;
        let [.., log] = files_of(new);
        let removed = fs.remove_file(&with_suffix(&log, SWAP));
        if let Err(error) = removed {
            if !is_absent(&error) {
                self.log.fail(error);
            }
        }
        for path in files_of(new) {
            let _ = fs.remove_file(&with_suffix(&path, SWAP));
        }
        discard(fs, new);
    }
}

/// Gives the files of a new segment another ending. Its log must be there.
fn rename_new(fs: &dyn Fs, segment: &Segment, from: &str, to: &str) -> Result<(), StorageError> {
    let [beside @ .., log] = files_of(segment);
    if !(to.is_empty() && is_planted(Bug::StaleIndexKept)) {
        rename_those(fs, &beside, from, to)?;
    }
    fs.rename(&with_suffix(&log, from), &with_suffix(&log, to))
}

/// Gives the files of an old segment another ending, the log last.
fn rename_old(fs: &dyn Fs, segment: &Segment) -> Result<(), StorageError> {
    let files = files_of(segment);
    let [.., log] = &files;
    let leaving =
        if is_planted(Bug::StaleIndexKept) { std::slice::from_ref(log) } else { &files[..] };
    rename_those(fs, leaving, "", DELETED_SUFFIX)
}

/// Those that are not there are no error: an empty segment has none, and few have a transaction index.
fn rename_those(fs: &dyn Fs, paths: &[PathBuf], from: &str, to: &str) -> Result<(), StorageError> {
    for path in paths {
        match fs.rename(&with_suffix(path, from), &with_suffix(path, to)) {
            Err(error) if !is_absent(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
