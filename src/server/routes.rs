//! Health, readiness and metrics over HTTP.
//!
//! | path                          | answer                                                        |
//! |-------------------------------|---------------------------------------------------------------|
//! | `/livez`                      | 200: the loop turns                                           |
//! | `/healthz`, `/health`         | 200, or 503 with what is wrong                                |
//! | `/readyz`, `/ready`           | 200, or 503 while nobody can be served: the disk is full or read-only, or the broker shuts down |
//! | `/metrics`, `/public_metrics` | Prometheus text, in pieces                                    |
//! | `/version`                    | the version                                                   |
//!
//! With `?format=json` the health paths answer JSON. A partition that is offline is wrong, but no reason not to serve the
//! others: `/readyz` names it and answers 200.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Server;
use crate::base::ids::ConnId;
use crate::base::metrics::{CommitFacts, GroupFacts, PartitionFacts, Process, Rendering, Snapshot};
use crate::base::payload::{Bytes, Payload};
use crate::base::time::Now;
use crate::broker::partition::PartitionState;
use crate::http::{Parse, Pieces, Request, Response, Status, parse};
use crate::net::{CloseReason, Reactor};
use crate::storage::job::{Disk, DiskState, Job};

/// Most series of partitions, groups and commits in one scrape.
const SERIES_MAX: usize = 20_000;

/// Most scrapes at a time: each holds its figures until its client has read them.
const SCRAPES_MAX: usize = 8;

/// The connections that speak HTTP.
#[derive(Debug, Default)]
pub(super) struct Routes {
    connections: BTreeMap<ConnId, Option<Scrape>>,
}

/// Metrics on their way out.
#[derive(Debug)]
struct Scrape {
    rendering: Rendering,
    pieces: Pieces,
}

impl Routes {
    pub(super) fn opened(&mut self, conn: ConnId) {
        self.connections.insert(conn, None);
    }

    pub(super) fn closed(&mut self, conn: ConnId) {
        self.connections.remove(&conn);
    }

    pub(super) fn is_http(&self, conn: ConnId) -> bool {
        self.connections.contains_key(&conn)
    }

    fn scrapes(&self) -> usize {
        self.connections.values().filter(|scrape| scrape.is_some()).count()
    }

    /// The client will send nothing more.
    pub(super) fn ended(&mut self, conn: ConnId, net: &mut Reactor) {
        if self.connections.get(&conn).is_some_and(Option::is_none) {
            net.close_when_flushed(conn, CloseReason::EndOfInput);
        }
    }
}

/// One part of the broker and what is wrong with it, if anything is.
struct Component {
    name: &'static str,
    problem: Option<String>,
    concerns: Concerns,
}

/// Whom a problem concerns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Concerns {
    /// Some clients: the others are served. Somebody has to look after it.
    Some,
    /// All.
    All,
    /// All, but nothing is wrong.
    AllInOrder,
}

impl Server {
    /// Answers what a connection has asked, one request after the other.
    pub(super) fn serve_http(&mut self, conn: ConnId, now: Now) {
        while self.routes.connections.get(&conn).is_some_and(Option::is_none) {
            let input = self.net.input(conn).to_vec();
            if input.is_empty() {
                return;
            }
            match parse(&input) {
                Parse::Incomplete => return,
                Parse::Bad(status) => {
                    send(&mut self.net, conn, Response::error(status));
                    let reason = CloseReason::Server("not an HTTP request that is served".into());
                    return self.net.close_when_flushed(conn, reason);
                }
                Parse::Request(request) => {
                    self.net.consume(conn, request.head_len);
                    self.answer_http(conn, &request, now);
                }
            }
        }
    }

