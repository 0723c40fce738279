//! A limit on log lines that a peer can cause: so many in a second, and a count of what was not written.

use std::fmt;
use std::time::Duration;

use super::metrics::Counter;
use super::time::Mono;

/// Lets so many lines of one kind through in a second.
#[derive(Debug)]
pub struct RateLimit {
    per_second: u32,
    /// When the present second began.
    began: Mono,
    /// Lines let through in it.
    used: u32,
    suppressed: u64,
}

/// How many lines were suppressed since the last one that was let through. Shown as the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suppressed(pub u64);

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} more like it suppressed)"),
        }
    }
}

impl RateLimit {
    /// A limit of so many lines in a second.
    #[must_use]
    pub fn new(per_second: u32) -> RateLimit {
        RateLimit { per_second, began: Mono::default(), used: 0, suppressed: 0 }
    }

    /// Whether a line may be written now; if not, it is counted here and in `dropped`.
    pub fn admit(&mut self, now: Mono, dropped: &Counter) -> Option<Suppressed> {
        if now.since(self.began) >= Duration::from_secs(1) {
            (self.began, self.used) = (now, 0);
        }
        if self.used >= self.per_second {
            self.suppressed += 1;
            dropped.increment();
            return None;
        }
        self.used += 1;
        Some(Suppressed(std::mem::take(&mut self.suppressed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_the_next_second_tells_what_was_suppressed() {
        let (mut limit, dropped) = (RateLimit::new(2), Counter::default());
        let at = |ms: u64| Mono(10_000_000 + ms * 1000);
        let mut admit = |ms| limit.admit(at(ms), &dropped).map(|suppressed| suppressed.0);
        assert_eq!([admit(0), admit(1), admit(2), admit(999)], [Some(0), Some(0), None, None]);
        assert_eq!([admit(1000), admit(1001)], [Some(2), Some(0)]);
        assert_eq!(dropped.get(), 2);
        assert_eq!(Suppressed(2).to_string(), " (2 more like it suppressed)");
        assert_eq!(Suppressed(0).to_string(), "");
    }
}
