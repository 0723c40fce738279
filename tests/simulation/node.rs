//! One run of the broker: its state machine and its storage on a simulated disk, and who goes on next.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use chronik::base::ids::{PartitionId, TopicId};
use chronik::base::memory::Pool;
use chronik::base::payload::Bytes;
use chronik::base::time::{Mono, Now};
use chronik::broker::Broker;
use chronik::broker::event::Effect;
use chronik::broker::options::Options;
use chronik::broker::random::Random;
use chronik::start::{Disk, open_everything};
use chronik::storage::damage::DamagePolicy;
use chronik::storage::job::{FoundPartition, Job, LogConfig, Opened, Outcome, StorageError};
use chronik::storage::pool;
use chronik::storage::space::SpaceOptions;
use chronik::storage::stepped::{Stepped, Worker};
use chronik::testing::fs::SimFs;

/// The running process.
pub(crate) struct Node {
    pub(crate) broker: Broker,
    pub(crate) storage: Stepped,
    /// Outcomes that the broker was not told of yet.
    pub(crate) outcomes: VecDeque<Outcome>,
    /// What the broker wants done at the end of this turn.
    pub(crate) effects: Vec<Effect>,
}

/// Storage during the start: its workers go on in a random order.
struct AtStart<'a> {
    storage: &'a mut Stepped,
    random: &'a mut Random,
    now: Mono,
}

impl Disk for AtStart<'_> {
    fn replay(
        &mut self,
        partition: PartitionId,
        topic: &str,
        config: &Arc<LogConfig>,
        visit: &mut dyn FnMut(&Bytes),
    ) -> Result<Opened, StorageError> {
        self.storage.replay(partition, topic, config, &mut |_, batch| visit(batch))
    }

    fn unrecorded(&mut self) -> Result<Vec<FoundPartition>, StorageError> {
        self.storage.unrecorded()
    }

    fn sort_out_directories(
        &mut self,
        known: &[(PartitionId, Arc<str>)],
        removed: &[TopicId],
    ) -> Result<(), StorageError> {
        self.storage.sort_out_directories(known, removed)
    }

    fn submit(&mut self, job: Job) {
        self.storage.submit(job);
    }

    fn wait(&mut self, outcomes: &mut Vec<Outcome>) -> Result<(), String> {
        let runnable = self.storage.runnable();
        let worker = pick(&runnable, self.random).ok_or("the start waits for nothing")?;
        self.storage.step(worker, self.now);
        self.storage.take_outcomes(outcomes);
        Ok(())
    }
}

/// Storage on a disk that keeps nothing back, with one writer.
pub(crate) fn options(disk: &Arc<SimFs>, files: pool::FileLimits) -> pool::Options {
    pool::Options {
        data_dir: PathBuf::from("/data"),
        fs: Arc::clone(disk) as _,
        writers: 1,
        readers: 1,
        files,
        damage: DamagePolicy::Fence,
        adopt: false,
        compaction: pool::CompactionLimits::default(),
        conversions: Pool::new("conversions", 1 << 20),
        space: SpaceOptions { reserve_bytes: Some(0), ballast_bytes: 0 },
        cluster_id: None,
        new_cluster_id: "cluster".into(),
        new_directory_id: TopicId([1; 16]),
        node_id: 1,
    }
}

/// One of them.
pub(crate) fn pick(runnable: &[Worker], random: &mut Random) -> Option<Worker> {
    let index = random.next_u64() as usize % runnable.len().max(1);
    runnable.get(index).copied()
}

impl Node {
    /// Starts the process on a disk. Answers also whether the last stop was a clean one.
    pub(crate) fn start(
        disk: &Arc<SimFs>,
        now: Now,
        random: &mut Random,
    ) -> Result<(Node, bool), String> {
        let files = [6, 64][random.next_u64() as usize % 2];
        let together = [1, 2, usize::MAX][random.next_u64() as usize % 3];
        let files = pool::FileLimits { open: files, unsynced: files, together };
        let options = pool::Options {
            writers: 1 + random.next_u64() as usize % 2,
            space: SpaceOptions {
                reserve_bytes: Some(random.next_u64() % 2 * 2000),
                ballast_bytes: random.next_u64() % 2 * 8192,
            },
            new_directory_id: random.topic_id(),
            ..options(disk, files)
        };
        let (mut storage, started) = Stepped::start(&options).map_err(|error| error.to_string())?;
        let options = Options {
            node_id: 1,
            cluster_id: started.cluster_id.clone(),
            auto_create_topics: false,
            ..Options::default()
        };
        let mut broker = Broker::new(options, random.next_u64());
        let mut at_start = AtStart { storage: &mut storage, random, now: now.mono };
        open_everything(&mut at_start, &mut broker, &started, &|| now)?;
        let (outcomes, effects) = (VecDeque::new(), Vec::new());
        Ok((Node { broker, storage, outcomes, effects }, started.clean))
    }

    /// Lets one worker go on, and takes what it reports.
    pub(crate) fn step(&mut self, worker: Worker, now: Now) {
        self.storage.step(worker, now.mono);
        self.take_outcomes();
    }

    pub(crate) fn take_outcomes(&mut self) {
        let mut taken = Vec::new();
        self.storage.take_outcomes(&mut taken);
        self.outcomes.extend(taken);
    }

    /// When somebody wants to go on by itself.
    pub(crate) fn next_deadline(&self) -> Option<Mono> {
        [self.broker.next_deadline(), self.storage.next_deadline()].into_iter().flatten().min()
    }
}
