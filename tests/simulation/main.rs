//! The simulation: the real broker on the real partition code, a fake clock, a fake disk with faults, and scripted
//! clients. One seed decides everything.
#![cfg_attr(
    test,
    expect(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        clippy::print_stdout,
        reason = "a failed expectation is a failed test"
    )
)]

#[cfg(test)]
mod audit;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod model;
#[cfg(test)]
mod node;
#[cfg(test)]
mod script;
#[cfg(test)]
mod planted;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod world;
