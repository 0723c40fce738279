//! Appending to a partition: batches are checked, stamped and staged one append after the other, written at once, and
//! published, or all of it is taken back.

use std::cmp::Ordering;
use std::io::IoSlice;
use std::sync::Arc;

use super::Partition;
use crate::base::epochs;
use crate::base::ids::Offset;
use crate::base::payload::{FileRange, RangeFile};
use crate::base::planted::{Bug, is_planted};
use crate::base::time::WallMs;
use crate::record::NO_TIMESTAMP;
use crate::record::batch::BatchHeader;
use crate::storage::fs::{OpenMode, as_u64, is_absent, write_slices};
use crate::storage::job::{Append, AppendError, Appended, Origin, ReadError, StorageError};
use crate::storage::producers::{Producers, Undo};
use crate::storage::scan::Met;
use crate::storage::segment::SEGMENT_BYTES_MAX;
use crate::storage::validate::{self, Candidate, Stamped};

/// Batches on their way into one write.
#[derive(Default)]
struct Staged {
    batches: Vec<Stamped>,
    written: Vec<Met>,
    bytes: u64,
    undo: Undo,
    epochs: Vec<(i32, Offset)>,
    /// The newest of the appends' times.
    now: WallMs,
    /// Which of the results rest on this write.
    results: Vec<usize>,
}

type AppendResult = Result<Appended, AppendError>;

impl Staged {
    /// With room for appends of one batch each, as most are.
    fn for_appends(count: usize) -> Staged {
        Staged {
            batches: Vec::with_capacity(count),
            written: Vec::with_capacity(count),
            results: Vec::with_capacity(count),
            ..Staged::default()
        }
    }
}

impl Partition {
    /// Appends in order, with one write for all that fit into the active segment. One result for each append. What comes
    /// behind an append that the disk refused is refused, too: it may be meant to follow.
    pub(in crate::storage) fn append_all(&mut self, appends: &[Append]) -> Vec<AppendResult> {
        let mut results: Vec<AppendResult> = Vec::with_capacity(appends.len());
        let mut staged = Staged::for_appends(appends.len());
        let mut refused = None;
        for append in appends {
            let result = match &refused {
                None => self.stage(append, &mut staged, &mut results),
                Some(error) => self.refuse_behind(append, error),
            };
            if let (None, Err(AppendError::Storage(error))) = (&refused, &result) {
                refused = Some(error.clone());
            }
            results.push(result);
        }
        // The results say what became of it.
        let _ = self.write(staged, &mut results);
        results
    }

    /// Checks one append and adds it to the write; what it says holds once the write has succeeded.
    fn stage(
        &mut self,
        append: &Append,
        staged: &mut Staged,
        results: &mut [AppendResult],
    ) -> AppendResult {
        if let Some(error) = self.log.failure() {
            return Err(AppendError::Offline(error.clone()));
        }
        let candidates = validate::check(append, &self.config)?;
        let first = candidates.first().map(|batch| batch.header);
        let appended = self.stage_checked(append, candidates, staged, results);
        let is_passing = matches!(appended, Err(AppendError::NoSpace | AppendError::Storage(_)));
        if let (Some(first), true) = (first, is_passing) {
            self.refuse(&first);
        }
        appended
    }

    fn stage_checked(
        &mut self,
        append: &Append,
        candidates: Vec<Candidate>,
        staged: &mut Staged,
        results: &mut [AppendResult],
    ) -> AppendResult {
        let files = Arc::clone(&self.files);
        files.with_descriptors(|| self.check_size())?;
        if let Some(error) = self.log.failure() {
            return Err(AppendError::Offline(error.clone()));
        }
        if let Some(duplicate) = self.find_duplicate(append, &candidates)? {
            staged.results.push(results.len());
            return Ok(duplicate);
        }
        self.stage_new(append, candidates, staged, results)
    }

