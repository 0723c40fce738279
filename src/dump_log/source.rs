//! Files as this command reads them: by position, through one window of bounded size.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes that are read at once.
pub(crate) const WINDOW_BYTES: usize = 256 * 1024;

/// A file and a window into it.
pub(crate) struct Source {
    file: File,
    size: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl Source {
    /// Opens a file for reading. Its size is what it was then, though a broker may be appending.
    #[expect(clippy::disallowed_methods, reason = "a command of its own, which only reads")]
    pub(crate) fn open(path: &Path) -> io::Result<Source> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok(Source { file, size, window: Vec::new(), window_at: 0 })
    }

    /// Bytes in the file.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// `count` bytes from `position` on; fewer where the file ends. The window grows to `count` if need be.
    pub(crate) fn peek(&mut self, position: u64, count: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.size.saturating_sub(position)).unwrap_or(usize::MAX);
        let count = count.min(left);
        let start = match self.start_of(position, count) {
            Some(start) => start,
            None => {
                self.fill(position, count.max(WINDOW_BYTES.min(left)))?;
                0
            }
        };
        let end = start.saturating_add(count).min(self.window.len());
        Ok(self.window.get(start..end).unwrap_or_default())
    }

    /// Where in the window `position` is, if all of the bytes wanted are there.
    fn start_of(&self, position: u64, count: usize) -> Option<usize> {
        let start = usize::try_from(position.checked_sub(self.window_at)?).ok()?;
        (start.checked_add(count)? <= self.window.len()).then_some(start)
    }

    fn fill(&mut self, position: u64, count: usize) -> io::Result<()> {
        self.window.clear();
        self.window.resize(count, 0);
        self.window_at = position;
        let mut filled = 0;
        while let Some(rest) = self.window.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, position + as_u64(filled)) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.window.truncate(filled);
        Ok(())
    }
}

/// A size as a position.
pub(crate) fn as_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The files in a directory, ordered by name.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
