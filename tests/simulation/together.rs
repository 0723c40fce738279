//! Partitions that nobody waits for, whose volume is synced instead of their files: step by step.

use std::sync::Arc;

use chronik::base::ids::{Offset, PartitionId, Ticket, TopicId};
use chronik::base::time::Mono;
use chronik::broker::options::Options;
use chronik::broker::topic_configs::{TopicConfigs, log_config};
use chronik::storage::job::{Append, Job, Open, Origin, Outcome};
use chronik::storage::pool;
use chronik::storage::stepped::{Stepped, Worker};
use chronik::testing::fs::{At, Fault, Image, Kind, Operation, SimFs};

use crate::model::batch;
use crate::node::options;

const FIRST: PartitionId = PartitionId { topic: TopicId([7; 16]), index: 0 };
const SECOND: PartitionId = PartitionId { topic: TopicId([7; 16]), index: 1 };

/// Storage with one writer, where one partition is enough for a sync of the volume.
struct Bench {
    disk: Arc<SimFs>,
    storage: Stepped,
}

impl Bench {
    fn start() -> Bench {
        let disk = SimFs::new();
        let files = pool::FileLimits { open: 8, unsynced: 64, together: 1 };
        let options = options(&disk, files);
        let mut bench = Bench { storage: Stepped::start(&options).unwrap().0, disk };
        let config = log_config(&TopicConfigs::default(), &Options::default().settings);
        let config = Arc::new(config);
        for partition in [FIRST, SECOND] {
            let (ticket, topic, config) = (Ticket(1), Arc::from("t"), Arc::clone(&config));
            bench.storage.submit(Job::Open(Open { ticket, partition, topic, config }));
            bench.step(Worker::Writer(1));
        }
        bench.ends();
        bench
    }

    fn step(&mut self, worker: Worker) {
        assert!(self.storage.runnable().contains(&worker), "{worker:?} has nothing to do");
        self.storage.step(worker, Mono(0));
    }

    /// Writes a batch of three records, and does not sync it yet unless it is `awaited`.
    fn append(&mut self, partition: PartitionId, number: u64, awaited: bool) {
        self.storage.submit(Job::Append(Append {
            ticket: Ticket(2),
            partition,
            records: batch::build(number, 3, false, 0, None),
            sync: awaited,
            leader_epoch: 0,
            now: 0,
            origin: Origin::Client,
        }));
        self.step(Worker::Writer(1));
    }

    /// What nobody waits for is to be synced: the syncer leaves it to the volume.
    fn sync(&mut self, partition: PartitionId) {
        self.storage.submit(Job::Sync { partition, awaited: false });
        self.step(Worker::Writer(1));
        self.step(Worker::Syncer(1));
    }

    /// How far which partitions are synced, as of the reports since the last question. `None`: their sync has failed.
    fn ends(&mut self) -> Vec<(PartitionId, Option<Offset>)> {
        let mut outcomes = Vec::new();
        self.storage.take_outcomes(&mut outcomes);
        let ends = outcomes.into_iter().filter_map(|outcome| match outcome {
            Outcome::Synced { partition, end, result } => {
                Some((partition, result.ok().map(|()| end)))
            }
            _ => None,
        });
        ends.collect()
    }
}

#[test]
fn what_is_written_while_the_volume_is_synced_is_not_covered() {
    let mut bench = Bench::start();
    bench.append(FIRST, 1, false);
    bench.sync(FIRST);
    bench.step(Worker::Volume(1));
    bench.append(FIRST, 2, false);
    bench.step(Worker::Syncer(1));
    assert_eq!(bench.ends(), [(FIRST, Some(3))]);
    bench.sync(FIRST);
    bench.step(Worker::Volume(1));
    bench.step(Worker::Syncer(1));
    assert_eq!(bench.ends(), [(FIRST, Some(6))]);
}

#[test]
fn who_waits_for_a_partition_does_not_wait_for_the_volume() {
    let mut bench = Bench::start();
    bench.append(FIRST, 1, false);
    bench.append(SECOND, 2, false);
    bench.sync(FIRST);
    bench.append(FIRST, 3, true);
    bench.step(Worker::Syncer(1));
    assert_eq!(bench.ends(), [(FIRST, Some(6))]);
    let left = bench.disk.image(Image::Nothing);
    assert!(
        left.files()
            .iter()
            .any(|(path, size)| path.ends_with("t-0/00000000000000000000.log") && *size > 0)
    );
    // The volume's sync has nothing left to tell.
    bench.step(Worker::Volume(1));
    bench.step(Worker::Syncer(1));
    assert_eq!(bench.ends(), []);
}

#[test]
fn a_volume_that_has_lost_something_is_not_believed_again() {
    let mut bench = Bench::start();
    bench.append(FIRST, 1, false);
    bench.sync(FIRST);
    // Not what the volume was synced for, and lost with it.
    bench.append(SECOND, 2, false);
    let at = At::Path("/data".into(), Operation::SyncAll);
    bench.disk.fail(Fault { at, kind: Kind::SyncFails, times: 1 });
    bench.step(Worker::Volume(1));
    bench.step(Worker::Syncer(1));
    assert_eq!(bench.ends(), [(FIRST, None)]);
    bench.sync(SECOND);
    assert_eq!(bench.ends(), [(SECOND, None)]);
}

#[test]
fn a_loss_of_somebody_else_takes_no_partition_offline() {
    let mut bench = Bench::start();
    bench.append(FIRST, 1, false);
    bench.sync(FIRST);
    let at = At::Path("/data".into(), Operation::SyncAll);
    bench.disk.fail(Fault { at, kind: Kind::Enospc, times: 1 });
    bench.step(Worker::Volume(1));
    bench.step(Worker::Syncer(1));
    assert_eq!(bench.ends(), [(FIRST, Some(3))]);
}

#[test]
fn a_clean_stop_waits_for_the_volume() {
    let mut bench = Bench::start();
    bench.append(FIRST, 1, false);
    bench.sync(FIRST);
    bench.append(SECOND, 2, false);
    bench.storage.shutdown(1).unwrap();
    assert_eq!(bench.disk.unsynced(), 0);
}
