//! One fetch on its way: what can be said without the disk, what must be read for it, and how much it waits for.

use super::check_leader_epoch;
use crate::base::ids::{PartitionId, Ticket};
use crate::base::payload::{FileRange, Payload};
use crate::base::planted::{Bug, is_planted};
use crate::base::time::Mono;
use crate::broker::event::RequestId;
use crate::broker::options::Limits;
use crate::broker::partition::{Partition, PartitionState};
use crate::broker::topic_table::TopicTable;
use crate::record::compression::Codec;
use crate::storage::job::{AbortedTransaction, Read, ReadError, ReadPart};
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::{
    FetchRequest, FetchRequestPartition, FetchRequestTopic, FetchResponse,
    FetchResponseAbortedTransaction, FetchResponseEpochEndOffset, FetchResponsePartition,
    FetchResponseTopic,
};
use crate::wire::records::Records;

/// The isolation level of clients that pass over what was aborted (KIP-98).
const READ_COMMITTED: i8 = 1;

/// A fetch that has not been answered.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: RequestId,
    request: Box<FetchRequest>,
    /// What it takes in memory, roughly.
    pub(super) bytes: usize,
    pub(super) deadline: Mono,
    /// Whether it must be answered with what the next read finds.
    pub(super) is_last_try: bool,
    /// The answer so far, and what the running read will add to it.
    pub(super) response: FetchResponse,
    pub(super) failed: bool,
    reads: Vec<Place>,
    /// What was visible in each partition when it was tried, and how much it found.
    seen: Vec<Seen>,
    pub(super) bytes_found: u64,
}

/// Where a read's records belong in the answer.
#[derive(Clone, Copy, Debug)]
struct Place {
    topic: usize,
    partition: usize,
}

/// How far a partition was visible.
#[derive(Clone, Copy, Debug)]
struct Seen {
    partition: PartitionId,
    visible_bytes: u64,
}

impl Pending {
    pub(super) fn new(id: RequestId, request: Box<FetchRequest>, deadline: Mono) -> Pending {
        Pending {
            id,
            is_last_try: request.max_wait_ms <= 0,
            bytes: memory_of(&request),
            request,
            deadline,
            response: FetchResponse::default(),
            failed: false,
            reads: Vec::new(),
            seen: Vec::new(),
            bytes_found: 0,
        }
    }

    /// Whether a reader has it.
    pub(super) fn is_being_read(&self) -> bool {
        !self.reads.is_empty()
    }

    /// Bytes for which it waits: no more than it would be given.
    pub(super) fn bytes_wanted(&self) -> u64 {
        u64::try_from(self.request.min_bytes.min(self.request.max_bytes)).unwrap_or(0)
    }

    /// Counts what became visible in one partition; `None`: it can be used no more. Answers whether another try is
    /// worth it.
    pub(super) fn may_have_enough(
        &mut self,
        partition: PartitionId,
        visible_bytes: Option<u64>,
    ) -> bool {
        let Some(visible_bytes) = visible_bytes else { return true };
        for seen in self.seen.iter_mut().filter(|seen| seen.partition == partition) {
            self.bytes_found += visible_bytes.saturating_sub(seen.visible_bytes);
            seen.visible_bytes = visible_bytes;
        }
        self.bytes_found >= self.bytes_wanted()
    }

    /// Bytes that became visible since it was tried.
    pub(super) fn bytes_growing(&self, topics: &TopicTable) -> u64 {
        let grown = |seen: &Seen| {
            let now = topics.partition(seen.partition).map_or(0, |p| p.visible_bytes);
            now.saturating_sub(seen.visible_bytes)
        };
        self.seen.iter().map(grown).sum()
    }

