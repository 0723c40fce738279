//! `chronik import` and `chronik export`: the way from a Kafka node to Chronik and back.
//!
//! Both copy partition directories batch by batch, with every checksum verified, and neither changes what it reads.
//! Topics, settings, producer ids and the groups' positions go with them.
//!
//! ```text
//!  Kafka's log.dirs ──► import ──► a Chronik data directory, new or stopped
//!  a stopped Chronik data directory ──► export ──► a log.dirs for a Kafka node
//! ```
//!
//! What is half done never starts: a new directory is made under another name and renamed at the end; into a directory
//! that has topics already, the one file that makes the new ones known is renamed last.

mod bootstrap;
mod catalog;
mod commits;
mod export;
mod import;
mod journal;
mod kafka;
mod kraft;
mod source;
mod staging;
mod target;

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use self::catalog::Topic;
use crate::base::time::WallMs;
use crate::storage::fs::Fs;
use crate::storage::job::StorageError;

/// What `import --help` prints.
pub const IMPORT_USAGE: &str = "\
Usage: chronik import --from KAFKA_LOG_DIR [OPTION]... DATA_DIR

Copies the topics of a stopped Kafka node, with their settings, producers and the groups' positions, into a data
directory of Chronik: a new one, or one that was stopped cleanly and has no topic of the same name. Nothing in
KAFKA_LOG_DIR is changed.

    --from DIR       one of the node's log.dirs; may be repeated
    --topics GLOBS   only topics whose names match one of these, separated by commas; * and ? are wildcards
    --unclean        the node was killed: take what is whole, leave out what its crash has torn
    --abort-open     abort transactions that were in progress; without it they are a reason to refuse
    --help           show this
";

/// What `export --help` prints.
pub const EXPORT_USAGE: &str = "\
Usage: chronik export --to KAFKA_LOG_DIR [OPTION]... DATA_DIR

Copies the topics of a Chronik that was stopped cleanly into a new directory with which a Kafka 4.x node starts, as its
own controller. Nothing in DATA_DIR is changed.

    --to DIR                 the directory, which must not exist
    --topics GLOBS           only topics whose names match one of these, separated by commas; * and ? are wildcards
    --offsets-partitions N   Kafka's offsets.topic.num.partitions (50)
    --help                   show this
";

/// What surrounds the commands, handed in so that they can be tested.
#[derive(Clone, Debug)]
pub struct Around {
    /// The files.
    pub fs: Arc<dyn Fs>,
    /// The wall clock.
    pub now: WallMs,
    /// For new identities.
    pub seed: u64,
}

/// Why nothing was copied.
#[derive(Debug)]
pub enum TransferError {
    /// The arguments make no sense: exit status 2.
    Usage(String),
    /// What was found cannot be copied as it is: one reason in a line.
    Refused(Vec<String>),
    /// The disk refused, or a file is damaged.
    Storage(StorageError),
    /// The output is gone, perhaps a closed pipe.
    Output(io::Error),
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransferError::Usage(reason) => f.write_str(reason),
            TransferError::Refused(reasons) => f.write_str(&reasons.join("\n")),
            TransferError::Storage(error) => write!(f, "{error}"),
            TransferError::Output(error) => write!(f, "output: {error}"),
        }
    }
}

impl std::error::Error for TransferError {}

impl From<StorageError> for TransferError {
    fn from(error: StorageError) -> TransferError {
        TransferError::Storage(error)
    }
}

impl From<io::Error> for TransferError {
    fn from(error: io::Error) -> TransferError {
        TransferError::Output(error)
    }
}

fn refuse<T>(reason: impl Into<String>) -> Result<T, TransferError> {
    Err(TransferError::Refused(vec![reason.into()]))
}

/// Copies a Kafka node's topics into a data directory, as `args` say, those after `import`.
///
/// # Errors
/// Why it was not done.
pub fn import(args: &[String], around: &Around, out: &mut dyn Write) -> Result<(), TransferError> {
    let mut options = getopts::Options::new();
    options.optmulti("", "from", "", "DIR");
    options.optmulti("", "topics", "", "GLOBS");
    options.optflag("", "unclean", "");
    options.optflag("", "abort-open", "");
    options.optflag("h", "help", "");
    let matches = parse(&options, args)?;
    if matches.opt_present("help") {
        return Ok(out.write_all(IMPORT_USAGE.as_bytes())?);
    }
    let from: Vec<PathBuf> = matches.opt_strs("from").into_iter().map(PathBuf::from).collect();
    if from.is_empty() {
        return Err(TransferError::Usage("--from is missing".to_owned()));
    }
    let wanted = import::Wanted {
        from,
        topics: Globs::of(&matches.opt_strs("topics")),
        unclean: matches.opt_present("unclean"),
        abort_open: matches.opt_present("abort-open"),
        data_dir: one_directory(&matches)?,
    };
    import::run(&wanted, around, out)
}

