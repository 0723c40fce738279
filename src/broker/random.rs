//! Random numbers from a seed that is handed in, so that the same events give the same effects.

use crate::base::ids::TopicId;

/// SplitMix64 over a seed. For identities, not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A sequence that `seed` decides.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn next_16_bytes(&mut self) -> [u8; 16] {
        let whole = (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64());
        whole.to_be_bytes()
    }

    /// A topic id that is neither zero nor one of Kafka's reserved ones.
    pub fn topic_id(&mut self) -> TopicId {
        TopicId::from_random(self.next_16_bytes())
    }

    /// A random UUID in its usual text form, as member ids contain it.
    pub fn uuid_text(&mut self) -> String {
        let TopicId(bytes) = self.topic_id();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
        [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
    }
}
