//! Append-only files in Kafka's format, owned by blocking threads.
//!
//! The broker sees nothing of this but [`job`]: jobs go in, outcomes come out.

pub mod fs;
pub mod job;
