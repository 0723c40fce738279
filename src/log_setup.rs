//! The log: `RUST_LOG` becomes simplelog's loggers, and standard error is written by a thread of its own.
//!
//! The loop never waits for a log line: lines go into a bounded queue, and what it does not take is dropped and
//! counted. A level that nobody asked for is cut off in the `log!` macros, before anything is formatted.

mod directives;
mod queue;

use std::io;
use std::io::Write;

use log::{Log, Metadata, Record};
use simplelog::{CombinedLogger, Config, ConfigBuilder, LevelFilter, SharedLogger, WriteLogger};

use crate::base::metrics::{Counter, LOG_LINES_DROPPED};
pub use directives::Directives;
use queue::LineWriter;

/// Sets up the process's log on standard error. Called once.
///
/// # Errors
/// If there is a log already, or its thread cannot be started.
pub fn init(directives: &Directives) -> io::Result<()> {
    if directives.level_max() > LevelFilter::Off {
        let logger = logger(directives, io::stderr(), &LOG_LINES_DROPPED)?;
        log::set_boxed_logger(logger).map_err(io::Error::other)?;
        log::set_max_level(directives.level_max());
    }
    Ok(())
}

/// A logger that writes to `sink` from a thread of its own, and counts what it drops.
///
/// # Errors
/// If the thread cannot be started.
pub fn logger(
    directives: &Directives,
    sink: impl Write + Send + 'static,
    dropped: &'static Counter,
) -> io::Result<Box<dyn Log>> {
    let writer = LineWriter::start(sink, dropped)?;
    Ok(Box::new(Lines::new(directives, &writer)))
}

/// One line per event, whatever the event's text holds: a peer's words must not look like lines of ours.
struct Lines {
    directives: Directives,
    loggers: Box<CombinedLogger>,
}

impl Lines {
    fn new(directives: &Directives, writer: &LineWriter) -> Lines {
        let one = |(target, level): (&str, LevelFilter)| -> Box<dyn SharedLogger> {
            WriteLogger::new(level, config(directives, target), writer.clone())
        };
        let loggers = CombinedLogger::new(directives.iter().map(one).collect());
        Lines { directives: directives.clone(), loggers }
    }
}

/// The form of a line, for events of this target but not of a more special one.
fn config(directives: &Directives, target: &str) -> Config {
    let mut config = ConfigBuilder::new();
    config
        .set_time_format_rfc3339()
        .set_time_level(LevelFilter::Error)
        .set_target_level(LevelFilter::Error)
        .set_thread_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off);
    if !target.is_empty() {
        config.add_filter_allow(target.to_owned());
    }
    for (other, _) in directives.iter() {
        if other.len() > target.len() && other.starts_with(target) {
            config.add_filter_ignore(other.to_owned());
        }
    }
    config.build()
}

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.directives.level_of(metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = record.args().to_string();
        let text = if text.contains(char::is_control) { escaped(&text) } else { text };
        let metadata = record.metadata().clone();
        let args = format_args!("{text}");
        self.loggers.log(&Record::builder().metadata(metadata).args(args).build());
    }

    fn flush(&self) {
        self.loggers.flush();
    }
}

fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}
