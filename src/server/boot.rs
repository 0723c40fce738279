//! The start: storage opens, the journal is replayed, every partition opens, and only then does anybody listen.

use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::clock::{Clock, ClockWatch};
use super::descriptors::Descriptors;
use super::routes::Routes;
use super::sequencer::Sequencer;
use super::shutdown::Shutdown;
use super::signals::Signals;
use super::turn::failure_of;
use super::warming::Warming;
use super::{BoundListener, Fatal, Server};
use crate::base::ids::{PartitionId, TopicId};
use crate::base::memory::Pool;
use crate::base::metrics::{Metrics, Setup};
use crate::base::payload::Bytes;
use crate::base::rate_limit::RateLimit;
use crate::base::spares::Spares;
use crate::base::time::Mono;
use crate::broker::Broker;
use crate::broker::options::{Durability, GroupOptions, Limits, Options};
use crate::broker::random::Random;
use crate::config::{self, Config, HostPort};
use crate::net::{self, Protocol, Reactor};
use crate::start::{Disk, open_everything};
use crate::storage::damage::DamagePolicy;
use crate::storage::fs::RealFs;
use crate::storage::job::{FoundPartition, Job, LogConfig, Opened, Outcome, StorageError};
use crate::storage::pool::{
    self as storage, CompactionLimits, FileLimits, SpaceOptions, Started, Storage,
};
use crate::wire::api::ApiKey;
use crate::wire::error_code::ErrorCode;

/// Most log lines in a second that peers can cause.
const PEER_LINES_PER_SECOND: u32 = 10;
/// Partitions from which on a sync of the whole volume takes less than those of their files. The last row of `make wear`
/// shows it: with a record a second in each of 200, a few syncs a second instead of hundreds.
const TOGETHER_FROM: usize = 16;
/// How often the log is told how far the partitions are.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything up to the first turn of the loop.
pub(super) fn boot(config: &Config) -> Result<Server, Fatal> {
    let clock = Clock::start();
    let signals = Signals::catch().map_err(|error| Fatal(format!("signals: {error}")))?;
    let mut random = Random::new(seed()?);
    let pools = pools(config);
    let descriptors = Descriptors::claim();
    let mut net = Reactor::new(net_options(config, descriptors, &pools))
        .map_err(|error| Fatal(format!("cannot poll: {error}")))?;
    let waker = net.waker();
    let wake = move || {
        // A waker that fails means that the process is out of kernel memory; the next outcome tries again.
        let _ = waker.wake();
    };
    let (storage, started) =
        Storage::start(&storage_options(config, descriptors, &pools, &mut random), Arc::new(wake))
            .map_err(|error| Fatal(error.to_string()))?;
    let metrics = Metrics::new(setup(&pools, &storage, &clock));
    metrics.unclean_start.set(i64::from(!started.clean));
    let mut broker = Broker::new(broker_options(config, &started), random.next_u64());
    if started.clean {
        // What is there to do takes milliseconds, and an orderly end keeps the next start a clean one.
        signals.serve();
    }
    open_everything(&mut AtStart::new(&storage, &clock), &mut broker, &started, &|| clock.now())
        .map_err(Fatal)?;
    signals.serve();
    let (listeners, http) = match listen_everywhere(&mut net, config) {
        Ok(bound) => bound,
        Err(fatal) => {
            // Nobody was served, so the next start finds everything as a clean stop leaves it.
            if let Err(error) = storage.shutdown(broker.stop_time(clock.now())) {
                log::warn!("clean stop: {error}");
            }
            return Err(fatal);
        }
    };
    announce(&listeners, http, config);
    warn(config, &started, &broker, descriptors);
    let watch = ClockWatch::new().map_err(|error| Fatal(format!("clock: {error}")))?;
    let watch_error = |error| Fatal(format!("cannot poll: {error}"));
    let clock_token = net.watch(&watch).map_err(watch_error)?;
    let signal_token = net.watch(&signals).map_err(watch_error)?;
    Ok(Server {
        clock,
        clock_watch: (watch, clock_token),
        signals: (signals, signal_token),
        net,
        storage,
        broker,
        sequencer: Sequencer::default(),
        routes: Routes::default(),
        warming: Warming::default(),
        listeners,
        metrics,
        peer_lines: RateLimit::new(PEER_LINES_PER_SECOND),
        questions_bytes: 0,
        shutdown: Shutdown::default(),
        descriptors,
        effects: Vec::new(),
        jobs: Vec::new(),
        outcomes: Vec::new(),
        answered: Vec::new(),
    })
}

/// Opens every listener, and the one for HTTP if there is to be one.
fn listen_everywhere(
    net: &mut Reactor,
    config: &Config,
) -> Result<(Vec<BoundListener>, Option<SocketAddr>), Fatal> {
    let mut listeners = Vec::new();
    for listener in &config.net.listeners {
        let address = listen(net, &listener.address, Protocol::Frames)?;
        listeners.push(BoundListener { address, advertised: listener.advertised.clone() });
    }
    let http = config.http.as_ref().map(|http| listen(net, http, Protocol::Http));
    Ok((listeners, http.transpose()?))
}

