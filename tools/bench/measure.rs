//! Measurements: work for the generator, and what it cost the server.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};

use crate::client::Client;
use crate::figures::Figures;
use crate::frames::{Batch, Frame};
use crate::load::{Load, Tally, Traffic, Work};
use crate::proc::{self, Cost};
use crate::reply::Dialect;
use crate::spec::Spec;
use crate::subject::Subject;

/// So many bytes of memory are used before a run, at least.
const WARM_BYTES_MIN: u64 = 1 << 30;
/// As many partitions are asked for their ends after a run.
const AUDITED_MAX: i32 = 16;

/// A topic to work on. At a floor, which has none, it is a name in requests.
pub(crate) struct Topic {
    /// Its name.
    pub name: String,
    /// What its log consists of.
    pub batch: Batch,
}

impl Topic {
    /// A new one.
    pub(crate) fn create(subject: &Subject, spec: &Spec) -> Result<Topic, String> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bench-{}-{number}", std::process::id());
        if subject.is_broker {
            let mut client = Client::connect(subject.address)?;
            client.create_topic(&name, spec.partitions, &spec.settings)?;
        }
        Ok(Topic { name, batch: Batch::new(spec.record, spec.request, spec.codec)? })
    }

    /// A new one with as much to fetch as the spec says.
    pub(crate) fn filled(subject: &Subject, spec: &Spec) -> Result<Topic, String> {
        let topic = Topic::create(subject, spec)?;
        if subject.is_broker {
            let batches = spec.fill / u64::try_from(topic.batch.bytes.len()).unwrap_or(1);
            let fill =
                Spec { acks: 1, connections: 1, in_flight: 5, outstanding: 0, ..spec.clone() };
            let dialect = subject.dialect()?;
            let mut work = producing(&topic, &fill, dialect)?;
            work.requests_max = Some(batches.max(1));
            Load::connect(subject.address, dialect, vec![work])?.run(Duration::from_secs(120))?;
        }
        Ok(topic)
    }

    /// Removes it.
    pub(crate) fn delete(&self, subject: &Subject) -> Result<(), String> {
        if subject.is_broker {
            Client::connect(subject.address)?.delete_topic(&self.name)?;
        }
        Ok(())
    }

    /// The sum of its partitions' ends.
    fn end(&self, subject: &Subject, partitions: i32) -> Result<i64, String> {
        let mut client = Client::connect(subject.address)?;
        (0..partitions).map(|partition| client.end_of(&self.name, partition)).sum()
    }
}

/// Produces to a new topic, which is removed afterwards.
pub(crate) fn produce(subject: &Subject, spec: &Spec) -> Result<Figures, String> {
    let topic = Topic::create(subject, spec)?;
    let figures = produce_to(&topic, subject, spec)?;
    topic.delete(subject)?;
    Ok(figures)
}

/// Produces to a new topic, which stays.
pub(crate) fn produce_and_keep(subject: &Subject, spec: &Spec) -> Result<Figures, String> {
    produce_to(&Topic::create(subject, spec)?, subject, spec)
}

fn produce_to(topic: &Topic, subject: &Subject, spec: &Spec) -> Result<Figures, String> {
    let dialect = subject.dialect()?;
    let audited = subject.is_broker && spec.partitions <= AUDITED_MAX;
    let before = if audited { topic.end(subject, spec.partitions)? } else { 0 };
    let mut load = Load::connect(subject.address, dialect, vec![producing(topic, spec, dialect)?])?;
    let meter = Meter::start(subject)?;
    let tallies = load.run(Duration::from_secs_f64(spec.seconds))?;
    let tally = tallies.first().ok_or("nothing was done")?;
    let records = tally.requests * u64::from(topic.batch.records);
    if audited {
        let expected = before + i64::try_from(records).unwrap_or(i64::MAX);
        audit(topic, subject, spec, expected)?;
    }
    Ok(meter.figures(tally)?.with("records", float(records)))
}

