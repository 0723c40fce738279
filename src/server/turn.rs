//! One turn of the loop.
//!
//! Sleep; take what the sockets and the workers have; give every runnable connection a bounded budget; then what is
//! due; then hand out jobs and flush. Sockets come before deadlines: after a stall the heartbeats are already in the
//! kernel, and nobody is expelled for the broker's own slowness.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::sequencer::Step;
use super::{Fatal, Server};
use crate::base::ids::ConnId;
use crate::base::metrics::Refusal;
use crate::base::payload::Bytes;
use crate::base::time::Now;
use crate::broker::event::Event;
use crate::net::{CloseReason, Gate, NetEvent, Options as NetOptions, Protocol};
use crate::storage::job::{AppendError, Outcome, StorageError};
use crate::wire::api::Request;

/// A turn that begins later than this after its time was held up by something outside.
const LATENESS: Duration = Duration::from_secs(1);

/// Bytes of requests, without their records, after which what was answered leaves before more is asked.
const QUESTIONS_BYTES: usize = 256 << 10;
/// What naming a partition takes in a request, in bytes.
const PARTITION_BYTES: usize = 8;

impl Server {
    /// Sleeps until there is something to do, and does it.
    pub(super) fn turn(&mut self) -> Result<(), Fatal> {
        let before = self.clock.now();
        let timeout = self.sleep(before);
        self.net.poll(timeout).map_err(|error| Fatal(format!("poll: {error}")))?;
        let now = self.clock.now();
        self.note_lateness(before, timeout, now);
        self.watched(now);
        if self.net.woken() {
            self.take_outcomes(now);
        }
        self.share_descriptors();
        self.net.accept(now.mono);
        self.net_events(now);
        while let Some(conn) = self.net.next_runnable() {
            self.serve(conn, now);
            if self.questions_bytes > QUESTIONS_BYTES {
                // Answers may be many times as large as their questions: they do not pile up until the turn's end.
                self.questions_bytes = 0;
                self.carry_out(now)?;
                self.net.flush(now.mono);
            }
        }
        self.questions_bytes = 0;
        self.net.expire(now.mono);
        self.broker.tick(now, &mut self.effects);
        self.carry_out(now)?;
        self.net.flush(now.mono);
        self.net_events(now);
        self.carry_out(now)?;
        self.warm();
        self.advance_shutdown(now);
        Ok(())
    }

    /// Has read from the disk what connections wait for.
    fn warm(&mut self) {
        let is_there = |conn| self.sequencer.peer(conn).is_some();
        self.storage.submit_all(std::iter::from_fn(|| self.warming.next(is_there)));
    }

    /// Connections and unsynced files may each take what the other leaves.
    fn share_descriptors(&mut self) {
        self.net.set_places(self.descriptors.connections_beside(self.storage.files_unsynced()));
        let connections = self.net.stats().open;
        self.storage.set_unsynced_max(self.descriptors.unsynced_beside(connections));
    }

    /// Has storage close what it can, for those who want to connect.
    fn free_descriptors(&mut self) {
        if self.storage.free_descriptors() {
            self.net.descriptors_returned();
        }
    }

    /// Zero if somebody can run; else until the nearest deadline; else for ever.
    fn sleep(&self, now: Now) -> Option<Duration> {
        let broker = self.broker.next_deadline().map(|at| at.since(now.mono));
        let shutdown = self.shutdown.next_deadline().map(|at| at.since(now.mono));
        let sleep = [self.net.poll_timeout(now.mono), broker, shutdown].into_iter().flatten().min();
        // Rounded up, so that the loop does not wake just before a deadline and spin until it.
        sleep.map(|length| match length {
            Duration::ZERO => length,
            _ => Duration::from_millis(
                u64::try_from(length.as_micros().div_ceil(1000)).unwrap_or(u64::MAX),
            ),
        })
    }

    /// After a stall the sessions are longer by it: nobody could be heard of. When it began within the sleep is not known,
    /// so all of that counts.
    fn note_lateness(&mut self, before: Now, timeout: Option<Duration>, now: Now) {
        let Some(timeout) = timeout else { return };
        let slept = now.mono.since(before.mono);
        let late = slept.saturating_sub(timeout);
        if late > LATENESS {
            log::warn!("the loop was held up for {} ms", late.as_millis());
            self.broker.held_up(slept);
        }
    }

