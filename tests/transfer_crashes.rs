//! An import that dies at any operation leaves nothing, or all of it: never a broker that starts with half of it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a failed expectation is a failed test, and the directories to be moved lie on the disk"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chronik::base::ids::{PartitionId, TopicId};
use chronik::base::memory::Pool;
use chronik::base::time::{Mono, Now};
use chronik::broker::Broker;
use chronik::broker::event::{Effect, Event};
use chronik::broker::journal::Log;
use chronik::broker::options::Options as BrokerOptions;
use chronik::broker::topic_table::{METADATA_TOPIC, OFFSETS_TOPIC};
use chronik::record::records::RecordReader;
use chronik::storage::damage::DamagePolicy;
use chronik::storage::fs::{Fs, OpenMode, write_full};
use chronik::storage::job::Outcome;
use chronik::storage::pool::{FileLimits, Options, SpaceOptions};
use chronik::storage::stepped::Stepped;
use chronik::testing::fs::{Image, SimFs};
use chronik::transfer::{self, Around};

const NOW: i64 = 1_800_000_000_000;
const KAFKA: &str = "/kafka";
const OURS: &str = "/ours";

/// A disk with a stopped Kafka, and with a stopped Chronik if that is wanted; all of it durable.
fn disk(with_ours: bool) -> Arc<SimFs> {
    let fs = SimFs::new();
    let golden = Path::new("tests/data/golden");
    load(&fs, &golden.join("kafka-4.4.0/data"), Path::new(KAFKA));
    if with_ours {
        load(&fs, &golden.join("1-clean/data"), Path::new(OURS));
    }
    fs.image(Image::Everything)
}

fn load(fs: &SimFs, from: &Path, to: &Path) {
    fs.create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            load(fs, &entry.path(), &target);
        } else {
            let file = fs.open(&target, OpenMode::Create).unwrap();
            write_full(&*file, &std::fs::read(entry.path()).unwrap(), 0).unwrap();
        }
    }
}

fn around(fs: &Arc<SimFs>) -> Around {
    Around { fs: Arc::<SimFs>::clone(fs), now: NOW, seed: 7 }
}

fn import(fs: &Arc<SimFs>, topics: &str) -> Result<(), String> {
    let args = ["--from", KAFKA, "--topics", topics, OURS].map(str::to_owned);
    transfer::import(&args, &around(fs), &mut Vec::new()).map_err(|error| error.to_string())
}

