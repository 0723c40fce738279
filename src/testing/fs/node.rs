//! A file or a directory of the simulated disk: as processes see it, as the disk has it, and the changes between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::time::WallMs;
use crate::broker::random::Random;

/// Bytes that a disk writes whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;

/// Names a file or directory, whatever it is called.
pub(super) type NodeId = u64;

/// A change of a file that was not synced yet.
#[derive(Clone, Debug)]
pub(super) enum FileChange {
    /// Bytes from a position on.
    Write(usize, Arc<[u8]>),
    /// Another length.
    SetLen(usize),
}

/// What of a write reaches the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Torn {
    /// All of it.
    Whole,
    /// So many of the sectors that it touches, from the first on.
    Sectors(usize),
}

impl FileChange {
    /// How long a file is after it that had `len` bytes.
    fn len_after(&self, len: usize) -> usize {
        match self {
            FileChange::Write(position, bytes) => len.max(position.saturating_add(bytes.len())),
            FileChange::SetLen(new) => *new,
        }
    }

    /// The sectors that a write touches, and the bytes for each.
    fn pieces(&self) -> Vec<(usize, &[u8])> {
        let FileChange::Write(position, bytes) = self else { return Vec::new() };
        let mut pieces = Vec::new();
        let (mut at, mut rest) = (*position, &**bytes);
        while !rest.is_empty() {
            let room = SECTOR_BYTES - at % SECTOR_BYTES;
            let (piece, after) = rest.split_at(room.min(rest.len()));
            pieces.push((at, piece));
            at = at.saturating_add(piece.len());
            rest = after;
        }
        pieces
    }

    /// How many sectors it touches.
    pub(super) fn sectors(&self) -> usize {
        self.pieces().len()
    }

    fn apply(&self, content: &mut Arc<Vec<u8>>, torn: Torn) {
        match self {
            FileChange::SetLen(len) => Arc::make_mut(content).resize(*len, 0),
            FileChange::Write(position, bytes) => {
                let kept = match torn {
                    Torn::Whole => bytes.len(),
                    Torn::Sectors(count) => {
                        self.pieces().iter().take(count).map(|(_, piece)| piece.len()).sum()
                    }
                };
                put(Arc::make_mut(content), *position, bytes.get(..kept).unwrap_or_default());
            }
        }
    }
}

/// Writes bytes at a position, with zeros before it if the content ends before.
fn put(content: &mut Vec<u8>, position: usize, bytes: &[u8]) {
    let end = position.saturating_add(bytes.len());
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(position..end) {
        place.copy_from_slice(bytes);
    }
}

/// A file.
#[derive(Clone, Debug, Default)]
pub(super) struct FileNode {
    pub(super) live: Arc<Vec<u8>>,
    pub(super) durable: Arc<Vec<u8>>,
    /// With the number of each change, over all files and directories.
    pub(super) pending: Vec<(u64, FileChange)>,
    /// Whether a failed sync left pages that look clean and are not on the disk.
    lost: bool,
    /// How many syncs have lost something.
    losses: u64,
    /// When it was last written. Not part of what a power cut takes back.
    pub(super) modified: WallMs,
    /// Held by every open handle.
    pub(super) handles: Arc<()>,
}

impl FileNode {
    /// A file that is on the disk as it is.
    pub(super) fn durable(content: Arc<Vec<u8>>, modified: WallMs) -> FileNode {
        FileNode { live: Arc::clone(&content), durable: content, modified, ..FileNode::default() }
    }

    pub(super) fn change(&mut self, number: u64, change: FileChange) {
        change.apply(&mut self.live, Torn::Whole);
        self.pending.push((number, change));
    }

    /// The disk has everything that waits.
    pub(super) fn sync(&mut self) {
        self.durable = self.everything();
        self.pending.clear();
    }

    /// What waits is not written, and nobody knows any more.
    pub(super) fn fail_sync(&mut self) {
        self.lost |= !self.pending.is_empty();
        self.losses += u64::from(!self.pending.is_empty());
        self.pending.clear();
    }

    pub(super) fn losses(&self) -> u64 {
        self.losses
    }