    fn answer_http(&mut self, conn: ConnId, request: &Request<'_>, now: Now) {
        let bytes = match request.path {
            "/livez" => health(request, &[], Asked::Readiness),
            "/healthz" | "/health" => health(request, &self.components(), Asked::Health),
            "/readyz" | "/ready" => health(request, &self.components(), Asked::Readiness),
            "/version" => {
                text(request, Status::Ok, concat!("chronik ", env!("CARGO_PKG_VERSION"), "\n"))
            }
            "/metrics" | "/public_metrics" if self.routes.scrapes() >= SCRAPES_MAX => {
                text(request, Status::ServiceUnavailable, "too many scrapes at a time\n")
            }
            "/metrics" | "/public_metrics" => return self.scrape(conn, request, now),
            _ => text(request, Status::NotFound, "no such page\n"),
        };
        send(&mut self.net, conn, bytes);
        if !request.keep_alive {
            self.net.close_when_flushed(conn, CloseReason::EndOfInput);
        }
    }

    fn offline_partitions(&self) -> usize {
        let partitions = self.broker.topics().iter().flat_map(|topic| &topic.partitions);
        partitions.filter(|p| matches!(p.state, PartitionState::Offline(_))).count()
    }

    fn components(&self) -> Vec<Component> {
        let offline = self.offline_partitions();
        let storage = (offline > 0).then(|| format!("{offline} partitions are offline"));
        let down = !self.shutdown.is_running();
        let down = down.then(|| "the broker is shutting down".to_owned());
        vec![
            Component { name: "storage", problem: storage, concerns: Concerns::Some },
            Component { name: "disk", problem: self.disk_problem(), concerns: Concerns::All },
            Component { name: "listeners", problem: down, concerns: Concerns::AllInOrder },
        ]
    }

    fn disk_problem(&self) -> Option<String> {
        let Disk { state, free, reserve, .. } = self.storage.disk();
        let what = match state {
            DiskState::Ready => return None,
            DiskState::Short => "nearly full, records are refused",
            DiskState::Spent => "full, records, commits and changes are refused",
            DiskState::ReadOnly => return Some("the file system is read-only".to_owned()),
        };
        Some(format!("{what}: {free} bytes are free, {reserve} are kept back"))
    }

