//! A broker's life on a simulated disk: storage without threads, clients that send to it, crashes, starts. What is
//! found after each start is judged.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chronik::base::ids::{Offset, PartitionId, Ticket, TopicId};
use chronik::base::memory::Pool;
use chronik::base::payload::{Bytes, Payload};
use chronik::base::time::Mono;
use chronik::broker::random::Random;
use chronik::record::builder::{BatchBuilder, BatchOptions};
use chronik::storage::damage::DamagePolicy;
use chronik::storage::fs::{Fs, as_u64};
use chronik::storage::job::{
    Append, FindTimes, Job, LogConfig, Open, Opened, Origin, Outcome, Read, ReadPart, StorageError,
    TimeQuery, TimeTarget, Upkeep,
};
use chronik::storage::pool::{FileLimits, Options, SpaceOptions};
use chronik::storage::stepped::{Stepped, Worker};
use chronik::testing::fs::{Image, SimFs};

use super::format::batches;
use super::model::{Found, Log, Model, Sent, Sequence};

/// The broker's time.
pub(crate) const NOW: i64 = 1_800_000_000_000;

/// Batches of this size have one record, and are as long as each other.
pub(crate) const EVEN: u64 = 200;

/// Why a script does not go on.
#[derive(Debug)]
pub(crate) enum End {
    /// The process has died, as was asked for.
    Crashed,
    /// Storage did what it must not do.
    Wrong(String),
}

impl From<String> for End {
    fn from(reason: String) -> End {
        End::Wrong(reason)
    }
}

pub(crate) type Run<T = ()> = Result<T, End>;

/// What a start found, partition by partition.
pub(crate) type Contents = BTreeMap<PartitionId, (Opened, Vec<Found>)>;

/// One process after the other on one disk after the other.
pub(crate) struct World {
    pub(crate) fs: Arc<SimFs>,
    pub(crate) model: Model,
    pub(crate) random: Random,
    /// Writers beside the journal's.
    pub(crate) writers: usize,
    /// Whether the disk was told to fail: errors are no surprise then.
    pub(crate) faulty: bool,
    storage: Option<Stepped>,
    now: Mono,
    tickets: HashMap<u64, (PartitionId, usize, i32)>,
    next_ticket: u64,
    opened: HashMap<u64, Result<Opened, StorageError>>,
    answers: HashMap<u64, Outcome>,
    trims: HashMap<u64, Offset>,
    /// What appends that are answered before them add to what may be removed.
    upkeeps: Vec<Upkeep>,
    /// After how many operations the process is to die, counted from when this was armed.
    crash_after: Option<u64>,
    /// Operations since then on earlier disks, and the number of the first one on this disk.
    counted: Option<(u64, u64)>,
}

impl World {
    pub(crate) fn new(fs: Arc<SimFs>, model: Model, seed: u64) -> World {
        fs.set_now(NOW);
        World {
            fs,
            model,
            random: Random::new(seed),
            writers: 1,
            faulty: false,
            storage: None,
            now: Mono::default(),
            tickets: HashMap::new(),
            next_ticket: 1,
            opened: HashMap::new(),
            answers: HashMap::new(),
            trims: HashMap::new(),
            upkeeps: Vec::new(),
            crash_after: None,
            counted: None,
        }
    }

    /// A world whose process dies after so many operations, once it is armed.
    pub(crate) fn doomed(seed: u64, crash_after: Option<u64>) -> World {
        World { crash_after, ..World::new(SimFs::new(), Model::default(), seed) }
    }

    /// From here on operations count.
    pub(crate) fn arm(&mut self) {
        self.counted = Some((0, self.fs.operations()));
        self.fs.keep_history();
        self.aim();
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.counted.is_some()
    }

    /// Operations since it was armed.
    pub(crate) fn armed_operations(&self) -> u64 {
        let (earlier, first) = self.counted.unwrap_or_default();
        earlier + self.fs.operations() - first
    }

    fn aim(&self) {
        if let (Some(after), Some((earlier, first))) = (self.crash_after, self.counted) {
            if after >= earlier {
                self.fs.crash_at(first + after - earlier);
            }
        }
    }

    /// The process ends without a word, and the next one finds this disk.
    pub(crate) fn leave_to(&mut self, fs: Arc<SimFs>) {
        self.counted = self.counted.map(|_| (self.armed_operations(), 0));
        self.storage = None;
        self.fs = fs;
        if self.is_armed() {
            self.fs.keep_history();
        }
        self.aim();
        self.tickets.clear();
        self.upkeeps.clear();
        self.opened.clear();
        self.answers.clear();
        self.model.logs.values_mut().for_each(Log::forget_pending);
    }

