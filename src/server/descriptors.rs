//! Descriptors: how many the process may have, and who gets how many of them.
//!
//! Files come first: a broker that has given its last descriptor to a client can neither append nor roll.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is enough for everybody, where there is no limit.
const PLENTY: u64 = 1 << 20;
/// Files that storage keeps open at most.
const FILES_MAX: usize = 1_024;
/// Unsynced files that it has open at most.
const UNSYNCED_MAX: usize = 16_384;
/// Files that it keeps open at least.
const FILES_MIN: usize = 16;
/// For everything else: the poll, signals, listeners, health checks, and files that are open for a moment.
const OTHERS: usize = 48;
/// What unsynced files leave free beside the connections that there are: for those that four listeners accept in one turn,
/// before the files hear of it.
const NEWCOMERS: usize = 256;
/// Connections that there may be in any case.
const CONNECTIONS_MIN: usize = 8;

/// Who gets how many. Connections and unsynced files share what there is: each may take what the other leaves, and a
/// quarter is for files alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Descriptors {
    /// Files that storage keeps open though nobody needs them. They are closed for those that somebody needs.
    pub(super) files: usize,
    /// Files that storage may have open until they are synced, whatever connections there are.
    pub(super) unsynced: usize,
    /// Connections of clients, when unsynced files have no more than their own.
    pub(super) connections: usize,
}

impl Descriptors {
    /// Takes as many as the process may have, and shares them out.
    pub(super) fn claim() -> Descriptors {
        let limit = getrlimit(Resource::Nofile);
        let most = limit.maximum.unwrap_or(PLENTY);
        let raised = Rlimit { current: Some(most), maximum: limit.maximum };
        let now = match setrlimit(Resource::Nofile, raised) {
            Ok(()) => most,
            Err(_) => limit.current.unwrap_or(PLENTY),
        };
        Descriptors::share(usize::try_from(now).unwrap_or(usize::MAX))
    }

    /// A quarter is for files, as far as they need it.
    fn share(limit: usize) -> Descriptors {
        let files = (limit / 4).clamp(FILES_MIN, FILES_MAX);
        let unsynced = (limit / 4).clamp(FILES_MIN, UNSYNCED_MAX);
        let connections = limit.saturating_sub(unsynced + OTHERS).max(CONNECTIONS_MIN);
        Descriptors { files, unsynced, connections }
    }

    /// How many connections there may be beside so many unsynced files.
    pub(super) fn connections_beside(&self, unsynced: usize) -> usize {
        let taken = unsynced.saturating_sub(self.unsynced);
        self.connections.saturating_sub(taken).max(CONNECTIONS_MIN)
    }

    /// How many unsynced files there may be beside so many connections.
    pub(super) fn unsynced_beside(&self, connections: usize) -> usize {
        let left = self.connections.saturating_sub(connections.saturating_add(NEWCOMERS));
        self.unsynced.saturating_add(left).min(UNSYNCED_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_first() {
        let cases = [
            (64, 16, 16, 8),
            (128, 32, 32, 48),
            (1_024, 256, 256, 720),
            (20_000, 1_024, 5_000, 14_952),
            (1 << 20, 1_024, 16_384, (1 << 20) - 16_432),
        ];
        for (limit, files, unsynced, connections) in cases {
            let expected = Descriptors { files, unsynced, connections };
            assert_eq!(Descriptors::share(limit), expected);
        }
    }

    #[test]
    fn each_may_take_what_the_other_leaves() {
        for limit in [64, 1_024, 4_096, 20_000, 1 << 20] {
            let all = Descriptors::share(limit);
            assert_eq!(all.connections_beside(all.unsynced), all.connections);
            assert_eq!(all.unsynced_beside(all.connections), all.unsynced);
            for connections in (0..=all.connections).step_by(97) {
                let unsynced = all.unsynced_beside(connections);
                assert!((all.unsynced..=UNSYNCED_MAX).contains(&unsynced));
                // Those that come before the files hear of it find descriptors, too.
                let least = connections.min(all.connections - all.connections.min(NEWCOMERS));
                assert!(all.connections_beside(unsynced) >= least, "{limit}: {connections}");
                assert!(unsynced + connections + OTHERS <= limit.max(72));
            }
        }
        let all = Descriptors::share(20_000);
        assert_eq!((all.unsynced_beside(16), all.connections_beside(16_000)), (16_384, 3_952));
    }
}
