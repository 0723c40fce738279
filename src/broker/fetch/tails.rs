//! The newest batches of the logs that are being fetched from: which bytes of which file they are.
//!
//! Storage says of each append where it went. Here the last ones of a few partitions are kept, so that a fetch of what
//! has just been written is a range of a file at once, without a trip to a reader.
//!
//! ```text
//!  the active segment's file   ... ┊ batch │ batch │ batch │
//!                                  first                   end = the log's end
//! ```
//!
//! A tail is a run without a gap, in one file, up to the log's end; what does not continue it begins it anew. It holds only
//! what this process has written and what holds no transaction's records, so nothing in it needs to be checked, and no
//! aborted transaction touches it. Upkeep may close the segment: then the tail is forgotten, and compaction and retention
//! never see a file that is held here.
//!
//! For those who read what is older, one piece behind the other, a reader looks ahead: a few pieces of whole batches are
//! known here before they are asked for, and forgotten with the tail.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::base::ids::{Offset, PartitionId};
use crate::base::payload::{FileRange, RangeFile};
use crate::base::planted::{Bug, is_planted};
use crate::storage::job::{Ahead, Appended, Read, ReadPart};

/// Partitions whose tails are known at most: each keeps a file open.
const TAILS_MAX: usize = 32;
/// Batches of one tail.
const BATCHES_MAX: usize = 256;
/// Runs of pieces further back that are known at most: each keeps a file open, too.
const AHEAD_MAX: usize = 16;
/// Partitions of one fetch for which a tail is begun: a fetch of very many would drive out all others.
const BEGUN_PER_FETCH: usize = 4;

/// The known tails.
#[derive(Debug, Default)]
pub(super) struct Tails {
    tails: BTreeMap<PartitionId, Tail>,
    /// Pieces further back, the newest last.
    ahead: VecDeque<Ahead>,
    /// Counts what is asked, so that the tail that was not asked for longest can go.
    asked: u64,
}

/// The newest batches of one log.
#[derive(Debug)]
struct Tail {
    asked: u64,
    /// `None`: no batch is known.
    file: Option<Arc<dyn RangeFile>>,
    /// Where each batch begins: offset and position, both rising.
    batches: VecDeque<(Offset, u64)>,
    /// Behind the last one.
    end: (Offset, u64),
}

impl Tails {
    /// Somebody fetches where no tail is known: what comes next is noted.
    pub(super) fn want(&mut self, read: &Read) {
        for part in read.parts.iter().take(BEGUN_PER_FETCH) {
            self.begin(part.partition);
        }
    }

    /// Notes what was written, if somebody has asked for this partition or waits for it.
    pub(super) fn appended(
        &mut self,
        partition: PartitionId,
        appended: &Appended,
        is_awaited: bool,
    ) {
        if is_awaited {
            self.begin(partition);
        }
        if let Some(tail) = self.tails.get_mut(&partition).filter(|_| !appended.duplicate) {
            tail.note(appended);
        }
    }

    /// A log has failed or is gone, or its active segment may have changed.
    pub(super) fn forget(&mut self, partition: PartitionId) {
        self.tails.remove(&partition);
        self.ahead.retain(|ahead| ahead.partition != partition);
    }

    /// A reader has looked ahead.
    pub(super) fn look_ahead(&mut self, ahead: Ahead) {
        if self.ahead.len() == AHEAD_MAX {
            self.ahead.pop_front();
        }
        self.ahead.push_back(ahead);
    }

    /// The ranges that a reader would give for each part of `read`, if all of them are known here.
    pub(super) fn ranges(&mut self, read: &Read) -> Option<Vec<FileRange>> {
        // What is converted, and what has limits to the byte, is a reader's work.
        let is_plain = read.magic_max >= 2 && read.whole_first_batch;
        if !is_plain || (self.tails.is_empty() && self.ahead.is_empty()) {
            return None;
        }
        let (mut left, mut whole_first) = (read.bytes_max, true);
        let mut ranges = Vec::with_capacity(read.parts.len());
        for part in &read.parts {
            let bytes_max = left.min(part.bytes_max);
            let in_tail = self.in_tail(part, bytes_max, whole_first);
            let range = in_tail.or_else(|| self.in_ahead(part, bytes_max))?;
            left = left.saturating_sub(range.len);
            whole_first &= range.len == 0;
            ranges.push(range);
        }
        Some(ranges)
    }

