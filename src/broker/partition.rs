//! One partition as the broker knows it: where its log begins and ends, and how far clients may see.
//!
//! ```text
//! log_start <= synced <= high_watermark <= end      (synced <= high_watermark: what is on the disk is visible)
//! ```
//!
//! The high watermark is the longest written prefix in which every record's own condition holds: a record that was
//! sent with `acks=all` must be on the disk, any other one only written.

use std::collections::VecDeque;

use crate::base::epochs;
use crate::base::ids::Offset;
use crate::base::planted::{Bug, is_planted};
use crate::base::time::WallMs;
use crate::storage::job::{Appended, Opened, StorageError};

/// Whether a partition can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionState {
    /// Its directory is on its way.
    Opening,
    /// It serves.
    Online,
    /// The disk refused; it serves nothing until the next start.
    Offline(StorageError),
}

/// A run of records that is written and not yet known to be visible.
#[derive(Debug)]
struct Unsettled {
    end: Offset,
    bytes: u64,
    needs_sync: bool,
}

/// One partition.
#[derive(Debug)]
pub struct Partition {
    /// Whether it can be used.
    pub state: PartitionState,
    /// The first offset.
    pub log_start: Offset,
    /// The next offset to be written.
    pub end: Offset,
    /// Everything below this offset is on the disk.
    pub synced: Offset,
    /// Everything below this offset may be seen.
    pub high_watermark: Offset,
    /// Bytes below the high watermark, counted since the log began to grow here; only differences mean anything.
    pub visible_bytes: u64,
    /// Bytes in all segments.
    pub bytes: u64,
    /// From when the oldest closed segment ages. `None`: no segment is closed.
    pub oldest: Option<WallMs>,
    /// When the log wants to be looked after, as storage said last.
    pub due: Option<WallMs>,
    /// Leader epochs and the first offset of each.
    pub epochs: Vec<(i32, Offset)>,
    unsettled: VecDeque<Unsettled>,
}

impl Default for Partition {
    fn default() -> Partition {
        Partition {
            state: PartitionState::Opening,
            log_start: 0,
            end: 0,
            synced: 0,
            high_watermark: 0,
            visible_bytes: 0,
            bytes: 0,
            oldest: None,
            due: None,
            epochs: Vec::new(),
            unsettled: VecDeque::new(),
        }
    }
}

