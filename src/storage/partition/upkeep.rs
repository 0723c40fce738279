//! Looking after a partition: what is old is closed, what need not be kept is removed.
//!
//! The first segment goes when
//!
//! - A. all of it lies below the log's first offset (DeleteRecords), whatever the cleanup policy;
//!
//! and with `cleanup.policy=delete` when
//!
//! - B. the others have `retention.bytes` without it,
//! - C. it is older than `retention.ms`, and the clock may be trusted,
//! - D. space is short over all partitions ([`Upkeep::free`]), and none went for another reason.
//!
//! Then the next one is looked at. Nothing goes that is not on the disk as a whole. If the segment that is being written
//! is to go, it is closed first, so a log can become empty; its next offset stays.
//!
//! What is on the disk at every moment, in this order: a producer snapshot for what goes, the file of an empty segment if
//! nothing else would name the next offset, the log's new first offset in the durable mark; then the files are renamed,
//! and unlinked. A crash between any two of them leaves segments below the first offset, which go with the next upkeep.
//!
//! Compaction of a topic begins where [`Partition::upkeep`] has nothing to remove.

use super::Partition;
use crate::base::epochs;
use crate::base::ids::{Offset, Ticket};
use crate::base::planted::{Bug, is_planted};
use crate::base::time::{WallMs, is_sane};
use crate::storage::fs::OpenMode;
use crate::storage::job::{StorageError, Upkeep, Upkept};
use crate::storage::segment::Segment;
use crate::storage::syncer::{Afterwards, Leaving, SyncCommand};

/// When something that the disk refused is tried again, in milliseconds.
const RETRY_MS: i64 = 60_000;
/// A moment long ago: due as soon as the clock may be trusted.
pub(super) const ONCE_TRUSTED: WallMs = 1;
/// Due whatever the clock says.
pub(super) const AT_ONCE: WallMs = 0;

/// When upkeep is wanted, as of the last change that could bring it forward.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Due {
    /// As in [`Upkept::due`].
    pub(super) at: Option<WallMs>,
    /// As in [`Upkept::oldest`].
    pub(super) oldest: Option<WallMs>,
    /// Bytes of the first segment, if it is closed.
    first_bytes: Option<u64>,
    /// The clock's last jump.
    stepped: WallMs,
}

impl Partition {
    /// Raises the log's first offset. The command makes that durable and reports it.
    pub(in crate::storage) fn trim(
        &mut self,
        ticket: Ticket,
        offset: Offset,
    ) -> Result<SyncCommand, StorageError> {
        if let Some(error) = self.log.failure() {
            return Err(error.clone());
        }
        self.raise_log_start(offset.min(self.end));
        self.note_due();
        Ok(SyncCommand::Trim(self.take_sync(), Afterwards::Report(ticket)))
    }

    /// Closes and removes what is due; [`Partition::upkept`] says how that left it.
    pub(in crate::storage) fn upkeep(&mut self, upkeep: &Upkeep) -> Option<SyncCommand> {
        if self.log.failure().is_some() {
            return None;
        }
        self.due.stepped = self.due.stepped.max(upkeep.stepped);
        let done = self.look_after(upkeep);
        self.note_due();
        done.unwrap_or_else(|error| {
            log::warn!("{error}");
            self.due.at = Some(upkeep.now.saturating_add(RETRY_MS));
            None
        })
    }

    /// How upkeep left the partition.
    pub(in crate::storage) fn upkept(&self) -> Upkept {
        Upkept {
            partition: self.log.partition,
            log_start: self.log_start,
            bytes: self.bytes(),
            oldest: self.due.oldest,
            due: self.wanted_at(),
        }
    }

