//! The directories in the data directory: which are partitions, which are on their way out.

use std::path::{Path, PathBuf};

use super::fs::{Fs, is_absent};
use super::job::StorageError;
use crate::base::ids::TopicId;

/// How the name of a directory ends that is about to be unlinked.
pub(super) const DELETE_SUFFIX: &str = "-delete";
/// How the name of a directory ends that nobody knows; it is kept.
pub(crate) const STRAY_SUFFIX: &str = "-stray";

/// Longest name of a directory.
const NAME_BYTES_MAX: usize = 255;

/// Topics that the broker keeps for itself: their partitions have a writer of their own.
const JOURNAL_TOPICS: [&str; 3] =
    ["__cluster_metadata", "__consumer_offsets", "__transaction_state"];

/// Whether a topic is one of those that the broker keeps for itself.
pub(crate) fn is_journal(topic: &str) -> bool {
    JOURNAL_TOPICS.contains(&topic)
}

/// Topic and partition in the name of a directory; `None`: it is not a partition's.
pub(crate) fn parse(name: &str) -> Option<(&str, i32)> {
    if name.ends_with(DELETE_SUFFIX) || name.ends_with(STRAY_SUFFIX) {
        return None;
    }
    let (topic, index) = name.rsplit_once('-')?;
    let plain = !index.is_empty() && index.bytes().all(|digit| digit.is_ascii_digit());
    let index = index.parse().ok().filter(|_| plain && !topic.is_empty())?;
    Some((topic, index))
}

/// Whether a directory was renamed here to be unlinked.
pub(super) fn is_leaving(name: &str) -> bool {
    let is_id = |part: &str| part.len() == 32 && part.bytes().all(|b| b.is_ascii_hexdigit());
    name.strip_suffix(DELETE_SUFFIX).is_some_and(|rest| rest.split('.').skip(1).any(is_id))
}

/// Renames a partition's directory as Kafka does, `<topic>-<partition>.<id><suffix>`, with as much of the topic's name as
/// there is room for. What has that name already stays, and the new one is numbered. The parent is not synced.
pub(super) fn set_aside(
    fs: &dyn Fs,
    data_dir: &Path,
    dir: &Path,
    id: TopicId,
    suffix: &str,
) -> Result<PathBuf, StorageError> {
    let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (topic, index) = parse(&name).unwrap_or((&name, 0));
    let id: String = id.0.iter().map(|byte| format!("{byte:02x}")).collect();
    for number in 0u32.. {
        let number = if number == 0 { String::new() } else { format!(".{number}") };
        let end = format!("-{index}.{id}{number}{suffix}");
        let room = NAME_BYTES_MAX.saturating_sub(end.len()).min(topic.len());
        // Topics' names are ASCII.
        let target = data_dir.join(format!("{}{end}", topic.get(..room).unwrap_or_default()));
        match fs.read_dir(&target) {
            Ok(_) => {}
            Err(error) if is_absent(&error) => {
                fs.rename(dir, &target)?;
                return Ok(target);
            }
            Err(error) => return Err(error),
        }
    }
    Err(StorageError::content("rename", dir, "there is no name left for it"))
}

/// Unlinks a directory and all that is in it. That it is gone already is no error.
pub(super) fn remove_tree(fs: &dyn Fs, dir: &Path) -> Result<(), StorageError> {
    let entries = match fs.read_dir(dir) {
        Err(error) if is_absent(&error) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = dir.join(&entry.name);
        if entry.is_dir { remove_tree(fs, &path)? } else { fs.remove_file(&path)? }
    }
    fs.remove_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_directories_are_told_from_others() {
        assert_eq!(parse("orders-eu-12"), Some(("orders-eu", 12)));
        assert_eq!(parse("__consumer_offsets-0"), Some(("__consumer_offsets", 0)));
        for name in ["orders", "-1", "orders-", "orders-+1", "a-0.1234-delete", "a-0.12-stray"] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
