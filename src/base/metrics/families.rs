//! The table of metric families: name, help, kind, and how its series are found.
//!
//! The names are those under which Kafka's own metrics are usually exported, so that dashboards fit; what Kafka
//! does not have begins with `chronik_`.

use super::render::{Out, Rendering};
use super::{Metrics, Refusal};

/// A metric with its series.
pub(super) struct Family {
    /// Its name.
    pub(super) name: &'static str,
    /// What it means.
    pub(super) help: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub(super) kind: &'static str,
    /// Writes the n-th series, or passes it over; false: there is none.
    pub(super) series: fn(&Rendering, usize, &mut Out<'_>) -> bool,
}

/// Rows with one series, whose value stands at the end of the row, and rows that find their series themselves.
macro_rules! families {
    ($($kind:ident $name:ident $help:literal $how:ident |$($from:ident),+| $body:expr;)*) => {
        pub(super) const FAMILIES: &[Family] = &[$(Family {
            name: stringify!($name),
            help: $help,
            kind: stringify!($kind),
            series: families!(@$how |$($from),+| $body),
        }),*];
    };
    (@one |$from:ident| $value:expr) => {
        |$from, n, out| {
            if n == 0 {
                out.sample(&[], $value);
            }
            n == 0
        }
    };
    (@each |$from:ident, $n:ident, $out:ident| $body:expr) => {
        |$from, $n, $out| $body
    };
}

families! {
    counter kafka_network_requestmetrics_requests_total
        "Requests answered, by kind and version."
        each |from, n, out| requests(&from.metrics, n, out);
    histogram kafka_network_requestmetrics_latency_seconds
        "Time from a request's last byte in to its answer's last byte handed on, by kind."
        each |from, n, out| latencies(&from.metrics, n, out);
    counter kafka_network_requestmetrics_errors_total
        "Error codes sent, by name."
        each |from, n, out| errors(&from.metrics, n, out);
    counter kafka_server_brokertopicmetrics_bytesin_total
        "Bytes received from clients."
        one |from| from.metrics.bytes_in.get();
    counter kafka_server_brokertopicmetrics_bytesout_total
        "Bytes sent to clients."
        one |from| from.metrics.bytes_out.get();
    counter kafka_server_brokertopicmetrics_messagesin_total
        "Records appended for clients."
        one |from| from.metrics.storage.records.get();
    gauge kafka_server_socketservermetrics_connection_count
        "Connections of clients that are open."
        one |from| from.metrics.connections.open.get();
    counter kafka_server_socketservermetrics_connection_creation_total
        "Connections of clients that were accepted."
        one |from| from.metrics.connections.accepted.get();
    counter chronik_connections_refused_total
        "Connections of clients that were refused, by reason."
        each |from, n, out| refusals(&from.metrics, n, out);
    counter chronik_connections_protocol_errors_total
        "Connections closed because the peer broke the protocol."
        one |from| from.metrics.connections.protocol_errors.get();
    gauge kafka_controller_kafkacontroller_activecontrollercount
        "Always 1: there is one broker."
        one |_from| 1;
    gauge kafka_controller_kafkacontroller_globaltopiccount
        "Topics."
        one |from| from.snapshot.topics;
    gauge kafka_controller_kafkacontroller_offlinepartitionscount
        "Partitions whose files failed."
        one |from| from.metrics.offline_partitions.get();
    gauge kafka_log_logmanager_offlinelogdirectorycount
        "Data directories that take nothing, because the file system is read-only."
        one |from| from.metrics.offline_directories.get();
    gauge kafka_server_replicamanager_partitioncount
        "Partitions."
        one |from| from.snapshot.partitions;
    gauge kafka_server_replicamanager_leadercount
        "Partitions, too: there is one broker."
        one |from| from.snapshot.partitions;
    gauge kafka_server_replicamanager_underreplicatedpartitions
        "Always 0: there is one broker."
        one |_from| 0;
    gauge kafka_log_log_logstartoffset
        "First offset that is kept."
        each |from, n, out| partition(from, n, out, |facts| Some(facts.log_start));
    gauge kafka_log_log_logendoffset
        "Next offset."
        each |from, n, out| partition(from, n, out, |facts| Some(facts.log_end));
    gauge kafka_log_log_size
        "Bytes of a partition's segments."
        each |from, n, out| partition(from, n, out, |facts| i64::try_from(facts.bytes?).ok());
    gauge kafka_coordinator_group_groupmetadatamanager_numgroups
        "Groups."
        one |from| from.snapshot.groups;
    gauge chronik_group_members
        "Members of all groups."
        one |from| from.snapshot.members;
    gauge kafka_consumergroup_members
        "Members of a group."
        each |from, n, out| group(from, n, out);
    gauge kafka_consumergroup_current_offset
        "Next offset that a group will read, as it committed it."
        each |from, n, out| commit(from, n, out, |committed, _| committed);
    gauge kafka_consumergroup_lag
        "Offsets from a group's commit to the partition's end."
        each |from, n, out| commit(from, n, out, |committed, end| end.saturating_sub(committed).max(0));
    histogram chronik_storage_sync_seconds
        "Time of a sync."
        each |from, n, out| syncs(&from.metrics, n, out);
    counter chronik_storage_syncs_failed_total
        "Syncs that failed."
        one |from| from.metrics.storage.syncs_failed.get();
    counter chronik_storage_writes_failed_total
        "Appends that the disk refused."
        one |from| from.metrics.storage.writes_failed.get();
    counter chronik_retention_segments_removed_total
        "Segments removed for their age, for space or because their records were deleted."
        one |from| from.metrics.storage.segments_removed.get();
    counter chronik_retention_bytes_removed_total
        "Bytes of records in the segments removed."
        one |from| from.metrics.storage.segment_bytes_removed.get();
    counter chronik_storage_refused_for_space_total
        "Appends of clients refused because little room is left on the disk."
        one |from| from.metrics.storage.refused_for_space.get();
    gauge chronik_disk_free_bytes
        "Free bytes on the data directory's file system, as of the last look."
        one |from| from.metrics.disk.free.get();
    gauge chronik_disk_reserve_bytes
        "Free bytes below which records are refused."
        one |from| from.metrics.disk.reserve.get();
    gauge chronik_disk_ballast_bytes
        "Bytes set aside for what the broker records on a full disk."
        one |from| from.metrics.disk.ballast.get();
    gauge chronik_disk_state
        "0: all is well; 1: nearly full, records are refused; 2: full, changes are refused too; 3: read-only."
        one |from| from.metrics.disk.state.get();
    counter chronik_storage_written_bytes_total
        "Bytes of batches appended to logs, the broker's own among them."
        one |from| from.metrics.storage.written_bytes.get();
    counter chronik_storage_payload_bytes_total
        "Bytes of batches appended for clients."
        one |from| from.metrics.storage.payload_bytes.get();
    gauge chronik_storage_damaged_ranges
        "Ranges of logs that were found to be damaged."
        one |from| from.metrics.storage.damaged_ranges.get();
    gauge chronik_storage_damaged_bytes
        "Bytes in those ranges."
        one |from| from.metrics.storage.damaged_bytes.get();
    counter chronik_storage_compaction_rounds_total
        "Rounds of compaction that were finished."
        one |from| from.metrics.storage.compaction_rounds.get();
    counter chronik_storage_compactions_failed_total
        "Rounds of compaction that had to be given up."
        one |from| from.metrics.storage.compactions_failed.get();
    counter chronik_storage_compaction_read_bytes_total
        "Bytes of batches that compaction has read."
        one |from| from.metrics.storage.compaction_read_bytes.get();
    counter chronik_storage_compaction_written_bytes_total
        "Bytes of batches that compaction has written."
        one |from| from.metrics.storage.compaction_written_bytes.get();
    counter chronik_storage_compaction_reclaimed_bytes_total
        "Bytes by which compaction has made logs smaller."
        one |from| from.metrics.storage.compaction_reclaimed_bytes.get();
    counter chronik_storage_compaction_damaged_segments_total
        "Segments that compaction has left alone because they are damaged, in each round anew."
        one |from| from.metrics.storage.compaction_damaged_segments.get();
    counter chronik_storage_kernel_bytes_total
        "Bytes handed to the kernel to be written, for whatever file."
        one |from| from.metrics.kernel.bytes.get();
    counter chronik_storage_kernel_writes_total
        "Calls that handed bytes to the kernel to be written."
        one |from| from.metrics.kernel.writes.get();
    counter chronik_storage_kernel_syncs_total
        "Syncs, by what was synced."
        each |from, n, out| kernel_syncs(&from.metrics, n, out);
    counter chronik_storage_kernel_names_total
        "Directories made, files and directories renamed or removed."
        one |from| from.metrics.kernel.names.get();
    counter chronik_storage_scanned_bytes_total
        "Bytes of logs that this start read to find where they end."
        one |from| from.metrics.storage.scanned_bytes.get();
    gauge chronik_storage_unclean_start
        "1 if this start found no mark of a clean stop."
        one |from| from.metrics.unclean_start.get();
    gauge chronik_memory_used_bytes
        "Bytes of a memory pool that are in use."
        each |from, n, out| pool(&from.metrics, n, out, false);
    gauge chronik_memory_limit_bytes
        "Bytes of a memory pool."
        each |from, n, out| pool(&from.metrics, n, out, true);
    counter chronik_loop_turns_total
        "Turns of the loop."
        one |from| from.metrics.loop_turns.get();
    counter chronik_log_lines_dropped_total
        "Log lines that were dropped."
        one |from| from.metrics.log_lines_dropped.get();
    counter chronik_panics_caught_total
        "Panics that cost a connection and no more."
        one |from| from.metrics.panics_caught.get();
    gauge chronik_metrics_series_cut
        "Series that this scrape leaves out, because there are too many or their labels are too long."
        one |from| from.snapshot.series_cut;
    gauge chronik_build_info
        "Always 1; the label says which version this is."
        each |_from, n, out| build_info(n, out);
    counter process_cpu_seconds_total
        "Processor time used."
        one |from| from.process.cpu_seconds;
    gauge process_resident_memory_bytes
        "Bytes of memory that are not paged out."
        each |from, n, out| known(n, out, from.process.resident_bytes);
    gauge process_open_fds
        "Open descriptors."
        each |from, n, out| known(n, out, from.process.open_descriptors);
    gauge process_max_fds
        "Most descriptors that may be open."
        each |from, n, out| known(n, out, from.process.descriptors_max);
    gauge process_start_time_seconds
        "When the process started, in seconds since 1970."
        one |from| from.metrics.setup.started / 1000;
}

fn requests(metrics: &Metrics, n: usize, out: &mut Out<'_>) -> bool {
    let Some(counted) = metrics.versions.get(n) else { return false };
    let count = counted.requests.get();
    if count > 0 {
        let version = counted.version.to_string();
        out.sample(&[("request", counted.name), ("version", &version)], count);
    }
    true
}

fn latencies(metrics: &Metrics, n: usize, out: &mut Out<'_>) -> bool {
    let Some(slot) = metrics.apis.get(n) else { return false };
    if let Some(api) = slot.as_ref().filter(|api| api.latency.count() > 0) {
        out.histogram(&[("request", api.name)], &api.latency);
    }
    true
}

fn errors(metrics: &Metrics, n: usize, out: &mut Out<'_>) -> bool {
    let Some(counter) = metrics.errors.get(n) else { return false };
    if counter.get() > 0 {
        // The first place is that of -1.
        let code = i16::try_from(n).map_or(-1, |n| n - 1);
        let labels = [("error", (metrics.setup.error_name)(code)), ("code", &code.to_string())];
        out.sample(&labels, counter.get());
    }
    true
}

fn refusals(metrics: &Metrics, n: usize, out: &mut Out<'_>) -> bool {
    let reasons = [
        ("total", Refusal::Total),
        ("address", Refusal::PerAddress),
        ("descriptors", Refusal::Descriptors),
    ];
    let Some((label, reason)) = reasons.get(n) else { return false };
    out.sample(&[("reason", label)], metrics.connections.refused(*reason).get());
    true
}

fn partition(
    from: &Rendering,
    n: usize,
    out: &mut Out<'_>,
    value: fn(&super::PartitionFacts) -> Option<i64>,
) -> bool {
    let Some(facts) = from.snapshot.of_partitions.get(n) else { return false };
    if let Some(value) = value(facts) {
        let number = facts.partition.to_string();
        out.sample(&[("topic", &facts.topic), ("partition", &number)], value);
    }
    true
}

fn group(from: &Rendering, n: usize, out: &mut Out<'_>) -> bool {
    let Some(facts) = from.snapshot.of_groups.get(n) else { return false };
    out.sample(&[("consumergroup", &facts.group)], facts.members);
    true
}

fn commit(from: &Rendering, n: usize, out: &mut Out<'_>, value: fn(i64, i64) -> i64) -> bool {
    let Some(facts) = from.snapshot.of_commits.get(n) else { return false };
    let number = facts.partition.to_string();
    let labels =
        [("consumergroup", &*facts.group), ("topic", &*facts.topic), ("partition", &*number)];
    out.sample(&labels, value(facts.committed, facts.log_end));
    true
}

fn kernel_syncs(metrics: &Metrics, n: usize, out: &mut Out<'_>) -> bool {
    let disk = metrics.kernel;
    let counted = [
        ("file", &disk.file_syncs),
        ("directory", &disk.directory_syncs),
        ("filesystem", &disk.filesystem_syncs),
    ];
    let Some((of, counter)) = counted.get(n) else { return false };
    out.sample(&[("of", of)], counter.get());
    true
}

fn syncs(metrics: &Metrics, n: usize, out: &mut Out<'_>) -> bool {
    if n == 0 {
        out.histogram(&[], &metrics.storage.sync);
    }
    n == 0
}

fn pool(metrics: &Metrics, n: usize, out: &mut Out<'_>, limit: bool) -> bool {
    let Some(pool) = metrics.setup.pools.get(n) else { return false };
    out.sample(&[("pool", pool.name())], if limit { pool.limit() } else { pool.used() });
    true
}

fn build_info(n: usize, out: &mut Out<'_>) -> bool {
    if n == 0 {
        out.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    }
    n == 0
}

fn known(n: usize, out: &mut Out<'_>, value: Option<u64>) -> bool {
    if let Some(value) = value.filter(|_| n == 0) {
        out.sample(&[], value);
    }
    n == 0
}
