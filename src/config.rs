//! The configuration: Kafka's keys from a file, the environment and flags, checked and made into plain figures.
//!
//! A flag is stronger than the environment, that than the file, and that than the default. What nobody knows gets a
//! warning; what cannot be is refused with the key's name and the reason.

pub mod listeners;
pub mod properties;
mod sources;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::config_table::{Settings, parse_bool, parse_double, parse_int, parse_list};
pub use listeners::{Advertised, HostPort, Listener};
pub use sources::{Origin, Sources};

/// Everything that the operator may decide, as plain data: each layer takes its part.
#[derive(Clone, Debug)]
pub struct Config {
    /// For the sockets.
    pub net: NetConfig,
    /// For the files.
    pub storage: StorageConfig,
    /// For the broker.
    pub broker: BrokerConfig,
    /// Where health, readiness and metrics are served; `None`: nowhere.
    pub http: Option<HostPort>,
    /// The values that were set, for DescribeConfigs and the defaults of topics.
    pub settings: Settings,
    /// Where each key that was set got its value.
    pub origins: BTreeMap<String, Origin>,
    /// What the operator should know, one line each.
    pub warnings: Vec<String>,
}

/// What the sockets need to know.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// Where to listen.
    pub listeners: Vec<Listener>,
    /// Most connections.
    pub connections_max: usize,
    /// Most connections from one address.
    pub connections_per_address_max: usize,
    /// A silent connection is closed after this.
    pub idle_max: Duration,
    /// The largest frame in bytes: `socket.request.max.bytes`, but no more than a quarter of the memory.
    pub frame_bytes_max: usize,
    /// Bytes of memory for requests, answers and conversions together.
    pub memory_bytes: usize,
}

/// What the files need to know.
#[derive(Clone, Debug)]
pub struct StorageConfig {
    /// The data directory.
    pub directory: PathBuf,
    /// When produced records are synced.
    pub durability: Durability,
    /// What nobody waits for is synced this long after it was written.
    pub flush_interval: Duration,
    /// Free bytes below which records are refused; `None`: as many as fit the disk.
    pub disk_reserve_bytes: Option<u64>,
    /// Bytes that are set aside for when the disk is full.
    pub disk_ballast_bytes: u64,
    /// What becomes of a fetch that meets damage.
    pub damage: Damage,
    /// Whether partitions whose topics the journal does not know any more are taken in.
    pub adopt: bool,
    /// Threads that append.
    pub writers: usize,
    /// Threads that read what is cold, search and convert.
    pub readers: usize,
    /// What compaction may take.
    pub compaction: CompactionConfig,
}

/// What compaction may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionConfig {
    /// Whether there is any.
    pub enabled: bool,
    /// Most bytes of the table of keys.
    pub map_bytes: usize,
    /// The part of it, in thousandths, that is filled.
    pub map_load_permille: usize,
    /// Most bytes read and written in a second.
    pub bytes_per_second: u64,
    /// How long a round that failed waits before it is tried again, in milliseconds.
    pub backoff_ms: i64,
}

/// When produced records are synced (`chronik.durability`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before `acks=all` is answered.
    Group,
    /// Before `acks=1` is answered too.
    Always,
    /// No answer waits for the disk.
    Os,
}

/// What becomes of a fetch that meets damaged records (`chronik.damage`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It is refused.
    Fence,
    /// It is served from the next good batch on.
    Skip,
}

impl Durability {
    /// The value of the key.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Durability::Group => "group",
            Durability::Always => "always",
            Durability::Os => "os",
        }
    }
}

/// What the broker needs to know.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// The broker's number.
    pub node_id: i32,
    /// The cluster's name; `None`: the one kept in the data directory, or a new one.
    pub cluster_id: Option<String>,
    /// Whether asking for a topic makes it.
    pub auto_create_topics: bool,
    /// Whether topics may be deleted.
    pub delete_topics: bool,
    /// Partitions of a topic whose creator leaves the number open.
    pub partitions_default: i32,
    /// Most bytes of records in one answer to a fetch.
    pub fetch_bytes_max: usize,
    /// Bounds of a member's session timeout, in milliseconds.
    pub session_ms_min: i32,
    /// See `session_ms_min`.
    pub session_ms_max: i32,
    /// How long a new group waits for members, in milliseconds.
    pub rebalance_delay_ms: i32,
    /// Most members of one group.
    pub group_members_max: usize,
    /// How long the commits of a group without members are kept, in milliseconds.
    pub commits_kept_ms: i64,
    /// Most bytes of a commit's note.
    pub commit_note_bytes_max: usize,
    /// Most bytes of all logs together; `None`: no bound.
    pub log_bytes_max: Option<u64>,
    /// Bounds of the state that clients can make.
    pub limits: Limits,
}

