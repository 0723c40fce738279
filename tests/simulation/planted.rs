//! Whether the simulation would catch a bug: those that can be planted are, within a few seeds.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use chronik::base::planted::{Bug, plant};

use crate::runs::run;

/// Seeds within which every bug is caught: far fewer than in every test run.
const SEEDS_MAX: u64 = 400;

/// The first seed that catches a bug, and how.
fn caught(bug: Bug) -> Option<(u64, String)> {
    plant(Some(bug));
    let seeds = crate::runs::number("CHRONIK_SIM_SEEDS").unwrap_or(SEEDS_MAX);
    let caught = (1..=seeds).find_map(|seed| Some((seed, run(seed).failure?)));
    plant(None);
    caught
}

#[test]
fn every_planted_bug_is_caught() {
    let wanted = std::env::var("CHRONIK_SIM_BUG").unwrap_or_default();
    let is_wanted = |bug: &&Bug| wanted.is_empty() || format!("{bug:?}") == wanted;
    let bugs: Vec<&Bug> = Bug::ALL.iter().filter(is_wanted).collect();
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
            match caught(**bug) {
                Some((seed, how)) => println!("{bug:?}: caught by seed {seed}: {how}"),
                None => missed.lock().unwrap().push(**bug),
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "within {SEEDS_MAX} seeds nobody catches {missed:?}");
    assert!(Bug::ALL.len() >= 20);
}
