//! The whole table: every scenario, then the rows as text and as Markdown.

use std::io::{self, Write};
use std::path::Path;

use getopts::Options;

use crate::scenarios::{self, Bench};
use crate::{limits, machine, row};

/// Where results go.
const OUT: &str = "target/bench";

/// Measures and prints.
///
/// # Errors
/// For arguments that say nothing, or if results cannot be written. Scenarios that fail are rows.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let options = options();
    let matches = options.parse(args).map_err(|error| error.to_string())?;
    if matches.opt_present("help") {
        return print(&options.usage("chronik-bench [OPTIONS]"));
    }
    let only = matches.opt_strs("only");
    let unknown = only.iter().find(|name| scenarios::ALL.iter().all(|known| known.name != **name));
    if let Some(name) = unknown {
        let known: Vec<&str> = scenarios::ALL.iter().map(|scenario| scenario.name).collect();
        return Err(format!("no scenario {name}; there are {}", known.join(", ")));
    }
    limits::raise();
    let out = matches.opt_str("out").unwrap_or_else(|| OUT.to_owned());
    let out = Path::new(&out);
    let mut bench = Bench::new(out, matches.opt_present("quick"))?;
    bench.rounds = matches.opt_get("rounds").map_err(|error| format!("--rounds: {error}"))?;
    bench.least = matches.opt_present("least");
    let rows = scenarios::run(&mut bench, &only);
    // Only if it is empty: another run may be going on beside this one.
    let _ = std::fs::remove_dir(out.join("data"));
    let page = format!("{}\n\n{}", machine::line(), row::markdown(&rows));
    let path = out.join("table.md");
    std::fs::write(&path, page).map_err(|error| format!("{}: {error}", path.display()))?;
    print(&format!("{}\n\n{}", machine::line(), row::text(&rows)))
}

/// Prints the table of the last run as Markdown.
///
/// # Errors
/// If there was none.
pub(crate) fn print_markdown(args: &[String]) -> Result<(), String> {
    let out = args.first().map_or(OUT, String::as_str);
    let path = Path::new(out).join("table.md");
    let page = std::fs::read_to_string(&path);
    print(&page.map_err(|error| format!("{}: {error}", path.display()))?)
}

fn options() -> Options {
    let mut options = Options::new();
    options.optflag("", "quick", "less of everything: two minutes instead of ten");
    options.optmulti("", "only", "this scenario alone; may be repeated", "SCENARIO");
    options.optopt("", "rounds", "how often all take turns, after once that does not count", "N");
    options.optflag("", "least", "of each the least disturbed round instead of the median");
    options.optopt("", "out", "where results go (target/bench)", "DIR");
    options.optflag("h", "help", "print this");
    options
}

fn print(text: &str) -> Result<(), String> {
    writeln!(io::stdout(), "{}", text.trim_end()).map_err(|error| error.to_string())
}
