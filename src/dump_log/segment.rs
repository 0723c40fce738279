//! Segments: one line per batch, and what is wrong between and inside them.

use std::fmt;
use std::path::Path;

use super::records::{self, time_name};
use super::report::Report;
use super::source::Source;
use super::values::Contents;
use super::walk::{self, Head, Met, Missing};
use super::{Options, Stop, base_offset};
use crate::record::batch::BatchHeader;
use crate::record::compression::Codec;

/// The largest batch that is opened; Kafka's own limit is about a gigabyte.
const OPENED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Shows one segment.
pub(super) fn dump(path: &Path, options: Options, report: &mut Report<'_>) -> Result<(), Stop> {
    let source = Source::open(path).map_err(Stop::Input)?;
    let is_log = path.extension().is_none_or(|end| end != "checkpoint" && end != "tail");
    let base = base_offset(path).filter(|_| is_log);
    if let Some(base) = base.filter(|_| options.show) {
        report.line(format_args!("Log starting offset: {base}")).map_err(Stop::Output)?;
    }
    let contents = options.contents.or_else(|| Contents::of_directory(path));
    let mut dump = SegmentDump {
        source,
        options,
        contents,
        report,
        base,
        next_offset: base.unwrap_or(0),
        leader_epoch: -1,
        batches: 0,
        records: 0,
    };
    dump.all()
}

struct SegmentDump<'r, 'a> {
    source: Source,
    options: Options,
    contents: Option<Contents>,
    report: &'r mut Report<'a>,
    /// The offset in the file's name.
    base: Option<i64>,
    /// No offset below this one may follow.
    next_offset: i64,
    /// No leader epoch below this one may follow.
    leader_epoch: i32,
    batches: u64,
    records: u64,
}

impl SegmentDump<'_, '_> {
    fn all(&mut self) -> Result<(), Stop> {
        let mut position = 0;
        while position < self.source.size() {
            position = self.one(position)?;
        }
        let Self { batches, records, .. } = self;
        let size = self.source.size();
        if self.options.verify {
            let line = format_args!("{batches} batches, {records} records, {size} bytes");
            self.report.line(line).map_err(Stop::Output)?;
        }
        Ok(())
    }

    /// Shows what is at `position`; gives where to go on.
    fn one(&mut self, position: u64) -> Result<u64, Stop> {
        let met = match walk::read_head(&mut self.source, position).map_err(Stop::Input)? {
            Ok(met) => met,
            Err(missing) => return self.skip(position, missing),
        };
        let valid = walk::is_valid(&mut self.source, &met).map_err(Stop::Input)?;
        if self.options.show {
            self.report.line(Line { met: &met, valid }).map_err(Stop::Output)?;
        }
        if !valid {
            self.damage(position, "the checksum of the batch is wrong")?;
            return self.behind_bad(&met);
        }
        self.check_order(&met)?;
        self.batches += 1;
        // Not the largest so far: one wrong offset is one damage, not one for every batch behind it.
        self.next_offset = met.last_offset().saturating_add(1);
        if self.options.deep || self.options.verify {
            self.open(&met)?;
        }
        Ok(met.end())
    }

    fn damage(&mut self, position: u64, what: impl fmt::Display) -> Result<(), Stop> {
        self.report.damage(position, what).map_err(Stop::Output)
    }

    /// There is no batch at `position`: says so, and where the next one is.
    fn skip(&mut self, position: u64, missing: Missing) -> Result<u64, Stop> {
        let from = position.saturating_add(1);
        let found = walk::find_batch(&mut self.source, from, self.next_offset);
        let found = found.map_err(Stop::Input)?;
        let starts_with_zero = self.source.peek(position, 1).map_err(Stop::Input)? == [0];
        let next = found.position.unwrap_or(self.source.size());
        let bytes = next.saturating_sub(position);
        if found.only_zeros && starts_with_zero {
            self.damage(position, format_args!("{bytes} bytes of zeros"))?;
        } else {
            self.damage(position, format_args!("{missing}; {bytes} bytes passed over"))?;
        }
        Ok(next)
    }