/// The first line of the log: where the broker is. Whatever else the start has to say comes after it.
fn announce(listeners: &[BoundListener], http: Option<SocketAddr>, config: &Config) {
    let addresses: Vec<String> = listeners.iter().map(|l| l.address.to_string()).collect();
    let http = http.map_or_else(|| "none".to_owned(), |address| address.to_string());
    log::info!(
        "chronik {} ready on {} http {http} durability {}",
        env!("CARGO_PKG_VERSION"),
        addresses.join(","),
        config.storage.durability.name(),
    );
}

/// What the operator should know.
fn warn(config: &Config, started: &Started, broker: &Broker, descriptors: Descriptors) {
    for warning in &config.warnings {
        log::warn!("{warning}");
    }
    let (wanted, possible) = (config.net.connections_max, descriptors.connections);
    if wanted > possible {
        log::warn!("max.connections: there are descriptors for {possible}, not for {wanted}");
    }
    if !started.clean {
        let epoch = broker.leader_epoch();
        log::warn!("the last stop was not a clean one; the leader epoch is now {epoch}");
    }
}

/// Storage as the start sees it: it waits for the threads, and says now and then how far they are.
struct AtStart<'a> {
    storage: &'a Storage,
    /// Partitions that were to be opened.
    asked: usize,
    /// Those that are, or cannot be.
    opened: usize,
    clock: &'a Clock,
    /// When the log was last told.
    told: Mono,
}

impl<'a> AtStart<'a> {
    fn new(storage: &'a Storage, clock: &'a Clock) -> AtStart<'a> {
        AtStart { storage, asked: 0, opened: 0, clock, told: clock.now().mono }
    }

    /// A line in the log, if the last one was long ago.
    fn tell(&mut self) {
        let now = self.clock.now().mono;
        if now.since(self.told) < PATIENCE {
            return;
        }
        self.told = now;
        let (opened, asked) = (self.opened, self.asked);
        let mib = self.storage.stats().scanned_bytes.get() >> 20;
        log::info!("recovering: {opened} of {asked} partitions are open, {mib} MiB were checked");
    }
}

impl Disk for AtStart<'_> {
    fn replay(
        &mut self,
        partition: PartitionId,
        topic: &str,
        config: &Arc<LogConfig>,
        visit: &mut dyn FnMut(&Bytes),
    ) -> Result<Opened, StorageError> {
        self.storage.replay(partition, topic, config, &mut |_, batch| visit(batch))
    }

    fn unrecorded(&mut self) -> Result<Vec<FoundPartition>, StorageError> {
        self.storage.unrecorded()
    }

    fn sort_out_directories(
        &mut self,
        known: &[(PartitionId, Arc<str>)],
        removed: &[TopicId],
    ) -> Result<(), StorageError> {
        self.storage.sort_out_directories(known, removed)
    }

    fn submit(&mut self, job: Job) {
        self.asked += usize::from(matches!(job, Job::Open(_)));
        self.storage.submit(job);
    }

    fn wait(&mut self, outcomes: &mut Vec<Outcome>) -> Result<(), String> {
        self.storage.wait_outcomes(PATIENCE);
        self.storage.take_outcomes(outcomes);
        let opened = |outcome: &&Outcome| matches!(outcome, Outcome::Opened { .. });
        self.opened += outcomes.iter().filter(opened).count();
        self.tell();
        if outcomes.is_empty() {
            // What is recorded at the start may wait for room on the disk.
            self.storage.submit(Job::LookForSpace);
        }
        for error in outcomes.iter().filter_map(failure_of) {
            log::error!("{error}");
        }
        Ok(())
    }
}

/// No host means every address: those of IPv6 with those of IPv4 in them, or the latter alone where there is no IPv6.
fn listen(net: &mut Reactor, wanted: &HostPort, protocol: Protocol) -> Result<SocketAddr, Fatal> {
    let hosts = if wanted.host.is_empty() { vec!["::", "0.0.0.0"] } else { vec![&*wanted.host] };
    let mut failure = "the name has no address".to_owned();
    for host in hosts {
        let listening = (host, wanted.port)
            .to_socket_addrs()
            .and_then(|mut addresses| addresses.next().ok_or(ErrorKind::AddrNotAvailable.into()))
            .and_then(|address| net.listen(address, protocol));
        match listening {
            Ok(address) => return Ok(address),
            Err(error) => failure = error.to_string(),
        }
    }
    Err(Fatal(format!("cannot listen on {wanted}: {failure}")))
}

fn seed() -> Result<u64, Fatal> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| Fatal(format!("no random numbers: {error}")))?;
    Ok(u64::from_ne_bytes(bytes))
}

/// The part of the memory that the buffers take which wait for the next frames.
const SPARE_PART: usize = 16;

