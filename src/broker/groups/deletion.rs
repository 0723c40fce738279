//! DeleteGroups (key 42): groups that somebody wants gone, with all that they have stored.
//!
//! Only a group without members can go. Who was given an id to join with and has not come yet is no member: it begins
//! anew.

use super::Groups;
use super::shared::Call;
use super::state::State;
use crate::broker::context::Context;
use crate::broker::event::RequestId;
use crate::broker::journal::Position;
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DeleteGroupsResponseResult,
};

impl Groups {
    /// Deletes groups. The answer waits until the disk knows.
    pub fn delete(&mut self, ctx: &mut Context<'_>, id: RequestId, request: &DeleteGroupsRequest) {
        let mut response = DeleteGroupsResponse::default();
        let mut position = Position::default();
        for name in &request.groups_names {
            let error = self.delete_one(ctx, name).err();
            position = position.max(self.position(name));
            response.results.push(DeleteGroupsResponseResult {
                group_id: name.clone(),
                error_code: error.unwrap_or(ErrorCode::None).code(),
                error_message: error.map(|error| reason(name, error)),
            });
        }
        ctx.reply_after(position, id, response);
    }

    fn delete_one(&mut self, ctx: &mut Context<'_>, name: &str) -> Result<(), ErrorCode> {
        let group = self.groups.get_mut(name).ok_or(ErrorCode::GroupIdNotFound)?;
        if group.state != State::Empty {
            return Err(ErrorCode::NonEmptyGroup);
        }
        if ctx.journal.is_full() {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        group.forget(&mut Call { ctx, shared: &mut self.shared }, |_, _| true);
        self.end(ctx, name)
    }
}

/// An error in words.
fn reason(name: &str, error: ErrorCode) -> String {
    match error {
        ErrorCode::GroupIdNotFound => format!("Group {name} not found."),
        ErrorCode::NonEmptyGroup => format!("Group {name} has members."),
        ErrorCode::CoordinatorNotAvailable => "There is no room on the disk.".to_owned(),
        other => other.to_string(),
    }
}