    fn in_tail(
        &mut self,
        part: &ReadPart,
        bytes_max: usize,
        whole_first: bool,
    ) -> Option<FileRange> {
        self.asked += 1;
        let tail = self.tails.get_mut(&part.partition)?;
        tail.asked = self.asked;
        tail.range(part, bytes_max, whole_first)
    }

    fn in_ahead(&self, part: &ReadPart, bytes_max: usize) -> Option<FileRange> {
        let mut its = self.ahead.iter().rev().filter(|ahead| ahead.partition == part.partition);
        its.find_map(|ahead| pieces(ahead, part, bytes_max))
    }

    fn begin(&mut self, partition: PartitionId) {
        if self.tails.contains_key(&partition) {
            return;
        }
        if self.tails.len() >= TAILS_MAX {
            let oldest = self.tails.iter().min_by_key(|(_, tail)| tail.asked).map(|(id, _)| *id);
            oldest.and_then(|oldest| self.tails.remove(&oldest));
        }
        self.asked += 1;
        let (asked, batches) = (self.asked, VecDeque::new());
        self.tails.insert(partition, Tail { asked, file: None, batches, end: (0, 0) });
    }

    /// What must always hold: a tail that knows a batch ends where the log ends.
    pub(super) fn check(
        &self,
        end_of: impl Fn(PartitionId) -> Option<Offset>,
    ) -> Result<(), &'static str> {
        let known = self.tails.iter().filter(|(_, tail)| tail.file.is_some());
        let mut ends = known.filter_map(|(id, tail)| Some((end_of(*id)?, tail.end.0)));
        if ends.all(|(end, known)| end == known) { Ok(()) } else { Err("a tail ends elsewhere") }
    }
}

/// As many whole pieces as fit, if one begins at the wanted offset. `None`: a reader has to look.
fn pieces(ahead: &Ahead, part: &ReadPart, bytes_max: usize) -> Option<FileRange> {
    let first = ahead.begins.binary_search_by_key(&part.offset, |(offset, _)| *offset).ok()?;
    let (_, from) = *ahead.begins.get(first)?;
    let limit = from.saturating_add(u64::try_from(bytes_max).unwrap_or(u64::MAX));
    let ends = ahead.begins.iter().skip(first + 1).chain([&ahead.end]);
    let fitting = ends.take_while(|(offset, to)| *offset <= part.end && *to <= limit);
    let len = usize::try_from(fitting.last()?.1.saturating_sub(from)).ok()?;
    Some(FileRange { file: Arc::clone(&ahead.file), position: from, len })
}

impl Tail {
    fn note(&mut self, appended: &Appended) {
        let Some(FileRange { file, position, len }) = &appended.batch else {
            (self.file, self.batches) = (None, VecDeque::new());
            return;
        };
        let begin = (appended.base_offset, *position);
        let is_same = |known: &Arc<dyn RangeFile>| {
            (Arc::ptr_eq(known, file) && self.end == begin) || is_planted(Bug::TailOfOldFile)
        };
        let continues = self.file.as_ref().is_some_and(is_same);
        if !continues {
            self.batches.clear();
            self.file = Some(Arc::clone(file));
        }
        if self.batches.len() == BATCHES_MAX {
            self.batches.pop_front();
        }
        self.batches.push_back(begin);
        let len = u64::try_from(*len).unwrap_or(u64::MAX);
        self.end = (appended.end_offset, position.saturating_add(len));
    }

    /// The whole batches from the one that holds the wanted offset on, below the wanted end; the first one, however large,
    /// if it must be whole. `None`: a reader has to look.
    fn range(&self, part: &ReadPart, bytes_max: usize, whole_first: bool) -> Option<FileRange> {
        let file = self.file.as_ref().filter(|_| part.offset < self.end.0)?;
        let behind = self.batches.partition_point(|(offset, _)| *offset <= part.offset);
        let (_, from) = *self.batches.get(behind.checked_sub(1)?)?;
        let limit = from.saturating_add(u64::try_from(bytes_max).unwrap_or(u64::MAX));
        let fits = |(offset, position): &(Offset, u64)| *offset <= part.end && *position <= limit;
        let to = if fits(&self.end) {
            self.end.1
        } else {
            // How many batches end where the next one begins, within both limits.
            match self.batches.partition_point(fits) {
                enough if enough > behind => self.begin_of(enough.checked_sub(1)?)?.1,
                _ if !whole_first => from,
                _ => self.begin_of(behind).filter(|(offset, _)| *offset <= part.end)?.1,
            }
        };
        let len = usize::try_from(to.saturating_sub(from)).ok()?;
        Some(FileRange { file: Arc::clone(file), position: from, len })
    }