impl Partition {
    /// Whether it serves.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.state == PartitionState::Online
    }

    /// Its log is open. Everything in it is on the disk.
    pub fn opened(&mut self, opened: Opened) {
        self.state = PartitionState::Online;
        self.log_start = opened.log_start;
        self.end = opened.log_end;
        self.synced = opened.log_end;
        self.high_watermark = opened.log_end;
        self.visible_bytes = opened.bytes;
        self.bytes = opened.bytes;
        (self.oldest, self.due) = (opened.oldest, opened.due);
        self.epochs = opened.epochs;
    }

    /// Records were written. Answers whether the high watermark moved.
    pub fn written(&mut self, appended: &Appended, leader_epoch: i32, needs_sync: bool) -> bool {
        if appended.duplicate {
            return false;
        }
        self.bytes += appended.bytes;
        (self.oldest, self.due) = (appended.oldest, appended.due);
        if self.epochs.last().is_none_or(|(epoch, _)| *epoch < leader_epoch) {
            epochs::begin(&mut self.epochs, leader_epoch, appended.base_offset);
        }
        let needs_sync = needs_sync && !is_planted(Bug::VisibleBeforeSync);
        let end = appended.end_offset;
        self.end = self.end.max(end);
        self.unsettled.push_back(Unsettled { end, bytes: appended.bytes, needs_sync });
        self.settle()
    }

    /// Records below `end` are on the disk. Answers whether the high watermark moved.
    pub fn synced_to(&mut self, end: Offset) -> bool {
        self.synced = self.synced.max(end);
        self.settle()
    }

    /// The log begins later, and everything below is on the disk. Answers whether it had begun earlier.
    pub fn raise_log_start(&mut self, log_start: Offset) -> bool {
        if log_start <= self.log_start {
            return false;
        }
        self.log_start = log_start;
        epochs::cut_below(&mut self.epochs, log_start);
        self.synced_to(log_start);
        true
    }

    fn settle(&mut self) -> bool {
        let before = self.high_watermark;
        while let Some(run) = self.unsettled.front() {
            if run.needs_sync && run.end > self.synced {
                break;
            }
            self.high_watermark = self.high_watermark.max(run.end);
            self.visible_bytes += run.bytes;
            self.unsettled.pop_front();
        }
        self.high_watermark > before
    }

    /// Whether something is written that is not on the disk.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.synced < self.end
    }

    /// The leader epoch of the record at `offset`, or -1.
    #[must_use]
    pub fn epoch_at(&self, offset: Offset) -> i32 {
        let after = self.epochs.partition_point(|(_, start)| *start <= offset);
        after.checked_sub(1).and_then(|i| self.epochs.get(i)).map_or(-1, |(epoch, _)| *epoch)
    }

    /// Where `epoch` ended: the newest epoch not after it that has records, and the offset after its last record
    /// (KIP-101, KIP-279). Where all that is left is of later epochs, or nothing is, it ended before that: its records may
    /// have been deleted, which is no loss. `None`: there is no such epoch.
    #[must_use]
    pub fn end_of_epoch(&self, epoch: i32) -> Option<(i32, Offset)> {
        if epoch < 0 {
            return None;
        }
        let after = self.epochs.partition_point(|(known, _)| *known <= epoch);
        let found = after.checked_sub(1).and_then(|index| self.epochs.get(index));
        let end = self.epochs.get(after).map_or(self.high_watermark, |(_, start)| *start);
        Some((found.map_or(epoch, |(found, _)| *found), end))
    }

    /// What must always hold.
    ///
    /// # Errors
    /// What does not.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        if self.high_watermark > self.end {
            return Err("the high watermark lies beyond the end");
        }
        if self.synced > self.end {
            return Err("more is synced than was written");
        }
        if self.log_start > self.high_watermark {
            return Err("the log starts beyond the high watermark");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appended(base_offset: Offset, end_offset: Offset) -> Appended {
        Appended { base_offset, end_offset, bytes: 100, ..Appended::default() }
    }

    #[test]
    fn a_record_behind_an_unsynced_one_is_not_visible() {
        let mut partition = Partition::default();
        partition.opened(Opened::default());
        assert!(partition.written(&appended(0, 1), 0, false));
        assert!(!partition.written(&appended(1, 3), 0, true));
        assert!(!partition.written(&appended(3, 4), 0, false));
        assert_eq!((partition.high_watermark, partition.visible_bytes), (1, 100));
        assert!(partition.synced_to(3));
        assert_eq!((partition.high_watermark, partition.visible_bytes), (4, 300));
        assert!(partition.is_dirty());
        partition.check_invariants().unwrap();
    }

    #[test]
    fn the_end_of_an_epoch_is_the_start_of_the_next() {
        let mut partition = Partition::default();
        let epochs = vec![(1, 10), (3, 20)];
        partition.opened(Opened { log_start: 10, log_end: 30, epochs, ..Opened::default() });
        assert_eq!(partition.end_of_epoch(-1), None);
        assert_eq!(
            partition.end_of_epoch(0),
            Some((0, 10)),
            "it ended where the first that is left begins"
        );
        assert_eq!(partition.end_of_epoch(1), Some((1, 20)));
        assert_eq!(partition.end_of_epoch(2), Some((1, 20)));
        assert_eq!(partition.end_of_epoch(3), Some((3, 30)));
        assert_eq!(partition.end_of_epoch(9), Some((3, 30)));
        let mut empty = Partition::default();
        empty.opened(Opened { log_start: 7, log_end: 7, ..Opened::default() });
        assert_eq!(empty.end_of_epoch(2), Some((2, 7)), "who waits at the end has lost nothing");
    }
}
