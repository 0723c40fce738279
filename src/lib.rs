//! Chronik: a Kafka broker for one machine.
//!
//! One thread, the loop, owns every socket and all state; blocking threads own the files. What happens travels as a
//! value: frames become requests, requests become jobs, jobs come back as outcomes, outcomes become replies.
//!
//! ```text
//!              frames              requests             jobs
//!  sockets ───────────► [`net`] ───────────► [`broker`] ───────────► [`storage`] ───► append-only files
//!          ◄───────────         ◄───────────            ◄───────────
//!              replies             effects             outcomes
//!  └────────────── one thread: the loop, [`server`] ──────────────┘└───── blocking threads ─────┘
//! ```
//!
//! The way of one produce, by file names: `net::reading` → `server::turn` → `server::sequencer` → `wire::api` →
//! `broker::dispatch` → `broker::produce` → `server::effects` → `storage::hub` → `storage::writer`, `partition`, `syncer` →
//! `storage::outcomes` → `broker::produce` → `server::effects` → `server::sequencer` → `net::writing`. A fetch goes the
//! same way to `broker::fetch`, whose `pending` waits and whose `tails` answer what was just written; the rest comes from
//! `storage::reader`. What both give are ranges of files, which `net::outbox` sends.
//!
//! # Layers
//!
//! Modules import downwards only, and `tests/tidy.rs` checks it:
//!
//! | layer        | what it knows                                                       | may import                |
//! |--------------|---------------------------------------------------------------------|---------------------------|
//! | [`base`]     | ids, time, payloads, memory, configuration keys, metrics            | nothing                   |
//! | [`http`]     | HTTP heads, without sockets                                         | `base`                    |
//! | [`net`]      | sockets: frames in, payloads out; no Kafka words                    | `base`                    |
//! | [`record`]   | Kafka's record formats and their compression                        | `base`                    |
//! | [`wire`]     | Kafka's messages, in every version                                  | `base`                    |
//! | [`storage`]  | Kafka's files: append, sync, read, recover                          | `base`, `record`          |
//! | [`broker`]   | what requests mean: a state machine without I/O                     | those, `storage::job` only|
//! | [`start`]    | the journal's replay and the opening of partitions                  | `base`, `record`, `storage`, `broker` |
//! | `testing`    | what stands in for the world in tests; not in the broker            | all but `net`, `server`   |
//! | [`config`], [`cli`], [`log_setup`] | what the operator says                        | `base`, `wire`            |
//! | [`decode`], [`dump_log`] | frames and files as text                                | all but `server`          |
//! | [`check`]    | whether a data directory is whole                                   | those, `dump_log`         |
//! | [`transfer`] | whole data directories, from Kafka and to it                       | all but `server`, `net`   |
//! | [`tools`]    | the commands beside the broker; these four rows are the feature `tools` | those and `cli`       |
//! | [`server`]   | the loop: the only one that knows everybody                         | all                       |

pub mod base;
pub mod http;
pub mod net;
pub mod record;
pub mod wire;
pub mod storage;
pub mod broker;
pub mod start;
#[cfg(feature = "testing")]
pub mod testing;
pub mod config;
pub mod log_setup;
#[cfg(feature = "tools")]
pub mod decode;
#[cfg(feature = "tools")]
pub mod dump_log;
#[cfg(feature = "tools")]
pub mod check;
#[cfg(feature = "tools")]
pub mod transfer;
pub mod cli;
#[cfg(feature = "tools")]
pub mod tools;
pub mod server;