    /// Refuses what comes behind an append that the disk refused.
    fn refuse_behind(&mut self, append: &Append, error: &StorageError) -> AppendResult {
        let candidates = validate::check(append, &self.config)?;
        if let Some(first) = candidates.first() {
            self.refuse(&first.header);
        }
        Err(AppendError::Storage(error.clone()))
    }

    /// Remembers a producer's first batch that the disk refused, also before the producers are known.
    fn refuse(&mut self, first: &BatchHeader) {
        let used = self.files.tick();
        self.producers.as_mut().unwrap_or(&mut self.refused).refuse(first, used);
    }

    /// Adds to the write what is new and in order.
    fn stage_new(
        &mut self,
        append: &Append,
        candidates: Vec<Candidate>,
        staged: &mut Staged,
        results: &mut [AppendResult],
    ) -> AppendResult {
        let bytes: usize = candidates.iter().map(|batch| batch.bytes.len()).sum();
        let bytes = as_u64(bytes);
        let has_room = self.files.space.admit(bytes);
        if !has_room && append.origin == Origin::Client {
            return Err(AppendError::NoSpace);
        }
        let count: i64 = candidates.iter().map(|c| i64::from(c.header.record_count)).sum();
        if self.wants_roll(append, &candidates, staged, bytes, count)? {
            // What was checked against a write that failed would have to be checked again.
            self.write(std::mem::take(staged), results)?;
            let files = Arc::clone(&self.files);
            files.with_descriptors(|| self.roll())?;
        }
        if self.active.size() == 0 {
            self.active_since.get_or_insert(append.now);
        }
        staged.now = staged.now.max(append.now);
        let appended = self.add(append, candidates, staged)?;
        staged.results.push(results.len());
        Ok(appended)
    }

    fn next_offset(&self, staged: &Staged) -> Offset {
        staged.written.last().map_or(self.end, |met| met.header.next_offset())
    }

    fn add(
        &mut self,
        append: &Append,
        candidates: Vec<Candidate>,
        staged: &mut Staged,
    ) -> AppendResult {
        let base_offset = self.next_offset(staged);
        let time = self.config.log_append_time.then_some(append.now);
        let newest = staged.epochs.last().or(self.epochs.last()).map_or(-1, |(epoch, _)| *epoch);
        // They never fall, whatever became of the journal: batches out of order would be taken for damage.
        let leader_epoch = append.leader_epoch.max(newest);
        if leader_epoch > newest {
            staged.epochs.push((leader_epoch, base_offset));
        }
        let mut next = base_offset;
        let mut position = self.active.size().saturating_add(staged.bytes);
        let start = position;
        for candidate in candidates {
            let stamped = Stamped::new(candidate, next, leader_epoch, time)?;
            if let Some(producers) = &mut self.producers {
                producers.note(&stamped.header, self.files.tick(), Some(&mut staged.undo));
            }
            let met = Met { header: stamped.header, position };
            (next, position) = (stamped.header.next_offset(), met.end());
            staged.written.push(met);
            staged.batches.push(stamped);
        }
        staged.bytes = staged.bytes.saturating_add(position.saturating_sub(start));
        Ok(Appended {
            base_offset,
            end_offset: next,
            log_append_time: time.unwrap_or(NO_TIMESTAMP),
            log_start: self.log_start,
            bytes: position.saturating_sub(start),
            duplicate: false,
            batch: None,
            oldest: None,
            due: None,
        })
    }

