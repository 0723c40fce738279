//! ApiVersions (key 18): what is served, printed from the table of requests.

use super::context::Context;
use super::event::RequestId;
use crate::wire::api::ApiKey;
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};

/// A client asks what is served. One that means another cluster or broker is told so (KIP-1242).
pub fn handle(ctx: &mut Context<'_>, id: RequestId, request: &ApiVersionsRequest) {
    let is_other_cluster =
        request.cluster_id.as_ref().is_some_and(|cluster| *cluster != ctx.options.cluster_id);
    let is_other_broker = request.node_id >= 0 && request.node_id != ctx.options.node_id;
    // The two belong together: one without the other says nothing.
    let is_half = request.cluster_id.is_some() != (request.node_id >= 0);
    let error = if is_half {
        ErrorCode::InvalidRequest
    } else if is_other_cluster || is_other_broker {
        ErrorCode::RebootstrapRequired
    } else {
        ErrorCode::None
    };
    ctx.reply(id, answer(error));
}

/// The answer. With `UnsupportedVersion` it goes out in the form of version 0, whatever was asked in; any other error
/// stands alone.
#[must_use]
pub fn answer(error: ErrorCode) -> ApiVersionsResponse {
    let served = |api: &ApiKey| ApiVersion {
        api_key: api.key(),
        min_version: *api.versions().start(),
        max_version: *api.versions().end(),
    };
    let is_told = matches!(error, ErrorCode::None | ErrorCode::UnsupportedVersion);
    ApiVersionsResponse {
        error_code: error.code(),
        api_keys: ApiKey::ALL.iter().filter(|_| is_told).map(served).collect(),
        ..ApiVersionsResponse::default()
    }
}
