//! Record batches and old message sets as text.

use std::fmt::Write;

use crate::base::payload::Bytes;
use crate::record::RecordError;
use crate::record::batch::{BatchHeader, HEADER_SIZE, verify_crc};
use crate::record::message_set::{self, Tail};
use crate::record::records::{Record, RecordReader};

/// How many records of a batch or set are shown.
const RECORDS_SHOWN: usize = 20;

/// How many bytes of a key or value are shown.
const BYTES_SHOWN: usize = 48;

/// Decompressed bytes that are looked at.
const DECOMPRESSED_MAX: usize = 16 << 20;

/// Position of the magic byte in batches and messages alike.
const MAGIC_AT: usize = 16;

/// One line for each batch and each of its first records.
#[must_use]
pub fn describe_records(bytes: &Bytes) -> Vec<String> {
    let mut lines = Vec::new();
    match bytes.get(MAGIC_AT) {
        None => lines.push(format!("{} bytes, too few for a batch", bytes.len())),
        Some(0 | 1) => message_set(bytes, &mut lines),
        Some(_) => batches(bytes, &mut lines),
    }
    lines
}

fn batches(bytes: &Bytes, lines: &mut Vec<String>) {
    let mut rest: &[u8] = bytes;
    while !rest.is_empty() {
        let header = match BatchHeader::read(rest) {
            Ok(header) => header,
            Err(error) => return lines.push(format!("{} bytes: {error}", rest.len())),
        };
        let Some((batch, after)) = rest.split_at_checked(header.size_in_bytes()) else {
            return lines.push(format!("{} (cut after {} bytes)", summary(&header), rest.len()));
        };
        rest = after;
        let crc = if verify_crc(batch).is_ok() { "" } else { ", CHECKSUM WRONG" };
        lines.push(format!("{}{crc}", summary(&header)));
        let mut shown = Shown::new(lines);
        let read = RecordReader::open(batch, DECOMPRESSED_MAX)
            .and_then(|reader| reader.for_each(|record| shown.record(record)));
        shown.end(read.err());
    }
}

fn summary(header: &BatchHeader) -> String {
    let mut text = format!(
        "batch of offsets {} to {}: {} records, {} bytes",
        header.base_offset,
        header.last_offset(),
        header.record_count,
        header.size_in_bytes().max(HEADER_SIZE),
    );
    match header.codec() {
        Ok(codec) => {
            let _ = write!(text, ", {}", codec.name());
        }
        Err(error) => {
            let _ = write!(text, ", {error}");
        }
    }
    if header.has_producer() {
        let (id, epoch) = (header.producer_id, header.producer_epoch);
        let _ = write!(text, ", producer {id} epoch {epoch} sequence {}", header.base_sequence);
    }
    if header.is_transactional() {
        text.push_str(", transactional");
    }
    if header.is_control() {
        text.push_str(", control");
    }
    let _ = write!(text, ", leader epoch {}", header.partition_leader_epoch);
    text
}

fn message_set(bytes: &Bytes, lines: &mut Vec<String>) {
    lines.push(format!("message set of {} bytes", bytes.len()));
    let mut shown = Shown::new(lines);
    let read = message_set::for_each(bytes, Tail::MayBeCut, DECOMPRESSED_MAX, |message| {
        shown.record(&message.record)
    });
    shown.end(read.err());
}

/// Shows the first records and counts the rest.
struct Shown<'a> {
    lines: &'a mut Vec<String>,
    count: usize,
}

impl Shown<'_> {
    fn new(lines: &mut Vec<String>) -> Shown<'_> {
        Shown { lines, count: 0 }
    }

    fn record(&mut self, record: &Record<'_>) -> Result<(), RecordError> {
        self.count += 1;
        if self.count <= RECORDS_SHOWN {
            let (key, value) = (bytes_text(record.key), bytes_text(record.value));
            let mut line =
                format!("  {} at {}: key {key}, value {value}", record.offset, record.timestamp);
            for (name, value) in record.headers.iter() {
                let name = String::from_utf8_lossy(name);
                let _ = write!(line, ", header {name:?} {}", bytes_text(value));
            }
            self.lines.push(line);
        }
        Ok(())
    }

    fn end(self, error: Option<RecordError>) {
        if self.count > RECORDS_SHOWN {
            self.lines.push(format!("  and {} more", self.count - RECORDS_SHOWN));
        }
        if let Some(error) = error {
            self.lines.push(format!("  error: {error}"));
        }
    }
}

/// Text where it is text, else hex.
fn bytes_text(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "null".to_owned() };
    let start = bytes.get(..BYTES_SHOWN).unwrap_or(bytes);
    let rest = if start.len() < bytes.len() { "…" } else { "" };
    match std::str::from_utf8(start) {
        Ok(text) if !text.chars().any(char::is_control) => format!("{text:?}{rest}"),
        _ => {
            let hex: String = start.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{hex}{rest} ({} bytes)", bytes.len())
        }
    }
}
