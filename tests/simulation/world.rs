//! The world: the broker, its disk, its clients and both clocks. It lets one of them go on at a time and tells the
//! model what was answered.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use chronik::base::ids::ConnId;
use chronik::base::time::{Mono, Now};
use chronik::broker::event::{Client as Peer, Effect, Event, RequestId};
use chronik::broker::random::Random;
use chronik::storage::job::Job;
use chronik::storage::stepped::Worker;
use chronik::testing::fs::SimFs;
use chronik::wire::api::{ApiKey, Request, Response};

use crate::clients::{Admin, Client, Desk, Member, Producer, Reader, Reply};
use crate::link::Link;
use crate::model::Model;
use crate::node::{Node, pick};
use crate::script::{Action, CLIENTS};

/// Wall time at the beginning, in 2027.
const TODAY: i64 = 1_800_000_000_000;
/// Steps of workers in a run: a hundred times as many as in a usual one.
const STEPS_MAX: u64 = 300_000;
const YEAR_MS: i64 = 365 * 24 * 3_600_000;

pub(crate) struct World {
    pub(crate) model: Model,
    pub(crate) now: Now,
    pub(crate) disk: Arc<SimFs>,
    pub(crate) random: Random,
    pub(crate) node: Option<Node>,
    pub(crate) links: Vec<Link>,
    /// What becomes of the disk when the process dies as planned.
    pub(crate) planned: Option<u64>,
    /// Whether the disk was made to fail in this run.
    pub(crate) is_faulty: bool,
    pub(crate) leader_epoch: i32,
    /// Whether the last stop was a clean one; `None`: not known.
    pub(crate) was_clean: Option<bool>,
    /// Sums up everything that happened.
    pub(crate) trace: u64,
    pub(crate) starts: u64,
    /// Steps that workers may still do: a run that goes round in circles ends as a failure.
    pub(crate) steps_left: u64,
    pub(crate) log: Option<Vec<String>>,
    /// How many of the disk's operations stand in it.
    pub(crate) history_told: usize,
    /// The answer to a question of the world's own.
    pub(crate) own_answer: Option<Response>,
    pub(crate) own_next: u64,
}

/// The world's own connection.
pub(crate) const OWN: ConnId = ConnId { slot: CLIENTS, generation: 0 };

pub(crate) type Done = Result<(), String>;

impl World {
    /// A world with an empty disk and nobody running.
    pub(crate) fn new(seed: u64) -> World {
        let producer = |me, idempotent| Box::new(Producer::new(me, idempotent)) as Box<dyn Client>;
        let clients: [Box<dyn Client>; CLIENTS] = [
            Box::new(Admin::default()),
            producer(1, true),
            producer(2, false),
            Box::new(Reader::new("first")),
            Box::new(Reader::new("second")),
            Box::new(Member::new()),
            Box::new(Member::new()),
        ];
        let mut random = Random::new(seed);
        let begins_in_1970 = random.next_u64() % 8 == 0;
        let wall = if begins_in_1970 { 60_000 } else { TODAY };
        World {
            model: Model::default(),
            now: Now { mono: Mono(1_000_000), wall },
            disk: SimFs::new(),
            random,
            node: None,
            links: clients.into_iter().map(Link::new).collect(),
            planned: None,
            is_faulty: false,
            leader_epoch: -1,
            was_clean: Some(true),
            trace: 0xcbf2_9ce4_8422_2325,
            starts: 0,
            steps_left: STEPS_MAX,
            log: None,
            history_told: 0,
            own_answer: None,
            own_next: 0,
        }
    }

    /// Plays a script to its end, and then sees to it that everything comes to rest.
    pub(crate) fn play(&mut self, script: &[Action]) -> Done {
        self.start(0)?;
        for action in script {
            self.say(|| format!("{action:?}"));
            self.act(*action)?;
            self.mix(self.disk.operations());
        }
        self.finish()
    }

