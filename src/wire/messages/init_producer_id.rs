//! InitProducerId (key 22): a producer's number and epoch (KIP-98).
//!
//! v2 is flexible, v3 lets a producer raise its epoch (KIP-360), v4 names PRODUCER_FENCED what older versions call
//! INVALID_PRODUCER_EPOCH, v5 serves KIP-890. v6 is not stable in Kafka and not served.

use crate::message;

message! {
    /// Asks for a producer id, or ends what a transactional id had open (KIP-98).
    pub struct InitProducerIdRequest {
        /// The transactional id; `None` for a producer that is only idempotent.
        [0..] [null 0..] transactional_id: Option<String> = Some(String::new());
        /// A transaction open for longer is aborted, in milliseconds.
        [0..] transaction_timeout_ms: i32;
        /// The number that the producer has, to get a new epoch (KIP-360), or -1.
        [3..] producer_id: i64 = -1;
        /// The epoch that the producer has, or -1.
        [3..] producer_epoch: i16 = -1;
    }

    /// The producer's identity.
    pub struct InitProducerIdResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [0.., ignorable] throttle_time_ms: i32;
        /// The error, or 0.
        [0..] error_code: i16;
        /// The producer's number.
        [0..] producer_id: i64 = -1;
        /// The producer's epoch.
        [0..] producer_epoch: i16;
    }
}
