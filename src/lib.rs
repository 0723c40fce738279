//! Chronik: a Kafka broker for one machine.

pub mod base;
pub mod http;
pub mod net;
pub mod record;
pub mod wire;
pub mod storage;
pub mod broker;
