//! Kafka's small files, as a Kafka broker and Kafka's own classes wrote them, are read and written alike.

use chronik::base::ids::TopicId;
use chronik::storage::checkpoint::{EpochCheckpoint, OffsetCheckpoint};
use chronik::storage::earlier_batches::{EarlierBatch, EarlierBatches};
use chronik::storage::format::FormatProblem;
use chronik::storage::meta::{CleanMarker, MetaProperties, PartitionMetadata};
use chronik::storage::snapshot::{ProducerEntry, ProducerSnapshot};

#[path = "support/hex.rs"]
mod hex;

const TWO: &str = include_str!("data/storage/two.snapshot.hex");
const META: &[u8] = include_bytes!("data/storage/meta.properties");

fn snapshots() -> [Vec<u8>; 6] {
    [
        hex::bytes(TWO),
        hex::bytes(include_str!("data/storage/empty.snapshot.hex")),
        hex::bytes(include_str!("data/storage/mixed-0/00000000000000000061.snapshot.hex")),
        hex::bytes(include_str!("data/storage/mixed-0/00000000000000000064.snapshot.hex")),
        hex::bytes(include_str!("data/storage/orders-1/00000000000000000001.snapshot.hex")),
        hex::bytes(include_str!(
            "data/storage/__consumer_offsets-0/00000000000000000017.snapshot.hex"
        )),
    ]
}

#[test]
fn every_producer_snapshot_of_kafka_is_written_back_byte_for_byte() {
    for bytes in snapshots() {
        assert_eq!(ProducerSnapshot::decode(&bytes).unwrap().encode(), bytes);
    }
}

#[test]
fn a_producer_snapshot_says_what_kafkas_class_put_in() {
    let read = ProducerSnapshot::decode(&hex::bytes(TWO)).unwrap();
    let silent = ProducerEntry {
        producer_id: 1,
        epoch: 0,
        last_sequence: -1,
        last_offset: -1,
        offset_delta: 0,
        timestamp: -1,
        coordinator_epoch: -1,
        transaction_first_offset: None,
    };
    let busy = ProducerEntry {
        producer_id: 4711,
        epoch: 7,
        last_sequence: 44,
        last_offset: 1044,
        offset_delta: 2,
        timestamp: 1_700_000_000_123,
        coordinator_epoch: 3,
        transaction_first_offset: Some(900),
    };
    assert_eq!(read.producers, [silent, busy]);
    assert_eq!(ProducerSnapshot::file_name(61), "00000000000000000061.snapshot");
}

#[test]
fn every_cut_and_every_flipped_bit_of_a_snapshot_is_noticed() {
    let bytes = hex::bytes(TWO);
    for length in 0..bytes.len() {
        assert!(ProducerSnapshot::decode(&bytes[..length]).is_err(), "cut at {length}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(ProducerSnapshot::decode(&bytes).is_err(), "bit {bit}");
    }
}

#[test]
fn a_snapshot_of_another_version_is_refused() {
    let mut bytes = hex::bytes(TWO);
    bytes[1] = 2;
    let problem = FormatProblem::Version { found: 2, newest: 1 };
    assert_eq!(ProducerSnapshot::decode(&bytes).unwrap_err().problem, problem);
}

#[test]
fn earlier_batches_read_back_and_damage_is_noticed() {
    let batch = |last_sequence| EarlierBatch {
        producer_id: 4711,
        epoch: 7,
        last_sequence,
        last_offset: 1000 + i64::from(last_sequence),
        offset_delta: 2,
        timestamp: 1_700_000_000_000,
    };
    let batches = EarlierBatches { batches: (0..4).map(|n| batch(n * 3)).collect() };
    let bytes = batches.encode();
    assert_eq!(EarlierBatches::decode(&bytes).unwrap(), batches);
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(EarlierBatches::decode(&bytes).is_err(), "bit {bit}");
    }
}

#[test]
fn the_checkpoints_of_a_broker_are_written_back_byte_for_byte() {
    let files: [&[u8]; 3] = [
        include_bytes!("data/storage/recovery-point-offset-checkpoint"),
        include_bytes!("data/storage/replication-offset-checkpoint"),
        include_bytes!("data/storage/log-start-offset-checkpoint"),
    ];
    for bytes in files {
        assert_eq!(OffsetCheckpoint::decode(bytes).unwrap().encode(), bytes);
    }
    let read = OffsetCheckpoint::decode(files[0]).unwrap();
    let mixed = read.entries.iter().find(|entry| entry.topic == "mixed").unwrap();
    assert_eq!((mixed.partition, mixed.offset), (0, 64));

    let epochs: &[u8] = include_bytes!("data/storage/mixed-0/leader-epoch-checkpoint");
    let read = EpochCheckpoint::decode(epochs).unwrap();
    assert_eq!(read.epochs, [(0, 0)]);
    assert_eq!(read.encode(), epochs);
}

#[test]
fn the_meta_properties_of_a_broker_are_understood() {
    let read = MetaProperties::decode(META).unwrap();
    assert_eq!(read.cluster_id, "b3Jpb24tYW5kLWNocm9uaQ");
    assert_eq!(read.node_id, 1);
    assert_eq!(read.directory_id, TopicId::parse("aJcuMFHrPVap_uwHSaMkaA"));
    assert_eq!(read.format, 0);
    let mut ours: Vec<String> = lines(&read.encode());
    let mut kafkas: Vec<String> = lines(META);
    ours.sort();
    kafkas.sort();
    assert_eq!(ours, kafkas);
}

/// The lines that are no comments.
fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes)
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn partition_metadata_and_clean_marker_are_written_back_byte_for_byte() {
    let bytes: &[u8] = include_bytes!("data/storage/mixed-0/partition.metadata");
    let read = PartitionMetadata::decode(bytes).unwrap();
    assert_eq!(read.topic_id.to_string(), "1NS0HF2bRPSFyoo84iOnJw");
    assert_eq!(read.encode(), bytes);

    let bytes: &[u8] = include_bytes!("data/storage/kafka_cleanshutdown");
    let read = CleanMarker::decode(bytes).unwrap();
    assert_eq!(read.broker_epoch, 11);
    assert_eq!(read.encode(), bytes);
}
