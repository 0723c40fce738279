//! The reactor against real loopback sockets, driven turn by turn under a clock that the test moves, with
//! its invariants checked after every step.

#[cfg(test)]
mod chaos;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod frames;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod output;
