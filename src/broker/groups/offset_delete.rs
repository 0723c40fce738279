//! OffsetDelete (key 47): positions that somebody wants forgotten, one by one (KIP-496).
//!
//! A group without members loses any of them. One of consumers keeps those of the topics that a member wants, and all of
//! them while that is not known; one of another kind keeps all that it has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Groups;
use super::shared::{Call, Timer};
use super::state::{Group, State};
use super::sync::CONSUMER;
use crate::broker::context::Context;
use crate::broker::event::RequestId;
use crate::broker::topic_table::TopicTable;
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::{
    ConsumerProtocolSubscription, OffsetDeleteRequest, OffsetDeleteRequestPartition,
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

impl Groups {
    /// Forgets positions. The answer waits until the disk knows.
    pub fn delete_offsets(
        &mut self,
        ctx: &mut Context<'_>,
        id: RequestId,
        request: &OffsetDeleteRequest,
        topics: &TopicTable,
    ) {
        let mut response = unknown_named(request, topics);
        let name = request.group_id.as_str();
        let delete = |group: &mut Group, call: &mut Call<'_, '_>| {
            group.delete_offsets(call, &mut response, topics)
        };
        let result = match name {
            "" => Err(ErrorCode::InvalidGroupId),
            _ if ctx.journal.is_full() => Err(ErrorCode::CoordinatorNotAvailable),
            _ => self.enter(ctx, name, delete).unwrap_or(Err(ErrorCode::GroupIdNotFound)),
        };
        if let Err(error) = result {
            let error_code = error.code();
            response = OffsetDeleteResponse { error_code, ..OffsetDeleteResponse::default() };
        }
        // That a topic is unknown may be news, too.
        ctx.reply_after(self.position(name).max(topics.removal()), id, response);
    }
}

/// The answer with the partitions that do not exist by their name. Like Kafka, a topic that is named twice is answered
/// once, with all its partitions, and nothing is said of one of which nothing was asked.
fn unknown_named(request: &OffsetDeleteRequest, topics: &TopicTable) -> OffsetDeleteResponse {
    let mut answers: BTreeMap<&str, Vec<OffsetDeleteResponsePartition>> = BTreeMap::new();
    for wanted in request.topics.iter().filter(|topic| !topic.partitions.is_empty()) {
        let known = topics.get(&wanted.name);
        let partition = |&OffsetDeleteRequestPartition { partition_index }| {
            let error = match known.and_then(|topic| topic.partition(partition_index)) {
                Some(_) => ErrorCode::None,
                None => ErrorCode::UnknownTopicOrPartition,
            };
            OffsetDeleteResponsePartition { partition_index, error_code: error.code() }
        };
        let answer = answers.entry(&wanted.name).or_default();
        answer.extend(wanted.partitions.iter().map(partition));
    }
    let topic = |(name, partitions): (&str, _)| OffsetDeleteResponseTopic {
        name: name.to_owned(),
        partitions,
    };
    let topics = answers.into_iter().map(topic).collect();
    OffsetDeleteResponse { topics, ..OffsetDeleteResponse::default() }
}

impl Group {
    /// Forgets what the answer says no error of yet.
    fn delete_offsets(
        &mut self,
        call: &mut Call<'_, '_>,
        response: &mut OffsetDeleteResponse,
        topics: &TopicTable,
    ) -> Result<(), ErrorCode> {
        let is_consumers = self.protocol_type.as_deref() == Some(CONSUMER);
        if self.state != State::Empty && !is_consumers {
            return Err(ErrorCode::NonEmptyGroup);
        }
        let subscribed = self.subscribed(response);
        for topic in &mut response.topics {
            let Some(name) = topics.get(&topic.name).map(|topic| &topic.name) else { continue };
            for partition in topic.partitions.iter_mut().filter(|p| p.error_code == 0) {
                let result = match subscribed.contains(&**name) {
                    true => Err(ErrorCode::GroupSubscribedToTopic),
                    false => self.delete_offset(call, name, partition.partition_index),
                };
                partition.error_code = result.err().unwrap_or(ErrorCode::None).code();
            }
        }
        Ok(())
    }

    /// Which of these topics a member wants.
    fn subscribed(&self, asked: &OffsetDeleteResponse) -> BTreeSet<String> {
        let mut wanted = BTreeSet::new();
        if self.state == State::Empty {
            return wanted;
        }
        let asked: BTreeSet<String> = asked.topics.iter().map(|topic| topic.name.clone()).collect();
        // Before the first generation nothing is chosen, and nobody has metadata for that.
        let protocol = self.protocol.as_deref().unwrap_or_default();
        for member in self.members.values() {
            match ConsumerProtocolSubscription::decode_topics(&member.metadata(protocol)) {
                Ok(topics) => wanted.extend(topics.into_iter().filter(|t| asked.contains(t))),
                Err(_) => return asked,
            }
        }
        wanted
    }

    fn delete_offset(
        &mut self,
        call: &mut Call<'_, '_>,
        topic: &Arc<str>,
        partition: i32,
    ) -> Result<(), ErrorCode> {
        if self.commits.get(topic, partition).is_none() {
            return Ok(());
        }
        // What is left may expire at another time; without commits the group itself does.
        call.shared.timers.remove(Timer::Expiry(self.number));
        self.record_commit(call, topic, partition, None)
    }
}
