//! The simulation: the real broker on the real partition code, a fake clock, a fake disk with faults, and scripted
//! clients. One seed decides everything.
#![cfg_attr(
    test,
    expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "figures are small"
    )
)]

#[cfg(test)]
mod audit;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod found;
#[cfg(test)]
mod link;
#[cfg(test)]
mod model;
#[cfg(test)]
mod node;
#[cfg(test)]
mod script;
#[cfg(test)]
mod together;
#[cfg(test)]
mod planted;
#[cfg(test)]
mod process;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod world;