    fn scrape(&mut self, conn: ConnId, request: &Request<'_>, now: Now) {
        // What it finds is in the next scrape.
        self.storage.submit(Job::LookForSpace);
        let snapshot = self.snapshot();
        self.copy_counters();
        let rendering = self.metrics.render(snapshot, Process::observe());
        let response = Response::new(request, Status::Ok)
            .header("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
        let (head, pieces) = response.pieces();
        send(&mut self.net, conn, head);
        if let Some(slot) = self.routes.connections.get_mut(&conn) {
            *slot = Some(Scrape { rendering, pieces });
        }
        self.continue_http(conn, now);
    }

    /// Sends pieces of the metrics as far as the outbox takes them.
    pub(super) fn continue_http(&mut self, conn: ConnId, now: Now) {
        let Some(slot) = self.routes.connections.get_mut(&conn) else { return };
        let Some(scrape) = slot else { return };
        while !self.net.is_outbox_full(conn) {
            match scrape.rendering.next().filter(|_| scrape.pieces.wants_body()) {
                Some(piece) => send(&mut self.net, conn, scrape.pieces.piece(piece.as_bytes())),
                None => {
                    send(&mut self.net, conn, scrape.pieces.end().to_vec());
                    let keep_alive = scrape.pieces.keep_alive;
                    *slot = None;
                    if keep_alive {
                        return self.serve_http(conn, now);
                    }
                    return self.net.close_when_flushed(conn, CloseReason::EndOfInput);
                }
            }
        }
    }

    /// What the sockets and files have counted by themselves.
    fn copy_counters(&self) {
        let stats = self.net.stats();
        let metrics = &self.metrics;
        let clients = self.sequencer.connections().count();
        metrics.connections.open.set(i64::try_from(clients).unwrap_or(i64::MAX));
        metrics.bytes_in.raise_to(stats.bytes_in);
        metrics.bytes_out.raise_to(stats.bytes_out);
        metrics.loop_turns.raise_to(stats.turns);
        let offline = self.offline_partitions();
        metrics.offline_partitions.set(i64::try_from(offline).unwrap_or(i64::MAX));
        let disk = self.storage.disk();
        metrics.offline_directories.set(i64::from(disk.state == DiskState::ReadOnly));
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        metrics.disk.free.set(bytes(disk.free));
        metrics.disk.reserve.set(bytes(disk.reserve));
        metrics.disk.ballast.set(bytes(disk.ballast));
        metrics.disk.state.set(match disk.state {
            DiskState::Ready => 0,
            DiskState::Short => 1,
            DiskState::Spent => 2,
            DiskState::ReadOnly => 3,
        });
    }

    fn snapshot(&self) -> Snapshot {
        let table = self.broker.topics();
        let groups = self.broker.groups();
        let mut snapshot = Snapshot::new(SERIES_MAX);
        snapshot.topics = table.len();
        snapshot.partitions = table.partition_count();
        snapshot.groups = groups.summaries().count();
        snapshot.members = groups.summaries().map(|group| group.members).sum();
        snapshot.add_partitions(table.iter().flat_map(|topic| {
            (0..).zip(&topic.partitions).map(|(index, partition)| PartitionFacts {
                topic: topic.name.clone(),
                partition: index,
                log_start: partition.log_start,
                log_end: partition.high_watermark,
                bytes: Some(partition.bytes),
            })
        }));
        snapshot.add_groups(
            groups
                .summaries()
                .map(|group| GroupFacts { group: group.name.into(), members: group.members }),
        );
        snapshot.add_commits(groups.commits().filter_map(|commit| {
            let partition = table.get(commit.topic)?.partition(commit.partition)?;
            Some(CommitFacts {
                group: commit.group.into(),
                topic: commit.topic.into(),
                partition: commit.partition,
                committed: commit.offset,
                log_end: partition.high_watermark,
            })
        }));
        snapshot
    }
}

fn send(net: &mut Reactor, conn: ConnId, bytes: Vec<u8>) {
    if !bytes.is_empty() {
        net.send(conn, vec![Payload::Bytes(Bytes::from_vec(bytes))]);
    }
}

fn text(request: &Request<'_>, status: Status, body: &str) -> Vec<u8> {
    let response = Response::new(request, status);
    response.header("Content-Type", "text/plain; charset=utf-8").body(body.as_bytes())
}

/// What a client wants to know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Whether all is well.
    Health,
    /// Whether clients can be served.
    Readiness,
}

fn health(request: &Request<'_>, components: &[Component], asked: Asked) -> Vec<u8> {
    let failing: Vec<&Component> = components.iter().filter(|c| c.problem.is_some()).collect();
    let tolerated = match asked {
        Asked::Health => Concerns::AllInOrder,
        Asked::Readiness => Concerns::Some,
    };
    let is_well = failing.iter().all(|component| component.concerns == tolerated);
    let status = if is_well { Status::Ok } else { Status::ServiceUnavailable };
    let wants_json =
        request.query.is_some_and(|query| query.split('&').any(|q| q == "format=json"));
    if wants_json {
        let response = Response::new(request, status).header("Content-Type", "application/json");
        return response.body(json(components, status).as_bytes());
    }
    let mut body = String::new();
    for component in failing {
        let problem = component.problem.as_deref().unwrap_or_default();
        let _ = writeln!(body, "{}: {problem}", component.name);
    }
    text(request, status, if body.is_empty() { "OK\n" } else { &body })
}

/// The texts are ours and hold nothing that JSON must escape.
fn json(components: &[Component], status: Status) -> String {
    let one = |component: &Component| {
        let status = component.problem.as_deref().unwrap_or("OK");
        format!("\"{}\":\"{status}\"", component.name)
    };
    let is_well = components.iter().all(|component| component.problem.is_none());
    let status = match status {
        Status::Ok if is_well => "OK",
        Status::Ok => "degraded",
        _ => "failing",
    };
    let components: Vec<String> = components.iter().map(one).collect();
    format!("{{\"status\":\"{status}\",\"components\":{{{}}}}}\n", components.join(","))
}
