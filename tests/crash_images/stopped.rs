//! What a clean stop leaves beside the logs, whatever happened before: no file without its log, no closed segment
//! without both indexes, and every entry of an index says what the log says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use chronik::storage::fs::{Fs, read_file};
use chronik::testing::fs::SimFs;

use super::format::batches;

const INDEX: &str = "index";
const TIME_INDEX: &str = "timeindex";
/// A segment's files, by the end of their names.
type Files = BTreeMap<String, Vec<u8>>;

/// Judges all partitions.
pub(crate) fn judge(fs: &SimFs) -> Result<(), String> {
    let mut segments: BTreeMap<PathBuf, Files> = BTreeMap::new();
    for (path, _) in fs.files() {
        let Some(kind) = path.extension().and_then(|kind| kind.to_str()) else { continue };
        if ["log", INDEX, TIME_INDEX, "txnindex"].contains(&kind) {
            let files = segments.entry(path.with_extension("")).or_default();
            files.insert(kind.to_owned(), content(fs, &path));
        } else if ["deleted", "cleaned", "swap"].contains(&kind) {
            return Err(format!("{} is left", path.display()));
        }
    }
    let active: BTreeSet<PathBuf> = segments
        .keys()
        .filter_map(|stem| Some((stem.parent()?.to_owned(), stem.clone())))
        .collect::<BTreeMap<_, _>>()
        .into_values()
        .collect();
    for (stem, files) in &segments {
        judge_segment(stem, files, active.contains(stem))
            .map_err(|error| format!("{}: {error}", stem.display()))?;
    }
    Ok(())
}

fn content(fs: &dyn Fs, path: &Path) -> Vec<u8> {
    read_file(fs, path, 1 << 24).unwrap().unwrap()
}

fn judge_segment(stem: &Path, files: &Files, is_active: bool) -> Result<(), String> {
    let log = files.get("log").ok_or("there is no log")?;
    let is_whole = files.contains_key(INDEX) && files.contains_key(TIME_INDEX);
    if !log.is_empty() && !is_active && !is_whole {
        return Err(format!("a closed segment has only {:?}", files.keys()));
    }
    let base: i64 = stem.file_name().unwrap().to_str().unwrap().parse().unwrap();
    let (mut offsets, mut times) = (BTreeSet::new(), BTreeSet::new());
    let (mut position, mut largest) = (0u32, i64::MIN);
    for batch in batches(log)? {
        offsets.insert((batch.next - 1 - base, position));
        if batch.record_count() > 0 && batch.max_timestamp() > largest {
            largest = batch.max_timestamp();
            times.insert((largest, batch.next - 1 - base));
        }
        position += batch.size();
    }
    let entry = |bytes: &[u8]| (u32_at(bytes, 0).into(), u32_at(bytes, 4));
    judge_entries(files.get(INDEX), 8, entry, &offsets)?;
    let entry = |bytes: &[u8]| {
        let timestamp = i64::from_be_bytes(bytes[..8].try_into().unwrap());
        (timestamp, u32_at(bytes, 8).into())
    };
    judge_entries(files.get(TIME_INDEX), 12, entry, &times)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Every entry is one of those that are right, and they rise.
fn judge_entries<E: Ord + Copy + std::fmt::Debug>(
    file: Option<&Vec<u8>>,
    size: usize,
    entry: impl Fn(&[u8]) -> E,
    right: &BTreeSet<E>,
) -> Result<(), String> {
    let bytes = file.map_or(&[][..], Vec::as_slice);
    let entries: Vec<E> = bytes.chunks_exact(size).map(entry).collect();
    let wrong = entries.iter().find(|entry| !right.contains(entry));
    match wrong {
        Some(wrong) => Err(format!("an index says {wrong:?} instead of {right:?}")),
        None if bytes.len() % size != 0 => Err("an index ends within an entry".to_owned()),
        None if !entries.is_sorted_by(|a, b| a < b) => Err("an index does not rise".to_owned()),
        None => Ok(()),
    }
}
