//! Sockets: one reactor that turns what peers send into whole frames and queued replies into bytes.
//!
//! It knows lengths, budgets and deadlines, and nothing of what a frame means. It reads no clock: every
//! call that needs the time is handed it. The server pulls; nothing calls back.
//!
//! # A turn
//!
//! ```text
//! poll ─► accept ─► for each next_runnable: fill, next_frame…, end_turn ─► expire ─► flush ─► drain_events
//! ```
//!
//! # The states of a connection
//!
//! ```text
//!            FIN read                close_when_flushed        all sent, our FIN too
//!   Open ─────────────► Ended ───────────────────► Flushing ───────────────────────► Lingering
//!    │ └───────────────────────────────────────────►│ │                                  │
//!    │        close_when_flushed                    │ │ peer's FIN was read before       │ FIN, or 2 s
//!    ▼                                              ▼ ▼                                  ▼
//!    └──────────────► one closing path: out of the table, NetEvent::Closed ◄─────────────┘
//! ```
//!
//! A reset, a deadline, a malformed length or [`Reactor::close`] leads from every state to the closing path.
//!
//! # When a connection runs
//!
//! A connection is **runnable** iff the peer reset it, or it is readable and wants to read, or a frame is
//! buffered and every [`Gate`] is open; its outbox is **due** iff it is writable and has bytes that do not
//! wait for the disk. `Connection::is_runnable` and `Connection::is_due` say so once, and
//! [`Reactor::check_invariants`] compares them with the queues: a runnable connection outside the run queue
//! is a lost wake-up. A readiness bit is set by the kernel's event and cleared only by `WouldBlock` or by a
//! short read or write.
//!
//! | gate    | closed when                              | reopened by                          |
//! |---------|------------------------------------------|--------------------------------------|
//! | Memory  | a frame pool refused                     | [`Reactor::memory_returned`]         |
//! | Order   | the server waits with the next frame     | the server, [`Reactor::resume`]      |
//! | Throttle| the server slows the peer down           | the server, [`Reactor::resume`]      |
//! | Outbox  | more than `outbox_bytes_max` bytes queue | [`Reactor::flush`], at half of that  |

mod acceptor;
mod admission;
mod batch;
mod body;
mod closing;
mod connection;
mod event;
mod frame;
mod inbox;
mod invariants;
mod options;
mod outbox;
mod reactor;
mod reading;
mod reason;
mod socket;
mod table;
mod writing;

pub use connection::Gate;
pub use event::NetEvent;
pub use options::{Options, Protocol, Stats};
pub use reactor::{Reactor, Watch};
pub use reason::CloseReason;
