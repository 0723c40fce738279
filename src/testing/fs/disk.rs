//! All files and directories of the simulated disk, and what a power cut leaves of them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path};
use std::sync::Arc;

use rustix::io::Errno;

use super::Image;
use super::node::{DirChange, DirNode, FileChange, FileNode, Names, NodeId, Torn};
use crate::base::time::WallMs;
use crate::broker::random::Random;

const ROOT: NodeId = 0;

#[derive(Clone, Debug)]
pub(super) enum Node {
    File(FileNode),
    Dir(DirNode),
}

#[derive(Clone, Debug)]
pub(super) struct Disk {
    nodes: BTreeMap<NodeId, Node>,
    next_node: NodeId,
    /// Numbers the changes over all files and directories.
    next_change: u64,
}

impl Default for Disk {
    fn default() -> Disk {
        let nodes = BTreeMap::from([(ROOT, Node::Dir(DirNode::default()))]);
        Disk { nodes, next_node: ROOT + 1, next_change: 0 }
    }
}

/// The name at the end of a path.
fn name_of(path: &Path) -> io::Result<Arc<str>> {
    let name = path.file_name().and_then(|name| name.to_str());
    Ok(Arc::from(name.ok_or(Errno::INVAL)?))
}

impl Disk {
    fn number(&mut self) -> u64 {
        self.next_change += 1;
        self.next_change
    }

