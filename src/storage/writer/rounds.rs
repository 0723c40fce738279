//! Rounds of compaction as they come and go: the writer starts them, swaps what they have finished, and lets them rest.

use std::sync::Arc;

use super::{Report, Writer};
use crate::base::ids::PartitionId;
use crate::storage::compaction::output::discard;
use crate::storage::compaction::{Home, Progress, Ready, Round};
use crate::storage::job::{Outcome, Upkeep};
use crate::storage::partition::compaction::Wanted;
use crate::storage::reader::ReadCommand;
use crate::storage::syncer::SyncCommand;

impl Writer {
    /// Begins a round, if one is due, or goes on with one that rests.
    pub(super) fn compact(&mut self, upkeep: &Upkeep) {
        if !self.compaction.limits.enabled {
            return;
        }
        let Some(partition) = self.partitions.get_mut(&upkeep.partition) else { return };
        if let Some(round) = partition.take_vain_round() {
            return self.give_up(round);
        }
        if let Some(mut round) = partition.resume_round(upkeep) {
            round.resume(upkeep.now);
            self.readers.put(ReadCommand::Compact(round));
            return;
        }
        let wanted = match partition.wants_compaction(upkeep) {
            Ok(wanted) => wanted,
            Err(error) => {
                log::warn!("{error}");
                partition.compaction_waits(upkeep);
                return;
            }
        };
        match wanted {
            Wanted::Nothing => {}
            Wanted::Mark => {
                self.syncer.put(SyncCommand::Mark(partition.take_sync()));
                partition.compaction_waits(upkeep);
            }
            Wanted::Round(plan) => match self.compaction.turnstile.enter() {
                Some(permit) => {
                    let home = Home { writer: self.number, begun: upkeep.now, moved: 0 };
                    let round = Round::new(plan, &self.compaction.limits, home, permit);
                    partition.compaction_began();
                    self.readers.put(ReadCommand::Compact(Box::new(round)));
                }
                None => partition.compaction_waits(upkeep),
            },
        }
    }

    /// A piece of a round is done.
    pub(super) fn compacted(
        &mut self,
        mut round: Box<Round>,
        progress: Progress,
        report: &mut Report,
    ) {
        let id = round.log.partition;
        let known = self.partitions.get(&id);
        if !known.is_some_and(|partition| Arc::ptr_eq(&partition.log, &round.log)) {
            // The partition was removed, and its directory has another name.
            return;
        }
        let is_over = match progress {
            Progress::Again => self.go_on(round),
            Progress::Ready(ready) => self.swap(round, &ready),
            Progress::Done => {
                self.finish(&round);
                true
            }
            Progress::Failed(error) => {
                log::warn!("{} is not compacted: {error}", round.log.dir.display());
                self.fail(id, &round);
                true
            }
            Progress::Gone => {
                round.give_up(&*self.files.fs);
                return;
            }
        };
        if is_over {
            if let Some(partition) = self.partitions.get_mut(&id) {
                // The oldest segment may be another by now.
                partition.note_due();
                report.loud = true;
                report.outcomes.push(Outcome::Upkept(partition.upkept()));
            }
        }
    }

    /// `true`: the round rests, or is over, because what it makes is of no use.
    fn go_on(&mut self, round: Box<Round>) -> bool {
        let Some(partition) = self.partitions.get_mut(&round.log.partition) else { return true };
        if partition.is_round_in_vain() {
            self.give_up(round);
            return true;
        }
        let until = round.rests_until(&self.compaction.limits);
        if let Some(until) = until.filter(|_| round.clock().is_some()) {
            partition.hold_round(round, until);
            return true;
        }
        self.readers.put(ReadCommand::Compact(round));
        false
    }

    /// Ends a round that is in vain, so that another log may have one.
    pub(super) fn give_up(&mut self, mut round: Box<Round>) {
        round.give_up(&*self.files.fs);
        if let Some(partition) = self.partitions.get_mut(&round.log.partition) {
            partition.compaction_done(0);
        }
    }

    /// `true`: the round is over, because what it has made is of no use, or rests.
    fn swap(&mut self, mut round: Box<Round>, ready: &Ready) -> bool {
        let Some(partition) = self.partitions.get_mut(&round.log.partition) else { return true };
        let log = &round.log;
        let begun = self.compaction.cleaned.begin(&log.topic, log.partition.index);
        let swapped = begun
            .and_then(|new| if new { self.files.fs.sync_dir(&self.data_dir) } else { Ok(()) })
            .and_then(|()| partition.swap(ready));
        let (old, new) = (ready.old.iter().map(|old| old.size()).sum::<u64>(), ready.new.size());
        match swapped {
            Ok(Some(left)) => {
                self.stats.compaction_reclaimed_bytes.add(old.saturating_sub(new));
                self.readers.put(ReadCommand::Unlink(left));
                self.go_on(round)
            }
            Ok(None) => {
                self.give_up(round);
                true
            }
            Err(error) => {
                log::error!("{}: {error}", round.log.dir.display());
                discard(&*self.files.fs, &ready.new);
                round.give_up(&*self.files.fs);
                self.fail(round.log.partition, &round);
                true
            }
        }
    }

    fn finish(&mut self, round: &Round) {
        let log = &round.log;
        let Some(partition) = self.partitions.get_mut(&log.partition) else { return };
        let covered = round.covered();
        if partition.compaction_done(covered) {
            self.stats.compaction_rounds.increment();
            let work = round.work();
            log::info!(
                "{} is compacted up to offset {covered}: {} bytes read, {} written",
                log.dir.display(),
                work.bytes_read,
                work.bytes_written
            );
            // A segment that was left out may be whole again after a restart, with what a tombstone has removed.
            if work.damaged == 0 {
                self.compaction.cleaned.note(&log.topic, log.partition.index, covered);
            }
        }
        self.count_compaction(round);
    }

    fn fail(&mut self, id: PartitionId, round: &Round) {
        let limits = self.compaction.limits;
        if let Some(partition) = self.partitions.get_mut(&id) {
            partition.compaction_failed(round.clock(), &limits);
        }
        self.stats.compactions_failed.increment();
        self.count_compaction(round);
    }

    fn count_compaction(&self, round: &Round) {
        let work = round.work();
        self.stats.compaction_read_bytes.add(work.bytes_read);
        self.stats.compaction_written_bytes.add(work.bytes_written);
        self.stats.compaction_damaged_segments.add(work.damaged);
    }
}
