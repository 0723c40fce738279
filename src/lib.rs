//! Chronik: a Kafka broker for one machine.

pub mod base;
pub mod cli;
pub mod config;
pub mod storage;
pub mod wire;
