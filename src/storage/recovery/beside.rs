//! The files beside the logs after a crash: none stays without its log, and no index that the crash may have torn.
//!
//! An index of a closed segment is trusted by every start whose mark lies behind it. One that may be torn is unlinked
//! before a mark can get there: what is missing is noticed by every start, and made anew when it is used, or by a clean
//! stop. That needs no room on the disk. The active segment's are put right when it is written to.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use crate::base::ids::Offset;
use crate::storage::fs::{DirEntry, Fs, is_absent};
use crate::storage::segment::{
    BESIDE_SUFFIXES, DELETED_SUFFIX, INDEX_SUFFIXES, LOG_SUFFIX, Segment, file_name,
    parse_file_name,
};

/// Unlinks what means nothing. `true`: there was something.
pub(super) fn tidy(
    fs: &dyn Fs,
    dir: &Path,
    entries: &[DirEntry],
    segments: &[Arc<Segment>],
) -> bool {
    let files = entries.iter().filter(|entry| !entry.is_dir).map(|entry| entry.name.as_str());
    let names: HashSet<&str> = files.collect();
    let mut changed = false;
    for name in names.iter().filter(|name| is_left_over(name, &names)) {
        changed |= remove(fs, &dir.join(name));
    }
    for (number, segment) in segments.iter().rev().enumerate() {
        let index_names = INDEX_SUFFIXES.map(|suffix| file_name(segment.base(), suffix));
        let (is_active, is_empty) = (number == 0, segment.size() == 0);
        let are_torn = !is_active && segment.are_indexes_torn();
        if is_empty || are_torn {
            for name in index_names.iter().filter(|name| names.contains(name.as_str())) {
                changed |= remove(fs, &dir.join(name));
            }
        }
        let are_there = index_names.iter().all(|name| names.contains(name.as_str()));
        if !is_active && !is_empty && (are_torn || !are_there) {
            segment.miss_indexes();
        }
    }
    changed
}

/// Whether a file is of a segment on its way out, or of one whose log is gone.
fn is_left_over(name: &str, names: &HashSet<&str>) -> bool {
    let base: Option<Offset> =
        BESIDE_SUFFIXES.iter().find_map(|suffix| parse_file_name(name, suffix));
    let has_log = |base| names.contains(file_name(base, LOG_SUFFIX).as_str());
    name.ends_with(DELETED_SUFFIX) || base.is_some_and(|base| !has_log(base))
}

fn remove(fs: &dyn Fs, path: &Path) -> bool {
    match fs.remove_file(path) {
        Err(error) if is_absent(&error) => false,
        Err(error) => {
            log::warn!("{error}");
            false
        }
        Ok(()) => true,
    }
}
