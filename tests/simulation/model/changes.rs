//! What is known of what can change about a topic: how many partitions it has, and one of its settings.

use std::collections::BTreeSet;

/// The setting.
pub(crate) const SETTING: &str = "segment.bytes";

/// What a topic may have by now.
#[derive(Clone, Debug)]
pub(crate) struct Changes {
    /// So many partitions it has at least.
    known: i32,
    /// So many were asked for at most.
    asked: i32,
    /// Values that the setting may have; `None`: none of its own.
    values: BTreeSet<Option<String>>,
}

impl Changes {
    pub(crate) fn new(partitions: i32, configs: &[(&str, &str)]) -> Changes {
        let value = configs.iter().find(|(name, _)| *name == SETTING);
        let value = value.map(|(_, value)| (*value).to_owned());
        Changes { known: partitions, asked: partitions, values: BTreeSet::from([value]) }
    }

    pub(crate) fn known(&self) -> i32 {
        self.known
    }

    pub(crate) fn grow_sent(&mut self, count: i32) {
        self.asked = self.asked.max(count);
    }

    /// Whether an earlier request may have made as many already.
    pub(crate) fn may_have(&self, count: i32) -> bool {
        count <= self.asked
    }

    /// It is said to have so many partitions.
    pub(crate) fn has(&mut self, count: i32) -> Result<(), String> {
        if !(self.known..=self.asked).contains(&count) {
            let Changes { known, asked, .. } = self;
            return Err(format!("it has {count} partitions, of {known} to {asked}"));
        }
        self.known = count;
        Ok(())
    }

    pub(crate) fn set_sent(&mut self, value: Option<String>) {
        self.values.insert(value);
    }

    /// The setting is said to have this value.
    pub(crate) fn is_set(&mut self, value: Option<String>) -> Result<(), String> {
        if !self.values.contains(&value) {
            return Err(format!("{SETTING} is {value:?}, of {:?}", self.values));
        }
        self.values = BTreeSet::from([value]);
        Ok(())
    }
}
