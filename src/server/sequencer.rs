//! The sequencer: the order of requests and replies of each connection.
//!
//! Replies leave in the order of requests. Produce requests may follow each other without waiting; any other request
//! waits until those before it are answered, and so does what comes after it. What waits is one frame, held here; the
//! connection's `Order` gate keeps the rest in the socket.
//!
//! ```text
//! frame ─► may it start? ── no ──► held, gate closed
//!              │ yes                  ▲ started when the last reply before it has left
//!              ▼                      │
//!         Event::Request ─► … ─► reply ─► queued behind those before it ─► sent
//! ```

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::base::by_conn::ByConn;
use crate::base::ids::ConnId;
use crate::base::payload::{Bytes, Payload};
use crate::base::rooms::Rooms;
use crate::base::time::Mono;
use crate::broker::event::{Client, Event, RequestId};
use crate::broker::versions;
use crate::wire::api::{ApiKey, Prefix, Request, RequestFrame, Response, encode_response};
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::ApiVersionsRequest;
use crate::wire::reader::Reader;

/// Most requests of one connection on their way at a time.
const PIPELINED_MAX: usize = 256;
/// Most bytes of a request that carries neither records nor the state of a group: it only asks, and each of its
/// bytes may be answered with many.
const QUESTION_BYTES_MAX: usize = 2 << 20;
/// Most bytes of a request that carries what a group keeps: no record of a generation may be larger, and positions
/// of every partition take less.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// The connections that speak Kafka.
#[derive(Debug, Default)]
pub(super) struct Sequencer {
    /// In boxes, as places that nobody has keep their room for a while.
    lines: ByConn<Box<Line>>,
    rooms: Rooms<Asked>,
}

/// One connection's requests, oldest first.
#[derive(Debug)]
struct Line {
    peer: SocketAddr,
    advertised_host: Arc<str>,
    advertised_port: u16,
    client_id: Option<Arc<str>>,
    next_sequence: u64,
    asked: VecDeque<Asked>,
    held: Option<Bytes>,
    /// Why nothing more is read: a frame that cannot be answered. The replies before it leave first.
    refusal: Option<String>,
    /// The end of input stands behind what was not read yet: nothing may be waited for any more.
    ending: bool,
    /// Nothing more will come: when everything is answered, the connection closes.
    ended: bool,
}

/// A request that was not answered, or whose answer waits for those before it.
#[derive(Debug)]
struct Asked {
    about: About,
    answer: Option<Answer>,
}

/// What is known of a request from its header.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// Its number on its connection.
    pub(super) sequence: u64,
    /// Which request.
    pub(super) api: ApiKey,
    /// In which version.
    pub(super) version: i16,
    /// The client's number for it.
    pub(super) correlation_id: i32,
    /// The client's name for itself.
    pub(super) client_id: Option<Arc<str>>,
    /// When it arrived.
    pub(super) arrived: Mono,
    /// Its size in bytes.
    pub(super) bytes: usize,
}

#[derive(Debug)]
enum Answer {
    Frame(Vec<Payload>),
    Nothing,
    /// A request without an answer failed: closing the connection is the only way to say so.
    Failure,
}

/// What a frame leads to.
#[derive(Debug)]
pub(super) enum Step {
    /// The broker has a request.
    Ask(Event),
    /// It waits for those before it; no more frames until it starts.
    Hold,
    /// It was answered without the broker.
    Answered,
    /// It is nothing that can be answered, and nothing is owed: the connection closes.
    Refuse(String),
}

/// What leaves for a connection.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Frames, in order.
    pub(super) frames: Vec<Payload>,
    /// A held frame that may start now.
    pub(super) started: Option<Bytes>,
    /// A request that gets no answer failed.
    pub(super) failed: bool,
    /// Why the frame behind these answers is nothing that can be answered.
    pub(super) refused: Option<String>,
    /// Everything is answered, and nothing more will come.
    pub(super) finished: bool,
}

impl Sequencer {
    /// A connection was accepted; its client is told to connect to `advertised`.
    pub(super) fn opened(&mut self, conn: ConnId, peer: SocketAddr, advertised: (Arc<str>, u16)) {
        let (advertised_host, advertised_port) = advertised;
        let line = Line {
            peer,
            advertised_host,
            advertised_port,
            client_id: None,
            next_sequence: 0,
            asked: VecDeque::new(),
            held: None,
            refusal: None,
            ending: false,
            ended: false,
        };
        self.lines.insert(conn, Box::new(line));
    }

