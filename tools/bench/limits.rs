//! How many descriptors this process may have: ten thousand connections take as many.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is open besides connections.
const OTHERS: u64 = 64;

/// Takes all that the system allows. The servers that are started get the same.
pub(crate) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    // If it is refused, fewer connections are measured.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// As many connections as are wanted, or as there can be: a server needs a quarter more than it serves.
pub(crate) fn connections(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = limit.saturating_sub(OTHERS) / 5 * 4;
    wanted.min(usize::try_from(most).unwrap_or(usize::MAX))
}
