//! The import: what a Kafka node holds is selected, checked and copied; then it is made known in one step.

use std::io::Write;
use std::path::PathBuf;

use super::catalog::Topic;
use super::kafka::Node;
use super::target::{INDEX_INTERVAL_BYTES, Import, Target, known_configs};
use super::{Around, Globs, TransferError, refuse, staging};
use crate::base::ids::PartitionId;
use crate::storage::adopt::{self, Copied, Destination, Original};

/// What was asked for.
pub(super) struct Wanted {
    pub(super) from: Vec<PathBuf>,
    pub(super) topics: Globs,
    pub(super) unclean: bool,
    pub(super) abort_open: bool,
    pub(super) data_dir: PathBuf,
}

/// Does it.
pub(super) fn run(
    wanted: &Wanted,
    around: &Around,
    out: &mut dyn Write,
) -> Result<(), TransferError> {
    let fs = &*around.fs;
    let node = Node::open(fs, &wanted.from, wanted.unclean)?;
    for from in &wanted.from {
        staging::check_apart(&wanted.data_dir, from)?;
    }
    let topics = node.select(&wanted.topics)?;
    wanted.topics.check_chosen(&topics)?;
    let target = Target::open(&wanted.data_dir, around)?;
    let done = copy(wanted, around, &node, &target, topics, out);
    match done {
        Ok(import) => {
            let node_id = import.node_id;
            target.finish(import)?;
            let dir = wanted.data_dir.display();
            writeln!(out, "done; start it with: chronik -d {dir} -o node.id={node_id}")?;
            Ok(())
        }
        Err(error) => {
            target.give_up();
            Err(error)
        }
    }
}

fn copy(
    wanted: &Wanted,
    around: &Around,
    node: &Node,
    target: &Target,
    mut topics: Vec<Topic>,
    out: &mut dyn Write,
) -> Result<Import, TransferError> {
    let fs = &*around.fs;
    target.check_names(&topics)?;
    let Some(first) = node.sources.first() else { return refuse("--from is missing") };
    let mut partitions = Vec::new();
    let mut refusals = Vec::new();
    let mut leader_epoch = 0;
    for topic in &mut topics {
        for key in known_configs(topic) {
            writeln!(out, "{}: {key} is not known here and is left out", topic.name)?;
        }
        for index in topic.partitions.clone() {
            let copied = copy_partition(wanted, around, node, target, topic, index)?;
            report(out, topic, index, &copied, wanted.abort_open, &mut refusals)?;
            leader_epoch = leader_epoch.max(copied.leader_epoch);
            partitions.push(copied.manifest);
        }
    }
    if !refusals.is_empty() {
        return Err(TransferError::Refused(refusals));
    }
    let commits = node.commits(fs)?;
    let wanted_names = |name: &str| topics.iter().any(|topic| topic.name == name);
    let entries = commits.of_topics(wanted_names);
    for source in &node.sources {
        source.check_unused(fs)?;
    }
    let positions = entries.iter().filter(|entry| entry.is_position).count();
    writeln!(
        out,
        "{} topics, {} partitions, {positions} positions of groups",
        topics.len(),
        partitions.len()
    )?;
    tell_rest(node, commits.pending(), out)?;
    Ok(Import {
        cluster_id: first.meta.cluster_id.clone(),
        node_id: target.node_id().unwrap_or(first.meta.node_id),
        topics,
        partitions,
        commits: entries,
        next_producer_id: node.catalog.next_producer_id,
        leader_epoch,
    })
}

fn copy_partition(
    wanted: &Wanted,
    around: &Around,
    node: &Node,
    target: &Target,
    topic: &Topic,
    index: i32,
) -> Result<Copied, TransferError> {
    let Some(found) = node.directory(topic, index) else {
        return refuse(format!("{}-{index} is not in these directories", topic.name));
    };
    let original = Original {
        dir: &found.dir,
        log_start: node.log_start(topic, index),
        torn_from: node.torn_from(topic, index),
    };
    let interval = topic.configs.get("index.interval.bytes").and_then(|text| text.parse().ok());
    let destination = Destination {
        fs: &around.fs,
        dir: &target.staging.join(format!("{}-{index}", topic.name)),
        partition: PartitionId { topic: topic.id, index },
        topic: &topic.name,
        index_interval_bytes: interval.unwrap_or(INDEX_INTERVAL_BYTES),
        leader_epoch: None,
        abort_open: wanted.abort_open.then_some(around.now),
    };
    Ok(adopt::copy_log(&original, &destination)?)
}

fn report(
    out: &mut dyn Write,
    topic: &Topic,
    index: i32,
    copied: &Copied,
    abort_open: bool,
    refusals: &mut Vec<String>,
) -> Result<(), TransferError> {
    let name = format!("{}-{index}", topic.name);
    let (start, end) = (copied.manifest.log_start, copied.manifest.log_end);
    writeln!(out, "{name}: offsets {start} to {end}, {} bytes", copied.bytes)?;
    if copied.torn_bytes > 0 {
        writeln!(
            out,
            "{name}: {} bytes were torn by the crash and are left out",
            copied.torn_bytes
        )?;
    }
    for open in &copied.open {
        let (id, from) = (open.producer_id, open.first_offset);
        let told = format!("{name}: the transaction of producer {id} from offset {from} on");
        if abort_open {
            writeln!(out, "{told} is aborted")?;
        } else {
            refusals.push(format!("{told} is in progress: end it in Kafka, or say --abort-open"));
        }
    }
    Ok(())
}

/// What stays behind.
fn tell_rest(node: &Node, pending: usize, out: &mut dyn Write) -> Result<(), TransferError> {
    if pending > 0 {
        writeln!(out, "{pending} positions belong to transactions in progress and are left out")?;
    }
    if !node.has_metadata {
        writeln!(out, "there is no __cluster_metadata: topics have no settings of their own")?;
    }
    for (name, count) in &node.catalog.others {
        writeln!(out, "{count} records of {name} are not taken over")?;
    }
    for stray in node.strays() {
        writeln!(out, "{} belongs to no topic and is left out", stray.dir.display())?;
    }
    Ok(())
}
