//! What a handler works with: the moment, the journal, and the way out.

use super::event::{Effect, RequestId};
use super::journal::{Journal, Position};
use super::options::Options;
use super::random::Random;
use crate::base::time::Now;
use crate::storage::job::Job;
use crate::wire::api::Response;

/// One call into the broker.
#[derive(Debug)]
pub struct Context<'a> {
    /// The moment of the call.
    pub now: Now,
    /// Where durable changes are recorded.
    pub journal: &'a mut Journal,
    /// Where identities come from.
    pub random: &'a mut Random,
    /// How the broker behaves.
    pub options: &'a Options,
    /// What leaves at once.
    pub out: &'a mut Vec<Effect>,
}

impl Context<'_> {
    /// Answers a request with what rests on no durable fact.
    pub fn reply(&mut self, to: RequestId, response: impl Into<Response>) {
        self.out.push(Effect::Reply { to, response: response.into() });
    }

    /// Answers a request once the facts it rests on are durable.
    pub fn reply_after(
        &mut self,
        position: Position,
        to: RequestId,
        response: impl Into<Response>,
    ) {
        let effect = Effect::Reply { to, response: response.into() };
        self.journal.send_after(position, effect, self.out);
    }

    /// Gives storage something to do.
    pub fn job(&mut self, job: Job) {
        self.out.push(Effect::Job(job));
    }

    /// Gives storage something to do once the facts it rests on are durable.
    pub fn job_after(&mut self, position: Position, job: Job) {
        self.journal.send_after(position, Effect::Job(job), self.out);
    }
}