/// Bounds of the state that clients can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most topics.
    pub topics: usize,
    /// Most partitions of all topics.
    pub partitions: usize,
    /// Most groups.
    pub groups: usize,
    /// Most members of all groups.
    pub members: usize,
}

impl Config {
    /// Puts the sources together and checks them.
    ///
    /// # Errors
    /// Every key that cannot be as it is, one line each.
    pub fn load(sources: &Sources) -> Result<Config, Vec<String>> {
        let merged = sources.merge()?;
        let figures = Figures { settings: &merged.settings };
        let mut warnings = merged.warnings;
        let (net, http) = match (net(figures, &mut warnings), http(figures)) {
            (Ok(net), Ok(http)) => (net, http),
            (Err(error), Ok(_)) | (Ok(_), Err(error)) => return Err(vec![error]),
            (Err(first), Err(second)) => return Err(vec![first, second]),
        };
        let storage = storage(figures).map_err(|error| vec![error])?;
        let broker = broker(figures).map_err(|error| vec![error])?;
        let (settings, origins) = (merged.settings, merged.origins);
        Ok(Config { net, storage, broker, http, settings, origins, warnings })
    }
}

/// Reads figures from settings that are known to be legal.
#[derive(Clone, Copy)]
struct Figures<'a> {
    settings: &'a Settings,
}

impl<'a> Figures<'a> {
    fn text(self, name: &str) -> Option<&'a str> {
        self.settings.get(name)
    }

    fn int(self, name: &str) -> i64 {
        self.text(name).and_then(|text| parse_int(text).ok()).unwrap_or(0)
    }

    /// A number of bytes; `None`: not set.
    fn bytes(self, name: &str) -> Option<u64> {
        self.text(name).and_then(|text| parse_int(text).ok()).and_then(|n| u64::try_from(n).ok())
    }

    fn i32(self, name: &str) -> i32 {
        i32::try_from(self.int(name)).unwrap_or(i32::MAX)
    }

    /// A count or a size; a negative one is nothing.
    fn size(self, name: &str) -> usize {
        usize::try_from(self.int(name).max(0)).unwrap_or(usize::MAX)
    }

    /// A fraction, in thousandths.
    fn permille(self, name: &str) -> usize {
        usize::try_from(self.rounded(name, 1000.0)).unwrap_or(usize::MAX)
    }

    /// So many times a number, as a whole one. One that is too large is the largest.
    fn rounded(self, name: &str, factor: f64) -> u64 {
        let number = self.text(name).and_then(|text| parse_double(text).ok()).unwrap_or(0.0);
        format!("{:.0}", (number * factor).max(0.0)).parse().unwrap_or(u64::MAX)
    }

    fn flag(self, name: &str) -> bool {
        self.text(name).is_some_and(|text| parse_bool(text) == Ok(true))
    }

    fn owned(self, name: &str) -> Option<String> {
        self.text(name).filter(|text| !text.is_empty()).map(str::to_owned)
    }
}

fn net(figures: Figures<'_>, warnings: &mut Vec<String>) -> Result<NetConfig, String> {
    let listeners = listeners::ListenerKeys {
        listeners: figures.text("listeners").unwrap_or_default(),
        advertised: figures.text("advertised.listeners"),
        protocols: figures.text("listener.security.protocol.map").unwrap_or_default(),
        controllers: figures.text("controller.listener.names").unwrap_or_default(),
    };
    let memory_bytes = figures.size("chronik.memory.bytes");
    let asked = figures.size("socket.request.max.bytes");
    let frame_bytes_max = asked.min(memory_bytes / 4);
    if frame_bytes_max < asked && figures.settings.explicit("socket.request.max.bytes").is_some() {
        let line = format!(
            "socket.request.max.bytes: {asked} is more than a quarter of chronik.memory.bytes; \
             {frame_bytes_max} holds"
        );
        warnings.push(line);
    }
    Ok(NetConfig {
        listeners: listeners.resolve()?,
        connections_max: figures.size("max.connections"),
        connections_per_address_max: figures.size("max.connections.per.ip"),
        idle_max: match u64::try_from(figures.int("connections.max.idle.ms")) {
            Err(_) | Ok(0) => Duration::MAX,
            Ok(ms) => Duration::from_millis(ms),
        },
        frame_bytes_max,
        memory_bytes,
    })
}

