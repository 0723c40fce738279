//! The metrics' text: what a scraper sees, and that it comes in bounded pieces.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chronik::base::memory::Pool;
use chronik::base::metrics::{
    CHUNK_BYTES_MAX, CommitFacts, GroupFacts, Metrics, PartitionFacts, Process, Refusal, Setup,
    Snapshot,
};

fn metrics() -> Arc<Metrics> {
    Metrics::new(Setup {
        apis: vec![(0, "Produce", 0..=13), (18, "ApiVersions", 0..=5)],
        error_name: |code| if code == 3 { "UNKNOWN_TOPIC_OR_PARTITION" } else { "OTHER" },
        pools: vec![Pool::new("small", 1000)],
        storage: Arc::default(),
        started: 1_700_000_000_000,
    })
}

fn text(metrics: &Arc<Metrics>, snapshot: Snapshot) -> String {
    metrics.render(snapshot, Process::default()).collect()
}

fn partitions(topic: &str, count: i32) -> impl Iterator<Item = PartitionFacts> {
    let topic: Arc<str> = topic.into();
    (0..count).map(move |partition| PartitionFacts {
        topic: Arc::clone(&topic),
        partition,
        log_start: 5,
        log_end: 9,
        bytes: Some(100),
    })
}

#[test]
fn requests_are_counted_by_kind_and_version() {
    let metrics = metrics();
    metrics.request(0, 9, Duration::from_micros(300));
    metrics.request(0, 9, Duration::from_secs(60));
    metrics.request(18, 0, Duration::ZERO);
    for (key, version) in [(0, 99), (0, -1), (7, 0), (-1, 0), (i16::MAX, i16::MAX)] {
        metrics.request(key, version, Duration::ZERO);
    }
    let text = text(&metrics, Snapshot::new(0));
    for line in [
        "kafka_network_requestmetrics_requests_total{request=\"Produce\",version=\"9\"} 2\n",
        "kafka_network_requestmetrics_requests_total{request=\"ApiVersions\",version=\"0\"} 1\n",
        "kafka_network_requestmetrics_latency_seconds_bucket{request=\"Produce\",le=\"0.0005\"} 3\n",
        "kafka_network_requestmetrics_latency_seconds_bucket{request=\"Produce\",le=\"+Inf\"} 4\n",
        "kafka_network_requestmetrics_latency_seconds_sum{request=\"Produce\"} 60.000300\n",
        "kafka_network_requestmetrics_latency_seconds_count{request=\"Produce\"} 4\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn errors_refusals_pools_and_the_process_are_shown() {
    let metrics = metrics();
    metrics.error(3);
    for code in [0, -2, i16::MIN, i16::MAX] {
        metrics.error(code);
    }
    metrics.connections.refuse(Refusal::PerAddress);
    let text: String = metrics.render(Snapshot::new(0), Process::observe()).collect();
    for line in [
        "kafka_network_requestmetrics_errors_total{error=\"UNKNOWN_TOPIC_OR_PARTITION\",code=\"3\"} 1\n",
        "chronik_connections_refused_total{reason=\"address\"} 1\n",
        "chronik_memory_limit_bytes{pool=\"small\"} 1000\n",
        "process_start_time_seconds 1700000000\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("OTHER"), "{text}");
    for name in
        ["process_resident_memory_bytes ", "process_open_fds ", "process_cpu_seconds_total "]
    {
        let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert!(value.parse::<f64>().unwrap() > 0.0, "{name}{value}");
    }
}

#[test]
fn lag_is_from_the_commit_to_the_end_and_labels_are_escaped() {
    let mut snapshot = Snapshot::new(10);
    let group: Arc<str> = "a\"b\\c\nd".into();
    snapshot.add_groups([GroupFacts { group: Arc::clone(&group), members: 2 }]);
    let commit = |committed, partition| CommitFacts {
        group: Arc::clone(&group),
        topic: "t".into(),
        partition,
        committed,
        log_end: 10,
    };
    snapshot.add_commits([commit(4, 0), commit(12, 1)]);
    let text = text(&metrics(), snapshot);
    let escaped = r#"consumergroup="a\"b\\c\nd""#;
    for line in [
        format!("kafka_consumergroup_members{{{escaped}}} 2\n"),
        format!("kafka_consumergroup_lag{{{escaped},topic=\"t\",partition=\"0\"}} 6\n"),
        format!("kafka_consumergroup_lag{{{escaped},topic=\"t\",partition=\"1\"}} 0\n"),
        format!("kafka_consumergroup_current_offset{{{escaped},topic=\"t\",partition=\"0\"}} 4\n"),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}

#[test]
fn pieces_are_bounded_and_every_family_is_one_block() {
    let mut snapshot = Snapshot::new(100_000);
    // Every character of these names becomes two.
    snapshot.add_partitions(partitions(&"\"".repeat(249), 2000));
    let group: Arc<str> = "\\".repeat(700).into();
    snapshot.add_groups((0..500).map(|members| GroupFacts { group: Arc::clone(&group), members }));
    let metrics = metrics();
    for version in 0..=13 {
        metrics.request(0, version, Duration::ZERO);
    }
    let pieces: Vec<String> = metrics.render(snapshot, Process::default()).collect();
    assert!(pieces.len() > 10, "{}", pieces.len());
    let largest = pieces.iter().map(String::len).max().unwrap();
    assert!(largest <= CHUNK_BYTES_MAX, "{largest}");
    let text = pieces.concat();
    let mut seen = BTreeSet::new();
    let mut family = "";
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            family = head.split(' ').next().unwrap();
            assert!(seen.insert(family), "{family} comes twice");
        } else if !line.starts_with('#') {
            assert!(line.starts_with(family), "{line} is not of {family}");
        }
    }
    assert!(text.ends_with('\n'));
}

#[test]
fn series_beyond_the_bound_are_cut_and_counted() {
    let mut snapshot = Snapshot::new(7);
    snapshot.partitions = 100;
    snapshot.add_partitions(partitions("t", 100));
    snapshot.add_groups([
        GroupFacts { group: "g".into(), members: 1 },
        GroupFacts { group: "h".repeat(5000).into(), members: 1 },
    ]);
    let text = text(&metrics(), snapshot);
    assert_eq!(text.matches("kafka_log_log_logendoffset{").count(), 2);
    assert_eq!(text.matches("kafka_consumergroup_members{").count(), 1);
    assert!(text.contains("\nkafka_server_replicamanager_partitioncount 100\n"));
    assert!(text.contains("\nchronik_metrics_series_cut 295\n"), "{text}");
}

#[test]
fn threads_count_without_losing_any() {
    let metrics = metrics();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    metrics.loop_turns.increment();
                    metrics.storage.sync.observe(Duration::from_millis(1));
                }
            });
        }
    });
    assert_eq!((metrics.loop_turns.get(), metrics.storage.sync.count()), (40_000, 40_000));
}
