//! What is known of committed offsets: the values that each may have.

use std::collections::{BTreeMap, BTreeSet};

use chronik::base::ids::{Offset, TopicId};

/// A commit's key.
pub(crate) type Key = (&'static str, TopicId, i32);

/// A commit that was sent.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    number: u64,
    offset: Offset,
    sent: u64,
    /// When nothing more could come of it; `None`: it is on its way.
    finished: Option<u64>,
}

/// All commits.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    clock: u64,
    /// Whether the wall clock was set forward by years, so that commits may have expired.
    pub(crate) may_expire: bool,
    /// Commits of records that the disk may have refused: the start lowered them to where the log ends.
    may_sink: BTreeSet<Key>,
    /// Those that the next start may lower.
    doubted: BTreeSet<Key>,
    cells: BTreeMap<Key, Vec<Attempt>>,
}

const NONE: Attempt = Attempt { number: 0, offset: -1, sent: 0, finished: Some(0) };

impl Commits {
    /// A commit leaves a client. Answers its number.
    pub(crate) fn sent(&mut self, key: Key, offset: Offset) -> u64 {
        self.clock += 1;
        let number = self.clock;
        let attempt = Attempt { number, offset, sent: number, finished: None };
        self.cells.entry(key).or_insert_with(|| vec![NONE]).push(attempt);
        number
    }

    /// It is acknowledged: what was over before it was sent is replaced.
    pub(crate) fn acknowledged(&mut self, key: Key, number: u64, may_sink: bool) {
        if may_sink {
            self.doubted.insert(key);
        }
        self.clock += 1;
        let now = self.clock;
        let Some(cell) = self.cells.get_mut(&key) else { return };
        let Some(own) = cell.iter_mut().find(|attempt| attempt.number == number) else { return };
        own.finished = Some(now);
        let sent = own.sent;
        cell.retain(|a| a.number == number || a.finished.is_none_or(|finished| finished > sent));
    }

    /// It is refused.
    pub(crate) fn refused(&mut self, key: Key, number: u64) {
        if let Some(cell) = self.cells.get_mut(&key) {
            cell.retain(|attempt| attempt.number != number);
        }
    }

    /// Nobody will hear what became of it, and nothing more will. It may be kept all the same.
    pub(crate) fn forsaken(&mut self, key: Key, number: u64, may_sink: bool) {
        self.clock += 1;
        let now = self.clock;
        let attempts = self.cells.get_mut(&key).into_iter().flatten();
        let is_it = |attempt: &&mut Attempt| attempt.number == number && attempt.finished.is_none();
        for attempt in attempts.filter(is_it) {
            attempt.finished = Some(now);
            if may_sink {
                self.doubted.insert(key);
            }
        }
    }

    /// The process ended: nothing more becomes of any. What was on its way may be kept without an answer.
    pub(crate) fn ended(&mut self, may_sink: bool) {
        self.clock += 1;
        self.may_sink.append(&mut self.doubted);
        for (key, cell) in &mut self.cells {
            for attempt in cell.iter_mut().filter(|attempt| attempt.finished.is_none()) {
                attempt.finished = Some(self.clock);
                if may_sink {
                    self.may_sink.insert(*key);
                }
            }
        }
    }

    /// Somebody reads a commit.
    pub(crate) fn read(&mut self, key: Key, offset: Offset) -> Result<(), String> {
        let cell = self.cells.entry(key).or_insert_with(|| vec![NONE]);
        let highest = cell.iter().map(|attempt| attempt.offset).max().unwrap_or(-1);
        let sinks = self.may_sink.contains(&key) && (0..highest).contains(&offset);
        if sinks {
            *cell = vec![Attempt { offset, ..NONE }];
        } else if offset == -1 && self.may_expire {
            *cell = vec![NONE];
        } else if !cell.iter().any(|attempt| attempt.offset == offset) {
            let possible: Vec<Offset> = cell.iter().map(|attempt| attempt.offset).collect();
            return Err(format!("commit {key:?} is {offset}, it may be one of {possible:?}"));
        }
        if cell.iter().all(|attempt| attempt.finished.is_some()) {
            cell.retain(|attempt| attempt.offset == offset);
            self.may_sink.remove(&key);
        }
        Ok(())
    }

    /// The keys of a topic's commits.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.cells.keys().copied().collect()
    }
}