    /// A connection is gone. Answers whether it was one of ours.
    pub(super) fn closed(&mut self, conn: ConnId) -> bool {
        self.lines.remove(conn).is_some()
    }

    /// Where a connection came from.
    #[must_use]
    pub(super) fn peer(&self, conn: ConnId) -> Option<SocketAddr> {
        self.lines.get(conn).map(|line| line.peer)
    }

    /// The connections that speak Kafka.
    pub(super) fn connections(&self) -> impl Iterator<Item = ConnId> {
        self.lines.iter().map(|(conn, _)| conn)
    }

    /// Whether every request that has started is answered.
    #[must_use]
    pub(super) fn is_answered(&self) -> bool {
        self.lines.iter().all(|(_, line)| line.asked.is_empty())
    }

    /// A frame arrived, or one that was held may start.
    pub(super) fn frame(&mut self, conn: ConnId, frame: Bytes, now: Mono) -> Step {
        let Some(line) = self.lines.get_mut(conn) else { return Step::Answered };
        self.rooms.lend(&mut line.asked);
        match line.frame(conn, frame, now) {
            Step::Refuse(reason) if !line.asked.is_empty() => {
                line.refusal = Some(reason);
                Step::Hold
            }
            step => step,
        }
    }

    /// The answer to a request.
    ///
    /// # Errors
    /// If it has no form in the request's version: a mistake of the broker.
    pub(super) fn answer(&mut self, to: RequestId, response: Response) -> Result<(), EncodeError> {
        let Some(asked) = self.find(to) else { return Ok(()) };
        let About { version, correlation_id, .. } = asked.about;
        asked.answer = Some(Answer::Frame(encode_response(response, version, correlation_id)?));
        Ok(())
    }

    /// A request that gets no answer is done.
    pub(super) fn silence(&mut self, to: RequestId, failed: bool) {
        if let Some(asked) = self.find(to) {
            asked.answer = Some(if failed { Answer::Failure } else { Answer::Nothing });
        }
    }

    fn find(&mut self, id: RequestId) -> Option<&mut Asked> {
        let line = self.lines.get_mut(id.conn)?;
        line.asked.iter_mut().find(|asked| asked.about.sequence == id.sequence)
    }

    /// This connection's end of input is on its way, behind what was not read yet.
    pub(super) fn ending(&mut self, conn: ConnId) {
        if let Some(line) = self.lines.get_mut(conn) {
            line.ending = true;
        }
    }

    /// Whether what this connection asks may not wait, because its end of input is on its way.
    #[must_use]
    pub(super) fn is_ending(&self, conn: ConnId) -> bool {
        self.lines.get(conn).is_some_and(|line| line.ending)
    }

    /// Nothing more will come from this connection.
    pub(super) fn ended(&mut self, conn: ConnId) {
        if let Some(line) = self.lines.get_mut(conn) {
            line.ended = true;
        }
    }

    /// Takes what may leave. The requests that are answered with that go to `answered`, with the size of the answer.
    pub(super) fn take(&mut self, conn: ConnId, answered: &mut Vec<(About, usize)>) -> Outgoing {
        let mut outgoing = Outgoing::default();
        let Some(line) = self.lines.get_mut(conn) else { return outgoing };
        while line.asked.front().is_some_and(|asked| asked.answer.is_some()) {
            let Some(asked) = line.asked.pop_front() else { break };
            let mut bytes = 0;
            match asked.answer {
                Some(Answer::Frame(frame)) => {
                    bytes = frame.iter().map(Payload::len).sum();
                    match outgoing.frames.is_empty() {
                        true => outgoing.frames = frame,
                        false => outgoing.frames.extend(frame),
                    }
                }
                Some(Answer::Failure) => outgoing.failed = true,
                Some(Answer::Nothing) | None => {}
            }
            answered.push((asked.about, bytes));
            if outgoing.failed {
                return outgoing;
            }
        }
        self.rooms.reclaim(&mut line.asked);
        if line.asked.is_empty() && line.refusal.is_some() {
            outgoing.refused = line.refusal.take();
            return outgoing;
        }
        let held_may_start = line.held.as_ref().is_some_and(|frame| {
            let key = Prefix::read(&mut Reader::new(frame, 0, false)).map_or(-1, |p| p.api_key);
            line.may_start(key)
        });
        if held_may_start {
            outgoing.started = line.held.take();
        }
        outgoing.finished = line.ended && line.asked.is_empty() && outgoing.started.is_none();
        outgoing
    }
}