    /// Clean pages are read from the disk again. The length is no page.
    pub(super) fn drop_cache(&mut self) {
        if !self.lost {
            return;
        }
        let len = self.live.len();
        let mut content = self.everything();
        if content.len() != len {
            Arc::make_mut(&mut content).resize(len, 0);
        }
        self.live = content;
    }

    /// What the disk would have after a sync.
    pub(super) fn everything(&self) -> Arc<Vec<u8>> {
        if self.lost { self.first(u64::MAX, Torn::Whole) } else { Arc::clone(&self.live) }
    }

    /// The disk with the changes below a number, and what of the next is left of that one.
    pub(super) fn first(&self, number: u64, torn: Torn) -> Arc<Vec<u8>> {
        let mut content = Arc::clone(&self.durable);
        for (at, change) in &self.pending {
            match torn {
                _ if *at < number => change.apply(&mut content, Torn::Whole),
                Torn::Sectors(count) if *at == number && count > 0 => {
                    change.apply(&mut content, torn);
                }
                _ => {}
            }
        }
        content
    }

    /// The disk with some of the changes: of each sector, and of the length, all up to one or other of them.
    pub(super) fn some(&self, random: &mut Random, in_16: u64) -> Arc<Vec<u8>> {
        if self.pending.is_empty() {
            return Arc::clone(&self.durable);
        }
        let mut content = Vec::clone(&self.durable);
        let (mut len, mut len_done) = (content.len(), false);
        let mut behind = BTreeSet::new();
        let mut happens = || random.next_u64() % 16 < in_16;
        for (_, change) in &self.pending {
            let before = len;
            if !len_done && change.len_after(len) != len {
                len_done = !happens();
                if !len_done {
                    len = change.len_after(len);
                    // What lies behind a cut is gone, however long the file becomes later.
                    content.truncate(if len < before { len } else { content.len() });
                }
            }
            for (position, bytes) in change.pieces() {
                let sector = position / SECTOR_BYTES;
                if !behind.contains(&sector) {
                    if happens() {
                        put(&mut content, position, bytes);
                    } else {
                        behind.insert(sector);
                    }
                }
            }
        }
        content.resize(len, 0);
        Arc::new(content)
    }
}

/// A change of a directory that was not synced yet. A rename within the directory is one change.
#[derive(Clone, Debug)]
pub(super) struct DirChange {
    pub(super) removed: Option<Arc<str>>,
    pub(super) added: Option<(Arc<str>, NodeId)>,
}

impl DirChange {
    fn apply(&self, names: &mut Names) {
        if let Some(name) = &self.removed {
            names.remove(name);
        }
        if let Some((name, node)) = &self.added {
            names.insert(Arc::clone(name), *node);
        }
    }

    fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.removed.iter().chain(self.added.iter().map(|(name, _)| name))
    }
}

/// The names in a directory.
pub(super) type Names = BTreeMap<Arc<str>, NodeId>;

/// A directory.
#[derive(Clone, Debug, Default)]
pub(super) struct DirNode {
    pub(super) live: Names,
    pub(super) durable: Names,
    pub(super) pending: Vec<(u64, DirChange)>,
}

impl DirNode {
    pub(super) fn change(&mut self, number: u64, change: DirChange) {
        change.apply(&mut self.live);
        self.pending.push((number, change));
    }

    pub(super) fn sync(&mut self) {
        self.durable = self.first(u64::MAX);
        self.pending.clear();
    }

    /// The disk with the changes below a number.
    pub(super) fn first(&self, number: u64) -> Names {
        let mut names = self.durable.clone();
        for (_, change) in self.pending.iter().filter(|(at, _)| *at < number) {
            change.apply(&mut names);
        }
        names
    }

    /// The disk with some of the changes: of each name all up to one or other of them.
    pub(super) fn some(&self, random: &mut Random, in_16: u64) -> Names {
        let mut names = self.durable.clone();
        let mut behind: BTreeSet<&Arc<str>> = BTreeSet::new();
        for (_, change) in &self.pending {
            let held_up = change.names().any(|name| behind.contains(name));
            if !held_up && random.next_u64() % 16 < in_16 {
                change.apply(&mut names);
            } else {
                behind.extend(change.names());
            }
        }
        names
    }
}