    /// Where a batch begins; where the log ends, behind the last one.
    fn begin_of(&self, number: usize) -> Option<(Offset, u64)> {
        match self.batches.get(number) {
            None if number == self.batches.len() => Some(self.end),
            found => found.copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Ticket, TopicId};

    #[derive(Debug)]
    struct NoFile;

    impl RangeFile for NoFile {
        fn read_at(&self, _: &mut [u8], _: u64) -> std::io::Result<usize> {
            Ok(0)
        }

        fn read_at_nowait(&self, _: &mut [u8], _: u64) -> std::io::Result<usize> {
            Ok(0)
        }
    }

    fn log(index: i32) -> PartitionId {
        PartitionId { topic: TopicId::default(), index }
    }

    /// A batch of two records in 100 bytes each time, from offset 10 and position 1000 on.
    fn with(file: &Arc<dyn RangeFile>, batches: i64) -> Tails {
        let mut tails = Tails::default();
        (0..batches).for_each(|n| tails.appended(log(0), &appended(file, n), true));
        tails
    }

    fn appended(file: &Arc<dyn RangeFile>, n: i64) -> Appended {
        let position = 1000 + u64::try_from(n).unwrap() * 100;
        let batch = Some(FileRange { file: Arc::clone(file), position, len: 100 });
        Appended { base_offset: 10 + 2 * n, end_offset: 12 + 2 * n, batch, ..Appended::default() }
    }

    fn read(offset: Offset, end: Offset, bytes_max: usize) -> Read {
        let part = ReadPart { partition: log(0), offset, end, bytes_max };
        Read {
            ticket: Ticket(1),
            bytes_max: 1 << 20,
            whole_first_batch: true,
            parts: vec![part],
            magic_max: 2,
            committed: false,
        }
    }

    fn found(tails: &mut Tails, read: &Read) -> Option<(u64, usize)> {
        let ranges = tails.ranges(read)?;
        Some((ranges[0].position, ranges[0].len))
    }

    #[test]
    fn whole_batches_are_given_within_the_limits() {
        let file: Arc<dyn RangeFile> = Arc::new(NoFile);
        let mut tails = with(&file, 4); // offsets 10 to 18, positions 1000 to 1400
        let cases = [
            ((10, 18, 1000), Some((1000, 400)), "everything"),
            ((13, 18, 1000), Some((1100, 300)), "from within a batch, that one comes whole"),
            ((10, 14, 1000), Some((1000, 200)), "up to the watermark"),
            ((10, 18, 399), Some((1000, 300)), "what fits"),
            ((16, 18, 1), Some((1300, 100)), "the first, however large"),
            ((10, 18, 0), Some((1000, 100)), "even then"),
            ((9, 18, 1000), None, "what is older, a reader knows"),
            ((18, 18, 1000), None, "there is nothing yet"),
            ((10, 11, 1000), None, "a watermark within a batch is none of ours"),
        ];
        for ((offset, end, bytes_max), expected, why) in cases {
            assert_eq!(found(&mut tails, &read(offset, end, bytes_max)), expected, "{why}");
        }
    }

    #[test]
    fn several_partitions_share_one_budget() {
        let file: Arc<dyn RangeFile> = Arc::new(NoFile);
        let mut tails = with(&file, 2);
        (0..2).for_each(|n| tails.appended(log(1), &appended(&file, n), true));
        let mut both = read(10, 14, 1000);
        both.parts.push(ReadPart { partition: log(1), ..both.parts[0] });
        for (bytes_max, expected) in [(400, [200, 200]), (300, [200, 100]), (100, [100, 0])] {
            both.bytes_max = bytes_max;
            let ranges = tails.ranges(&both).unwrap();
            assert_eq!(ranges.iter().map(|range| range.len).collect::<Vec<_>>(), expected);
        }
        both.parts[1].offset = 0;
        assert_eq!(tails.ranges(&both), None, "one that is unknown makes it a reader's work");
    }

    #[test]
    fn what_does_not_continue_a_tail_begins_it_anew() {
        let file: Arc<dyn RangeFile> = Arc::new(NoFile);
        let mut tails = with(&file, 2);
        tails.appended(log(0), &appended(&file, 3), true);
        assert_eq!(found(&mut tails, &read(12, 18, 1000)), None);
        assert_eq!(found(&mut tails, &read(16, 18, 1000)), Some((1300, 100)));
        let other: Arc<dyn RangeFile> = Arc::new(NoFile);
        tails.appended(log(0), &appended(&other, 4), true);
        assert_eq!(found(&mut tails, &read(16, 20, 1000)), None);
        let unknown = Appended { batch: None, ..appended(&other, 5) };
        tails.appended(log(0), &unknown, true);
        assert_eq!(found(&mut tails, &read(18, 22, 1000)), None);
    }

    #[test]
    fn few_tails_of_few_batches_are_kept() {
        let file: Arc<dyn RangeFile> = Arc::new(NoFile);
        let mut tails = Tails::default();
        for index in 0..100 {
            for n in 0..300 {
                tails.appended(log(index), &appended(&file, n), true);
            }
            // The first one is asked for all the time.
            assert_eq!(found(&mut tails, &read(608, 610, 1000)), Some((30_900, 100)));
        }
        assert_eq!(tails.tails.len(), TAILS_MAX);
        assert!(tails.tails.values().all(|tail| tail.batches.len() <= BATCHES_MAX));
        tails.appended(log(200), &appended(&file, 0), false);
        assert!(!tails.tails.contains_key(&log(200)), "nobody wants to know");
    }

    /// Pieces of 100, 200 and 100 bytes, of 2, 4 and 2 records, from offset 20 on.
    fn ahead(index: i32) -> Ahead {
        let file = Arc::new(NoFile);
        let begins = vec![(20, 500), (22, 600), (26, 800)];
        Ahead { partition: log(index), file, begins, end: (28, 900) }
    }

    #[test]
    fn whole_pieces_are_given_from_where_one_begins() {
        let mut tails = Tails::default();
        tails.look_ahead(ahead(0));
        let cases = [
            ((20, 28, 1000), Some((500, 400)), "everything"),
            ((20, 28, 399), Some((500, 300)), "what fits"),
            ((22, 28, 300), Some((600, 300)), "from the second on"),
            ((22, 27, 300), Some((600, 200)), "up to the watermark"),
            ((26, 28, 100), Some((800, 100)), "the last"),
            ((26, 28, 99), None, "less than a piece, a reader knows"),
            ((23, 28, 1000), None, "within a piece, too"),
            ((28, 30, 1000), None, "and behind the last"),
        ];
        for ((offset, end, bytes_max), expected, why) in cases {
            assert_eq!(found(&mut tails, &read(offset, end, bytes_max)), expected, "{why}");
        }
        let old = Read { magic_max: 1, ..read(20, 28, 1000) };
        assert_eq!(found(&mut tails, &old), None);
        tails.forget(log(1));
        assert!(found(&mut tails, &read(20, 28, 1000)).is_some());
        tails.forget(log(0));
        assert_eq!(found(&mut tails, &read(20, 28, 1000)), None);
    }

    #[test]
    fn few_pieces_are_held_and_the_newest_count() {
        let mut tails = Tails::default();
        (0..40).for_each(|index| tails.look_ahead(ahead(index)));
        assert_eq!(tails.ahead.len(), AHEAD_MAX);
        assert!(tails.ahead.iter().all(|ahead| ahead.partition.index >= 24));
        let newer = Ahead { begins: vec![(20, 7000)], end: (22, 7100), ..ahead(39) };
        tails.look_ahead(newer);
        let mut wanted = read(20, 28, 1000);
        wanted.parts[0].partition = log(39);
        assert_eq!(found(&mut tails, &wanted), Some((7000, 100)));
    }
}
