//! What is kept for each connection. It is found by the connection's place, without a search.

use super::ids::ConnId;

/// At most one thing for each connection.
#[derive(Debug)]
pub struct ByConn<T> {
    /// By place: the generation whose thing it is, and the thing.
    places: Vec<Option<(u64, T)>>,
}

impl<T> Default for ByConn<T> {
    fn default() -> ByConn<T> {
        ByConn { places: Vec::new() }
    }
}

impl<T> ByConn<T> {
    /// Keeps something for a connection. What was kept for an earlier one at its place is gone.
    pub fn insert(&mut self, conn: ConnId, thing: T) {
        if self.places.len() <= conn.slot {
            self.places.resize_with(conn.slot + 1, || None);
        }
        if let Some(place) = self.places.get_mut(conn.slot) {
            *place = Some((conn.generation, thing));
        }
    }

    /// What is kept for a connection.
    #[must_use]
    pub fn get(&self, conn: ConnId) -> Option<&T> {
        let (generation, thing) = self.places.get(conn.slot)?.as_ref()?;
        (*generation == conn.generation).then_some(thing)
    }

    /// What is kept for a connection, to be changed.
    pub fn get_mut(&mut self, conn: ConnId) -> Option<&mut T> {
        let (generation, thing) = self.places.get_mut(conn.slot)?.as_mut()?;
        (*generation == conn.generation).then_some(thing)
    }

    /// Takes what is kept for a connection. The room that nobody needs any more goes with it.
    pub fn remove(&mut self, conn: ConnId) -> Option<T> {
        self.get(conn)?;
        let (_, thing) = self.places.get_mut(conn.slot)?.take()?;
        while self.places.last().is_some_and(Option::is_none) {
            self.places.pop();
        }
        if self.places.capacity() / 4 > self.places.len() {
            self.places.shrink_to(self.places.len() * 2);
        }
        Some(thing)
    }

    /// All connections for which something is kept, and what it is, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = (ConnId, &T)> {
        let kept = self.places.iter().enumerate();
        kept.filter_map(|(slot, place)| {
            let (generation, thing) = place.as_ref()?;
            Some((ConnId { slot, generation: *generation }, thing))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn(slot: usize, generation: u64) -> ConnId {
        ConnId { slot, generation }
    }

    #[test]
    fn a_connection_that_has_gone_is_not_taken_for_the_next_at_its_place() {
        let mut kept = ByConn::default();
        kept.insert(conn(2, 0), "first");
        kept.insert(conn(2, 1), "second");
        assert_eq!((kept.get(conn(2, 0)), kept.get(conn(2, 1))), (None, Some(&"second")));
        assert_eq!(kept.get_mut(conn(2, 0)), None);
        assert_eq!(kept.remove(conn(2, 0)), None);
        assert_eq!((kept.get(conn(0, 0)), kept.get(conn(9, 0))), (None, None));
        kept.insert(conn(0, 7), "third");
        let all: Vec<_> = kept.iter().collect();
        assert_eq!(all, [(conn(0, 7), &"third"), (conn(2, 1), &"second")]);
        assert_eq!(kept.remove(conn(2, 1)), Some("second"));
        assert_eq!(kept.iter().count(), 1);
    }

    #[test]
    fn the_room_of_many_does_not_stay() {
        let mut kept = ByConn::default();
        (0..10_000).for_each(|slot| kept.insert(conn(slot, 0), slot));
        for slot in (1..10_000).rev() {
            assert_eq!(kept.remove(conn(slot, 0)), Some(slot));
        }
        assert_eq!(kept.get(conn(0, 0)), Some(&0));
        assert!(kept.places.capacity() < 100, "{}", kept.places.capacity());
    }
}
