//! The table of configuration keys: what may be set, within which bounds, and what Chronik does with it.
//!
//! The names, types and bounds are those of Kafka 4.4, so that its tools and sample files fit. One row serves all:
//! the start-up check, the answer to DescribeConfigs, and the table in the README.

mod broker;
mod cluster;
mod groups;
mod internals;
mod security;
mod settings;
mod topic;
mod value;

use std::collections::BTreeMap;
use std::sync::LazyLock;

pub use settings::{Described, Settings, Source, Synonym};
pub use value::{parse_bool, parse_double, parse_int, parse_list, quoted, validate};

/// The type of a key's value, as Kafka's `ConfigDef` names them. The figures are those of DescribeConfigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean = 1,
    /// Any text.
    Text = 2,
    /// A whole number of 32 bits.
    Int = 3,
    /// A whole number of 16 bits.
    Short = 4,
    /// A whole number of 64 bits.
    Long = 5,
    /// A fraction.
    Double = 6,
    /// Texts separated by commas.
    List = 7,
    /// The name of a Java class.
    Class = 8,
    /// A secret, never shown.
    Password = 9,
}

impl Kind {
    /// The type's number in a DescribeConfigs answer.
    #[must_use]
    pub fn number(self) -> i8 {
        match self {
            Kind::Boolean => 1,
            Kind::Text => 2,
            Kind::Int => 3,
            Kind::Short => 4,
            Kind::Long => 5,
            Kind::Double => 6,
            Kind::List => 7,
            Kind::Class => 8,
            Kind::Password => 9,
        }
    }
}

/// What a value must be, beyond its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Check {
    /// Nothing more.
    Any,
    /// A number not below this.
    AtLeast(i64),
    /// A number within these two, both included.
    Between(i64, i64),
    /// The first, which stands for "none" or "the codec's own", or a number within the other two.
    Either(i64, i64, i64),
    /// A fraction within these two, both included.
    Fraction(f64, f64),
    /// One of these words; for a list, each of its elements.
    OneOf(&'static [&'static str]),
    /// A codec of this build, `uncompressed` or `producer`.
    Compression,
    /// A text that is not empty.
    NotEmpty,
}

/// What Chronik does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// It does what the key says.
    Acts,
    /// It checks and reports the value and does nothing with it; setting it in the broker's configuration warns.
    Ignored,
}

/// A broker key that gives a topic key its value, in a unit that may be coarser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerKey {
    /// The broker's key.
    pub name: &'static str,
    /// How many of the topic key's units one of its units is.
    pub factor: i64,
}

/// One configuration key.
#[derive(Debug)]
pub struct Row {
    /// The key.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// Chronik's default; `None`: no value.
    pub default: Option<&'static str>,
    /// The bounds of its value.
    pub check: Check,
    /// For a topic's key: the broker's keys that give it its default, the strongest first. Empty for a broker's key.
    pub broker_keys: &'static [BrokerKey],
    /// What Chronik does with it.
    pub usage: Usage,
    text: &'static str,
}

impl Row {
    /// What the key means, in one or two sentences.
    #[must_use]
    pub fn documentation(&self) -> &'static str {
        self.text.trim_start()
    }

    /// Whether the value is a secret and never shown.
    #[must_use]
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }
}

