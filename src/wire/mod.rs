//! Kafka's wire protocol: bytes to messages and back, and the table of what is served.
//!
//! Nothing here knows what a message means. A message is declared with [`message!`](crate::message), one line
//! per field; [`api`] lists every request that is served, with its versions.

pub mod api;
pub mod client;
pub mod error;
pub mod error_code;
mod error_scan;
pub mod messages;
pub mod normalize;
pub mod outline;
pub mod reader;
pub mod records;
#[macro_use]
pub mod message;
pub mod writer;
