//! What waits for the disk: `acks=all` from one and from many, and beside somebody who reads.

use super::{Bench, Turn, figure, pair};
use crate::measure::{self, Aside, Topic};
use crate::row::{Bound, Row};
use crate::spec::Spec;
use crate::subject::Subject;

/// Acknowledged batches of one record of 1 KB, one under way for each producer, against the floor's group commit.
pub(super) fn groups(bench: &mut Bench) -> Result<Vec<Row>, String> {
    let broker = bench.site.broker(&[])?;
    let floor = bench.site.floor("sync-worker", &[])?;
    let mut rows = Vec::new();
    for connections in [1, 8, 64] {
        let seconds = bench.amount(1.5, 0.5);
        let spec =
            Spec { request: 1, acks: -1, connections, in_flight: 1, seconds, ..Spec::default() };
        let turns: Vec<Turn<'_>> = vec![
            ("chronik".into(), Box::new(|| measure::produce(&broker, &spec))),
            (floor.name.clone(), Box::new(|| measure::produce(&floor, &spec))),
        ];
        let medians = bench.alternate("synced", &spec, turns)?;
        let name = format!("acks=all, {connections} producers");
        let pair = pair(&medians, "requests_per_s");
        rows.push(Row::ratio(&name, "batches/s", pair, "sync-worker", Bound::AtLeast(0.9)));
    }
    rows.push(Row::peers("acks=all, 64 producers, beside Kafka synced", "≥ 5 × Kafka"));
    rows.push(preallocated(bench)?);
    Ok(rows)
}

/// What a log would gain whose blocks are there before they are written to: the floor alone, one producer.
fn preallocated(bench: &mut Bench) -> Result<Row, String> {
    let kinds = ["new", "reserved", "reuse"];
    let floors = kinds.map(|kind| bench.site.floor("sync-worker", &["--file", kind]));
    let floors = floors.into_iter().collect::<Result<Vec<Subject>, String>>()?;
    let seconds = bench.amount(1.5, 0.5);
    let spec = Spec { request: 1, acks: -1, in_flight: 1, seconds, ..Spec::default() };
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for (floor, kind) in floors.iter().zip(kinds) {
        let name = format!("{} --file {kind}", floor.name);
        turns.push((name, Box::new(|| measure::produce(floor, &spec))));
    }
    let medians = bench.alternate("preallocated", &spec, turns)?;
    let each = |place| figure(&medians, place, "requests_per_s");
    let (new, reserved, reuse) = (each(0), each(1), each(2));
    let figures = format!("{new:.0}, {reserved:.0}, {reuse:.0} batches/s");
    Ok(Row::report("sync-worker's file grows, has blocks, has been written before", figures))
}

/// The ack latency of a synced producer with and without a reader of old data on the same broker.
pub(super) fn beside(bench: &mut Bench) -> Result<Vec<Row>, String> {
    let broker = bench.site.broker(&[])?;
    let writer = bench.site.floor("sync-worker", &[])?;
    let sender = bench.site.floor("send-sendfile", &["--bytes", "1048576"])?;
    let old = Topic::filled(&broker, &Spec::default())?;
    let seconds = bench.amount(2.0, 0.7);
    let spec = Spec { request: 1, acks: -1, in_flight: 1, seconds, ..Spec::default() };
    let beside = |subject: &Subject, server: Option<&Subject>| {
        let aside = server.map(|server| Aside { server, topic: &old, connections: 1 });
        measure::beside(subject, &spec, aside)
    };
    let turns: Vec<Turn<'_>> = vec![
        ("with a reader".into(), Box::new(|| beside(&broker, Some(&broker)))),
        ("without".into(), Box::new(|| beside(&broker, None))),
        ("floors".into(), Box::new(|| beside(&writer, Some(&sender)))),
        ("floor alone".into(), Box::new(|| beside(&writer, None))),
    ];
    let medians = bench.alternate("beside", &spec, turns)?;
    let p99 = |index| figure(&medians, index, "p99_us");
    let name = "synced producer beside a catch-up reader, p99";
    let pair = pair(&medians, "p99_us");
    let floors = format!("{:.0} µs beside {:.0} µs alone", p99(2), p99(3));
    let reading = format!("{:.0} MB/s", figure(&medians, 0, "read_mb_per_s"));
    Ok(vec![
        Row::ratio(name, "µs", pair, "without the reader", Bound::AtMost(1.5)),
        Row::report("the same of two floors, sync-worker beside send-sendfile", floors),
        Row::report("that reader's throughput", reading),
    ])
}
