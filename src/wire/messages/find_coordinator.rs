//! FindCoordinator (key 10): the broker that coordinates a group or a transactional id.
//!
//! v1 adds transactional ids, v3 is flexible, v4 asks for several keys (KIP-699), v6 knows share groups (KIP-932). The
//! single key of v0 to v3 is moved into the list and back, so the broker knows the list alone.

use crate::message;

message! {
    /// Asks which broker coordinates groups or transactional ids.
    pub struct FindCoordinatorRequest {
        /// The group's name or transactional id, before v4.
        [0..=3] key: String;
        /// What the keys are: 0 groups, 1 transactional ids, 2 share groups.
        [1..] key_type: i8;
        /// The groups' names or transactional ids (KIP-699).
        [4..] coordinator_keys: Vec<String>;
    }

    /// Who coordinates them.
    pub struct FindCoordinatorResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [1.., ignorable] throttle_time_ms: i32;
        /// The error or 0, before v4.
        [0..=3] error_code: i16;
        /// What went wrong, before v4.
        [1..=3, ignorable] [null 1..=3] error_message: Option<String> = Some(String::new());
        /// The coordinator's number, before v4.
        [0..=3] node_id: i32;
        /// The coordinator's host name, before v4.
        [0..=3] host: String;
        /// The coordinator's port, before v4.
        [0..=3] port: i32;
        /// By key.
        [4..] coordinators: Vec<FindCoordinatorResponseCoordinator>;
    }

    /// The coordinator of one key.
    pub struct FindCoordinatorResponseCoordinator {
        /// The group's name or transactional id.
        [4..] key: String;
        /// The coordinator's number, or -1.
        [4..] node_id: i32;
        /// The coordinator's host name.
        [4..] host: String;
        /// The coordinator's port, or -1.
        [4..] port: i32;
        /// The error, or 0.
        [4..] error_code: i16;
        /// What went wrong, for people; may be null.
        [4.., ignorable] [null 4..] error_message: Option<String> = Some(String::new());
    }
}
