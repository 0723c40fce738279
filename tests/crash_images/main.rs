//! A crash at every file operation of what a broker does, and what power cuts leave then: every image must recover, with
//! everything that was acknowledged and nothing that was never sent.
//!
//! `CHRONIK_KEEP` names a directory where a sample of what survived is left.
//! `CHRONIK_IMAGES` says how many images in all; `CHRONIK_CRASH=script:seed:operation:image` looks at one again.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failure is a failed test, and it says how to see it again"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chronik::storage::fs::Fs;
use chronik::testing::fs::{Image, SimFs};

mod format;
mod model;
mod scripts;
mod stopped;
mod world;

use scripts::{SCRIPTS, Script};
use world::{End, Run, World};

/// Images without being asked for more.
const IMAGES: u64 = 24_000;

/// What the next process finds.
#[derive(Clone, Copy, Debug)]
enum Left {
    /// The power went.
    Cut(Image),
    /// The process was killed, and the power stayed until after the next start.
    Killed,
}

impl Left {
    fn of(self, fs: &SimFs) -> Arc<SimFs> {
        match self {
            Left::Cut(how) => fs.image(how),
            Left::Killed => fs.killed(),
        }
    }

    fn parse(text: &str) -> Option<Left> {
        let (name, seed) = text.split_once('-').unwrap_or((text, "0"));
        let seed = seed.parse().ok()?;
        Some(match name {
            "nothing" => Left::Cut(Image::Nothing),
            "everything" => Left::Cut(Image::Everything),
            "prefix" => Left::Cut(Image::Prefix(seed)),
            "random" => Left::Cut(Image::Random(seed)),
            "killed" => Left::Killed,
            _ => return None,
        })
    }
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Left::Cut(Image::Nothing) => write!(f, "nothing"),
            Left::Cut(Image::Everything) => write!(f, "everything"),
            Left::Cut(Image::Prefix(seed)) => write!(f, "prefix-{seed}"),
            Left::Cut(Image::Random(seed)) => write!(f, "random-{seed}"),
            Left::Killed => write!(f, "killed"),
        }
    }
}

/// Runs a script up to a crash, or to its end. The world is as the crash left it.
fn live(script: &Script, seed: u64, crash_after: Option<u64>) -> (World, Run) {
    let mut world = World::doomed(seed, crash_after);
    let run = begin(script, &mut world);
    (world, run)
}

fn begin(script: &Script, world: &mut World) -> Run {
    // Scripts that begin with an earlier life say themselves from where on operations count.
    if !script.has_earlier_life {
        world.arm();
        world.boot()?;
    }
    (script.run)(world)
}

/// Starts from what is left, and again from what that start made durable, and judges all that is found.
fn judge(world: &World, left: Left, seed: u64) -> Run {
    let mut next = World::new(left.of(&world.fs), world.model.clone(), seed);
    next.writers = world.writers;
    let contents = next.boot()?;
    next.judge_searches(&contents)?;
    next.power_cut(Image::Nothing);
    let again = next.boot()?;
    for (id, (opened, found)) in &contents {
        let (opened_again, found_again) = &again[id];
        let ends = (opened.log_start, opened.log_end, &opened.epochs, found);
        let again =
            (opened_again.log_start, opened_again.log_end, &opened_again.epochs, found_again);
        if ends != again {
            let reason = format!("{id:?}: the first start found {ends:?}, the second {again:?}");
            return Err(End::Wrong(reason));
        }
    }
    next.judge_producers()?;
    stop_and_keep(&mut next)
}

/// Of so many judged images one is stopped in order, and one is kept for other judges if `CHRONIK_KEEP` names a
/// directory for them.
const STOPPED_ONE_OF: usize = 4;
const KEPT_ONE_OF: usize = 20;

fn stop_and_keep(world: &mut World) -> Run {
    static JUDGED: AtomicUsize = AtomicUsize::new(0);
    let number = JUDGED.fetch_add(1, Ordering::Relaxed);
    if number % STOPPED_ONE_OF != 0 {
        return Ok(());
    }
    world.stop()?;
    stopped::judge(&world.fs)?;
    if let Some(dir) = std::env::var_os("CHRONIK_KEEP").filter(|_| number % KEPT_ONE_OF == 0) {
        let dir = PathBuf::from(dir).join(number.to_string());
        std::fs::create_dir_all(&dir).unwrap();
        world.fs.copy_to(&dir).unwrap();
    }
    Ok(())
}

/// As [`judge`], with panics for failures.
fn judge_safely(world: &World, left: Left, seed: u64) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(|| judge(world, left, seed))) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(End::Wrong(reason))) => Err(reason),
        Ok(Err(End::Crashed)) => Err("a crash that nobody asked for".to_owned()),
        Err(panic) => Err(told(&*panic)),
    }
}

fn told(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("without a text"))
}

