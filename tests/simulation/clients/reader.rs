//! A reader: fetches from where it likes, commits how far it came, has that deleted, and asks for offsets.

use std::collections::BTreeMap;

use chronik::base::ids::PartitionId;
use chronik::base::payload::Payload;
use chronik::wire::api::Response;
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, FetchRequest, FetchRequestPartition,
    FetchRequestTopic, FetchResponse, ListOffsetsRequest, ListOffsetsRequestPartition,
    ListOffsetsRequestTopic, OffsetCommitRequest, OffsetCommitRequestPartition,
    OffsetCommitRequestTopic, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchRequestGroup,
    OffsetFetchRequestGroupTopic, OffsetFetchResponse,
};

use super::admin::{check_list, list};
use super::{Client, Desk, Reply};
use crate::model::batch::{self, Read};
use crate::model::{Floor, Key, Log, Model, TOPICS};

/// What was asked.
enum Asked {
    Fetch {
        id: PartitionId,
        from: i64,
        floor: Floor,
    },
    Commit {
        key: Key,
        number: u64,
        offset: i64,
    },
    Committed,
    /// Each of the group's commits, as if its absence were committed.
    Delete(Vec<(Key, u64)>),
    Topics,
    Ends {
        id: PartitionId,
        timestamp: i64,
        floor: Floor,
    },
}

pub(crate) struct Reader {
    group: &'static str,
    positions: BTreeMap<PartitionId, i64>,
    asked: Option<(u64, Asked)>,
    finishing: bool,
}

impl Reader {
    pub(crate) fn new(group: &'static str) -> Reader {
        Reader { group, positions: BTreeMap::new(), asked: None, finishing: false }
    }

    fn fetch(&mut self, desk: &mut Desk<'_>, id: PartitionId) -> u64 {
        let from = *self.positions.entry(id).or_insert(0);
        let bytes_max = [1, 200, 1 << 20][desk.below(3)];
        let request = FetchRequest {
            max_wait_ms: [0, 100, 500][desk.below(3)],
            min_bytes: [0, 1, 1, 300][desk.below(4)],
            ..fetch(id, from, bytes_max)
        };
        let number = desk.send(request);
        let floor = floor(desk, id);
        self.asked = Some((number, Asked::Fetch { id, from, floor }));
        number
    }

    fn commit(&mut self, desk: &mut Desk<'_>, id: PartitionId) {
        let Some(offset) = self.positions.get(&id).copied() else { return };
        let key = (self.group, id.topic, id.index);
        let number = desk.model.commits.sent(key, offset);
        let request = desk.send(commit(key, offset));
        self.asked = Some((request, Asked::Commit { key, number, offset }));
    }

    fn committed(&mut self, desk: &mut Desk<'_>, id: PartitionId) {
        let key = (self.group, id.topic, id.index);
        let request = desk.send(ask_for_commits(self.group, &[key]));
        self.asked = Some((request, Asked::Committed));
    }

    /// Has its group deleted with all commits.
    fn delete(&mut self, desk: &mut Desk<'_>) {
        let commits = &mut desk.model.commits;
        let keys = commits.keys().into_iter().filter(|key| key.0 == self.group);
        let attempts = keys.map(|key| (key, commits.sent(key, -1))).collect();
        let groups_names = vec![self.group.to_owned()];
        let request = desk.send(DeleteGroupsRequest { groups_names });
        self.asked = Some((request, Asked::Delete(attempts)));
    }

    fn ends(&mut self, desk: &mut Desk<'_>, id: PartitionId) {
        let timestamp = [-1, -2][desk.below(2)];
        let Some(name) = name_of(desk.model, id) else { return };
        let part = ListOffsetsRequestPartition {
            partition_index: id.index,
            timestamp,
            ..ListOffsetsRequestPartition::default()
        };
        let topic = ListOffsetsRequestTopic { name: name.to_owned(), partitions: vec![part] };
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![topic],
            ..ListOffsetsRequest::default()
        };
        let number = desk.send(request);
        let floor = floor(desk, id);
        self.asked = Some((number, Asked::Ends { id, timestamp, floor }));
    }
}

