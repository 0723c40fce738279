//! What a gigabyte costs: produced, and fetched by who catches up.

use super::{Bench, Turn, figure, pair, reading};
use crate::figures::Figures;
use crate::measure::{self, Topic};
use crate::row::{Bound, Row};
use crate::spec::Spec;

/// CPU seconds per gigabyte.
const UNIT: &str = "CPU-s/GB";

/// Produce with `acks=1`, against receiving, checksumming, writing and replying through one worker.
pub(super) fn produce(bench: &mut Bench) -> Result<Vec<Row>, String> {
    let broker = bench.site.broker(&[])?;
    // A round's file is as large as a round's topic, so that both get pages that were used before.
    let bytes: u64 = bench.amount(256_000_000, 64_000_000);
    let floor = bench.site.floor("write-worker", &["--file-bytes", &bytes.to_string()])?;
    let cases = [(1024, 256, 1.3), (100, 256, 1.3), (1024, 64, 1.5), (1024, 1000, 1.3)];
    let mut rows = Vec::new();
    for (record, request, limit) in cases {
        let spec = Spec { record, request: request << 10, bytes, ..Spec::default() };
        let turns: Vec<Turn<'_>> = vec![
            ("chronik".into(), Box::new(|| measure::produce(&broker, &spec))),
            (floor.name.clone(), Box::new(|| measure::produce(&floor, &spec))),
        ];
        let medians = bench.alternate("produce", &spec, turns)?;
        let name = format!("produce, {record} B records, {request} KB requests, acks=1");
        let pair = pair(&medians, "cpu_s_per_gb");
        rows.push(Row::ratio(&name, UNIT, pair, "write-worker", Bound::AtMost(limit)));
    }
    rows.push(Row::peers("produce, beside Kafka and librdkafka's mock", "≤ 1/2 of Kafka, < mock"));
    Ok(rows)
}

/// Catch-up fetch, against the cheaper way from a file to a socket.
pub(super) fn fetch(bench: &mut Bench) -> Result<Vec<Row>, String> {
    let broker = bench.site.broker(&[])?;
    let floors = [
        bench.site.floor("send-sendfile", &["--bytes", "1048576"])?,
        bench.site.floor("send-read-write", &["--bytes", "1048576"])?,
    ];
    let bytes = bench.amount(1_000_000_000, 250_000_000);
    let spec = Spec { connections: 2, bytes, ..Spec::default() };
    let topic = Topic::filled(&broker, &spec)?;
    let mut turns: Vec<Turn<'_>> =
        vec![("chronik".into(), Box::new(|| measure::fetch(&topic, &broker, &spec)))];
    for floor in &floors {
        let turn = || measure::fetch(&topic, floor, &spec);
        turns.push((floor.name.clone(), Box::new(turn)));
    }
    let medians = bench.alternate("fetch", &spec, turns)?;
    let cost = |index: usize| reading(&medians, index, "cpu_s_per_gb");
    let is_sendfile = cost(1).value <= cost(2).value;
    let (floor, name) = if is_sendfile { (cost(1), "sendfile") } else { (cost(2), "read-write") };
    let row = Row::ratio("catch-up fetch", UNIT, (cost(0), floor), name, Bound::AtMost(1.15));
    Ok(vec![row, throughput("catch-up fetch, throughput", &medians)])
}

/// Bytes per second of the first, for who wants to know.
fn throughput(name: &str, medians: &[Figures]) -> Row {
    Row::report(name, format!("{:.0} MB/s", figure(medians, 0, "mb_per_s")))
}
