//! Record formats against Kafka's own classes: what they wrote is read, what is written here they would write too.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests may"
)]

#[path = "support/record_vectors.rs"]
mod vectors;

use chronik::base::payload::Bytes;
use chronik::record::batch::{self, BatchHeader, Batches};
use chronik::record::builder::{BatchBuilder, BatchOptions, without_records};
use chronik::record::compression::Codec;
use chronik::record::control::{EndTransaction, Marker};
use chronik::record::convert;
use chronik::record::message_set::Format;
use chronik::record::message_set_builder::{MessageSetBuilder, SetOptions};
use chronik::record::records::{Headers, Record, RecordReader, check_batch};
use chronik::record::{RecordError, TimestampType};
use vectors::{ROOM, describe, load, without_sizes};

const T: i64 = 1_700_000_000_000;

type PlainRecord = (i64, Option<&'static [u8]>, Option<Vec<u8>>);

/// The records of the vectors without `large` or `gaps` in their names.
fn plain_records() -> [PlainRecord; 4] {
    [
        (T, Some(b"k0"), Some(b"value-0".to_vec())),
        (T + 5, None, Some(b"value-1".to_vec())),
        (T - 1, Some(b"k2"), None),
        (T + 3, Some(b""), Some(vec![b'x'; 300])),
    ]
}

fn plain_batch(options: BatchOptions) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options).unwrap();
    for (index, (timestamp, key, value)) in plain_records().into_iter().enumerate() {
        let all: [(&str, Option<&[u8]>); 2] = [("h1", Some(b"a")), ("h2", None)];
        let headers = if index == 1 { &all[..] } else { &[] };
        builder.append(timestamp, key, value.as_deref(), headers).unwrap();
    }
    builder.finish().unwrap()
}

fn plain_options(codec: Codec) -> BatchOptions {
    BatchOptions { base_offset: 100, leader_epoch: 7, codec, ..BatchOptions::default() }
}

fn gap_batch(codec: Codec) -> Vec<u8> {
    let mut builder = BatchBuilder::new(plain_options(codec)).unwrap();
    for offset in [102, 103, 107, 250] {
        let (key, value) = (format!("k{offset}"), format!("v{offset}"));
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        let timestamp = T + offset;
        let record = Record { offset, timestamp, key, value, headers: Headers::NONE };
        builder.append_record(&record).unwrap();
    }
    builder.finish().unwrap()
}

fn plain_set(options: SetOptions) -> Vec<u8> {
    let stamped = options.timestamp_type == TimestampType::LogAppendTime;
    let mut builder = MessageSetBuilder::new(options).unwrap();
    for (offset, (timestamp, key, value)) in (100..).zip(plain_records()) {
        let timestamp = if stamped { T + 5000 } else { timestamp };
        let value = value.as_deref();
        let record = Record { offset, timestamp, key, value, headers: Headers::NONE };
        builder.append(&record).unwrap();
    }
    builder.finish().unwrap()
}

#[test]
fn everything_that_kafka_wrote_reads_as_kafka_reads_it() {
    for vector in vectors::all() {
        let read = describe(&vector.bytes, ROOM);
        assert_eq!(read.as_ref(), Ok(&vector.description), "{}", vector.name);
    }
}

#[test]
fn uncompressed_batches_are_the_bytes_that_kafka_writes() {
    assert_eq!(plain_batch(plain_options(Codec::None)), load("v2_none").bytes);
    assert_eq!(gap_batch(Codec::None), load("v2_none_gaps").bytes);
    let stamped = BatchOptions { log_append_time: Some(T + 5000), ..plain_options(Codec::None) };
    assert_eq!(plain_batch(stamped), load("v2_none_log_append_time").bytes);

    let mut builder = BatchBuilder::new(BatchOptions::default()).unwrap();
    builder.append(-1, Some(b"k"), Some(b"v"), &[]).unwrap();
    assert_eq!(builder.finish().unwrap(), load("v2_none_no_timestamp").bytes);

    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: 50,
        leader_epoch: 3,
        producer_id: 4000,
        producer_epoch: 5,
        base_sequence: i32::MAX - 1,
        transactional: true,
        ..BatchOptions::default()
    })
    .unwrap();
    for (key, value) in [(b"k0", b"v0"), (b"k1", b"v1"), (b"k2", b"v2")] {
        builder.append(T, Some(key), Some(value), &[]).unwrap();
    }
    assert_eq!(builder.finish().unwrap(), load("v2_none_transactional").bytes);
}

