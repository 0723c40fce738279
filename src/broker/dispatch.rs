//! Which handler a request goes to. The match is exhaustive: what the table of requests lists, is served.

use super::commit_gate::Commit;
use super::event::{Client, RequestId};
use super::{Broker, configs, coordinator, distinct, metadata, offsets, versions};
use crate::base::time::Now;
use crate::broker::event::Effect;
use crate::wire::api::Request;

impl Broker {
    /// Serves one request.
    pub(super) fn dispatch(
        &mut self,
        id: RequestId,
        client: Client,
        mut request: Request,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        distinct::ask_once(&mut request);
        let (state, mut ctx) = self.split(now, out);
        let (table, ctx) = (&mut state.table, &mut ctx);
        match request {
            Request::ApiVersions(body) => versions::handle(ctx, id, &body),
            Request::Metadata(body) => {
                state.metadata.handle(ctx, table, &mut state.topics, (id, client), body);
            }
            Request::DescribeCluster(body) => metadata::describe_cluster(ctx, id, &client, &body),
            Request::Produce(body) => state.produce.handle(ctx, table, id, *body),
            Request::Fetch(body) => state.fetch.handle(ctx, table, id, body),
            Request::ListOffsets(body) => state.offsets.list(ctx, table, id, &body),
            Request::OffsetForLeaderEpoch(body) => {
                offsets::for_leader_epoch(ctx, table, id, &body);
            }
            Request::InitProducerId(body) => state.producer_ids.init(ctx, id, &body),
            Request::CreateTopics(body) => state.topics.create(ctx, table, id, &body),
            Request::DeleteTopics(body) => state.topics.delete(ctx, table, id, &body),
            Request::DeleteRecords(body) => state.delete_records.handle(ctx, table, id, &body),
            Request::CreatePartitions(body) => {
                state.create_partitions.handle(ctx, table, id, &body)
            }
            Request::DescribeConfigs(body) => configs::describe(ctx, table, id, &body),
            Request::AlterConfigs(body) => state.alter_configs.replace(ctx, table, id, &body),
            Request::IncrementalAlterConfigs(body) => {
                state.alter_configs.change(ctx, table, id, &body)
            }
            Request::DescribeLogDirs(body) => state.log_dirs.handle(ctx, id, *body),
            Request::FindCoordinator(body) => coordinator::find(ctx, id, &client, &body),
            Request::JoinGroup(body) => state.groups.join(ctx, id, &client, &body),
            Request::SyncGroup(body) => state.groups.sync(ctx, id, &body),
            Request::Heartbeat(body) => state.groups.heartbeat(ctx, id, &body),
            Request::LeaveGroup(body) => state.groups.leave(ctx, id, &body),
            Request::DescribeGroups(body) => state.groups.describe(ctx, id, &body),
            Request::DeleteGroups(body) => state.groups.delete(ctx, id, &body),
            Request::ListGroups(body) => state.groups.list(ctx, id, &body),
            Request::OffsetFetch(body) => state.groups.fetch_offsets(ctx, id, &body, table),
            Request::OffsetDelete(body) => state.groups.delete_offsets(ctx, id, &body, table),
            Request::OffsetCommit(request) => {
                if let Some(commit) =
                    state.commit_gate.admit(ctx, table, Commit { id, client, request })
                {
                    state.groups.commit(ctx, commit.id, &commit.request, table);
                }
            }
        }
    }
}
