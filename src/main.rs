//! The program: understands its arguments, sets up the log, runs what was asked for.

use std::io;
use std::io::Write;
use std::process::ExitCode;

use chronik::cli::{self, Command, Surroundings, Usage, complain};
use chronik::config::Config;
use chronik::log_setup::{self, Directives};
use chronik::server;
#[cfg(feature = "tools")]
use chronik::tools;

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
        Command::Serve(config) => return serve(&config),
        #[cfg(feature = "tools")]
        Command::Tool(tool, args) => return tools::run(tool, &args, &mut out),
        #[cfg(not(feature = "tools"))]
        Command::Tool(..) => {
            complain("this is a build without tools: the feature \"tools\" has them");
            return ExitCode::from(2);
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

fn serve(config: &Config) -> ExitCode {
    let (directives, warnings) = Directives::parse(&std::env::var("RUST_LOG").unwrap_or_default());
    if let Err(error) = log_setup::init(&directives) {
        complain(&format!("cannot log: {error}"));
        return ExitCode::FAILURE;
    }
    for warning in warnings {
        log::warn!("{warning}");
    }
    let ended = server::run(config);
    if let Err(fatal) = &ended {
        log::error!("{fatal}");
        if !log::log_enabled!(log::Level::Error) {
            // Whatever may be logged, why there is no broker is said.
            complain(&fatal.to_string());
        }
    }
    log::logger().flush();
    if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