fn http(figures: Figures<'_>) -> Result<Option<HostPort>, String> {
    match figures.text("chronik.http") {
        None => Ok(None),
        Some(text) if text.eq_ignore_ascii_case("none") => Ok(None),
        Some(text) => match HostPort::parse(text, 9644) {
            Ok(address) => Ok(Some(address)),
            Err(reason) => Err(format!("chronik.http: {reason}")),
        },
    }
}

fn storage(figures: Figures<'_>) -> Result<StorageConfig, String> {
    let (name, list) = match figures.settings.explicit("log.dirs") {
        Some(list) => ("log.dirs", list),
        None => ("log.dir", figures.text("log.dir").unwrap_or_default()),
    };
    let directory = match parse_list(list).as_slice() {
        [one] => PathBuf::from(one),
        [] => return Err(format!("{name}: it is empty")),
        several => return Err(format!("{name}: {} directories, there is one", several.len())),
    };
    let durability = match figures.text("chronik.durability") {
        Some("os") => Durability::Os,
        Some("always") => Durability::Always,
        _ => Durability::Group,
    };
    let damage = match figures.text("chronik.damage") {
        Some("skip") => Damage::Skip,
        _ => Damage::Fence,
    };
    let adopt = figures.text("chronik.metadata.lost") == Some("adopt");
    let flush_ms = u64::try_from(figures.int("log.flush.interval.ms")).unwrap_or(0);
    Ok(StorageConfig {
        directory,
        durability,
        damage,
        adopt,
        flush_interval: Duration::from_millis(flush_ms),
        disk_reserve_bytes: figures.bytes("chronik.disk.reserve.bytes"),
        disk_ballast_bytes: figures.bytes("chronik.disk.ballast.bytes").unwrap_or(0),
        writers: figures.size("chronik.writers"),
        readers: figures.size("chronik.readers"),
        compaction: CompactionConfig {
            enabled: figures.flag("log.cleaner.enable"),
            map_bytes: figures.size("log.cleaner.dedupe.buffer.size"),
            map_load_permille: figures.permille("log.cleaner.io.buffer.load.factor"),
            bytes_per_second: figures.rounded("log.cleaner.io.max.bytes.per.second", 1.0),
            backoff_ms: figures.int("log.cleaner.backoff.ms"),
        },
    })
}

fn broker(figures: Figures<'_>) -> Result<BrokerConfig, String> {
    let session_ms_min = figures.i32("group.min.session.timeout.ms");
    let session_ms_max = figures.i32("group.max.session.timeout.ms");
    if session_ms_min > session_ms_max {
        return Err(format!(
            "group.min.session.timeout.ms: {session_ms_min} is above \
             group.max.session.timeout.ms, {session_ms_max}"
        ));
    }
    Ok(BrokerConfig {
        node_id: node_id(figures)?,
        cluster_id: figures.owned("chronik.cluster.id"),
        auto_create_topics: figures.flag("auto.create.topics.enable"),
        delete_topics: figures.flag("delete.topic.enable"),
        partitions_default: figures.i32("num.partitions"),
        fetch_bytes_max: figures.size("fetch.max.bytes"),
        session_ms_min,
        session_ms_max,
        rebalance_delay_ms: figures.i32("group.initial.rebalance.delay.ms"),
        group_members_max: figures.size("group.max.size"),
        commits_kept_ms: figures.int("offsets.retention.minutes") * 60_000,
        commit_note_bytes_max: figures.size("offset.metadata.max.bytes"),
        log_bytes_max: u64::try_from(figures.int("chronik.log.total.bytes")).ok(),
        limits: Limits {
            topics: figures.size("chronik.max.topics"),
            partitions: figures.size("chronik.max.partitions"),
            groups: figures.size("chronik.max.groups"),
            members: figures.size("chronik.max.members"),
        },
    })
}

/// `node.id`, which `broker.id` may not contradict.
fn node_id(figures: Figures<'_>) -> Result<i32, String> {
    let node = figures.i32("node.id");
    match figures.settings.explicit("broker.id").map(|_| figures.i32("broker.id")) {
        Some(broker) if broker >= 0 && broker != node => {
            Err(format!("broker.id: {broker} is not node.id, {node}"))
        }
        _ => Ok(node),
    }
}
