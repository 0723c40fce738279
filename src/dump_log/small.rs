//! The small files beside the segments: each is read whole, checked whole, and shown a line for each of its entries.

use std::fmt::Display;
use std::io;
use std::path::Path;

use super::report::Report;
use super::source::Source;
use super::{Options, Stop};
use crate::record::batch::add_to_sequence;
use crate::storage::checkpoint::{self, EpochCheckpoint, OffsetCheckpoint};
use crate::storage::earlier_batches::{self, EarlierBatches};
use crate::storage::format::FormatError;
use crate::storage::manifest::{self, Manifest, ManifestPartition};
use crate::storage::marks::{self, MarksFile};
use crate::storage::meta::{self, CleanMarker, MetaProperties, PartitionMetadata};
use crate::storage::snapshot::{self, ProducerEntry, ProducerSnapshot};

/// The largest file that is read whole.
const FILE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The kind of a small file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Small {
    Snapshot,
    EarlierBatches,
    Epochs,
    Offsets,
    Marks,
    Manifest,
    Meta,
    Partition,
    CleanMarker,
}

impl Small {
    /// What a file is, by its name.
    pub(super) fn of(name: &str) -> Option<Small> {
        match name {
            checkpoint::LEADER_EPOCHS => Some(Small::Epochs),
            checkpoint::RECOVERY_POINTS
            | checkpoint::LOG_STARTS
            | checkpoint::HIGH_WATERMARKS
            | "cleaner-offset-checkpoint" => Some(Small::Offsets),
            manifest::FILE_NAME => Some(Small::Manifest),
            meta::META_PROPERTIES => Some(Small::Meta),
            meta::PARTITION_METADATA => Some(Small::Partition),
            meta::CLEAN_MARKER => Some(Small::CleanMarker),
            _ if name.ends_with(snapshot::SUFFIX) => Some(Small::Snapshot),
            _ if name.ends_with(earlier_batches::SUFFIX) => Some(Small::EarlierBatches),
            _ if name.starts_with(marks::FILE_NAME_PREFIX) => Some(Small::Marks),
            _ => None,
        }
    }
}

/// Shows one small file.
pub(super) fn dump(
    path: &Path,
    kind: Small,
    options: Options,
    report: &mut Report<'_>,
) -> Result<(), Stop> {
    let mut source = Source::open(path).map_err(Stop::Input)?;
    let bytes = source.peek(0, FILE_BYTES_MAX).map_err(Stop::Input)?.to_vec();
    let mut lines = Lines { options, report };
    let result = match kind {
        Small::Snapshot => lines.all(ProducerSnapshot::decode(&bytes), snapshot_lines),
        Small::EarlierBatches => lines.all(EarlierBatches::decode(&bytes), earlier_batches_lines),
        Small::Epochs => lines.all(EpochCheckpoint::decode(&bytes), epoch_lines),
        Small::Offsets => lines.all(OffsetCheckpoint::decode(&bytes), offset_lines),
        Small::Marks => lines.marks(MarksFile::decode(&bytes)),
        Small::Manifest => lines.all(Manifest::decode(&bytes), manifest_lines),
        Small::Meta => lines.all(MetaProperties::decode(&bytes), meta_lines),
        Small::Partition => lines.all(PartitionMetadata::decode(&bytes), |partition| {
            vec![format!("topicId: {}", partition.topic_id)]
        }),
        Small::CleanMarker => lines.all(CleanMarker::decode(&bytes), |marker| {
            vec![format!("brokerEpoch: {}", marker.broker_epoch)]
        }),
    };
    result.map_err(Stop::Output)
}

struct Lines<'r, 'a> {
    options: Options,
    report: &'r mut Report<'a>,
}

impl Lines<'_, '_> {
    fn all<T>(
        &mut self,
        decoded: Result<T, FormatError>,
        lines: impl Fn(&T) -> Vec<String>,
    ) -> io::Result<()> {
        match decoded {
            Ok(file) => self.show(lines(&file)),
            Err(error) => self.report.damage_line(error),
        }
    }

    fn show(&mut self, lines: impl IntoIterator<Item = impl Display>) -> io::Result<()> {
        if self.options.show {
            lines.into_iter().try_for_each(|line| self.report.line(line))?;
        }
        Ok(())
    }

