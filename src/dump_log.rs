//! `chronik dump-log`: shows what the files of a data directory hold, and finds damage in them.
//!
//! It reads what Kafka's `kafka-dump-log` reads, names fields as that does, and knows the files of our own as well. Files
//! are streamed: memory holds one window, and where records are opened one batch. Damage is reported with its
//! position, and reading goes on at the next batch that can be found; nothing is ever written.

mod index;
mod records;
mod report;
mod segment;
mod small;
pub(crate) mod source;
mod time_index;
pub(crate) mod values;
pub(crate) mod walk;

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

pub(crate) use report::Found;
use report::Report;
use values::Contents;

/// What `--help` prints.
pub const USAGE: &str = "\
Usage: chronik dump-log [OPTION]... FILE|DIRECTORY...

Shows segments (.log, .checkpoint), indexes (.index, .timeindex, .txnindex), producer snapshots (.snapshot, .batches),
checkpoints, durable marks, the manifest and the files that say whose a directory is; of a directory all that it knows.
Ends with status 1 if anything is damaged.

    --files A,B,…              files, separated by commas, as for kafka-dump-log
    --verify                   check everything and show only damage: checksums, counts and offsets of the records,
                               and indexes against the log beside them; with --deep or --print-data-log show all, too
    --deep, --deep-iteration   show every record
    --print-data-log           show every record with its key and value
    --offsets-decoder          take the records for those of __consumer_offsets
    --transaction-log-decoder  take the records for those of __transaction_state
    --cluster-metadata-decoder take the records for those of __cluster_metadata
    --help                     show this

The records of internal topics are decoded by the name of their directory, too.
";

/// Whether anything was damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was.
    Sound,
    /// Something was, or could not be read: exit status 1.
    Damaged,
}

/// Why nothing, or not all, was shown.
#[derive(Debug)]
pub enum DumpError {
    /// The arguments make no sense: exit status 2.
    Usage(String),
    /// The output is gone, perhaps a closed pipe.
    Output(io::Error),
}

impl fmt::Display for DumpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DumpError::Usage(reason) => f.write_str(reason),
            DumpError::Output(error) => write!(f, "output: {error}"),
        }
    }
}

impl std::error::Error for DumpError {}

impl From<io::Error> for DumpError {
    fn from(error: io::Error) -> DumpError {
        DumpError::Output(error)
    }
}

/// What is to be shown.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    /// Check more than is needed for showing.
    verify: bool,
    /// Show batches and entries, not only damage.
    show: bool,
    /// Show records.
    deep: bool,
    /// Show keys and values.
    print_data: bool,
    /// What the records are, if the arguments say so.
    contents: Option<Contents>,
}

/// Shows the files that `args` name, those after `dump-log`. Results and damage go to `out`, in order.
///
/// # Errors
/// [`DumpError::Usage`] before anything was shown; [`DumpError::Output`] if `out` fails.
pub fn run(args: &[String], out: &mut dyn Write) -> Result<Verdict, DumpError> {
    let Some((options, files)) = parse(args)? else {
        out.write_all(USAGE.as_bytes())?;
        return Ok(Verdict::Sound);
    };
    let mut buffered = BufWriter::new(out);
    let mut report = Report::new(&mut buffered);
    for file in &files {
        dump_path(file, options, &mut report)?;
    }
    let damaged = report.damages() > 0;
    buffered.flush()?;
    Ok(if damaged { Verdict::Damaged } else { Verdict::Sound })
}

/// What is wrong with one file that is not a segment: where, in bytes, if that is known, and what.
///
/// # Errors
/// If the file cannot be read.
pub(crate) fn damage_in(path: &Path) -> io::Result<Vec<Found>> {
    let options = Options { verify: true, ..Options::default() };
    let mut nowhere = io::sink();
    let mut report = Report::new(&mut nowhere);
    let result = match Kind::of(path) {
        Kind::OffsetIndex => index::dump_offsets(path, options, &mut report),
        Kind::TransactionIndex => index::dump_transactions(path, options, &mut report),
        Kind::TimeIndex => time_index::dump(path, options, &mut report),
        Kind::Small(small) => small::dump(path, small, options, &mut report),
        Kind::Segment | Kind::Unknown => Ok(()),
    };
    match result {
        Ok(()) => Ok(report.into_found()),
        Err(Stop::Input(error) | Stop::Output(error)) => Err(error),
    }
}