/// What is in the data directory, as the export tells it after a whole start and a clean stop.
fn told(fs: &Arc<SimFs>) -> String {
    start_and_stop(fs);
    let args = [OURS, "--to", "/exported"].map(str::to_owned);
    let mut out = Vec::new();
    transfer::export(&args, &around(fs), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// A broker's start, up to where it would listen, and its clean stop.
fn start_and_stop(fs: &Arc<SimFs>) {
    let node_id = if fs.read(&Path::new(OURS).join("meta.properties")).is_some_and(is_of_node_1) {
        1
    } else {
        0
    };
    let (mut storage, started) = Stepped::start(&options(fs, node_id)).unwrap();
    let broker_options = BrokerOptions { node_id, ..BrokerOptions::default() };
    let mut broker = Broker::new(broker_options, 8);
    let end = replay(&mut storage, &mut broker, Log::Metadata, TopicId::METADATA);
    let offsets = broker.metadata_recovered(end, !started.clean);
    let offsets_end = offsets.map(|topic| replay(&mut storage, &mut broker, Log::Offsets, topic));
    let metadata = PartitionId { topic: TopicId::METADATA, index: 0 };
    let topics = broker.topics().iter();
    let known = topics.flat_map(|t| t.partition_ids().map(|id| (id, Arc::clone(&t.name))));
    let known: Vec<_> = known.chain([(metadata, Arc::from(METADATA_TOPIC))]).collect();
    storage.sort_out_directories(&known, &[]).unwrap();
    let now = Now { mono: Mono(1), wall: NOW };
    let (mut effects, mut outcomes) = (Vec::new(), Vec::new());
    broker.start(offsets_end, now, &mut effects);
    while !broker.is_ready() {
        for effect in effects.drain(..) {
            match effect {
                Effect::Job(job) => storage.submit(job),
                Effect::Fatal { reason } => panic!("{reason}"),
                _ => {}
            }
        }
        for worker in storage.runnable() {
            storage.step(worker, now.mono);
        }
        storage.take_outcomes(&mut outcomes);
        for outcome in outcomes.drain(..) {
            if let Outcome::Opened { result: Err(error), .. } = &outcome {
                panic!("{error}");
            }
            broker.handle(Event::Outcome(outcome), now, &mut effects);
        }
        broker.end_turn(now, &mut effects);
    }
    storage.shutdown(NOW).unwrap();
}

fn is_of_node_1(meta: Vec<u8>) -> bool {
    String::from_utf8(meta).unwrap().contains("node.id=1\n")
}

fn replay(storage: &mut Stepped, broker: &mut Broker, log: Log, topic: TopicId) -> i64 {
    let name = if log == Log::Metadata { METADATA_TOPIC } else { OFFSETS_TOPIC };
    let config = broker.journal_log_config();
    let partition = PartitionId { topic, index: 0 };
    let opened = storage.replay(partition, name, &config, &mut |_, batch| {
        let mut records = RecordReader::open(batch, 1 << 20).unwrap();
        while let Some(record) = records.next().unwrap() {
            let value = record.value.map(Into::into);
            broker.recover(log, &record.key.unwrap().into(), value.as_ref()).unwrap();
        }
    });
    opened.unwrap().log_end
}

fn options(fs: &Arc<SimFs>, node_id: i32) -> Options {
    Options {
        data_dir: PathBuf::from(OURS),
        fs: Arc::<SimFs>::clone(fs),
        writers: 1,
        readers: 1,
        files: FileLimits { open: 16, unsynced: 16, together: usize::MAX },
        adopt: false,
        compaction: chronik::storage::pool::CompactionLimits::default(),
        damage: DamagePolicy::Fence,
        conversions: Pool::new("conversions", 1 << 20),
        space: SpaceOptions { reserve_bytes: Some(0), ballast_bytes: 0 },
        cluster_id: None,
        new_cluster_id: "cluster".to_owned(),
        new_directory_id: TopicId::from_random([9; 16]),
        node_id,
    }
}

/// Runs an import that dies before each of its operations, and hands over what each image of the disk holds.
fn crash_everywhere(with_ours: bool, topics: &str, judge: impl Fn(u64, Image, &Arc<SimFs>)) {
    let base = disk(with_ours);
    let whole = base.image(Image::Everything);
    import(&whole, topics).unwrap();
    let operations = whole.operations();
    assert!(operations > 50, "only {operations} operations");
    for at in 0..operations {
        let fs = base.image(Image::Everything);
        fs.crash_at(at);
        import(&fs, topics).unwrap_err();
        for how in [Image::Nothing, Image::Everything, Image::Prefix(at), Image::Random(at)] {
            judge(at, how, &fs.image(how));
        }
    }
}

#[test]
fn a_new_directory_is_there_as_a_whole_or_not_at_all() {
    let whole = disk(false);
    import(&whole, "codecs,transactions").unwrap();
    let expected = told(&whole);
    crash_everywhere(false, "codecs,transactions", |at, how, fs| {
        if fs.read(&Path::new(OURS).join("meta.properties")).is_none() {
            import(fs, "codecs,transactions")
                .unwrap_or_else(|error| panic!("again after {at}, {how:?}: {error}"));
        }
        assert_eq!(told(fs), expected, "crash at {at}, {how:?}");
    });
}

#[test]
fn what_was_there_stays_and_what_is_imported_comes_as_a_whole() {
    let before = told(&disk(true));
    let whole = disk(true);
    import(&whole, "transactions").unwrap();
    let after = told(&whole);
    assert!(before != after && after.contains("transactions-0: offsets 0 to 9"), "{after}");
    crash_everywhere(true, "transactions", |at, how, fs| {
        let found = told(&fs.image(Image::Everything));
        assert!(found == before || found == after, "crash at {at}, {how:?}: {found}");
        // An import into what is left goes on where it must.
        let fs = fs.image(Image::Everything);
        start_and_stop(&fs);
        match import(&fs, "transactions") {
            Ok(()) => assert_eq!(found, before),
            Err(error) => {
                assert!(found == after && error.contains("already"), "at {at}, {how:?}: {error}");
            }
        }
        assert_eq!(told(&fs), after, "again after {at}, {how:?}");
    });
}
