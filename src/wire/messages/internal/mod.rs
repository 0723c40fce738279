//! Keys and values of the internal logs, in the forms that Kafka's tools read.

pub mod metadata;
pub mod offsets;
pub mod transactions;
