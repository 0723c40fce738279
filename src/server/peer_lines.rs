//! Log lines that a peer can cause: a few per second, with a count of those left out.

use std::fmt::Arguments;

use crate::base::time::Mono;

/// Most lines in one second.
const LINES_MAX: u32 = 10;

/// How many lines were written lately.
#[derive(Debug, Default)]
pub(super) struct PeerLines {
    second: u64,
    written: u32,
    left_out: u64,
}

impl PeerLines {
    /// Writes the line, or counts it.
    pub(super) fn warn(&mut self, now: Mono, line: Arguments<'_>) {
        let second = now.0 / 1_000_000;
        if second != self.second {
            (self.second, self.written) = (second, 0);
        }
        if self.written == LINES_MAX {
            self.left_out += 1;
            return;
        }
        self.written += 1;
        match std::mem::take(&mut self.left_out) {
            0 => log::warn!("{line}"),
            count => log::warn!("{line} ({count} lines like this were left out)"),
        }
    }
}