    /// Checks the sequences of idempotent producers. `Some`: the batch is in the log already.
    fn find_duplicate(
        &mut self,
        append: &Append,
        candidates: &[Candidate],
    ) -> Result<Option<Appended>, AppendError> {
        if !candidates.iter().any(|batch| batch.header.has_producer()) {
            return Ok(None);
        }
        let (log_start, stamped) = (self.log_start, self.config.log_append_time);
        let producers = self.producers()?;
        if append.origin == Origin::Broker {
            return Ok(None);
        }
        // Several batches of one producer in one append must follow each other.
        let mut ahead = None::<Producers>;
        for candidate in candidates {
            let known = ahead.as_ref().unwrap_or(producers);
            match known.check(&candidate.header)? {
                None => {}
                Some(original) if candidates.len() == 1 => {
                    return Ok(Some(Appended {
                        base_offset: original.base_offset(),
                        end_offset: original.last_offset.saturating_add(1),
                        log_append_time: if stamped { original.timestamp } else { NO_TIMESTAMP },
                        log_start,
                        bytes: 0,
                        duplicate: true,
                        batch: None,
                        oldest: None,
                        due: None,
                    }));
                }
                Some(_) => return Err(AppendError::SequenceGap),
            }
            if candidates.len() > 1 {
                let all = || candidates.iter().map(|candidate| &candidate.header);
                ahead.get_or_insert_with(|| producers.of(all())).note(&candidate.header, 0, None);
            }
        }
        Ok(None)
    }

    fn wants_roll(
        &self,
        append: &Append,
        candidates: &[Candidate],
        staged: &Staged,
        bytes: u64,
        count: i64,
    ) -> Result<bool, AppendError> {
        let limit = self.config.segment_bytes.min(SEGMENT_BYTES_MAX);
        // What the broker has to write down gets a segment of its own, however large it is.
        let is_ours = append.origin == Origin::Broker;
        if bytes > (if is_ours { SEGMENT_BYTES_MAX } else { limit }) {
            return Err(AppendError::TooLarge);
        }
        let size = self.active.size().saturating_add(staged.bytes);
        if size == 0 {
            return Ok(false);
        }
        let last = self.next_offset(staged).saturating_add(count);
        let far = last.saturating_sub(self.active.base()) > i64::from(i32::MAX);
        let full = size.saturating_add(bytes) > limit
            || self.active.is_index_full(self.config.index_bytes_max);
        Ok(far || full || self.is_old(append, candidates, staged)?)
    }

    /// As Kafka counts: from the first batch's timestamp to the newest one that comes, or by the broker's time for records
    /// without.
    fn is_old(
        &self,
        append: &Append,
        candidates: &[Candidate],
        staged: &Staged,
    ) -> Result<bool, AppendError> {
        let first = match self.active.first_timestamp(&self.files) {
            Ok(first) => first.or(staged.written.first().map(|met| met.header.max_timestamp)),
            Err(ReadError::Storage(error)) => return Err(error.into()),
            Err(_) => None,
        };
        let stamps = candidates.iter().map(|batch| batch.header.max_timestamp);
        let newest = if self.config.log_append_time { Some(append.now) } else { stamps.max() };
        let age = match (first.filter(|first| *first >= 0), newest) {
            (Some(first), Some(newest)) => newest.saturating_sub(first),
            _ => append.now.saturating_sub(self.active_since.unwrap_or(append.now)),
        };
        Ok(age > self.config.segment_ms)
    }

    /// Writes what was staged and publishes it, or takes it back.
    fn write(&mut self, staged: Staged, results: &mut [AppendResult]) -> Result<(), StorageError> {
        if staged.batches.is_empty() {
            return Ok(());
        }
        let written = self.try_write(&staged);
        match &written {
            Ok(file) => {
                self.publish(&staged);
                for number in staged.results {
                    if let Some(Ok(appended)) = results.get_mut(number) {
                        (appended.oldest, appended.due) = (self.due.oldest, self.wanted_at());
                        appended.batch = only_batch(&staged.written, appended, file);
                    }
                }
            }
            Err(error) => {
                let kept = is_planted(Bug::ProducersNotTakenBack);
                if let Some(producers) = self.producers.as_mut().filter(|_| !kept) {
                    producers.take_back(staged.undo);
                }
                let is_offline = self.log.failure().is_some();
                let refuse = if is_offline { AppendError::Offline } else { AppendError::Storage };
                for number in staged.results {
                    if let Some(result) = results.get_mut(number) {
                        *result = Err(refuse(error.clone()));
                    }
                }
            }
        }
        written.map(drop)
    }

