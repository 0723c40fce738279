//! Records that are converted before they are appended: which are taken, and what the others are told.

#![expect(clippy::unwrap_used, reason = "tests may")]

use chronik::base::payload::Bytes;
use chronik::record::batch::BatchHeader;
use chronik::record::compression::Codec;
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
