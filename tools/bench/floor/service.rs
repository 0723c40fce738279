//! What a floor does with frames: the one place where floors differ.

use std::io;
use std::sync::Arc;

use super::Settings;
use super::chunk::{Chunk, Pool};
use super::connection::Connection;
use super::file::{Target, filled};
use super::queue::{Outcomes, Queue, Waker};
use super::reply::Reply;
use super::sender::{Sender, Way};
use super::worker::{self, Work};

/// A floor's own part.
pub(super) enum Service {
    /// The thread of the sockets does it.
    Here { work: Work, reply: Reply, synced: bool, dirty: bool },
    /// Other threads do it.
    Workers { workers: Vec<Worker>, reply: Reply, outcomes: Arc<Outcomes<Chunk>> },
    /// Replies are made of a file.
    Send(Sender),
}

/// A worker, as the thread of the sockets sees it.
pub(super) struct Worker {
    queue: Arc<Queue<Chunk>>,
    /// What it gets at the end of the turn.
    next: Vec<Chunk>,
}

impl Service {
    /// The floor called `name`, if there is one.
    pub(super) fn named(
        name: &str,
        settings: &Settings,
        waker: &Waker,
    ) -> io::Result<Option<Service>> {
        let service = match name {
            "discard" => Service::here(Work::nothing(), false),
            "write" => Service::here(settings.writing(0)?, false),
            "sync" => Service::here(settings.writing(0)?, true),
            "echo-worker" => Service::workers(settings, waker, false, |_| Ok(Work::nothing()))?,
            "write-worker" => {
                Service::workers(settings, waker, false, |index| settings.writing(index))?
            }
            "sync-worker" => {
                Service::workers(settings, waker, true, |index| settings.writing(index))?
            }
            "send-sendfile" => Service::sending(settings, Way::Sendfile)?,
            "send-read-write" => Service::sending(settings, Way::ReadWrite)?,
            _ => return Ok(None),
        };
        Ok(Some(service))
    }

    fn here(work: Work, synced: bool) -> Service {
        Service::Here { work, reply: Reply::produce(), synced, dirty: false }
    }

    fn workers(
        settings: &Settings,
        waker: &Waker,
        synced: bool,
        work: impl Fn(usize) -> io::Result<Work>,
    ) -> io::Result<Service> {
        let outcomes = Outcomes::new(waker);
        let worker = |index| {
            let queue = worker::start(work(index)?, synced, &outcomes)?;
            Ok(Worker { queue, next: Vec::new() })
        };
        let workers = (0..settings.workers).map(worker).collect::<io::Result<_>>()?;
        Ok(Service::Workers { workers, reply: Reply::produce(), outcomes })
    }

    fn sending(settings: &Settings, way: Way) -> io::Result<Service> {
        let bytes =
            settings.file_bytes.max(u64::try_from(settings.reply_bytes).unwrap_or_default());
        let file = filled(&settings.dir.join("floor-0"), bytes)?;
        Ok(Service::Send(Sender::new(way, file, bytes, settings.reply_bytes)))
    }

    /// Takes whole frames of `connection`.
    pub(super) fn take(
        &mut self,
        chunk: Chunk,
        connection: &mut Connection,
        pool: &mut Pool,
    ) -> io::Result<()> {
        match self {
            Service::Here { work, reply, dirty, .. } => {
                work.run(&chunk)?;
                *dirty = true;
                connection.answer(&chunk, reply);
                pool.put(chunk);
            }
            Service::Workers { workers, .. } => {
                let index = connection.id.place % workers.len().max(1);
                if let Some(worker) = workers.get_mut(index) {
                    worker.next.push(chunk);
                }
            }
            Service::Send(_) => {
                connection.sending.requests.extend(chunk.correlations());
                pool.put(chunk);
            }
        }
        Ok(())
    }

    /// Ends the taking of a turn: after it, replies may leave.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        match self {
            Service::Here { work, synced, dirty, .. } => {
                if std::mem::take(dirty) && *synced {
                    work.sync()?;
                }
            }
            Service::Workers { workers, .. } => {
                for worker in workers.iter_mut().filter(|worker| !worker.next.is_empty()) {
                    worker.queue.append(&mut worker.next);
                }
            }
            Service::Send(_) => {}
        }
        Ok(())
    }

    /// Moves what workers have done to `done`.
    pub(super) fn outcomes(&self, done: &mut Vec<Chunk>) {
        if let Service::Workers { outcomes, .. } = self {
            outcomes.take(done);
        }
    }

    /// Puts replies to what workers have done into the outbox of `connection`.
    pub(super) fn answer(&self, chunk: &Chunk, connection: &mut Connection) {
        if let Service::Workers { reply, .. } = self {
            connection.answer(chunk, reply);
        }
    }

    /// Lets `connection` send what it can.
    pub(super) fn flush(&mut self, connection: &mut Connection) -> io::Result<()> {
        match self {
            Service::Send(sender) => connection.send(sender),
            _ => connection.flush(),
        }
    }
}

impl Settings {
    fn writing(&self, index: usize) -> io::Result<Work> {
        let path = self.dir.join(format!("floor-{index}"));
        Ok(Work::write(Target::create(&path, self.files, self.medium, self.file_bytes)?))
    }
}
