//! The program: understands its arguments, sets up the log, runs what was asked for.

use std::io;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use chronik::check::{self, CheckError};
use chronik::cli::{self, Command, Surroundings, Usage};
use chronik::config::Config;
use chronik::dump_log::{DumpError, Verdict};
use chronik::log_setup::{self, Directives};
use chronik::server;
use chronik::storage::fs::RealFs;
use chronik::transfer::{self, Around, TransferError};

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
        Command::DumpLog(args) => return dump_log(&args, &mut out),
        Command::Check(args) => return check(&args, &mut out),
        Command::Decode(args) => return decode(&args, &mut out),
        Command::Import(args) => return transfer("import", transfer::import, &args, &mut out),
        Command::Export(args) => return transfer("export", transfer::export, &args, &mut out),
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
    if let Err(exit) = &ended {
        log::error!("{exit}");
    }
    log::logger().flush();
    ended.map_or_else(|exit| ExitCode::from(exit.code), |()| ExitCode::SUCCESS)
}

fn dump_log(args: &[String], out: &mut dyn Write) -> ExitCode {
    match chronik::dump_log::run(args, out) {
        Ok(Verdict::Sound) => ExitCode::SUCCESS,
        Ok(Verdict::Damaged) => ExitCode::FAILURE,
        Err(DumpError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&format!("dump-log: {error}"));
            ExitCode::from(if matches!(error, DumpError::Usage(_)) { 2 } else { 1 })
        }
    }
}

fn check(args: &[String], out: &mut dyn Write) -> ExitCode {
    match chronik::check::run(args, out, &mut io::stderr()) {
        Ok(check::Verdict::Sound) => ExitCode::SUCCESS,
        Ok(check::Verdict::Damaged) => ExitCode::FAILURE,
        Err(CheckError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&format!("check: {error}"));
            ExitCode::from(2)
        }
    }
}

fn decode(args: &[String], out: &mut dyn Write) -> ExitCode {
    match chronik::decode::run(args, &mut io::stdin().lock(), out) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            complain(&format!("decode: {reason}"));
            ExitCode::from(2)
        }
    }
}

type Transfer = fn(&[String], &Around, &mut dyn Write) -> Result<(), TransferError>;

fn transfer(name: &str, command: Transfer, args: &[String], out: &mut dyn Write) -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "a command of its own, which asks once")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut seed = [0; 8];
    if let Err(error) = rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty()) {
        complain(&format!("no random numbers: {error}"));
        return ExitCode::FAILURE;
    }
    let around = Around {
        fs: Arc::new(RealFs),
        now: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
        seed: u64::from_ne_bytes(seed),
    };
    match command(args, &around, out).and_then(|()| Ok(out.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.to_string().lines() {
                complain(&format!("{name}: {line}"));
            }
            ExitCode::from(if matches!(error, TransferError::Usage(_)) { 2 } else { 1 })
        }
    }
}

/// Says on standard error what is wrong; if nobody listens, nobody hears.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "chronik: {line}");
}
