//! `chronik check`: looks through a whole data directory for damage, and changes nothing.
//!
//! It is a second opinion: it reads the files by itself, as `dump-log` does, and compares what they say of each other.
//! Nothing is written, not even a lock, so that it can be run on a directory that a broker uses: what lies above the
//! durable marks is then still being written, and no damage.

mod directory;
mod journal;
mod partition;
mod report;
mod segment;

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use directory::Directory;
use report::Report;

/// What `--help` prints.
pub const USAGE: &str = "\
Usage: chronik check [--json] DIRECTORY

Reads every file of a data directory: checksums, offsets and leader epochs of all batches, indexes, snapshots and epochs
against the logs, durable marks and manifest against the files, the journal, and whose each directory is. Says what is
damaged, where, and how many records that may cost. Changes nothing, and takes no lock: of a directory that a broker
uses it checks what lies below the durable marks.

    --json     one JSON object per line
    --help     show this

Progress goes to standard error. Ends with status 0 if nothing is damaged, 1 if something is, 2 if the directory cannot
be read.
";

/// Whether anything was damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was: exit status 0.
    Sound,
    /// Something was: exit status 1.
    Damaged,
}

/// Why a directory was not checked. Exit status 2.
#[derive(Debug)]
pub enum CheckError {
    /// The arguments make no sense.
    Usage(String),
    /// The directory cannot be read.
    Input(PathBuf, io::Error),
    /// The output is gone, perhaps a closed pipe.
    Output(io::Error),
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckError::Usage(reason) => f.write_str(reason),
            CheckError::Input(path, error) => write!(f, "{}: {error}", path.display()),
            CheckError::Output(error) => write!(f, "output: {error}"),
        }
    }
}

impl std::error::Error for CheckError {}

impl From<io::Error> for CheckError {
    fn from(error: io::Error) -> CheckError {
        CheckError::Output(error)
    }
}

/// Checks the directory that `args` name, those after `check`. Findings go to `out`, progress to `progress`.
///
/// # Errors
/// [`CheckError::Usage`] and [`CheckError::Input`] before anything was found; [`CheckError::Output`] if `out` fails.
pub fn run(
    args: &[String],
    out: &mut dyn Write,
    progress: &mut dyn Write,
) -> Result<Verdict, CheckError> {
    let Some((dir, json)) = parse(args)? else {
        out.write_all(USAGE.as_bytes())?;
        return Ok(Verdict::Sound);
    };
    let mut buffered = BufWriter::new(out);
    let mut report = Report::new(&mut buffered, progress, json);
    Directory::read(&dir, &mut report)?.check(&mut report)?;
    let verdict = report.finish()?;
    buffered.flush()?;
    Ok(verdict)
}

/// The directory, and whether JSON is wanted; `None`: help is.
fn parse(args: &[String]) -> Result<Option<(PathBuf, bool)>, CheckError> {
    let (mut dir, mut json) = (None, false);
    for arg in args {
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--json" => json = true,
            unknown if unknown.starts_with('-') => {
                return Err(CheckError::Usage(format!("unknown option {unknown}")));
            }
            one if dir.is_none() => dir = Some(PathBuf::from(one)),
            other => return Err(CheckError::Usage(format!("one directory, not also {other}"))),
        }
    }
    match dir {
        Some(dir) => Ok(Some((dir, json))),
        None => Err(CheckError::Usage("no directory given".into())),
    }
}