    /// Where to go on behind a batch with a wrong checksum: its length may be right, or not.
    fn behind_bad(&mut self, met: &Met) -> Result<u64, Stop> {
        if met.end() == self.source.size() {
            return Ok(met.end());
        }
        if let Ok(next) = walk::read_head(&mut self.source, met.end()).map_err(Stop::Input)? {
            if next.base_offset() >= self.next_offset {
                return Ok(met.end());
            }
        }
        let from = met.position.saturating_add(1);
        let found = walk::find_batch(&mut self.source, from, self.next_offset);
        let next = found.map_err(Stop::Input)?.position.unwrap_or(self.source.size());
        let bytes = next.saturating_sub(met.position);
        self.damage(met.position, format_args!("its length, too; {bytes} bytes passed over"))?;
        Ok(next)
    }

    fn check_order(&mut self, met: &Met) -> Result<(), Stop> {
        let (base, next) = (met.base_offset(), self.next_offset);
        if base < next {
            let what = format_args!("the batch begins at offset {base}, expected {next} or later");
            self.damage(met.position, what)?;
        }
        let range = met.last_offset().saturating_sub(self.base.unwrap_or(met.last_offset()));
        if range > i64::from(i32::MAX) {
            self.damage(met.position, "an offset beyond the range of a segment")?;
        }
        let Head::Batch(header) = &met.head else { return Ok(()) };
        if header.last_offset_delta < 0 {
            self.damage(met.position, "the last offset lies before the first")?;
        }
        let (epoch, before) = (header.partition_leader_epoch, self.leader_epoch);
        if epoch < before {
            let what = format_args!("leader epoch {epoch} follows {before}");
            self.damage(met.position, what)?;
        }
        self.leader_epoch = before.max(epoch);
        Ok(())
    }

    /// Reads the records of a batch whose checksum is right.
    fn open(&mut self, met: &Met) -> Result<(), Stop> {
        if met.size > OPENED_BYTES_MAX {
            let what = format_args!("a batch of {} bytes is not opened", met.size);
            return self.damage(met.position, what);
        }
        let bytes = self.source.peek(met.position, met.size).map_err(Stop::Input)?;
        let shown = records::Shown {
            lines: self.options.deep,
            data: self.options.print_data,
            contents: self.contents,
        };
        let (count, result) = records::dump(bytes, met, shown, self.report);
        self.records += count;
        match result {
            Ok(()) => Ok(()),
            Err(records::Failure::Output(error)) => Err(Stop::Output(error)),
            Err(records::Failure::Record(error)) => {
                let what = format_args!("behind {count} records of the batch: {error}");
                self.damage(met.position, what)
            }
        }
    }
}

/// One batch or old message, in the words of Kafka's tool.
struct Line<'a> {
    met: &'a Met,
    valid: bool,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (met, valid) = (self.met, self.valid);
        match &met.head {
            Head::Batch(header) => {
                batch_fields(f, header)?;
                let time = time_name(header.timestamp_type());
                write!(f, " position: {} {time}: ", met.position)?;
                write!(f, "{} size: {} magic: 2", header.max_timestamp, met.size)?;
                let codec = header.codec().map_or("unknown", Codec::name);
                write!(f, " compresscodec: {codec} crc: {} isvalid: {valid}", header.crc)
            }
            Head::Message(header) => {
                write!(f, "offset: {} position: {}", header.offset, met.position)?;
                let time = records::old_time_name(header);
                write!(f, " {time}: {} size: {}", header.timestamp, met.size)?;
                let codec = Codec::from_attributes(i16::from(header.attributes));
                write!(f, " magic: {}", header.magic)?;
                write!(f, " compresscodec: {}", codec.map_or("unknown", Codec::name))?;
                write!(f, " crc: {} isvalid: {valid}", header.crc)
            }
        }
    }
}

fn batch_fields(f: &mut fmt::Formatter<'_>, header: &BatchHeader) -> fmt::Result {
    write!(f, "baseOffset: {} lastOffset: {}", header.base_offset, header.last_offset())?;
    write!(f, " count: {}", header.record_count)?;
    write!(f, " baseSequence: {} lastSequence: {}", header.base_sequence, header.last_sequence())?;
    write!(f, " producerId: {} producerEpoch: {}", header.producer_id, header.producer_epoch)?;
    write!(f, " partitionLeaderEpoch: {}", header.partition_leader_epoch)?;
    write!(f, " isTransactional: {}", header.is_transactional())?;
    write!(f, " isControl: {} deleteHorizonMs: ", header.is_control())?;
    match header.delete_horizon() {
        Some(horizon) => write!(f, "{horizon}"),
        None => f.write_str("none"),
    }
}
