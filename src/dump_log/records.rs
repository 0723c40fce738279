//! The records inside a batch: one line each, in the words of Kafka's tool.

use std::fmt;
use std::io;

use super::report::Report;
use super::values::{Contents, Text};
use super::walk::{Head, Met, OldHeader};
use crate::record::batch::add_to_sequence;
use crate::record::control::{EndTransaction, Marker};
use crate::record::message_set::{self, Format, Message, Tail};
use crate::record::records::{Record, RecordReader};
use crate::record::{RecordError, TimestampType};

/// The most bytes that the records of one batch may decompress to.
const DECOMPRESSED_BYTES_MAX: usize = 1024 * 1024 * 1024;
const LOG_APPEND_TIME: u8 = 0x08;
const NO_TIMESTAMP: &str = "NoTimestampType";

/// How much of each record is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    /// Whether there is a line for it at all.
    pub(super) lines: bool,
    /// Whether the line has key and value.
    pub(super) data: bool,
    /// What key and value are.
    pub(super) contents: Option<Contents>,
}

/// Why the records of a batch were not read to the end.
#[derive(Debug)]
pub(super) enum Failure {
    /// They are damaged.
    Record(RecordError),
    /// Nothing can be written any more.
    Output(io::Error),
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Failure {
        Failure::Record(error)
    }
}

/// Reads the records of the batch `met`, whose bytes are given. Gives their number, and why there are no more.
pub(super) fn dump(
    bytes: &[u8],
    met: &Met,
    shown: Shown,
    report: &mut Report<'_>,
) -> (u64, Result<(), Failure>) {
    let mut count = 0;
    let mut show = |line: Line<'_>| {
        count += 1;
        if shown.lines { report.line(line).map_err(Failure::Output) } else { Ok(()) }
    };
    let result = match &met.head {
        Head::Batch(_) => each_of_batch(bytes, shown, &mut show),
        Head::Message(_) => each_of_message(bytes, shown, &mut show),
    };
    (count, result)
}

fn each_of_batch(
    bytes: &[u8],
    shown: Shown,
    show: &mut dyn FnMut(Line<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let reader = RecordReader::open(bytes, DECOMPRESSED_BYTES_MAX)?;
    let header = *reader.header();
    reader.for_each(|record| {
        let delta = record.offset.saturating_sub(header.base_offset);
        let sequence = match header.base_sequence {
            first if first < 0 => first,
            first => add_to_sequence(first, i32::try_from(delta).unwrap_or(i32::MAX)),
        };
        show(Line {
            record,
            time: time_name(header.timestamp_type()),
            sequence: Some(sequence),
            control: header.is_control(),
            shown,
        })
    })
}

fn each_of_message(
    bytes: &[u8],
    shown: Shown,
    show: &mut dyn FnMut(Line<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    message_set::for_each(bytes, Tail::Whole, DECOMPRESSED_BYTES_MAX, |message: &Message<'_>| {
        let time = match message.format {
            Format::Zero => NO_TIMESTAMP,
            Format::One => time_name(message.timestamp_type),
        };
        show(Line { record: &message.record, time, sequence: None, control: false, shown })
    })
}

/// Kafka's name of a kind of timestamp.
pub(super) fn time_name(kind: TimestampType) -> &'static str {
    match kind {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

/// The name of an old message's kind of timestamp.
pub(super) fn old_time_name(header: &OldHeader) -> &'static str {
    match header.magic {
        0 => NO_TIMESTAMP,
        _ if header.attributes & LOG_APPEND_TIME != 0 => time_name(TimestampType::LogAppendTime),
        _ => time_name(TimestampType::CreateTime),
    }
}

/// One record.
struct Line<'a> {
    record: &'a Record<'a>,
    time: &'static str,
    /// Only format 2 has sequences and headers.
    sequence: Option<i32>,
    control: bool,
    shown: Shown,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = self.record;
        let size = |field: Option<&[u8]>| field.map_or("-1".to_owned(), |it| it.len().to_string());
        write!(f, "| offset: {} {}: ", record.offset, self.time)?;
        write!(f, "{} keySize: {}", record.timestamp, size(record.key))?;
        write!(f, " valueSize: {}", size(record.value))?;
        if let Some(sequence) = self.sequence {
            write!(f, " sequence: {sequence} headerKeys: [")?;
            for (index, (key, _)) in record.headers.iter().enumerate() {
                write!(f, "{}{}", if index > 0 { "," } else { "" }, Text(key))?;
            }
            f.write_str("]")?;
        }
        match (self.control, self.shown.data) {
            (true, _) => control_fields(f, record),
            (false, true) => data_fields(f, record, self.shown.contents),
            (false, false) => Ok(()),
        }
    }
}

fn control_fields(f: &mut fmt::Formatter<'_>, record: &Record<'_>) -> fmt::Result {
    match EndTransaction::read(record) {
        Ok(Some(end)) => {
            let marker = match end.marker {
                Marker::Abort => "ABORT",
                Marker::Commit => "COMMIT",
            };
            write!(f, " endTxnMarker: {marker} coordinatorEpoch: {}", end.coordinator_epoch)
        }
        Ok(None) => {
            let kind = record.key.and_then(|key| key.get(2..4)?.first_chunk());
            let kind = kind.map_or(-1, |bytes| i16::from_be_bytes(*bytes));
            write!(f, " controlType: {kind} {}", control_name(kind))
        }
        Err(error) => write!(f, " {error}"),
    }
}

/// The markers of a KRaft quorum (KIP-595, KIP-630, KIP-853), which mean nothing to clients.
fn control_name(kind: i16) -> &'static str {
    match kind {
        2 => "LeaderChange",
        3 => "SnapshotHeader",
        4 => "SnapshotFooter",
        5 => "KRaftVersion",
        6 => "KRaftVoters",
        _ => "unknown",
    }
}

fn data_fields(
    f: &mut fmt::Formatter<'_>,
    record: &Record<'_>,
    contents: Option<Contents>,
) -> fmt::Result {
    if let Some(key) = record.key {
        match contents.and_then(|contents| contents.key(key)) {
            Some(decoded) => write!(f, " key: {decoded}")?,
            None => write!(f, " key: {}", Text(key))?,
        }
    }
    let Some(value) = record.value else {
        return if contents.is_some() { f.write_str(" payload: <DELETE>") } else { Ok(()) };
    };
    match contents.and_then(|contents| contents.value(record.key, value)) {
        Some(decoded) => write!(f, " payload: {decoded}"),
        None => write!(f, " payload: {}", Text(value)),
    }
}