    /// What a path names, as processes see it.
    pub(super) fn find(&self, path: &Path) -> io::Result<NodeId> {
        let mut found = ROOT;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            let name = name.to_str().ok_or(Errno::INVAL)?;
            found = *self.dir(found)?.live.get(name).ok_or(Errno::NOENT)?;
        }
        Ok(found)
    }

    fn parent(&self, path: &Path) -> io::Result<NodeId> {
        self.find(path.parent().ok_or(Errno::INVAL)?)
    }

    pub(super) fn dir(&self, id: NodeId) -> io::Result<&DirNode> {
        match self.nodes.get(&id) {
            Some(Node::Dir(dir)) => Ok(dir),
            _ => Err(Errno::NOTDIR.into()),
        }
    }

    fn dir_mut(&mut self, id: NodeId) -> io::Result<&mut DirNode> {
        match self.nodes.get_mut(&id) {
            Some(Node::Dir(dir)) => Ok(dir),
            _ => Err(Errno::NOTDIR.into()),
        }
    }

    pub(super) fn is_dir(&self, id: NodeId) -> bool {
        self.dir(id).is_ok()
    }

    pub(super) fn file(&self, id: NodeId) -> io::Result<&FileNode> {
        match self.nodes.get(&id) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(Errno::ISDIR.into()),
        }
    }

    pub(super) fn file_mut(&mut self, id: NodeId) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(&id) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(Errno::ISDIR.into()),
        }
    }

    /// Changes a file at a time of the wall clock.
    pub(super) fn change_file(
        &mut self,
        id: NodeId,
        change: FileChange,
        now: WallMs,
    ) -> io::Result<()> {
        let number = self.number();
        let file = self.file_mut(id)?;
        file.change(number, change);
        file.modified = now;
        Ok(())
    }

    fn change_dir(&mut self, id: NodeId, change: DirChange) -> io::Result<()> {
        let number = self.number();
        self.dir_mut(id)?.change(number, change);
        Ok(())
    }

    /// Makes a file or directory under a name that is free.
    pub(super) fn make(&mut self, path: &Path, node: Node) -> io::Result<NodeId> {
        let (parent, name) = (self.parent(path)?, name_of(path)?);
        if self.dir(parent)?.live.contains_key(&name) {
            return Err(Errno::EXIST.into());
        }
        let id = self.next_node;
        self.next_node += 1;
        self.nodes.insert(id, node);
        self.change_dir(parent, DirChange { removed: None, added: Some((name, id)) })?;
        Ok(id)
    }

    /// Removes a file, or a directory that is empty.
    pub(super) fn remove(&mut self, path: &Path, dir: bool) -> io::Result<()> {
        let id = self.find(path)?;
        match self.nodes.get(&id) {
            Some(Node::Dir(found)) if dir && !found.live.is_empty() => {
                return Err(Errno::NOTEMPTY.into());
            }
            Some(Node::Dir(_)) if !dir => return Err(Errno::ISDIR.into()),
            Some(Node::File(_)) if dir => return Err(Errno::NOTDIR.into()),
            _ => {}
        }
        let change = DirChange { removed: Some(name_of(path)?), added: None };
        self.change_dir(self.parent(path)?, change)
    }

    /// Gives another name; between two directories these are two changes.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let id = self.find(from)?;
        match self.find(to) {
            Ok(other) if self.is_dir(other) => return Err(Errno::EXIST.into()),
            Ok(_) if self.is_dir(id) => return Err(Errno::NOTDIR.into()),
            _ => {}
        }
        let (source, target) = (self.parent(from)?, self.parent(to)?);
        let (removed, added) = (Some(name_of(from)?), Some((name_of(to)?, id)));
        if source == target {
            return self.change_dir(source, DirChange { removed, added });
        }
        self.change_dir(target, DirChange { removed: None, added })?;
        self.change_dir(source, DirChange { removed, added: None })
    }

    /// Makes one file or directory durable, or all. If the disk fails instead, the bytes that wait are not written, and
    /// nobody knows any more. Names wait on: they go through a journal, without which a file system does not go on.
    pub(super) fn sync(&mut self, only: Option<NodeId>, works: bool) {
        for (id, node) in &mut self.nodes {
            match node {
                _ if only.is_some_and(|only| only != *id) => {}
                Node::File(file) if works => file.sync(),
                Node::File(file) => file.fail_sync(),
                Node::Dir(dir) if works => dir.sync(),
                // Names are the file system's own: it writes them later, or is of no use at all.
                Node::Dir(_) => {}
            }
        }
    }

    /// How many syncs of files have lost something.
    pub(super) fn losses(&self) -> u64 {
        let of = |node: &Node| match node {
            Node::File(file) => file.losses(),
            Node::Dir(_) => 0,
        };
        self.nodes.values().map(of).sum()
    }

    /// Bytes of all files that have a name or are open.
    pub(super) fn used(&self) -> u64 {
        let mut named = Vec::new();
        self.walk(Path::new("/"), ROOT, &mut |_, id, _| named.push(id));
        let holds = |(id, node): (&NodeId, &Node)| match node {
            Node::File(file) if named.contains(id) || Arc::strong_count(&file.handles) > 1 => {
                file.live.len()
            }
            _ => 0,
        };
        self.nodes.iter().map(holds).sum::<usize>().try_into().unwrap_or(u64::MAX)
    }

    /// Every file and directory below one, by path, directories before what they hold.
    pub(super) fn walk(
        &self,
        path: &Path,
        id: NodeId,
        visit: &mut dyn FnMut(&Path, NodeId, &Node),
    ) {
        let Some(Node::Dir(dir)) = self.nodes.get(&id) else { return };
        for (name, child) in &dir.live {
            let path = path.join(&**name);
            if let Some(node) = self.nodes.get(child) {
                visit(&path, *child, node);
            }
            self.walk(&path, *child, visit);
        }
    }

    pub(super) fn walk_all(&self, visit: &mut dyn FnMut(&Path, NodeId, &Node)) {
        self.walk(Path::new("/"), ROOT, visit);
    }

    /// How many changes a power cut could take back.
    pub(super) fn unsynced(&self) -> usize {
        let of_node = |node: &Node| match node {
            Node::File(file) => file.pending.len(),
            Node::Dir(dir) => dir.pending.len(),
        };
        self.nodes.values().map(of_node).sum()
    }

    /// The same disk without the process: everything that it wrote is still there, and still not synced.
    pub(super) fn killed(&self) -> Disk {
        let mut disk = self.clone();
        for node in disk.nodes.values_mut() {
            if let Node::File(file) = node {
                file.handles = Arc::default();
            }
        }
        disk
    }

    /// The disk after a power cut.
    pub(super) fn image(&self, how: Image) -> Disk {
        match how {
            Image::Nothing => {
                self.rebuilt(|file| Arc::clone(&file.durable), |dir| dir.durable.clone())
            }
            Image::Everything => self.rebuilt(FileNode::everything, |dir| dir.first(u64::MAX)),
            Image::Prefix(seed) => {
                let (number, torn) = self.cut(&mut Random::new(seed));
                self.rebuilt(|file| file.first(number, torn), |dir| dir.first(number))
            }
            Image::Random(seed) => {
                let random = std::cell::RefCell::new(Random::new(seed));
                // Some disks lose much of what waits, some little.
                let in_16 = [2, 8, 12, 15];
                let choice = usize::try_from(random.borrow_mut().next_u64() % 4).unwrap_or(0);
                let in_16 = in_16.get(choice).copied().unwrap_or(8);
                self.rebuilt(
                    |file| file.some(&mut random.borrow_mut(), in_16),
                    |dir| dir.some(&mut random.borrow_mut(), in_16),
                )
            }
        }
    }

    /// Chooses the first change that is not whole, and what of it is there.
    fn cut(&self, random: &mut Random) -> (u64, Torn) {
        let mut changes: Vec<(u64, usize)> = Vec::new();
        for node in self.nodes.values() {
            match node {
                Node::File(file) => {
                    let sectors =
                        |(number, change): &(u64, FileChange)| (*number, change.sectors());
                    changes.extend(file.pending.iter().map(sectors));
                }
                Node::Dir(dir) => {
                    changes.extend(dir.pending.iter().map(|(number, _)| (*number, 0)))
                }
            }
        }
        changes.sort_unstable();
        let count = u64::try_from(changes.len()).unwrap_or(0);
        let chosen = usize::try_from(random.next_u64() % (count + 1)).unwrap_or(usize::MAX);
        let Some((number, sectors)) = changes.get(chosen) else { return (u64::MAX, Torn::Whole) };
        let sectors = u64::try_from(*sectors).unwrap_or(0).max(1);
        let kept = usize::try_from(random.next_u64() % sectors).unwrap_or(0);
        (*number, Torn::Sectors(kept))
    }

    /// A disk of the files and directories that can still be found, on which everything is durable.
    fn rebuilt(
        &self,
        content: impl Fn(&FileNode) -> Arc<Vec<u8>>,
        names: impl Fn(&DirNode) -> Names,
    ) -> Disk {
        let mut nodes = BTreeMap::new();
        let mut open = vec![ROOT];
        while let Some(id) = open.pop() {
            let node = match self.nodes.get(&id) {
                Some(Node::File(file)) => {
                    Node::File(FileNode::durable(content(file), file.modified))
                }
                Some(Node::Dir(dir)) => {
                    let names = names(dir);
                    open.extend(names.values());
                    Node::Dir(DirNode { live: names.clone(), durable: names, pending: Vec::new() })
                }
                None => continue,
            };
            nodes.insert(id, node);
        }
        Disk { nodes, next_node: self.next_node, next_change: 0 }
    }
}