fn floor(desk: &Desk<'_>, id: PartitionId) -> Floor {
    desk.model.logs.get(&id).map(Log::floor).unwrap_or_default()
}

/// A topic's name, if it is there and stays.
pub(crate) fn name_of(model: &Model, id: PartitionId) -> Option<&'static str> {
    let mut present = model.topics.alive().filter(|(_, known)| model.topics.is_present(*known));
    present.find(|(_, known)| *known == id.topic).map(|(topic, _)| TOPICS[topic].name)
}

/// A fetch from one partition, which does not wait.
pub(crate) fn fetch(id: PartitionId, from: i64, bytes_max: i32) -> FetchRequest {
    let part = FetchRequestPartition {
        partition: id.index,
        fetch_offset: from,
        partition_max_bytes: bytes_max,
        ..FetchRequestPartition::default()
    };
    let topic = FetchRequestTopic {
        topic_id: id.topic,
        partitions: vec![part],
        ..FetchRequestTopic::default()
    };
    FetchRequest { topics: vec![topic], by_topic_id: true, ..FetchRequest::default() }
}

/// A commit from outside of any generation.
pub(crate) fn commit((group, topic_id, index): Key, offset: i64) -> OffsetCommitRequest {
    let part = OffsetCommitRequestPartition {
        partition_index: index,
        committed_offset: offset,
        ..OffsetCommitRequestPartition::default()
    };
    let partitions = vec![part];
    let topic = OffsetCommitRequestTopic { topic_id, partitions, ..Default::default() };
    OffsetCommitRequest {
        group_id: group.to_owned(),
        topics: vec![topic],
        by_topic_id: true,
        ..OffsetCommitRequest::default()
    }
}

/// Asks for commits of one group.
pub(crate) fn ask_for_commits(group: &str, keys: &[Key]) -> OffsetFetchRequest {
    let topic = |key: &Key| OffsetFetchRequestGroupTopic {
        topic_id: key.1,
        partition_indexes: vec![key.2],
        ..OffsetFetchRequestGroupTopic::default()
    };
    let group = OffsetFetchRequestGroup {
        group_id: group.to_owned(),
        topics: Some(keys.iter().map(topic).collect()),
        ..OffsetFetchRequestGroup::default()
    };
    OffsetFetchRequest { groups: vec![group], by_topic_id: true, ..OffsetFetchRequest::default() }
}

/// The error of the only partition of a commit.
pub(crate) fn commit_error(response: &OffsetCommitResponse) -> Option<ErrorCode> {
    ErrorCode::from_code(response.topics.first()?.partitions.first()?.error_code)
}

/// What a fetch of one partition gave.
pub(crate) struct Fetched {
    pub(crate) error: ErrorCode,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) records: Vec<Read>,
    /// The offset behind the last batch; `None`: there is none.
    pub(crate) next: Option<i64>,
}

/// Reads the answer to a fetch of one partition, also from the files.
pub(crate) fn read_fetched(response: &FetchResponse) -> Result<Option<Fetched>, String> {
    let Some(part) = response.responses.first().and_then(|topic| topic.partitions.first()) else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    for payload in part.records.iter().flat_map(|records| records.parts()) {
        match payload {
            Payload::Bytes(more) => bytes.extend_from_slice(more),
            Payload::File(range) => {
                let at = bytes.len();
                bytes.resize(at + range.len, 0);
                let read = range.file.read_at(&mut bytes[at..], range.position);
                // The disk fails; the connection would be closed.
                let Ok(read) = read else { return Ok(None) };
                if read < range.len {
                    return Err(format!("a range of {} bytes has {read}", range.len));
                }
            }
        }
    }
    let (records, next) = batch::read(&bytes)?;
    Ok(Some(Fetched {
        error: ErrorCode::from_code(part.error_code).ok_or("a strange error")?,
        start: part.log_start_offset,
        end: part.high_watermark,
        records,
        next,
    }))
}

