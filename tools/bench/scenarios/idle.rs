//! A broker that nobody asks anything: how often it wakes, and what it weighs. Several are watched in the same minute.

use std::thread;
use std::time::Duration;

use super::Bench;
use super::start::{MIB, touch};
use crate::figures::{Figures, Reading};
use crate::limits;
use crate::load::{Load, Tally};
use crate::measure::{self, Topic, float};
use crate::proc::{self, Cost};
use crate::row::{Bound, Row};
use crate::spec::Spec;
use crate::subject::Subject;

/// What is synced a second later is past, and what a start leaves to be done, too.
const SETTLED: Duration = Duration::from_secs(3);
/// How long a consumer waits for a record before it asks again, in milliseconds.
const POLL_MS: i32 = 500;

/// What was seen of one idle broker.
struct Seen {
    switches: f64,
    resident: f64,
}

/// Everything about idleness, in one minute.
pub(super) fn run(bench: &mut Bench) -> Result<Vec<Row>, String> {
    let length = Duration::from_secs(bench.amount(60, 10));
    let count = limits::connections(bench.amount(10_000, 1_000));
    let partitions = 1_000;
    let empty = bench.site.broker(&[])?;
    let crowded = bench.site.broker(&["max.connections=20000", "max.connections.per.ip=20000"])?;
    let wide = bench.site.broker(&[])?;
    let polled = bench.site.broker(&[])?;
    let floor = bench.site.floor("echo-worker", &[])?;

    let held = connect(&crowded, count)?;
    touch(&wide, &Spec { record: 100, request: 1, partitions, ..Spec::default() })?;
    let topic = Topic::create(&polled, &Spec::default())?;
    thread::sleep(SETTLED);

    let (seen, poll, floor_poll) = thread::scope(|scope| {
        let poll = scope.spawn(|| long_poll(&polled, &topic, length));
        let floor_poll = scope.spawn(|| asked(&floor, length));
        let seen = watch(&[&empty, &crowded, &wide], length);
        let joined = |handle: thread::ScopedJoinHandle<'_, Result<Polled, String>>| {
            handle.join().map_err(|_| "a thread has failed".to_owned())?
        };
        (seen, joined(poll), joined(floor_poll))
    });
    drop(held);
    let seen = seen?;
    let names =
        ["empty".to_owned(), format!("{count} connections"), format!("{partitions} partitions")];
    let mut rows: Vec<Row> = Vec::new();
    for (name, seen) in names.iter().zip(&seen) {
        let figures = Figures::default().with("switches", seen.switches).with("rss", seen.resident);
        bench.record("idle", name, &[], 1, &figures);
        let name = format!("idle wake-ups in {} s: {name}", length.as_secs());
        rows.push(Row::value(&name, "", seen.switches, Bound::AtMost(0.0)));
    }
    rows.push(polling_row(bench, poll?, floor_poll?, length));
    if let [empty, crowded, _] = seen.as_slice() {
        rows.extend(weights(empty, crowded, count));
    }
    Ok(rows)
}

/// Memory: of an idle broker, and of a connection.
fn weights(empty: &Seen, crowded: &Seen, count: usize) -> [Row; 2] {
    let each = (crowded.resident - empty.resident) / f64::from(u32::try_from(count).unwrap_or(1));
    let connection = format!("resident memory per idle connection ({count})");
    [
        Row::value("resident memory, idle", "MiB", empty.resident / MIB, Bound::AtMost(3.0)),
        Row::value(&connection, "KB", each / 1000.0, Bound::AtMost(1.0)),
    ]
}

/// Connections that have made a request each and make no more.
fn connect(subject: &Subject, connections: usize) -> Result<Load, String> {
    let spec = Spec { record: 100, request: 1, connections, in_flight: 1, ..Spec::default() };
    let topic = Topic::create(subject, &spec)?;
    let dialect = subject.dialect()?;
    let mut work = measure::producing(&topic, &spec, dialect)?;
    work.outstanding = 64;
    work.requests_max = u64::try_from(connections).ok();
    let mut load = Load::connect(subject.address, dialect, vec![work])?;
    load.run(Duration::from_secs(60))?;
    Ok(load)
}

/// What several processes do while nobody asks.
fn watch(subjects: &[&Subject], length: Duration) -> Result<Vec<Seen>, String> {
    let costs = |subjects: &[&Subject]| {
        subjects.iter().map(|subject| Cost::of(subject.pid)).collect::<Result<Vec<Cost>, String>>()
    };
    let before = costs(subjects)?;
    thread::sleep(length);
    let after = costs(subjects)?;
    let seen =
        subjects.iter().zip(before.iter().zip(after)).map(|(subject, (before, after))| Seen {
            switches: float(after.since(*before).switches),
            resident: float(proc::resident(subject.pid)),
        });
    Ok(seen.collect())
}

/// What a server spent on how many requests.
struct Polled {
    cost: Cost,
    requests: u64,
}

/// One consumer that waits for records, of which none come.
fn long_poll(subject: &Subject, topic: &Topic, length: Duration) -> Result<Polled, String> {
    let spec = Spec { wait_ms: POLL_MS, seconds: length.as_secs_f64(), ..Spec::default() };
    let before = Cost::of(subject.pid)?;
    let tally = measure::wait(topic, subject, &spec)?;
    spent(subject, before, &tally)
}

/// As many requests of the same size, which are answered at once.
fn asked(floor: &Subject, length: Duration) -> Result<Polled, String> {
    let spec = Spec { record: 20, request: 1, in_flight: 1, rate: 2, ..Spec::default() };
    let topic = Topic::create(floor, &spec)?;
    let dialect = floor.dialect()?;
    let work = vec![measure::producing(&topic, &spec, dialect)?];
    let mut load = Load::connect(floor.address, dialect, work)?;
    let before = Cost::of(floor.pid)?;
    let tallies = load.run(length)?;
    spent(floor, before, tallies.first().ok_or("nothing was asked")?)
}

fn spent(subject: &Subject, before: Cost, tally: &Tally) -> Result<Polled, String> {
    Ok(Polled { cost: Cost::of(subject.pid)?.since(before), requests: tally.requests })
}

fn polling_row(bench: &mut Bench, broker: Polled, floor: Polled, length: Duration) -> Row {
    let each = |polled: &Polled| float(polled.cost.cpu_ns) / 1000.0 / float(polled.requests);
    for (name, polled) in [("chronik", &broker), ("floor echo-worker", &floor)] {
        let figures = Figures::default()
            .with("requests", float(polled.requests))
            .with("cpu_us_per_request", each(polled))
            .with("switches", float(polled.cost.switches));
        bench.record("long-poll", name, &[], 1, &figures);
    }
    let name = format!("one long-polling consumer, {} s: broker CPU", length.as_secs());
    let pair = (Reading::once(each(&broker)), Reading::once(each(&floor)));
    Row::ratio(&name, "µs/request", pair, "echo-worker", Bound::AtMost(2.0))
}
