//! What a request may bring as records, by its version: batches in format 2, or the message sets before them.

use super::Refusal;
use crate::base::payload::Bytes;
use crate::record::RecordError;
use crate::record::batch::{BatchHeader, Prefix};
use crate::record::compression::Codec;
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::ProduceRequest;

/// What the request's version promises about its records. Answers them without a last one that is not whole, which
/// Kafka too passes over.
pub(super) fn check_format(request: &ProduceRequest, records: Bytes) -> Result<Bytes, Refusal> {
    if is_old_format(&records) {
        let reason = "this version of Produce needs record format 2";
        let allowed = request.old_format_allowed;
        return if allowed { Ok(records) } else { Err((ErrorCode::InvalidRecord, Some(reason))) };
    }
    let records = if request.old_format_allowed { records } else { only_batch(records)? };
    let header = BatchHeader::read(&records)
        .map_err(|_| (ErrorCode::CorruptMessage, Some("no batch header")))?;
    if codec_of(&records) == Some(Codec::Zstd.number()) && !request.understands_zstd {
        let reason = "zstd needs version 7 of Produce";
        return Err((ErrorCode::UnsupportedCompressionType, Some(reason)));
    }
    if header.is_transactional() {
        return Err((ErrorCode::InvalidTxnState, Some("transactions are not served")));
    }
    Ok(records)
}

/// The one batch that a partition takes per request.
fn only_batch(records: Bytes) -> Result<Bytes, Refusal> {
    let none = (ErrorCode::InvalidRecord, Some("there is no whole batch"));
    let size = whole_batch(&records)?.ok_or(none)?;
    match whole_batch(records.get(size..).unwrap_or_default())? {
        None => records.slice(0..size).ok_or(none),
        Some(_) => {
            let reason = "a partition takes exactly one batch per request";
            Err((ErrorCode::InvalidRecord, Some(reason)))
        }
    }
}

/// The size of the batch that these bytes begin with; `None` if they end before it does.
fn whole_batch(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    match Prefix::read(bytes) {
        Ok(prefix) => Ok((prefix.size <= bytes.len()).then_some(prefix.size)),
        Err(RecordError::Truncated) => Ok(None),
        Err(_) => Err((ErrorCode::CorruptMessage, Some("no batch header"))),
    }
}

/// Byte 16 of a batch and of a message alike.
pub(super) fn is_old_format(records: &[u8]) -> bool {
    records.get(16).is_some_and(|magic| *magic < 2)
}

/// The codec number of the first batch, if it is one in format 2.
pub(super) fn codec_of(records: &[u8]) -> Option<u8> {
    if is_old_format(records) {
        return None;
    }
    records.get(22).map(|attributes| attributes & 7)
}
