//! The bytes of replies: constant but for the correlation id.

use super::outbox::Outbox;

/// A reply that is the same for every request.
pub(super) struct Reply {
    /// The length.
    before: [u8; 4],
    /// What follows the correlation id.
    after: Vec<u8>,
}

impl Reply {
    /// A Produce reply of version 9: one topic with a name of five letters, one partition without an error.
    pub(super) fn produce() -> Reply {
        // Header tags, one topic, its name, one partition.
        let head = [0, 2, 6, b'b', b'e', b'n', b'c', b'h', 2];
        // Index, error, base offset, append time, log start, no record errors, no message, tags; topic tags, throttle, tags.
        Reply::framed(
            &[&head, &[0; 4 + 2], &[0; 8], &[0xff; 8], &[0; 8], &[1, 0, 0], &[0; 1 + 4 + 1]],
            0,
        )
    }

    /// The head of a Fetch reply of version 11 with `record_bytes` bytes of records, which follow it.
    pub(super) fn fetch(record_bytes: usize) -> Reply {
        // Throttle, error, session; one topic, its name, one partition.
        let head = [0, 0, 0, 1, 0, 5, b'b', b'e', b'n', b'c', b'h', 0, 0, 0, 1];
        let records = i32::try_from(record_bytes).unwrap_or(i32::MAX).to_be_bytes();
        // Index, error, high watermark, last stable offset, log start; no aborted transactions, no preferred replica.
        Reply::framed(
            &[&[0; 4 + 2 + 4], &head, &[0; 4 + 2 + 8 + 8 + 8], &[0xff; 4 + 4], &records],
            record_bytes,
        )
    }

    /// `more`: bytes that follow `parts` and are counted with them.
    fn framed(parts: &[&[u8]], more: usize) -> Reply {
        let after = parts.concat();
        let len = i32::try_from(4 + after.len() + more).unwrap_or(i32::MAX);
        Reply { before: len.to_be_bytes(), after }
    }

    /// Appends it to `outbox`, with `correlation` in its place.
    pub(super) fn write(&self, correlation: [u8; 4], outbox: &mut Outbox) {
        outbox.append(&self.before);
        outbox.append(&correlation);
        outbox.append(&self.after);
    }
}
