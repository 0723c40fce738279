//! Chronik: a Kafka broker for one machine.

pub mod base;
pub mod broker;
pub mod cli;
pub mod config;
pub mod decode;
pub mod dump_log;
pub mod http;
pub mod log_setup;
pub mod net;
pub mod record;
pub mod server;
pub mod storage;
pub mod wire;
