//! ApiVersions (key 18): which requests the broker serves, in which versions.
//!
//! v1 adds the throttle time (after the array), v3 is flexible and names the client's software (KIP-511), v4 allows
//! features with a minimum of 0, v5 lets the client say which broker it means to reach (KIP-1242). The answer's
//! header never has tagged fields, and a version that is not served is answered in the form of v0.

use crate::message;

message! {
    /// Asks what the broker serves. The first request of most clients.
    pub struct ApiVersionsRequest {
        /// The client library's name.
        [3.., ignorable] client_software_name: String;
        /// The client library's version.
        [3.., ignorable] client_software_version: String;
        /// The cluster that the client means to reach, if it knows.
        [5.., ignorable] [null 5..] cluster_id: Option<String>;
        /// The broker that the client means to reach, or -1.
        [5.., ignorable] node_id: i32 = -1;
    }

    /// What the broker serves.
    pub struct ApiVersionsResponse {
        /// The error, or 0.
        [0..] error_code: i16;
        /// Every request that is served.
        [0..] api_keys: Vec<ApiVersion>;
        /// How long the client is held back for its quota, in milliseconds.
        [1.., ignorable] throttle_time_ms: i32;
        /// Features the broker supports. Those with a minimum of 0 are left out before v4.
        [3.., ignorable] [tag 0] supported_features: Vec<SupportedFeatureKey>;
        /// Number of changes made to the finalized features, or -1 if unknown.
        [3.., ignorable] [tag 1] finalized_features_epoch: i64 = -1;
        /// Features at the levels the cluster has agreed on (KIP-584).
        [3.., ignorable] [tag 2] finalized_features: Vec<FinalizedFeatureKey>;
        /// Whether a ZooKeeper cluster could move here now. Never.
        [3.., ignorable] [tag 3] zk_migration_ready: bool;
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

    /// One feature that is supported.
    pub struct SupportedFeatureKey {
        /// Its name.
        [3..] name: String;
        /// The lowest level supported.
        [3..] min_version: i16;
        /// The highest level supported.
        [3..] max_version: i16;
    }

    /// One feature that is switched on.
    pub struct FinalizedFeatureKey {
        /// Its name.
        [3..] name: String;
        /// The highest level agreed on.
        [3..] max_version_level: i16;
        /// The lowest level agreed on.
        [3..] min_version_level: i16;
    }
}
