//! The server: the only one that knows everybody. It owns the loop.
//!
//! ```text
//! boot        opens storage, replays the journal, opens the listeners
//! descriptors how many there are, and who gets them
//! turn        one turn of the loop: sockets, outcomes, deadlines, effects
//! sequencer   the order of requests and replies of each connection
//! effects     what the broker wants done, carried to sockets and storage
//! routes      health, readiness and metrics over HTTP
//! warming     what is read from the disk before it is sent
//! shutdown    the orderly end
//! ```

mod boot;
mod clock;
mod descriptors;
mod effects;
mod routes;
mod sequencer;
mod shutdown;
mod signals;
mod turn;
mod warming;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::base::metrics::Metrics;
use crate::base::rate_limit::RateLimit;
use crate::broker::Broker;
use crate::broker::event::Effect;
use crate::config::{Advertised, Config};
use crate::net::{Reactor, Watch};
use crate::storage::job::{Job, Outcome};
use crate::storage::pool::Storage;
use clock::{Clock, ClockWatch};
use descriptors::Descriptors;
use routes::Routes;
use sequencer::{About, Sequencer};
use shutdown::Shutdown;
use signals::Signals;
use warming::Warming;

/// Why the broker ended, or could not start, in one line.
#[derive(Debug)]
pub struct Fatal(String);

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fatal {}

/// Everything that the loop owns.
struct Server {
    clock: Clock,
    clock_watch: (ClockWatch, Watch),
    signals: (Signals, Watch),
    net: Reactor,
    storage: Storage,
    broker: Broker,
    sequencer: Sequencer,
    routes: Routes,
    warming: Warming,
    listeners: Vec<BoundListener>,
    metrics: Arc<Metrics>,
    /// Log lines that a peer can cause.
    peer_lines: RateLimit,
    shutdown: Shutdown,
    descriptors: Descriptors,
    /// Bytes of requests, without their records, whose answers have not left yet.
    questions_bytes: usize,
    /// Reused from turn to turn.
    effects: Vec<Effect>,
    jobs: Vec<Job>,
    outcomes: Vec<Outcome>,
    answered: Vec<(About, usize)>,
}

/// A listener that has its port.
struct BoundListener {
    address: SocketAddr,
    advertised: Advertised,
}

/// Runs the broker until a signal ends it.
///
/// # Errors
/// Why it cannot start, or cannot go on.
pub fn run(config: &Config) -> Result<(), Fatal> {
    let mut server = boot::boot(config)?;
    while !server.shutdown.is_finished() {
        server.turn()?;
    }
    let stopped_at = server.broker.stop_time(server.clock.now());
    server.storage.shutdown(stopped_at).map_err(|error| Fatal(format!("clean stop: {error}")))?;
    log::info!("shutdown complete");
    Ok(())
}
