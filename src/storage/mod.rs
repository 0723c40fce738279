//! Append-only files in Kafka's format, owned by blocking threads.
//!
//! The broker sees nothing of this but [`job`]: jobs go in, outcomes come out. The server starts and stops [`pool`].

pub mod aborted;
pub mod adopt;
pub mod checkpoint;
mod compaction;
pub mod damage;
pub(crate) mod directories;
mod dirty;
pub mod earlier_batches;
mod error;
mod files;
pub mod format;
pub mod fs;
mod hub;
mod index;
pub mod job;
mod log;
mod lost_journal;
mod mark_file;
pub mod manifest;
pub mod marks;
pub mod meta;
mod outcomes;
mod partition;
pub mod pool;
mod producers;
mod queue;
mod reader;
mod recovery;
mod registry;
mod remembered;
mod scan;
mod segment;
pub mod snapshot;
pub mod space;
mod startup;
#[cfg(feature = "testing")]
pub mod stepped;
mod syncer;
mod validate;
mod writer;