    fn marks(&mut self, decoded: Result<MarksFile, FormatError>) -> io::Result<()> {
        if let Ok(file) = &decoded {
            for position in &file.damaged {
                self.report.damage(*position, "a torn slot")?;
            }
        }
        self.all(decoded, marks_lines)
    }
}

fn snapshot_lines(snapshot: &ProducerSnapshot) -> Vec<String> {
    snapshot.producers.iter().map(producer_line).collect()
}

/// In the words of Kafka's tool, which leaves out the batch where there is none.
fn producer_line(producer: &ProducerEntry) -> String {
    let transaction = match producer.transaction_first_offset {
        Some(offset) => offset.to_string(),
        None => "none".to_owned(),
    };
    let mut line = format!(
        "producerId: {} producerEpoch: {} coordinatorEpoch: {} currentTxnFirstOffset: {transaction} \
         lastTimestamp: {}",
        producer.producer_id, producer.epoch, producer.coordinator_epoch, producer.timestamp
    );
    if producer.last_offset >= 0 {
        let first = add_to_sequence(producer.last_sequence, producer.offset_delta.saturating_neg());
        line.push_str(&format!(
            " firstSequence: {first} lastSequence: {} lastOffset: {} offsetDelta: {} timestamp: {}",
            producer.last_sequence, producer.last_offset, producer.offset_delta, producer.timestamp
        ));
    }
    line
}

fn earlier_batches_lines(file: &EarlierBatches) -> Vec<String> {
    let line = |batch: &earlier_batches::EarlierBatch| {
        format!(
            "producerId: {} producerEpoch: {} lastSequence: {} lastOffset: {} offsetDelta: {} timestamp: {}",
            batch.producer_id,
            batch.epoch,
            batch.last_sequence,
            batch.last_offset,
            batch.offset_delta,
            batch.timestamp
        )
    };
    file.batches.iter().map(line).collect()
}

fn epoch_lines(file: &EpochCheckpoint) -> Vec<String> {
    file.epochs
        .iter()
        .map(|(epoch, offset)| format!("epoch: {epoch} startOffset: {offset}"))
        .collect()
}

fn offset_lines(file: &OffsetCheckpoint) -> Vec<String> {
    let entries = file.entries.iter();
    entries
        .map(|entry| {
            format!(
                "topic: {} partition: {} offset: {}",
                entry.topic, entry.partition, entry.offset
            )
        })
        .collect()
}

fn marks_lines(file: &MarksFile) -> Vec<String> {
    let line = |mark: &marks::Mark| {
        format!(
            "topicId: {} partition: {} logStartOffset: {} endOffset: {} segment: {} bytes: {} round: {}",
            mark.partition.topic,
            mark.partition.index,
            mark.log_start,
            mark.end,
            mark.segment_base,
            mark.segment_bytes,
            mark.round
        )
    };
    let first = format!("writer: {} partitions: {}", file.writer, file.marks.len());
    std::iter::once(first).chain(file.marks.values().map(line)).collect()
}

fn manifest_lines(file: &Manifest) -> Vec<String> {
    let first = format!("stoppedAt: {} partitions: {}", file.stopped_at, file.partitions.len());
    let partitions = file.partitions.iter().flat_map(manifest_partition_lines);
    std::iter::once(first).chain(partitions).collect()
}

fn manifest_partition_lines(partition: &ManifestPartition) -> Vec<String> {
    let mut lines = vec![format!(
        "topic: {} partition: {} topicId: {} logStartOffset: {} logEndOffset: {} snapshots: {:?} epochs: {:?}",
        partition.topic,
        partition.partition.index,
        partition.partition.topic,
        partition.log_start,
        partition.log_end,
        partition.snapshots,
        partition.epochs
    )];
    lines.extend(partition.segments.iter().map(|segment| {
        format!(
            "| segment: {} bytes: {} firstTimestamp: {} maxTimestamp: {}",
            segment.base, segment.bytes, segment.first_timestamp, segment.max_timestamp
        )
    }));
    lines
}

fn meta_lines(file: &MetaProperties) -> Vec<String> {
    let directory = file.directory_id.map_or("none".to_owned(), |id| id.to_string());
    let MetaProperties { cluster_id, node_id, format, .. } = file;
    vec![format!(
        "clusterId: {cluster_id} nodeId: {node_id} directoryId: {directory} format: {format}"
    )]
}
