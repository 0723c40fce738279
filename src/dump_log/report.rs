//! Lines of output, and the count of damage among them.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

/// Writes lines and counts damage.
pub(super) struct Report<'a> {
    out: &'a mut dyn Write,
    damages: u64,
}

impl<'a> Report<'a> {
    /// A report without damage yet.
    pub(super) fn new(out: &'a mut dyn Write) -> Report<'a> {
        Report { out, damages: 0 }
    }

    /// Number of damages so far, in all files.
    pub(super) fn damages(&self) -> u64 {
        self.damages
    }

    /// The first line of a file.
    pub(super) fn open(&mut self, path: &Path) -> io::Result<()> {
        writeln!(self.out, "Dumping {}", path.display())
    }

    /// A line that is not damage.
    pub(super) fn line(&mut self, line: impl fmt::Display) -> io::Result<()> {
        writeln!(self.out, "{line}")
    }

    /// Damage somewhere in a file.
    pub(super) fn damage(&mut self, position: u64, what: impl fmt::Display) -> io::Result<()> {
        self.damage_line(format_args!("position: {position} {what}"))
    }

    /// Damage of a file as a whole.
    pub(super) fn damage_line(&mut self, what: impl fmt::Display) -> io::Result<()> {
        self.damages += 1;
        writeln!(self.out, "DAMAGE {what}")
    }

    /// A file that could not be read.
    pub(super) fn unreadable(&mut self, path: &Path, error: &io::Error) -> io::Result<()> {
        self.damage_line(format_args!("cannot read {}: {error}", path.display()))
    }
}
