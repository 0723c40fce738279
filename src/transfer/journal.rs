//! Records in batches, as the broker's journal keeps them.

use super::TransferError;
use crate::base::ids::Offset;
use crate::base::time::WallMs;
use crate::record::RecordError;
use crate::record::builder::{BatchBuilder, BatchOptions};
use crate::storage::job::StorageError;

/// A batch that has grown beyond this many bytes takes no further record.
const BATCH_BYTES: usize = 1 << 20;

/// A key, or none as in Kafka's metadata, and a value.
pub(super) type Pair = (Option<Vec<u8>>, Vec<u8>);

/// Batches that follow each other from `base` on.
pub(super) fn batches(
    base: Offset,
    leader_epoch: i32,
    now: WallMs,
    records: &[Pair],
) -> Result<Vec<Vec<u8>>, TransferError> {
    build(base, leader_epoch, now, records).map_err(|error| {
        StorageError::content("write", std::path::Path::new("journal"), error.to_string()).into()
    })
}

fn build(
    base: Offset,
    leader_epoch: i32,
    now: WallMs,
    records: &[Pair],
) -> Result<Vec<Vec<u8>>, RecordError> {
    let mut batches = Vec::new();
    let mut next = base;
    let mut records = records.iter().peekable();
    while records.peek().is_some() {
        let options = BatchOptions { base_offset: next, leader_epoch, ..BatchOptions::default() };
        let mut batch = BatchBuilder::new(options)?;
        while batch.size_in_bytes() <= BATCH_BYTES {
            let Some((key, value)) = records.next() else { break };
            batch.append(now, key.as_deref(), Some(value), &[])?;
            next += 1;
        }
        batches.push(batch.finish()?);
    }
    Ok(batches)
}
