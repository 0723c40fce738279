//! The markers that end a transaction (KIP-98): a batch of one record that only brokers write.
//!
//! ```text
//! key:   version (2 bytes, 0), type (2 bytes: 0 abort, 1 commit)
//! value: version (2 bytes, 0), coordinator epoch (4 bytes)
//! ```

use super::RecordError;
use super::builder::{BatchBuilder, BatchOptions};
use super::fields::Fields;
use super::records::Record;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// Its records count for nothing.
    Abort,
    /// Its records count.
    Commit,
}

/// One marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTransaction {
    /// How the transaction ended.
    pub marker: Marker,
    /// The epoch of the coordinator that decided.
    pub coordinator_epoch: i32,
}

impl EndTransaction {
    /// Reads a control record. `None`: a control record of another kind, which means nothing here.
    ///
    /// # Errors
    /// [`RecordError::BadControl`].
    pub fn read(record: &Record<'_>) -> Result<Option<EndTransaction>, RecordError> {
        let Some(marker) = read_type(record.key)? else { return Ok(None) };
        let mut fields = Fields::new(record.value.ok_or(RecordError::BadControl)?);
        let version = fields.i16().map_err(|_| RecordError::BadControl)?;
        let coordinator_epoch = fields.i32().map_err(|_| RecordError::BadControl)?;
        if version < 0 {
            return Err(RecordError::BadControl);
        }
        Ok(Some(EndTransaction { marker, coordinator_epoch }))
    }

    /// A batch with this marker, for the producer named in `options`.
    ///
    /// # Errors
    /// None for sensible options; see [`BatchBuilder::finish`].
    pub fn batch(&self, options: BatchOptions, timestamp: i64) -> Result<Vec<u8>, RecordError> {
        let kind: i16 = match self.marker {
            Marker::Abort => 0,
            Marker::Commit => 1,
        };
        let mut key = 0i16.to_be_bytes().to_vec();
        key.extend(kind.to_be_bytes());
        let mut value = 0i16.to_be_bytes().to_vec();
        value.extend(self.coordinator_epoch.to_be_bytes());
        let options = BatchOptions { transactional: true, control: true, ..options };
        let mut builder = BatchBuilder::new(options)?;
        builder.append(timestamp, Some(&key), Some(&value), &[])?;
        builder.finish()
    }
}

/// Later versions may lengthen the key, so bytes behind the two fields are passed over.
fn read_type(key: Option<&[u8]>) -> Result<Option<Marker>, RecordError> {
    let mut fields = Fields::new(key.ok_or(RecordError::BadControl)?);
    let version = fields.i16().map_err(|_| RecordError::BadControl)?;
    let kind = fields.i16().map_err(|_| RecordError::BadControl)?;
    if version < 0 {
        return Err(RecordError::BadControl);
    }
    Ok(match kind {
        0 => Some(Marker::Abort),
        1 => Some(Marker::Commit),
        _ => None,
    })
}
