//! Runs of the simulation: one seed, many seeds, and the shortest script that still fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::script::{Action, script};
use crate::world::World;

/// Actions in a script.
const LENGTH: usize = 250;
/// Runs that shrinking a script may take.
const SHRINKING_MAX: usize = 250;
/// How long that may take.
const SHRINKING_TIME: Duration = Duration::from_secs(60);
/// How many seconds a run may take: a thousand times as long as it does.
const RUN_SECONDS_MAX: u64 = 120;
/// Seeds in every test run.
const SEEDS: u64 = 2000;

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    /// Sums up everything that happened.
    pub(crate) trace: u64,
    /// What was wrong, if something was.
    pub(crate) failure: Option<String>,
    /// What happened, for people, if that was asked for.
    pub(crate) log: Vec<String>,
}

/// Plays a script in the world of a seed.
fn play(seed: u64, script: &[Action], with_log: bool) -> Ran {
    let mut world = World::new(seed);
    world.log = with_log.then(Vec::new);
    let played = watched(seed, || catch_unwind(AssertUnwindSafe(|| world.play(script))));
    let failure = match played {
        Ok(result) => result.err(),
        Err(panic) => Some(panic_text(&*panic)),
    };
    Ran { trace: world.trace, failure, log: world.log.unwrap_or_default() }
}

/// Does something. Steps are counted, see [`World`], but a step that hangs is not: then the process ends, and says which
/// seed it was.
fn watched<T>(seed: u64, run: impl FnOnce() -> T) -> T {
    let (done, is_done) = channel::<()>();
    std::thread::spawn(move || {
        // One by one: while the whole process is held up, no more than one of them passes.
        for _ in 0..RUN_SECONDS_MAX {
            if is_done.recv_timeout(Duration::from_secs(1)) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
        println!("seed {seed} fails: it hangs within a step");
        println!("to replay it: make sim SEED={seed}");
        std::process::exit(1);
    });
    let result = run();
    drop(done);
    result
}

/// Plays the script of a seed.
pub(crate) fn run(seed: u64) -> Ran {
    play(seed, &script(seed, LENGTH), false)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("?"))
}

/// Leaves out whatever part of a failing script it fails without: halves first, then ever smaller parts.
#[expect(clippy::disallowed_methods, reason = "how long people wait is no part of a run")]
pub(crate) fn shrink(seed: u64) -> Vec<Action> {
    let mut script = script(seed, LENGTH);
    let (mut size, mut runs) = (script.len() / 2, 0);
    let begun = Instant::now();
    let may_go_on = |runs| runs < SHRINKING_MAX && begun.elapsed() < SHRINKING_TIME;
    while size > 0 && may_go_on(runs) {
        let mut from = 0;
        while from < script.len() && may_go_on(runs) {
            let to = (from + size).min(script.len());
            let without = [&script[..from], &script[to..]].concat();
            runs += 1;
            if play(seed, &without, false).failure.is_some() {
                script = without;
            } else {
                from = to;
            }
        }
        size /= 2;
    }
    script
}

/// Says all there is to say about a seed that fails.
fn explain(seed: u64, failure: &str) -> String {
    let shrunk = shrink(seed);
    let ran = play(seed, &shrunk, true);
    let last = ran.log.len().saturating_sub(400);
    let log = ran.log.get(last..).unwrap_or_default().join("\n");
    format!(
        "seed {seed} fails: {failure}\n\nshrunk to {} actions: {}\n{log}\n\n\
         seed {seed} fails: {failure}\nto replay it: make sim SEED={seed}",
        shrunk.len(),
        ran.failure.unwrap_or_default(),
    )
}

/// A number that was asked for.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().filter(|text| !text.is_empty())?.parse().ok()
}

/// The seeds of this run: those that were asked for, or as many as fit into every test run.
fn seeds() -> std::ops::Range<u64> {
    let count = number("CHRONIK_SIM_SEEDS");
    match (number("CHRONIK_SIM_SEED"), count) {
        (Some(first), count) => first..first + count.unwrap_or(1),
        (None, count) => 1..1 + count.unwrap_or(SEEDS),
    }
}

#[test]
fn no_seed_breaks_a_promise() {
    let seeds = seeds();
    println!("seeds {} to {}", seeds.start, seeds.end - 1);
    let next = AtomicU64::new(seeds.start);
    let failed = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            if let Some(failure) = run(seed).failure {
                println!("seed {seed} fails: {failure}");
                failed.lock().unwrap().push((seed, failure));
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort();
    if let Some((seed, failure)) = failed.first() {
        println!("{}", explain(*seed, failure));
    }
    assert!(failed.is_empty(), "{} of {} seeds fail", failed.len(), seeds.end - seeds.start);
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 1..=12 {
        let script = script(seed, LENGTH);
        let (first, second) = (play(seed, &script, true), play(seed, &script, true));
        assert!(first == second, "seed {seed} went another way the second time");
        assert_eq!(first.trace, play(seed, &script, false).trace);
    }
}

#[test]
fn seeds_differ() {
    let traces: std::collections::BTreeSet<u64> = (1..=12).map(|seed| run(seed).trace).collect();
    assert_eq!(traces.len(), 12);
}

#[test]
fn one() {
    let Some(seed) = number("SEED") else { return };
    let ran = play(seed, &script(seed, LENGTH), true);
    println!("{}\n{:?}", ran.log.join("\n"), ran.failure);
}