/// The broker must have what was counted. What nobody acknowledges may come a little later.
fn audit(topic: &Topic, subject: &Subject, spec: &Spec, expected: i64) -> Result<(), String> {
    let mut end = 0;
    for _ in 0..500 {
        end = topic.end(subject, spec.partitions)?;
        if end == expected {
            return Ok(());
        }
        if spec.acks != 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(format!("the log ends at {end}, but {expected} records were counted"))
}

/// Fetches what a topic has, from its beginning, and again from there at its end.
pub(crate) fn fetch(topic: &Topic, subject: &Subject, spec: &Spec) -> Result<Figures, String> {
    let dialect = subject.dialect()?;
    let mut work = fetching(topic, spec, dialect, end_of(topic, subject)?, None)?;
    if spec.bytes > 0 {
        // An answer has as many whole batches as fit.
        let batch = u64::try_from(topic.batch.bytes.len()).unwrap_or(1);
        let most = u64::try_from(spec.fetch).unwrap_or(1);
        work.requests_max = Some((spec.bytes / (most / batch * batch).max(batch)).max(1));
    }
    let mut load = Load::connect(subject.address, dialect, vec![work])?;
    let meter = Meter::start(subject)?;
    let tallies = load.run(Duration::from_secs_f64(spec.seconds))?;
    meter.figures(tallies.first().ok_or("nothing was done")?)
}

/// Where reading begins anew; a floor knows that by itself.
fn end_of(topic: &Topic, subject: &Subject) -> Result<Option<i64>, String> {
    if !subject.is_broker {
        return Ok(None);
    }
    Client::connect(subject.address)?.end_of(&topic.name, 0).map(Some)
}

/// Waits at the end of a topic for as long as the spec says, asking again whenever a wait ends.
pub(crate) fn wait(topic: &Topic, subject: &Subject, spec: &Spec) -> Result<Tally, String> {
    let dialect = subject.dialect()?;
    let work = vec![fetching(topic, spec, dialect, None, None)?];
    let mut load = Load::connect(subject.address, dialect, work)?;
    let tallies = load.run(Duration::from_secs_f64(spec.seconds))?;
    tallies.into_iter().next().ok_or("nothing was fetched".to_owned())
}

/// Produces at a rate to a new topic while a consumer waits at its end; adds how long records take to arrive there.
pub(crate) fn follow(subject: &Subject, spec: &Spec) -> Result<Figures, String> {
    if !subject.is_broker {
        return Err("a floor has no consumers".to_owned());
    }
    let topic = Topic::create(subject, spec)?;
    let dialect = subject.dialect()?;
    let work = vec![
        producing(&topic, spec, dialect)?,
        fetching(&topic, &Spec { connections: 1, ..spec.clone() }, dialect, None, Some(0))?,
    ];
    let mut load = Load::connect(subject.address, dialect, work)?;
    let meter = Meter::start(subject)?;
    let tallies = load.run(Duration::from_secs_f64(spec.seconds))?;
    let produced = tallies.first().ok_or("nothing was done")?;
    let arrival = &tallies.get(1).ok_or("nothing was fetched")?.arrival;
    let figures = meter.figures(produced)?;
    topic.delete(subject)?;
    Ok(figures
        .with("arrived", float(arrival.len()))
        .with("arrival_p50_us", percentile(arrival, 50.0))
        .with("arrival_p99_us", percentile(arrival, 99.0)))
}

/// What is read over and over while something else is measured.
#[derive(Clone, Copy)]
pub(crate) struct Aside<'a> {
    /// Whom it is read from.
    pub server: &'a Subject,
    /// The topic.
    pub topic: &'a Topic,
    /// By how many.
    pub connections: usize,
}

/// Produces to a new topic while, if there is one, another topic is read over and over, perhaps from another server, by a
/// thread of its own: what is produced must not wait for the reader's share of the generator.
pub(crate) fn beside(
    subject: &Subject,
    spec: &Spec,
    aside: Option<Aside<'_>>,
) -> Result<Figures, String> {
    let topic = Topic::create(subject, spec)?;
    let dialect = subject.dialect()?;
    let length = Duration::from_secs_f64(spec.seconds);
    let mut load =
        Load::connect(subject.address, dialect, vec![producing(&topic, spec, dialect)?])?;
    let reader = aside.map(|Aside { server, topic, connections }| {
        let dialect = server.dialect()?;
        let spec = Spec { connections, partitions: 1, ..spec.clone() };
        let work = vec![fetching(topic, &spec, dialect, end_of(topic, server)?, None)?];
        Load::connect(server.address, dialect, work)
    });
    let mut reader = reader.transpose()?;
    let meter = Meter::start(subject)?;
    let (produced, read) = std::thread::scope(|scope| {
        let reading = reader.as_mut().map(|reader| scope.spawn(move || reader.run(length)));
        let produced = load.run(length);
        let read = reading.map(|thread| thread.join().map_err(|_| "a thread has failed")?);
        Ok::<_, String>((produced?, read.transpose()?.unwrap_or_default()))
    })?;
    let figures = meter.figures(produced.first().ok_or("nothing was done")?)?;
    topic.delete(subject)?;
    let read = read.first().map_or(0, |tally| tally.bytes);
    Ok(figures.with("read_mb_per_s", float(read) / 1e6 / spec.seconds))
}