    /// Makes the answer without records, and says what must be read for it.
    pub(super) fn look(&mut self, topics: &TopicTable, leader_epoch: i32) -> Vec<ReadPart> {
        self.response = FetchResponse::default();
        (self.failed, self.bytes_found) = (false, 0);
        self.reads.clear();
        self.seen.clear();
        let mut parts = Vec::new();
        let look = Look { topics, request: &self.request, leader_epoch };
        for wanted in &self.request.topics {
            let mut answers = Vec::with_capacity(wanted.partitions.len());
            for part in &wanted.partitions {
                let (answer, read) = look.at(wanted, part, &mut self.seen);
                self.failed |= answer.error_code != 0 || answer.diverging_epoch.epoch >= 0;
                if let Some(read) = read {
                    let topic = self.response.responses.len();
                    self.reads.push(Place { topic, partition: answers.len() });
                    parts.push(read);
                }
                answers.push(answer);
            }
            self.response.responses.push(FetchResponseTopic {
                topic: wanted.topic.clone(),
                topic_id: wanted.topic_id,
                partitions: answers,
            });
        }
        parts
    }

    /// What reads these parts.
    pub(super) fn read(&self, ticket: Ticket, parts: Vec<ReadPart>, limits: &Limits) -> Read {
        let request = &self.request;
        let is_old = request.magic_max < 2;
        let limit = if is_old { limits.converted_fetch_bytes } else { limits.fetch_bytes };
        Read {
            ticket,
            bytes_max: usize::try_from(request.max_bytes).unwrap_or(0).min(limit),
            whole_first_batch: !request.strict_byte_limit,
            parts,
            magic_max: request.magic_max,
            committed: request.isolation_level == READ_COMMITTED,
        }
    }

    /// What was to be read is in these ranges, one for each part. No aborted transaction touches them.
    pub(super) fn found(&mut self, ranges: Vec<FileRange>) {
        for (place, range) in std::mem::take(&mut self.reads).into_iter().zip(ranges) {
            let Some(answer) = answer_mut(&mut self.response, place) else { continue };
            self.bytes_found += range.len as u64;
            answer.records = Some(Records::from_part(Payload::File(range)));
        }
    }

    /// A reader has found this, or why there is nothing.
    pub(super) fn was_read(
        &mut self,
        parts: Vec<Result<Vec<Payload>, ReadError>>,
        aborted: Vec<Vec<AbortedTransaction>>,
    ) {
        let places = std::mem::take(&mut self.reads);
        let aborted = aborted.into_iter().map(Some).chain(std::iter::repeat(None));
        for ((place, result), aborted) in places.into_iter().zip(parts).zip(aborted) {
            let Some(answer) = answer_mut(&mut self.response, place) else { continue };
            match result {
                Ok(parts) => {
                    let records = Records::from_parts(parts);
                    self.bytes_found += records.len() as u64;
                    answer.records = Some(records);
                    if let Some(answer) = &mut answer.aborted_transactions {
                        answer.extend(aborted.unwrap_or_default().iter().map(told));
                    }
                }
                Err(error) => {
                    answer.error_code = error_of(&error).code();
                    self.failed = true;
                }
            }
        }
    }

    /// It waits, for these partitions. What was found is found again; until then it need not hold memory and files.
    pub(super) fn park(&mut self) -> Vec<PartitionId> {
        self.response = FetchResponse::default();
        self.seen.iter().map(|seen| seen.partition).collect()
    }
}

/// What is looked at for one request.
struct Look<'a> {
    topics: &'a TopicTable,
    request: &'a FetchRequest,
    leader_epoch: i32,
}

impl Look<'_> {
    /// The answer for one partition without records, and what must be read for it.
    fn at(
        &self,
        wanted: &FetchRequestTopic,
        part: &FetchRequestPartition,
        seen: &mut Vec<Seen>,
    ) -> (FetchResponsePartition, Option<ReadPart>) {
        let Look { topics, request, leader_epoch } = *self;
        let mut answer = FetchResponsePartition {
            partition_index: part.partition,
            high_watermark: -1,
            aborted_transactions: (request.isolation_level == READ_COMMITTED).then(Vec::new),
            records: Some(Records::default()),
            ..FetchResponsePartition::default()
        };
        let (id, partition) = match find(topics, request, wanted, part, leader_epoch) {
            Ok(found) => found,
            Err(error) => {
                answer.error_code = error.code();
                if matches!(error, ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition) {
                    answer.aborted_transactions = Some(Vec::new());
                }
                return (answer, None);
            }
        };
        let high_watermark = partition.high_watermark;
        let visible_bytes = partition.visible_bytes;
        seen.push(Seen { partition: id, visible_bytes });
        let is_inside = (partition.log_start..=partition.end).contains(&part.fetch_offset);
        // Like Kafka, no offsets beside the error: clients ask ListOffsets for them.
        if !is_inside || part.last_fetched_epoch > leader_epoch {
            answer.error_code = ErrorCode::OffsetOutOfRange.code();
            return (answer, None);
        }
        answer.high_watermark = high_watermark;
        answer.last_stable_offset = high_watermark;
        answer.log_start_offset = partition.log_start;
        if let Some(diverging) = diverging(partition, part) {
            answer.diverging_epoch = diverging;
            return (answer, None);
        }
        let bytes_max = usize::try_from(part.partition_max_bytes).unwrap_or(0);
        let read = (part.fetch_offset < high_watermark).then_some(ReadPart {
            partition: id,
            offset: part.fetch_offset,
            end: if is_planted(Bug::ReadBeyondWatermark) { partition.end } else { high_watermark },
            bytes_max,
        });
        (answer, read)
    }
}