/// Runs up to a crash, which must be the only thing that stops it. `false`: it came to its end before.
fn crash(script: &Script, seed: u64, operation: Option<u64>) -> (World, bool) {
    let (world, run) = live(script, seed, operation);
    match run {
        Ok(()) => (world, false),
        Err(End::Crashed) if operation.is_some() => (world, true),
        Err(end) => {
            let operation = operation.map_or("none".to_owned(), |operation| operation.to_string());
            show(&world);
            panic!("{}:{seed}:{operation}: {end:?}", script.name)
        }
    }
}

fn show(world: &World) {
    let history = world.fs.history();
    for line in history.iter().rev().take(60).rev() {
        println!("  {line}");
    }
    for (path, size) in world.fs.files() {
        println!("  {} {size}", path.display());
    }
}

/// Crashes at every operation of one instance of a script; gives the number of crashes and of images.
fn crash_everywhere(script: &Script, seed: u64) -> (u64, u64) {
    let (whole, _) = crash(script, seed, None);
    let operations = whole.armed_operations();
    let mut images = 0;
    for operation in 0..=operations {
        let (world, _) = crash(script, seed, Some(operation));
        let random = seed.wrapping_mul(1_000_003).wrapping_add(operation);
        let mut lefts = vec![Left::Cut(Image::Nothing), Left::Killed];
        if world.fs.unsynced() > 0 {
            let more = [Image::Everything, Image::Prefix(random), Image::Random(random)];
            lefts.extend(more.map(Left::Cut));
        }
        if world.fs.unsynced() > 1 {
            lefts.push(Left::Cut(Image::Random(random + 500_000)));
        }
        for left in lefts {
            images += 1;
            if let Err(reason) = judge_safely(&world, left, random) {
                show(&world);
                let name = script.name;
                panic!("{reason}\nagain: CHRONIK_CRASH={name}:{seed}:{operation}:{left}");
            }
        }
    }
    (operations + 1, images)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Instance after instance of one script, until its share of the images is done.
fn run(name: &str) {
    let script = SCRIPTS.iter().find(|script| script.name == name).unwrap();
    if let Ok(crash) = std::env::var("CHRONIK_CRASH") {
        return run_one(script, &crash);
    }
    let wanted = number("CHRONIK_IMAGES").unwrap_or(IMAGES);
    let share = wanted.div_ceil(u64::try_from(SCRIPTS.len()).unwrap());
    let (mut crashes, mut images, mut seed) = (0, 0, number("CHRONIK_SEED").unwrap_or(0));
    while images < share {
        let (more_crashes, more_images) = crash_everywhere(script, seed);
        crashes += more_crashes;
        images += more_images;
        seed += 1;
    }
    println!("{name}: {images} images of {crashes} crashes");
}

/// One crash and one image of it, if it is of this script.
fn run_one(script: &Script, crash_text: &str) {
    let mut parts = crash_text.split(':');
    if parts.next() != Some(script.name) {
        return;
    }
    let seed = parts.next().unwrap().parse().unwrap();
    let operation = parts.next().unwrap().parse().ok();
    let (world, _) = crash(script, seed, operation);
    show(&world);
    let Some(left) = parts.next() else { return };
    let left = Left::parse(left).unwrap();
    let random = seed.wrapping_mul(1_000_003).wrapping_add(operation.unwrap_or(0));
    println!("found after the crash:");
    show(&World::new(left.of(&world.fs), world.model.clone(), 0));
    judge_safely(&world, left, random).unwrap();
}

#[test]
fn a_new_log_without_its_first_segment_is_empty() {
    let mut world = World::doomed(1, None);
    let partition = scripts::id(1, 0);
    let run = |world: &mut World| -> Run {
        world.boot()?;
        world.create(partition, "orders", scripts::config(2300))?;
        (0..12).for_each(|_| world.send(partition, 600, false));
        world.settle()?;
        let gone = Path::new("/var/data/orders-0/00000000000000000000.log");
        world.power_cut(Image::Everything);
        world.fs.remove_file(gone).unwrap();
        world.fs.sync_dir(gone.parent().unwrap()).unwrap();
        let contents = world.boot()?;
        let (opened, _) = &contents[&partition];
        assert_eq!((opened.log_start, opened.log_end), (0, 0));
        Ok(())
    };
    run(&mut world).unwrap();
}

macro_rules! scripts {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            run(stringify!($name));
        })*

        #[test]
        fn every_script_is_run() {
            let names: Vec<&str> = SCRIPTS.iter().map(|script| script.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

scripts! {
    append_and_roll
    many_partitions
    group_commit
    idempotent
    create_delete_create
    failed_write
    failed_sync
    any_fault
    recovery
    kill_then_power_cut
    retry_after_crash
    clean_stop
    writer_count
    retention
    delete_records
    compaction
}
