//! Append-only files in Kafka's format, owned by blocking threads.
//!
//! The broker sees nothing of this but [`job`]: jobs go in, outcomes come out.

pub mod checkpoint;
pub mod earlier_batches;
pub mod format;
pub mod job;
pub mod manifest;
pub mod marks;
pub mod meta;
pub mod snapshot;
