//! Runs of the simulation: one seed, many seeds, and the shortest script that still fails.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::script::{Action, script};
use crate::world::World;

/// Actions in a script.
pub(crate) const LENGTH: usize = 250;

/// What came of a run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) trace: u64,
    pub(crate) starts: u64,
    pub(crate) failure: Option<String>,
}

/// Plays a script in the world of a seed.
pub(crate) fn play(seed: u64, script: &[Action]) -> Ran {
    let mut world = World::new(seed);
    let played = catch_unwind(AssertUnwindSafe(|| world.play(script)));
    let failure = match played {
        Ok(result) => result.err(),
        Err(panic) => Some(panic_text(&*panic)),
    };
    Ran { trace: world.trace, starts: world.starts, failure }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("?"))
}

#[test]
fn one() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let script = script(seed, LENGTH);
    let mut world = World::new(seed);
    world.log = Some(Vec::new());
    let played = catch_unwind(AssertUnwindSafe(|| world.play(&script)));
    if !matches!(played, Ok(Ok(()))) {
        let log = world.log.unwrap_or_default();
        for line in &log[log.len().saturating_sub(
            std::env::var("LINES").ok().and_then(|n| n.parse().ok()).unwrap_or(120),
        )..]
        {
            println!("{line}");
        }
    }
    println!("{played:?}");
}

#[test]
fn many() {
    let from: u64 = std::env::var("FROM").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let count: u64 = std::env::var("SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    let mut failed = 0;
    for seed in from..from + count {
        let ran = play(seed, &script(seed, LENGTH));
        if let Some(failure) = ran.failure {
            println!("{seed}: {failure}");
            failed += 1;
        }
    }
    println!("{failed} of {count} failed");
}
