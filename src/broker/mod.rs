//! The broker: a state machine without I/O.
//!
//! Events go in, effects come out. It never sees a socket, a file, a clock, a thread or a source of randomness:
//! they are handed in (the moment, a seed) or sent out ([`event::Effect`]).

pub mod context;
pub mod event;
pub mod journal;
pub mod options;
pub mod partition;
pub mod random;
pub mod topic_table;
pub mod waiters;