/// Options and files; `None`: help is wanted.
fn parse(args: &[String]) -> Result<Option<(Options, Vec<PathBuf>)>, DumpError> {
    let mut options = Options::default();
    let mut files = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--verify" => options.verify = true,
            "--deep" | "--deep-iteration" => options.deep = true,
            "--print-data-log" => options.print_data = true,
            "--offsets-decoder" => options.contents = Some(Contents::Offsets),
            "--transaction-log-decoder" => options.contents = Some(Contents::Transactions),
            "--cluster-metadata-decoder" => options.contents = Some(Contents::Metadata),
            "--files" => {
                let list = args.next().ok_or(DumpError::Usage("--files needs a list".into()))?;
                files.extend(list.split(',').filter(|name| !name.is_empty()).map(PathBuf::from));
            }
            unknown if unknown.starts_with("--") => {
                return Err(DumpError::Usage(format!("unknown option {unknown}")));
            }
            file => files.push(PathBuf::from(file)),
        }
    }
    if files.is_empty() {
        return Err(DumpError::Usage("no file given".into()));
    }
    // As in Kafka, asking for a decoder asks for the data.
    options.print_data |= options.contents.is_some();
    options.deep |= options.print_data;
    options.show = options.deep || !options.verify;
    Ok(Some((options, files)))
}

/// Shows one file, or all that is known in a directory.
fn dump_path(path: &Path, options: Options, report: &mut Report<'_>) -> Result<(), DumpError> {
    if !path.is_dir() {
        return dump_file(path, Kind::of(path), options, report);
    }
    let files = match source::list(path) {
        Ok(files) => files,
        Err(error) => return Ok(report.unreadable(path, &error)?),
    };
    for file in files {
        match Kind::of(&file) {
            Kind::Unknown => {}
            kind => dump_file(&file, kind, options, report)?,
        }
    }
    Ok(())
}

fn dump_file(
    path: &Path,
    kind: Kind,
    options: Options,
    report: &mut Report<'_>,
) -> Result<(), DumpError> {
    report.open(path)?;
    let result = match kind {
        Kind::Segment => segment::dump(path, options, report),
        Kind::OffsetIndex => index::dump_offsets(path, options, report),
        Kind::TransactionIndex => index::dump_transactions(path, options, report),
        Kind::TimeIndex => time_index::dump(path, options, report),
        Kind::Small(small) => small::dump(path, small, options, report),
        Kind::Unknown => return Ok(report.damage_line("not a kind of file that is known here")?),
    };
    match result {
        Ok(()) => Ok(()),
        Err(Stop::Output(error)) => Err(DumpError::Output(error)),
        Err(Stop::Input(error)) => Ok(report.unreadable(path, &error)?),
    }
}

/// Why a file was not shown to its end.
#[derive(Debug)]
enum Stop {
    /// It could not be read.
    Input(io::Error),
    /// Nothing can be written any more.
    Output(io::Error),
}

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Segment,
    OffsetIndex,
    TimeIndex,
    TransactionIndex,
    Small(small::Small),
    Unknown,
}

impl Kind {
    /// What a file is, by its name: also while it is being swapped in, or waits for its removal.
    fn of(path: &Path) -> Kind {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Kind::Unknown;
        };
        let stems = [".deleted", ".cleaned", ".swap"];
        let name = stems.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        match name.rsplit_once('.') {
            Some((_, "log" | "checkpoint" | "tail")) => Kind::Segment,
            Some((_, "index")) => Kind::OffsetIndex,
            Some((_, "timeindex")) => Kind::TimeIndex,
            Some((_, "txnindex")) => Kind::TransactionIndex,
            _ => small::Small::of(name).map_or(Kind::Unknown, Kind::Small),
        }
    }
}

/// The offset that a segment's files are named after; `None` if the name does not begin with one.
pub(crate) fn base_offset(path: &Path) -> Option<i64> {
    let digits = path.file_name()?.to_str()?.get(..20)?;
    digits.parse().ok().filter(|_| digits.bytes().all(|digit| digit.is_ascii_digit()))
}
