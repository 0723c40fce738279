//! The program: understands its arguments, sets up the log, runs what was asked for.

use std::io;
use std::io::Write;
use std::process::ExitCode;

use chronik::cli::{self, Command, Surroundings, Usage};

fn main() -> ExitCode {
    let args: Vec<String> =
        std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let environment =
        std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect();
    #[expect(
        clippy::disallowed_methods,
        reason = "the configuration is read before storage exists"
    )]
    let around = Surroundings { environment, read: &|name| std::fs::read(name) };
    match cli::parse(&args, &around) {
        Ok(command) => execute(command),
        Err(Usage(lines)) => {
            for line in lines {
                complain(&line);
            }
            complain("try chronik --help");
            ExitCode::from(2)
        }
    }
}

fn execute(command: Command) -> ExitCode {
    let mut out = io::stdout().lock();
    let printed = match command {
        Command::Serve(_) | Command::DumpLog(_) | Command::Decode(_) => {
            complain("not built in");
            return ExitCode::FAILURE;
        }
        Command::CheckConfig(config) => cli::print_config(&config, &mut out),
        Command::Apis => cli::print_apis(&mut out),
        Command::Help => cli::print_help(&mut out),
        Command::Version => cli::print_version(&mut out),
    };
    match printed.and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Says on standard error what is wrong; if nobody listens, nobody hears.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "chronik: {line}");
}
