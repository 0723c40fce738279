//! A client's connection: the order of its requests, and answers that it has not heard.

use std::collections::{BTreeMap, VecDeque};

use chronik::wire::api::ApiKey;

use crate::clients::{Client, Reply};
use crate::model::Model;

/// A client and its connection.
pub(crate) struct Link {
    pub(crate) client: Box<dyn Client>,
    /// How many connections it had.
    pub(crate) generation: u64,
    pub(crate) is_open: bool,
    pub(crate) next: u64,
    /// Requests that were not answered to the client yet, in order.
    pub(crate) asked: VecDeque<(u64, ApiKey)>,
    /// Answers that wait for those before them.
    pub(crate) early: BTreeMap<u64, Reply>,
    /// Answers that the client has not heard.
    pub(crate) inbox: VecDeque<(u64, Reply)>,
}

impl Link {
    pub(crate) fn new(client: Box<dyn Client>) -> Link {
        Link {
            client,
            generation: 0,
            is_open: false,
            next: 0,
            asked: VecDeque::new(),
            early: BTreeMap::new(),
            inbox: VecDeque::new(),
        }
    }

    pub(crate) fn open(&mut self) {
        if !self.is_open {
            self.is_open = true;
            self.generation += 1;
            self.next = 0;
        }
    }

    pub(crate) fn close(&mut self, model: &mut Model) {
        if self.is_open {
            self.is_open = false;
            self.asked.clear();
            self.early.clear();
            self.inbox.clear();
            self.client.disconnected(model);
        }
    }

    /// Whether a request was not answered at all.
    pub(crate) fn is_unanswered(&self, number: u64) -> bool {
        self.asked.iter().any(|asked| asked.0 == number) && !self.early.contains_key(&number)
    }

    /// The next answer whose turn it is.
    pub(crate) fn next_in_order(&mut self) -> Option<(u64, Reply)> {
        let number = self.asked.front()?.0;
        let reply = self.early.remove(&number)?;
        self.asked.pop_front();
        Some((number, reply))
    }
}
