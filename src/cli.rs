//! The command line: which command, with which configuration, and what the small commands print.

use std::io;
use std::io::Write;

use getopts::Options;

use crate::base::config_table::{Usage as KeyUsage, broker_rows};
use crate::config::{Config, Sources};
use crate::wire::api::ApiKey;

/// What was asked for.
#[derive(Debug)]
pub enum Command {
    /// Run the broker.
    Serve(Box<Config>),
    /// Print the configuration as it would hold.
    CheckConfig(Box<Config>),
    /// Print the table of requests that are served.
    Apis,
    /// Run a tool with the arguments that follow.
    Tool(Tool, Vec<String>),
    /// Print how Chronik is called.
    Help,
    /// Print the version.
    Version,
}

/// A command that reads or makes the broker's files and frames beside it. Only a build with the feature `tools` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Show log segments, indexes and snapshots.
    DumpLog,
    /// Look through a data directory for damage.
    Check,
    /// Show a frame from standard input.
    Decode,
    /// Copy a Kafka node's topics into a data directory.
    Import,
    /// Copy a data directory's topics into one for Kafka.
    Export,
}

impl Tool {
    fn named(name: &str) -> Option<Tool> {
        match name {
            "dump-log" => Some(Tool::DumpLog),
            "check" => Some(Tool::Check),
            "decode" => Some(Tool::Decode),
            "import" => Some(Tool::Import),
            "export" => Some(Tool::Export),
            _ => None,
        }
    }
}

/// What is wrong with the arguments or the configuration, one line each. The exit code is 2.
#[derive(Debug, PartialEq, Eq)]
pub struct Usage(pub Vec<String>);

/// What surrounds the process, handed in so that parsing can be tested.
pub struct Surroundings<'a> {
    /// The environment's variables.
    pub environment: Vec<(String, String)>,
    /// Reads a whole file.
    pub read: &'a dyn Fn(&str) -> io::Result<Vec<u8>>,
}

/// Understands the arguments that follow the program's name.
///
/// # Errors
/// If they, or the configuration that they lead to, cannot be followed.
pub fn parse(args: &[String], around: &Surroundings<'_>) -> Result<Command, Usage> {
    let (first, rest) = match args.split_first() {
        Some((first, rest)) => (first.as_str(), rest),
        None => ("serve", args),
    };
    match (first, Tool::named(first)) {
        (_, Some(tool)) => Ok(Command::Tool(tool, rest.to_vec())),
        ("serve" | "check-config" | "apis", None) => parse_options(first, rest, around),
        (_, None) => parse_options("serve", args, around),
    }
}

fn parse_options(
    command: &str,
    args: &[String],
    around: &Surroundings<'_>,
) -> Result<Command, Usage> {
    let matches = options().parse(args).map_err(|error| Usage(vec![error.to_string()]))?;
    if matches.opt_present("h") {
        return Ok(Command::Help);
    }
    if matches.opt_present("V") {
        return Ok(Command::Version);
    }
    if command == "apis" {
        return match matches.free.first() {
            None => Ok(Command::Apis),
            Some(extra) => usage(format!("apis takes no argument, not {extra:?}")),
        };
    }
    let file = match (matches.opt_str("c"), matches.free.as_slice()) {
        (file, []) => file,
        (None, [file]) => Some(file.clone()),
        (_, [.., extra]) => {
            return usage(format!("one file too many or unknown command: {extra:?}"));
        }
    };
    let sources = Sources {
        file: file.map(|name| read_file(name, around)).transpose()?,
        environment: around.environment.clone(),
        flags: flags(&matches)?,
    };
    let config = Box::new(Config::load(&sources).map_err(Usage)?);
    Ok(if command == "serve" { Command::Serve(config) } else { Command::CheckConfig(config) })
}

fn usage<T>(line: String) -> Result<T, Usage> {
    Err(Usage(vec![line]))
}

fn options() -> Options {
    let mut options = Options::new();
    options.optopt("c", "config", "read keys from this file", "FILE");
    options.optmulti("o", "override", "set a key; may be repeated", "KEY=VALUE");
    options.optmulti("l", "listen", "listen here; may be repeated", "HOST:PORT");
    options.optmulti("a", "advertise", "tell clients to connect to this", "HOST:PORT");
    options.optopt("d", "data-dir", "keep the data here", "DIR");
    options.optopt("", "http", "serve health and metrics here, or none", "HOST:PORT");
    options.optflag("h", "help", "print this");
    options.optflag("V", "version", "print the version");
    options
}

