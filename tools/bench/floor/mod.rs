//! Floors: servers that answer like a broker and do only what a broker cannot leave out.
//!
//! `chronik-bench floor NAME --dir DIR` binds a port of 127.0.0.1, prints `listening on ADDRESS` and serves until it is
//! killed. Every request is answered with its correlation id and a reply of constant size; nothing else of it is read.
//!
//! | name              | what happens between a request and its reply                                            |
//! |-------------------|-----------------------------------------------------------------------------------------|
//! | `discard`         | nothing                                                                                 |
//! | `write`           | CRC-32C and one write, on the thread of the sockets                                     |
//! | `write-worker`    | the same on another thread                                                              |
//! | `sync`            | CRC-32C, one write, and one `fdatasync` for all that one look at the sockets brought    |
//! | `sync-worker`     | a worker writes, a syncer syncs meanwhile what was written before                       |
//! | `send-sendfile`   | `--bytes` of a file follow the head of a Fetch reply, by `sendfile`                     |
//! | `send-read-write` | the same by reading into a buffer and writing that                                      |
//! | `echo-worker`     | the request goes to another thread and comes back                                       |
//!
//! Buffers are used again, so that no request costs a page fault; sockets are edge-triggered; replies leave once a turn; a
//! thread is woken only if it sleeps, and once for all that is in its queue.

mod chunk;
mod connection;
mod file;
mod outbox;
mod queue;
mod reply;
mod sender;
mod server;
mod service;
#[cfg(test)]
mod tests;
mod worker;

use std::io::{self, Write};
use std::path::PathBuf;

use getopts::{Matches, Options};

use file::Medium;
use service::Service;

/// What a floor is told.
struct Settings {
    /// Where its files go.
    dir: PathBuf,
    /// Threads beside that of the sockets; a connection belongs to one of them.
    workers: usize,
    /// What is written to.
    medium: Medium,
    /// Files of each worker, which are written to in turn.
    files: usize,
    /// The size in bytes at which they are begun anew.
    file_bytes: u64,
    /// Bytes of the file in one reply.
    reply_bytes: usize,
}

/// Serves as the floor that the first argument names.
///
/// # Errors
/// For a name that no floor has, and for what the system refuses.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let matches = options().parse(args).map_err(|error| error.to_string())?;
    let [name] = matches.free.as_slice() else { return Err(usage()) };
    let settings = settings(&matches)?;
    serve(name, &settings).map_err(|error| format!("floor {name}: {error}"))
}

fn options() -> Options {
    let mut options = Options::new();
    options.optopt("", "dir", "where files go (.)", "DIR");
    options.optopt("", "workers", "threads beside that of the sockets (1)", "NUMBER");
    options.optopt(
        "",
        "file",
        "new: appends to a file that grows; reserved: into blocks that it has; reuse: rewrites one that is full (new)",
        "KIND",
    );
    options.optopt(
        "",
        "file-bytes",
        "size at which a file is begun anew (1073741824; 268435456 if it has blocks from the start)",
        "BYTES",
    );
    options.optopt("", "files", "files of each worker, written to in turn (1)", "NUMBER");
    options.optopt("", "bytes", "bytes of the file in a reply of send-* (1048576)", "BYTES");
    options
}

fn usage() -> String {
    options().usage("chronik-bench floor NAME --dir DIR")
}

fn settings(matches: &Matches) -> Result<Settings, String> {
    let number = |name: &str, default: u64| match matches.opt_str(name) {
        None => Ok(default),
        Some(text) => text.parse::<u64>().map_err(|error| format!("--{name} {text}: {error}")),
    };
    let size = |name: &str, default: u64| {
        number(name, default)
            .and_then(|value| usize::try_from(value).map_err(|error| format!("--{name}: {error}")))
    };
    let medium = match matches.opt_str("file").as_deref() {
        None | Some("new") => Medium::New,
        Some("reserved") => Medium::Reserved,
        Some("reuse") => Medium::Reuse,
        Some(other) => return Err(format!("--file {other}: new, reserved or reuse")),
    };
    let sends = matches.free.first().is_some_and(|name| name.starts_with("send-"));
    let has_blocks = sends || medium != Medium::New;
    Ok(Settings {
        dir: matches.opt_str("dir").unwrap_or_else(|| ".".to_owned()).into(),
        workers: size("workers", 1)?.max(1),
        medium,
        files: size("files", 1)?.max(1),
        file_bytes: number("file-bytes", if has_blocks { 256 << 20 } else { 1 << 30 })?,
        reply_bytes: size("bytes", 1 << 20)?,
    })
}

fn serve(name: &str, settings: &Settings) -> io::Result<()> {
    let waker = queue::Waker::new()?;
    let Some(service) = Service::named(name, settings, &waker)? else {
        return Err(io::Error::other(format!("no such floor\n{}", usage())));
    };
    let mut server = server::Server::bind(service, &waker)?;
    writeln!(io::stdout(), "listening on {}", server.address()?)?;
    loop {
        server.turn()?;
    }
}
