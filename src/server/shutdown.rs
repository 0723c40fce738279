//! The orderly end: stop accepting, answer what is in flight, flush, and only then close the files.

use std::time::Duration;

use super::Server;
use crate::base::time::{Mono, Now};
use crate::broker::event::Event;
use crate::net::{CloseReason, Gate};

/// How long answers may take to leave. The rest of the two seconds is for the files.
const GRACE: Duration = Duration::from_millis(1_200);

/// How far the end has come.
#[derive(Debug, Default)]
pub(super) enum Shutdown {
    /// Nobody asked for it.
    #[default]
    Running,
    /// No new requests; those on their way are answered until this time.
    Draining {
        /// The time.
        until: Mono,
    },
    /// All is said.
    Finished,
}

impl Shutdown {
    pub(super) fn is_finished(&self) -> bool {
        matches!(self, Shutdown::Finished)
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self, Shutdown::Running)
    }

    pub(super) fn next_deadline(&self) -> Option<Mono> {
        match self {
            Shutdown::Draining { until } => Some(*until),
            Shutdown::Running | Shutdown::Finished => None,
        }
    }
}

impl Server {
    /// A signal asked for the end.
    pub(super) fn begin_shutdown(&mut self, now: Now) {
        if !self.shutdown.is_running() {
            return;
        }
        log::info!("shutting down: no new connections, answering what is in flight");
        self.shutdown = Shutdown::Draining { until: now.mono + GRACE };
        self.net.stop_accepting();
        let connections: Vec<_> = self.sequencer.connections().collect();
        for conn in connections {
            self.net.pause(conn, Gate::Order);
            self.broker.handle(Event::InputEnded(conn), now, &mut self.effects);
        }
    }

    /// Ends the loop when every answer has left, or when the time is up.
    pub(super) fn advance_shutdown(&mut self, now: Now) {
        let Shutdown::Draining { until } = self.shutdown else { return };
        let mut connections = self.sequencer.connections();
        let is_flushed = connections.all(|conn| self.net.unsent(conn) == 0);
        drop(connections);
        if (self.sequencer.is_answered() && is_flushed) || now.mono >= until {
            let connections: Vec<_> = self.net.connections().collect();
            for conn in connections {
                self.net.close(conn, CloseReason::Shutdown);
            }
            self.shutdown = Shutdown::Finished;
        }
    }
}
