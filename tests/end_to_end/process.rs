//! A broker as a process: its directory, its log, its end.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A directory that is gone when the test is over.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Dir {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("chronik-end-to-end-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    /// Where the data is. It is made by the broker.
    pub(crate) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// The names in the data directory, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.data())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Path and content of every file below the data directory.
    pub(crate) fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut open = vec![self.data()];
        let mut files = Vec::new();
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    let content = fs::read(&path).unwrap();
                    files.push((path, content));
                }
            }
        }
        files.sort();
        files
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a process has written to standard error so far, and whether more may come.
#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    grown: Condvar,
}

/// A running process, which does not outlive the test.
pub(crate) struct Process {
    child: Child,
    log: Arc<Log>,
}

impl Process {
    /// Runs the program with these arguments and nothing in the environment.
    pub(crate) fn run(args: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chronik"));
        command.args(args);
        Process::spawn(command)
    }

    /// The same with no more than so many descriptors.
    pub(crate) fn run_with_descriptors(most: u32, args: &[&str]) -> Process {
        let mut command = Command::new("/bin/sh");
        let script = format!("ulimit -n {most}; exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_chronik")]).args(args);
        Process::spawn(command)
    }

    fn spawn(mut command: Command) -> Process {
        let mut child = command
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Log::default());
        let (stderr, written) = (child.stderr.take().unwrap(), Arc::clone(&log));
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                written.lines.lock().unwrap().0.push(line);
                written.grown.notify_all();
            }
            written.lines.lock().unwrap().1 = true;
            written.grown.notify_all();
        });
        Process { child, log }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// The log so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.log.lines.lock().unwrap().0.clone()
    }

    /// The lines so far that hold these words.
    pub(crate) fn lines_with(&self, words: &str) -> Vec<String> {
        self.lines().into_iter().filter(|line| line.contains(words)).collect()
    }

    /// The first line that holds these words, waited for.
    #[track_caller]
    pub(crate) fn line(&self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.log.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.0.iter().find(|line| line.contains(words)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!lines.1 && !left.is_zero(), "no line with {words:?} in {:#?}", lines.0);
            lines = self.log.grown.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Waits for as long as that, in which nothing may be logged.
    #[track_caller]
    pub(crate) fn stays_silent_for(&self, length: Duration) {
        let lines = self.log.lines.lock().unwrap();
        let before = lines.0.len();
        let unchanged = |lines: &mut (Vec<String>, bool)| lines.0.len() == before && !lines.1;
        let (lines, waited) = self.log.grown.wait_timeout_while(lines, length, unchanged).unwrap();
        assert!(waited.timed_out(), "it said {:?}", &lines.0[before..]);
    }

    /// How it ended, and all that it said.
    #[track_caller]
    pub(crate) fn end_within(&mut self, length: Duration) -> (ExitStatus, Vec<String>) {
        let deadline = Instant::now() + length;
        let mut lines = self.log.lines.lock().unwrap();
        while !lines.1 {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it goes on: {:#?}", lines.0);
            lines = self.log.grown.wait_timeout(lines, left).unwrap().0;
        }
        // Standard error is closed, so the process has ended.
        (self.child.wait().unwrap(), lines.0.clone())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A broker that serves.
pub(crate) struct Broker {
    pub(crate) process: Process,
    pub(crate) kafka: SocketAddr,
    pub(crate) http: SocketAddr,
}

impl Broker {
    /// Starts a broker on free ports and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(dir: &Dir) -> Broker {
        Broker::start_with(dir, &[])
    }

    /// The same with keys of the test's own.
    #[track_caller]
    pub(crate) fn start_with(dir: &Dir, keys: &[&str]) -> Broker {
        Broker::of(Process::run(&arguments(&dir.data(), keys).each_ref_str()))
    }

    /// The broker that a process is, once it is ready.
    #[track_caller]
    pub(crate) fn of(process: Process) -> Broker {
        let ready = process.line("ready on ");
        let address = |before: &str| {
            let rest = ready.split_once(before).unwrap().1;
            rest.split(' ').next().unwrap().parse().unwrap()
        };
        Broker { kafka: address("ready on "), http: address(" http "), process }
    }

    /// Asks it to stop, and sees it do so in time.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Vec<String> {
        self.process.signal(Signal::TERM);
        let (status, lines) = self.process.end_within(Duration::from_secs(2));
        assert_eq!(status.code(), Some(0), "{lines:#?}");
        lines
    }

    /// Ends it as a power cut would, but for the page cache.
    pub(crate) fn kill(mut self) {
        self.process.child.kill().unwrap();
        self.process.child.wait().unwrap();
    }
}

/// The arguments of a broker on free ports.
pub(crate) fn arguments(data: &Path, keys: &[&str]) -> Vec<String> {
    let data = data.to_str().unwrap();
    let mut all = vec!["-d", data, "-l", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    for key in keys {
        all.extend(["-o", key]);
    }
    all.into_iter().map(str::to_owned).collect()
}

/// Borrows every string.
pub(crate) trait EachRefStr {
    fn each_ref_str(&self) -> Vec<&str>;
}

impl EachRefStr for Vec<String> {
    fn each_ref_str(&self) -> Vec<&str> {
        self.iter().map(String::as_str).collect()
    }
}

/// Asks again until it is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    until_none(|| (!is_so()).then(|| what.to_owned()));
}

/// Asks again until nothing is missing.
#[track_caller]
pub(crate) fn until_none(mut missing: impl FnMut() -> Option<String>) {
    let deadline = Instant::now() + PATIENCE;
    while let Some(what) = missing() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::park_timeout(Duration::from_millis(2));
    }
}
