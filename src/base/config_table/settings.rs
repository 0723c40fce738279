//! What the operator set, and how a key gets its value from it: the chain of synonyms that DescribeConfigs shows.

use std::collections::BTreeMap;

use super::value::parse_int;
use super::{BrokerKey, Kind, Row, broker_row, topic_rows};

/// The broker's keys that were set, by whatever means; the others have their defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    set: BTreeMap<String, String>,
}

/// Where a value comes from. The figures are those of DescribeConfigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Set for this topic.
    Topic = 1,
    /// Set in the broker's file, environment or flags.
    Broker = 4,
    /// Nobody set it.
    Default = 5,
}

impl Source {
    /// The source's number in a DescribeConfigs answer.
    #[must_use]
    pub fn number(self) -> i8 {
        match self {
            Source::Topic => 1,
            Source::Broker => 4,
            Source::Default => 5,
        }
    }
}

/// One key that had a say in a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The key.
    pub name: String,
    /// Its value, in its own unit. `None` for a secret.
    pub value: Option<String>,
    /// Where that value comes from.
    pub source: Source,
}

/// A key with its value, as DescribeConfigs shows it.
#[derive(Clone, Debug)]
pub struct Described {
    /// The key.
    pub row: &'static Row,
    /// The value. `None`: there is none, or it is a secret.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: Source,
    /// Whether it cannot be changed while the broker runs.
    pub read_only: bool,
    /// The keys that had a say, the strongest first.
    pub synonyms: Vec<Synonym>,
}

impl Settings {
    /// Settings made of keys and values that are known to be legal.
    #[must_use]
    pub fn new(set: BTreeMap<String, String>) -> Settings {
        Settings { set }
    }

    /// The value that was set for a broker's key.
    #[must_use]
    pub fn explicit(&self, name: &str) -> Option<&str> {
        self.set.get(name).map(|value| value.trim())
    }

    /// The value of a broker's key: what was set, or its default.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.explicit(name).or_else(|| broker_row(name)?.default)
    }

    /// The value that a topic's key has where the topic does not set it, in the topic's unit.
    #[must_use]
    pub fn topic_default(&self, row: &Row) -> Option<String> {
        let set = |key: &&BrokerKey| self.explicit(key.name).is_some();
        let strongest = row.broker_keys.iter().find(set);
        // A default of another unit says the same as the row's own, so the row's stands for all.
        let value = strongest.and_then(|key| converted(self.explicit(key.name)?, key.factor));
        value.or_else(|| row.default.map(str::to_owned))
    }

    /// The values of all topic keys where a topic sets none.
    #[must_use]
    pub fn topic_defaults(&self) -> BTreeMap<&'static str, String> {
        topic_rows().filter_map(|row| Some((row.name, self.topic_default(row)?))).collect()
    }

    /// A topic's key, with the value that the topic sets, if it does.
    #[must_use]
    pub fn describe_topic(&self, row: &'static Row, own: Option<&str>) -> Described {
        let own = own.map(str::trim);
        let mut synonyms = Vec::new();
        if let Some(value) = own {
            let (name, value) = (row.name.to_owned(), shown(row.kind, value));
            synonyms.push(Synonym { name, value, source: Source::Topic });
        }
        let keys: Vec<&str> = row.broker_keys.iter().map(|key| key.name).collect();
        self.add_synonyms(&keys, keys.first().copied(), &mut synonyms);
        let value = own.map(str::to_owned).or_else(|| self.topic_default(row));
        describe(row, value, synonyms, false)
    }

    /// A broker's key.
    #[must_use]
    pub fn describe_broker(&self, row: &'static Row) -> Described {
        let mut synonyms = Vec::new();
        self.add_synonyms(&siblings(row.name), Some(row.name), &mut synonyms);
        describe(row, self.get(row.name).map(str::to_owned), synonyms, true)
    }

    /// Adds what was set under these names, then their defaults; the latter, as in Kafka, only if the key that is asked
    /// about is among all these.
    fn add_synonyms(&self, names: &[&str], key: Option<&str>, to: &mut Vec<Synonym>) {
        let rows = || names.iter().filter_map(|name| broker_row(name));
        let synonym = |row: &Row, value: &str, source| {
            let (name, value) = (row.name.to_owned(), shown(row.kind, value));
            Synonym { name, value, source }
        };
        to.extend(
            rows().filter_map(|row| Some(synonym(row, self.explicit(row.name)?, Source::Broker))),
        );
        if key.is_some_and(|key| self.get(key).is_some()) {
            to.extend(rows().filter_map(|row| Some(synonym(row, row.default?, Source::Default))));
        }
    }
}

fn describe(
    row: &'static Row,
    value: Option<String>,
    synonyms: Vec<Synonym>,
    read_only: bool,
) -> Described {
    let source = synonyms.first().map_or(Source::Default, |first| first.source);
    let value = value.and_then(|value| shown(row.kind, &value));
    Described { row, value, source, read_only, synonyms }
}

fn shown(kind: Kind, value: &str) -> Option<String> {
    (kind != Kind::Password).then(|| value.to_owned())
}

/// A value of a coarser unit in the topic's. A negative one stands for "no limit" and stays.
fn converted(value: &str, factor: i64) -> Option<String> {
    if factor == 1 {
        return Some(value.to_owned());
    }
    let number = parse_int(value).ok()?;
    let number = if number < 0 { number } else { number.saturating_mul(factor) };
    Some(number.to_string())
}

/// The keys that say the same as this one in other units, itself among them, the strongest first.
fn siblings(name: &'static str) -> Vec<&'static str> {
    let among = |row: &&Row| row.broker_keys.iter().any(|key| key.name == name);
    match topic_rows().find(among) {
        Some(row) => row.broker_keys.iter().map(|key| key.name).collect(),
        None => vec![name],
    }
}
