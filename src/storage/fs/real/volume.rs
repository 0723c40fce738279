//! The volume below a directory: `syncfs(2)`, and whether what it answers can be believed.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{FsWord, fstatfs, syncfs};
use rustix::io::retry_on_intr;

use crate::base::metrics::DISK;
use crate::storage::fs::Volume;

/// Kinds of file systems whose `syncfs` is known to write everything and to tell of what it could not write: ext2 to ext4,
/// XFS, Btrfs, F2FS and tmpfs. One in user space, or over a network, may leave it at less.
const KNOWN: [FsWord; 5] = [
    0xef53_u32 as FsWord,
    0x5846_5342_u32 as FsWord,
    0x9123_683e_u32 as FsWord,
    0xf2f5_2010_u32 as FsWord,
    0x0102_1994_u32 as FsWord,
];
/// Since this release of Linux `syncfs` tells of writes that have failed.
const TELLS_SINCE: (u32, u32) = (5, 8);

/// An open directory of the volume. It tells of what was lost since it was opened, so it stays open.
#[derive(Debug)]
pub(super) struct RealVolume {
    directory: fs::File,
    tells_of_losses: bool,
}

impl RealVolume {
    #[expect(clippy::disallowed_methods, reason = "this belongs to the file that owns files")]
    pub(super) fn open(directory: &Path) -> io::Result<RealVolume> {
        let directory = fs::File::open(directory)?;
        let is_known = fstatfs(&directory).is_ok_and(|stat| KNOWN.contains(&stat.f_type));
        let uname = rustix::system::uname();
        let release = release(&uname.release().to_string_lossy());
        Ok(RealVolume { directory, tells_of_losses: is_known && release >= TELLS_SINCE })
    }
}

impl Volume for RealVolume {
    fn sync(&self) -> io::Result<()> {
        DISK.filesystem_syncs.increment();
        Ok(retry_on_intr(|| syncfs(&self.directory))?)
    }

    fn tells_of_losses(&self) -> bool {
        self.tells_of_losses
    }
}

/// The first two numbers of a release such as `6.1.0-18-amd64`; what cannot be read is very old.
fn release(text: &str) -> (u32, u32) {
    let mut numbers =
        text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        assert_eq!(release("6.1.0-18-amd64"), (6, 1));
        assert_eq!(release("5.10.110-rockchip"), (5, 10));
        assert!(release("5.10.0") >= TELLS_SINCE && release("5.4.0-1") < TELLS_SINCE);
        assert_eq!((release(""), release("next")), ((0, 0), (0, 0)));
    }
}
