//! The error codes inside an answer, wherever its family keeps them: for counting.

use super::api::Response;

impl Response {
    /// Calls `seen` with every error code of the answer, 0 among them.
    pub fn each_error(&self, seen: &mut dyn FnMut(i16)) {
        match self {
            Response::Produce(body) => {
                let topics = body.responses.iter();
                topics.flat_map(|t| &t.partition_responses).for_each(|p| seen(p.error_code));
            }
            Response::Fetch(body) => {
                seen(body.error_code);
                let topics = body.responses.iter();
                topics.flat_map(|t| &t.partitions).for_each(|p| seen(p.error_code));
            }
            Response::ListOffsets(body) => {
                body.topics.iter().flat_map(|t| &t.partitions).for_each(|p| seen(p.error_code));
            }
            Response::Metadata(body) => {
                seen(body.error_code);
                body.topics.iter().for_each(|topic| seen(topic.error_code));
            }
            Response::OffsetCommit(body) => {
                body.topics.iter().flat_map(|t| &t.partitions).for_each(|p| seen(p.error_code));
            }
            Response::OffsetDelete(body) => {
                seen(body.error_code);
                body.topics.iter().flat_map(|t| &t.partitions).for_each(|p| seen(p.error_code));
            }
            Response::OffsetFetch(body) => {
                seen(body.error_code);
                for group in &body.groups {
                    seen(group.error_code);
                    let topics = group.topics.iter();
                    topics.flat_map(|t| &t.partitions).for_each(|p| seen(p.error_code));
                }
            }
            Response::FindCoordinator(body) => {
                body.coordinators.iter().for_each(|c| seen(c.error_code))
            }
            Response::JoinGroup(body) => seen(body.error_code),
            Response::SyncGroup(body) => seen(body.error_code),
            Response::Heartbeat(body) => seen(body.error_code),
            Response::LeaveGroup(body) => {
                seen(body.error_code);
                body.members.iter().for_each(|member| seen(member.error_code));
            }
            Response::DescribeGroups(body) => body.groups.iter().for_each(|g| seen(g.error_code)),
            Response::DeleteGroups(body) => body.results.iter().for_each(|r| seen(r.error_code)),
            Response::ListGroups(body) => seen(body.error_code),
            Response::ApiVersions(body) => seen(body.error_code),
            Response::CreateTopics(body) => body.topics.iter().for_each(|t| seen(t.error_code)),
            Response::DeleteTopics(body) => body.responses.iter().for_each(|t| seen(t.error_code)),
            Response::DeleteRecords(body) => {
                body.topics.iter().flat_map(|t| &t.partitions).for_each(|p| seen(p.error_code));
            }
            Response::InitProducerId(body) => seen(body.error_code),
            Response::OffsetForLeaderEpoch(body) => {
                body.topics.iter().flat_map(|t| &t.partitions).for_each(|p| seen(p.error_code));
            }
            Response::DescribeConfigs(body) => body.results.iter().for_each(|r| seen(r.error_code)),
            Response::DescribeLogDirs(body) => {
                seen(body.error_code);
                body.results.iter().for_each(|result| seen(result.error_code));
            }
            Response::AlterConfigs(body) => body.responses.iter().for_each(|r| seen(r.error_code)),
            Response::CreatePartitions(body) => {
                body.results.iter().for_each(|t| seen(t.error_code))
            }
            Response::IncrementalAlterConfigs(body) => {
                body.responses.iter().for_each(|r| seen(r.error_code))
            }
            Response::DescribeCluster(body) => seen(body.error_code),
        }
    }
}
