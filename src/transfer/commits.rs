//! What a `__consumer_offsets` says in the end: the newest value of each key, with the commits that belong to
//! transactions counted when, and if, their transaction was committed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::TransferError;
use super::catalog::BATCH_BYTES_MAX;
use crate::base::ids::ProducerId;
use crate::base::payload::Bytes;
use crate::record::RecordError;
use crate::record::batch::BatchHeader;
use crate::record::control::{EndTransaction, Marker};
use crate::record::records::RecordReader;
use crate::storage::adopt;
use crate::storage::fs::Fs;
use crate::storage::job::StorageError;
use crate::wire::messages::internal::offsets::OffsetsKey;

/// A key and its value; none takes the key back.
type KeyValue = (Vec<u8>, Option<Vec<u8>>);

/// The groups and their positions, as keys and values of Kafka's.
#[derive(Clone, Debug, Default)]
pub(super) struct Commits {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Those of transactions in progress.
    pending: BTreeMap<ProducerId, Vec<KeyValue>>,
}

impl Commits {
    /// Reads one partition. `unclean`: a crash may have torn its end.
    pub(super) fn read(
        &mut self,
        fs: &dyn Fs,
        dir: &Path,
        unclean: bool,
    ) -> Result<(), TransferError> {
        let files = adopt::log_files(fs, dir)?;
        let last = files.len().saturating_sub(1);
        for (number, (_, path)) in files.iter().enumerate() {
            let mut bad = None;
            let left = adopt::visit_batches(fs, path, &mut |header, batch| {
                if bad.is_none() {
                    bad = self.note_batch(header, batch).err().map(|error| error.to_string());
                }
            })?;
            if left > 0 && !(unclean && number == last) {
                bad.get_or_insert(format!("damaged, {left} bytes before its end"));
            }
            if let Some(reason) = bad {
                return Err(StorageError::content("read", path, reason).into());
            }
        }
        Ok(())
    }

    fn note_batch(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<(), RecordError> {
        let mut records = RecordReader::open(batch, BATCH_BYTES_MAX)?;
        while let Some(record) = records.next()? {
            if header.is_control() {
                let Some(end) = EndTransaction::read(&record)? else { continue };
                let pending = self.pending.remove(&header.producer_id).unwrap_or_default();
                if end.marker == Marker::Commit {
                    pending.into_iter().for_each(|record| self.note(record));
                }
                continue;
            }
            let Some(key) = record.key else { continue };
            let record = (key.to_vec(), record.value.map(<[u8]>::to_vec));
            if header.is_transactional() {
                self.pending.entry(header.producer_id).or_default().push(record);
            } else {
                self.note(record);
            }
        }
        Ok(())
    }

    fn note(&mut self, (key, value): KeyValue) {
        match value {
            Some(value) => self.records.insert(key, value),
            None => self.records.remove(&key),
        };
    }

    /// How many commits belong to transactions in progress; they do not count.
    pub(super) fn pending(&self) -> usize {
        self.pending.values().map(Vec::len).sum()
    }

    /// Whether there is a value for a key.
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        self.records.contains_key(key)
    }

    /// The positions in topics that are wanted, and the groups that have such a position.
    pub(super) fn of_topics(&self, wanted: impl Fn(&str) -> bool) -> Vec<Entry> {
        let mut groups = BTreeSet::new();
        let mut entries = Vec::new();
        let mut of_groups = Vec::new();
        for (key, value) in &self.records {
            let (group, is_position) = match OffsetsKey::decode(&Bytes::from(key.as_slice())) {
                Ok(OffsetsKey::OffsetCommit(key)) if wanted(&key.topic) => (key.group, true),
                Ok(OffsetsKey::GroupMetadata(key)) => (key.group, false),
                _ => continue,
            };
            let entry = Entry { group, is_position, key: key.clone(), value: value.clone() };
            if is_position {
                groups.insert(entry.group.clone());
                entries.push(entry);
            } else {
                of_groups.push(entry);
            }
        }
        entries.extend(of_groups.into_iter().filter(|entry| groups.contains(&entry.group)));
        entries
    }
}

/// What is known of a group, or one position of it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) group: String,
    pub(super) is_position: bool,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}
