//! Where keys come from, and who wins: flags, environment, file.

use std::collections::BTreeMap;
use std::fmt;

use super::properties;
use crate::base::config_table::{
    Row, Settings, Usage, broker_row, is_former_broker_key, is_quorum_key, validate,
};

/// Where a value was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In the configuration file.
    File,
    /// In the environment.
    Environment,
    /// On the command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::File => "file",
            Origin::Environment => "environment",
            Origin::Flag => "flag",
        })
    }
}

/// What the operator gave, not checked yet.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file's name, for messages, and its bytes.
    pub file: Option<(String, Vec<u8>)>,
    /// The environment's variables; those that do not concern Chronik are passed over.
    pub environment: Vec<(String, String)>,
    /// Keys and values from flags, in order.
    pub flags: Vec<(String, String)>,
}

/// The sources put together and checked.
pub(super) struct Merged {
    pub(super) settings: Settings,
    pub(super) origins: BTreeMap<String, Origin>,
    pub(super) warnings: Vec<String>,
}

impl Sources {
    pub(super) fn merge(&self) -> Result<Merged, Vec<String>> {
        let mut given = BTreeMap::new();
        for (key, value) in self.file_pairs()? {
            given.insert(key, (value, Origin::File));
        }
        for (variable, value) in &self.environment {
            if let Some(key) = key_of_variable(variable) {
                given.insert(key, (value.clone(), Origin::Environment));
            }
        }
        for (key, value) in &self.flags {
            given.insert(key.trim().to_owned(), (value.clone(), Origin::Flag));
        }
        sort_out(given)
    }

    fn file_pairs(&self) -> Result<Vec<(String, String)>, Vec<String>> {
        let Some((name, bytes)) = &self.file else { return Ok(Vec::new()) };
        properties::parse(bytes).map_err(|reason| vec![format!("{name}: {reason}")])
    }
}

/// The key that a variable sets, by the rule of Kafka's container images: `KAFKA_` and capitals; one underscore is
/// a dot, two are one, three are a dash.
fn key_of_variable(variable: &str) -> Option<String> {
    if variable == "CLUSTER_ID" {
        return Some("chronik.cluster.id".to_owned());
    }
    let rest = variable.strip_prefix("KAFKA_").filter(|rest| !rest.is_empty())?;
    if OF_THE_IMAGES.contains(&rest) {
        return None;
    }
    let lower = rest.to_ascii_lowercase();
    Some(lower.replace("___", "-").replace("__", "\0").replace('_', ".").replace('\0', "_"))
}

/// Variables with that prefix which never were keys: they steer the Java process.
const OF_THE_IMAGES: &[&str] = &[
    "GC_LOG_OPTS",
    "HEAP_OPTS",
    "HOME",
    "JMX_HOSTNAME",
    "JMX_OPTS",
    "JMX_PORT",
    "JVM_PERFORMANCE_OPTS",
    "LOG4J_LOGGERS",
    "LOG4J_OPTS",
    "LOG4J_ROOT_LOGLEVEL",
    "OPTS",
    "TOOLS_LOG4J_LOGLEVEL",
    "VERSION",
];

type Given = BTreeMap<String, (String, Origin)>;

fn sort_out(given: Given) -> Result<Merged, Vec<String>> {
    let (mut settings, mut origins) = (BTreeMap::new(), BTreeMap::new());
    let mut errors = Vec::new();
    let mut notes = Notes::default();
    for (key, (value, origin)) in given {
        let Some(row) = broker_row(&key) else {
            notes.unknown(&key, origin);
            continue;
        };
        if let Err(reason) = validate(row, &value) {
            errors.push(format!("{} ({origin})", reason.replacen(row.name, &key, 1)));
        }
        notes.known(&key, row);
        origins.insert(key.clone(), origin);
        settings.insert(key, value);
    }
    rename_broker_id(&mut settings);
    if errors.is_empty() {
        Ok(Merged { settings: Settings::new(settings), origins, warnings: notes.lines() })
    } else {
        Err(errors)
    }
}

/// `broker.id` is the old name of `node.id`; -1 leaves the number open.
fn rename_broker_id(settings: &mut BTreeMap<String, String>) {
    if let Some(id) = settings.get("broker.id").filter(|id| id.trim() != "-1").cloned() {
        settings.entry("node.id".to_owned()).or_insert(id);
    }
}

/// What is said once about many keys.
#[derive(Default)]
struct Notes {
    quorum: Vec<String>,
    without_effect: Vec<String>,
    unknown: Vec<String>,
}

impl Notes {
    fn known(&mut self, key: &str, row: &Row) {
        if is_quorum_key(key) {
            self.quorum.push(key.to_owned());
        } else if row.usage == Usage::Ignored || key != row.name {
            self.without_effect.push(key.to_owned());
        }
    }

    fn unknown(&mut self, key: &str, origin: Origin) {
        if is_quorum_key(key) {
            self.quorum.push(key.to_owned());
        } else if is_former_broker_key(key) {
            self.without_effect.push(key.to_owned());
        } else {
            self.unknown.push(format!("unknown key {key:?} ({origin})"));
        }
    }

    fn lines(self) -> Vec<String> {
        let mut lines = self.unknown;
        if !self.quorum.is_empty() {
            let keys = self.quorum.join(", ");
            lines.push(format!("there is no quorum and no ZooKeeper here; ignored: {keys}"));
        }
        if !self.without_effect.is_empty() {
            lines.push(format!("accepted, without effect: {}", self.without_effect.join(", ")));
        }
        lines
    }
}
