//! The start behind the sockets: the journal is replayed, every partition opens, and all of that is durable before
//! anybody is served.
//!
//! It knows neither threads nor clocks, so that a simulation starts exactly as the server does.

use std::sync::Arc;

use crate::base::ids::{Offset, PartitionId, TopicId};
use crate::base::payload::Bytes;
use crate::base::time::Now;
use crate::broker::Broker;
use crate::broker::event::{Effect, Event};
use crate::broker::journal::Log;
use crate::broker::topic_table::{METADATA_TOPIC, OFFSETS_TOPIC};
use crate::record::records::RecordReader;
use crate::storage::job::{FoundPartition, Job, LogConfig, Opened, Outcome, StorageError};
use crate::storage::pool::Started;

/// Most bytes that the records of one of the journal's batches take.
const BATCH_BYTES_MAX: usize = 256 << 20;

/// What the start needs of storage.
pub trait Disk {
    /// Opens a partition of the journal and hands over all its batches, in order.
    ///
    /// # Errors
    /// Why it cannot be read to its end.
    /// Gives where the log ends, and how many batches it has.
    fn replay(
        &mut self,
        partition: PartitionId,
        topic: &str,
        config: &Arc<LogConfig>,
        visit: &mut dyn FnMut(&Bytes),
    ) -> Result<Opened, StorageError>;

    /// The partitions that are there though the journal has no record at all.
    ///
    /// # Errors
    /// If there are any, and they are not to be taken in.
    fn unrecorded(&mut self) -> Result<Vec<FoundPartition>, StorageError>;

    /// Sorts out the partitions' directories once the journal is known.
    ///
    /// # Errors
    /// What the disk refused.
    fn sort_out_directories(
        &mut self,
        known: &[(PartitionId, Arc<str>)],
        removed: &[TopicId],
    ) -> Result<(), StorageError>;

    /// Hands over a job.
    fn submit(&mut self, job: Job);

    /// Waits for outcomes; perhaps there are none yet.
    ///
    /// # Errors
    /// If none will ever come.
    fn wait(&mut self, outcomes: &mut Vec<Outcome>) -> Result<(), String>;
}

/// Replays the journal, opens every partition, and waits until all of that is durable. `started`: what storage has found.
///
/// # Errors
/// Why the broker cannot serve, in words.
pub fn open_everything(
    disk: &mut dyn Disk,
    broker: &mut Broker,
    started: &Started,
    clock: &dyn Fn() -> Now,
) -> Result<(), String> {
    if let Some(stopped_at) = started.stopped_at {
        broker.stopped_at(stopped_at);
    }
    let (end, batches) = replay(disk, broker, Log::Metadata, TopicId::METADATA)?;
    let mut offsets_topic = broker.metadata_recovered(end, !started.clean);
    if batches == 0 {
        offsets_topic = adopt(disk, broker, clock())?;
    }
    let offsets_end =
        offsets_topic.map(|topic| replay(disk, broker, Log::Offsets, topic)).transpose()?;
    let offsets_end = offsets_end.map(|(end, _)| end);
    sort_out_directories(disk, broker)?;
    let mut effects = Vec::new();
    broker.start(offsets_end, clock(), &mut effects);
    let mut outcomes = Vec::new();
    loop {
        submit(disk, &mut effects)?;
        if broker.is_ready() {
            let lowered = broker.clamp_commits(clock(), &mut effects);
            if lowered > 0 {
                log::warn!("{lowered} commits lay beyond the end of their log and were lowered");
            }
            broker.end_turn(clock(), &mut effects);
            return submit(disk, &mut effects);
        }
        disk.wait(&mut outcomes)?;
        for outcome in outcomes.drain(..) {
            broker.handle(Event::Outcome(outcome), clock(), &mut effects);
        }
        broker.end_turn(clock(), &mut effects);
    }
}

/// Takes in the partitions whose topics were recorded in a journal that is lost. Gives the topic of groups and commits,
/// if it is among them.
fn adopt(disk: &mut dyn Disk, broker: &mut Broker, now: Now) -> Result<Option<TopicId>, String> {
    let found = disk.unrecorded().map_err(|error| error.to_string())?;
    for partition in &found {
        log::warn!("{}-{} is recorded anew", partition.topic, partition.index);
    }
    broker.adopt(&found, now)
}

fn sort_out_directories(disk: &mut dyn Disk, broker: &Broker) -> Result<(), String> {
    let known = broker
        .topics()
        .iter()
        .flat_map(|topic| topic.partition_ids().map(|id| (id, Arc::clone(&topic.name))));
    let metadata = PartitionId { topic: TopicId::METADATA, index: 0 };
    let known: Vec<_> = known.chain([(metadata, Arc::from(METADATA_TOPIC))]).collect();
    let removed: Vec<TopicId> = broker.topics().removed().collect();
    disk.sort_out_directories(&known, &removed)
        .map_err(|error| format!("cannot tidy the data directory: {error}"))
}

/// Hands over the jobs. There is nobody yet to whom an answer could go.
fn submit(disk: &mut dyn Disk, effects: &mut Vec<Effect>) -> Result<(), String> {
    for effect in effects.drain(..) {
        match effect {
            Effect::Job(job) => disk.submit(job),
            Effect::Fatal { reason } => return Err(reason),
            Effect::Reply { .. } | Effect::Silence { .. } => {}
        }
    }
    Ok(())
}

/// Gives where the log ends, and how many batches it has.
fn replay(
    disk: &mut dyn Disk,
    broker: &mut Broker,
    log: Log,
    topic: TopicId,
) -> Result<(Offset, usize), String> {
    let name = match log {
        Log::Metadata => METADATA_TOPIC,
        Log::Offsets => OFFSETS_TOPIC,
    };
    let partition = PartitionId { topic, index: 0 };
    let config = broker.journal_log_config();
    let mut bad = None;
    let mut batches = 0;
    let mut visit = |batch: &Bytes| {
        batches += 1;
        if let Err(reason) = replay_batch(broker, log, batch) {
            bad.get_or_insert(reason);
        }
    };
    let opened = disk
        .replay(partition, name, &config, &mut visit)
        .map_err(|error| format!("the journal cannot be read: {error}"))?;
    match bad {
        Some(reason) => Err(format!("{name} holds a record of no known kind: {reason}")),
        None => Ok((opened.log_end, batches)),
    }
}

fn replay_batch(broker: &mut Broker, log: Log, batch: &Bytes) -> Result<(), String> {
    let mut records =
        RecordReader::open(batch, BATCH_BYTES_MAX).map_err(|error| error.to_string())?;
    while let Some(record) = records.next().map_err(|error| error.to_string())? {
        let key = Bytes::from(record.key.unwrap_or_default());
        let value = record.value.map(Bytes::from);
        broker.recover(log, &key, value.as_ref())?;
    }
    Ok(())
}
