//! The thread of the sockets: one edge-triggered epoll for all of them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slab::Slab;

use super::chunk::{Chunk, Pool};
use super::connection::{Connection, Id, TURN_BYTES};
use super::queue::Waker;
use super::service::Service;

/// Events that are taken at once.
const EVENTS_MAX: usize = 1024;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// What stands in an event in place of a connection's place.
const LISTENER: u64 = u64::MAX;
const WAKER: u64 = u64::MAX - 1;

/// A floor.
pub(super) struct Server {
    epoll: OwnedFd,
    listener: TcpListener,
    connections: Slab<Connection>,
    accepted: u64,
    /// Places of connections that have something to do.
    run: Vec<usize>,
    /// Places of connections of this turn.
    turn: Vec<usize>,
    events: Vec<Event>,
    done: Vec<Chunk>,
    pool: Pool,
    service: Service,
}

impl Server {
    pub(super) fn bind(service: Service, waker: &Waker) -> io::Result<Server> {
        raise_descriptors()?;
        let listener = listen()?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        epoll::add(&epoll, waker, EventData::new_u64(WAKER), EventFlags::IN | EventFlags::ET)?;
        Ok(Server {
            epoll,
            listener,
            connections: Slab::new(),
            accepted: 0,
            run: Vec::new(),
            turn: Vec::new(),
            events: Vec::with_capacity(EVENTS_MAX),
            done: Vec::new(),
            pool: Pool::default(),
            service,
        })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Waits, if nothing is to be done; then receives, works and replies.
    pub(super) fn turn(&mut self) -> io::Result<()> {
        self.wait()?;
        std::mem::swap(&mut self.run, &mut self.turn);
        for index in 0..self.turn.len() {
            if let Some(place) = self.turn.get(index).copied() {
                self.receive(place)?;
            }
        }
        self.service.settle()?;
        for index in 0..self.turn.len() {
            if let Some(place) = self.turn.get(index).copied() {
                self.flush(place);
            }
        }
        self.turn.clear();
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timeout = if self.run.is_empty() { None } else { Some(&zero) };
        let mut events = std::mem::take(&mut self.events);
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            match event.data.u64() {
                LISTENER => self.accept()?,
                WAKER => self.answer(),
                place => self.note(place, event.flags),
            }
        }
        self.events = events;
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let entry = self.connections.vacant_entry();
            let data = EventData::new_u64(u64::try_from(entry.key()).unwrap_or(WAKER));
            epoll::add(
                &self.epoll,
                &stream,
                data,
                EventFlags::IN | EventFlags::OUT | EventFlags::ET,
            )?;
            self.accepted += 1;
            let id = Id { place: entry.key(), serial: self.accepted };
            entry.insert(Connection::new(id, stream));
        }
    }

    /// What workers have done is answered, if the one who asked is still there.
    fn answer(&mut self) {
        let mut done = std::mem::take(&mut self.done);
        self.service.outcomes(&mut done);
        for chunk in done.drain(..) {
            let asked = self.connections.get_mut(chunk.from.place);
            if let Some(connection) = asked.filter(|connection| connection.id == chunk.from) {
                self.service.answer(&chunk, connection);
                connection.enqueue(&mut self.run);
            }
            self.pool.put(chunk);
        }
        self.done = done;
    }

    fn note(&mut self, place: u64, flags: EventFlags) {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        if let Some(connection) = self.connections.get_mut(place) {
            connection.writable |= flags.contains(EventFlags::OUT);
            connection.readable |=
                flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR);
            connection.enqueue(&mut self.run);
        }
    }

    fn receive(&mut self, place: usize) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(place) else { return Ok(()) };
        connection.queued = false;
        let mut budget = TURN_BYTES;
        loop {
            match connection.receive(&mut self.pool, &mut budget) {
                Ok(Some(chunk)) => self.service.take(chunk, connection, &mut self.pool)?,
                Ok(None) => return Ok(()),
                Err(_) => {
                    self.connections.remove(place);
                    return Ok(());
                }
            }
        }
    }

    fn flush(&mut self, place: usize) {
        let Some(connection) = self.connections.get_mut(place) else { return };
        if self.service.flush(connection).is_err() {
            self.connections.remove(place);
        } else if connection.is_runnable() {
            connection.enqueue(&mut self.run);
        }
    }
}

/// A socket of 127.0.0.1 on which thousands may knock at once.
fn listen() -> io::Result<TcpListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// As many descriptors as this process may ask for.
fn raise_descriptors() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}
