//! Append-only files in Kafka's format, owned by blocking threads.
//!
//! The broker sees nothing of this but [`job`]: jobs go in, outcomes come out.

pub mod checkpoint;
pub mod earlier_batches;
mod files;
pub mod format;
pub mod fs;
mod index;
pub mod job;
mod log;
pub mod manifest;
pub mod marks;
pub mod meta;
mod partition;
mod producers;
mod recovery;
mod scan;
mod segment;
pub mod snapshot;
mod validate;
