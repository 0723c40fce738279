//! The start: the journal is replayed, what is missing is made, and only then is anybody served.
//!
//! 1. [`Broker::recover`] with every record of `__cluster_metadata`, then [`Broker::metadata_recovered`].
//! 2. [`Broker::recover`] with every record of `__consumer_offsets`, if there is such a topic.
//! 3. [`Broker::start`] opens every partition; it is ready when [`Broker::is_ready`].

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Broker;
use super::event::Effect;
use super::journal::{Log, Position};
use super::metadata_records::{taken_back, to_journal};
use super::topic_configs::{log_config, of_journal};
use super::topic_table::OFFSETS_TOPIC;
use super::topics;
use crate::base::ids::{Offset, TopicId};
use crate::base::payload::Bytes;
use crate::base::planted::{Bug, is_planted};
use crate::base::time::{Now, WallMs};
use crate::storage::job::{FoundPartition, LogConfig};
use crate::wire::messages::internal::metadata::{MetadataRecord, RegisterBrokerRecord};

impl Broker {
    /// The last clean stop was at this time, as [`Broker::stop_time`] gave it.
    pub fn stopped_at(&mut self, wall: WallMs) {
        self.state.upkeep.wrote(wall);
    }

    /// The time that a clean stop writes down, for [`Broker::stopped_at`] of the next start.
    pub fn stop_time(&mut self, now: Now) -> WallMs {
        self.state.upkeep.observe(now);
        self.state.upkeep.clock().believed(now)
    }

    /// Replays one record of the journal.
    ///
    /// # Errors
    /// If it is none of ours: the journal is damaged, or of a later version.
    pub fn recover(&mut self, log: Log, key: &Bytes, value: Option<&Bytes>) -> Result<(), String> {
        match (log, value) {
            (Log::Offsets, value) => {
                self.state.groups.recover(key, value).map_err(|error| error.to_string())
            }
            (Log::Metadata, None) => {
                // Any other tombstone belongs to a topic that was removed.
                if let Some(record) = taken_back(key) {
                    self.recover_metadata(&MetadataRecord::Config(record));
                }
                Ok(())
            }
            (Log::Metadata, Some(value)) => {
                let record = MetadataRecord::decode(value).map_err(|error| error.to_string())?;
                self.recover_metadata(&record);
                Ok(())
            }
        }
    }

    fn recover_metadata(&mut self, record: &MetadataRecord) {
        match record {
            MetadataRecord::RegisterBroker(record) => {
                self.journal.set_leader_epoch(i32::try_from(record.broker_epoch).unwrap_or(0));
            }
            MetadataRecord::ProducerIds(record) => self.state.producer_ids.replay(record),
            record => {
                let table = &mut self.state.table;
                topics::replay(table, &self.options, record, Position::default());
            }
        }
    }

    /// All of `__cluster_metadata` was replayed; it ends at `end`. After an unclean stop the leader epoch rises.
    /// Answers the topic that holds groups and commits, if there is one.
    pub fn metadata_recovered(&mut self, end: Offset, unclean: bool) -> Option<TopicId> {
        self.journal.open(Log::Metadata, TopicId::METADATA, end);
        self.state.producer_ids.loaded();
        if unclean && end > 0 && !is_planted(Bug::EpochNotRaised) {
            // Nobody knows when the last stop was: it may be long ago.
            self.state.upkeep.wrote(1);
            self.raise_leader_epoch();
        }
        self.state.table.get(OFFSETS_TOPIC).map(|topic| topic.id)
    }

    fn raise_leader_epoch(&mut self) {
        let epoch = self.journal.leader_epoch().saturating_add(1);
        let record = MetadataRecord::RegisterBroker(RegisterBrokerRecord {
            broker_id: self.options.node_id,
            incarnation_id: self.random.topic_id(),
            broker_epoch: i64::from(epoch),
            fenced: false,
            ..RegisterBrokerRecord::default()
        });
        if let Ok(encoded) = to_journal(&record) {
            self.journal.record_leader_epoch(encoded);
        }
        self.recover_metadata(&record);
    }

    /// Records topics of which nothing is left but the directories of their partitions. Answers the topic that holds
    /// groups and commits, if it is among them.
    ///
    /// # Errors
    /// If they cannot be recorded.
    pub fn adopt(&mut self, found: &[FoundPartition], now: Now) -> Result<Option<TopicId>, String> {
        let newest = found.iter().map(|partition| partition.leader_epoch).max().unwrap_or(-1);
        if newest >= self.journal.leader_epoch() {
            self.journal.set_leader_epoch(newest);
            self.raise_leader_epoch();
        }
        let mut topics: BTreeMap<&str, Vec<&FoundPartition>> = BTreeMap::new();
        for partition in found {
            topics.entry(&partition.topic).or_default().push(partition);
        }
        let mut effects = Vec::new();
        let (state, mut ctx) = self.split(now, &mut effects);
        for (name, partitions) in topics {
            let id = partitions.iter().find_map(|partition| partition.topic_id);
            let last = partitions.iter().map(|partition| partition.index).max().unwrap_or(0);
            topics::adopt(&mut ctx, &mut state.table, (name, id), last.saturating_add(1))
                .map_err(|(_, reason)| format!("{name} cannot be recorded anew: {reason}"))?;
        }
        Ok(state.table.get(OFFSETS_TOPIC).map(|topic| topic.id))
    }

    /// Opens every partition, and makes the topic of groups and commits if there is none. What deleted topics left
    /// behind is out of the way by now. `offsets_end`: where that one ends, if it was replayed.
    pub fn start(&mut self, offsets_end: Option<Offset>, now: Now, out: &mut Vec<Effect>) {
        let offsets_topic = self.state.table.get(OFFSETS_TOPIC).map(|topic| topic.id);
        if let (Some(topic), Some(end)) = (offsets_topic, offsets_end) {
            self.journal.open(Log::Offsets, topic, end);
        }
        self.clock_was_set(now);
        let (state, mut ctx) = self.split(now, out);
        state.table.names_are_free();
        state.groups.loaded(&mut ctx, &state.table);
        state.topics.open_all(&mut ctx, &state.table);
        if offsets_topic.is_none() {
            match state.topics.create_internal(&mut ctx, &mut state.table, OFFSETS_TOPIC) {
                Ok(topic) => self.journal.open(Log::Offsets, topic, 0),
                Err((_, reason)) => out.push(Effect::Fatal { reason }),
            }
        }
        self.end_turn(now, out);
    }

    /// Lowers commits beyond the end of their partition, which a power cut may have taken back. Answers how many.
    pub fn clamp_commits(&mut self, now: Now, out: &mut Vec<Effect>) -> usize {
        let (state, mut ctx) = self.split(now, out);
        state.groups.clamp(&mut ctx, &state.table)
    }

    /// How the journal's logs are kept.
    #[must_use]
    pub fn journal_log_config(&self) -> Arc<LogConfig> {
        Arc::new(log_config(&of_journal(), &self.options.settings))
    }

    /// The epoch that batches carry: the number of unclean starts.
    #[must_use]
    pub fn leader_epoch(&self) -> i32 {
        self.journal.leader_epoch()
    }

    /// Whether everything is open and durable. What is recorded on a full disk may wait for room for long: until then
    /// records are read, and none is taken.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        (self.journal.is_durable(self.journal.end()) || self.state.disk.is_short())
            && self.state.table.iter().all(super::topic_table::Topic::is_ready)
    }
}