/// Half of the memory for large frames and the buffers that wait for them, an eighth for small ones, a quarter for
/// converted answers; the rest is for those who wait. No pool waits for another.
fn pools(config: &Config) -> [Arc<Pool>; 3] {
    let bytes = config.net.memory_bytes;
    [
        Pool::new("small_frames", bytes / 8),
        Pool::new("large_frames", bytes / 2 - bytes / SPARE_PART),
        Pool::new("conversions", bytes / 4),
    ]
}

fn setup(pools: &[Arc<Pool>; 3], storage: &Storage, clock: &Clock) -> Setup {
    let apis = ApiKey::ALL.iter().map(|api| (api.key(), api.name(), api.versions()));
    Setup {
        apis: apis.collect(),
        error_name: |code| ErrorCode::from_code(code).map_or("UNKNOWN", ErrorCode::name),
        pools: pools.to_vec(),
        storage: Arc::clone(storage.stats()),
        started: clock.now().wall,
    }
}

fn net_options(config: &Config, descriptors: Descriptors, pools: &[Arc<Pool>; 3]) -> net::Options {
    let [small, large, _] = pools;
    let mut options = net::Options::new(Arc::clone(small), Arc::clone(large));
    options.spares = Spares::new(config.net.memory_bytes / SPARE_PART);
    options.connections_max = config.net.connections_max.min(descriptors.connections);
    options.connections_per_address_max = config.net.connections_per_address_max;
    options.frame_bytes_max = config.net.frame_bytes_max;
    options.idle_timeout = config.net.idle_max;
    options.outboxes_bytes_max = config.net.memory_bytes / 2;
    options
}

/// `random` makes the ids of a directory that is new.
fn storage_options(
    config: &Config,
    descriptors: Descriptors,
    pools: &[Arc<Pool>; 3],
    random: &mut Random,
) -> storage::Options {
    let [_, _, conversions] = pools;
    let directory_id = random.topic_id();
    let compaction = config.storage.compaction;
    storage::Options {
        data_dir: config.storage.directory.clone(),
        fs: Arc::new(RealFs),
        writers: config.storage.writers,
        readers: config.storage.readers,
        files: FileLimits {
            open: descriptors.files,
            unsynced: descriptors.unsynced,
            together: TOGETHER_FROM,
        },
        damage: match config.storage.damage {
            config::Damage::Fence => DamagePolicy::Fence,
            config::Damage::Skip => DamagePolicy::Skip,
        },
        adopt: config.storage.adopt,
        conversions: Arc::clone(conversions),
        space: SpaceOptions {
            reserve_bytes: config.storage.disk_reserve_bytes,
            ballast_bytes: config.storage.disk_ballast_bytes,
        },
        compaction: CompactionLimits {
            enabled: compaction.enabled,
            map_bytes: compaction.map_bytes,
            map_load_permille: compaction.map_load_permille,
            bytes_per_second: compaction.bytes_per_second,
            backoff_ms: compaction.backoff_ms,
        },
        cluster_id: config.broker.cluster_id.clone(),
        new_cluster_id: random.topic_id().to_string(),
        new_directory_id: directory_id,
        node_id: config.broker.node_id,
    }
}

/// Without a working directory a relative path stays what it is.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
}

fn broker_options(config: &Config, started: &Started) -> Options {
    let broker = &config.broker;
    Options {
        node_id: broker.node_id,
        cluster_id: started.cluster_id.clone(),
        log_dir: absolute(&config.storage.directory),
        durability: match config.storage.durability {
            config::Durability::Group => Durability::Group,
            config::Durability::Always => Durability::Always,
            config::Durability::Os => Durability::Os,
        },
        flush_interval_ms: i64::try_from(config.storage.flush_interval.as_millis())
            .unwrap_or(i64::MAX),
        auto_create_topics: broker.auto_create_topics,
        delete_topics: broker.delete_topics,
        partitions_default: broker.partitions_default,
        settings: config.settings.clone(),
        groups: GroupOptions {
            session_timeout_ms_min: broker.session_ms_min,
            session_timeout_ms_max: broker.session_ms_max,
            initial_rebalance_delay_ms: broker.rebalance_delay_ms,
            size_max: broker.group_members_max,
            offset_metadata_bytes_max: broker.commit_note_bytes_max,
            offsets_retention_ms: broker.commits_kept_ms,
        },
        limits: Limits {
            topics: broker.limits.topics,
            partitions: broker.limits.partitions,
            groups: broker.limits.groups,
            members: broker.limits.members,
            group_bytes: config.net.memory_bytes / 2,
            described_bytes: config.net.memory_bytes / 8,
            fetch_bytes: broker.fetch_bytes_max,
            converted_fetch_bytes: config.net.memory_bytes / 16,
            waiting_fetch_bytes: config.net.memory_bytes / 8,
        },
        log_bytes_max: broker.log_bytes_max,
    }
}
