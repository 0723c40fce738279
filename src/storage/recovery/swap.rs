//! What a crash has left of a swap: completed, or undone, before anything else is looked at.
//!
//! ```text
//!  X.log.cleaned           was being written: goes
//!  X.log.swap              was finished, on the disk, and about to take the place of the segments from X to where it
//!                          ends: they go, and it gets its name
//!  X.index.swap alone      the log has its name already: goes, and the index is made anew
//!  X.log.deleted           was on its way out: goes
//! ```
//!
//! Every step leaves a state from which the same steps go on, and none needs room on the disk. A finished log tells by
//! its last batch where it ends, because the last batch of a group stays. Should it be damaged while all that it replaces
//! is still there, it is the one that goes.

use std::path::Path;

use crate::base::ids::Offset;
use crate::storage::compaction::output::CLEANED;
use crate::storage::fs::{Fs, OpenMode};
use crate::storage::job::StorageError;
use crate::storage::partition::compaction::SWAP;
use crate::storage::scan::{Scan, WHOLE};
use crate::storage::segment::{
    BESIDE_SUFFIXES, DELETED_SUFFIX, LOG_SUFFIX, file_name, parse_file_name,
};

/// How a swap's log ends.
struct Swapped {
    base: Offset,
    end: Offset,
    whole: bool,
}

/// Sorts out a partition's directory. `true`: it has changed, and is synced.
pub(super) fn settle(fs: &dyn Fs, dir: &Path) -> Result<bool, StorageError> {
    let names = names(fs, dir)?;
    let mut changed = false;
    for base in names.iter().filter_map(|name| of_swap(name, LOG_SUFFIX)) {
        let swapped = read(fs, dir, base)?;
        let is_there = names.iter().any(|name| parse_file_name(name, LOG_SUFFIX) == Some(base));
        if swapped.whole || !is_there {
            complete(fs, dir, &swapped)?;
        } else {
            log::error!("a swap in {} is damaged and not completed", dir.display());
            fs.remove_file(&dir.join(format!("{}{SWAP}", file_name(base, LOG_SUFFIX))))?;
        }
        changed = true;
    }
    // What is left belongs to nobody.
    let is_left =
        |name: &&String| [CLEANED, SWAP, DELETED_SUFFIX].iter().any(|end| name.ends_with(end));
    for name in self::names(fs, dir)?.iter().filter(is_left) {
        fs.remove_file(&dir.join(name))?;
        changed = true;
    }
    if changed {
        fs.sync_dir(dir)?;
    }
    Ok(changed)
}

fn names(fs: &dyn Fs, dir: &Path) -> Result<Vec<String>, StorageError> {
    let entries = fs.read_dir(dir)?.into_iter().filter(|entry| !entry.is_dir);
    Ok(entries.map(|entry| entry.name).collect())
}

/// The base offset in the name of a file about to be swapped in.
fn of_swap(name: &str, suffix: &str) -> Option<Offset> {
    parse_file_name(name.strip_suffix(SWAP)?, suffix)
}

fn read(fs: &dyn Fs, dir: &Path, base: Offset) -> Result<Swapped, StorageError> {
    let path = dir.join(format!("{}{SWAP}", file_name(base, LOG_SUFFIX)));
    let file = fs.open(&path, OpenMode::Read)?;
    let size = file.size().map_err(|error| StorageError::io("read", &path, &error))?;
    let mut scan = Scan::new(file, 0, size, WHOLE);
    let mut end = base;
    loop {
        match scan.next_good(end) {
            Ok(Some(met)) => end = met.header.next_offset(),
            Ok(None) => return Ok(Swapped { base, end, whole: true }),
            Err(_) => return Ok(Swapped { base, end, whole: false }),
        }
    }
}

/// Puts a finished log in its place.
fn complete(fs: &dyn Fs, dir: &Path, swapped: &Swapped) -> Result<(), StorageError> {
    let names = names(fs, dir)?;
    let has = |name: &String| names.contains(name);
    let first = swapped.base;
    let is_old = |base: Offset| base == first || (first < base && base < swapped.end);
    for suffix in BESIDE_SUFFIXES.into_iter().chain([LOG_SUFFIX]) {
        for name in names.iter().filter(|name| parse_file_name(name, suffix).is_some_and(is_old)) {
            fs.remove_file(&dir.join(name))?;
        }
    }
    // No old index may stand beside the new log, whatever becomes of names that are not on the disk yet.
    fs.sync_dir(dir)?;
    for suffix in BESIDE_SUFFIXES.into_iter().chain([LOG_SUFFIX]) {
        let name = file_name(first, suffix);
        let from = format!("{name}{SWAP}");
        if has(&from) {
            fs.rename(&dir.join(&from), &dir.join(&name))?;
        }
    }
    fs.sync_dir(dir)?;
    log::info!("{}: a swap that was interrupted is completed", dir.display());
    Ok(())
}
