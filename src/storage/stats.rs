//! What storage counts for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets of sync times, in microseconds; one more bucket holds what took longer.
pub const SYNC_BOUNDS_US: [u64; 13] =
    [100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000];

/// Counters since the start.
#[derive(Debug, Default)]
pub struct Stats {
    /// Syncs of files.
    pub syncs: AtomicU64,
    /// Syncs that failed.
    pub syncs_failed: AtomicU64,
    /// Time that the syncs took in all, in microseconds.
    pub sync_time_us: AtomicU64,
    /// Syncs by time taken; the bounds are [`SYNC_BOUNDS_US`], the last bucket has none.
    pub sync_buckets: [AtomicU64; SYNC_BOUNDS_US.len() + 1],
    /// Bytes of batches that were written.
    pub bytes_written: AtomicU64,
    /// Partitions with batches that no sync was asked for.
    pub dirty_partitions: AtomicU64,
    /// Appends that were refused by the disk.
    pub writes_failed: AtomicU64,
}

impl Stats {
    pub(super) fn note_sync(&self, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = SYNC_BOUNDS_US.partition_point(|bound| *bound < took_us);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_time_us.fetch_add(took_us, Ordering::Relaxed);
        if let Some(count) = self.sync_buckets.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}
