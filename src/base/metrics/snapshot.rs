//! What only the broker knows at the moment of a scrape, copied out of it and bounded.

use std::sync::Arc;

use crate::base::ids::Offset;

/// A partition.
#[derive(Clone, Debug)]
pub struct PartitionFacts {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
    /// The first offset that is kept.
    pub log_start: Offset,
    /// The next offset.
    pub log_end: Offset,
    /// Bytes of its segments, if known.
    pub bytes: Option<u64>,
}

/// A group.
#[derive(Clone, Debug)]
pub struct GroupFacts {
    /// Its name.
    pub group: Arc<str>,
    /// How many members it has.
    pub members: usize,
}

/// A group's commit for one partition.
#[derive(Clone, Debug)]
pub struct CommitFacts {
    /// The group's name.
    pub group: Arc<str>,
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
    /// The next offset that the group will read.
    pub committed: Offset,
    /// The partition's end; the difference is the group's lag.
    pub log_end: Offset,
}

/// The broker's part of a scrape. The totals are whole; of the single things no more are kept than the bound.
#[derive(Debug)]
pub struct Snapshot {
    /// How many topics there are.
    pub topics: usize,
    /// How many partitions there are.
    pub partitions: usize,
    /// How many groups there are.
    pub groups: usize,
    /// How many members all groups have.
    pub members: usize,
    pub(super) of_partitions: Vec<PartitionFacts>,
    pub(super) of_groups: Vec<GroupFacts>,
    pub(super) of_commits: Vec<CommitFacts>,
    pub(super) series_cut: u64,
    series_left: usize,
}

/// Labels longer than this are not shown: a piece of text must fit into a chunk.
const LABELS_BYTES_MAX: usize = 1024;

impl Snapshot {
    /// An empty one that will hold at most this many series of partitions, groups and commits together.
    #[must_use]
    pub fn new(series_max: usize) -> Snapshot {
        Snapshot {
            topics: 0,
            partitions: 0,
            groups: 0,
            members: 0,
            of_partitions: Vec::new(),
            of_groups: Vec::new(),
            of_commits: Vec::new(),
            series_cut: 0,
            series_left: series_max,
        }
    }

    /// Adds the partitions, as far as there is room.
    pub fn add_partitions(&mut self, partitions: impl IntoIterator<Item = PartitionFacts>) {
        for facts in partitions {
            if self.takes(3, facts.topic.len()) {
                self.of_partitions.push(facts);
            }
        }
    }

    /// Adds the groups, as far as there is room.
    pub fn add_groups(&mut self, groups: impl IntoIterator<Item = GroupFacts>) {
        for facts in groups {
            if self.takes(1, facts.group.len()) {
                self.of_groups.push(facts);
            }
        }
    }

    /// Adds the commits, as far as there is room.
    pub fn add_commits(&mut self, commits: impl IntoIterator<Item = CommitFacts>) {
        for facts in commits {
            if self.takes(2, facts.group.len() + facts.topic.len()) {
                self.of_commits.push(facts);
            }
        }
    }

    /// Whether there is room for so many series with labels of this length. What has none is counted.
    fn takes(&mut self, series: usize, labels_bytes: usize) -> bool {
        let takes = series <= self.series_left && labels_bytes <= LABELS_BYTES_MAX;
        if takes {
            self.series_left -= series;
        } else {
            self.series_cut += u64::try_from(series).unwrap_or(u64::MAX);
        }
        takes
    }
}
