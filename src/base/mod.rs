//! Leaves: small types that every layer shares and that know nothing of Kafka's protocol.

pub mod by_conn;
pub mod config_table;
pub mod deadlines;
pub mod epochs;
pub mod ids;
pub mod memory;
pub mod metrics;
pub mod payload;
pub mod planted;
pub mod rate_limit;
pub mod rooms;
pub mod spares;
pub mod time;
