//! OffsetFetch (key 9): the positions that groups have stored, some or all of them.

use super::Groups;
use super::commits::{Commit, Commits};
use crate::broker::context::Context;
use crate::broker::event::RequestId;
use crate::broker::journal::Position;
use crate::broker::topic_table::TopicTable;
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestGroupTopic, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponseGroupPartition, OffsetFetchResponseGroupTopic,
};

impl Groups {
    /// Answers what groups have stored.
    pub fn fetch_offsets(
        &self,
        ctx: &mut Context<'_>,
        id: RequestId,
        request: &OffsetFetchRequest,
        topics: &TopicTable,
    ) {
        let mut response = OffsetFetchResponse::default();
        let mut position = Position::default();
        for wanted in &request.groups {
            let group = self.groups.get(&*wanted.group_id);
            position = position.max(self.position(&wanted.group_id));
            let stored = group.map(|group| &group.commits);
            response.groups.push(fetch_group(wanted, stored, topics, request.by_topic_id));
        }
        ctx.reply_after(position, id, response);
    }
}

fn fetch_group(
    wanted: &OffsetFetchRequestGroup,
    stored: Option<&Commits>,
    topics: &TopicTable,
    by_topic_id: bool,
) -> OffsetFetchResponseGroup {
    let answers = match &wanted.topics {
        Some(wanted) => {
            wanted.iter().map(|w| fetch_topic(w, stored, topics, by_topic_id)).collect()
        }
        None => stored.map(|stored| fetch_all(stored, topics)).unwrap_or_default(),
    };
    OffsetFetchResponseGroup {
        group_id: wanted.group_id.clone(),
        topics: answers,
        ..OffsetFetchResponseGroup::default()
    }
}

/// Topics that are gone are left out: their commits go with them.
fn fetch_all(stored: &Commits, topics: &TopicTable) -> Vec<OffsetFetchResponseGroupTopic> {
    let mut answers = Vec::new();
    for (name, partitions) in stored.topics() {
        let Some(topic) = topics.get(name) else { continue };
        let answer = |(index, commit): (&i32, &Commit)| fetched(*index, Some(commit));
        answers.push(OffsetFetchResponseGroupTopic {
            name: name.to_string(),
            topic_id: topic.id,
            partitions: partitions.iter().map(answer).collect(),
        });
    }
    answers
}

fn fetch_topic(
    wanted: &OffsetFetchRequestGroupTopic,
    stored: Option<&Commits>,
    topics: &TopicTable,
    by_topic_id: bool,
) -> OffsetFetchResponseGroupTopic {
    let topic = topics.resolve(&wanted.name, wanted.topic_id);
    let is_unknown_id = by_topic_id && topic.is_none();
    let name = topic.map_or(wanted.name.as_str(), |topic| &topic.name);
    let partition = |index: &i32| {
        if is_unknown_id {
            let error_code = ErrorCode::UnknownTopicId.code();
            OffsetFetchResponseGroupPartition { error_code, ..fetched(*index, None) }
        } else {
            fetched(*index, stored.and_then(|stored| stored.get(name, *index)))
        }
    };
    OffsetFetchResponseGroupTopic {
        name: wanted.name.clone(),
        topic_id: wanted.topic_id,
        partitions: wanted.partition_indexes.iter().map(partition).collect(),
    }
}

fn fetched(index: i32, commit: Option<&Commit>) -> OffsetFetchResponseGroupPartition {
    OffsetFetchResponseGroupPartition {
        partition_index: index,
        committed_offset: commit.map_or(-1, |commit| commit.offset),
        committed_leader_epoch: commit.map_or(-1, |commit| commit.leader_epoch),
        metadata: Some(commit.map(|commit| commit.metadata.to_string()).unwrap_or_default()),
        error_code: 0,
    }
}
