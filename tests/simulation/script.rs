//! A script: what happens in one run of the simulation, made from its seed up front.
//!
//! An action carries a word of random bits that decides its details when its turn comes. So any part of a script can
//! be left out, and what is left still makes sense.

use chronik::broker::random::Random;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A client does its next step.
    Client(usize, u64),
    /// A client's connection breaks.
    Disconnect(usize),
    /// Somebody in storage goes on, or the broker hears of outcomes.
    Work(u64),
    /// Everything is done that needs no sync: the disk is slow. Or all but the syncs of what clients wrote, or of volumes.
    WorkUnsynced(u64),
    /// Time passes.
    Advance(u64),
    /// The wall clock is set.
    SetClock(u64),
    /// The process ends: killed, or the power is cut.
    Crash(u64),
    /// The process ends some operations later.
    CrashSoon(u64),
    /// The disk will fail.
    Fault(u64),
    /// The disk has little room, or enough again.
    Room(u64),
    /// Clients take descriptors or give them back, or wait for some.
    Descriptors(u64),
    /// A clean stop, and a start.
    Restart(u64),
    /// Everything is done that can be done.
    Settle,
}

/// Clients in every run.
pub(crate) const CLIENTS: usize = 7;
/// How often each has its turn: the idempotent producer most of all.
const TURNS: [usize; 12] = [0, 1, 1, 1, 1, 2, 2, 3, 4, 5, 6, 6];
/// In some scripts: readers, and who writes without waiting for the disk.
const READERS: [usize; 12] = [0, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 4];
/// In others: hardly anybody but the idempotent producer.
const WRITERS: [usize; 12] = [0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3];
/// In others: who waits for the disk now and then.
const PLAIN: [usize; 12] = [0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3];
/// In others: a group, and who writes what it reads.
const MEMBERS: [usize; 12] = [0, 0, 1, 2, 5, 5, 5, 5, 6, 6, 6, 6];

/// The script of a seed.
pub(crate) fn script(seed: u64, length: usize) -> Vec<Action> {
    let mut random = Random::new(seed ^ 0x5eed);
    let moods = Moods::of(random.next_u64());
    (0..length).map(|_| moods.action(&mut random)).collect()
}

/// What a script leans to, so that scripts differ in more than order.
struct Moods {
    crashes: u64,
    faults: u64,
    clocks: u64,
    disconnects: u64,
    restarts: u64,
    /// How often descriptors become more or fewer.
    clients: u64,
    slowness: u64,
    advances: u64,
    /// Of eight pieces of work, how many leave syncs out.
    slow_work: u64,
    turns: [usize; 12],
}

impl Moods {
    fn of(word: u64) -> Moods {
        let pick = |shift: u32, values: [u64; 4]| values[(word >> shift) as usize % 4];
        let usual = Moods {
            crashes: pick(0, [5, 20, 40, 80]),
            faults: pick(2, [0, 0, 10, 30]),
            clocks: pick(4, [0, 0, 5, 20]),
            disconnects: pick(6, [0, 5, 20, 40]),
            restarts: pick(8, [0, 5, 10, 20]),
            clients: pick(16, [0, 0, 10, 40]),
            slowness: pick(10, [0, 20, 40, 80]),
            advances: 60,
            slow_work: 0,
            turns: TURNS,
        };
        match word >> 12 & 15 {
            // Readers are ahead of the disk, and commit what a power cut may take.
            0 | 8 => Moods { crashes: 40, slow_work: 6, turns: READERS, ..usual },
            // Segments are full before they are synced, and their producer sends again after each crash.
            1 | 9 => Moods { crashes: 60, slow_work: 6, turns: WRITERS, ..usual },
            // The disk fails or is full now and then, and soon behind that somebody stops the broker in order.
            2 | 10 => Moods { crashes: 5, faults: 30, restarts: 40, ..usual },
            // The power goes while the volume is synced, for time has passed, and somebody goes on to write.
            3 | 11 => Moods { crashes: 60, advances: 150, slow_work: 4, turns: PLAIN, ..usual },
            // Members come and go.
            4 => Moods { crashes: 20, disconnects: 60, advances: 100, turns: MEMBERS, ..usual },
            _ => usual,
        }
    }

    fn action(&self, random: &mut Random) -> Action {
        let (choice, word) = (random.next_u64() % 1000, random.next_u64());
        let client = self.turns[word as usize % self.turns.len()];
        let mut rest = choice;
        let mut is = |weight: u64| {
            let hit = rest < weight;
            rest = rest.saturating_sub(if hit { 0 } else { weight });
            hit
        };
        if is(self.crashes / 2) {
            Action::Crash(word)
        } else if is(self.crashes / 2) {
            Action::CrashSoon(word)
        } else if is(self.faults) {
            Action::Fault(word)
        } else if is(self.faults / 2) {
            Action::Room(word)
        } else if is(self.clocks) {
            Action::SetClock(word)
        } else if is(self.disconnects) {
            Action::Disconnect(client)
        } else if is(self.restarts) {
            Action::Restart(word)
        } else if is(self.advances) {
            Action::Advance(word)
        } else if is(10) {
            Action::Settle
        } else if is(self.clients) {
            Action::Descriptors(word)
        } else if is(self.slowness) {
            Action::WorkUnsynced(word)
        } else if choice % 5 < 2 {
            Action::Client(client, word >> 8)
        } else if word >> 32 & 7 < self.slow_work {
            Action::WorkUnsynced(word)
        } else {
            Action::Work(word)
        }
    }
}
