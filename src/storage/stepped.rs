//! Storage without threads: the same workers, each of which goes on when it is told to.
//!
//! What several threads do in any order happens here in the order that a test chooses, and the same order gives the
//! same files.

use std::collections::VecDeque;
use std::sync::Arc;

use super::hub::{Hub, Workers, assemble};
use super::job::{FoundPartition, Job, LogConfig, Opened, Outcome, StorageError};
use super::pool::Options;
use super::reader::ReadCommand;
use super::startup::{StartError, Started};
use super::syncer::SyncCommand;
use super::writer::{Closed, WriteCommand};
use crate::base::ids::{PartitionId, TopicId};
use crate::base::metrics::StorageCounters;
use crate::base::payload::Bytes;
use crate::base::time::{Mono, WallMs};
use crate::record::batch::BatchHeader;

/// Who can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worker {
    /// A writer, by number; 0 is the journal's.
    Writer(usize),
    /// The syncer beside the writer of this number.
    Syncer(usize),
    /// Who syncs the volume for the syncer of this number.
    Volume(usize),
    /// The readers, who share one queue.
    Reader,
}

/// The workers, what waits for each, and what they share.
pub struct Stepped {
    hub: Hub,
    workers: Workers,
    writes: Vec<VecDeque<WriteCommand>>,
    syncs: Vec<VecDeque<SyncCommand>>,
    reads: VecDeque<ReadCommand>,
    /// The syncers that wait for the volume.
    volumes: VecDeque<usize>,
}

impl std::fmt::Debug for Stepped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stepped").field("hub", &self.hub).finish_non_exhaustive()
    }
}

