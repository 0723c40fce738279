//! The messages, one file per family, and what other protocols and logs carry inside them.

pub mod api_versions;
pub mod commits;
pub mod configs;
pub mod consumer_protocol;
pub mod delete_records;
pub mod fetch;
pub mod find_coordinator;
pub mod group_admin;
pub mod groups;
pub mod init_producer_id;
pub mod internal;
pub mod leader_epoch;
pub mod list_offsets;
pub mod log_dirs;
pub mod metadata;
pub mod produce;
pub mod topics;

pub use api_versions::*;
pub use commits::*;
pub use configs::*;
pub use consumer_protocol::*;
pub use delete_records::*;
pub use fetch::*;
pub use find_coordinator::*;
pub use group_admin::*;
pub use groups::*;
pub use init_producer_id::*;
pub use leader_epoch::*;
pub use list_offsets::*;
pub use log_dirs::*;
pub use metadata::*;
pub use produce::*;
pub use topics::*;
