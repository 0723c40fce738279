//! What is asked for twice in one request is answered once.
//!
//! Otherwise a few bytes, repeated, would be answered with many bytes, repeated: a small request could ask for an
//! answer of any size. The bodies of other requests are not much smaller than their answers.

use std::collections::BTreeSet;

use crate::wire::api::Request;
use crate::wire::messages::{
    DeleteRecordsRequestTopic, ListOffsetsRequestPartition, ListOffsetsRequestTopic,
    OffsetFetchRequestGroup,
};

/// Leaves the first of what is the same.
pub(super) fn ask_once(request: &mut Request) {
    match request {
        Request::Metadata(body) => {
            if let Some(topics) = &mut body.topics {
                keep_first(topics, |topic| (topic.name.clone(), topic.topic_id));
            }
        }
        Request::DescribeConfigs(body) => {
            keep_first(&mut body.resources, |r| (r.resource_type, r.resource_name.clone()));
        }
        Request::FindCoordinator(body) => keep_first(&mut body.coordinator_keys, String::clone),
        Request::ListOffsets(body) => name_partitions_once(&mut body.topics),
        Request::DeleteRecords(body) => delete_from_once(&mut body.topics),
        Request::DescribeGroups(body) => keep_first(&mut body.groups, String::clone),
        Request::DeleteGroups(body) => keep_first(&mut body.groups_names, String::clone),
        Request::OffsetFetch(body) => {
            keep_first(&mut body.groups, |group| group.group_id.clone());
            body.groups.iter_mut().for_each(ask_group_once);
        }
        _ => {}
    }
}

fn ask_group_once(group: &mut OffsetFetchRequestGroup) {
    let Some(topics) = &mut group.topics else { return };
    keep_first(topics, |topic| (topic.name.clone(), topic.topic_id));
    for topic in topics {
        keep_first(&mut topic.partition_indexes, |index| *index);
    }
}

/// A topic that is named again is asked about other partitions: each search by time may read from the disk. What one
/// naming repeats is the handler's to refuse.
fn name_partitions_once(topics: &mut [ListOffsetsRequestTopic]) {
    let mut seen = BTreeSet::<(String, i32)>::new();
    for topic in topics {
        let name = |part: &ListOffsetsRequestPartition| (topic.name.clone(), part.partition_index);
        let named: Vec<(String, i32)> = topic.partitions.iter().map(name).collect();
        topic.partitions.retain(|part| !seen.contains(&(topic.name.clone(), part.partition_index)));
        seen.extend(named);
    }
}

/// Like Kafka, the last offset that is named for a partition is the one that is meant.
fn delete_from_once(topics: &mut [DeleteRecordsRequestTopic]) {
    let mut seen = BTreeSet::<(String, i32)>::new();
    for topic in topics.iter_mut().rev() {
        topic.partitions.reverse();
        topic.partitions.retain(|part| seen.insert((topic.name.clone(), part.partition_index)));
        topic.partitions.reverse();
    }
}

/// What is there more than once.
pub(super) fn named_twice<T: Ord + Copy>(items: impl Iterator<Item = T>) -> BTreeSet<T> {
    let mut seen = BTreeSet::new();
    items.filter(|item| !seen.insert(*item)).collect()
}

fn keep_first<T, K: Ord>(items: &mut Vec<T>, key: impl Fn(&T) -> K) {
    if items.len() > 1 {
        let mut seen = BTreeSet::new();
        items.retain(|item| seen.insert(key(item)));
    }
}