impl Stepped {
    /// Opens the data directory.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn start(options: &Options) -> Result<(Stepped, Started), StartError> {
        let (hub, workers, started) = assemble(options, Arc::new(|| {}))?;
        let writes = workers.writers.iter().map(|_| VecDeque::new()).collect();
        let syncs = workers.syncers.iter().map(|_| VecDeque::new()).collect();
        let (reads, volumes) = (VecDeque::new(), VecDeque::new());
        Ok((Stepped { hub, workers, writes, syncs, reads, volumes }, started))
    }

    /// Hands over a job.
    pub fn submit(&mut self, job: Job) {
        self.hub.submit(job);
    }

    /// Hands over several jobs, each worker's all at once.
    pub fn submit_all(&mut self, jobs: impl Iterator<Item = Job>) {
        self.hub.submit_all(jobs);
    }

    /// Opens a partition of the journal and hands over all its batches, in order.
    ///
    /// # Errors
    /// Why it cannot be read to its end.
    pub fn replay(
        &mut self,
        partition: PartitionId,
        topic: &str,
        config: &Arc<LogConfig>,
        visit: &mut dyn FnMut(&BatchHeader, &Bytes),
    ) -> Result<Opened, StorageError> {
        let answer = self.hub.open_journal(partition, topic, config);
        for number in 0..self.writes.len() {
            self.step(Worker::Writer(number), Mono::default());
        }
        let opened = answer.try_recv().map_err(|_| self.hub.writer_is_gone())??;
        self.hub.read_journal(partition, visit)?;
        Ok(opened)
    }

    /// The partitions that are there though the journal has no record at all.
    ///
    /// # Errors
    /// If there are any, and they are not to be taken in.
    pub fn unrecorded(&self) -> Result<Vec<FoundPartition>, StorageError> {
        self.hub.unrecorded()
    }

    /// Sorts out the partitions' directories once the journal is known.
    ///
    /// # Errors
    /// What the disk refused.
    pub fn sort_out_directories(
        &mut self,
        known: &[(PartitionId, Arc<str>)],
        removed: &[TopicId],
    ) -> Result<(), StorageError> {
        self.hub.sort_out_directories(known, removed)
    }

    /// Those who have something to do, in a fixed order.
    pub fn runnable(&mut self) -> Vec<Worker> {
        self.fetch_commands();
        let with_work = |busy: bool, worker| busy.then_some(worker);
        let writers = self.writes.iter().enumerate();
        let writers =
            writers.filter_map(|(n, queue)| with_work(!queue.is_empty(), Worker::Writer(n)));
        let syncers = self.syncs.iter().enumerate();
        let syncers =
            syncers.filter_map(|(n, queue)| with_work(!queue.is_empty(), Worker::Syncer(n)));
        let volumes = self.volumes.iter().map(|number| Worker::Volume(*number));
        let reader = with_work(!self.reads.is_empty(), Worker::Reader);
        writers.chain(syncers).chain(volumes).chain(reader).collect()
    }

    fn fetch_commands(&mut self) {
        for ((_, from), queue) in self.workers.writers.iter().zip(&mut self.writes) {
            queue.extend(from.all_now());
        }
        for ((_, from), queue) in self.workers.syncers.iter().zip(&mut self.syncs) {
            queue.extend(from.all_now());
        }
        self.reads.extend(self.workers.reads.all_now());
    }

    /// Lets one worker go on: a writer or a syncer with everything that waits for it, as one group; the readers with
    /// one command.
    pub fn step(&mut self, worker: Worker, now: Mono) {
        self.fetch_commands();
        match worker {
            Worker::Writer(number) => {
                let writer = self.workers.writers.get_mut(number);
                if let (Some((writer, _)), Some(queue)) = (writer, self.writes.get_mut(number)) {
                    writer.turn(queue.drain(..));
                }
            }
            Worker::Syncer(number) => {
                let syncer = self.workers.syncers.get_mut(number);
                if let (Some((syncer, _)), Some(queue)) = (syncer, self.syncs.get_mut(number)) {
                    syncer.turn(queue.drain(..), || now);
                    if syncer.is_syncing_volume() && !self.volumes.contains(&number) {
                        self.volumes.push_back(number);
                    }
                }
            }
            Worker::Volume(number) => {
                self.volumes.retain(|wanted| *wanted != number);
                let synced = SyncCommand::VolumeSynced(self.hub.hands().sync_volume());
                if let Some(queue) = self.syncs.get_mut(number) {
                    queue.push_back(synced);
                }
            }
            Worker::Reader => {
                if let Some(command) = self.reads.pop_front() {
                    self.workers.reader.turn(command);
                }
            }
        }
    }

    /// Lets the syncers do what is due by now.
    pub fn tick(&mut self, now: Mono) {
        for (syncer, _) in &mut self.workers.syncers {
            if syncer.next_deadline().is_some_and(|at| at <= now) {
                syncer.turn(std::iter::empty(), || now);
            }
        }
    }

    /// When a syncer wants to go on by itself.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.workers.syncers.iter().filter_map(|(syncer, _)| syncer.next_deadline()).min()
    }

    /// Moves all outcomes that are ready to the end of `taken`.
    pub fn take_outcomes(&mut self, taken: &mut Vec<Outcome>) {
        self.hub.take_outcomes(taken);
    }

    /// What storage counts.
    #[must_use]
    pub fn stats(&self) -> &Arc<StorageCounters> {
        &self.hub.stats
    }

    /// How many unsynced files there may be from now on.
    pub fn set_unsynced_max(&self, files: usize) {
        self.hub.files.set_unsynced_max(files);
    }

    /// Somebody else needs descriptors, as for [`super::pool::Storage::free_descriptors`].
    pub fn free_descriptors(&self) {
        let _ = self.hub.free_descriptors();
    }

    /// Finishes everything, and leaves what a clean start needs, as [`super::pool::Storage::shutdown`] does.
    ///
    /// # Errors
    /// Why the stop is not a clean one.
    pub fn shutdown(mut self, now: WallMs) -> Result<(), StorageError> {
        while let Some(number) = self.volumes.front().copied() {
            self.step(Worker::Volume(number), Mono::default());
        }
        self.fetch_commands();
        self.hub.stop_writers();
        let mut closed = Closed { partitions: Vec::new(), clean: true };
        for ((mut writer, rest), queue) in self.workers.writers.into_iter().zip(self.writes) {
            writer.turn(queue.into_iter().chain(rest.all_now()));
            closed.add(writer.close());
        }
        for ((mut syncer, rest), queue) in self.workers.syncers.into_iter().zip(self.syncs) {
            syncer.turn(queue.into_iter().chain(rest.all_now()), Mono::default);
            closed.clean &= syncer.is_clean();
        }
        for command in self.reads.into_iter().chain(self.workers.reads.all_now()) {
            self.workers.reader.turn(command);
        }
        self.hub.leave(closed, now)
    }
}