    fn watched(&mut self, now: Now) {
        if self.net.fired(self.signals.1) && self.signals.0.arrived() {
            self.begin_shutdown(now);
        }
        if self.net.fired(self.clock_watch.1) && self.clock_watch.0.was_set() {
            log::warn!("the wall clock was set; it is now {} ms after 1970", now.wall);
            self.broker.clock_was_set(now);
        }
    }

    fn take_outcomes(&mut self, now: Now) {
        let mut outcomes = std::mem::take(&mut self.outcomes);
        self.storage.take_outcomes(&mut outcomes);
        for outcome in outcomes.drain(..) {
            if let Some(error) = failure_of(&outcome) {
                self.warn_of_peer(format_args!("{error}"));
            }
            match outcome {
                Outcome::Warmed { conn, result } => {
                    self.warming.ended();
                    self.net.warmed(conn, result);
                }
                Outcome::Removed { .. } => {
                    self.net.descriptors_returned();
                    self.broker.handle(Event::Outcome(outcome), now, &mut self.effects);
                }
                outcome => self.broker.handle(Event::Outcome(outcome), now, &mut self.effects),
            }
        }
        self.outcomes = outcomes;
    }

    fn net_events(&mut self, now: Now) {
        for event in self.net.drain_events() {
            match event {
                NetEvent::Opened { conn, peer, local, protocol: Protocol::Frames } => {
                    log::debug!(target: "chronik::net", "connection {conn} from {peer}");
                    self.metrics.connections.accepted.increment();
                    self.sequencer.opened(conn, peer, self.advertised(local));
                }
                NetEvent::Opened { conn, protocol: Protocol::Http, .. } => self.routes.opened(conn),
                NetEvent::Refused { peer, reason } => {
                    self.metrics.connections.refuse(refusal_of(&reason));
                    self.warn_of_peer(format_args!("refused a connection from {peer}: {reason}"));
                }
                NetEvent::InputEnded { conn } => {
                    self.sequencer.ending(conn);
                    self.broker.handle(Event::InputEnded(conn), now, &mut self.effects);
                }
                NetEvent::InputDrained { conn } => {
                    self.sequencer.ended(conn);
                    self.routes.ended(conn, &mut self.net);
                    self.send_what_is_ready(conn, now);
                }
                NetEvent::Cold { conn, range } => self.warming.want(conn, range),
                NetEvent::OutboxDrained { conn } => self.continue_http(conn, now),
                NetEvent::Closed { conn, reason } => self.closed(conn, &reason, now),
                NetEvent::AcceptPaused { error } => {
                    self.warn_of_peer(format_args!("accepting pauses: {error}"));
                    self.free_descriptors();
                }
                NetEvent::PlacesWanted => {
                    self.warn_of_peer(format_args!(
                        "clients wait for descriptors of unsynced files"
                    ));
                    self.free_descriptors();
                }
            }
        }
    }

    fn closed(&mut self, conn: ConnId, reason: &CloseReason, now: Now) {
        let peer = self.sequencer.peer(conn);
        if self.sequencer.closed(conn) {
            self.broker.handle(Event::Disconnected(conn), now, &mut self.effects);
        }
        self.routes.closed(conn);
        if reason.is_no_frame() {
            self.metrics.connections.protocol_errors.increment();
        }
        // What the server decided was said when it did.
        let is_known = matches!(reason, CloseReason::Reset | CloseReason::Server(_));
        match peer {
            Some(peer) if !reason.is_orderly() && !is_known => {
                self.warn_of_peer(format_args!("closed connection {conn} from {peer}: {reason}"));
            }
            _ => log::debug!(target: "chronik::net", "connection {conn} closed: {reason}"),
        }
    }

