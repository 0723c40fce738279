//! From exec to the first answer, memory at full load, and the size of the program.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Bench, figure};
use crate::client::Client;
use crate::figures::{Figures, median};
use crate::load::Load;
use crate::measure::{self, Aside, Topic};
use crate::proc;
use crate::row::{Bound, Row};
use crate::spec::Spec;
use crate::subject::{Site, Subject};

/// Bytes of a mebibyte, in which memory is told.
pub(super) const MIB: f64 = 1_048_576.0;

/// Topics that the partitions belong to.
const TOPICS: usize = 10;
/// More partitions than the defaults allow, beside the broker's own.
const KEYS: &[&str] = &["chronik.max.partitions=20000"];

/// Starts on an empty formatted directory, and on one with 10,000 partitions after a clean stop. Also what these weigh.
pub(super) fn times(bench: &mut Bench) -> Result<Vec<Row>, String> {
    let partitions = bench.amount(10_000, 1_000);
    let empty = bench.site.fresh("start-empty")?;
    bench.site.broker_on(&empty, KEYS)?.stop()?;
    let wide = bench.site.fresh("start-wide")?;
    populate(&bench.site, &wide, partitions)?;
    let (mut light, mut heavy) = (Vec::new(), Vec::new());
    for round in 0..=bench.amount(7, 3) {
        for (name, dir, runs) in [("empty", &empty, &mut light), ("wide", &wide, &mut heavy)] {
            let figures = start(&bench.site, dir)?;
            if round > 0 {
                bench.record("start", name, &[], round, &figures);
                runs.push(figures);
            }
        }
    }
    let medians = [Figures::medians(&light), Figures::medians(&heavy)];
    let _ = std::fs::remove_dir_all(&empty);
    let _ = std::fs::remove_dir_all(&wide);
    let milliseconds = |index| figure(&medians, index, "start_ms");
    let resident = |index| figure(&medians, index, "rss_bytes");
    let each = (resident(1) - resident(0)) / f64::from(u32::try_from(partitions).unwrap_or(1));
    let wide = format!("exec to first answer, {partitions} partitions after a clean stop");
    let weight = format!("resident memory per idle partition ({partitions}, after a start)");
    Ok(vec![
        Row::value("exec to first answer, empty", "ms", milliseconds(0), Bound::AtMost(5.0)),
        Row::value(&wide, "ms", milliseconds(1), Bound::AtMost(150.0)),
        Row::value(&weight, "KB", each / 1000.0, Bound::AtMost(1.5)),
    ])
}

/// Makes partitions with a record each, and stops in order.
fn populate(site: &Site, dir: &Path, partitions: usize) -> Result<(), String> {
    let broker = site.broker_on(dir, KEYS)?;
    let each = i32::try_from(partitions / TOPICS).unwrap_or(1);
    let spec = Spec { record: 100, request: 1, partitions: each, ..Spec::default() };
    for _ in 0..TOPICS {
        touch(&broker, &spec)?;
    }
    broker.stop()
}

/// Makes a topic and appends a record to each of its partitions.
pub(super) fn touch(broker: &Subject, spec: &Spec) -> Result<(), String> {
    let topic = Topic::create(broker, spec)?;
    let dialect = broker.dialect()?;
    let mut work = measure::producing(&topic, spec, dialect)?;
    work.requests_max = u64::try_from(spec.partitions).ok();
    Load::connect(broker.address, dialect, vec![work])?.run(Duration::from_secs(60)).map(|_| ())
}

/// One start: the time until ApiVersions is answered, and the memory then.
fn start(site: &Site, dir: &Path) -> Result<Figures, String> {
    let began = Instant::now();
    let broker = site.broker_on(dir, KEYS)?;
    Client::connect(broker.address)?;
    let milliseconds = began.elapsed().as_secs_f64() * 1000.0;
    let resident = measure::float(proc::resident(broker.pid));
    broker.stop()?;
    Ok(Figures::default().with("start_ms", milliseconds).with("rss_bytes", resident))
}

/// The most memory while 64 producers keep a megabyte each under way four times, and 64 consumers read what is old.
pub(super) fn full_load(bench: &mut Bench) -> Result<Vec<Row>, String> {
    let many = Spec { connections: 64, in_flight: 4, request: 1000 << 10, ..Spec::default() };
    let bytes = bench.amount(2_000_000_000, 500_000_000);
    let spec = Spec { bytes, partitions: 4, ..many };
    let mut most = Vec::new();
    for round in 1..=bench.amount(3, 1) {
        let broker = bench.site.broker(&[])?;
        let old = Topic::filled(&broker, &Spec::default())?;
        let readers = Aside { server: &broker, topic: &old, connections: 64 };
        let figures = measure::beside(&broker, &spec, Some(readers))?;
        bench.record("full", "chronik", &spec.params(), round, &figures);
        most.push(measure::float(proc::resident_max(broker.pid)) / MIB);
    }
    let name = "resident memory at full load, budget 64 MiB";
    Ok(vec![Row::value(name, "MiB", median(most), Bound::AtMost(72.0))])
}

/// The sizes of the binary that is measured and of the minimal one, if it is built.
pub(super) fn binaries(bench: &mut Bench) -> Result<Vec<Row>, String> {
    let size = |path: &Path| {
        let found = std::fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()));
        found.map(|found| measure::float(found.len()) / 1e6)
    };
    let full = size(&bench.site.chronik)?;
    let minimal = size(Path::new("target/minimal/chronik"));
    Ok(vec![
        Row::value("binary, full", "MB", full, Bound::AtMost(4.0)),
        match minimal {
            Ok(minimal) => Row::value("binary, minimal", "MB", minimal, Bound::AtMost(1.5)),
            Err(_) => Row::missing("binary, minimal", "make minimal comes first"),
        },
    ])
}