fn check_fetched(
    desk: &mut Desk<'_>,
    id: PartitionId,
    (from, floor): (i64, Floor),
    got: &Fetched,
) -> Result<(), String> {
    let present = desk.model.topics.is_present(id.topic);
    let disk_may_fail = desk.model.disk_may_fail;
    let log = desk.model.logs.get_mut(&id).ok_or("no such log")?;
    match got.error {
        ErrorCode::None => {
            log.shown(got.start, got.end, floor)?;
            log.fetched(from, floor, (got.end, got.next), &got.records)
        }
        ErrorCode::KafkaStorageError if disk_may_fail => Ok(()),
        ErrorCode::OffsetOutOfRange => {
            let inside = from >= log.start_max() && from < floor.end;
            if inside { Err(format!("lost: {from} is out of range")) } else { Ok(()) }
        }
        ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition if !present => Ok(()),
        error => Err(format!("a fetch was refused with {error:?}")),
    }
    .map_err(|error| format!("fetch of {id} from {from}: {error}"))
}

/// Checks what a group's commits are said to be.
pub(crate) fn check_commits(
    model: &mut Model,
    group: &'static str,
    response: &OffsetFetchResponse,
) -> Result<(), String> {
    for topic in response.groups.iter().flat_map(|group| &group.topics) {
        for part in &topic.partitions {
            if part.error_code != 0 {
                let known = model.topics.is_present(topic.topic_id);
                let error = part.error_code;
                if known {
                    return Err(format!("commits are refused with {error}"));
                }
                continue;
            }
            // Whoever is on the way out has commits or not.
            if model.topics.is_present(topic.topic_id) {
                let key = (group, topic.topic_id, part.partition_index);
                model.commits.read(key, part.committed_offset)?;
            }
        }
    }
    Ok(())
}

/// Checks what became of a group's deletion. That there is no such group says the same of its commits.
fn check_deletion(
    model: &mut Model,
    attempts: &[(Key, u64)],
    response: &DeleteGroupsResponse,
) -> Result<(), String> {
    let error = response.results.first().and_then(|r| ErrorCode::from_code(r.error_code));
    for (key, number) in attempts {
        match error {
            Some(ErrorCode::None | ErrorCode::GroupIdNotFound) => {
                model.commits.acknowledged(*key, *number, false);
            }
            Some(ErrorCode::CoordinatorNotAvailable) if model.disk_may_fail => {
                model.commits.refused(*key, *number);
            }
            error => return Err(format!("a group's deletion was refused with {error:?}")),
        }
    }
    Ok(())
}

impl Client for Reader {
    fn step(&mut self, desk: &mut Desk<'_>) -> Result<(), String> {
        if self.asked.is_some() || self.finishing {
            return Ok(());
        }
        let partitions = desk.model.partitions();
        let Some(id) = partitions.get(desk.below(partitions.len())).copied() else {
            return Ok(());
        };
        // Whether a topic is coming or going is what it likes to know.
        let is_unclear = (0..TOPICS.len()).any(|topic| desk.model.topics.is_unclear(topic));
        let choice = if is_unclear && desk.below(3) == 0 { 9 } else { desk.below(11) };
        match choice {
            0..=5 => {
                self.fetch(desk, id);
            }
            6 | 7 => self.commit(desk, id),
            8 if desk.below(3) == 0 => self.delete(desk),
            8 => self.committed(desk, id),
            9 => self.asked = Some((desk.send(list()), Asked::Topics)),
            _ => self.ends(desk, id),
        }
        Ok(())
    }

