//! FindCoordinator (key 10): who looks after a group or a transactional id. There is one broker, so it is this one.

use super::context::Context;
use super::event::{Client, RequestId};
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, FindCoordinatorResponseCoordinator,
};

/// The kinds of keys that have a coordinator here: groups and transactional ids. Share groups (2) have none yet.
const KEY_TYPES: std::ops::RangeInclusive<i8> = 0..=1;

/// Answers this broker for every key.
pub fn find(
    ctx: &mut Context<'_>,
    id: RequestId,
    client: &Client,
    request: &FindCoordinatorRequest,
) {
    let is_served = KEY_TYPES.contains(&request.key_type);
    let answer = |key: &String| {
        let coordinator = if is_served { here(ctx, client) } else { nobody(request.key_type) };
        FindCoordinatorResponseCoordinator { key: key.clone(), ..coordinator }
    };
    let coordinators = request.coordinator_keys.iter().map(answer).collect();
    ctx.reply(id, FindCoordinatorResponse { coordinators, ..FindCoordinatorResponse::default() });
}

fn here(ctx: &Context<'_>, client: &Client) -> FindCoordinatorResponseCoordinator {
    let (host, port) = client.broker_address();
    FindCoordinatorResponseCoordinator {
        node_id: ctx.options.node_id,
        host,
        port,
        ..FindCoordinatorResponseCoordinator::default()
    }
}

fn nobody(key_type: i8) -> FindCoordinatorResponseCoordinator {
    FindCoordinatorResponseCoordinator {
        node_id: -1,
        port: -1,
        error_code: ErrorCode::InvalidRequest.code(),
        error_message: Some(format!("There is no coordinator for keys of type {key_type}.")),
        ..FindCoordinatorResponseCoordinator::default()
    }
}
