//! The generator: one thread that keeps many connections busy and costs less than whom it drives.
//!
//! Every kind of work is a [`Traffic`]: its connections, how many requests may be under way on each and on all of them
//! together, and whether a clock starts them. One `Load` can drive several side by side, such as a producer and the
//! consumer that follows it. Connections take turns, so that with more of them than requests each is used as often.

mod connection;
mod tally;
mod timer;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::frames::Frame;
use crate::reply::{self, Dialect};
use connection::Connection;
pub(crate) use tally::Tally;
use timer::Timer;

/// Bytes read at a time. What arrives is looked at in the cache and forgotten.
const BUFFER_BYTES: usize = 256 * 1024;
/// Without a reply for as long as this, a run has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// The event of the clock; connections have their indexes.
const TIMER: Token = Token(usize::MAX);

/// What the requests do.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// Appends a batch to each of so many partitions in turn.
    Produce {
        /// The partitions 0 to this one, exclusively.
        partitions: i32,
        /// Bytes of the records' values in a request.
        payload: u64,
        /// Whether there are replies; else a request is done when the kernel has it.
        answered: bool,
    },
    /// Reads on from the offset reached, in batches that are all alike.
    Fetch {
        /// Connections are spread over the partitions 0 to this one, exclusively.
        partitions: i32,
        /// Bytes of a batch in the log.
        batch_bytes: u64,
        /// Records of a batch.
        batch_records: u32,
        /// Reading begins anew from here on; `None`: it waits at the end.
        end: Option<i64>,
        /// The traffic whose requests arrive here, one batch each, and whose way is timed.
        follows: Option<usize>,
    },
}

/// Requests of one kind over some connections.
pub(crate) struct Traffic {
    /// The request.
    pub frame: Frame,
    /// What it does.
    pub work: Work,
    /// Number of connections.
    pub connections: usize,
    /// Requests under way on a connection, at most.
    pub in_flight: usize,
    /// Requests under way on all connections together, at most.
    pub outstanding: usize,
    /// A request begins so often, instead of whenever one is answered. One traffic of a load may have it.
    pub every: Option<Duration>,
    /// This many requests, and no more.
    pub requests_max: Option<u64>,
}

/// A traffic with what it has under way.
struct Lane {
    traffic: Traffic,
    /// Connections that may take a request, in the order in which they get one.
    rotation: VecDeque<usize>,
    under_way: usize,
    /// Requests that the clock has called for.
    due: u64,
    /// Requests begun, in this run.
    begun: u64,
    partition_next: i32,
    /// When each request began, if somebody follows.
    began_at: Vec<Instant>,
    followed: bool,
    /// Requests of the leader that have arrived here.
    arrived: usize,
    last_answer: Instant,
    tally: Tally,
}

/// Connections to one server and what is to be done over them.
pub(crate) struct Load {
    poll: Poll,
    timer: Option<Timer>,
    dialect: Dialect,
    lanes: Vec<Lane>,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
    /// Whether requests may begin.
    open: bool,
    last_reply: Instant,
}

impl Load {
    /// Connects for all of the work; nothing is sent yet.
    pub(crate) fn connect(
        address: SocketAddr,
        dialect: Dialect,
        work: Vec<Traffic>,
    ) -> Result<Load, String> {
        let poll = Poll::new().map_err(|error| error.to_string())?;
        let every = work.iter().find_map(|traffic| traffic.every);
        let timer = every.map(|every| Timer::new(every, poll.registry(), TIMER)).transpose()?;
        let mut load = Load {
            poll,
            timer,
            dialect,
            lanes: Vec::new(),
            connections: Vec::new(),
            buffer: vec![0; BUFFER_BYTES],
            scratch: Vec::new(),
            open: false,
            last_reply: Instant::now(),
        };
        for (number, traffic) in work.into_iter().enumerate() {
            load.add(address, number, traffic)?;
        }
        Ok(load)
    }

    fn add(&mut self, address: SocketAddr, number: usize, traffic: Traffic) -> Result<(), String> {
        let mut rotation = VecDeque::new();
        for count in 0..traffic.connections {
            let mut connection = Connection::new(address, number)?;
            if let Work::Fetch { partitions, .. } = traffic.work {
                connection.partition = i32::try_from(count).unwrap_or(0) % partitions.max(1);
            }
            let index = self.connections.len();
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registry = self.poll.registry();
            let registered = registry.register(&mut connection.stream, Token(index), interest);
            registered.map_err(|error| error.to_string())?;
            self.connections.push(connection);
            rotation.push_back(index);
        }
        if let Work::Fetch { follows: Some(leader), .. } = traffic.work {
            if let Some(lane) = self.lanes.get_mut(leader) {
                lane.followed = true;
            }
        }
        self.lanes.push(Lane {
            traffic,
            rotation,
            under_way: 0,
            due: 0,
            begun: 0,
            partition_next: 0,
            began_at: Vec::new(),
            followed: false,
            arrived: 0,
            last_answer: Instant::now(),
            tally: Tally::new()?,
        });
        Ok(())
    }