/// Rows of one fate. With `Acts` every row has its own documentation; ignored rows share one.
macro_rules! rows {
    ($group:ident, Ignored, $text:literal;
     $($name:literal: $kind:ident = $default:tt $(, $check:expr)?;)*) => {
        pub(super) const $group: &[Row] = &[$(Row {
            name: $name,
            kind: Kind::$kind,
            default: rows!(@default $default),
            check: rows!(@check $($check)?),
            broker_keys: &[],
            usage: Usage::Ignored,
            text: concat!($text, " Accepted and ignored."),
        }),*];
    };
    ($group:ident, $usage:ident;
     $($(#[doc = $text:literal])+
       $name:literal: $kind:ident = $default:tt $(, $check:expr)? $(; from $($key:literal * $factor:literal),+)?;)*) => {
        pub(super) const $group: &[Row] = &[$(Row {
            name: $name,
            kind: Kind::$kind,
            default: rows!(@default $default),
            check: rows!(@check $($check)?),
            broker_keys: &[$($(BrokerKey { name: $key, factor: $factor }),+)?],
            usage: Usage::$usage,
            text: concat!($($text),+),
        }),*];
    };
    (@default null) => { None };
    (@default $value:literal) => { Some($value) };
    (@check) => { Check::Any };
    (@check $check:expr) => { $check };
}
use rows;

const CLEANUP_POLICIES: Check = Check::OneOf(&["compact", "delete"]);
const TIMESTAMP_TYPES: Check = Check::OneOf(&["CreateTime", "LogAppendTime"]);
const ONE_TO_NINE_OR_DEFAULT: Check = Check::Either(-1, 1, 9);

type Index = BTreeMap<&'static str, &'static Row>;

static TOPIC: LazyLock<Index> = LazyLock::new(|| index(&[topic::GROUPS]));
static BROKER: LazyLock<Index> = LazyLock::new(|| {
    index(&[broker::GROUPS, cluster::GROUPS, groups::GROUPS, internals::GROUPS, security::GROUPS])
});

fn index(files: &[&'static [&'static [Row]]]) -> Index {
    files.iter().flat_map(|groups| groups.iter()).flat_map(|rows| rows.iter()).map(named).collect()
}

fn named(row: &'static Row) -> (&'static str, &'static Row) {
    (row.name, row)
}

/// Every key of a topic, in order of names.
pub fn topic_rows() -> impl Iterator<Item = &'static Row> {
    TOPIC.values().copied()
}

/// Every key of the broker, in order of names.
pub fn broker_rows() -> impl Iterator<Item = &'static Row> {
    BROKER.values().copied()
}

/// The topic key of this name.
#[must_use]
pub fn topic_row(name: &str) -> Option<&'static Row> {
    TOPIC.get(name).copied()
}

/// The broker key of this name. The form for one listener (`listener.name.<listener>.<key>`) finds the key itself.
#[must_use]
pub fn broker_row(name: &str) -> Option<&'static Row> {
    if let Some(row) = BROKER.get(name) {
        return Some(row);
    }
    let of_listener = name.strip_prefix("listener.name.")?;
    let parts = of_listener.match_indices('.').map(|(at, _)| of_listener.get(at + 1..));
    parts.flatten().find_map(|rest| BROKER.get(rest).copied())
}

/// Topic keys that Kafka knew before 4.0: an old tool may still send them. They are accepted and forgotten.
#[must_use]
pub fn is_former_topic_key(name: &str) -> bool {
    const FORMER: &[&str] = &[
        "message.downconversion.enable",
        "message.format.version",
        "message.timestamp.difference.max.ms",
    ];
    FORMER.contains(&name)
}

/// Broker keys that Kafka knew before 4.0, or that belong to a quorum under a name of the user's choice.
#[must_use]
pub fn is_former_broker_key(name: &str) -> bool {
    const FORMER: &[&str] = &[
        "broker.id.generation.enable",
        "control.plane.listener.name",
        "delegation.token.master.key",
        "inter.broker.protocol.version",
        "leader.imbalance.per.broker.percentage",
        "log.message.downconversion.enable",
        "log.message.format.version",
        "log.message.timestamp.difference.max.ms",
        "offsets.commit.required.acks",
        "reserved.broker.max.id",
    ];
    const PREFIXES: &[&str] = &["controlled.shutdown.", "password.encoder."];
    FORMER.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Keys that describe a quorum of controllers or ZooKeeper: one machine has neither.
#[must_use]
pub fn is_quorum_key(name: &str) -> bool {
    name == "process.roles" || name.starts_with("controller.") || name.starts_with("zookeeper.")
}
