//! A data directory in memory, as a broker leaves it, and what it holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chronik::base::ids::{PartitionId, Ticket, TopicId};
use chronik::base::memory::Pool;
use chronik::base::payload::{Bytes, Payload};
use chronik::base::time::Mono;
use chronik::record::batch::{BatchHeader, HEADER_SIZE};
use chronik::record::builder::{BatchBuilder, BatchOptions};
use chronik::storage::damage::DamagePolicy;
use chronik::storage::fs::Fs;
use chronik::storage::job::*;
use chronik::storage::pool::{FileLimits, Options, SpaceOptions, Started};
use chronik::storage::stepped::Stepped;
use chronik::testing::fs::SimFs;

pub(crate) const NOW: i64 = 1_800_000_000_000;
pub(crate) const DIR: &str = "/data";
pub(crate) const PRODUCER: i64 = 7;
const BATCHES: i64 = 150;
const PER_BATCH: i64 = 3;

pub(crate) const METADATA: PartitionId = PartitionId { topic: TopicId::METADATA, index: 0 };

pub(crate) fn topic() -> PartitionId {
    PartitionId { topic: TopicId::from_random([0x5a; 16]), index: 0 }
}

fn config() -> Arc<LogConfig> {
    Arc::new(LogConfig {
        segment_bytes: 24 << 10,
        segment_ms: i64::MAX,
        index_bytes_max: 10 << 20,
        index_interval_bytes: 1024,
        batch_bytes_max: 1 << 20,
        log_append_time: false,
        timestamp_before_ms_max: i64::MAX,
        timestamp_after_ms_max: i64::MAX,
        compact: false,
        delete: true,
        retention_ms: -1,
        retention_bytes: -1,
        retention_check_ms: i64::MAX,
        delete_retention_ms: 0,
        min_compaction_lag_ms: 0,
        max_compaction_lag_ms: i64::MAX,
        min_dirty_permille: 1000,
    })
}

/// Storage, driven by hand.
pub(crate) struct Node {
    storage: Stepped,
    pub(crate) started: Started,
    /// Values of the journal's records.
    pub(crate) journal: Result<Vec<u8>, StorageError>,
    tickets: u64,
}

impl Node {
    /// Starts on a disk and reads the journal. An error is one that an operator would see.
    pub(crate) fn start(fs: &Arc<SimFs>) -> Result<Node, String> {
        let options = Options {
            data_dir: PathBuf::from(DIR),
            fs: Arc::clone(fs) as Arc<dyn Fs>,
            writers: 1,
            readers: 1,
            files: FileLimits { open: 16, unsynced: 16, together: usize::MAX },
            damage: DamagePolicy::Fence,
            adopt: false,
            compaction: chronik::storage::pool::CompactionLimits::default(),
            conversions: Pool::new("conversions", 1 << 20),
            space: SpaceOptions { reserve_bytes: Some(0), ballast_bytes: 0 },
            cluster_id: None,
            new_cluster_id: "a-cluster".to_owned(),
            new_directory_id: TopicId::from_random([9; 16]),
            node_id: 1,
        };
        let (mut storage, started) = Stepped::start(&options).map_err(|error| error.to_string())?;
        let mut journal = Vec::new();
        let replayed =
            storage.replay(METADATA, "__cluster_metadata", &config(), &mut |_, batch| {
                journal.extend_from_slice(batch);
            });
        Ok(Node { storage, started, journal: replayed.map(|_| journal), tickets: 0 })
    }

    fn run(&mut self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        loop {
            let runnable = self.storage.runnable();
            if runnable.is_empty() {
                self.storage.take_outcomes(&mut outcomes);
                return outcomes;
            }
            runnable.into_iter().for_each(|worker| self.storage.step(worker, Mono(0)));
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    pub(crate) fn open(&mut self) -> Result<Opened, StorageError> {
        let (ticket, partition, topic) = (self.ticket(), topic(), Arc::from("topic"));
        self.storage.submit(Job::Open(Open { ticket, partition, topic, config: config() }));
        let opened = self.run().into_iter().find_map(|outcome| match outcome {
            Outcome::Opened { result, .. } => Some(result),
            _ => None,
        });
        opened.unwrap()
    }

    pub(crate) fn append(
        &mut self,
        partition: PartitionId,
        records: Vec<u8>,
        leader_epoch: i32,
    ) -> Result<Appended, AppendError> {
        let ticket = self.ticket();
        let origin = if partition == METADATA { Origin::Broker } else { Origin::Client };
        let (records, sync, now) = (Bytes::from_vec(records), true, NOW);
        self.storage.submit(Job::Append(Append {
            ticket,
            partition,
            records,
            sync,
            leader_epoch,
            now,
            origin,
        }));
        let appended = self.run().into_iter().find_map(|outcome| match outcome {
            Outcome::Appended { result, .. } => Some(result),
            _ => None,
        });
        appended.unwrap()
    }

    pub(crate) fn read(&mut self, offset: i64) -> Result<Vec<u8>, ReadError> {
        let part = ReadPart { partition: topic(), offset, end: i64::MAX, bytes_max: 1 << 20 };
        let (ticket, parts) = (self.ticket(), vec![part]);
        let (bytes_max, committed) = (1 << 20, false);
        let read =
            Read { ticket, bytes_max, whole_first_batch: true, parts, magic_max: 2, committed };
        self.storage.submit(Job::Read(read));
        let mut parts = self
            .run()
            .into_iter()
            .find_map(|outcome| match outcome {
                Outcome::Read { parts, .. } => Some(parts),
                _ => None,
            })
            .unwrap();
        parts.remove(0).map(|payloads| flatten(&payloads))
    }

    pub(crate) fn find_time(&mut self, target: TimeTarget) -> Result<Option<i64>, ReadError> {
        let ticket = self.ticket();
        let queries = vec![TimeQuery { partition: topic(), target, end: i64::MAX }];
        self.storage.submit(Job::FindTimes(FindTimes { ticket, queries }));
        let found = self.run().into_iter().find_map(|outcome| match outcome {
            Outcome::Times { mut results, .. } => Some(results.remove(0)),
            _ => None,
        });
        found.unwrap().map(|found| found.first().map(|found| found.offset))
    }

    fn stop(self) {
        self.storage.shutdown(NOW).unwrap();
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
                assert_eq!(read, range.len);
                all.extend(bytes);
            }
        }
    }
    all
}