#[test]
fn markers_are_the_bytes_that_kafka_writes() {
    for (marker, name) in [(Marker::Abort, "abort"), (Marker::Commit, "commit")] {
        let expected = load(&format!("v2_marker_{name}")).bytes;
        let end = EndTransaction { marker, coordinator_epoch: 9 };
        let options = BatchOptions {
            base_offset: 77,
            leader_epoch: 3,
            producer_id: 4000,
            producer_epoch: 5,
            ..BatchOptions::default()
        };
        assert_eq!(end.batch(options, T).unwrap(), expected);
        let mut reader = RecordReader::open(&expected, ROOM).unwrap();
        let record = reader.next().unwrap().unwrap();
        assert_eq!(EndTransaction::read(&record), Ok(Some(end)));
    }
}

#[test]
fn a_batch_that_compaction_emptied_is_the_header_that_kafka_writes() {
    let expected = load("v2_empty").bytes;
    let full = BatchHeader {
        attributes: 0x11,
        batch_length: 500,
        base_timestamp: T - 10,
        record_count: 5,
        ..BatchHeader::read(&expected).unwrap()
    };
    assert_eq!(without_records(&full).unwrap(), expected);
}

#[test]
fn uncompressed_message_sets_are_the_bytes_that_kafka_writes() {
    let codec = Codec::None;
    for (format, timestamp_type, name) in [
        (Format::Zero, TimestampType::CreateTime, "v0_none"),
        (Format::One, TimestampType::CreateTime, "v1_none"),
        (Format::One, TimestampType::LogAppendTime, "v1_none_log_append_time"),
    ] {
        let set = plain_set(SetOptions { format, codec, timestamp_type });
        assert_eq!(set, load(name).bytes, "{name}");
    }
}

#[test]
fn down_conversion_yields_what_kafka_yields() {
    for (from, to, format) in [
        ("v2_none", "v2_none_to_v0", Format::Zero),
        ("v2_none", "v2_none_to_v1", Format::One),
        ("v2_none_gaps", "v2_none_gaps_to_v0", Format::Zero),
        ("v2_none_gaps", "v2_none_gaps_to_v1", Format::One),
        ("v2_none_log_append_time", "v2_none_log_append_time_to_v1", Format::One),
        ("v2_gzip_log_append_time", "v2_gzip_log_append_time_to_v1", Format::One),
        ("v2_gzip", "v2_gzip_to_v0", Format::Zero),
        ("v2_gzip", "v2_gzip_to_v1", Format::One),
        ("v2_snappy", "v2_snappy_to_v0", Format::Zero),
        ("v2_snappy", "v2_snappy_to_v1", Format::One),
        ("v2_lz4", "v2_lz4_to_v0", Format::Zero),
        ("v2_lz4", "v2_lz4_to_v1", Format::One),
    ] {
        let converted = convert::down_convert(&load(from).bytes, format, 0, ROOM).unwrap();
        let expected = load(to);
        if from.contains("none") {
            assert_eq!(converted, expected.bytes, "{to}");
        } else {
            let described = describe(&converted, ROOM).unwrap();
            assert_eq!(without_sizes(&described), without_sizes(&expected.description), "{to}");
        }
    }
}

#[test]
fn down_conversion_keeps_gaps_inside_wrappers() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4] {
        for (format, number) in [(Format::Zero, 0), (Format::One, 1)] {
            let batch = gap_batch(codec);
            let converted = convert::down_convert(&batch, format, 0, ROOM).unwrap();
            let expected = load(&format!("v2_{}_gaps_to_v{number}", codec.name()));
            let described = describe(&converted, ROOM).unwrap();
            assert_eq!(without_sizes(&described), without_sizes(&expected.description));
        }
    }
}