    fn act(&mut self, action: Action) -> Done {
        match action {
            Action::Client(who, word) => self.client(who, word)?,
            Action::Disconnect(who) => self.disconnect(who)?,
            Action::Work(word) => self.work(word)?,
            Action::WorkUnsynced(word) => self.work_unsynced(word)?,
            Action::Advance(word) => self.advance(word)?,
            Action::SetClock(word) => self.set_clock(word)?,
            Action::Crash(word) => self.crash(word)?,
            Action::CrashSoon(word) => {
                self.disk.crash_at(self.disk.operations() + word % 24);
                self.planned = Some(word >> 8);
            }
            Action::Fault(word) => self.fault(word),
            Action::Room(word) => self.room(word),
            Action::Descriptors(word) => self.share_descriptors(word),
            Action::Restart(word) => self.restart(word)?,
            Action::Settle => self.settle()?,
        }
        self.die_as_planned()
    }

    /// Notes something for a trace that people read.
    pub(crate) fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            let history = self.disk.history();
            let new = history.iter().skip(self.history_told);
            log.extend(new.map(|operation| format!("    {operation}")));
            self.history_told = history.len();
            log.push(what());
        }
    }

    fn mix(&mut self, value: u64) {
        self.trace = (self.trace ^ value).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
    }

    // Clients.

    fn desk(&mut self, who: usize, word: u64) -> (&mut Box<dyn Client>, Desk<'_>) {
        let link = &mut self.links[who];
        let desk = Desk {
            model: &mut self.model,
            now: self.now,
            random: Random::new(word),
            next: link.next,
            outgoing: Vec::new(),
        };
        (&mut link.client, desk)
    }

    /// A client hears what waits for it, and does its next step.
    pub(crate) fn client(&mut self, who: usize, word: u64) -> Done {
        if self.node.is_none() {
            return Ok(());
        }
        self.links[who].open();
        if word % 4 > 0 {
            self.hear(who)?;
        }
        let (client, mut desk) = self.desk(who, word >> 4);
        client.step(&mut desk).map_err(|error| format!("client {who}: {error}"))?;
        let outgoing = desk.outgoing;
        for request in outgoing {
            self.ask(who, request)?;
        }
        // Sometimes more comes before the turn ends.
        if word & 4 > 0 { Ok(()) } else { self.end_turn() }
    }

    fn hear(&mut self, who: usize) -> Done {
        while let Some((number, reply)) = self.links[who].inbox.pop_front() {
            let word = self.random.next_u64();
            let (client, mut desk) = self.desk(who, word);
            client.heard(&mut desk, number, &reply).map_err(|e| format!("client {who}: {e}"))?;
        }
        Ok(())
    }

    fn ask(&mut self, who: usize, request: Request) -> Done {
        let link = &mut self.links[who];
        let conn = ConnId { slot: who, generation: link.generation };
        let id = RequestId { conn, sequence: link.next };
        link.asked.push_back((link.next, request.api()));
        link.next += 1;
        self.say(|| format!("  {who} asks {:?} {}", request.api(), id.sequence));
        self.handle(Event::Request { id, client: peer(), request })
    }

    pub(crate) fn disconnect(&mut self, who: usize) -> Done {
        if !self.links[who].is_open || self.node.is_none() {
            return Ok(());
        }
        let conn = ConnId { slot: who, generation: self.links[who].generation };
        self.links[who].close(&mut self.model);
        self.handle(Event::Disconnected(conn))?;
        self.end_turn()
    }

    // The broker.

    pub(crate) fn handle(&mut self, event: Event) -> Done {
        let now = self.now;
        let Some(node) = &mut self.node else { return Ok(()) };
        node.broker.handle(event, now, &mut node.effects);
        node.broker.check_invariants().map_err(|error| format!("broken: {error}"))
    }

    /// What the server does at the end of a turn.
    pub(crate) fn end_turn(&mut self) -> Done {
        loop {
            let now = self.now;
            let Some(node) = &mut self.node else { return Ok(()) };
            node.broker.end_turn(now, &mut node.effects);
            let effects = std::mem::take(&mut node.effects);
            if effects.is_empty() {
                return Ok(());
            }
            let run = self.starts;
            let mut jobs = Vec::new();
            for effect in effects {
                self.carry_out(effect, &mut jobs)?;
                if self.starts > run {
                    // Another process runs by now.
                    return Ok(());
                }
            }
            if let Some(node) = &mut self.node {
                node.storage.submit_all(jobs.into_iter());
            }
        }
    }

    /// Jobs go to `jobs`: those of a turn are handed over together.
    fn carry_out(&mut self, effect: Effect, jobs: &mut Vec<Job>) -> Done {
        match effect {
            Effect::Job(job) => {
                jobs.push(job);
                Ok(())
            }
            Effect::Reply { to, response } => self.answered(to, Reply::Response(response)),
            Effect::Silence { to, failed } => {
                self.answered(to, Reply::Silence)?;
                if failed { self.disconnect_conn(to.conn) } else { Ok(()) }
            }
            Effect::Fatal { reason } if self.is_faulty => {
                self.say(|| format!("  fatal: {reason}"));
                let disk = self.disk.killed();
                self.end(true);
                self.begin(disk, 0)
            }
            Effect::Fatal { reason } => Err(format!("fatal without a fault: {reason}")),
        }
    }

    fn disconnect_conn(&mut self, conn: ConnId) -> Done {
        match self.links.get(conn.slot) {
            Some(link) if link.is_open && link.generation == conn.generation => {
                self.disconnect(conn.slot)
            }
            _ => Ok(()),
        }
    }

    fn answered(&mut self, to: RequestId, reply: Reply) -> Done {
        if to.conn == OWN {
            if let Reply::Response(response) = reply {
                self.own_answer = Some(response);
            }
            return Ok(());
        }
        let who = to.conn.slot;
        let link = &mut self.links[who];
        if !link.is_open || link.generation != to.conn.generation {
            return Ok(());
        }
        if !link.is_unanswered(to.sequence) {
            return Err(format!("request {to:?} is answered twice"));
        }
        link.early.insert(to.sequence, reply);
        self.mix(to.sequence);
        while let Some(reply) = self.links[who].next_in_order() {
            self.promised(who, reply)?;
        }
        Ok(())
    }

    fn promised(&mut self, who: usize, (number, reply): (u64, Reply)) -> Done {
        if self.log.is_some() {
            let text = format!("{reply:?}");
            let text: String = text.chars().take(300).collect();
            self.say(|| format!("  {who} gets {number}: {text}"));
        }
        let (client, mut desk) = self.desk(who, 0);
        let checked = client.promised(&mut desk, number, &reply);
        checked.map_err(|error| format!("client {who}: {error}"))?;
        self.links[who].inbox.push_back((number, reply));
        Ok(())
    }

    // Storage and time.

    /// A worker goes on, or the broker hears of outcomes.
    fn work(&mut self, word: u64) -> Done {
        self.end_turn()?;
        let Some(node) = &mut self.node else { return Ok(()) };
        let mut runnable = node.storage.runnable();
        if word & 0x7000 > 0 {
            // A volume is slower than a file.
            runnable.retain(|worker| !matches!(worker, Worker::Volume(_)));
        }
        let choices = runnable.len() + usize::from(!node.outcomes.is_empty());
        if choices == 0 {
            return Ok(());
        }
        match runnable.get(word as usize % choices) {
            Some(worker) => self.step(*worker),
            None => self.tell(if word & 0x100 > 0 { 1 } else { usize::MAX }),
        }
    }

    /// Whoever does not sync goes on until nobody can; and perhaps the journal's syncer.
    fn work_unsynced(&mut self, word: u64) -> Done {
        let is_held = |worker: &Worker| match worker {
            Worker::Syncer(0) => word & 0x10 == 0,
            Worker::Syncer(_) => word & 0x60 > 0,
            Worker::Volume(_) => true,
            _ => false,
        };
        for _ in 0..1_000 {
            self.end_turn()?;
            let Some(node) = &mut self.node else { return Ok(()) };
            let mut runnable = node.storage.runnable();
            runnable.retain(|worker| !is_held(worker));
            if let Some(worker) = pick(&runnable, &mut self.random) {
                self.step(worker)?;
            } else if !node.outcomes.is_empty() {
                self.tell(usize::MAX)?;
            } else {
                return Ok(());
            }
        }
        Err("it does not come to rest".into())
    }

    pub(crate) fn step(&mut self, worker: Worker) -> Done {
        self.steps_left = self.steps_left.checked_sub(1).ok_or("the run does not end")?;
        let now = self.now;
        self.say(|| format!("  {worker:?}"));
        if let Some(node) = &mut self.node {
            node.step(worker, now);
        }
        self.die_as_planned()
    }

    /// The broker hears of this many outcomes.
    pub(crate) fn tell(&mut self, most: usize) -> Done {
        for _ in 0..most {
            let outcome = self.node.as_mut().and_then(|node| node.outcomes.pop_front());
            let Some(outcome) = outcome else { break };
            self.handle(Event::Outcome(outcome))?;
        }
        self.end_turn()
    }

    fn advance(&mut self, word: u64) -> Done {
        let next = self.node.as_ref().and_then(Node::next_deadline);
        let to_next = next.map(|at| at.since(self.now.mono).as_micros() as u64);
        let micros = match (word % 8, to_next) {
            (0..=3, Some(micros)) if micros < 600_000_000 => micros,
            (4, _) => 20_000_000,
            (5, _) => 1_000_000,
            _ => (word >> 8) % 300_000,
        };
        self.pass(micros)
    }

    pub(crate) fn pass(&mut self, micros: u64) -> Done {
        self.end_turn()?;
        self.now.mono = Mono(self.now.mono.0 + micros);
        self.now.wall += micros.div_ceil(1000) as i64;
        let now = self.now;
        let Some(node) = &mut self.node else { return Ok(()) };
        node.storage.tick(now.mono);
        node.take_outcomes();
        self.die_as_planned()?;
        let Some(node) = &mut self.node else { return Ok(()) };
        node.broker.tick(now, &mut node.effects);
        node.broker.check_invariants().map_err(|error| format!("broken: {error}"))?;
        self.end_turn()?;
        let next = self.node.as_ref().and_then(|node| node.broker.next_deadline());
        if next.is_some_and(|at| at <= now.mono) {
            return Err("broken: what a turn leaves is due at once, again and again".to_owned());
        }
        Ok(())
    }

    fn set_clock(&mut self, word: u64) -> Done {
        self.end_turn()?;
        let passed = self.now.mono.0 as i64 / 1000;
        self.now.wall = match word % 4 {
            0 => passed,
            1 => TODAY + passed,
            2 => self.now.wall + 10 * YEAR_MS,
            _ => (self.now.wall - 10 * YEAR_MS).max(0),
        };
        if self.now.wall > TODAY + passed + YEAR_MS {
            // By one jump or by many. The next process knows nothing of them: what is there is years old.
            self.model.commits.may_expire = true;
            self.model.logs.values_mut().for_each(|log| log.retained = true);
        }
        let now = self.now;
        if let Some(node) = &mut self.node {
            node.broker.clock_was_set(now);
        }
        self.end_turn()
    }

    /// Everybody goes on until nobody can.
    pub(crate) fn settle(&mut self) -> Done {
        for _ in 0..100_000 {
            self.end_turn()?;
            let Some(node) = &mut self.node else { return Ok(()) };
            let runnable = node.storage.runnable();
            if let Some(worker) = pick(&runnable, &mut self.random) {
                self.step(worker)?;
            } else if !node.outcomes.is_empty() {
                self.tell(usize::MAX)?;
            } else {
                return self.check_produces();
            }
        }
        Err("it does not come to rest".into())
    }

    /// When there is nothing left to do, all that was produced is answered: a healthy disk lets nobody wait.
    fn check_produces(&self) -> Done {
        for (who, link) in self.links.iter().enumerate().filter(|_| !self.is_faulty) {
            let produces = link.asked.iter().filter(|asked| asked.1 == ApiKey::Produce);
            if let Some((number, _)) =
                produces.into_iter().find(|asked| link.is_unanswered(asked.0))
            {
                return Err(format!("nobody answers what client {who} has produced by {number}"));
            }
        }
        Ok(())
    }
}

pub(crate) fn peer() -> Peer {
    Peer {
        id: Some(Arc::from("client")),
        host: IpAddr::V4(Ipv4Addr::LOCALHOST),
        advertised_host: Arc::from("broker"),
        advertised_port: 9092,
    }
}