    pub(crate) fn power_cut(&mut self, how: Image) {
        self.leave_to(self.fs.image(how));
    }

    pub(crate) fn kill(&mut self) {
        self.leave_to(self.fs.killed());
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.random.next_u64() % limit
    }

    fn alive(&self) -> Run {
        if self.fs.is_crashed() { Err(End::Crashed) } else { Ok(()) }
    }

    /// An error of storage: the crash's, or a fault of storage's own.
    fn failed(&self, doing: &str, error: &dyn std::fmt::Display) -> End {
        match self.alive() {
            Err(crashed) => crashed,
            Ok(()) => End::Wrong(format!("{doing}: {error}")),
        }
    }

    fn storage(&mut self) -> &mut Stepped {
        self.storage.as_mut().unwrap()
    }

    /// Starts a process: everything opens, and what is there is judged and read.
    pub(crate) fn boot(&mut self) -> Run<Contents> {
        let options = Options {
            compaction: chronik::storage::pool::CompactionLimits::default(),
            data_dir: PathBuf::from("/var/data"),
            fs: Arc::<SimFs>::clone(&self.fs),
            writers: self.writers,
            readers: 1,
            files: FileLimits { open: 6, unsynced: 6, together: 2 },
            damage: DamagePolicy::Fence,
            adopt: false,
            conversions: Pool::new("conversions", 1 << 20),
            space: SpaceOptions { reserve_bytes: Some(0), ballast_bytes: 0 },
            cluster_id: None,
            new_cluster_id: "cluster".to_owned(),
            new_directory_id: TopicId::from_random([200; 16]),
            node_id: 0,
        };
        let started = Stepped::start(&options);
        self.alive()?;
        let (storage, started) = started.map_err(|error| self.failed("start", &error))?;
        self.storage = Some(storage);
        if !started.clean {
            self.model.leader_epoch += 1;
        }
        let mut contents = Contents::new();
        let ids: Vec<PartitionId> = self.model.logs.keys().copied().collect();
        for id in &ids {
            if self.model.logs[id].journal {
                let (opened, bytes) = self.replay(*id)?;
                contents.insert(*id, self.judged(*id, opened, &bytes)?);
            }
        }
        let known: Vec<(PartitionId, Arc<str>)> =
            self.model.logs.iter().map(|(id, log)| (*id, Arc::clone(&log.topic))).collect();
        let removed = self.model.removed.clone();
        let sorted = self.storage().sort_out_directories(&known, &removed);
        sorted.map_err(|error| self.failed("sort out directories", &error))?;
        for id in ids {
            if !self.model.logs[&id].journal {
                let opened = self.open(id)?;
                let bytes = self.read(id, opened.log_start, opened.log_end, usize::MAX)?;
                contents.insert(id, self.judged(id, opened, &bytes)?);
            }
        }
        for (id, (opened, found)) in &contents {
            let log = self.model.logs.get_mut(id).unwrap();
            log.seen(opened, found);
        }
        self.judge_directories()?;
        Ok(contents)
    }

    fn judged(&self, id: PartitionId, opened: Opened, bytes: &[u8]) -> Run<(Opened, Vec<Found>)> {
        let log = &self.model.logs[&id];
        let found = log.judge(&opened, bytes).map_err(|error| {
            let name = format!("{}-{}", log.topic, id.index);
            format!("{name}: {error}; opened as {opened:?}")
        })?;
        Ok((opened, found))
    }

    /// Every partition was known, and none that is on its way out comes back.
    fn judge_directories(&self) -> Run {
        for entry in self.fs.read_dir(Path::new("/var/data")).unwrap_or_default() {
            if entry.name.ends_with("-stray") {
                return Err(End::Wrong(format!("{} was known", entry.name)));
            }
        }
        Ok(())
    }

