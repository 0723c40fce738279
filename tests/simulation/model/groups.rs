//! What is known of a group's generations.

use std::collections::BTreeMap;

use chronik::base::time::Mono;

/// A group of members with heartbeats.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// The newest generation that was recorded: its members have their shares.
    durable: i32,
    /// The newest generation that anybody heard of in this run.
    newest: i32,
    /// Members of the durable generation, and when the broker last heard of each; `None`: it may forget them.
    members: BTreeMap<String, Option<Mono>>,
    last_heard: Mono,
}

/// After so long without a word a group may be forgotten.
const FORGOTTEN_MS: i64 = 300_000;
/// How long a member may be silent.
pub(crate) const SESSION_MS: i32 = 10_000;

impl Group {
    fn heard(&mut self, now: Mono) {
        if now > self.last_heard.plus_ms(FORGOTTEN_MS) {
            *self = Group::default();
        }
        self.last_heard = now;
    }

    /// A member is told its generation.
    pub(crate) fn joined(&mut self, generation: i32, now: Mono) -> Result<(), String> {
        self.heard(now);
        if generation < self.newest {
            let newest = self.newest;
            return Err(format!("generation {generation} after {newest}: the group went back"));
        }
        if generation > self.newest {
            // Who is not in it any more is not known. A restart may bring the durable generation back.
            self.members.values_mut().for_each(|heard| *heard = None);
        }
        self.newest = generation;
        Ok(())
    }

    /// A member has its share: the generation is recorded.
    pub(crate) fn shared(&mut self, generation: i32, member: &str, now: Mono) {
        if generation >= self.durable && generation == self.newest {
            if generation > self.durable {
                self.members.clear();
            }
            self.durable = generation;
            // Who asks is alive, also who asks again.
            let heard = self.members.entry(member.to_owned()).or_default();
            *heard = (*heard).max(Some(now));
        }
    }

    /// The newest generation that anybody heard of.
    pub(crate) fn newest(&self) -> i32 {
        self.newest
    }

    /// A commit of a generation was taken; `newest` is what was known when it was sent.
    pub(crate) fn committed(&self, generation: i32, newest: i32) -> Result<(), String> {
        if generation < newest {
            return Err(format!("a commit of generation {generation} was taken after {newest}"));
        }
        Ok(())
    }

    /// A member's heartbeat was answered.
    pub(crate) fn beat(&mut self, member: &str, known: bool, now: Mono) -> Result<(), String> {
        self.heard(now);
        let Some(heard) = self.members.get_mut(member) else { return Ok(()) };
        let expected = has_time(*heard, now);
        if known {
            *heard = Some(now);
            return Ok(());
        }
        self.members.remove(member);
        if expected { Err(format!("member {member} was forgotten")) } else { Ok(()) }
    }

    /// A member has left, or may have.
    pub(crate) fn left(&mut self, member: &str) {
        self.members.remove(member);
    }

    /// The process ended, and runs again since `now`.
    pub(crate) fn restarted(&mut self, now: Mono) {
        self.newest = self.durable;
        // Whoever had not run out of time before has all of it again.
        for heard in self.members.values_mut() {
            *heard = has_time(*heard, now).then_some(now);
        }
    }
}

/// Whether a member that was last heard of then cannot be forgotten yet.
fn has_time(heard: Option<Mono>, now: Mono) -> bool {
    heard.is_some_and(|heard| now < heard.plus_ms(i64::from(SESSION_MS)))
}

#[test]
fn who_was_out_before_a_restart_may_be_forgotten_behind_it() {
    let second = |number: i64| Mono(1_000_000).plus_ms(number * 1000);
    let group_of_one = || {
        let mut group = Group::default();
        group.joined(1, second(0)).unwrap();
        group.shared(1, "it", second(0));
        group
    };
    let mut silent = group_of_one();
    silent.restarted(second(20));
    silent.beat("it", false, second(21)).unwrap();

    let mut left_behind = group_of_one();
    left_behind.joined(2, second(5)).unwrap();
    left_behind.restarted(second(6));
    left_behind.beat("it", false, second(7)).unwrap();

    let mut back = group_of_one();
    back.restarted(second(20));
    back.shared(1, "it", second(21));
    back.beat("it", false, second(30)).unwrap_err();

    let mut alive = group_of_one();
    alive.restarted(second(9));
    alive.beat("it", false, second(18)).unwrap_err();
}