    /// Where a client that reached this address is told to connect to.
    fn advertised(&self, local: std::net::SocketAddr) -> (Arc<str>, u16) {
        let of_port = |l: &&super::BoundListener| l.address.port() == local.port();
        let exact = self.listeners.iter().find(|listener| listener.address == local);
        let listener = exact.or_else(|| self.listeners.iter().find(of_port));
        let advertised = listener.map(|listener| listener.advertised.clone()).unwrap_or_default();
        let host = advertised.host.unwrap_or_else(|| local.ip().to_canonical().to_string());
        (Arc::from(host), advertised.port.unwrap_or(local.port()))
    }

    /// Gives one connection its turn: a bounded number of frames and bytes.
    fn serve(&mut self, conn: ConnId, now: Now) {
        if self.routes.is_http(conn) {
            let serve = || {
                self.net.fill(conn, now.mono);
                self.serve_http(conn, now);
            };
            if catch_unwind(AssertUnwindSafe(serve)).is_err() {
                self.panicked(conn);
            }
            return self.net.end_turn(conn, now.mono);
        }
        let filled = catch_unwind(AssertUnwindSafe(|| self.net.fill(conn, now.mono)));
        if filled.is_err() {
            self.panicked(conn);
        }
        for _ in 0..NetOptions::FRAMES_PER_TURN {
            match self.net.next_frame(conn, now.mono) {
                Some(frame) => self.frame(conn, frame, now),
                None => break,
            }
            if self.questions_bytes > QUESTIONS_BYTES {
                break;
            }
        }
        self.net.end_turn(conn, now.mono);
    }

    /// One frame of a connection. A panic in it is that connection's, nobody else's.
    pub(super) fn frame(&mut self, conn: ConnId, frame: Bytes, now: Now) {
        log::trace!(target: "chronik::wire", "connection {conn}: {} bytes in", frame.len());
        let bytes = frame.len();
        let sequencer = &mut self.sequencer;
        let step = catch_unwind(AssertUnwindSafe(|| sequencer.frame(conn, frame, now.mono)));
        match step {
            Ok(Step::Ask(event)) => {
                self.questions_bytes += question_bytes(&event, bytes);
                self.broker.handle(event, now, &mut self.effects);
                if self.sequencer.is_ending(conn) {
                    self.broker.handle(Event::InputEnded(conn), now, &mut self.effects);
                }
            }
            Ok(Step::Hold) => self.net.pause(conn, Gate::Order),
            Ok(Step::Answered) => self.send_what_is_ready(conn, now),
            Ok(Step::Refuse(reason)) => self.refuse(conn, reason),
            Err(_) => self.panicked(conn),
        }
    }

    pub(super) fn panicked(&mut self, conn: ConnId) {
        self.metrics.panics_caught.increment();
        log::error!(
            "a request of connection {conn} made the broker panic; the connection is closed"
        );
        self.net.close(conn, CloseReason::Server("a panic while it was served".into()));
    }

    /// A line that a peer can cause: at most a few per second, with a count of the others.
    pub(super) fn warn_of_peer(&mut self, line: std::fmt::Arguments<'_>) {
        let now = self.clock.now().mono;
        if let Some(suppressed) = self.peer_lines.admit(now, self.metrics.log_lines_dropped) {
            log::warn!("{line}{suppressed}");
        }
    }
}

/// How much of a request of so many bytes is answered in kind: all but the records.
fn question_bytes(event: &Event, bytes: usize) -> usize {
    match event {
        Event::Request { request: Request::Produce(body), .. } => {
            let partitions = body.topic_data.iter().map(|topic| topic.partition_data.len());
            partitions.sum::<usize>() * PARTITION_BYTES
        }
        _ => bytes,
    }
}

/// What the disk refused, and why: clients only see that it did.
pub(super) fn failure_of(outcome: &Outcome) -> Option<&StorageError> {
    match outcome {
        Outcome::Opened { result: Err(error), .. }
        | Outcome::Removed { result: Err(error), .. }
        | Outcome::Trimmed { result: Err(error), .. }
        | Outcome::Appended { result: Err(AppendError::Storage(error)), .. } => Some(error),
        _ => None,
    }
}

fn refusal_of(reason: &CloseReason) -> Refusal {
    match reason {
        CloseReason::TooManyConnections(_) => Refusal::Total,
        CloseReason::TooManyFromAddress(_) => Refusal::PerAddress,
        _ => Refusal::Descriptors,
    }
}
