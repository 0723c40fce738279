//! How long one record takes: to its acknowledgement, and to who waits for it.

use super::{Bench, Turn, figure, pair, reading};
use crate::measure;
use crate::row::{Bound, Row};
use crate::spec::Spec;

/// One record of 100 B, alone.
fn one(seconds: f64) -> Spec {
    Spec { record: 100, request: 1, in_flight: 1, seconds, ..Spec::default() }
}

/// Ack latency, one under way, against a request and a reply through one worker.
pub(super) fn acks(bench: &mut Bench) -> Result<Vec<Row>, String> {
    let broker = bench.site.broker(&[])?;
    let floor = bench.site.floor("echo-worker", &[])?;
    let spec = one(bench.amount(1.5, 0.5));
    let turns: Vec<Turn<'_>> = vec![
        ("chronik".into(), Box::new(|| measure::produce(&broker, &spec))),
        (floor.name.clone(), Box::new(|| measure::produce(&floor, &spec))),
    ];
    let medians = bench.alternate("latency", &spec, turns)?;
    let row = |name: &str, figure_name: &str| {
        let pair = pair(&medians, figure_name);
        Row::ratio(name, "µs", pair, "echo-worker", Bound::AtMost(1.5))
    };
    Ok(vec![
        row("ack latency, one in flight, 100 B, acks=1, p50", "p50_us"),
        row("ack latency, one in flight, 100 B, acks=1, p99", "p99_us"),
        Row::peers("ack latency, beside every peer", "below"),
    ])
}

/// From a produce request to its record's arrival at a consumer that waits, at 1,000 records a second, against request
/// and reply through one worker at the same rate.
pub(super) fn arrival(bench: &mut Bench) -> Result<Vec<Row>, String> {
    let broker = bench.site.broker(&[])?;
    let floor = bench.site.floor("echo-worker", &[])?;
    let spec = Spec { rate: 1000, in_flight: 100, ..one(bench.amount(2.0, 0.7)) };
    let turns: Vec<Turn<'_>> = vec![
        ("chronik".into(), Box::new(|| measure::follow(&broker, &spec))),
        (floor.name.clone(), Box::new(|| measure::produce(&floor, &spec))),
    ];
    let medians = bench.alternate("arrival", &spec, turns)?;
    let pair = (reading(&medians, 0, "arrival_p99_us"), reading(&medians, 1, "p99_us"));
    let name = "produce to consume at 1,000 records/s, p99";
    let p50 = format!("{:.0} µs", figure(&medians, 0, "arrival_p50_us"));
    Ok(vec![
        Row::ratio(name, "µs", pair, "echo-worker's p99", Bound::AtMost(3.0)),
        Row::report("produce to consume at 1,000 records/s, p50", p50),
    ])
}
