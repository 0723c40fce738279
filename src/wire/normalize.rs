//! What a version means, turned into facts on the request, and what old versions place or name differently in
//! an answer. The broker branches on facts, never on version numbers.

use super::api::{Request, Response};

/// Fills in the facts of a request that was read in this version.
pub fn normalize_request(request: &mut Request, version: i16) {
    match request {
        Request::ApiVersions(_) => {}
    }
    let _ = version;
}

/// Moves what this version of an answer places or names differently.
pub fn normalize_response(response: &mut Response, version: i16) {
    match response {
        Response::ApiVersions(_) => {}
    }
    let _ = version;
}