/// The traffic of producers to this topic.
pub(crate) fn producing(topic: &Topic, spec: &Spec, dialect: Dialect) -> Result<Traffic, String> {
    let version = if let Dialect::Kafka { produce, .. } = dialect { produce } else { 9 };
    let payload = topic.batch.payload.max(1);
    Ok(Traffic {
        frame: Frame::produce(version, &topic.name, spec.acks, &topic.batch)?,
        work: Work::Produce { partitions: spec.partitions, payload, answered: spec.acks != 0 },
        connections: spec.connections,
        in_flight: spec.in_flight,
        outstanding: spec.outstanding(),
        every: (spec.rate > 0).then(|| Duration::from_secs(1) / spec.rate),
        requests_max: (spec.bytes > 0).then(|| spec.bytes.div_ceil(payload)),
    })
}

/// The traffic of consumers of this topic, one request under way on each connection.
fn fetching(
    topic: &Topic,
    spec: &Spec,
    dialect: Dialect,
    end: Option<i64>,
    follows: Option<usize>,
) -> Result<Traffic, String> {
    let version = if let Dialect::Kafka { fetch, .. } = dialect { fetch } else { 12 };
    Ok(Traffic {
        frame: Frame::fetch(version, &topic.name, spec.fetch, spec.wait_ms)?,
        work: Work::Fetch {
            partitions: spec.partitions,
            batch_bytes: u64::try_from(topic.batch.bytes.len()).unwrap_or(1),
            batch_records: topic.batch.records,
            end,
            follows,
        },
        connections: spec.connections,
        in_flight: 1,
        outstanding: spec.connections,
        every: None,
        requests_max: None,
    })
}

/// What the server and the generator have cost at the start.
pub(crate) struct Meter {
    pid: u32,
    server: Cost,
    client: f64,
}

impl Meter {
    /// Begins to count.
    pub(crate) fn start(subject: &Subject) -> Result<Meter, String> {
        Ok(Meter { pid: subject.pid, server: Cost::of(subject.pid)?, client: own_cpu() })
    }

    /// What has been spent on what was done.
    pub(crate) fn figures(self, tally: &Tally) -> Result<Figures, String> {
        let client = own_cpu() - self.client;
        let cost = Cost::of(self.pid)?.since(self.server);
        let seconds = tally.elapsed.as_secs_f64();
        let (bytes, requests) = (float(tally.bytes), float(tally.requests));
        let cpu = float(cost.cpu_ns) / 1e9;
        Ok(Figures::default()
            .with("requests", requests)
            .with("bytes", bytes)
            .with("seconds", seconds)
            .with("mb_per_s", bytes / 1e6 / seconds)
            .with("requests_per_s", requests / seconds)
            .with("cpu_s", cpu)
            .with("cpu_s_per_gb", cpu / (bytes / 1e9))
            .with("cpu_us_per_request", cpu * 1e6 / requests)
            .with("client_cpu_s_per_gb", client / (bytes / 1e9))
            .with("switches_per_request", float(cost.switches) / requests)
            .with("p50_us", percentile(&tally.latency, 50.0))
            .with("p99_us", percentile(&tally.latency, 99.0))
            .with("max_us", float(tally.latency.max()) / 1000.0)
            .with("rss_mb", float(proc::resident(self.pid)) / 1e6)
            .with("rss_max_mb", float(proc::resident_max(self.pid)) / 1e6))
    }
}

/// Processor seconds of this thread.
fn own_cpu() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanoseconds = i32::try_from(time.tv_nsec).unwrap_or(0);
    let seconds = i32::try_from(time.tv_sec).unwrap_or(0);
    f64::from(seconds) + f64::from(nanoseconds) / 1e9
}

/// Uses the memory for so many bytes, and gives it back, by way of a file that is removed: what is written next gets the
/// same pages. Pages that a virtual machine has not had for a while cost several times a copy, whoever writes to them. Which
/// of the free pages come next nobody knows, so it is more of them.
pub(crate) fn warm(dir: &Path, bytes: u64) -> Result<(), String> {
    let path = dir.join("warm");
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut file = File::create(&path).map_err(failed)?;
    std::fs::remove_file(&path).map_err(failed)?;
    let piece = vec![0x5a; 1 << 20];
    for _ in 0..bytes.saturating_mul(3).max(WARM_BYTES_MIN).div_ceil(1 << 20) {
        file.write_all(&piece).map_err(failed)?;
    }
    Ok(())
}

/// Microseconds below which so many percent lie.
fn percentile(histogram: &Histogram<u64>, percent: f64) -> f64 {
    float(histogram.value_at_percentile(percent)) / 1000.0
}

/// For ratios; figures beyond 2^53 do not occur.
pub(crate) fn float(value: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "figures are rounded to four digits anyway")]
    {
        value as f64
    }
}
