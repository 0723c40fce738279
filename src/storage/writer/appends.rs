//! Appends on their way through the writer: those of each partition together, the broker's own that wait for room on a full
//! disk, and those that wait until there are fewer unsynced files.

use std::collections::BTreeMap;

use super::{Report, Writer};
use crate::base::ids::{PartitionId, Ticket};
use crate::storage::job::{Append, AppendError, Appended, Origin, Outcome, StorageError};
use crate::storage::syncer::SyncCommand;

type AppendResult = Result<Appended, AppendError>;

/// Appends of each partition, in the order of their first.
#[derive(Default)]
pub(super) struct Groups {
    appends: Vec<(PartitionId, Vec<Append>)>,
    /// Where each is among them.
    places: BTreeMap<PartitionId, usize>,
}

impl Groups {
    pub(super) fn add(&mut self, append: Append) {
        let place = self.begin(append.partition);
        if let Some((_, group)) = self.appends.get_mut(place) {
            group.push(append);
        }
    }

    /// Has a partition looked after, even if nothing new comes. Gives its place.
    fn begin(&mut self, partition: PartitionId) -> usize {
        *self.places.entry(partition).or_insert_with(|| {
            self.appends.push((partition, Vec::new()));
            self.appends.len() - 1
        })
    }
}

impl Writer {
    /// Writes all groups, reports, and has synced what somebody waits for.
    pub(super) fn append_groups(&mut self, groups: &mut Groups, report: &mut Report) {
        groups.places.clear();
        let mut to_sync = Vec::new();
        for (id, mut appends) in groups.appends.drain(..) {
            if let Some(held) = self.held.remove(&id) {
                // What waits for room on the disk goes before what has come since.
                appends.splice(0..0, held);
            }
            if self.waits_for_syncs(id, report) {
                self.held.insert(id, appends);
                continue;
            }
            if self.append(id, appends, report) {
                to_sync.push(id);
            }
        }
        if to_sync.is_empty() {
            return;
        }
        self.tell(report);
        let works = to_sync.into_iter().filter_map(|id| self.sync_work(id, true));
        let works: Vec<SyncCommand> = works.collect();
        self.syncer.put_all(works);
    }

    /// Reports what there is. The outcomes of appends come before those of the syncs.
    fn tell(&self, report: &mut Report) {
        self.outcomes.report(report.outcomes.drain(..), !report.loud);
        report.loud = false;
    }

    /// Whether there are too many unsynced files for one more partition to be written to now. Then, and some time before,
    /// everything is on its way to the disk. What the broker writes down itself takes few files, and never waits.
    fn waits_for_syncs(&mut self, id: PartitionId, report: &mut Report) -> bool {
        if self.number == 0 || !self.files.will_have_many_unsynced() {
            return false;
        }
        let is_under_way = self.is_syncing_all || self.sync_all_dirty(report);
        let is_dirty = self.partitions.get(&id).is_some_and(|partition| partition.is_dirty());
        // If nothing is under way the files are others', who see to them.
        is_under_way && !is_dirty && self.files.has_many_unsynced()
    }

    /// Has everything synced, and afterwards tries again what is held. `false`: there is nothing to sync.
    pub(super) fn sync_all_dirty(&mut self, report: &mut Report) -> bool {
        self.tell(report);
        let dirty = self.partitions.values_mut().filter(|partition| partition.is_dirty());
        let works = dirty.map(|partition| SyncCommand::Work(partition.take_sync()));
        let mut commands: Vec<SyncCommand> = works.collect();
        self.is_syncing_all = !commands.is_empty();
        if self.is_syncing_all {
            commands.push(SyncCommand::TellWriter);
            self.syncer.put_all(commands);
        }
        self.is_syncing_all
    }

    fn count(&self, appended: &Appended, origin: Origin) {
        self.stats.written_bytes.add(appended.bytes);
        if origin == Origin::Client && !appended.duplicate {
            let records = appended.end_offset.saturating_sub(appended.base_offset);
            self.stats.records.add(u64::try_from(records).unwrap_or(0));
            self.stats.payload_bytes.add(appended.bytes);
        }
    }

    /// Appends to one partition. `true`: somebody waits for the sync.
    fn append(&mut self, id: PartitionId, appends: Vec<Append>, report: &mut Report) -> bool {
        let results = self.write(id, &appends);
        let mut asked: Vec<(Ticket, bool, Origin, AppendResult)> =
            Vec::with_capacity(appends.len());
        for (append, result) in appends.into_iter().zip(results) {
            let error = storage_error(&result).filter(|error| error.may_pass());
            if let Some(error) = error.filter(|_| append.origin == Origin::Broker) {
                let held = self.held.entry(id).or_default();
                if held.is_empty() {
                    self.files.space.insist(error);
                }
                held.push(append);
            } else {
                // The records' memory is free before anybody hears that it could be.
                asked.push((append.ticket, append.sync, append.origin, result));
            }
        }
        let mut wanted = false;
        for (ticket, sync, origin, result) in asked {
            match &result {
                Ok(appended) => {
                    self.count(appended, origin);
                    wanted |= sync;
                    report.loud |= !sync;
                }
                Err(error) => {
                    self.count_refused(error);
                    report.loud = true;
                }
            }
            report.outcomes.push(Outcome::Appended { ticket, partition: id, result });
        }
        wanted
    }

    /// Writes appends in order. Where the disk is full, the broker's own are tried again with ever less ballast.
    fn write(&mut self, id: PartitionId, appends: &[Append]) -> Vec<AppendResult> {
        self.wake(id);
        let Some(partition) = self.partitions.get_mut(&id) else {
            return appends.iter().map(|_| Err(AppendError::UnknownPartition)).collect();
        };
        let space = &self.files.space;
        let mut results: Vec<AppendResult> = Vec::with_capacity(appends.len());
        let more_producers = loop {
            let rest = appends.get(results.len()..).unwrap_or_default();
            results.extend(partition.append_all(rest));
            let refused = results.iter().position(|result| storage_error(result).is_some());
            let Some((first, error)) =
                refused.and_then(|at| Some((at, storage_error(results.get(at)?)?.clone())))
            else {
                break partition.more_producers();
            };
            space.look(None);
            let behind = appends.get(first..).unwrap_or_default();
            let is_ours = behind.iter().any(|append| append.origin == Origin::Broker);
            if !(is_ours && error.is_out_of_space() && space.release()) {
                break partition.more_producers();
            }
            results.truncate(first);
        };
        self.count_producers(more_producers);
        results
    }

    pub(super) fn retry_held(&self, groups: &mut Groups) {
        for partition in self.held.keys() {
            groups.begin(*partition);
        }
    }

    fn count_refused(&self, error: &AppendError) {
        match error {
            AppendError::NoSpace => self.stats.refused_for_space.increment(),
            AppendError::Storage(_) | AppendError::Offline(_) => {
                self.stats.writes_failed.increment();
            }
            _ => {}
        }
    }
}

/// Why the disk refused an append, which a later one may not meet.
fn storage_error(result: &AppendResult) -> Option<&StorageError> {
    match result {
        Err(AppendError::Storage(error)) => Some(error),
        _ => None,
    }
}
