//! What was counted and timed.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest time that is told from a longer one, in nanoseconds.
const LONGEST_NS: u64 = 120_000_000_000;

/// Counts and times of one traffic in one run.
pub(crate) struct Tally {
    /// Requests that were answered.
    pub requests: u64,
    /// Bytes of record values produced, or of records fetched.
    pub bytes: u64,
    /// From the run's first request to its last reply.
    pub elapsed: Duration,
    /// From a request to its reply, in nanoseconds.
    pub latency: Histogram<u64>,
    /// From a produce request to its records' arrival at who follows, in nanoseconds.
    pub arrival: Histogram<u64>,
}

impl Tally {
    pub(super) fn new() -> Result<Tally, String> {
        let histogram =
            || Histogram::new_with_bounds(1, LONGEST_NS, 3).map_err(|error| format!("{error:?}"));
        Ok(Tally {
            requests: 0,
            bytes: 0,
            elapsed: Duration::ZERO,
            latency: histogram()?,
            arrival: histogram()?,
        })
    }

    pub(super) fn count(&mut self, bytes: u64, latency: Duration) {
        self.requests += 1;
        self.bytes += bytes;
        self.latency.saturating_record(nanoseconds(latency));
    }

    pub(super) fn arrived(&mut self, way: Duration) {
        self.arrival.saturating_record(nanoseconds(way));
    }
}

fn nanoseconds(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}