/// The producer's batch of this number; every batch but the last few has rising timestamps.
pub(crate) fn batch(number: i64) -> Vec<u8> {
    let options = BatchOptions {
        producer_id: PRODUCER,
        producer_epoch: 0,
        base_sequence: i32::try_from(number * PER_BATCH).unwrap(),
        ..BatchOptions::default()
    };
    let mut builder = BatchBuilder::new(options).unwrap();
    for record in 0..PER_BATCH {
        let value = format!("{number} {record} {}", "value ".repeat(18));
        let time = NOW + number * PER_BATCH + record;
        builder.append(time, Some(b"key"), Some(value.as_bytes()), &[]).unwrap();
    }
    builder.finish().unwrap()
}

/// A batch as it lies on the disk.
pub(crate) struct Original {
    pub(crate) base: i64,
    pub(crate) next: i64,
    pub(crate) path: PathBuf,
    pub(crate) position: usize,
    pub(crate) bytes: Vec<u8>,
}

/// What the disk holds.
pub(crate) struct Content {
    pub(crate) batches: Vec<Original>,
    pub(crate) end: i64,
    pub(crate) journal: Vec<u8>,
    pub(crate) epochs: Vec<(i32, i64)>,
    pub(crate) started: Started,
}

/// A disk as a clean stop leaves it, and the same as a crash does a moment after the next start.
pub(crate) fn disks() -> (Arc<SimFs>, Arc<SimFs>, Content) {
    let fs = SimFs::new();
    for epoch in 0..3 {
        let mut node = Node::start(&fs).unwrap();
        node.open().unwrap();
        for number in 0..BATCHES / 3 {
            if number % 25 == 0 {
                let mut records = BatchBuilder::new(BatchOptions::default()).unwrap();
                let value = format!("a record of the journal {number}");
                records.append(NOW, Some(b"key"), Some(value.as_bytes()), &[]).unwrap();
                node.append(METADATA, records.finish().unwrap(), epoch).unwrap();
            }
            let number = number + i64::from(epoch) * BATCHES / 3;
            node.append(topic(), batch(number), epoch).unwrap();
        }
        node.stop();
    }
    let clean = fs.killed();
    let mut node = Node::start(&fs).unwrap();
    let opened = node.open().unwrap();
    let content = Content {
        batches: batches(&clean),
        end: opened.log_end,
        journal: node.journal.clone().unwrap(),
        epochs: opened.epochs,
        started: node.started.clone(),
    };
    let crashed = fs.killed();
    (clean, crashed, content)
}

fn batches(fs: &SimFs) -> Vec<Original> {
    let mut all = Vec::new();
    for path in logs(fs, "topic-0") {
        let bytes = fs.read(&path).unwrap();
        let mut position = 0;
        while position + HEADER_SIZE <= bytes.len() {
            let header = BatchHeader::read(&bytes[position..]).unwrap();
            let end = position + header.size_in_bytes();
            all.push(Original {
                base: header.base_offset,
                next: header.next_offset(),
                path: path.clone(),
                position,
                bytes: bytes[position..end].to_vec(),
            });
            position = end;
        }
    }
    all
}

pub(crate) fn logs(fs: &SimFs, dir: &str) -> Vec<PathBuf> {
    let dir = Path::new(DIR).join(dir);
    let files = fs.files().into_iter().map(|(path, _)| path);
    files
        .filter(|path| path.starts_with(&dir) && path.extension().is_some_and(|kind| kind == "log"))
        .collect()
}

/// The batches in what was read, by base offset.
pub(crate) fn split(bytes: &[u8]) -> BTreeMap<i64, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let header = BatchHeader::read(rest).unwrap();
        let (batch, behind) = rest.split_at(header.size_in_bytes());
        assert!(found.insert(header.base_offset, batch.to_vec()).is_none(), "served twice");
        rest = behind;
    }
    found
}
