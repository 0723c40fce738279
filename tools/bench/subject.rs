//! Whom the generator drives: a broker of ours, a floor, or somebody at an address.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::Client;
use crate::reply::Dialect;

/// How long a start or an end may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that is measured. One that was started here ends with the value.
pub(crate) struct Subject {
    /// As the results call it.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whose costs are counted.
    pub pid: u32,
    /// Whether it is a broker; else it is a floor, which has no topics.
    pub is_broker: bool,
    child: Option<Running>,
}

struct Running {
    child: Child,
    /// A directory that goes with the process.
    dir: Option<PathBuf>,
}

/// Programs and a place for files.
#[derive(Clone)]
pub(crate) struct Site {
    /// The broker's binary.
    pub chronik: PathBuf,
    /// This binary.
    pub bench: PathBuf,
    /// Where directories are made.
    pub dir: PathBuf,
}

impl Site {
    /// The broker beside this binary, or what `CHRONIK_BIN` names; directories below `dir`.
    ///
    /// # Errors
    /// If the directory cannot be made.
    pub(crate) fn new(dir: &Path) -> Result<Site, String> {
        let bench = std::env::current_exe().map_err(|error| error.to_string())?;
        let beside = bench.with_file_name("chronik");
        let chronik = std::env::var_os("CHRONIK_BIN").map_or(beside, PathBuf::from);
        if !chronik.exists() {
            return Err(format!("{} is missing: make build", chronik.display()));
        }
        std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        Ok(Site { chronik, bench, dir: dir.to_owned() })
    }

    /// An empty directory whose name begins with this one.
    pub(crate) fn fresh(&self, name: &str) -> Result<PathBuf, String> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// A broker on an empty directory, with these keys.
    pub(crate) fn broker(&self, keys: &[&str]) -> Result<Subject, String> {
        let dir = self.fresh("chronik")?;
        let mut subject = self.broker_on(&dir, keys)?;
        if let Some(running) = &mut subject.child {
            running.dir = Some(dir);
        }
        Ok(subject)
    }

    /// A broker on a directory that stays.
    pub(crate) fn broker_on(&self, dir: &Path, keys: &[&str]) -> Result<Subject, String> {
        let mut command = Command::new(&self.chronik);
        command.args(["-l", "127.0.0.1:0", "--http", "none", "-d"]).arg(dir.join("data"));
        for key in keys {
            command.args(["-o", key]);
        }
        let mut child = spawn(command.stderr(Stdio::piped()))?;
        let lines = follow(child.stderr.take());
        start("chronik", child, &lines, "ready on ", true)
    }

    /// A floor, with these options.
    pub(crate) fn floor(&self, name: &str, options: &[&str]) -> Result<Subject, String> {
        let dir = self.fresh(&format!("floor-{name}"))?;
        let mut command = Command::new(&self.bench);
        command.args(["floor", name, "--dir"]).arg(&dir).args(options);
        let mut child = spawn(command.stdout(Stdio::piped()))?;
        let lines = follow(child.stdout.take());
        let name = format!("floor {name}");
        let mut subject = start(&name, child, &lines, "listening on ", false)?;
        if let Some(running) = &mut subject.child {
            running.dir = Some(dir);
        }
        Ok(subject)
    }
}

fn spawn(command: &mut Command) -> Result<Child, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).spawn().map_err(|error| format!("{program}: {error}"))
}

/// The lines that a process writes, as they come. They are read to the end by a thread of its own, so that the process
/// never waits for who reads.
fn follow(output: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, lines) = channel();
    if let Some(output) = output {
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // What goes wrong explains the figures.
                if ["WARN", "ERROR"].iter().any(|level| line.contains(level)) {
                    let _ = writeln!(std::io::stderr(), "{line}");
                }
                // Nobody may want to know any more; the process must not wait for that.
                let _ = sender.send(line);
            }
        });
    }
    lines
}

/// The subject that a process is, once it has said where it listens.
fn start(
    name: &str,
    child: Child,
    lines: &Receiver<String>,
    before: &str,
    is_broker: bool,
) -> Result<Subject, String> {
    let pid = child.id();
    let mut running = Running { child, dir: None };
    let deadline = Instant::now() + PATIENCE;
    let mut said = String::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(line) = lines.recv_timeout(left) else {
            let _ = running.child.kill();
            let _ = running.child.wait();
            return Err(format!("{name} does not start: {said}"));
        };
        if let Some((_, rest)) = line.split_once(before) {
            let address = rest.split_whitespace().next().unwrap_or_default();
            let address = address.parse().map_err(|_| format!("{name} listens on {address:?}"))?;
            let name = name.to_owned();
            return Ok(Subject { name, address, pid, is_broker, child: Some(running) });
        }
        said.push_str(&line);
        said.push(' ');
    }
}

impl Subject {
    /// Somebody whom others have started.
    pub(crate) fn at(name: &str, address: SocketAddr, pid: u32, is_broker: bool) -> Subject {
        Subject { name: name.to_owned(), address, pid, is_broker, child: None }
    }

    /// How the generator speaks to it.
    ///
    /// # Errors
    /// If a broker does not answer.
    pub(crate) fn dialect(&self) -> Result<Dialect, String> {
        if self.is_broker {
            Ok(Client::connect(self.address)?.dialect())
        } else {
            Ok(Dialect::Echo)
        }
    }

    /// Asks it to stop, and waits for that.
    ///
    /// # Errors
    /// If it does not end in time.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        let Some(running) = &mut self.child else { return Ok(()) };
        let pid = i32::try_from(running.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM).map_err(|error| error.to_string())?;
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match running.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                Ok(Some(_)) => return Ok(()),
                Err(error) => return Err(error.to_string()),
            }
        }
        Err(format!("{} does not stop", self.name))
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if let Some(running) = &mut self.child {
            let _ = running.child.kill();
            let _ = running.child.wait();
            if let Some(dir) = &running.dir {
                let _ = std::fs::remove_dir_all(dir);
            }
        }
    }
}
