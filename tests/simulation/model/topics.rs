//! What is known of topics: there, not there, or on the way.

use std::collections::{BTreeMap, BTreeSet};

use chronik::base::ids::TopicId;

/// A topic of the simulation.
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) partitions: i32,
    pub(crate) compact: bool,
    pub(crate) retained: bool,
    pub(crate) configs: &'static [(&'static str, &'static str)],
}

const ANY_TIME: (&str, &str) = ("message.timestamp.after.max.ms", "9223372036854775807");

/// All topics. Segments are small, so that they are closed often.
pub(crate) const TOPICS: [Spec; 4] = [
    Spec {
        name: "orders",
        partitions: 2,
        compact: false,
        retained: false,
        configs: &[ANY_TIME, ("segment.bytes", "900"), ("index.interval.bytes", "128")],
    },
    Spec {
        name: "large",
        partitions: 1,
        compact: false,
        retained: false,
        configs: &[ANY_TIME, ("segment.bytes", "1048576")],
    },
    Spec {
        name: "keys",
        partitions: 1,
        compact: true,
        retained: false,
        configs: &[
            ANY_TIME,
            ("cleanup.policy", "compact"),
            ("segment.bytes", "700"),
            ("index.interval.bytes", "128"),
            ("min.cleanable.dirty.ratio", "0.01"),
            ("delete.retention.ms", "0"),
        ],
    },
    Spec {
        name: "recent",
        partitions: 1,
        compact: false,
        retained: true,
        configs: &[
            ANY_TIME,
            ("segment.bytes", "600"),
            ("retention.bytes", "2000"),
            ("retention.ms", "20000"),
        ],
    },
];

/// Where a topic stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Absent,
    Present(TopicId),
    /// Its creation was asked for. `over`: nothing more becomes of that.
    Creating {
        over: bool,
    },
    /// Its deletion was asked for.
    Deleting {
        id: TopicId,
        over: bool,
    },
}

/// All topics.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    standing: BTreeMap<usize, Standing>,
    gone: BTreeSet<TopicId>,
}

impl Topics {
    fn of(&self, topic: usize) -> Standing {
        self.standing.get(&topic).copied().unwrap_or(Standing::Absent)
    }

    /// The id of a topic that is there, and whether it is to stay.
    pub(crate) fn id(&self, topic: usize) -> Option<TopicId> {
        match self.of(topic) {
            Standing::Present(id) | Standing::Deleting { id, .. } => Some(id),
            Standing::Absent | Standing::Creating { .. } => None,
        }
    }

    /// Whether a topic is there and stays: nobody may say that it is unknown.
    pub(crate) fn is_present(&self, id: TopicId) -> bool {
        self.standing.values().any(|standing| *standing == Standing::Present(id))
    }

    /// Topics that are there, or may be.
    pub(crate) fn alive(&self) -> impl Iterator<Item = (usize, TopicId)> {
        (0..TOPICS.len()).filter_map(|topic| Some((topic, self.id(topic)?)))
    }

    /// Whether it is unclear what is there.
    pub(crate) fn is_unclear(&self, topic: usize) -> bool {
        matches!(self.of(topic), Standing::Creating { .. } | Standing::Deleting { .. })
    }

    pub(crate) fn create_sent(&mut self, topic: usize) {
        if self.of(topic) == Standing::Absent {
            self.standing.insert(topic, Standing::Creating { over: false });
        }
    }

    pub(crate) fn delete_sent(&mut self, topic: usize) {
        if let Standing::Present(id) = self.of(topic) {
            self.standing.insert(topic, Standing::Deleting { id, over: false });
        }
    }

    /// A creation succeeded.
    pub(crate) fn created(&mut self, topic: usize, id: TopicId) -> Result<(), String> {
        if self.gone.contains(&id) {
            return Err(format!("topic id {id} comes again"));
        }
        match self.of(topic) {
            Standing::Creating { .. } => {
                self.standing.insert(topic, Standing::Present(id));
                Ok(())
            }
            Standing::Present(known) if known == id => Ok(()),
            other => Err(format!("{} was created, it was {other:?}", TOPICS[topic].name)),
        }
    }

    /// A deletion succeeded.
    pub(crate) fn deleted(&mut self, topic: usize) {
        if let Some(id) = self.id(topic) {
            self.gone.insert(id);
        }
        self.standing.insert(topic, Standing::Absent);
    }

    /// A topic is listed, or not. `ready`: it can be used.
    pub(crate) fn listed(
        &mut self,
        topic: usize,
        found: Option<TopicId>,
        ready: bool,
    ) -> Result<(), String> {
        let name = TOPICS[topic].name;
        if let Some(id) = found.filter(|id| self.gone.contains(id)) {
            return Err(format!("{name}: {id} was deleted and is back"));
        }
        match (self.of(topic), found) {
            (Standing::Absent, Some(id)) => Err(format!("{name} is there as {id}, nobody asked")),
            (Standing::Present(id), None) => Err(format!("{name}, {id}, is forgotten")),
            (Standing::Present(id) | Standing::Deleting { id, .. }, Some(other)) if id != other => {
                Err(format!("{name} is {other}, it was {id}"))
            }
            (Standing::Creating { .. } | Standing::Deleting { over: true, .. }, Some(id))
                if ready =>
            {
                self.standing.insert(topic, Standing::Present(id));
                Ok(())
            }
            (Standing::Creating { over: true }, None) => {
                self.standing.insert(topic, Standing::Absent);
                Ok(())
            }
            (Standing::Deleting { .. }, None) => {
                self.deleted(topic);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The process ended: nothing more becomes of anything.
    pub(crate) fn ended(&mut self) {
        for standing in self.standing.values_mut() {
            match standing {
                Standing::Creating { over } | Standing::Deleting { over, .. } => *over = true,
                Standing::Absent | Standing::Present(_) => {}
            }
        }
    }
}
