//! What all groups share: deadlines, requests that wait, and numbers.

use std::collections::BTreeMap;

use super::records::GroupRecord;
use crate::base::deadlines::Deadlines;
use crate::base::time::{Mono, WallMs};
use crate::broker::context::Context;
use crate::broker::event::RequestId;
use crate::broker::journal::Position;
use crate::wire::error_code::ErrorCode;

/// Most bytes of a record. A generation larger than this is refused: the journal could not take it.
const RECORD_BYTES_MAX: usize = 4 << 20;

/// A group's number for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupNumber(pub(super) u64);

/// A member's number for as long as the process lives. It outlives the ids of a static member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MemberNumber(pub(super) u64);

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The end of a member's session. Being heard of does not move it: when it passes, it is looked at again.
    Session(GroupNumber, MemberNumber),
    /// The end of the time to join.
    Join(GroupNumber),
    /// The end of the time to ask for one's share of the work.
    Sync(GroupNumber),
    /// The first commit may have expired.
    Expiry(GroupNumber),
}

/// What all groups share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) timers: Deadlines<Timer>,
    /// JoinGroups and SyncGroups that wait for their answers.
    pub(super) waiting: BTreeMap<RequestId, (GroupNumber, MemberNumber)>,
    /// Members and pending members of all groups.
    pub(super) member_count: usize,
    /// Bytes of what all groups keep.
    pub(super) bytes: usize,
    /// When the wall clock was first seen to be right.
    pub(super) clock_sane_since: Option<WallMs>,
    /// Where it jumped to last; 0: it did not.
    pub(super) clock_jumped_to: WallMs,
    /// Before then nothing expires: the clock may still be set right.
    pub(super) clock_trusted_from: Mono,
    /// The journal's position of the last change of a group that is gone.
    pub(super) removed: Position,
    last_number: u64,
}

impl Shared {
    /// What took `before` bytes takes `after`.
    pub(super) fn weigh(&mut self, before: usize, after: usize) {
        self.bytes = self.bytes.saturating_sub(before).saturating_add(after);
    }

    /// Whether there is room for what took `before` bytes and is to take `after`. Who needs no more than before is
    /// never refused.
    pub(super) fn has_room(&self, before: usize, after: usize, bytes_max: usize) -> bool {
        after <= before || self.bytes.saturating_sub(before).saturating_add(after) <= bytes_max
    }

    /// A number for a new member.
    pub(super) fn next_member(&mut self) -> MemberNumber {
        self.last_number += 1;
        MemberNumber(self.last_number)
    }

    /// A number for a new group.
    pub(super) fn next_group(&mut self) -> GroupNumber {
        self.last_number += 1;
        GroupNumber(self.last_number)
    }
}

/// One call into a group.
#[derive(Debug)]
pub(super) struct Call<'c, 'x> {
    /// The call into the broker.
    pub(super) ctx: &'c mut Context<'x>,
    /// What all groups share.
    pub(super) shared: &'c mut Shared,
}

impl Call<'_, '_> {
    /// Appends a record to the journal. The caller replays it at once.
    ///
    /// # Errors
    /// If a name is longer than a record can hold, or the record is too large.
    pub(super) fn append(&mut self, record: &GroupRecord) -> Result<Position, ErrorCode> {
        let encoded = record.encode().map_err(|_| ErrorCode::UnknownServerError)?;
        if encoded.value.as_ref().is_some_and(|value| value.len() > RECORD_BYTES_MAX) {
            return Err(ErrorCode::UnknownServerError);
        }
        Ok(self.ctx.journal.append(encoded))
    }
}