    fn replay(&mut self, id: PartitionId) -> Run<(Opened, Vec<u8>)> {
        let (topic, config) = {
            let log = &self.model.logs[&id];
            (Arc::clone(&log.topic), Arc::clone(&log.config))
        };
        let mut bytes = Vec::new();
        let mut visit = |_: &_, batch: &Bytes| bytes.extend_from_slice(batch);
        let opened = self.storage().replay(id, &topic, &config, &mut visit);
        let opened = opened.map_err(|error| self.failed("replay", &error))?;
        Ok((opened, bytes))
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    fn open(&mut self, partition: PartitionId) -> Run<Opened> {
        let ticket = self.ticket();
        let log = &self.model.logs[&partition];
        let (topic, config) = (Arc::clone(&log.topic), Arc::clone(&log.config));
        self.storage().submit(Job::Open(Open { ticket, partition, topic, config }));
        self.settle()?;
        let opened = self.opened.remove(&ticket.0).ok_or("a partition does not open".to_owned())?;
        opened.map_err(|error| self.failed("open", &error))
    }

    /// A partition that the journal knows from now on.
    pub(crate) fn create(&mut self, id: PartitionId, topic: &str, config: LogConfig) -> Run {
        let journal = topic.starts_with("__");
        self.model.logs.insert(id, Log::new(topic, config, journal));
        let opened = if journal { self.replay(id)?.0 } else { self.open(id)? };
        let (start, end) = (opened.log_start, opened.log_end);
        if (start, end) == (0, 0) {
            Ok(())
        } else {
            Err(End::Wrong(format!("a new partition begins at {start} and ends at {end}")))
        }
    }

    /// A partition that the journal does not know any more.
    pub(crate) fn remove(&mut self, partition: PartitionId) {
        self.model.logs.remove(&partition);
        if !self.model.removed.contains(&partition.topic) {
            self.model.removed.push(partition.topic);
        }
        let ticket = self.ticket();
        self.storage().submit(Job::Remove { ticket, partition });
    }

    /// A new batch of a few records of some size, for [`World::submit`].
    pub(crate) fn batch(
        &mut self,
        id: PartitionId,
        sequence: Option<Sequence>,
        size: u64,
    ) -> usize {
        let mut options = BatchOptions::default();
        if let Some(sequence) = sequence {
            options.producer_id = sequence.producer;
            options.producer_epoch = sequence.epoch;
            options.base_sequence = sequence.first;
        }
        let count = if size == EVEN { 1 } else { 1 + self.below(3) };
        let timestamp = NOW + self.model.records_sent;
        let mut builder = BatchBuilder::new(options).unwrap();
        let mut keyed = Vec::new();
        for _ in 0..count {
            let number = self.model.records_sent;
            self.model.records_sent += 1;
            let mut value = format!("record {number} of {} ", id.index).into_bytes();
            let more = if size == EVEN { size - as_u64(value.len()) } else { self.below(size) };
            let len = value.len() + usize::try_from(more).unwrap();
            value.resize_with(len, || u8::try_from(number % 251).unwrap());
            let key = format!("key {}", self.below(6)).into_bytes();
            let compact = self.log(id).config.compact;
            let value = if compact && self.below(6) == 0 { None } else { Some(value) };
            builder.append(NOW + number, Some(&key), value.as_deref(), &[]).unwrap();
            keyed.push((key, value));
        }
        let (bytes, records) = (builder.finish().unwrap(), i64::try_from(count).unwrap());
        self.log(id).add(Sent { bytes, records, timestamp, sequence, keyed })
    }

    pub(crate) fn log(&mut self, id: PartitionId) -> &mut Log {
        self.model.logs.get_mut(&id).unwrap()
    }

    /// Hands a batch over.
    pub(crate) fn submit(&mut self, partition: PartitionId, number: usize, sync: bool) {
        let (ticket, leader_epoch) = (self.ticket(), self.model.leader_epoch);
        self.tickets.insert(ticket.0, (partition, number, leader_epoch));
        let log = self.log(partition);
        log.attempt(number, leader_epoch);
        let origin = if log.journal { Origin::Broker } else { Origin::Client };
        let records = Bytes::from_vec(log.sent[number].bytes.clone());
        let append = Append { ticket, partition, records, sync, leader_epoch, now: NOW, origin };
        self.storage().submit(Job::Append(append));
    }

    /// Makes a batch and hands it over.
    pub(crate) fn send(&mut self, partition: PartitionId, size: u64, sync: bool) {
        let number = self.batch(partition, None, size);
        self.submit(partition, number, sync);
    }

    /// Somebody deletes the records below an offset.
    pub(crate) fn trim(&mut self, partition: PartitionId, offset: Offset) {
        self.log(partition).may_begin_at(offset);
        let ticket = self.ticket();
        self.trims.insert(ticket.0, offset);
        self.storage().submit(Job::Trim { ticket, partition, offset });
    }

    /// The broker looks after a partition at some time, which can be trusted.
    pub(crate) fn upkeep(&mut self, partition: PartitionId, now: i64, free: bool) {
        let upkeep = Upkeep { partition, now, expire: true, stepped: 0, free };
        self.log(partition).may_remove(&upkeep);
        self.upkeeps.push(upkeep);
        self.storage().submit(Job::Upkeep(upkeep));
    }

    /// The disk is asked again whether there is room.
    pub(crate) fn look_for_space(&mut self) -> Run {
        self.storage().submit(Job::LookForSpace);
        self.settle()
    }

    /// Submits any other job; its outcome, if it has one with this ticket, is kept.
    pub(crate) fn ask(&mut self, job: impl FnOnce(Ticket) -> Job) -> Run<Outcome> {
        let ticket = self.ticket();
        self.storage().submit(job(ticket));
        self.settle()?;
        Ok(self.answers.remove(&ticket.0).ok_or("a job is not answered".to_owned())?)
    }

    /// One worker, chosen by chance, goes on. `false`: nobody has anything to do.
    pub(crate) fn step(&mut self) -> Run<bool> {
        let runnable = self.storage().runnable();
        if runnable.is_empty() {
            return Ok(false);
        }
        let chosen = self.below(u64::try_from(runnable.len()).unwrap());
        let worker: Worker = runnable[usize::try_from(chosen).unwrap()];
        self.now = self.now.plus_ms(1);
        let now = self.now;
        self.storage().step(worker, now);
        self.hear()?;
        Ok(true)
    }

    pub(crate) fn steps(&mut self, most: u64) -> Run {
        for _ in 0..self.below(most + 1) {
            self.step()?;
        }
        Ok(())
    }

    /// Until nobody has anything to do.
    pub(crate) fn settle(&mut self) -> Run {
        while self.step()? {}
        self.alive()
    }

    /// The next deadline passes.
    pub(crate) fn tick(&mut self) -> Run {
        if let Some(at) = self.storage().next_deadline() {
            self.now = self.now.max(at);
            self.storage().tick(at);
        }
        self.hear()
    }

    /// A clean stop.
    pub(crate) fn stop(&mut self) -> Run {
        let stopped = self.storage.take().unwrap().shutdown(NOW);
        self.alive()?;
        match stopped {
            Ok(()) => {}
            Err(_) if self.faulty => return Ok(()),
            Err(error) => return Err(self.failed("stop", &error)),
        }
        for log in self.model.logs.values_mut() {
            log.synced(log.end())?;
        }
        Ok(())
    }

    /// Takes what is reported. What was done well before the process died was heard of, too.
    fn hear(&mut self) -> Run {
        let mut outcomes = Vec::new();
        self.storage().take_outcomes(&mut outcomes);
        for outcome in outcomes {
            self.on(outcome)?;
        }
        self.alive()
    }

    fn on(&mut self, outcome: Outcome) -> Run {
        let excused = self.faulty || self.fs.is_crashed();
        match outcome {
            Outcome::Opened { ticket, result, .. } => {
                self.opened.insert(ticket.0, result);
            }
            Outcome::Appended { ticket, result, .. } => {
                let (id, number, epoch) = self.tickets[&ticket.0];
                let Some(log) = self.model.logs.get_mut(&id) else { return Ok(()) };
                match result {
                    Ok(appended) => {
                        log.appended(number, epoch, &appended)?;
                        let waiting = self.upkeeps.iter().filter(|upkeep| upkeep.partition == id);
                        waiting.for_each(|upkeep| log.may_remove(upkeep));
                    }
                    // Behind a write that failed, sequences have gaps.
                    Err(_) if self.fs.is_crashed() => {}
                    Err(_) if self.faulty => log.refused(number),
                    Err(error) => return Err(End::Wrong(format!("append: {error:?}"))),
                }
            }
            Outcome::Synced { partition, end, result } => {
                let Some(log) = self.model.logs.get_mut(&partition) else { return Ok(()) };
                match result {
                    Ok(()) => log.synced(end)?,
                    Err(_) if excused => {}
                    Err(error) => return Err(End::Wrong(format!("sync: {error}"))),
                }
            }
            Outcome::Removed { result: Err(error), .. } if !excused => {
                return Err(self.failed("remove", &error));
            }
            Outcome::Trimmed { ticket, partition, result } => {
                let asked = self.trims[&ticket.0];
                match result {
                    Ok(start) => {
                        let log = self.log(partition);
                        if start < asked || start > log.start_most {
                            let reason = format!("a trim to {asked} is answered with {start}");
                            return Err(End::Wrong(reason));
                        }
                        log.start_least = log.start_least.max(start);
                    }
                    Err(_) if excused => {}
                    Err(error) => return Err(self.failed("trim", &error)),
                }
            }
            Outcome::Upkept(upkept) => {
                let done = |upkeep: &Upkeep| upkeep.partition == upkept.partition;
                self.upkeeps.iter().position(done).map(|place| self.upkeeps.remove(place));
                let log = self.log(upkept.partition);
                if upkept.log_start > log.start_most {
                    return Err(End::Wrong(format!("{upkept:?} instead of {}", log.start_most)));
                }
            }
            Outcome::Read { ticket, .. } | Outcome::Times { ticket, .. } => {
                self.answers.insert(ticket.0, outcome);
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn read(
        &mut self,
        partition: PartitionId,
        offset: Offset,
        end: Offset,
        bytes_max: usize,
    ) -> Run<Vec<u8>> {
        let part = ReadPart { partition, offset, end, bytes_max };
        let answer = self.ask(|ticket| {
            let parts = vec![part];
            let (magic_max, committed) = (2, false);
            Job::Read(Read {
                ticket,
                bytes_max,
                whole_first_batch: true,
                parts,
                magic_max,
                committed,
            })
        })?;
        let Outcome::Read { parts, .. } = answer else { unreachable!() };
        let payloads = parts[0].clone().map_err(|error| format!("read at {offset}: {error:?}"))?;
        Ok(flatten(&payloads))
    }

    /// What the indexes say must be what is there.
    pub(crate) fn judge_searches(&mut self, contents: &Contents) -> Run {
        for (id, (opened, found)) in contents {
            if found.is_empty() || self.model.logs[id].journal {
                continue;
            }
            let chosen = usize::try_from(self.below(1000)).unwrap() % found.len();
            let wanted = &found[chosen];
            let offset = (wanted.next - 1).max(opened.log_start);
            let bytes = self.read(*id, offset, opened.log_end, 1)?;
            let first = batches(&bytes)?.first().map(|batch| (batch.base, batch.next));
            if first.is_none_or(|(base, next)| offset < base || next <= offset) {
                let reason = format!("a read at {offset} gives {first:?} instead of {wanted:?}");
                return Err(End::Wrong(reason));
            }
            let log = &self.model.logs[id];
            let time = log.sent[wanted.number].timestamp + 1;
            let (first, largest) = log.by_time(found, opened.log_start, time);
            let query = |target| TimeQuery { partition: *id, target, end: opened.log_end };
            let queries = vec![query(TimeTarget::AtOrAfter(time)), query(TimeTarget::Largest)];
            let answer = self.ask(|ticket| Job::FindTimes(FindTimes { ticket, queries }))?;
            let Outcome::Times { results, .. } = answer else { unreachable!() };
            let given: Vec<_> =
                results.into_iter().map(|r| r.map(|t| t.first().map(|t| t.offset))).collect();
            if given != [Ok(first), Ok(largest)] {
                let reason = format!("by time {given:?} instead of {first:?} and {largest:?}");
                return Err(End::Wrong(reason));
            }
        }
        Ok(())
    }

    /// What was acknowledged is a duplicate when it comes again, and its producer's next batch is not.
    pub(crate) fn judge_producers(&mut self) -> Run {
        let ids: Vec<PartitionId> = self.model.logs.keys().copied().collect();
        for id in ids {
            let retries = self.log(id).retriable();
            for found in &retries {
                let before = self.log(id).end();
                self.submit(id, found.number, true);
                self.settle()?;
                if self.log(id).end() != before {
                    return Err(End::Wrong(format!("{found:?} is not known for a duplicate")));
                }
            }
            let newest: BTreeMap<i64, usize> = retries
                .iter()
                .filter_map(|f| Some((self.log(id).sent[f.number].sequence?.producer, f.number)))
                .collect();
            for number in newest.into_values() {
                let sent = Arc::clone(&self.log(id).sent[number]);
                let next = sent.sequence.map(|sequence| Sequence {
                    first: sequence.first + i32::try_from(sent.records).unwrap(),
                    ..sequence
                });
                let number = self.batch(id, next, 20);
                self.submit(id, number, true);
                self.settle()?;
            }
        }
        Ok(())
    }
}

fn flatten(payloads: &[Payload]) -> Vec<u8> {
    let mut all = Vec::new();
    for payload in payloads {
        match payload {
            Payload::Bytes(bytes) => all.extend_from_slice(bytes),
            Payload::File(range) => {
                let mut bytes = vec![0; range.len];
                let read = range.file.read_at(&mut bytes, range.position).unwrap();
                bytes.truncate(read);
                all.extend(bytes);
            }
        }
    }
    all
}
