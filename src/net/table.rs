//! The connections by id. A place is reused, an id never.

use slab::Slab;

use super::connection::Connection;
use crate::base::ids::ConnId;

/// Connections by place, with the generation of each place.
#[derive(Default)]
pub(super) struct Table {
    slots: Slab<Connection>,
    generations: Vec<u64>,
}

impl Table {
    /// The id that the next connection will have.
    pub(super) fn vacant_id(&self) -> ConnId {
        let slot = self.slots.vacant_key();
        ConnId { slot, generation: self.generations.get(slot).copied().unwrap_or(0) }
    }

    /// Puts a connection where [`Table::vacant_id`] said.
    pub(super) fn insert(&mut self, connection: Connection) {
        let slot = self.slots.insert(connection);
        if self.generations.len() <= slot {
            self.generations.resize(slot + 1, 0);
        }
    }

    pub(super) fn get(&self, id: ConnId) -> Option<&Connection> {
        self.slots.get(id.slot).filter(|connection| connection.id == id)
    }

    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.slots.get_mut(id.slot).filter(|connection| connection.id == id)
    }

    /// The connection at a place, whoever it is: for the kernel's events, which carry the place alone.
    pub(super) fn at(&mut self, slot: usize) -> Option<&mut Connection> {
        self.slots.get_mut(slot)
    }

    pub(super) fn remove(&mut self, id: ConnId) -> Option<Connection> {
        self.get(id)?;
        if let Some(generation) = self.generations.get_mut(id.slot) {
            *generation += 1;
        }
        self.slots.try_remove(id.slot)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.slots.iter().map(|(_, connection)| connection)
    }
}
