//! ApiVersions (key 18): which requests the broker serves, in which versions.
//!
//! v1 adds the throttle time (after the array), v3 is flexible and names the client's software (KIP-511), v4 allows
//! features with a minimum of 0, v5 lets the client say which broker it means to reach (KIP-1242).

use crate::message;

message! {
    /// Asks what the broker serves. The first request of most clients.
    pub struct ApiVersionsRequest {
        /// The client library's name.
        [3.., ignorable] client_software_name: String;
        /// The client library's version.
        [3.., ignorable] client_software_version: String;
    }

    /// What the broker serves.
    pub struct ApiVersionsResponse {
        /// The error, or 0.
        [0..] error_code: i16;
        /// Every request that is served.
        [0..] api_keys: Vec<ApiVersion>;
        /// How long the client was held back, in milliseconds.
        [1.., ignorable] throttle_time_ms: i32;
        /// Features the broker supports.
        [3.., ignorable] [tag 0] supported_features: Vec<SupportedFeatureKey>;
    }

    /// One request that is served.
    pub struct ApiVersion {
        /// Its key.
        [0..] api_key: i16;
        /// Its lowest version.
        [0..] min_version: i16;
        /// Its highest version.
        [0..] max_version: i16;
    }

    /// One feature.
    pub struct SupportedFeatureKey {
        /// Its name.
        [3..] name: String;
        /// The lowest level supported.
        [3..] min_version: i16;
        /// The highest level supported.
        [3..] max_version: i16;
    }
}
