//! For each key of a stretch of a log: the offset of its newest record.
//!
//! The table has a fixed size and holds hashes in place of keys, 24 bytes for each, as Kafka's does. The two halves of
//! a hash are keyed with random numbers of this process, so nobody can make two keys that share one; that two do so by
//! chance is less likely than that the disk invents a record.

use std::hash::{BuildHasher, RandomState};

use crate::base::ids::Offset;

/// Bytes that one key takes.
const SLOT_BYTES: usize = size_of::<Slot>();

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: [u64; 2],
    /// Negative: the slot is free.
    offset: Offset,
}

const FREE: Slot = Slot { hash: [0; 2], offset: -1 };

/// Offsets by the hashes of keys.
#[derive(Debug)]
pub(super) struct OffsetMap {
    slots: Vec<Slot>,
    used: usize,
    used_max: usize,
    hashers: [RandomState; 2],
}

impl OffsetMap {
    /// Takes at most `bytes`, and no more than `keys` keys need. `load` is the part of it, in thousandths, that is used.
    pub(super) fn new(bytes: usize, keys: usize, load: usize) -> OffsetMap {
        let load = load.clamp(1, 1000);
        let wanted = keys.saturating_mul(1000) / load + 1;
        let slots = (bytes / SLOT_BYTES).min(wanted).max(2);
        // One stays free, where every search ends.
        let used_max = (slots.saturating_mul(load) / 1000).clamp(1, slots - 1);
        let hashers = [RandomState::new(), RandomState::new()];
        OffsetMap { slots: vec![FREE; slots], used: 0, used_max, hashers }
    }

    /// Remembers a record that is newer than all before. `false`: it has a new key, and there is no room for that.
    #[must_use]
    pub(super) fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = self.hash(key);
        let place = self.place(hash);
        let is_full = self.used >= self.used_max;
        let Some(slot) = self.slots.get_mut(place) else { return false };
        if slot.offset < 0 {
            if is_full {
                return false;
            }
            self.used += 1;
        }
        *slot = Slot { hash, offset };
        true
    }

    /// The offset of the newest record with this key.
    pub(super) fn get(&self, key: &[u8]) -> Option<Offset> {
        let place = self.place(self.hash(key));
        self.slots.get(place).map(|slot| slot.offset).filter(|offset| *offset >= 0)
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        self.hashers.each_ref().map(|hasher| hasher.hash_one(key))
    }

    /// Where a hash is, or the free slot where it would be.
    fn place(&self, hash: [u64; 2]) -> usize {
        let [first, _] = hash;
        let count = u64::try_from(self.slots.len()).unwrap_or(u64::MAX);
        let start = usize::try_from(first % count).unwrap_or(0);
        let behind = self.slots.iter().enumerate().skip(start);
        let mut probes = behind.chain(self.slots.iter().enumerate());
        let found = probes.find(|(_, slot)| slot.offset < 0 || slot.hash == hash);
        found.map_or(0, |(place, _)| place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_offset_of_each_key_is_found() {
        let mut map = OffsetMap::new(1 << 20, 1000, 900);
        for offset in 0..3000i64 {
            assert!(map.put(format!("key {}", offset % 1000).as_bytes(), offset));
        }
        assert_eq!(map.used, 1000);
        for key in 0..1000i64 {
            assert_eq!(map.get(format!("key {key}").as_bytes()), Some(2000 + key));
        }
        assert_eq!(map.get(b"another"), None);
    }

    #[test]
    fn a_full_map_takes_known_keys_only() {
        let mut map = OffsetMap::new(24 * 10, 1000, 500);
        let taken = (0..10i64).take_while(|key| map.put(&key.to_be_bytes(), *key)).count();
        assert_eq!(taken, 5);
        assert!(map.put(&0i64.to_be_bytes(), 77));
        assert!(!map.put(&9i64.to_be_bytes(), 78));
        assert_eq!(map.get(&0i64.to_be_bytes()), Some(77));
        assert_eq!(map.get(&9i64.to_be_bytes()), None);
    }

    #[test]
    fn a_map_takes_no_more_memory_than_its_keys_need() {
        assert!(OffsetMap::new(4 << 20, 10, 900).slots.len() <= 12);
        assert!(OffsetMap::new(4 << 20, usize::MAX, 900).slots.len() * SLOT_BYTES <= 4 << 20);
    }
}