/// What a request and the answer in the making take in memory, roughly.
fn memory_of(request: &FetchRequest) -> usize {
    let partitions: usize = request.topics.iter().map(|topic| topic.partitions.len()).sum();
    let names: usize = request.topics.iter().map(|topic| topic.topic.len()).sum();
    let one = size_of::<FetchRequestPartition>() + size_of::<FetchResponsePartition>();
    let topic = size_of::<FetchRequestTopic>() + size_of::<FetchResponseTopic>();
    size_of::<Pending>() + partitions * one + request.topics.len() * topic + 2 * names
}

fn told(aborted: &AbortedTransaction) -> FetchResponseAbortedTransaction {
    let AbortedTransaction { producer_id, first_offset, .. } = *aborted;
    FetchResponseAbortedTransaction { producer_id, first_offset }
}

fn find<'t>(
    topics: &'t TopicTable,
    request: &FetchRequest,
    wanted: &FetchRequestTopic,
    part: &FetchRequestPartition,
    leader_epoch: i32,
) -> Result<(PartitionId, &'t Partition), ErrorCode> {
    let topic = topics.resolve(&wanted.topic, wanted.topic_id);
    let topic = match topic {
        Some(topic) => topic,
        None if request.by_topic_id => return Err(ErrorCode::UnknownTopicId),
        None => return Err(ErrorCode::UnknownTopicOrPartition),
    };
    let partition = topic.partition(part.partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    // Fetch takes every negative epoch for none; its siblings only -1.
    check_leader_epoch(part.current_leader_epoch.max(-1), leader_epoch)?;
    // As Kafka has it: a client that does not know zstd may know it all the same, unless the topic insists.
    if topic.codec == Some(Codec::Zstd.number()) && !request.understands_zstd {
        return Err(ErrorCode::UnsupportedCompressionType);
    }
    match partition.state {
        PartitionState::Online => {
            Ok((PartitionId { topic: topic.id, index: part.partition }, partition))
        }
        PartitionState::Opening => Err(ErrorCode::UnknownTopicOrPartition),
        PartitionState::Offline(_) => Err(ErrorCode::KafkaStorageError),
    }
}

/// Where the client's log and this one part, if the client said what it fetched last (KIP-595).
fn diverging(
    partition: &Partition,
    part: &FetchRequestPartition,
) -> Option<FetchResponseEpochEndOffset> {
    if part.last_fetched_epoch < 0 {
        return None;
    }
    let (epoch, end_offset) = partition.end_of_epoch(part.last_fetched_epoch)?;
    let parts = epoch < part.last_fetched_epoch || end_offset < part.fetch_offset;
    parts.then_some(FetchResponseEpochEndOffset { epoch, end_offset })
}

fn error_of(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::Storage(_) => ErrorCode::KafkaStorageError,
        ReadError::OutOfRange => ErrorCode::OffsetOutOfRange,
        ReadError::Corrupt => ErrorCode::CorruptMessage,
        ReadError::UnsupportedCompression => ErrorCode::UnsupportedCompressionType,
        ReadError::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
    }
}

fn answer_mut(response: &mut FetchResponse, place: Place) -> Option<&mut FetchResponsePartition> {
    response.responses.get_mut(place.topic)?.partitions.get_mut(place.partition)
}