impl Line {
    fn frame(&mut self, conn: ConnId, frame: Bytes, now: Mono) -> Step {
        let prefix = match Prefix::read(&mut Reader::new(&frame, 0, false)) {
            Ok(prefix) => prefix,
            Err(error) => return Step::Refuse(format!("malformed request: {error}")),
        };
        if !self.may_start(prefix.api_key) {
            self.held = Some(frame);
            return Step::Hold;
        }
        let Some(api) = ApiKey::from_key(prefix.api_key) else {
            return Step::Refuse(format!("request {} is not served", prefix.api_key));
        };
        if !api.versions().contains(&prefix.version) {
            return self.refuse_version(api, prefix, now, frame.len());
        }
        let bytes_max = bytes_max(api);
        if frame.len() > bytes_max {
            let reason = format!("{api} of {} bytes, {bytes_max} allowed", frame.len());
            return Step::Refuse(reason);
        }
        match decode(&frame, api, prefix, self.client_id.as_ref()) {
            Ok(request) => self.ask(conn, request, now, frame.len()),
            Err(error) => Step::Refuse(format!("malformed {api} v{}: {error}", prefix.version)),
        }
    }

    fn may_start(&self, api_key: i16) -> bool {
        let is_produce = |key: i16| key == ApiKey::Produce.key();
        match self.asked.back() {
            None => true,
            // Whatever is not a produce is alone on its way, so the last one speaks for all.
            Some(last) => {
                is_produce(api_key)
                    && is_produce(last.about.api.key())
                    && self.asked.len() < PIPELINED_MAX
            }
        }
    }

    fn note(&mut self, api: ApiKey, prefix: Prefix, now: Mono, bytes: usize) -> u64 {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let about = About {
            sequence,
            api,
            version: prefix.version,
            correlation_id: prefix.correlation_id,
            client_id: self.client_id.clone(),
            arrived: now,
            bytes,
        };
        self.asked.push_back(Asked { about, answer: None });
        sequence
    }

    fn ask(&mut self, conn: ConnId, frame: RequestFrame, now: Mono, bytes: usize) -> Step {
        let RequestFrame { version, correlation_id, client_id, request, .. } = frame;
        self.client_id = client_id;
        let prefix = Prefix { api_key: request.api().key(), version, correlation_id };
        let sequence = self.note(request.api(), prefix, now, bytes);
        let id = RequestId { conn, sequence };
        let client = Client {
            id: self.client_id.clone(),
            host: self.peer.ip(),
            advertised_host: Arc::clone(&self.advertised_host),
            advertised_port: self.advertised_port,
        };
        Step::Ask(Event::Request { id, client, request })
    }

    /// A version of ApiVersions that is not served is answered in the form of v0, which every client can read; for any
    /// other request there is no answer that its client could read.
    fn refuse_version(&mut self, api: ApiKey, prefix: Prefix, now: Mono, bytes: usize) -> Step {
        if api != ApiKey::ApiVersions {
            let range = api.versions();
            return Step::Refuse(format!(
                "{api} v{} is not served, only v{} to v{}",
                prefix.version,
                range.start(),
                range.end()
            ));
        }
        self.note(api, prefix, now, bytes);
        let answer = Response::from(versions::answer(ErrorCode::UnsupportedVersion));
        match encode_response(answer, 0, prefix.correlation_id) {
            Ok(frame) => {
                if let Some(asked) = self.asked.back_mut() {
                    asked.answer = Some(Answer::Frame(frame));
                }
                Step::Answered
            }
            Err(error) => Step::Refuse(error.to_string()),
        }
    }
}

/// How large a request may be. Only records may be as large as a frame.
fn bytes_max(api: ApiKey) -> usize {
    match api {
        ApiKey::Produce => usize::MAX,
        ApiKey::JoinGroup | ApiKey::SyncGroup | ApiKey::OffsetCommit => GROUP_BYTES_MAX,
        _ => QUESTION_BYTES_MAX,
    }
}

/// Reads a request. ApiVersions is answered even if it does not parse: a client that is not understood must at least
/// learn what is spoken here.
fn decode(
    frame: &Bytes,
    api: ApiKey,
    prefix: Prefix,
    known: Option<&Arc<str>>,
) -> Result<RequestFrame, DecodeError> {
    let decoded = RequestFrame::decode_next(frame, known);
    if decoded.is_err() && api == ApiKey::ApiVersions {
        return Ok(RequestFrame {
            version: prefix.version,
            correlation_id: prefix.correlation_id,
            client_id: None,
            request: Request::from(ApiVersionsRequest::default()),
            trailing: 0,
        });
    }
    decoded
}
