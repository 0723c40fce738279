//! What the broker wants done, carried to sockets and storage.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::sequencer::{About, Outgoing};
use super::{Fatal, Server};
use crate::base::ids::ConnId;
use crate::base::time::Now;
use crate::broker::event::{Effect, RequestId};
use crate::net::{CloseReason, Gate};
use crate::wire::api::Response;

/// Jobs for which there stays room.
const JOBS_KEPT: usize = 1024;

impl Server {
    /// Carries out the effects so far, and those that follow from them.
    pub(super) fn carry_out(&mut self, now: Now) -> Result<(), Fatal> {
        loop {
            // Also what was recorded without any effect yet is on its way before the loop sleeps.
            self.broker.end_turn(now, &mut self.effects);
            if self.effects.is_empty() {
                return Ok(());
            }
            let mut effects = std::mem::take(&mut self.effects);
            for effect in effects.drain(..) {
                match effect {
                    Effect::Job(job) => self.jobs.push(job),
                    Effect::Reply { to, response } => self.reply(to, response, now),
                    Effect::Silence { to, failed } => {
                        self.sequencer.silence(to, failed);
                        self.send_what_is_ready(to.conn, now);
                    }
                    Effect::Fatal { reason } => return Err(Fatal(reason)),
                }
            }
            self.storage.submit_all(self.jobs.drain(..));
            self.jobs.shrink_to(JOBS_KEPT);
            if self.effects.is_empty() {
                self.effects = effects; // keeps the allocation
            }
        }
    }

    fn reply(&mut self, to: RequestId, response: Response, now: Now) {
        let sequencer = &mut self.sequencer;
        response.each_error(&mut |code| self.metrics.error(code));
        match catch_unwind(AssertUnwindSafe(|| sequencer.answer(to, response))) {
            Ok(Ok(())) => self.send_what_is_ready(to.conn, now),
            Ok(Err(error)) => {
                log::error!("an answer of our own has no form: {error}; its connection is closed");
                let reason = CloseReason::Server("an answer that cannot be written".into());
                self.net.close(to.conn, reason);
            }
            Err(_) => self.panicked(to.conn),
        }
    }

    /// Sends the answers whose turn it is, and starts the request that waited for them.
    pub(super) fn send_what_is_ready(&mut self, conn: ConnId, now: Now) {
        let mut answered = std::mem::take(&mut self.answered);
        let outgoing = self.sequencer.take(conn, &mut answered);
        let Outgoing { frames, started, failed, refused, finished } = outgoing;
        for (about, bytes) in answered.drain(..) {
            self.observe(conn, &about, bytes);
        }
        self.answered = answered;
        if !frames.is_empty() {
            self.net.send(conn, frames);
        }
        if failed {
            self.end(conn, "a produce with acks=0 failed".to_owned());
        } else if let Some(reason) = refused {
            self.refuse(conn, reason);
        } else if let Some(frame) = started.filter(|_| self.shutdown.is_running()) {
            self.net.resume(conn, Gate::Order);
            self.frame(conn, frame, now);
        } else if finished {
            self.net.close_when_flushed(conn, CloseReason::EndOfInput);
        }
    }

    /// A frame is nothing that can be answered.
    pub(super) fn refuse(&mut self, conn: ConnId, reason: String) {
        self.metrics.connections.protocol_errors.increment();
        self.end(conn, reason);
    }

    /// Closes a connection behind its last reply, and says why now: the peer may take its time to go.
    fn end(&mut self, conn: ConnId, reason: String) {
        if let Some(peer) = self.sequencer.peer(conn) {
            self.warn_of_peer(format_args!("closing connection {conn} from {peer}: {reason}"));
        }
        self.net.close_when_flushed(conn, CloseReason::Server(reason));
    }

    /// One request is answered: metrics, and one line at debug level.
    fn observe(&mut self, conn: ConnId, about: &About, bytes: usize) {
        // Not the turn's own time: what is answered within a turn takes time, too.
        let took = self.clock.now().mono.since(about.arrived);
        self.metrics.request(about.api.key(), about.version, took);
        log::debug!(
            target: "chronik::request",
            "{} v{} correlation={} client={} connection={conn} bytes={} answer={bytes} took={}us",
            about.api,
            about.version,
            about.correlation_id,
            about.client_id.as_deref().unwrap_or("-"),
            about.bytes,
            took.as_micros(),
        );
    }
}