#[test]
fn down_conversion_leaves_out_what_old_clients_must_not_see() {
    let mut log = load("v2_marker_commit").bytes;
    assert_eq!(convert::down_convert(&log, Format::One, 0, ROOM), Ok(Vec::new()));
    log.extend(load("v2_none").bytes);
    let from_102 = convert::down_convert(&log, Format::One, 102, ROOM).unwrap();
    let described = describe(&from_102, ROOM).unwrap();
    let offsets: Vec<&str> = described
        .lines()
        .filter_map(|line| line.strip_prefix("record "))
        .map(|line| &line[..3])
        .collect();
    assert_eq!(offsets, ["102", "103"]);
    let zstd = load("v2_zstd").bytes;
    let refused = Err(RecordError::UnsupportedCodec(Codec::Zstd));
    assert_eq!(convert::down_convert(&zstd, Format::One, 0, ROOM), refused);
}

#[test]
fn format_1_goes_down_to_format_0() {
    for codec in ["none", "gzip", "snappy", "lz4"] {
        let set = load(&format!("v1_{codec}")).bytes;
        let converted = convert::down_convert(&set, Format::Zero, 0, ROOM).unwrap();
        let expected = load(&format!("v0_{codec}"));
        let described = describe(&converted, ROOM).unwrap();
        assert_eq!(without_sizes(&described), without_sizes(&expected.description));
    }
}

#[test]
fn up_conversion_keeps_content_codec_and_timestamps() {
    for (format, codec) in (0..=1)
        .flat_map(|format| ["none", "gzip", "snappy", "lz4"].map(move |codec| (format, codec)))
    {
        for shape in ["", "_large", "_gaps"] {
            let set = load(&format!("v{format}_{codec}{shape}"));
            let batch = convert::up_convert(&set.bytes, None, ROOM).unwrap();
            check_batch(&batch, ROOM).unwrap();
            let header = BatchHeader::read(&batch).unwrap();
            assert_eq!(header.codec().unwrap().name(), codec);
            // The same records, at offsets from 0 on.
            let described = describe(&batch, ROOM).unwrap();
            let records = |text: &str| -> Vec<String> {
                let lines = text.lines().filter_map(|line| line.strip_prefix("record "));
                lines.map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
            };
            assert_eq!(records(&described), records(&set.description), "{}", set.name);
            assert_eq!(
                (header.base_offset, header.last_offset_delta + 1),
                (0, header.record_count)
            );
        }
    }
    let stamped = load("v1_gzip_log_append_time").bytes;
    assert_eq!(convert::up_convert(&stamped, None, ROOM), Err(RecordError::BadTimestamp));
}

#[test]
fn recompression_changes_nothing_but_the_codec() {
    for old in Codec::ALL {
        for new in Codec::ALL {
            for shape in ["", "_large"] {
                let batch = load(&format!("v2_{}{shape}", old.name()));
                let changed = convert::recompress(&batch.bytes, new, ROOM).unwrap();
                let expected = batch
                    .description
                    .replace(&format!("codec={}", old.name()), &format!("codec={}", new.name()));
                let described = describe(&changed, ROOM).unwrap();
                assert_eq!(without_sizes(&described), without_sizes(&expected));
            }
        }
    }
}

#[test]
fn patches_stay_outside_the_checksum_or_renew_it() {
    let mut batch = load("v2_gzip").bytes;
    batch::set_base_offset(&mut batch, 1 << 40).unwrap();
    batch::set_leader_epoch(&mut batch, 12).unwrap();
    batch::verify_crc(&batch).unwrap();
    batch::set_log_append_time(&mut batch, T + 9).unwrap();
    batch::verify_crc(&batch).unwrap();
    let header = BatchHeader::read(&batch).unwrap();
    assert_eq!((header.last_offset(), header.partition_leader_epoch), ((1 << 40) + 3, 12));
    assert_eq!(
        (header.timestamp_type(), header.max_timestamp),
        (TimestampType::LogAppendTime, T + 9)
    );
    let mut reader = RecordReader::open(&batch, ROOM).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().timestamp, T + 9);
}

