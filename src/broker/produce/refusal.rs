//! Why storage refused records, in Kafka's words.

use super::Refusal;
use crate::storage::job::AppendError;
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::ProduceResponseRecordError;

/// What is wrong with a record that has no key.
const KEYLESS: &str = "a compacted topic takes no record without a key";

/// Whether records were refused for what they are in this log, not for their bytes or the disk.
pub(super) fn breaks_a_rule(error: &AppendError) -> bool {
    matches!(
        error,
        AppendError::Invalid(_)
            | AppendError::Keyless(_)
            | AppendError::TimestampOutOfRange
            | AppendError::SequenceGap
            | AppendError::FencedProducer
    )
}

/// Which records of the batch are to blame, where that is known (KIP-467).
pub(super) fn record_errors(error: &AppendError) -> Vec<ProduceResponseRecordError> {
    let AppendError::Keyless(places) = error else { return Vec::new() };
    let error = |place: &i32| ProduceResponseRecordError {
        batch_index: *place,
        batch_index_error_message: Some(KEYLESS.to_owned()),
    };
    places.iter().map(error).collect()
}

pub(super) fn refusal_of(error: &AppendError) -> Refusal {
    match error {
        AppendError::NoSpace => (ErrorCode::KafkaStorageError, Some("the disk is full")),
        AppendError::Storage(_) => (ErrorCode::KafkaStorageError, Some("the disk refuses")),
        AppendError::Offline(_) => {
            (ErrorCode::KafkaStorageError, Some("the partition's disk has failed"))
        }
        AppendError::Corrupt(reason) => (ErrorCode::CorruptMessage, Some(reason)),
        AppendError::Invalid(reason) => (ErrorCode::InvalidRecord, Some(reason)),
        AppendError::Keyless(_) => (ErrorCode::InvalidRecord, Some(KEYLESS)),
        AppendError::TooLarge => {
            (ErrorCode::MessageTooLarge, Some("the batch is larger than max.message.bytes"))
        }
        AppendError::TimestampOutOfRange => {
            (ErrorCode::InvalidTimestamp, Some("a timestamp is too far from the broker's time"))
        }
        AppendError::SequenceGap => (ErrorCode::OutOfOrderSequenceNumber, None),
        AppendError::FencedProducer => (ErrorCode::InvalidProducerEpoch, None),
        AppendError::UnsupportedCompression => (ErrorCode::UnsupportedCompressionType, None),
        AppendError::UnknownPartition => (ErrorCode::UnknownTopicOrPartition, None),
    }
}
