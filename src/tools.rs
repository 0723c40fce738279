//! The commands beside the broker: each is given its arguments, prints, and says with which code the process ends.

use std::io;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use crate::check::{self, CheckError};
use crate::cli::{Tool, complain};
use crate::decode;
use crate::dump_log::{self, DumpError, Verdict};
use crate::storage::fs::RealFs;
use crate::transfer::{self, Around, TransferError};

/// Runs a tool.
pub fn run(tool: Tool, args: &[String], out: &mut dyn Write) -> ExitCode {
    match tool {
        Tool::DumpLog => dump(args, out),
        Tool::Check => look_through(args, out),
        Tool::Decode => show_frame(args, out),
        Tool::Import => copy("import", transfer::import, args, out),
        Tool::Export => copy("export", transfer::export, args, out),
    }
}

fn dump(args: &[String], out: &mut dyn Write) -> ExitCode {
    match dump_log::run(args, out) {
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

fn look_through(args: &[String], out: &mut dyn Write) -> ExitCode {
    match check::run(args, out, &mut io::stderr()) {
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

fn show_frame(args: &[String], out: &mut dyn Write) -> ExitCode {
    match decode::run(args, &mut io::stdin().lock(), out) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            complain(&format!("decode: {reason}"));
            ExitCode::from(2)
        }
    }
}

type Transfer = fn(&[String], &Around, &mut dyn Write) -> Result<(), TransferError>;

fn copy(name: &str, command: Transfer, args: &[String], out: &mut dyn Write) -> ExitCode {
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
