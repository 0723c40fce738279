//! Which transactions of a log were aborted and which are in progress, found by reading it from its beginning.

use std::collections::BTreeMap;

use crate::base::ids::{Offset, ProducerId};
use crate::base::time::WallMs;
use crate::record::RecordError;
use crate::record::batch::BatchHeader;
use crate::record::builder::BatchOptions;
use crate::record::control::{EndTransaction, Marker};
use crate::record::records::RecordReader;
use crate::storage::aborted::AbortedTransaction;
use crate::storage::snapshot::ProducerSnapshot;

/// Most bytes that the one record of a marker takes.
const MARKER_BYTES_MAX: usize = 4096;

/// A transaction in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    /// Whose it is.
    pub producer_id: ProducerId,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// Where its first record is.
    pub first_offset: Offset,
}

impl OpenTransaction {
    /// The batch that aborts it, at `offset`.
    ///
    /// # Errors
    /// None for sensible offsets.
    pub(super) fn marker(
        &self,
        offset: Offset,
        leader_epoch: i32,
        now: WallMs,
    ) -> Result<Vec<u8>, RecordError> {
        let options = BatchOptions {
            base_offset: offset,
            leader_epoch,
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            ..BatchOptions::default()
        };
        EndTransaction { marker: Marker::Abort, coordinator_epoch: 0 }.batch(options, now)
    }
}

/// The transactions of a log, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    open: BTreeMap<ProducerId, OpenTransaction>,
    aborted: Vec<AbortedTransaction>,
    aborted_count: usize,
}

impl Transactions {
    /// Takes note of the next batch.
    ///
    /// # Errors
    /// If it is a marker that cannot be read.
    pub(super) fn note(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<(), RecordError> {
        if !header.is_transactional() {
            return Ok(());
        }
        if header.is_control() {
            return self.end(header, batch);
        }
        // Compaction leaves batches without a record, whose transaction is long over.
        if header.record_count > 0 {
            let fresh = OpenTransaction {
                producer_id: header.producer_id,
                producer_epoch: header.producer_epoch,
                first_offset: header.base_offset,
            };
            let open = self.open.entry(header.producer_id).or_insert(fresh);
            open.producer_epoch = header.producer_epoch;
        }
        Ok(())
    }

    fn end(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<(), RecordError> {
        let mut records = RecordReader::open(batch, MARKER_BYTES_MAX)?;
        let Some(record) = records.next()? else { return Ok(()) };
        let (last_offset, end) = (record.offset, EndTransaction::read(&record)?);
        let ended = end.and_then(|end| Some((self.open.remove(&header.producer_id)?, end.marker)));
        if let Some((transaction, Marker::Abort)) = ended {
            let oldest = self.open.values().map(|open| open.first_offset).min();
            self.aborted_count += 1;
            self.aborted.push(AbortedTransaction {
                producer_id: header.producer_id,
                first_offset: transaction.first_offset,
                last_offset,
                last_stable_offset: oldest.unwrap_or(last_offset.saturating_add(1)),
            });
        }
        Ok(())
    }

    /// Those whose marker was met since the last call.
    pub(super) fn take_aborted(&mut self) -> Vec<AbortedTransaction> {
        std::mem::take(&mut self.aborted)
    }

    /// How many were aborted in all.
    pub(super) fn aborted_count(&self) -> usize {
        self.aborted_count
    }

    /// A snapshot of this place says which of those that look open are: the markers of others were compacted away.
    pub(super) fn keep_open(&mut self, snapshot: &ProducerSnapshot) {
        let is_open = |id: &ProducerId| {
            let entry = snapshot.producers.iter().find(|producer| producer.producer_id == *id);
            entry.is_some_and(|producer| producer.transaction_first_offset.is_some())
        };
        self.open.retain(|id, _| is_open(id));
    }

    /// Those in progress.
    pub(super) fn open(&self) -> Vec<OpenTransaction> {
        self.open.values().copied().collect()
    }
}
