//! DescribeLogDirs (key 35): how large the partitions are, and the volume on which they lie.
//!
//! The sizes are known; how much room there is storage finds out, so the answer waits for its look at the disk. What is
//! asked of a partition that does not exist is passed over, as in Kafka. A volume that takes nothing is an error of the
//! directory, though what lies there is still served and has its size.

use std::collections::{BTreeMap, BTreeSet};

use super::context::Context;
use super::event::RequestId;
use super::partition::{Partition, PartitionState};
use super::topic_table::{Topic, TopicTable};
use crate::base::ids::ConnId;
use crate::storage::job::{Disk, DiskState, Job};
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::{
    DescribeLogDirsRequest, DescribeLogDirsRequestTopic, DescribeLogDirsResponse,
    DescribeLogDirsResponsePartition, DescribeLogDirsResponseResult, DescribeLogDirsResponseTopic,
};

/// Requests that wait for a look at the disk.
#[derive(Debug, Default)]
pub struct LogDirs {
    pending: BTreeMap<RequestId, DescribeLogDirsRequest>,
}

impl LogDirs {
    /// A client asks what lies in the data directory.
    pub fn handle(
        &mut self,
        ctx: &mut Context<'_>,
        id: RequestId,
        request: DescribeLogDirsRequest,
    ) {
        if self.pending.is_empty() {
            ctx.job(Job::LookForSpace);
        }
        self.pending.insert(id, request);
    }

    /// Storage has looked.
    pub fn told(&mut self, ctx: &mut Context<'_>, topics: &TopicTable, disk: &Disk) {
        for (id, request) in std::mem::take(&mut self.pending) {
            let result = DescribeLogDirsResponseResult {
                error_code: match disk.state {
                    DiskState::ReadOnly => ErrorCode::KafkaStorageError.code(),
                    DiskState::Ready | DiskState::Short | DiskState::Spent => 0,
                },
                log_dir: ctx.options.log_dir.clone(),
                topics: match &request.topics {
                    Some(wanted) => some_of(topics, wanted),
                    None => topics.iter().filter_map(|t| sizes(t, |_| true)).collect(),
                },
                total_bytes: bytes(disk.total),
                usable_bytes: bytes(disk.free),
                ..DescribeLogDirsResponseResult::default()
            };
            let response = DescribeLogDirsResponse { results: vec![result], ..Default::default() };
            // What is not there must not come back.
            ctx.reply_after(topics.removal(), id, response);
        }
    }

    /// A connection is gone, and needs no answer.
    pub fn disconnected(&mut self, conn: ConnId) {
        self.pending.retain(|id, _| id.conn != conn);
    }
}

/// Each partition once, however often it is named.
fn some_of(
    topics: &TopicTable,
    wanted: &[DescribeLogDirsRequestTopic],
) -> Vec<DescribeLogDirsResponseTopic> {
    let mut names: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for topic in wanted {
        names.entry(&topic.topic).or_default().extend(&topic.partitions);
    }
    let topic = |(name, indexes): (&str, BTreeSet<i32>)| {
        sizes(topics.get(name)?, |index| indexes.contains(&index))
    };
    names.into_iter().filter_map(topic).collect()
}

/// The sizes of some partitions of a topic, if there are any.
fn sizes(topic: &Topic, is_wanted: impl Fn(i32) -> bool) -> Option<DescribeLogDirsResponseTopic> {
    let is_there = |(index, partition): &(i32, &Partition)| {
        is_wanted(*index) && partition.state != PartitionState::Opening
    };
    let size = |(partition_index, partition): (i32, &Partition)| DescribeLogDirsResponsePartition {
        partition_index,
        partition_size: bytes(partition.bytes),
        ..DescribeLogDirsResponsePartition::default()
    };
    let partitions: Vec<_> = (0..).zip(&topic.partitions).filter(is_there).map(size).collect();
    let name = topic.name.to_string();
    (!partitions.is_empty()).then_some(DescribeLogDirsResponseTopic { name, partitions })
}

fn bytes(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
