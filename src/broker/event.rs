//! What comes into the broker and what goes out of it.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::base::ids::ConnId;
use crate::storage::job::{Job, Outcome};
use crate::wire::api::{Request, Response};

/// One request of one connection: where its answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// The connection.
    pub conn: ConnId,
    /// How many requests the connection sent before.
    pub sequence: u64,
}

impl RequestId {
    /// The range of all requests of a connection.
    #[must_use]
    pub fn all_of(conn: ConnId) -> RangeInclusive<RequestId> {
        RequestId { conn, sequence: 0 }..=RequestId { conn, sequence: u64::MAX }
    }
}

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The client's name for itself.
    pub id: Option<Arc<str>>,
    /// Where it connected from.
    pub host: IpAddr,
    /// The host that it is told to connect to: the advertised one of the listener by which it came.
    pub advertised_host: Arc<str>,
    /// The port that it is told to connect to.
    pub advertised_port: u16,
}

impl Client {
    /// Where this broker is, as messages say it.
    #[must_use]
    pub fn broker_address(&self) -> (String, i32) {
        (self.advertised_host.to_string(), i32::from(self.advertised_port))
    }
}

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// A request arrived. It gets exactly one [`Effect::Reply`] or [`Effect::Silence`], unless its connection goes.
    Request {
        /// Where the answer goes.
        id: RequestId,
        /// Who sent it.
        client: Client,
        /// What is asked, normalized.
        request: Request,
    },
    /// A job is done.
    Outcome(Outcome),
    /// The client will send nothing more; what it waits for is answered at once.
    InputEnded(ConnId),
    /// A connection is gone; its requests need no answer.
    Disconnected(ConnId),
}

/// Something to be done outside.
#[derive(Debug)]
pub enum Effect {
    /// Answer a request.
    Reply {
        /// Which.
        to: RequestId,
        /// The answer.
        response: Response,
    },
    /// A request that gets no answer is done (`acks=0`).
    Silence {
        /// Which.
        to: RequestId,
        /// It failed: the connection is closed, the only way to tell (after the replies before it).
        failed: bool,
    },
    /// Something for storage.
    Job(Job),
    /// The broker cannot go on: what it said cannot be kept.
    Fatal {
        /// Why.
        reason: String,
    },
}
