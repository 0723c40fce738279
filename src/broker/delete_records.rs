//! DeleteRecords (key 21): a log begins later from then on, durably.
//!
//! An offset of -1 is the high watermark. One below the log's first offset changes nothing and is answered with that. The
//! segments go afterwards, when the partition is looked after.

use std::collections::BTreeMap;

use super::context::Context;
use super::event::RequestId;
use super::journal::Position;
use super::topic_table::{Topic, TopicTable, is_internal};
use crate::base::ids::{ConnId, Offset, PartitionId, Ticket};
use crate::storage::job::{Job, StorageError};
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::{
    DeleteRecordsRequest, DeleteRecordsRequestPartition, DeleteRecordsResponse,
    DeleteRecordsResponsePartition, DeleteRecordsResponseTopic,
};

/// In place of an offset: the high watermark.
const HIGH_WATERMARK: Offset = -1;

/// Deletions that storage is at.
#[derive(Debug, Default)]
pub struct DeleteRecords {
    last_ticket: u64,
    pending: BTreeMap<RequestId, Pending>,
    tickets: BTreeMap<Ticket, Place>,
}

#[derive(Debug)]
struct Pending {
    response: DeleteRecordsResponse,
    awaited: usize,
}

/// Where a partition's answer belongs.
#[derive(Clone, Copy, Debug)]
struct Place {
    id: RequestId,
    topic: usize,
    partition: usize,
}

impl DeleteRecords {
    /// A client wants records gone.
    pub fn handle(
        &mut self,
        ctx: &mut Context<'_>,
        table: &TopicTable,
        id: RequestId,
        request: &DeleteRecordsRequest,
    ) {
        let mut pending = Pending { response: DeleteRecordsResponse::default(), awaited: 0 };
        // Like Kafka, nothing is said of a topic of which nothing was asked.
        let asked = request.topics.iter().filter(|topic| !topic.partitions.is_empty());
        for (topic, wanted) in asked.enumerate() {
            let known = table.get(&wanted.name);
            let mut answers = Vec::with_capacity(wanted.partitions.len());
            for (partition, part) in wanted.partitions.iter().enumerate() {
                let mut error_code = ErrorCode::None;
                match target(known, part) {
                    Ok((position, id_of, offset)) => {
                        self.last_ticket += 1;
                        let ticket = Ticket(self.last_ticket);
                        self.tickets.insert(ticket, Place { id, topic, partition });
                        pending.awaited += 1;
                        let trim = Job::Trim { ticket, partition: id_of, offset };
                        ctx.job_after(position, trim);
                    }
                    Err(error) => error_code = error,
                }
                answers.push(DeleteRecordsResponsePartition {
                    partition_index: part.partition_index,
                    low_watermark: -1,
                    error_code: error_code.code(),
                });
            }
            let name = wanted.name.clone();
            pending.response.topics.push(DeleteRecordsResponseTopic { name, partitions: answers });
        }
        if pending.awaited == 0 {
            // That a topic does not exist may be news that is not durable yet.
            ctx.reply_after(ctx.journal.end(), id, pending.response);
        } else {
            self.pending.insert(id, pending);
        }
    }

    /// A log begins later, or cannot.
    pub fn trimmed(
        &mut self,
        ctx: &mut Context<'_>,
        ticket: Ticket,
        result: &Result<Offset, StorageError>,
    ) {
        let Some(Place { id, topic, partition }) = self.tickets.remove(&ticket) else { return };
        let Some(pending) = self.pending.get_mut(&id) else { return };
        let topic = pending.response.topics.get_mut(topic);
        if let Some(answer) = topic.and_then(|topic| topic.partitions.get_mut(partition)) {
            match result {
                Ok(log_start) => answer.low_watermark = *log_start,
                Err(_) => answer.error_code = ErrorCode::KafkaStorageError.code(),
            }
        }
        pending.awaited -= 1;
        if pending.awaited == 0 {
            if let Some(pending) = self.pending.remove(&id) {
                ctx.reply(id, pending.response);
            }
        }
    }

    /// A connection is gone. What it asked for happens all the same.
    pub fn disconnected(&mut self, conn: ConnId) {
        self.pending.retain(|id, _| id.conn != conn);
    }
}

/// The partition and the first offset that is to stay, and when it is durable that the topic may lose records.
fn target(
    topic: Option<&Topic>,
    part: &DeleteRecordsRequestPartition,
) -> Result<(Position, PartitionId, Offset), ErrorCode> {
    let topic = topic.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let index = part.partition_index;
    let partition = topic.partition(index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if is_internal(&topic.name) {
        return Err(ErrorCode::InvalidTopicException);
    }
    if !partition.is_online() {
        return Err(ErrorCode::KafkaStorageError);
    }
    if !topic.log_config.delete {
        return Err(ErrorCode::PolicyViolation);
    }
    let offset = match part.offset {
        HIGH_WATERMARK => partition.high_watermark,
        offset => offset,
    };
    if !(0..=partition.high_watermark).contains(&offset) {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    Ok((topic.position, PartitionId { topic: topic.id, index }, offset))
}
