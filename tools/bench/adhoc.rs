//! One measurement of anybody: a server that is there already, or one that is started for it.
//!
//! ```text
//! chronik-bench produce --address 127.0.0.1:9092 --pid 4711 --record 100 --acks all --connections 8 --seconds 2
//! chronik-bench fetch --spawn floor:send-sendfile --bytes 1000000000
//! chronik-bench follow --spawn chronik --rate 1000
//! ```

use std::io::{self, Write};
use std::path::Path;

use getopts::{Matches, Options};

use crate::figures::json_line;
use crate::measure::{self, Topic};
use crate::spec::{Spec, given};
use crate::subject::{Site, Subject};

/// The measurements.
pub(crate) const COMMANDS: &[&str] = &["produce", "fetch", "latency", "follow"];

/// Runs a measurement and prints a line of JSON for each round.
///
/// # Errors
/// For arguments that say nothing, and for whatever goes wrong.
pub(crate) fn run(command: &str, args: &[String]) -> Result<(), String> {
    let options = options();
    let matches = options.parse(args).map_err(|error| error.to_string())?;
    if matches.opt_present("help") {
        let usage = options.usage(&format!("chronik-bench {command} [OPTIONS]"));
        return print(&usage);
    }
    let spec = Spec::from(&matches, default(command))?;
    let subject = subject(&matches)?;
    let rounds = given(&matches, "rounds", 1)?;
    let filled = if command == "fetch" { Some(Topic::filled(&subject, &spec)?) } else { None };
    for round in 0..rounds {
        let figures = match (command, &filled) {
            (_, Some(topic)) => measure::fetch(topic, &subject, &spec)?,
            ("follow", _) => measure::follow(&subject, &spec)?,
            _ if matches.opt_present("keep") => measure::produce_and_keep(&subject, &spec)?,
            _ => measure::produce(&subject, &spec)?,
        };
        print(&json_line(command, &subject.name, &spec.params(), round, &figures))?;
    }
    filled.map_or(Ok(()), |topic| topic.delete(&subject))
}

/// What a measurement does where nothing else is said.
fn default(command: &str) -> Spec {
    let one = Spec { record: 100, request: 1, in_flight: 1, seconds: 2.0, ..Spec::default() };
    match command {
        "latency" => one,
        "follow" => Spec { rate: 1000, in_flight: 100, ..one },
        "fetch" => Spec { connections: 4, bytes: 1_000_000_000, ..Spec::default() },
        _ => Spec { bytes: 500_000_000, ..Spec::default() },
    }
}

fn options() -> Options {
    let mut options = Options::new();
    options.optopt("", "address", "drive the server there", "HOST:PORT");
    options.optopt("", "pid", "the process whose costs are counted", "PID");
    options.optflag("", "echo", "the server is a floor: it has no topics and no errors");
    options.optopt("", "spawn", "start a server: chronik, or floor:NAME with its options", "WHAT");
    options.optmulti("", "key", "a key of the broker that is started", "KEY=VALUE");
    options.optopt("", "name", "as the results call the server", "NAME");
    options.optopt("", "dir", "where files go (target/bench/data)", "DIR");
    options.optopt("", "rounds", "how often it is done (1)", "N");
    options.optflag("", "keep", "leave the topic that was produced to");
    options.optflag("h", "help", "print this");
    Spec::options(&mut options);
    options
}

/// Who is driven.
fn subject(matches: &Matches) -> Result<Subject, String> {
    let dir = matches.opt_str("dir").unwrap_or_else(|| "target/bench/data".to_owned());
    if let Some(what) = matches.opt_str("spawn") {
        let site = Site::new(Path::new(&dir))?;
        return match what.strip_prefix("floor:") {
            Some(floor) => {
                let mut words = floor.split_whitespace();
                let name = words.next().unwrap_or_default();
                site.floor(name, &words.collect::<Vec<_>>())
            }
            None => {
                let keys = matches.opt_strs("key");
                site.broker(&keys.iter().map(String::as_str).collect::<Vec<_>>())
            }
        };
    }
    let address = matches.opt_str("address").ok_or("--address or --spawn")?;
    let address = std::net::ToSocketAddrs::to_socket_addrs(&address)
        .map_err(|error| format!("{address}: {error}"))?
        .next()
        .ok_or("no such address")?;
    let pid = given(matches, "pid", std::process::id())?;
    let name = matches.opt_str("name").unwrap_or_else(|| address.to_string());
    Ok(Subject::at(&name, address, pid, !matches.opt_present("echo")))
}

fn print(line: &str) -> Result<(), String> {
    writeln!(io::stdout(), "{line}").map_err(|error| error.to_string())
}