    fn promised(&mut self, desk: &mut Desk<'_>, number: u64, reply: &Reply) -> Result<(), String> {
        let Some((asked, what)) = &self.asked else { return Err("nobody asked".into()) };
        let Reply::Response(response) = reply else { return Err("silence".into()) };
        if *asked != number {
            return Err("an answer to another question".into());
        }
        match (what, response) {
            (Asked::Fetch { id, from, floor }, Response::Fetch(response)) => {
                match read_fetched(response)? {
                    Some(got) => check_fetched(desk, *id, (*from, *floor), &got),
                    None => Ok(()),
                }
            }
            (Asked::Commit { key, number, offset }, Response::OffsetCommit(response)) => {
                match commit_error(response) {
                    Some(ErrorCode::None) => {
                        let may_sink = desk.model.disk_may_fail;
                        desk.model.commits.acknowledged(*key, *number, may_sink);
                        let id = PartitionId { topic: key.1, index: key.2 };
                        if let Some(log) = desk.model.logs.get_mut(&id).filter(|_| !may_sink) {
                            log.committed(*offset);
                        }
                        Ok(())
                    }
                    Some(_) if !desk.model.topics.is_present(key.1) => {
                        desk.model.commits.refused(*key, *number);
                        Ok(())
                    }
                    // There is no room for it; a write that failed may come back after a crash.
                    Some(ErrorCode::CoordinatorNotAvailable) if desk.model.disk_may_fail => {
                        desk.model.commits.forsaken(*key, *number, true);
                        Ok(())
                    }
                    error => Err(format!("a commit was refused with {error:?}")),
                }
            }
            (Asked::Topics, Response::Metadata(response)) => check_list(desk.model, response),
            (Asked::Committed, Response::OffsetFetch(response)) => {
                check_commits(desk.model, self.group, response)
            }
            (Asked::Delete(attempts), Response::DeleteGroups(response)) => {
                check_deletion(desk.model, attempts, response)
            }
            (Asked::Ends { id, timestamp, floor }, Response::ListOffsets(response)) => {
                let part = &response.topics[0].partitions[0];
                let present = desk.model.topics.is_present(id.topic);
                let Some(log) = desk.model.logs.get_mut(id) else { return Ok(()) };
                match ErrorCode::from_code(part.error_code) {
                    Some(ErrorCode::None) if *timestamp == -1 && present => {
                        log.shown(floor.start, part.offset, *floor)
                    }
                    Some(ErrorCode::None) if present && part.offset < floor.start => {
                        Err(format!("{id} starts at {}, it was {}", part.offset, floor.start))
                    }
                    Some(ErrorCode::None | ErrorCode::KafkaStorageError) => Ok(()),
                    Some(_) if !present => Ok(()),
                    error => Err(format!("offsets are refused with {error:?}")),
                }
            }
            (_, other) => Err(format!("another answer: {other:?}")),
        }
    }

    fn heard(&mut self, desk: &mut Desk<'_>, _: u64, reply: &Reply) -> Result<(), String> {
        let Some((_, what)) = self.asked.take() else { return Ok(()) };
        let Reply::Response(response) = reply else { return Ok(()) };
        match (what, response) {
            (Asked::Fetch { id, from, .. }, Response::Fetch(response)) => {
                let Some(got) = read_fetched(response)? else { return Ok(()) };
                let next = match got.error {
                    ErrorCode::None => got.next.unwrap_or(from),
                    ErrorCode::OffsetOutOfRange => {
                        desk.model.logs.get(&id).map_or(0, |log| log.start)
                    }
                    _ => from,
                };
                // Now and then somebody wants to see it all again.
                let rewinds = desk.below(12) == 0;
                self.positions.insert(id, if rewinds { 0 } else { next });
            }
            (Asked::Ends { id, timestamp: -2, .. }, Response::ListOffsets(response)) => {
                let part = &response.topics[0].partitions[0];
                if part.error_code == 0 {
                    self.positions.insert(id, part.offset);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn disconnected(&mut self, model: &mut Model) {
        match self.asked.take() {
            Some((_, Asked::Commit { key, number, .. })) => {
                model.commits.forsaken(key, number, model.disk_may_fail);
            }
            Some((_, Asked::Delete(attempts))) => {
                for (key, number) in attempts {
                    model.commits.forsaken(key, number, false);
                }
            }
            _ => {}
        }
        // What it saw may be gone.
        for (id, position) in &mut self.positions {
            let firm = model.logs.get(id).map_or(0, |log| log.firm.max(log.start));
            *position = (*position).min(firm);
        }
    }

    fn is_done(&self) -> bool {
        self.asked.is_none()
    }

    fn finish(&mut self) {
        self.finishing = true;
    }
}
