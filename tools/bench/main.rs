//! The benchmark: drives a broker, a floor or a peer with one thread and says what it cost them.
//!
//! | module      | what it knows                                                                                |
//! |-------------|----------------------------------------------------------------------------------------------|
//! | [`frames`], [`reply`] | what is sent, written once, and what is read of the answers                        |
//! | [`load`]    | the generator: one thread, many connections                                                  |
//! | [`client`]  | one request at a time, for what goes before and after                                        |
//! | [`subject`] | whom it drives: processes, their addresses and ends                                          |
//! | [`proc`]    | what they cost                                                                               |
//! | [`spec`], [`measure`], [`figures`] | a measurement: its numbers, its course, its outcome                   |
//! | [`adhoc`]   | one measurement of anybody, from the command line                                            |
//! | [`table`], [`scenarios`], [`row`], [`plot`] | all measurements of a run, their targets and drawings           |
//! | [`floor`]   | servers that do only what cannot be left out: what a broker is measured against              |
//! | [`machine`], [`limits`] | what the figures were taken on                                                               |
//!
//! A figure is a ratio of two subjects that took turns in one run on one machine, driven by the same generator.

#![expect(
    clippy::disallowed_methods,
    reason = "a measurement reads clocks, files and /proc itself"
)]

mod adhoc;
mod client;
mod figures;
mod floor;
mod frames;
mod limits;
mod load;
mod machine;
mod measure;
mod plot;
mod proc;
mod reply;
mod row;
mod scenarios;
mod spec;
mod subject;
mod table;

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> =
        std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // If nobody listens, nobody hears.
            let _ = writeln!(io::stderr(), "chronik-bench: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what the first argument names; without one, the whole table.
fn dispatch(args: &[String]) -> Result<(), String> {
    match args.split_first() {
        Some((command, rest)) if command == "floor" => floor::run(rest),
        Some((command, _)) if command == "machine" => {
            writeln!(io::stdout(), "{}", machine::line()).map_err(|error| error.to_string())
        }
        Some((command, rest)) if adhoc::COMMANDS.contains(&command.as_str()) => {
            adhoc::run(command, rest)
        }
        Some((command, rest)) if command == "markdown" => table::print_markdown(rest),
        Some((command, _)) if !command.starts_with('-') => {
            Err(format!("unknown command {command}"))
        }
        _ => table::run(args),
    }
}
