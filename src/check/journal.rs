//! The journal as far as it tells whose directories there should be.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::base::ids::TopicId;
use crate::base::payload::Bytes;
use crate::dump_log::source::Source;
use crate::dump_log::values::Contents;
use crate::dump_log::walk::Met;
use crate::record::records::RecordReader;
use crate::wire::messages::internal::metadata::MetadataRecord;

/// Most bytes that the records of one batch take.
const BATCH_BYTES_MAX: usize = 256 << 20;

/// The topics that are recorded.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// Name and number of partitions, by id.
    pub(super) topics: BTreeMap<TopicId, (String, i32)>,
    /// Names of topics that are compacted, or were.
    pub(super) compacted: BTreeSet<String>,
    /// Whether anything is recorded.
    pub(super) has_records: bool,
}

impl Journal {
    /// Takes note of a batch of `__cluster_metadata`. An error says why it cannot be understood.
    pub(super) fn note(
        &mut self,
        source: &mut Source,
        met: &Met,
    ) -> io::Result<Result<(), String>> {
        self.has_records = true;
        each_record(source, met, |key, value| {
            let Some(value) = value else { return Ok(()) };
            let record = MetadataRecord::decode(&Bytes::from(value));
            match record.map_err(|error| error.to_string())? {
                MetadataRecord::Topic(topic) => {
                    self.topics.insert(topic.topic_id, (topic.name, 0));
                }
                MetadataRecord::Partition(partition) => {
                    let count = partition.partition_id.saturating_add(1);
                    let topic = self.topics.get_mut(&partition.topic_id);
                    topic.into_iter().for_each(|(_, known)| *known = count.max(*known));
                }
                MetadataRecord::Config(config) => {
                    let value = config.value.unwrap_or_default();
                    if config.name == "cleanup.policy" && value.contains("compact") {
                        self.compacted.insert(config.resource_name);
                    }
                }
                MetadataRecord::RemoveTopic(topic) => {
                    self.topics.remove(&topic.topic_id);
                }
                _ => {}
            }
            known(Contents::Metadata, key, Some(value))
        })
    }
}

/// Whether all records of a batch of an internal topic can be read.
pub(super) fn read(
    contents: Contents,
    source: &mut Source,
    met: &Met,
) -> io::Result<Result<(), String>> {
    each_record(source, met, |key, value| known(contents, key, value))
}

fn known(contents: Contents, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), String> {
    let understood = key.is_some_and(|key| contents.key(key).is_some())
        && value.is_none_or(|value| contents.value(key, value).is_some());
    if understood { Ok(()) } else { Err("a record of no known kind".to_owned()) }
}

fn each_record(
    source: &mut Source,
    met: &Met,
    mut visit: impl FnMut(Option<&[u8]>, Option<&[u8]>) -> Result<(), String>,
) -> io::Result<Result<(), String>> {
    let bytes = source.peek(met.position, met.size)?;
    let mut reader = match RecordReader::open(bytes, BATCH_BYTES_MAX) {
        Ok(reader) => reader,
        Err(error) => return Ok(Err(error.to_string())),
    };
    loop {
        let record = match reader.next() {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error.to_string())),
        };
        if let Err(reason) = visit(record.key, record.value) {
            return Ok(Err(reason));
        }
    }
}