    /// Drives until every traffic with a number of requests has made them, or for as long as `length`, and then until
    /// all that was begun is answered. Answers what each traffic has seen, in their order.
    ///
    /// # Errors
    /// If the server closes, refuses, answers something else, or does not answer in time.
    pub(crate) fn run(&mut self, length: Duration) -> Result<Vec<Tally>, String> {
        let start = Instant::now();
        self.last_reply = start;
        self.open = true;
        if let Some(timer) = &self.timer {
            // What passed before does not count.
            timer.expired()?;
        }
        let mut events = Events::with_capacity(1024);
        self.pump_all()?;
        while self.goes_on(start, length) {
            let wait = Duration::from_millis(100);
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                    return Err(error.to_string());
                }
                _ => {}
            }
            for event in &events {
                match event.token() {
                    TIMER => self.tick()?,
                    Token(index) => self.serve(index)?,
                }
            }
            self.pump_all()?;
        }
        if self.under_way() > 0 {
            return Err(format!("{} requests without a reply for {PATIENCE:?}", self.under_way()));
        }
        self.lanes.iter_mut().map(|lane| lane.end(start)).collect()
    }

    /// Whether anything is left to wait for. Closes the gates when the time is over.
    fn goes_on(&mut self, start: Instant, length: Duration) -> bool {
        let now = Instant::now();
        if now >= start + length || self.lanes.iter().all(Lane::is_done) {
            self.open = false;
        }
        // A traffic without a number of its own goes on for as long as one that has it.
        let mut limited = self.lanes.iter().filter(|lane| lane.traffic.requests_max.is_some());
        let first = limited.next();
        if first.is_some_and(Lane::is_done) && limited.all(Lane::is_done) {
            self.open = false;
        }
        let behind = (0..self.lanes.len()).any(|lane| self.is_behind(lane));
        (self.open || self.under_way() > 0 || behind)
            && now < self.last_reply + PATIENCE.max(length)
    }

    /// Whether a follower has not seen all that was produced: it reads on until then.
    fn is_behind(&self, lane: usize) -> bool {
        let Some(lane) = self.lanes.get(lane) else { return false };
        let leader = lane.leader().and_then(|leader| self.lanes.get(leader));
        leader.is_some_and(|leader| lane.arrived < leader.began_at.len())
    }

    fn under_way(&self) -> usize {
        self.lanes.iter().map(|lane| lane.under_way).sum()
    }

    fn tick(&mut self) -> Result<(), String> {
        let Some(timer) = &self.timer else { return Ok(()) };
        let expired = timer.expired()?;
        for lane in self.lanes.iter_mut().filter(|lane| lane.traffic.every.is_some()) {
            lane.due += expired;
        }
        Ok(())
    }

    fn pump_all(&mut self) -> Result<(), String> {
        (0..self.lanes.len()).try_for_each(|lane| self.pump(lane))
    }

    /// Begins what may begin.
    fn pump(&mut self, number: usize) -> Result<(), String> {
        let open = self.open || self.is_behind(number);
        let Some(lane) = self.lanes.get_mut(number) else { return Ok(()) };
        while open && lane.may_begin() {
            let Some(index) = lane.rotation.pop_front() else { break };
            let Some(connection) = self.connections.get_mut(index) else { break };
            lane.begin(connection);
            let left = connection.flush(&lane.traffic.frame, &mut self.scratch)?;
            lane.left(connection, left);
            if lane.is_unanswered() {
                self.last_reply = Instant::now();
            }
            if connection.in_flight() < lane.traffic.in_flight {
                lane.rotation.push_back(index);
            }
        }
        Ok(())
    }

    /// Reads what a connection has, and writes what it could not write before.
    fn serve(&mut self, index: usize) -> Result<(), String> {
        let Some(connection) = self.connections.get_mut(index) else { return Ok(()) };
        let Some(lane) = self.lanes.get_mut(connection.traffic) else { return Ok(()) };
        if !connection.pending.is_empty() {
            let was_full = connection.in_flight() >= lane.traffic.in_flight;
            let left = connection.flush(&lane.traffic.frame, &mut self.scratch)?;
            lane.left(connection, left);
            if was_full && connection.in_flight() < lane.traffic.in_flight {
                lane.rotation.push_back(index);
            }
        }
        let leader = lane.leader();
        loop {
            let Some(connection) = self.connections.get_mut(index) else { return Ok(()) };
            let count = connection.receive(&mut self.buffer)?;
            let mut bytes = self.buffer.get(..count).unwrap_or_default();
            while !bytes.is_empty() {
                let (rest, whole) = connection.take(bytes);
                bytes = rest;
                if !whole {
                    continue;
                }
                let began_at = leader.and_then(|leader| self.lanes.get_mut(leader));
                let began_at = began_at.map(|lane| std::mem::take(&mut lane.began_at));
                let began_at = began_at.unwrap_or_default();
                let Some(lane) = self.lanes.get_mut(connection.traffic) else { break };
                let full = connection.in_flight() >= lane.traffic.in_flight;
                self.last_reply = lane.answered(connection, self.dialect, &began_at)?;
                if full {
                    lane.rotation.push_back(index);
                }
                if let Some(lane) = leader.and_then(|leader| self.lanes.get_mut(leader)) {
                    lane.began_at = began_at;
                }
            }
            if count < self.buffer.len() {
                return Ok(());
            }
        }
    }
}

