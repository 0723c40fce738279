//! Chronik: a Kafka broker for one machine.

pub mod base;
pub mod http;
pub mod net;
pub mod record;
pub mod wire;
pub mod decode;
pub mod storage;
pub mod broker;
pub mod config;
pub mod dump_log;
pub mod log_setup;
pub mod cli;
pub mod server;
