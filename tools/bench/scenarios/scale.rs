//! Throughput as connections, partitions and record sizes grow, with the same bytes under way in total.

use std::path::Path;
use std::time::Duration;

use super::{Bench, Turn, figure, reading};
use crate::figures::{Figures, Reading};
use crate::load::Load;
use crate::measure::{self, Meter, Topic};
use crate::plot::{Curve, Plot};
use crate::row::{Bound, Row};
use crate::spec::Spec;
use crate::subject::Subject;

/// Appends of 64 KB, 4 MB of them under way.
const UNDER_WAY: usize = 64;
/// More than the defaults allow.
const KEYS: &[&str] =
    &["max.connections=20000", "max.connections.per.ip=20000", "chronik.max.partitions=20000"];
/// What is not grown stays at this.
const SOME: usize = 16;

/// Connections from 1 to 10,000.
pub(super) fn connections(bench: &mut Bench) -> Result<Vec<Row>, String> {
    let most = bench.amount(10_000, 1_000);
    let counts = steps(crate::limits::connections(most));
    grow(bench, "connections", &counts, |count| Spec {
        connections: count,
        partitions: 16,
        ..spread(count)
    })
}

/// Partitions from 1 to 10,000.
pub(super) fn partitions(bench: &mut Bench) -> Result<Vec<Row>, String> {
    let counts = steps(bench.amount(10_000, 1_000));
    grow(bench, "partitions", &counts, |count| Spec {
        connections: SOME,
        partitions: i32::try_from(count).unwrap_or(1),
        ..spread(SOME)
    })
}

/// 1, 10, 100 … and `most` itself.
fn steps(most: usize) -> Vec<usize> {
    let mut steps: Vec<usize> =
        [1, 10, 100, 1_000, 10_000].into_iter().filter(|step| *step < most).collect();
    steps.push(most);
    steps
}

/// 64 KB a request, and as many under way on each connection as make the same total.
fn spread(connections: usize) -> Spec {
    Spec {
        request: 64 << 10,
        in_flight: UNDER_WAY.div_ceil(connections),
        outstanding: UNDER_WAY,
        ..Spec::default()
    }
}

/// Measures `acks=1`, synced, and `acks=1` at a floor, which shows what the generator can do, and the file system with as many
/// files as there are partitions; draws all of them.
fn grow(
    bench: &mut Bench,
    what: &'static str,
    counts: &[usize],
    spec: impl Fn(usize) -> Spec,
) -> Result<Vec<Row>, String> {
    let broker = bench.site.broker(KEYS)?;
    let least = bench.amount(600_000_000, 128_000_000);
    let floor = |count: usize| {
        // One file is begun anew about once a turn; many only grow, as logs do: to cut them costs more than to write to them.
        let (files, bytes) = if what == "partitions" { (count, u64::MAX) } else { (1, least) };
        let (bytes, files) = (bytes.to_string(), files.to_string());
        bench.site.floor("write-worker", &["--file-bytes", &bytes, "--files", &files])
    };
    let floors = counts.iter().map(|count| floor(*count)).collect::<Result<Vec<_>, String>>()?;
    let (brokers, floors) = (vec![&broker; counts.len()], floors.iter().collect::<Vec<_>>());
    let mut curves = Vec::new();
    let mut rows = Vec::new();
    for (name, subjects, acks) in
        [("acks=1", &brokers, 1), ("synced", &brokers, -1), ("write-worker", &floors, 1)]
    {
        let points = curve(bench, what, subjects, counts, &|count| Spec {
            acks,
            bytes: bytes_of(acks, &spec(count), least),
            seconds: 10.0,
            ..spec(count)
        })?;
        rows.push(row(what, name, counts, &points));
        let points = points.iter().map(|(count, reading)| (*count, reading.value)).collect();
        curves.push(Curve { name: name.to_owned(), points });
    }
    let plot = Plot {
        title: format!("Throughput against {what}, 64 KB appends, 4 MB under way"),
        below: what.to_owned(),
        side: "MB/s".to_owned(),
        curves,
    };
    bench.draw(&format!("{what}.svg"), &plot)?;
    Ok(rows)
}

/// The least of a curve beside its best.
fn row(what: &str, name: &str, counts: &[usize], points: &[(f64, Reading)]) -> Row {
    let by_value = |a: &Reading, b: &Reading| a.value.total_cmp(&b.value);
    let readings = || points.iter().map(|point| point.1);
    let nothing = Reading::once(f64::NAN);
    let best = readings().max_by(by_value).unwrap_or(nothing);
    let least = readings().min_by(by_value).unwrap_or(nothing);
    let last = counts.last().copied().unwrap_or(0);
    let figure = format!("throughput, {what} 1 to {last}, {name}: least by best");
    if name == "acks=1" {
        Row::ratio(&figure, "MB/s", (least, best), "the best", Bound::AtLeast(0.8))
    } else {
        let (least, best) = (least.value, best.value);
        Row::report(&figure, format!("{least:.0} of {best:.0} MB/s, {:.2}", least / best))
    }
}