#[test]
fn times_are_found_record_by_record() {
    for name in ["v2_none", "v2_zstd"] {
        let batch = load(name).bytes;
        let open = || RecordReader::open(&batch, ROOM).unwrap();
        assert_eq!(open().first_at_or_after(T - 5), Ok(Some((100, T))));
        assert_eq!(open().first_at_or_after(T + 1), Ok(Some((101, T + 5))));
        assert_eq!(open().first_at_or_after(T + 6), Ok(None));
        assert_eq!(open().first_largest(), Ok(Some((101, T + 5))));
    }
}

#[test]
fn batches_are_walked_to_the_end_or_the_first_error() {
    let mut log = load("v2_none").bytes;
    log.extend(load("v2_zstd").bytes);
    let whole = Bytes::from_vec(log.clone());
    let counts: Vec<i32> =
        Batches::new(&whole).map(|batch| batch.unwrap().0.record_count).collect();
    assert_eq!(counts, [4, 4]);
    log.pop();
    let cut: Vec<bool> = Batches::new(&Bytes::from_vec(log)).map(|batch| batch.is_ok()).collect();
    assert_eq!(cut, [true, false]);
}

/// With `CHRONIK_RECORDS_OUT`, leaves files there for `tools/vectors-records/run.sh check`: what Chronik writes, and
/// what Kafka should read in it.
#[test]
fn write_for_kafka() {
    let Ok(directory) = std::env::var("CHRONIK_RECORDS_OUT") else { return };
    let save = |name: String, bytes: Vec<u8>| {
        let path = std::path::Path::new(&directory).join(name);
        let text = describe(&bytes, ROOM * 16).unwrap();
        write_file(&path.with_extension("bin"), &bytes);
        write_file(&path.with_extension("txt"), text.as_bytes());
    };
    for codec in Codec::ALL {
        save(format!("new_{}", codec.name()), plain_batch(plain_options(codec)));
        save(format!("new_{}_gaps", codec.name()), gap_batch(codec));
        for (kind, content) in awkward_contents().into_iter().enumerate() {
            let mut builder = BatchBuilder::new(plain_options(codec)).unwrap();
            builder.append(T, Some(b"key"), Some(&content), &[]).unwrap();
            builder.append(T, None, Some(&content[..content.len() / 3]), &[]).unwrap();
            save(format!("new_{}_content_{kind}", codec.name()), builder.finish().unwrap());
        }
        let timestamp_type = TimestampType::CreateTime;
        for format in [Format::Zero, Format::One] {
            if codec == Codec::Zstd {
                continue;
            }
            let name = format!("old_{}_{}", format.magic(), codec.name());
            save(name.clone(), plain_set(SetOptions { format, codec, timestamp_type }));
            let gaps = convert::down_convert(&gap_batch(codec), format, 0, ROOM).unwrap();
            save(format!("{name}_gaps"), gaps);
            for (kind, content) in awkward_contents().into_iter().enumerate() {
                let mut builder = BatchBuilder::new(plain_options(codec)).unwrap();
                builder.append(T, Some(b"key"), Some(&content), &[]).unwrap();
                let batch = builder.finish().unwrap();
                let set = convert::down_convert(&batch, format, 0, ROOM * 16).unwrap();
                save(format!("{name}_content_{kind}"), set);
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a file for another program, not the broker's")]
fn write_file(path: &std::path::Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}

/// Content on which compressors have failed: nothing, noise, runs, text, sizes around their blocks.
fn awkward_contents() -> Vec<Vec<u8>> {
    let noise = |len: usize| -> Vec<u8> {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let next = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        (0..len).map(next).collect()
    };
    let text = |len: usize| -> Vec<u8> {
        let words = noise(len / 4 + 1);
        let list = ["offset ", "segment ", "index ", "epoch ", "batch\n", "42, ", "\"key\": "];
        let mut out: Vec<u8> = Vec::new();
        for word in words {
            out.extend(list[usize::from(word) % list.len()].as_bytes());
        }
        out.truncate(len);
        out
    };
    let mut contents = vec![Vec::new()];
    for len in [1, 32 * 1024, 64 * 1024, 128 * 1024 - 20, 128 * 1024, 300_000, 3_000_000] {
        contents.extend([noise(len), vec![0; len], text(len)]);
        contents.push(noise(len).into_iter().map(|byte| byte & 3).collect());
    }
    contents
}