impl Lane {
    fn may_begin(&self) -> bool {
        let is_due = self.traffic.every.is_none() || self.due > 0;
        is_due && !self.is_begun() && self.under_way < self.traffic.outstanding
    }

    /// Whether all requests that were asked for have begun.
    fn is_begun(&self) -> bool {
        self.traffic.requests_max.is_some_and(|most| self.begun >= most)
    }

    fn is_done(&self) -> bool {
        self.is_begun() && self.under_way == 0
    }

    fn is_unanswered(&self) -> bool {
        matches!(self.traffic.work, Work::Produce { answered: false, .. })
    }

    fn leader(&self) -> Option<usize> {
        match self.traffic.work {
            Work::Fetch { follows, .. } => follows,
            Work::Produce { .. } => None,
        }
    }

    fn begin(&mut self, connection: &mut Connection) {
        let now = Instant::now();
        if let Work::Produce { partitions, .. } = self.traffic.work {
            connection.partition = self.partition_next;
            self.partition_next = (self.partition_next + 1) % partitions.max(1);
        }
        if self.followed {
            self.began_at.push(now);
        }
        connection.begin(now);
        self.due = self.due.saturating_sub(1);
        self.begun += 1;
        self.under_way += 1;
    }

    /// Requests have left whole. Without replies that is all that will be known of them.
    fn left(&mut self, connection: &mut Connection, count: usize) {
        if let Work::Produce { answered: false, payload, .. } = self.traffic.work {
            for (_, began) in connection.awaiting.drain(..count.min(connection.awaiting.len())) {
                self.under_way -= 1;
                self.tally.count(payload, began.elapsed());
                self.last_answer = Instant::now();
            }
        }
    }

    /// A reply has come. Answers when.
    fn answered(
        &mut self,
        connection: &mut Connection,
        dialect: Dialect,
        began_at: &[Instant],
    ) -> Result<Instant, String> {
        let now = Instant::now();
        let expected = connection.awaiting.pop_front();
        let (head, length) = connection.reply();
        let (expected, began) = expected.ok_or("a reply to no request")?;
        if reply::correlation(head) != Some(expected) {
            return Err("a reply with another request's number".to_owned());
        }
        self.under_way -= 1;
        let bytes = match (self.traffic.work, dialect) {
            (Work::Produce { payload, .. }, Dialect::Echo) => payload,
            (Work::Produce { payload, .. }, Dialect::Kafka { produce, .. }) => {
                reply::produced(head, produce)?;
                payload
            }
            (Work::Fetch { .. }, Dialect::Echo) => u64::try_from(length).unwrap_or_default(),
            (Work::Fetch { .. }, Dialect::Kafka { fetch, .. }) => {
                let bytes = reply::fetched(head, fetch)?.records_bytes;
                self.advance(connection, bytes, now, began_at);
                bytes
            }
        };
        self.tally.count(bytes, now - began);
        self.last_answer = now;
        Ok(now)
    }

    /// Reads on behind the whole batches among so many bytes, and times their way.
    fn advance(
        &mut self,
        connection: &mut Connection,
        bytes: u64,
        now: Instant,
        began: &[Instant],
    ) {
        let Work::Fetch { batch_bytes, batch_records, end, .. } = self.traffic.work else { return };
        let batches = bytes / batch_bytes.max(1);
        let before = usize::try_from(connection.offset / i64::from(batch_records.max(1)));
        let arrived = began.iter().skip(before.unwrap_or(usize::MAX));
        for begun in arrived.take(usize::try_from(batches).unwrap_or(0)) {
            self.tally.arrived(now - *begun);
            self.arrived += 1;
        }
        let records = i64::try_from(batches).unwrap_or(0) * i64::from(batch_records);
        connection.offset += records;
        if end.is_some_and(|end| connection.offset >= end) {
            connection.offset = 0;
        }
    }

    /// What was seen in a run that has ended; the next begins at nothing. Offsets go on.
    fn end(&mut self, start: Instant) -> Result<Tally, String> {
        self.begun = 0;
        self.due = 0;
        let mut tally = std::mem::replace(&mut self.tally, Tally::new()?);
        tally.elapsed = self.last_answer.saturating_duration_since(start);
        Ok(tally)
    }
}