    /// Gives the file that it wrote to.
    fn try_write(&mut self, staged: &Staged) -> Result<Arc<dyn RangeFile>, StorageError> {
        if !staged.epochs.is_empty() {
            let files = Arc::clone(&self.files);
            let epochs = self.epochs_with(&staged.epochs);
            files.with_descriptors(|| self.write_epochs(&epochs))?;
        }
        let size = self.active.size();
        if size == 0 {
            self.names_dirty = true;
        }
        let file = self.files.create(self.active.log())?;
        let mut slices: Vec<IoSlice<'_>> = Vec::with_capacity(staged.batches.len() * 2);
        for batch in &staged.batches {
            slices.push(IoSlice::new(&batch.head));
            slices.push(IoSlice::new(batch.body()));
        }
        let written = write_slices(&*file, &mut slices, size);
        // What is cut off again may come back with a power cut, unless that is synced, too.
        self.note_log_dirty(&file);
        let Err(error) = written else { return Ok(file.as_range()) };
        self.cut = true;
        let path = self.active.log().path();
        let error = StorageError::io("write", path, &error);
        if is_planted(Bug::FailedWriteKept) {
            return Err(error);
        }
        if let Err(undo) = file.set_len(size) {
            self.log.fail(StorageError::io("truncate", path, &undo));
        }
        Err(error)
    }

    /// A clean stop left the file as long as the manifest says. If it is shorter, records are lost, and what comes next
    /// goes to a segment of its own; if it is longer, somebody else was here.
    fn check_size(&mut self) -> Result<(), StorageError> {
        if self.size_checked {
            return Ok(());
        }
        let size = self.active.size();
        let path = self.active.log().path();
        let found = match self.files.fs.open(path, OpenMode::Read) {
            Ok(file) => file.size().map_err(|error| StorageError::io("read", path, &error))?,
            Err(error) if is_absent(&error) => 0,
            Err(error) => return Err(error),
        };
        let reason = format!("the file has {found} bytes, but {size} were left in it");
        match found.cmp(&size) {
            Ordering::Equal => self.size_checked = true,
            Ordering::Less => {
                log::error!("{}: {reason}", path.display());
                self.begin_segment();
            }
            Ordering::Greater => self.log.fail(StorageError::content("open", path, reason)),
        }
        Ok(())
    }

    fn epochs_with(&self, new: &[(i32, Offset)]) -> Vec<(i32, Offset)> {
        let mut all = self.epochs.clone();
        new.iter().for_each(|(epoch, from)| epochs::begin(&mut all, *epoch, *from));
        all
    }

    fn publish(&mut self, staged: &Staged) {
        let was_empty = self.active.size() == 0;
        self.active.note_written(&staged.written);
        self.active.written_at(staged.now);
        self.end = self.next_offset(staged);
        if !staged.epochs.is_empty() {
            self.epochs = self.epochs_with(&staged.epochs);
        }
        self.log.publish_end(self.end, self.active.size());
        self.note_growth(was_empty);
        if self.active.wants_index_flush() {
            self.flush_indexes();
        }
        self.snapshot_now_and_then(staged.bytes);
    }
}

/// Which bytes an append is, if it is one batch that anybody may read without asking about transactions.
fn only_batch(
    written: &[Met],
    appended: &Appended,
    file: &Arc<dyn RangeFile>,
) -> Option<FileRange> {
    let base_offset = |met: &Met| met.header.base_offset;
    let at = written.binary_search_by_key(&appended.base_offset, base_offset).ok()?;
    let Met { header, position } = written.get(at)?;
    let is_all = header.next_offset() == appended.end_offset && !appended.duplicate;
    let is_plain = !header.is_transactional() && !header.is_control();
    let range =
        || FileRange { file: Arc::clone(file), position: *position, len: header.size_in_bytes() };
    (is_all && is_plain).then(range)
}
