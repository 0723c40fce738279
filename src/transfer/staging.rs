//! A directory in the making: it has another name until it is whole, and a note in it says that nobody needs what is
//! there.

use std::path::{Component, Path, PathBuf};

use super::{TransferError, refuse};
use crate::storage::adopt;
use crate::storage::fs::{Fs, OpenMode, is_absent};
use crate::storage::job::StorageError;

/// The note.
const NOTE: &str = "chronik-in-the-making";

/// Refuses to write into a directory that is read. Their paths tell: links are not followed.
pub(super) fn check_apart(to: &Path, from: &Path) -> Result<(), TransferError> {
    match (plain(to), plain(from)) {
        (Some(inner), Some(outer)) if inner.starts_with(&outer) => {
            refuse(format!("{} lies in {}", to.display(), from.display()))
        }
        _ => Ok(()),
    }
}

/// The path from the root, without `.` and `..`.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in std::path::absolute(path).ok()?.components() {
        if part == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    Some(plain)
}

/// The name under which a new directory is made.
pub(super) fn beside(dir: &Path, suffix: &str) -> Result<PathBuf, TransferError> {
    let Some(name) = dir.file_name() else {
        return refuse(format!("{} has no name of its own", dir.display()));
    };
    let mut name = name.to_owned();
    name.push(suffix);
    Ok(dir.with_file_name(name))
}

/// Makes the directory, in place of what an earlier try left half done.
pub(super) fn begin(fs: &dyn Fs, staging: &Path) -> Result<(), TransferError> {
    clear(fs, staging)?;
    fs.create_dir(staging)?;
    fs.open(&staging.join(NOTE), OpenMode::Create)?;
    fs.sync_dir(staging)?;
    Ok(sync_parent(fs, staging)?)
}

fn clear(fs: &dyn Fs, staging: &Path) -> Result<(), TransferError> {
    let entries = match fs.read_dir(staging) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !entries.is_empty() && entries.iter().all(|entry| entry.name != NOTE) {
        return refuse(format!("{} is in the way", staging.display()));
    }
    // The note goes last: what a crash leaves can be told from something of value.
    for entry in entries.iter().filter(|entry| entry.name != NOTE) {
        let path = staging.join(&entry.name);
        if entry.is_dir { adopt::remove_tree(fs, &path)? } else { fs.remove_file(&path)? }
    }
    Ok(adopt::remove_tree(fs, staging)?)
}

/// Gives the directory its name, which an empty one may have.
pub(super) fn put_in_place(fs: &dyn Fs, staging: &Path, dir: &Path) -> Result<(), StorageError> {
    fs.sync_dir(staging)?;
    match fs.remove_dir(dir) {
        Err(error) if !is_absent(&error) => return Err(error),
        _ => {}
    }
    fs.rename(staging, dir)?;
    sync_parent(fs, dir)?;
    fs.remove_file(&dir.join(NOTE))?;
    fs.sync_dir(dir)
}

fn sync_parent(fs: &dyn Fs, dir: &Path) -> Result<(), StorageError> {
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => fs.sync_dir(parent),
        _ => fs.sync_dir(Path::new(".")),
    }
}
