//! Chronik: a Kafka broker for one machine.

pub mod base;
pub mod record;
pub mod storage;
pub mod wire;
