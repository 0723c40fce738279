//! What compaction knows of transactions: which batches were given up, and which markers have outlived their data.
//!
//! A transaction that was aborted counts for nothing, so its records go and hide no older ones. The marker that ends a
//! transaction goes after the last of its batches has gone. What belongs to a transaction whose end was not found is
//! not touched, nor anything behind it.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::ids::{Offset, ProducerId};
use crate::record::RecordError;
use crate::record::batch::BatchHeader;
use crate::record::control::{EndTransaction, Marker};
use crate::record::records::RecordReader;

/// Most bytes of a batch with a marker when decompressed.
const MARKER_BYTES_MAX: usize = 64 * 1024;

/// The transactions of a stretch of a log, found by walking over it.
#[derive(Debug, Default)]
pub(super) struct Survey {
    open: BTreeMap<ProducerId, Offset>,
    aborted: BTreeMap<ProducerId, Vec<(Offset, Offset)>>,
}

impl Survey {
    /// Takes note of a batch; `batch` is all of it.
    pub(super) fn meet(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<(), RecordError> {
        if header.is_control() {
            let Some(marker) = read_marker(batch)? else { return Ok(()) };
            let first = self.open.remove(&header.producer_id);
            if let (Some(first), Marker::Abort) = (first, marker) {
                let of_producer = self.aborted.entry(header.producer_id).or_default();
                of_producer.push((first, header.last_offset()));
            }
        } else if header.is_transactional() {
            self.open.entry(header.producer_id).or_insert(header.base_offset);
        }
        Ok(())
    }

    /// The first offset of a transaction whose end was not met.
    pub(super) fn first_open(&self) -> Option<Offset> {
        self.open.values().min().copied()
    }

    /// What cleaning has to know.
    pub(super) fn into_transactions(self) -> Transactions {
        Transactions { aborted: self.aborted, with_data: BTreeSet::new() }
    }
}

/// The marker in a control batch; `None`: it holds none, or one of another kind.
fn read_marker(batch: &[u8]) -> Result<Option<Marker>, RecordError> {
    let mut records = RecordReader::open(batch, MARKER_BYTES_MAX)?;
    let Some(record) = records.next()? else { return Ok(None) };
    Ok(EndTransaction::read(&record)?.map(|end| end.marker))
}

/// What cleaning knows of transactions.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    /// First offset and marker's offset of each producer's aborted transactions, rising.
    aborted: BTreeMap<ProducerId, Vec<(Offset, Offset)>>,
    /// Producers of whose current transaction a batch was met.
    with_data: BTreeSet<ProducerId>,
}

impl Transactions {
    /// Whether a batch of data belongs to an aborted transaction.
    pub(super) fn is_aborted(&self, header: &BatchHeader) -> bool {
        if !header.is_transactional() || header.is_control() {
            return false;
        }
        let of_producer = self.aborted.get(&header.producer_id).map_or(&[][..], Vec::as_slice);
        let after = of_producer.partition_point(|(first, _)| *first <= header.base_offset);
        let last = after.checked_sub(1).and_then(|place| of_producer.get(place));
        last.is_some_and(|(_, marker)| header.last_offset() < *marker)
    }

    /// Takes note of a batch on the way through the log. `true`: nobody misses what is in it, because its transaction was
    /// aborted, or because it is a marker of a transaction without data.
    pub(super) fn meet(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<bool, RecordError> {
        if header.is_control() {
            if header.record_count == 0 {
                return Ok(true);
            }
            let is_marker = read_marker(batch)?.is_some();
            return Ok(is_marker && !self.with_data.remove(&header.producer_id));
        }
        if header.is_transactional() {
            self.with_data.insert(header.producer_id);
        }
        Ok(self.is_aborted(header))
    }

    /// The state on the way, to go back to.
    pub(super) fn on_the_way(&self) -> BTreeSet<ProducerId> {
        self.with_data.clone()
    }

    /// Goes back.
    pub(super) fn go_back(&mut self, with_data: BTreeSet<ProducerId>) {
        self.with_data = with_data;
    }
}