    /// Bytes in all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.closed_bytes.saturating_add(self.active.size())
    }

    fn look_after(&mut self, upkeep: &Upkeep) -> Result<Option<SyncCommand>, StorageError> {
        if upkeep.expire {
            self.see_active(upkeep.now);
        }
        let closed = self.log.view().segments.len().saturating_sub(1);
        let (mut count, is_blocked) = self.count_leaving(upkeep);
        if count > closed || (upkeep.expire && self.is_overdue(upkeep.now)) {
            if let Err(error) = self.roll() {
                count = count.min(closed);
                if count == 0 {
                    return Err(error);
                }
                log::warn!("{error}");
            }
        }
        if count > 0 {
            return self.remove_first(count).map(Some);
        }
        // What is not on the disk yet goes the next time.
        Ok(is_blocked.then(|| SyncCommand::Work(self.take_sync())))
    }

    /// How many of the first segments go, and whether one more would but is not on the disk yet.
    fn count_leaving(&self, upkeep: &Upkeep) -> (usize, bool) {
        let view = self.log.view();
        let mut bytes = self.bytes();
        let mut count = 0;
        for (segment, next) in view.from(Offset::MIN) {
            let size = segment.size();
            let is_new = size == 0 && segment.base() == self.active.base();
            let spare = upkeep.free && count == 0;
            if is_new || !self.is_spent(segment, next, bytes, spare, upkeep) {
                break;
            }
            if next > self.log.synced() {
                return (count, true);
            }
            bytes = bytes.saturating_sub(size);
            count += 1;
        }
        (count, false)
    }

    /// Whether a segment goes, `bytes` being left in the log with it.
    fn is_spent(
        &self,
        segment: &Segment,
        next: Offset,
        bytes: u64,
        spare: bool,
        upkeep: &Upkeep,
    ) -> bool {
        if next <= self.log_start {
            return true; // A
        }
        self.config.delete
            && (self.has_enough_without(bytes, segment.size()) // B
                || (upkeep.expire && self.is_expired(segment, upkeep.now)) // C
                || spare) // D
    }

    /// Kafka's rule for `retention.bytes`.
    fn has_enough_without(&self, bytes: u64, first: u64) -> bool {
        let kept = u64::try_from(self.config.retention_bytes);
        self.config.delete && kept.is_ok_and(|kept| bytes.saturating_sub(first) >= kept)
    }

    fn is_expired(&self, segment: &Segment, now: WallMs) -> bool {
        if self.config.retention_ms < 0 {
            return false;
        }
        segment.seen_at(&self.files, now);
        now >= self.expires_at(segment)
    }

    fn expires_at(&self, segment: &Segment) -> WallMs {
        let aged_from = segment.aged_from(&self.files, self.due.stepped);
        let (Some(aged_from), Some(written)) = (aged_from, segment.written(&self.files)) else {
            return ONCE_TRUSTED;
        };
        let over = aged_from.saturating_add(self.config.retention_ms);
        over.max(written.saturating_add(self.config.retention_check_ms)).saturating_add(1)
    }

    /// From when the segment that is being written counts as open. `None`: the clock was wrong then.
    fn open_since(&self) -> Option<WallMs> {
        if let Some(since) = self.active_since {
            return Some(since.max(self.due.stepped)).filter(|since| is_sane(*since));
        }
        // Before this start. A first timestamp that is no wall time gives way to the last write.
        let written = self.active.written(&self.files)?;
        let first = self.active.first_timestamp(&self.files).ok().flatten();
        Some(first.filter(|first| is_sane(*first)).map_or(written, |first| first.min(written)))
    }

    /// A clock that is right has seen the segment that is being written.
    fn see_active(&mut self, now: WallMs) {
        let is_known = self.open_since().is_some_and(|since| since <= now);
        if self.active.size() > 0 && !is_known {
            self.active_since = Some(now);
        }
    }

    /// Whether the segment that is being written is older than `segment.ms`.
    fn is_overdue(&self, now: WallMs) -> bool {
        self.active.size() > 0 && self.rolls_at().is_some_and(|at| now >= at)
    }

    fn rolls_at(&self) -> Option<WallMs> {
        let since = self.open_since()?;
        Some(since.saturating_add(self.config.segment_ms).saturating_add(1))
    }

    fn remove_first(&mut self, count: usize) -> Result<SyncCommand, StorageError> {
        let view = self.log.view();
        let next = view.segments.get(count).map_or(self.end, |segment| segment.base());
        self.producers()?;
        if self.whole.is_none_or(|newest| newest < next) {
            self.write_snapshot()?;
        }
        if view.segments.len() == count.saturating_add(1) && self.active.size() == 0 {
            self.make_active_file()?;
        }
        self.raise_log_start(next);
        let mut leaving = Leaving::default();
        let (old, kept) = self.snapshots.iter().partition(|offset| **offset < next);
        self.snapshots = kept;
        self.anchor = self.whole;
        let old: Vec<Offset> = old;
        leaving.paths.extend(old.into_iter().flat_map(|offset| self.snapshot_paths(offset)));
        for segment in self.log.drop_first(count) {
            leaving.segments = leaving.segments.saturating_add(1);
            leaving.bytes = leaving.bytes.saturating_add(segment.size());
            leaving.paths.extend(segment.paths());
        }
        self.closed_bytes = self.closed_bytes.saturating_sub(leaving.bytes);
        Ok(SyncCommand::Trim(self.take_sync(), Afterwards::Remove(leaving)))
    }

    /// Its name is the only thing that tells the next offset once all records are gone.
    fn make_active_file(&self) -> Result<(), StorageError> {
        if is_planted(Bug::EndForgotten) {
            return Ok(());
        }
        let path = self.active.log().path();
        let file = self.files.fs.open(path, OpenMode::Create)?;
        file.sync_data().map_err(|error| StorageError::io("sync", path, &error))?;
        self.files.fs.sync_dir(&self.log.dir)
    }

    fn raise_log_start(&mut self, offset: Offset) {
        if offset <= self.log_start {
            return;
        }
        self.log_start = offset;
        self.log.publish_log_start(offset);
        // In their file they stay until the next epoch begins: it must not be ahead of the mark, and what it has too
        // much the next start cuts again.
        epochs::cut_below(&mut self.epochs, offset);
    }

    /// Finds out anew when upkeep is wanted.
    pub(in crate::storage) fn note_due(&mut self) {
        let view = self.log.view();
        let mut segments = view.from(Offset::MIN);
        let Some((first, next)) = segments.next() else { return };
        let is_closed = segments.next().is_some();
        self.due.first_bytes = is_closed.then(|| first.size());
        let aged_from = || first.aged_from(&self.files, self.due.stepped).unwrap_or(ONCE_TRUSTED);
        self.due.oldest = is_closed.then(aged_from);
        self.due.at = self.find_due(first, next);
        self.note_compaction_due();
    }

    fn find_due(&self, first: &Segment, next: Offset) -> Option<WallMs> {
        if self.bytes() == 0 && self.due.first_bytes.is_none() {
            return None;
        }
        if self.goes_at_once(first, next) {
            return Some(AT_ONCE);
        }
        let is_written = self.active.size() > 0;
        let rolls_at = is_written.then(|| self.rolls_at().unwrap_or(ONCE_TRUSTED));
        let expires = self.config.delete && self.config.retention_ms >= 0;
        let expires_at = expires.then(|| self.expires_at(first));
        rolls_at.into_iter().chain(expires_at).min()
    }

    fn goes_at_once(&self, first: &Segment, next: Offset) -> bool {
        next <= self.log_start || self.has_enough_without(self.bytes(), first.size())
    }

    /// What is due right after opening, without a look at files that nobody has opened yet.
    pub(super) fn note_due_at_open(&mut self) {
        let view = self.log.view();
        let ends = [view.segments.first(), view.segments.last()];
        let knows = |segment: &&std::sync::Arc<Segment>| segment.size() == 0 || segment.knows_age();
        if ends.iter().flatten().all(knows) {
            return self.note_due();
        }
        let Some((first, next)) = view.from(Offset::MIN).next() else { return };
        let is_closed = view.segments.len() > 1;
        self.due.oldest = is_closed.then_some(ONCE_TRUSTED);
        self.due.first_bytes = is_closed.then(|| first.size());
        let at_once = self.goes_at_once(first, next);
        self.due.at = Some(if at_once { AT_ONCE } else { ONCE_TRUSTED });
    }

    /// Records were written: into a new segment, or to one more of many.
    pub(super) fn note_growth(&mut self, is_new: bool) {
        if is_new {
            return self.note_due();
        }
        let first = self.due.first_bytes;
        if first.is_some_and(|first| self.has_enough_without(self.bytes(), first)) {
            self.due.at = Some(AT_ONCE);
        }
    }
}
