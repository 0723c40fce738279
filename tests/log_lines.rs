//! The log from the outside: one line per event, levels by target, and a stalled reader that stops nobody.

#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::io;
use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chronik::base::metrics::Counter;
use chronik::log_setup::{Directives, logger};
use log::{Level, Log, Record};

/// Keeps what is written where the test can see it.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes nothing until it is told to.
struct Stalled {
    entered: Sender<()>,
    go_on: Receiver<()>,
}

impl Write for Stalled {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.entered.send(());
        let _ = self.go_on.recv();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn counter() -> &'static Counter {
    Box::leak(Box::default())
}

fn say(logger: &dyn Log, level: Level, target: &str, text: &str) {
    logger.log(&Record::builder().level(level).target(target).args(format_args!("{text}")).build());
}

fn lines(rust_log: &str, events: &[(Level, &str, &str)]) -> Vec<String> {
    let memory = Memory::default();
    let (directives, _) = Directives::parse(rust_log);
    let logger = logger(&directives, memory.clone(), counter()).unwrap();
    for (level, target, text) in events {
        say(&*logger, *level, target, text);
    }
    logger.flush();
    let bytes = memory.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_line_has_time_level_target_and_text() {
    let lines = lines("", &[(Level::Info, "chronik::server", "ready")]);
    let (time, rest) = lines[0].split_once(' ').unwrap();
    assert_eq!(rest, "[INFO] chronik::server: ready");
    assert!(time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
}

#[test]
fn each_event_is_shown_once_by_the_most_special_directive() {
    let events = [
        (Level::Trace, "chronik::wire::api", "a"),
        (Level::Debug, "chronik::net", "b"),
        (Level::Info, "chronik::net", "c"),
        (Level::Info, "chronik::wire::reader", "d"),
        (Level::Info, "mio", "e"),
        (Level::Warn, "mio", "f"),
    ];
    let shown = lines("warn,chronik=info,chronik::wire=trace", &events);
    let texts: Vec<&str> = shown.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(texts, ["a", "c", "d", "f"]);
}

#[test]
fn an_event_is_one_line_whatever_a_peer_puts_into_it() {
    let events = [(Level::Info, "chronik", "client \"x\r\n2026 [ERROR] forged\u{1b}[2J\"")];
    let lines = lines("", &events);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains(r"x\r\n2026 [ERROR] forged\u{1b}[2J"), "{}", lines[0]);
}

#[test]
fn a_long_line_is_cut_between_characters() {
    let lines = lines("", &[(Level::Info, "chronik", &"é".repeat(10_000))]);
    assert!(lines[0].ends_with("é…"));
    assert!(lines[0].len() < 2100, "{}", lines[0].len());
}

#[test]
fn a_stalled_reader_stops_nobody_and_drops_are_counted() {
    let (entered, is_in) = channel();
    let (resume, go_on) = channel();
    let dropped = counter();
    let (directives, _) = Directives::parse("info");
    let sink = Stalled { entered, go_on };
    let logger = logger(&directives, sink, dropped).unwrap();
    say(&*logger, Level::Info, "chronik", "first");
    is_in.recv_timeout(Duration::from_secs(10)).unwrap();
    for _ in 0..10_000 {
        say(&*logger, Level::Info, "chronik", "more");
    }
    assert_eq!(dropped.get(), 10_000 - 4096);
    drop(resume);
}
