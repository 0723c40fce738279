//! The threads beside that of the sockets: a worker that checks and writes, and its syncer.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use super::chunk::Chunk;
use super::file::Target;
use super::queue::{Outcomes, Queue};

/// What happens to a frame.
pub(super) struct Work(Option<Target>);

impl Work {
    /// Nothing.
    pub(super) fn nothing() -> Work {
        Work(None)
    }

    /// A checksum and one write to `target`.
    pub(super) fn write(target: Target) -> Work {
        Work(Some(target))
    }

    /// Does it for every frame.
    pub(super) fn run(&mut self, chunk: &Chunk) -> io::Result<()> {
        let Some(target) = &mut self.0 else { return Ok(()) };
        for frame in chunk.payloads() {
            std::hint::black_box(crc32c::crc32c(frame));
            target.write(frame)?;
        }
        Ok(())
    }

    /// Syncs what was written.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), Target::sync)
    }

    fn handles(&self) -> io::Result<Vec<OwnedFd>> {
        self.0.as_ref().map_or(Ok(Vec::new()), Target::handles)
    }
}

/// Starts a worker and returns its queue. What it has done comes to `outcomes`, synced if `synced`.
pub(super) fn start(
    work: Work,
    synced: bool,
    outcomes: &Arc<Outcomes<Chunk>>,
) -> io::Result<Arc<Queue<Chunk>>> {
    let queue = Queue::new();
    let jobs = Arc::clone(&queue);
    if synced {
        let (files, written) = (work.handles()?, Queue::new());
        let (input, outcomes) = (Arc::clone(&written), Arc::clone(outcomes));
        spawn("syncer", move || sync_all(&files, &input, &outcomes))?;
        spawn("worker", move || write_all(work, &jobs, |done| written.append(done)))?;
    } else {
        let outcomes = Arc::clone(outcomes);
        spawn("worker", move || write_all(work, &jobs, |done| outcomes.append(done)))?;
    }
    Ok(queue)
}

/// Works off the queue, and passes on together what it found there together.
fn write_all(
    mut work: Work,
    jobs: &Queue<Chunk>,
    mut pass_on: impl FnMut(&mut Vec<Chunk>),
) -> io::Result<()> {
    let mut group = Vec::new();
    loop {
        jobs.take(&mut group);
        for chunk in &group {
            work.run(chunk)?;
        }
        pass_on(&mut group);
    }
}

/// One sync covers everything written before it.
fn sync_all(
    files: &[OwnedFd],
    written: &Queue<Chunk>,
    outcomes: &Outcomes<Chunk>,
) -> io::Result<()> {
    let mut group = Vec::new();
    loop {
        written.take(&mut group);
        files.iter().try_for_each(rustix::fs::fdatasync)?;
        outcomes.append(&mut group);
    }
}

/// A thread that ends has failed, and the floor with it.
fn spawn(name: &str, run: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    let body = move || {
        if let Err(error) = run() {
            let _ =
                io::Write::write_fmt(&mut io::stderr(), format_args!("chronik-bench: {error}\n"));
        }
        std::process::exit(1)
    };
    thread::Builder::new().name(name.to_owned()).spawn(body).map(|_| ())
}
