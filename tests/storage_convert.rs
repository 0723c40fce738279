//! Records that are converted before they are appended: which are taken, and what the others are told.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may")]

use std::io::Write;

use chronik::base::payload::Bytes;
use chronik::record::batch::BatchHeader;
use chronik::record::compression::{Codec, Compressor};
use chronik::record::message_set::Format;
use chronik::record::message_set_builder::{MessageSetBuilder, SetOptions};
use chronik::record::records::{Headers, Record};
use chronik::record::{TimestampType, builder::BatchBuilder};
use chronik::storage::job::{AppendError, Convert, Job, Outcome};

#[path = "support/storage.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use support::{Bench, NOW, TempDir, compressed};

/// Converts, for a topic that takes batches of so many bytes.
fn convert(
    bench: &Bench,
    records: &[u8],
    codec: Option<Codec>,
    batch_bytes_max: usize,
) -> Result<Bytes, AppendError> {
    let ticket = bench.ticket();
    bench.storage.submit(Job::Convert(Convert {
        ticket,
        records: Bytes::from_vec(records.to_vec()),
        codec: codec.map(Codec::number),
        batch_bytes_max,
        decompressed_bytes_max: 1 << 20,
    }));
    bench.wait(|outcome| match outcome {
        Outcome::Converted { ticket: t, result } if *t == ticket => Some(result.clone()),
        _ => None,
    })
}

/// A batch of one record whose value compresses well.
fn large_batch(codec: Codec) -> Vec<u8> {
    let mut builder = BatchBuilder::new(compressed(codec)).unwrap();
    builder.append(NOW, None, Some(&[7; 1000]), &[]).unwrap();
    builder.finish().unwrap()
}

fn small_batch(codec: Codec) -> Vec<u8> {
    let mut builder = BatchBuilder::new(compressed(codec)).unwrap();
    for value in ["a", "b", "c"] {
        builder.append(NOW, None, Some(value.as_bytes()), &[]).unwrap();
    }
    builder.finish().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor::new(Codec::Gzip, Vec::new()).unwrap();
    compressor.write_all(bytes).unwrap();
    compressor.finish().unwrap()
}

/// A message set of format 1 with values of these lengths.
fn old_set(codec: Codec, lengths: &[usize]) -> Vec<u8> {
    let options =
        SetOptions { format: Format::One, codec, timestamp_type: TimestampType::CreateTime };
    let mut builder = MessageSetBuilder::new(options).unwrap();
    for (offset, length) in (0..).zip(lengths) {
        let value = vec![7; *length];
        let value = Some(&*value);
        let record = Record { offset, timestamp: NOW, key: None, value, headers: Headers::NONE };
        builder.append(&record).unwrap();
    }
    builder.finish().unwrap()
}

/// The batch with these bytes somewhere, and the checksum of that.
fn patched(batch: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut batch = batch.to_vec();
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

/// A message of format 1 with this value, whatever that is.
fn wrapper(codec: Codec, value: &[u8]) -> Vec<u8> {
    let mut set = old_set(Codec::None, &[value.len()]);
    let at = set.len() - value.len();
    set[at..].copy_from_slice(value);
    set[17] = codec.number();
    let crc = crc32fast::hash(&set[16..]);
    set[12..16].copy_from_slice(&crc.to_be_bytes());
    set
}

#[test]
fn what_is_wrong_under_a_right_checksum_is_wrong_for_good() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let plain = small_batch(Codec::None);
    let invalid = [
        ("a record too short", patched(&plain, 61, &[2])),
        ("a record too long", patched(&plain, 61, &[40])),
        ("a record beyond the end", patched(&plain, 61, &[0xfe, 0xff, 0x7f])),
        ("a varint without an end", patched(&plain, 61, &[0xff; 6])),
        ("a negative length", patched(&plain, 61, &[5])),
        ("offsets that fall", patched(&plain, 64, &[4])),
        ("no gzip", patched(&plain, 22, &[Codec::Gzip.number()])),
        ("no lz4", patched(&plain, 22, &[Codec::Lz4.number()])),
        (
            "a message cut off",
            [old_set(Codec::None, &[5]), old_set(Codec::None, &[5])[..20].to_vec()].concat(),
        ),
        ("a wrapper around a part", wrapper(Codec::Gzip, &gzip(&old_set(Codec::None, &[5])[..20]))),
        ("a wrapper around nothing", wrapper(Codec::Gzip, &gzip(&[]))),
        ("a wrapper around bytes", wrapper(Codec::Gzip, &gzip(&[9; 60]))),
        ("a wrapper around no gzip", wrapper(Codec::Gzip, b"abcdefgh")),
    ];
    let zstd = Some(Codec::Zstd);
    for (what, records) in invalid {
        let result = convert(&bench, &records, zstd, 1 << 20);
        assert!(matches!(result, Err(AppendError::Invalid(_))), "{what}: {result:?}");
    }
    let mut flipped = plain.clone();
    flipped[70] ^= 1;
    let mut inner = old_set(Codec::None, &[5]);
    inner[30] ^= 1;
    let corrupt = [
        ("a wrong checksum", flipped),
        ("a wrong checksum inside", wrapper(Codec::Gzip, &gzip(&inner))),
        ("no format", patched(&plain, 16, &[9])),
        ("a batch too short for its header", patched(&plain, 8, &[0, 0, 0, 9])),
    ];
    for (what, records) in corrupt {
        let result = convert(&bench, &records, zstd, 1 << 20);
        assert!(matches!(result, Err(AppendError::Corrupt(_))), "{what}: {result:?}");
    }
    bench.stop();
}

#[test]
fn what_comes_too_large_is_refused_though_it_would_be_kept_small() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    let gzip = Some(Codec::Gzip);
    let plain = large_batch(Codec::None);
    let kept = convert(&bench, &plain, gzip, plain.len()).unwrap();
    assert!(kept.len() < 200);
    for (records, bytes_max) in [
        (plain, 1000),
        ([large_batch(Codec::Gzip), large_batch(Codec::None)].concat(), 1000),
        (old_set(Codec::None, &[10, 1000]), 1000),
        (old_set(Codec::Gzip, &[1000]), 60),
    ] {
        assert_eq!(convert(&bench, &records, gzip, bytes_max), Err(AppendError::TooLarge));
    }
    // Each message is small enough, and so is the wrapper of a large one.
    for records in [old_set(Codec::None, &[400, 400, 400]), old_set(Codec::Gzip, &[1000])] {
        let batch = convert(&bench, &records, gzip, 500).unwrap();
        assert_eq!(BatchHeader::read(&batch).unwrap().codec(), Ok(Codec::Gzip));
    }
    bench.stop();
}
