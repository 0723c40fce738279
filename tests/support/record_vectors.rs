//! Vectors of records made by Kafka's classes, and records described in the words of the program that made them.

use std::fmt::Write;

use chronik::record::batch::{BatchHeader, MAGIC, Prefix};
use chronik::record::message_set::{self, Tail};
use chronik::record::records::{Record, RecordReader};
use chronik::record::{RecordError, TimestampType};

/// Enough for every vector.
pub(crate) const ROOM: usize = 1 << 20;

/// One file: the bytes, and what Kafka reads in them.
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) description: String,
}

/// All vectors, by name.
pub(crate) fn all() -> Vec<Vector> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/records");
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".hex").map(str::to_owned))
        .collect();
    names.sort();
    assert!(names.len() > 50, "vectors are missing");
    names.iter().map(|name| load(name)).collect()
}

/// One vector.
pub(crate) fn load(name: &str) -> Vector {
    let path = format!("{}/tests/data/records/{name}.hex", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut vector =
        Vector { name: name.to_owned(), bytes: Vec::new(), description: String::new() };
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("#> ") {
            vector.description.push_str(described);
            vector.description.push('\n');
        } else if !line.starts_with('#') {
            let digits: Vec<u8> =
                line.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
            vector.bytes.extend(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]));
        }
    }
    vector
}

/// Batches and messages as the Java program describes them.
pub(crate) fn describe(bytes: &[u8], room: usize) -> Result<String, RecordError> {
    let mut text = String::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let prefix = Prefix::read(rest)?;
        let (batch, after) = rest.split_at_checked(prefix.size).ok_or(RecordError::Truncated)?;
        if prefix.magic == MAGIC {
            describe_batch(&mut text, batch, room)?;
        } else {
            describe_message(&mut text, &prefix, batch, room)?;
        }
        rest = after;
    }
    Ok(text)
}

fn describe_batch(text: &mut String, batch: &[u8], room: usize) -> Result<(), RecordError> {
    chronik::record::batch::verify_crc(batch)?;
    let header = BatchHeader::read(batch)?;
    let kind = match header.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    writeln!(
        text,
        "batch magic=2 size={} codec={} last={} base={} epoch={} max={} type={kind} producer={}/{} \
         sequence={}..{} count={} transactional={} control={}",
        header.size_in_bytes(),
        header.codec()?.name(),
        header.last_offset(),
        header.base_offset,
        header.partition_leader_epoch,
        header.max_timestamp,
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
        header.last_sequence(),
        header.record_count,
        header.is_transactional(),
        header.is_control(),
    )
    .unwrap();
    RecordReader::open(batch, room)?.for_each(|record| {
        describe_record(text, record);
        Ok(())
    })
}

fn describe_message(
    text: &mut String,
    prefix: &Prefix,
    bytes: &[u8],
    room: usize,
) -> Result<(), RecordError> {
    let codec = message_set::codec(bytes)?.name();
    let Prefix { magic, size, offset } = prefix;
    writeln!(text, "batch magic={magic} size={size} codec={codec} last={offset}").unwrap();
    message_set::for_each(bytes, Tail::Whole, room, |message| {
        describe_record(text, &message.record);
        Ok(())
    })
}

fn describe_record(text: &mut String, record: &Record<'_>) {
    let Record { offset, timestamp, key, value, headers } = record;
    write!(text, "record {offset} {timestamp} {} {}", show(*key), show(*value)).unwrap();
    for (name, content) in headers.iter() {
        write!(text, " {}={}", String::from_utf8_lossy(name), show(content)).unwrap();
    }
    text.push('\n');
}

fn show(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "null".to_owned(),
        Some(bytes) if bytes.len() > 64 => {
            format!("{}:{:08x}", bytes.len(), crc32fast::hash(bytes))
        }
        Some(bytes) => bytes.iter().fold("x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
    }
}

/// A description without the sizes of batches, which differ where two compressors do.
pub(crate) fn without_sizes(description: &str) -> String {
    let words = description.split_inclusive(' ').filter(|word| !word.starts_with("size="));
    words.collect()
}
