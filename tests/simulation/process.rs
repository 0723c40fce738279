//! The process and its disk: faults, kills, power cuts, stops and starts.

use std::sync::Arc;

use chronik::broker::random::Random;
use chronik::storage::job::Outcome;
use chronik::testing::fs::{At, Fault, Image, Kind, SimFs};

use crate::node::Node;
use crate::world::{Done, World};

impl World {
    pub(crate) fn disk_fails(&mut self, fails: bool) {
        self.is_faulty = fails;
        self.model.disk_may_fail = fails;
    }

    pub(crate) fn fault(&mut self, word: u64) {
        let kinds = [
            Kind::Eio,
            Kind::Enospc,
            Kind::Short((word >> 40) as usize % 100),
            Kind::SyncFails,
            Kind::Emfile,
            Kind::SyncFails,
        ];
        let kind = kinds[(word >> 8) as usize % kinds.len()];
        let at = At::Operation(self.disk.operations() + (word >> 16) % 16);
        let times = [1, 1, 2, 8][(word >> 32) as usize % 4];
        self.disk_fails(true);
        self.disk.fail(Fault { at, kind, times });
    }

    pub(crate) fn room(&mut self, word: u64) {
        if word % 3 == 0 {
            self.disk.set_capacity(None);
            return;
        }
        self.disk_fails(true);
        let used: u64 = self.disk.files().iter().map(|(_, bytes)| bytes).sum();
        self.disk.set_capacity(Some(used + (word >> 8) % 4000));
    }

    /// Clients leave more or fewer unsynced files to storage, or one of them waits for a descriptor.
    pub(crate) fn share_descriptors(&mut self, word: u64) {
        let Some(node) = &self.node else { return };
        match word % 4 {
            0 => node.storage.free_descriptors(),
            _ => node.storage.set_unsynced_max([2, 5, 9, 64][(word >> 8) as usize % 4]),
        }
    }

    // The process.

    /// Ends the process: what was answered so far stands.
    pub(crate) fn end(&mut self, power_cut: bool) {
        self.node = None;
        self.model.ended(power_cut || self.is_faulty);
        for link in &mut self.links {
            link.close(&mut self.model);
        }
        self.planned = None;
    }

    pub(crate) fn crash(&mut self, word: u64) -> Done {
        if self.node.is_none() {
            return Ok(());
        }
        let disk = self.after(word);
        self.end(word % 5 > 0);
        self.begin(disk, word >> 8)
    }

    /// The disk as the end of the process leaves it: killed, or one of four kinds of power cut.
    pub(crate) fn after(&self, word: u64) -> Arc<SimFs> {
        let seed = word >> 16;
        match word % 5 {
            0 => self.disk.killed(),
            1 => self.disk.image(Image::Nothing),
            2 => self.disk.image(Image::Everything),
            3 => self.disk.image(Image::Prefix(seed)),
            _ => self.disk.image(Image::Random(seed)),
        }
    }

    /// The process has died in the middle of something.
    pub(crate) fn die_as_planned(&mut self) -> Done {
        if !self.disk.is_crashed() || self.node.is_none() {
            return Ok(());
        }
        let word = self.planned.take().unwrap_or_default();
        if word & 0x1000 > 0 {
            // What the disk did before, the broker may have heard of and told.
            if let Some(node) = &mut self.node {
                node.take_outcomes();
                let failed = node.outcomes.iter().position(is_failure);
                node.outcomes.truncate(failed.unwrap_or(usize::MAX));
            }
            self.tell(usize::MAX)?;
        }
        self.say(|| "  died".to_owned());
        self.crash(word)
    }

    pub(crate) fn restart(&mut self, word: u64) -> Done {
        self.end_turn()?;
        if word & 0x10 > 0 {
            // Somebody has made room first, or changed a cable.
            self.disk.heal();
            self.disk.set_capacity(None);
        }
        let Some(mut node) = self.node.take() else { return Ok(()) };
        let stopped = node.storage.shutdown(node.broker.stop_time(self.now));
        self.say(|| match &stopped {
            Ok(()) => "  stopped in order".to_owned(),
            Err(error) => format!("  stopped: {error}"),
        });
        match stopped {
            Ok(()) => {
                self.model.synced();
                self.was_clean = Some(true);
                let disk = self.after([1, word][word as usize % 2]);
                self.end(false);
                self.begin(disk, word >> 8)
            }
            Err(_) if self.is_faulty || self.disk.is_crashed() => {
                let disk = self.after(word);
                self.end(true);
                // The last step may have failed, behind the marker.
                self.was_clean = None;
                self.begin(disk, word >> 8)
            }
            Err(error) => Err(format!("the stop is not a clean one: {error}")),
        }
    }

    /// Starts the process, which may die in the middle of that several times.
    pub(crate) fn begin(&mut self, disk: Arc<SimFs>, word: u64) -> Done {
        self.disk = disk;
        let deaths = [0, 0, 0, 1, 1, 2][word as usize % 6];
        for death in 0..deaths {
            let word = Random::new(word + death).next_u64();
            self.disk.crash_at(self.disk.operations() + word % 60);
            self.planned = Some(word >> 24);
            let run = self.starts;
            let started = self.start(word >> 8);
            if started.is_ok() || self.starts > run + 1 || !self.disk.is_crashed() {
                return started;
            }
            self.say(|| "  died in the start".to_owned());
            self.disk = self.after(word >> 16);
            self.end((word >> 16) % 5 > 0);
            self.was_clean = None;
        }
        self.start(word)
    }

    pub(crate) fn start(&mut self, word: u64) -> Done {
        self.starts += 1;
        self.say(|| "  starts".to_owned());
        if self.log.is_some() {
            self.disk.keep_history();
            self.history_told = 0;
        }
        let mut random = Random::new(self.random.next_u64());
        let (node, is_clean) = Node::start(&self.disk, self.now, &mut random)
            .map_err(|error| format!("the start fails: {error}"))?;
        if self.disk.is_crashed() {
            return Err("it died before it served anybody".into());
        }
        self.check_start(&node, is_clean)?;
        self.disk_fails(false);
        self.node = Some(node);
        self.was_clean = Some(false);
        self.model.started(self.now.mono);
        if word % 4 > 0 { self.audit(true) } else { Ok(()) }
    }

    /// A start says whether the last stop was a clean one; after another kind the leader epoch rises.
    pub(crate) fn check_start(&mut self, node: &Node, is_clean: bool) -> Done {
        let (epoch, before) = (node.broker.leader_epoch(), self.leader_epoch);
        if self.was_clean.is_some_and(|was| was != is_clean) {
            return Err(format!("the start believes that the stop was clean: {is_clean}"));
        }
        if epoch < before || (epoch == before && !is_clean) {
            return Err(format!("leader epoch {epoch} after {before}"));
        }
        self.leader_epoch = epoch;
        Ok(())
    }
}

fn is_failure(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Appended { result: Err(_), .. }
            | Outcome::Synced { result: Err(_), .. }
            | Outcome::Opened { result: Err(_), .. }
            | Outcome::Removed { result: Err(_), .. }
            | Outcome::Trimmed { result: Err(_), .. }
    )
}
