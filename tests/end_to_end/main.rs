//! The program itself, from outside: a process, raw sockets, a data directory, signals.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is a failed test"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the process under test has its own clock and files, and so has who watches it"
)]

mod check;
mod client;
mod damage;
mod endings;
mod hostile;
mod http;
mod idle;
mod order;
mod process;
mod records;
mod starts;
