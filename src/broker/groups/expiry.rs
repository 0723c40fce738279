//! The end of what nobody uses: commits `offsets.retention.minutes` after their group became empty, and empty groups
//! without commits soon after.
//!
//! Each empty group has one deadline, which is looked at again when it passes. Ages are measured with the wall clock,
//! and only while it is known to be right: a machine that starts in 1970 forgets nothing. What was committed before the
//! clock jumped is as old as the jump, at most; and nothing is forgotten for some minutes after a jump, or a start that
//! finds itself far ahead of the last stop, as the clock may be set right only then.

use super::Groups;
use super::commits::Commit;
use super::shared::{Call, Shared, Timer};
use super::state::{Group, State};
use crate::base::time::{Mono, Now, WallMs, is_sane};
use crate::broker::context::Context;
use crate::broker::groups::records::GroupRecord;
use crate::wire::error_code::ErrorCode;

/// How long an empty group without commits is still listed, in milliseconds. Kafka looks after them as often.
const EMPTY_GROUP_KEPT_MS: i64 = 600_000;

impl Groups {
    /// Nothing is forgotten for its age before then.
    pub fn trust_clock_from(&mut self, at: Mono) {
        self.shared.clock_trusted_from = at;
    }

    /// The wall clock was set, or is seen for the first time: when things expire is computed anew. `jumped_to`: where it
    /// jumped to last, 0 if it did not.
    pub fn clock_stepped(&mut self, now: Now, jumped_to: WallMs, retention_ms: i64) {
        self.shared.clock_jumped_to = jumped_to;
        if is_sane(now.wall) {
            self.shared.clock_sane_since.get_or_insert(now.wall);
        }
        for group in self.groups.values_mut() {
            self.shared.timers.remove(Timer::Expiry(group.number));
            self.shared.look_after_expiry(group, now, retention_ms);
        }
    }

    /// An empty group's deadline has passed: what has expired is forgotten, and with its last commit the group.
    pub(super) fn expire(&mut self, ctx: &mut Context<'_>, name: &str) {
        let Some(group) = self.groups.get_mut(name) else { return };
        let Some(era) = self.shared.era(ctx.now) else { return };
        if group.is_wanted() {
            return;
        }
        let (now, retention_ms) = (ctx.now.wall, ctx.options.groups.offsets_retention_ms);
        let since = group.empty_since();
        let is_due = |_: &str, commit: &Commit| era.expires_at(commit, since, retention_ms) <= now;
        let had_commits = !group.commits.is_empty();
        let mut call = Call { ctx, shared: &mut self.shared };
        let forgotten = group.forget(&mut call, is_due);
        if group.commits.is_empty() && (forgotten || !had_commits) {
            // It cannot fail: the name was in a record before.
            let _ = self.end(ctx, name);
        } else {
            self.shared.look_after_expiry(group, ctx.now, retention_ms);
        }
    }

    /// Records the end of a group without commits, and forgets it.
    ///
    /// # Errors
    /// If its name is longer than a record can hold.
    pub(super) fn end(&mut self, ctx: &mut Context<'_>, name: &str) -> Result<(), ErrorCode> {
        let Some(group) = self.groups.get_mut(name) else { return Ok(()) };
        let end = GroupRecord::Group { group: group.name.clone(), value: None };
        if group.recorded {
            group.position = Call { ctx, shared: &mut self.shared }.append(&end)?;
        }
        self.replay(end);
        Ok(())
    }
}

impl Group {
    /// Whether somebody is in it, or has been given an id to join with: nothing in it expires.
    fn is_wanted(&self) -> bool {
        self.state != State::Empty || !self.pending.is_empty()
    }

    /// Since when its commits age together; `None` if each ages by itself, as in a group that never had a member.
    fn empty_since(&self) -> Option<WallMs> {
        self.protocol_type.as_ref().map(|_| self.state_since)
    }
}

impl Shared {
    /// Sets the deadline of a group that has become empty, and takes that of one that is not empty any more, or that has
    /// given somebody an id to join with.
    pub(super) fn look_after_expiry(&mut self, group: &Group, now: Now, retention_ms: i64) {
        let timer = Timer::Expiry(group.number);
        let has_deadline = self.timers.get(timer).is_some();
        if group.is_wanted() {
            if has_deadline {
                self.timers.remove(timer);
            }
        } else if !has_deadline {
            if let Some(at) = self.first_expiry(group, now, retention_ms) {
                self.timers.set(timer, at);
            }
        }
    }

    fn first_expiry(&self, group: &Group, now: Now, retention_ms: i64) -> Option<Mono> {
        let era = self.era(now)?;
        if group.commits.is_empty() {
            return Some(now.mono.plus_ms(EMPTY_GROUP_KEPT_MS));
        }
        let since = group.empty_since();
        let at = |commit: &Commit| era.expires_at(commit, since, retention_ms);
        let first = group.commits.iter().map(|(_, _, commit)| at(commit)).min()?;
        let at = now.mono.plus_ms(first.saturating_sub(now.wall).max(0));
        Some(at.max(self.clock_trusted_from))
    }
}

/// What is known of the wall clock at a moment.
#[derive(Clone, Copy)]
struct Era {
    now: WallMs,
    sane_since: WallMs,
    jumped_to: WallMs,
}

impl Shared {
    /// `None`: the clock is not right.
    fn era(&self, now: Now) -> Option<Era> {
        let sane_since = self.clock_sane_since.filter(|_| is_sane(now.wall))?;
        Some(Era { now: now.wall, sane_since, jumped_to: self.clock_jumped_to })
    }
}

impl Era {
    /// From when something ages that was written down with this time. What a wrong clock wrote counts from when a right
    /// one was first seen.
    fn known(self, at: WallMs) -> WallMs {
        if !is_sane(at) {
            return self.sane_since.max(self.jumped_to);
        }
        if at > self.now && self.jumped_to > 0 {
            return self.jumped_to;
        }
        at.max(self.jumped_to)
    }

    /// When a commit expires. It is never younger than its group is empty.
    fn expires_at(self, commit: &Commit, empty_since: Option<WallMs>, retention_ms: i64) -> WallMs {
        let committed = self.known(commit.committed_at);
        if let Some(at) = commit.expires_at.filter(|at| is_sane(*at)) {
            let kept = at.saturating_sub(commit.committed_at).max(0);
            return committed.saturating_add(kept);
        }
        let since = empty_since.map_or(committed, |since| self.known(since).max(committed));
        since.saturating_add(retention_ms)
    }
}