/// Enough for every partition to get an append, and for what is synced a second later to be part of the measurement.
fn bytes_of(acks: i16, spec: &Spec, least: u64) -> u64 {
    let each = u64::try_from(spec.partitions).unwrap_or(1) * (64 << 10);
    if acks == 1 { each.max(least) } else { each.clamp(32_000_000, 128_000_000) }
}

/// The points of one curve: megabytes a second at every count. The counts take turns, each in memory that was used just
/// before.
fn curve(
    bench: &mut Bench,
    what: &str,
    subjects: &[&Subject],
    counts: &[usize],
    spec: &dyn Fn(usize) -> Spec,
) -> Result<Vec<(f64, Reading)>, String> {
    let scratch = bench.site.dir.clone();
    let specs: Vec<Spec> = counts.iter().map(|count| spec(*count)).collect();
    let topics = subjects.iter().zip(&specs).map(|(subject, spec)| Topic::create(subject, spec));
    let topics = topics.collect::<Result<Vec<Topic>, String>>()?;
    let turn = |((spec, topic), subject)| turn(spec, topic, subject, &scratch);
    let turns = specs.iter().zip(&topics).zip(subjects.iter().copied()).map(turn).collect();
    let medians = match specs.first() {
        Some(first) => bench.alternate(what, first, turns)?,
        None => Vec::new(),
    };
    topics.iter().zip(subjects).try_for_each(|(topic, subject)| topic.delete(subject))?;
    let place = |(index, count): (usize, &usize)| {
        let count = f64::from(u32::try_from(*count).unwrap_or(u32::MAX));
        (count, reading(&medians, index, "mb_per_s"))
    };
    Ok(counts.iter().enumerate().map(place).collect())
}

/// What one of them does when it is its turn.
fn turn<'a>(spec: &Spec, topic: &Topic, subject: &'a Subject, scratch: &'a Path) -> Turn<'a> {
    let (own, name) = (spec.clone(), topic.name.clone());
    let topic = Topic { name, batch: topic.batch.clone() };
    let name =
        format!("{}, {} connections, {} partitions", subject.name, own.connections, own.partitions);
    let turn = move || {
        measure::warm(scratch, own.bytes)?;
        append(subject, &topic, &own)
    };
    (name, Box::new(turn))
}

/// Produces to a topic that stays.
fn append(broker: &Subject, topic: &Topic, spec: &Spec) -> Result<Figures, String> {
    let dialect = broker.dialect()?;
    let work = vec![measure::producing(topic, spec, dialect)?];
    let mut load = Load::connect(broker.address, dialect, work)?;
    let meter = Meter::start(broker)?;
    let tallies = load.run(Duration::from_secs_f64(spec.seconds))?;
    meter.figures(tallies.first().ok_or("nothing was done")?)
}

/// Record sizes from 16 B to 100 KB in requests of the same size, beside the floor, which does not look at records.
pub(super) fn records(bench: &mut Bench) -> Result<Vec<Row>, String> {
    let broker = bench.site.broker(&[])?;
    let bytes: u64 = bench.amount(128_000_000, 32_000_000);
    let floor = bench.site.floor("write-worker", &["--file-bytes", &bytes.to_string()])?;
    let mut curves = Vec::from([("chronik", Vec::new()), ("write-worker", Vec::new())]);
    let mut costs = Vec::new();
    for record in [16, 100, 1_000, 10_000, 100_000] {
        let spec = Spec { record, bytes, ..Spec::default() };
        let turns: Vec<Turn<'_>> = vec![
            ("chronik".into(), Box::new(|| measure::produce(&broker, &spec))),
            (floor.name.clone(), Box::new(|| measure::produce(&floor, &spec))),
        ];
        let medians = bench.alternate("records", &spec, turns)?;
        let size = f64::from(u32::try_from(record).unwrap_or(u32::MAX));
        for (index, (_, points)) in curves.iter_mut().enumerate() {
            points.push((size, figure(&medians, index, "mb_per_s")));
        }
        costs.push(format!("{record} B {:.2}", figure(&medians, 0, "cpu_s_per_gb")));
    }
    let curves = curves.into_iter().map(|(name, points)| Curve { name: name.to_owned(), points });
    let plot = Plot {
        title: "Throughput against record size, 256 KB requests, acks=1".to_owned(),
        below: "bytes of a record".to_owned(),
        side: "MB/s".to_owned(),
        curves: curves.collect(),
    };
    bench.draw("records.svg", &plot)?;
    Ok(vec![Row::report("CPU-s per GB of values, by record size", costs.join(", "))])
}