/// Copies a data directory's topics into a new directory for Kafka, as `args` say, those after `export`.
///
/// # Errors
/// Why it was not done.
pub fn export(args: &[String], around: &Around, out: &mut dyn Write) -> Result<(), TransferError> {
    let mut options = getopts::Options::new();
    options.optopt("", "to", "", "DIR");
    options.optmulti("", "topics", "", "GLOBS");
    options.optopt("", "offsets-partitions", "", "N");
    options.optflag("h", "help", "");
    let matches = parse(&options, args)?;
    if matches.opt_present("help") {
        return Ok(out.write_all(EXPORT_USAGE.as_bytes())?);
    }
    let usage = |reason: &str| TransferError::Usage(reason.to_owned());
    let offsets_partitions = match matches.opt_str("offsets-partitions") {
        None => 50,
        Some(text) => text
            .parse()
            .ok()
            .filter(|count| (1..=10_000).contains(count))
            .ok_or_else(|| usage("--offsets-partitions is a number from 1 to 10000"))?,
    };
    let wanted = export::Wanted {
        to: matches.opt_str("to").map(PathBuf::from).ok_or_else(|| usage("--to is missing"))?,
        topics: Globs::of(&matches.opt_strs("topics")),
        offsets_partitions,
        data_dir: one_directory(&matches)?,
    };
    export::run(&wanted, around, out)
}

fn parse(options: &getopts::Options, args: &[String]) -> Result<getopts::Matches, TransferError> {
    options.parse(args).map_err(|error| TransferError::Usage(error.to_string()))
}

fn one_directory(matches: &getopts::Matches) -> Result<PathBuf, TransferError> {
    match matches.free.as_slice() {
        [one] => Ok(PathBuf::from(one)),
        [] => Err(TransferError::Usage("the data directory is missing".to_owned())),
        [_, extra, ..] => Err(TransferError::Usage(format!("one argument too many: {extra:?}"))),
    }
}

/// Patterns for the names of topics; none at all matches everything.
#[derive(Clone, Debug, Default)]
struct Globs(Vec<String>);

impl Globs {
    fn of(lists: &[String]) -> Globs {
        Globs(lists.iter().flat_map(|list| list.split(',')).map(str::to_owned).collect())
    }

    fn match_name(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|glob| matches(glob.as_bytes(), name.as_bytes()))
    }

    /// Refuses a choice without any topic, or without one for each pattern.
    fn check_chosen(&self, topics: &[Topic]) -> Result<(), TransferError> {
        let is_idle = |glob: &&String| {
            !topics.iter().any(|topic| matches(glob.as_bytes(), topic.name.as_bytes()))
        };
        let reason = |glob: &String| format!("no topic matches {glob:?}");
        let reasons: Vec<String> = self.0.iter().filter(is_idle).map(reason).collect();
        if !reasons.is_empty() {
            return Err(TransferError::Refused(reasons));
        }
        if topics.is_empty() {
            return refuse("there is no topic to be copied");
        }
        Ok(())
    }
}

/// Whether a name matches a pattern. Remembers the last `*` and lets it take one more byte when the rest does not fit.
fn matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut at, mut here) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while here < name.len() {
        match glob.get(at) {
            Some(b'*') => {
                star = Some((at, here));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || Some(wanted) == name.get(here) => {
                at += 1;
                here += 1;
            }
            _ => {
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                (at, here) = (star_at + 1, taken + 1);
            }
        }
    }
    glob.get(at..).unwrap_or_default().iter().all(|left| *left == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_in_a_shell() {
        for (glob, name, fits) in [
            ("orders", "orders", true),
            ("orders", "orders2", false),
            ("or*", "orders", true),
            ("*ers", "orders", true),
            ("*r*r*", "orders", true),
            ("o?ders", "orders", true),
            ("o?ders", "oders", false),
            ("*", "", true),
            ("?", "", false),
            ("a*b*c", "aXbXbX", false),
        ] {
            assert_eq!(matches(glob.as_bytes(), name.as_bytes()), fits, "{glob} {name}");
        }
        assert!(Globs::default().match_name("anything"));
        assert!(Globs::of(&["a,b*".to_owned()]).match_name("bc"));
    }
}
