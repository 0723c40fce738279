//! Everything that a client can find, in the words of `expected.txt`.

use std::collections::BTreeSet;

use chronik::record::batch::BatchHeader;
use chronik::record::control::{EndTransaction, Marker};
use chronik::record::records::{Record, RecordReader};
use chronik::wire::api::Response;
use chronik::wire::messages::*;

use crate::client::{Client, bytes_of, metadata};

const ISOLATION: [&str; 2] = ["read_uncommitted", "read_committed"];
const RECORDS_BYTES_MAX: usize = 1 << 20;

/// A line for each fact.
pub(crate) fn everything(client: &mut Client) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let Response::Metadata(response) = client.ask(metadata(None), 8) else { panic!() };
    for topic in response.topics.iter().filter(|topic| !topic.is_internal) {
        let name = topic.name.as_deref().unwrap();
        settings(client, name, &mut lines);
        for partition in &topic.partitions {
            records(client, name, partition.partition_index, &mut lines);
        }
    }
    for (topic, partition) in [("codecs", 0), ("rolled", 0), ("rolled", 1)] {
        let offset = position(client, "readers", topic, partition);
        lines.insert(format!("position readers {topic} {partition} {offset}"));
    }
    lines
}

fn settings(client: &mut Client, topic: &str, lines: &mut BTreeSet<String>) {
    let resource = DescribeConfigsRequestResource {
        resource_type: 2,
        resource_name: topic.to_owned(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let Response::DescribeConfigs(response) = client.ask(request, 4) else { panic!() };
    for config in response.results[0].configs.iter().filter(|config| config.config_source == 1) {
        let value = config.value.as_deref().unwrap();
        lines.insert(format!("setting {topic} {} {value}", config.name));
    }
}

fn offset_at(client: &mut Client, topic: &str, partition: i32, timestamp: i64) -> i64 {
    let wanted = ListOffsetsRequestPartition {
        partition_index: partition,
        timestamp,
        ..ListOffsetsRequestPartition::default()
    };
    let topic = ListOffsetsRequestTopic { name: topic.into(), partitions: vec![wanted] };
    let request = ListOffsetsRequest { topics: vec![topic], ..ListOffsetsRequest::default() };
    let Response::ListOffsets(response) = client.ask(request, 5) else { panic!() };
    response.topics[0].partitions[0].offset
}

fn position(client: &mut Client, group: &str, topic: &str, partition: i32) -> i64 {
    let topic = OffsetFetchRequestGroupTopic {
        name: topic.into(),
        partition_indexes: vec![partition],
        ..OffsetFetchRequestGroupTopic::default()
    };
    let group = OffsetFetchRequestGroup {
        group_id: group.into(),
        topics: Some(vec![topic]),
        ..OffsetFetchRequestGroup::default()
    };
    let request = OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() };
    let Response::OffsetFetch(response) = client.ask(request, 8) else { panic!() };
    response.groups[0].topics[0].partitions[0].committed_offset
}

fn records(client: &mut Client, topic: &str, partition: i32, lines: &mut BTreeSet<String>) {
    let (start, end) =
        (offset_at(client, topic, partition, -2), offset_at(client, topic, partition, -1));
    lines.insert(format!("range {topic} {partition} {start} {end}"));
    for (level, isolation) in (0..).zip(ISOLATION) {
        let mut next = start;
        while next < end {
            let fetched = fetch(client, topic, partition, next, level);
            next = fetched.next.max(next + 1);
            lines.extend(fetched.records.iter().map(|record| format!("{isolation} {record}")));
        }
    }
}

struct Fetched {
    records: Vec<String>,
    next: i64,
}

fn fetch(client: &mut Client, topic: &str, partition: i32, offset: i64, level: i8) -> Fetched {
    let wanted = FetchRequestPartition {
        partition,
        fetch_offset: offset,
        partition_max_bytes: 1000,
        ..FetchRequestPartition::default()
    };
    let wanted = FetchRequestTopic {
        topic: topic.into(),
        partitions: vec![wanted],
        ..FetchRequestTopic::default()
    };
    let request =
        FetchRequest { isolation_level: level, topics: vec![wanted], ..FetchRequest::default() };
    let Response::Fetch(response) = client.ask(request, 11) else { panic!() };
    let answer = &response.responses[0].partitions[0];
    assert_eq!(answer.error_code, 0, "{response:?}");
    let aborted = answer.aborted_transactions.clone().unwrap_or_default();
    let bytes = bytes_of(answer.records.as_ref().unwrap());
    visible(&bytes, offset, &format!("{topic} {partition}"), aborted)
}

/// What a consumer of this level shows: as the Java client does, it passes over what it was told to.
fn visible(
    mut bytes: &[u8],
    from: i64,
    place: &str,
    aborted: Vec<FetchResponseAbortedTransaction>,
) -> Fetched {
    let mut fetched = Fetched { records: Vec::new(), next: from };
    let mut waiting = aborted;
    let mut skipped = BTreeSet::new();
    while let Some(header) =
        BatchHeader::read(bytes).ok().filter(|h| h.size_in_bytes() <= bytes.len())
    {
        let (batch, rest) = bytes.split_at(header.size_in_bytes());
        bytes = rest;
        fetched.next = header.next_offset();
        let (begun, later): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|one| one.first_offset <= header.last_offset());
        skipped.extend(begun.iter().map(|one| one.producer_id));
        waiting = later;
        let mut records = RecordReader::open(batch, RECORDS_BYTES_MAX).unwrap();
        while let Some(record) = records.next().unwrap() {
            if header.is_control() {
                let end = EndTransaction::read(&record).unwrap().unwrap();
                if end.marker == Marker::Abort {
                    skipped.remove(&header.producer_id);
                }
            } else if record.offset >= from
                && !(header.is_transactional() && skipped.contains(&header.producer_id))
            {
                fetched.records.push(format!("{place} {}", words(&record)));
            }
        }
    }
    fetched
}

fn words(record: &Record<'_>) -> String {
    let headers: Vec<String> = record
        .headers
        .iter()
        .map(|(name, value)| format!("{}={}", String::from_utf8_lossy(name), word(value)))
        .collect();
    let headers = if headers.is_empty() { "-".to_owned() } else { headers.join(",") };
    let (key, value) = (word(record.key), word(record.value));
    format!("{} {} {key} {value} {headers}", record.offset, record.timestamp)
}

fn word(value: Option<&[u8]>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let digits: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("'{digits}")
}
