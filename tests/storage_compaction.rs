//! Compaction, through the jobs that the broker uses: what stays, what goes, and what nobody notices of it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "tests are their own masters"
)]

use std::collections::BTreeMap;

use chronik::base::ids::PartitionId;
use chronik::base::payload::Bytes;
use chronik::record::batch::{BatchHeader, Batches, verify_crc};
use chronik::record::builder::{BatchBuilder, BatchOptions};
use chronik::record::compression::Codec;
use chronik::record::records::RecordReader;
use chronik::storage::job::{Job, LogConfig, Outcome, TimeTarget, Upkeep, Upkept};
use chronik::storage::pool::{CompactionLimits, Options};

#[path = "support/storage.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use support::*;

/// A compacted topic with segments of a few batches.
fn compacted() -> LogConfig {
    LogConfig {
        compact: true,
        delete: false,
        segment_bytes: 2000,
        index_interval_bytes: 100,
        min_dirty_permille: 0,
        delete_retention_ms: 1000,
        ..config()
    }
}

type Pair<'a> = (&'a str, Option<&'a str>);

fn pairs(pairs: &[Pair<'_>], options: BatchOptions) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options).unwrap();
    for (key, value) in pairs {
        builder.append(NOW, Some(key.as_bytes()), value.map(str::as_bytes), &[]).unwrap();
    }
    builder.finish().unwrap()
}

fn put(bench: &Bench, p: PartitionId, key: &str, value: Option<&str>) -> i64 {
    bench.append(p, pairs(&[(key, value)], BatchOptions::default())).unwrap().base_offset
}

fn upkeep_at(bench: &Bench, p: PartitionId, now: i64) -> Upkept {
    bench.storage.submit(Job::Upkeep(Upkeep { partition: p, now, expire: true, free: false }));
    bench.wait(|outcome| match outcome {
        Outcome::Upkept(upkept) if upkept.partition == p => Some(upkept.clone()),
        _ => None,
    })
}

/// Looks after a partition until it wants nothing more before a second from `now` has passed. What wants to be tried
/// again later is told that it is later.
fn settle(bench: &Bench, p: PartitionId, now: i64) -> Upkept {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let mut later = now;
    loop {
        assert!(std::time::Instant::now() < deadline, "compaction does not end");
        let rounds = bench.storage.stats().compaction_rounds.get();
        let upkept = upkeep_at(bench, p, later);
        match upkept.due {
            Some(due) if due <= now + 600_000 => later = later.max(due),
            // A round under way says nothing until it is over.
            _ if is_running(&upkept) => {
                let over = bench.wait(|outcome| match outcome {
                    Outcome::Upkept(upkept) if upkept.partition == p => Some(upkept.clone()),
                    _ => None,
                });
                let _ = (over, rounds);
            }
            _ => return upkept,
        }
    }
}
