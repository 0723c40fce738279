//! Scripted clients: each does its next step when its turn comes, as a real client would after an answer, an error or
//! a crash.

mod admin;
mod member;
mod producer;
pub(crate) mod reader;

use chronik::base::time::Now;
use chronik::broker::random::Random;
use chronik::wire::api::{Request, Response};

use crate::model::Model;

pub(crate) use admin::{Admin, check_list, check_setting, describe, list};
pub(crate) use member::{GROUP, Member};
pub(crate) use producer::Producer;
pub(crate) use reader::Reader;

/// What a client has before it during a step.
pub(crate) struct Desk<'a> {
    pub(crate) model: &'a mut Model,
    pub(crate) now: Now,
    pub(crate) random: Random,
    /// The number of the next request on this connection.
    pub(crate) next: u64,
    /// Requests that leave.
    pub(crate) outgoing: Vec<Request>,
}

impl Desk<'_> {
    /// Sends a request; answers its number.
    pub(crate) fn send(&mut self, request: impl Into<Request>) -> u64 {
        self.outgoing.push(request.into());
        self.next += 1;
        self.next - 1
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.random.next_u64() >> 7) as usize % limit.max(1)
    }
}

/// An answer, or that there is none.
#[derive(Debug)]
pub(crate) enum Reply {
    Response(Response),
    Silence,
}

/// What every client can do. What is wrong is an error in words.
pub(crate) trait Client {
    /// Does the next step; the connection is open and nothing waits to be read.
    fn step(&mut self, desk: &mut Desk<'_>) -> Result<(), String>;

    /// The broker has answered: what it says is a promise from now on, whether the client hears it or not.
    fn promised(&mut self, desk: &mut Desk<'_>, number: u64, reply: &Reply) -> Result<(), String>;

    /// The client hears the answer.
    fn heard(&mut self, desk: &mut Desk<'_>, number: u64, reply: &Reply) -> Result<(), String>;

    /// The connection is gone, and with it all answers that were not heard.
    fn disconnected(&mut self, model: &mut Model);

    /// Whether nothing that it began is open.
    fn is_done(&self) -> bool;

    /// It begins nothing new any more.
    fn finish(&mut self) {}
}