fn read_file(name: String, around: &Surroundings<'_>) -> Result<(String, Vec<u8>), Usage> {
    match (around.read)(&name) {
        Ok(bytes) => Ok((name, bytes)),
        Err(error) => usage(format!("{name}: {error}")),
    }
}

/// The keys that flags set; the flags with a meaning of their own are stronger than `-o`.
fn flags(matches: &getopts::Matches) -> Result<Vec<(String, String)>, Usage> {
    let mut flags = Vec::new();
    for text in matches.opt_strs("o") {
        match text.split_once('=') {
            Some((key, value)) => flags.push((key.to_owned(), value.to_owned())),
            None => return usage(format!("-o {text:?} is not KEY=VALUE")),
        }
    }
    let named = [
        ("l", "listeners"),
        ("a", "advertised.listeners"),
        ("d", "log.dirs"),
        ("http", "chronik.http"),
    ];
    for (flag, key) in named {
        let values = matches.opt_strs(flag);
        if !values.is_empty() {
            flags.push((key.to_owned(), values.join(",")));
        }
    }
    Ok(flags)
}

/// Prints how Chronik is called.
///
/// # Errors
/// If the output cannot be written.
pub fn print_help(out: &mut dyn Write) -> io::Result<()> {
    let tools = if cfg!(feature = "tools") { HELP_TOOLS } else { "" };
    let brief = format!("{HELP_BROKER}{tools}{HELP_END}");
    writeln!(out, "{}", options().usage(&brief).trim_end())
}

const HELP_BROKER: &str = "\
Chronik: a Kafka broker for one machine.

    chronik [serve] [FILE.properties] [OPTIONS]   run the broker
    chronik check-config [FILE.properties] [OPTIONS]
                                                  print the configuration as it would hold
    chronik apis                                  print the requests that are served
";

const HELP_TOOLS: &str = "\
\x20   chronik dump-log [--verify] FILE...           show segments, indexes and snapshots
    chronik check [--json] DIR                    look through a data directory for damage; changes nothing
    chronik decode                                show a frame from standard input
    chronik import --from KAFKA_LOG_DIR DATA_DIR  take over the topics of a stopped Kafka node
    chronik export --to KAFKA_LOG_DIR DATA_DIR    make a Kafka node's directory of a stopped broker's
";

const HELP_END: &str = "
Keys are Kafka's. A flag is stronger than a KAFKA_... variable, that than the file.
Exit codes: 0 fine, 1 failed, 2 wrong arguments or configuration.";

/// Says on standard error what is wrong; if nobody listens, nobody hears.
pub fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "chronik: {line}");
}

/// Prints the version.
///
/// # Errors
/// If the output cannot be written.
pub fn print_version(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "chronik {}", env!("CARGO_PKG_VERSION"))
}

/// Prints the configuration as it would hold: every key that does something or was set, with where it comes from.
///
/// # Errors
/// If the output cannot be written.
pub fn print_config(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    for warning in &config.warnings {
        writeln!(out, "# warning: {warning}")?;
    }
    for row in broker_rows() {
        let origin = config.origins.get(row.name);
        if origin.is_none() && row.usage == KeyUsage::Ignored {
            continue;
        }
        let value = match config.settings.get(row.name) {
            Some(_) if row.is_sensitive() => "[hidden]",
            Some(value) => value,
            None => continue,
        };
        let origin = origin.map_or("default".to_owned(), ToString::to_string);
        writeln!(out, "{origin:<11}  {}={value}", row.name)?;
    }
    Ok(())
}

/// Prints the table of requests that are served, in Markdown.
///
/// # Errors
/// If the output cannot be written.
pub fn print_apis(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "| key | request | versions | flexible from |")?;
    writeln!(out, "|---:|---|---|---:|")?;
    for api in ApiKey::ALL {
        let (least, most) = (*api.versions().start(), *api.versions().end());
        let flexible = api.flexible_from();
        // A request that is flexible in no version names one that it will never have.
        let flexible = if flexible > most { "never".to_owned() } else { flexible.to_string() };
        writeln!(out, "| {} | {api} | {least}–{most} | {flexible} |", api.key())?;
    }
    Ok(())
}

/// Prints the keys that do something, in Markdown.
///
/// # Errors
/// If the output cannot be written.
pub fn print_keys(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "| key | default | meaning |")?;
    writeln!(out, "|---|---|---|")?;
    for row in broker_rows().filter(|row| row.usage == KeyUsage::Acts) {
        let default = row.default.map_or(String::new(), |value| format!("`{value}`"));
        let meaning = row.documentation().replace('|', "\\|");
        writeln!(out, "| `{}` | {default} | {meaning} |", row.name)?;
    }
    Ok(())
}
