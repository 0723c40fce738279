//! Lines of output, and the count of damage among them.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

/// Writes lines and counts damage.
pub(super) struct Report<'a> {
    out: &'a mut dyn Write,
    damages: u64,
    found: Vec<Found>,
}

/// One damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where in the file, in bytes, if that is known.
    pub(crate) position: Option<u64>,
    /// In words.
    pub(crate) what: String,
}

/// Damages of one file that are kept; there may be one in every entry.
const FOUND_MAX: usize = 1000;

impl<'a> Report<'a> {
    /// A report without damage yet.
    pub(super) fn new(out: &'a mut dyn Write) -> Report<'a> {
        Report { out, damages: 0, found: Vec::new() }
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
        self.note(Some(position), &what);
        writeln!(self.out, "DAMAGE position: {position} {what}")
    }

    /// Damage of a file as a whole.
    pub(super) fn damage_line(&mut self, what: impl fmt::Display) -> io::Result<()> {
        self.note(None, &what);
        writeln!(self.out, "DAMAGE {what}")
    }

    fn note(&mut self, position: Option<u64>, what: &impl fmt::Display) {
        self.damages += 1;
        if self.found.len() < FOUND_MAX {
            self.found.push(Found { position, what: what.to_string() });
        }
    }

    /// What was damaged, as far as it is kept.
    pub(super) fn into_found(self) -> Vec<Found> {
        self.found
    }

    /// A file that could not be read.
    pub(super) fn unreadable(&mut self, path: &Path, error: &io::Error) -> io::Result<()> {
        self.damage_line(format_args!("cannot read {}: {error}", path.display()))
    }
}
