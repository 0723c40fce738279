//! The small text files that say whose a directory is: `meta.properties`, `partition.metadata` and the clean marker.
//!
//! ```text
//!  meta.properties, in the data directory     partition.metadata, in each partition's directory (KIP-516)
//!  #                                          version: 0
//!  version=1                                  topic_id: 1NS0HF2bRPSFyoo84iOnJw
//!  cluster.id=b3Jpb24tYW5kLWNocm9uaQ          (no line feed after the last line)
//!  node.id=1
//!  directory.id=aJcuMFHrPVap_uwHSaMkaA        .kafka_cleanshutdown, in the data directory (KIP-966)
//!  chronik.format=1                           {"version":0,"brokerEpoch":11}
//! ```
//!
//! `meta.properties` is a file of Java properties. Kafka ignores the key of ours, [`FORMAT`] counts what Kafka
//! would not understand or we could not read back; a directory of a newer format is refused. A directory without the
//! key is Kafka's own.

use std::collections::BTreeMap;

use crate::base::ids::TopicId;
use crate::storage::format::{FormatError, FormatProblem};

/// The name of [`MetaProperties`]' file.
pub const META_PROPERTIES: &str = "meta.properties";
/// The name of [`PartitionMetadata`]'s file.
pub const PARTITION_METADATA: &str = "partition.metadata";
/// The name of [`CleanMarker`]'s file.
pub const CLEAN_MARKER: &str = ".kafka_cleanshutdown";

/// The newest format of a data directory that this program reads, and the one it writes.
pub const FORMAT: u32 = 1;

const META: &str = "meta.properties";
const PARTITION: &str = "partition.metadata";
const MARKER: &str = "clean marker";

/// Whose a data directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// The cluster: in Kafka a random UUID as text, but any string will do.
    pub cluster_id: String,
    /// The broker.
    pub node_id: i32,
    /// The directory (KIP-858), a random UUID; Kafka before 3.7 has none.
    pub directory_id: Option<TopicId>,
    /// The format of what is beside it, [`FORMAT`] or older; 0: written by Kafka.
    pub format: u32,
}

impl MetaProperties {
    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut text = format!("#\nversion=1\ncluster.id={}\n", escape(&self.cluster_id));
        text.push_str(&format!("node.id={}\n", self.node_id));
        if let Some(id) = self.directory_id {
            text.push_str(&format!("directory.id={id}\n"));
        }
        if self.format > 0 {
            text.push_str(&format!("chronik.format={}\n", self.format));
        }
        text.into_bytes()
    }

    /// Reads the file's bytes: version 1, or version 0 of the time of ZooKeeper, with `broker.id`. A format newer than
    /// [`FORMAT`] is an error.
    pub fn decode(bytes: &[u8]) -> Result<MetaProperties, FormatError> {
        let properties = Properties::parse(bytes)?;
        let version: u32 = properties.number("version")?.unwrap_or(0);
        if version > 1 {
            return Err(error(META, FormatProblem::Version { found: version, newest: 1 }));
        }
        let format: u32 = properties.number("chronik.format")?.unwrap_or(0);
        if format > FORMAT {
            return Err(error(META, FormatProblem::Version { found: format, newest: FORMAT }));
        }
        let node_key = if version == 0 { "broker.id" } else { "node.id" };
        let missing = |key| error(META, FormatProblem::Value(key));
        let directory_id = match properties.0.get("directory.id") {
            None => None,
            Some(text) => Some(TopicId::parse(text).ok_or_else(|| missing("directory.id"))?),
        };
        Ok(MetaProperties {
            cluster_id: properties
                .0
                .get("cluster.id")
                .cloned()
                .ok_or_else(|| missing("cluster.id"))?,
            node_id: properties.number(node_key)?.ok_or_else(|| missing(node_key))?,
            directory_id,
            format,
        })
    }
}

/// Which topic a partition's directory belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// The topic.
    pub topic_id: TopicId,
}

impl PartitionMetadata {
    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        format!("version: 0\ntopic_id: {}", self.topic_id).into_bytes()
    }

    /// Reads the file's bytes; a topic id of zeros is an error.
    pub fn decode(bytes: &[u8]) -> Result<PartitionMetadata, FormatError> {
        let bad = |name| error(PARTITION, FormatProblem::Value(name));
        let text = std::str::from_utf8(bytes).map_err(|_| bad("UTF-8"))?;
        let mut lines = text.lines();
        let mut value = |key| {
            let (name, value) = lines.next()?.split_once(':')?;
            (name == key).then_some(value.trim())
        };
        let found: u32 =
            value("version").and_then(|text| text.parse().ok()).ok_or_else(|| bad("version"))?;
        if found != 0 {
            return Err(error(PARTITION, FormatProblem::Version { found, newest: 0 }));
        }
        let topic_id = value("topic_id").and_then(TopicId::parse).filter(|id| !id.is_zero());
        Ok(PartitionMetadata { topic_id: topic_id.ok_or_else(|| bad("topic_id"))? })
    }
}

/// Says that the last stop was a clean one. What counts is that the file is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanMarker {
    /// The broker's epoch when it stopped, -1: unknown.
    pub broker_epoch: i64,
}

