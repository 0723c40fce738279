//! A full disk: what the broker does about it.
//!
//! Storage refuses clients' records below the reserve, and says when that begins and ends. While it lasts it is asked
//! once a second whether there is room again; else nothing is due here. Changes of the broker's own state go on, from the
//! ballast; when that is nearly gone they are refused, with errors that clients try again, before anything of them is
//! replayed. What is recorded all the same waits in storage for room, and its effects with it.

use super::context::Context;
use crate::base::time::Mono;
use crate::storage::job::{Disk, DiskState, Job};

/// How often a full disk is looked at, in milliseconds.
const LOOK_EVERY_MS: i64 = 1_000;

/// What is known of the disk.
#[derive(Debug, Default)]
pub struct DiskWatch {
    look_at: Option<Mono>,
    is_short: bool,
}

impl DiskWatch {
    /// Storage has looked.
    pub fn told(&mut self, ctx: &mut Context<'_>, disk: &Disk) {
        ctx.journal.set_full(matches!(disk.state, DiskState::Spent | DiskState::ReadOnly));
        self.is_short = disk.state != DiskState::Ready;
        self.look_at = match disk.state {
            DiskState::Ready => None,
            _ => Some(ctx.now.mono.plus_ms(LOOK_EVERY_MS)),
        };
    }

    /// Whether there is less room than there should be.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.is_short
    }

    /// Has the disk looked at if it is time.
    pub fn tick(&mut self, ctx: &mut Context<'_>) {
        if self.look_at.is_some_and(|at| at <= ctx.now.mono) {
            self.look_at = None;
            ctx.job(Job::LookForSpace);
        }
    }

    /// When the disk is to be looked at.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.look_at
    }
}