impl CleanMarker {
    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        format!("{{\"version\":0,\"brokerEpoch\":{}}}", self.broker_epoch).into_bytes()
    }

    /// Reads the file's bytes. The marker of Kafka before 3.8 is empty, which is no error.
    pub fn decode(bytes: &[u8]) -> Result<CleanMarker, FormatError> {
        if bytes.is_empty() {
            return Ok(CleanMarker { broker_epoch: -1 });
        }
        let bad = |name| error(MARKER, FormatProblem::Value(name));
        let text = std::str::from_utf8(bytes).map_err(|_| bad("UTF-8"))?.trim();
        let fields = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        let value = |key: &str| {
            let mut pairs = fields?.split(',').filter_map(|field| field.split_once(':'));
            pairs
                .find(|(name, _)| name.trim().trim_matches('"') == key)?
                .1
                .trim()
                .parse::<i64>()
                .ok()
        };
        if value("version").is_none() {
            return Err(bad("version"));
        }
        Ok(CleanMarker { broker_epoch: value("brokerEpoch").unwrap_or(-1) })
    }
}

fn error(file: &'static str, problem: FormatProblem) -> FormatError {
    FormatError::new(file, 0, problem)
}

/// Java properties: `key=value` lines with `\` escapes; `#` and `!` open comments.
struct Properties(BTreeMap<String, String>);

impl Properties {
    fn parse(bytes: &[u8]) -> Result<Properties, FormatError> {
        let text =
            std::str::from_utf8(bytes).map_err(|_| error(META, FormatProblem::Value("UTF-8")))?;
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
        Ok(Properties(lines.map(key_and_value).collect()))
    }

    fn number<T: std::str::FromStr>(&self, key: &'static str) -> Result<Option<T>, FormatError> {
        let parse =
            |text: &String| text.parse().map_err(|_| error(META, FormatProblem::Value(key)));
        self.0.get(key).map(parse).transpose()
    }
}

/// Cuts a line at the first `=`, `:` or blank that is not escaped, and removes the escapes.
fn key_and_value(line: &str) -> (String, String) {
    let mut escaped = false;
    let is_separator = |c: char| {
        let separates = !escaped && (c == '=' || c == ':' || c.is_whitespace());
        escaped = !escaped && c == '\\';
        separates
    };
    let (key, rest) = line.find(is_separator).map_or((line, ""), |at| line.split_at(at));
    let rest = rest.trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
    (unescape(key), unescape(value))
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

/// Puts a `\` before what would end a key or begin a comment, as Java does.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '=' | ':' | '#' | '!' | ' ') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(text: &str) -> Result<MetaProperties, FormatProblem> {
        MetaProperties::decode(text.as_bytes()).map_err(|error| error.problem)
    }

    #[test]
    fn a_cluster_id_of_any_characters_reads_back() {
        for cluster_id in ["b3Jpb24tYW5kLWNocm9uaQ", "a b=c:d#e!f\\g", "größe"] {
            let written = MetaProperties {
                cluster_id: cluster_id.into(),
                node_id: 7,
                directory_id: Some(TopicId::from_random([5; 16])),
                format: FORMAT,
            };
            assert_eq!(MetaProperties::decode(&written.encode()).unwrap(), written);
        }
    }

    #[test]
    fn a_directory_of_zookeepers_time_is_understood() {
        let read = meta("#Tue\r\nversion=0\r\nbroker.id=3\r\ncluster.id=x\\=y\r\n").unwrap();
        assert_eq!((read.node_id, read.cluster_id.as_str(), read.format), (3, "x=y", 0));
    }

    #[test]
    fn a_future_format_is_refused() {
        let text = "version=1\ncluster.id=x\nnode.id=1\nchronik.format=2\n";
        assert_eq!(meta(text), Err(FormatProblem::Version { found: 2, newest: 1 }));
        let text = "version=2\ncluster.id=x\nnode.id=1\n";
        assert_eq!(meta(text), Err(FormatProblem::Version { found: 2, newest: 1 }));
    }

    #[test]
    fn a_missing_or_malformed_value_is_named() {
        assert_eq!(meta(""), Err(FormatProblem::Value("cluster.id")));
        assert_eq!(meta("version=1\ncluster.id=x\n"), Err(FormatProblem::Value("node.id")));
        let text = "version=1\ncluster.id=x\nnode.id=1x\n";
        assert_eq!(meta(text), Err(FormatProblem::Value("node.id")));
        let text = "version=1\ncluster.id=x\nnode.id=1\ndirectory.id=?\n";
        assert_eq!(meta(text), Err(FormatProblem::Value("directory.id")));
    }

    #[test]
    fn partition_metadata_without_a_topic_is_an_error() {
        for text in
            ["", "version: 0\n", "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA", "topic_id: x"]
        {
            assert!(PartitionMetadata::decode(text.as_bytes()).is_err(), "{text:?}");
        }
        let newer = PartitionMetadata::decode(b"version: 1\ntopic_id: 1NS0HF2bRPSFyoo84iOnJw");
        let problem = FormatProblem::Version { found: 1, newest: 0 };
        assert_eq!(newer.unwrap_err().problem, problem);
    }

    #[test]
    fn a_clean_marker_may_be_empty_but_not_garbage() {
        assert_eq!(CleanMarker::decode(b"").unwrap().broker_epoch, -1);
        let read = CleanMarker::decode(b"{ \"brokerEpoch\" : 12, \"version\" : 0 }\n").unwrap();
        assert_eq!(read.broker_epoch, 12);
        assert!(CleanMarker::decode(b"\0\0\0").is_err());
    }
}
