//! The way in: listeners, the limits on who is kept, and what to do when descriptors run out.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Token};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::connection::Connection;
use super::event::NetEvent;
use super::inbox::Inbox;
use super::options::{Options, Protocol};
use super::reactor::{DueKey, FIRST_CONNECTION_TOKEN, Reactor};
use super::reason::CloseReason;
use crate::base::time::Mono;

/// Connections waiting in the kernel for `accept`.
const BACKLOG: i32 = 1024;
/// Connections taken from one listener in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// Connections beyond the limits that only HTTP listeners accept.
const SPARE_FOR_HTTP: usize = 16;

/// Listeners, and how many connections each address has.
#[derive(Default)]
pub(super) struct Acceptor {
    pub(super) listeners: Vec<Listener>,
    pub(super) by_address: BTreeMap<IpAddr, usize>,
    /// Descriptors or kernel memory have run out: nothing is accepted until something is given back.
    pub(super) paused: bool,
    /// For how many connections there are descriptors now. `None`: the kernel says so.
    places: Option<usize>,
    /// Clients wait for there to be more.
    pub(super) wants_places: bool,
}

/// A listening socket.
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    pub(super) protocol: Protocol,
    /// Whether connections may be waiting.
    pub(super) ready: bool,
}

/// What `accept` said.
enum Accepted {
    Stream(TcpStream, SocketAddr),
    /// Nobody waits.
    Nobody,
    /// That one has gone already; there may be another.
    Gone,
    /// It will not work until something is given back.
    Exhausted(io::Error),
}

impl Acceptor {
    /// Whether a turn would accept somebody.
    pub(super) fn is_runnable(&self) -> bool {
        let may_accept =
            |listener: &Listener| listener.protocol == Protocol::Http || !self.wants_places;
        !self.paused && self.listeners.iter().any(|listener| listener.ready && may_accept(listener))
    }

    /// Counts a connection that has gone.
    pub(super) fn forget(&mut self, peer: SocketAddr) {
        let address = peer.ip().to_canonical();
        if let Some(count) = self.by_address.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }

    /// Whether clients that come have to wait for descriptors. Beyond the limit of connections they are refused instead.
    fn lacks_places(&self, open: usize, options: &Options) -> bool {
        self.places.is_some_and(|places| open >= places) && open < options.connections_max
    }

    /// The limit that stands in the way of another connection of `peer`.
    fn limit_reached(&self, peer: SocketAddr, open: usize, limits: &Limits) -> Option<CloseReason> {
        if open >= limits.connections_max {
            return Some(CloseReason::TooManyConnections(limits.connections_max));
        }
        let of_address = self.by_address.get(&peer.ip().to_canonical()).copied().unwrap_or(0);
        let limit = limits.per_address_max;
        (of_address >= limit).then_some(CloseReason::TooManyFromAddress(limit))
    }
}

/// How many connections there may be when another one is accepted.
struct Limits {
    connections_max: usize,
    per_address_max: usize,
}

impl Limits {
    /// A health check gets in when all other places are taken.
    fn new(options: &Options, protocol: Protocol) -> Limits {
        let spare = match protocol {
            Protocol::Frames => 0,
            Protocol::Http => SPARE_FOR_HTTP,
        };
        Limits {
            connections_max: options.connections_max.saturating_add(spare),
            per_address_max: options.connections_per_address_max.saturating_add(spare),
        }
    }
}

impl Reactor {
    /// Opens a listening socket; port 0 asks for any free one. Returns the address it has got.
    ///
    /// # Errors
    /// What the operating system says, above all `AddrInUse`.
    pub fn listen(&mut self, address: SocketAddr, protocol: Protocol) -> io::Result<SocketAddr> {
        let mut socket = TcpListener::from_std(bind(address)?.into());
        let bound = socket.local_addr()?;
        let index = self.acceptor.listeners.len();
        let token = self.listener_token(index)?;
        self.poll.registry().register(&mut socket, token, Interest::READABLE)?;
        self.acceptor.listeners.push(Listener { socket, protocol, ready: false });
        Ok(bound)
    }

    /// Closes every listening socket; open connections stay.
    pub fn stop_accepting(&mut self) {
        for mut listener in self.acceptor.listeners.drain(..) {
            // A socket that is closed leaves the poll by itself.
            let _ = self.poll.registry().deregister(&mut listener.socket);
        }
        self.acceptor.paused = false;
        self.want_places_no_more();
    }

    /// Tells that descriptors were closed elsewhere, so that accepting may work again.
    pub fn descriptors_returned(&mut self) {
        if self.acceptor.paused {
            self.acceptor.paused = false;
            if !self.acceptor.wants_places {
                self.deadlines.remove(DueKey::Accept);
            }
        }
        self.look_for_places();
    }

    /// Says for how many connections there are descriptors now. Clients that come when there are as many wait and are not
    /// refused; HTTP has some places of its own.
    pub fn set_places(&mut self, connections: usize) {
        self.acceptor.places = Some(connections);
        self.look_for_places();
    }

    fn look_for_places(&mut self) {
        let lacks_places = self.acceptor.lacks_places(self.connections.len(), &self.options);
        if self.acceptor.wants_places && !lacks_places {
            self.want_places_no_more();
        }
    }

    /// From now on clients are accepted again, or it is found out anew that they have to wait.
    pub(super) fn want_places_no_more(&mut self) {
        self.acceptor.wants_places = false;
        if !self.acceptor.paused {
            self.deadlines.remove(DueKey::Accept);
        }
    }

    /// Clients wait until there are more places, or look again when accepting has rested for as long as it ever does.
    fn want_places(&mut self, now: Mono) {
        if !std::mem::replace(&mut self.acceptor.wants_places, true) {
            self.deadlines.set(DueKey::Accept, now + self.options.accept_pause);
            self.events.push_back(NetEvent::PlacesWanted);
        }
    }

    /// Accepts those who wait, a bounded number in a turn.
    pub fn accept(&mut self, now: Mono) {
        for index in 0..self.acceptor.listeners.len() {
            for _ in 0..ACCEPTS_PER_TURN {
                if self.acceptor.paused || !self.accept_one(index, now) {
                    break;
                }
            }
        }
    }

    /// Accepts one connection of a listener. Whether there may be another.
    fn accept_one(&mut self, index: usize, now: Mono) -> bool {
        let lacks_places = self.acceptor.lacks_places(self.connections.len(), &self.options);
        let Some(listener) = self.acceptor.listeners.get_mut(index).filter(|l| l.ready) else {
            return false;
        };
        let protocol = listener.protocol;
        if protocol == Protocol::Frames && lacks_places {
            self.want_places(now);
            return false;
        }
        match accept(&listener.socket) {
            Accepted::Stream(stream, peer) => self.admit(stream, peer, protocol, now),
            Accepted::Gone => {}
            Accepted::Nobody => {
                listener.ready = false;
                return false;
            }
            Accepted::Exhausted(error) => {
                self.acceptor.paused = true;
                self.stats.accept_pauses += 1;
                self.deadlines.set(DueKey::Accept, now + self.options.accept_pause);
                self.events.push_back(NetEvent::AcceptPaused { error });
                return false;
            }
        }
        true
    }

    /// Keeps an accepted connection, or closes it because of a limit.
    fn admit(&mut self, mut stream: TcpStream, peer: SocketAddr, protocol: Protocol, now: Mono) {
        let limits = Limits::new(&self.options, protocol);
        let refused = self.acceptor.limit_reached(peer, self.connections.len(), &limits);
        let refused = refused.or_else(|| self.prepare(&mut stream).err());
        if let Some(reason) = refused {
            self.stats.refused += 1;
            self.events.push_back(NetEvent::Refused { peer, reason });
            return;
        }
        let conn = self.connections.vacant_id();
        let local = stream.local_addr().unwrap_or(peer);
        let inbox = Inbox::new(protocol, self.frame_bytes_max);
        let mut connection = Connection::new(conn, stream, peer, inbox);
        connection.active = now;
        self.connections.insert(connection);
        *self.acceptor.by_address.entry(peer.ip().to_canonical()).or_insert(0) += 1;
        self.stats.accepted += 1;
        self.idle.set(conn, now + self.options.idle_timeout);
        self.events.push_back(NetEvent::Opened { conn, peer, local, protocol });
        self.wake(conn);
    }

    /// Sets the options of a new socket and puts it into the poll, at the place it will have.
    fn prepare(&mut self, stream: &mut TcpStream) -> Result<(), CloseReason> {
        let token = Token(FIRST_CONNECTION_TOKEN + self.connections.vacant_id().slot);
        let interest = Interest::READABLE | Interest::WRITABLE;
        // A peer that has reset meanwhile may make these fail; the read that follows says so better.
        let _ = stream.set_nodelay(true);
        let _ = sockopt::set_socket_keepalive(&*stream, true);
        let registered = self.poll.registry().register(stream, token, interest);
        registered.map_err(|error| CloseReason::Socket(error.kind()))
    }
}

/// A listening socket that takes its port over from connections of a former process.
fn bind(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Accepts, and sorts what may go wrong by what to do about it.
fn accept(listener: &TcpListener) -> Accepted {
    match listener.accept() {
        Ok((stream, peer)) => Accepted::Stream(stream, peer),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Accepted::Nobody,
        Err(error) if is_of_the_peer(&error) => Accepted::Gone,
        Err(error) => Accepted::Exhausted(error),
    }
}

/// Whether an error of `accept` concerns one connection alone: Linux passes on what already happened to it.
fn is_of_the_peer(error: &io::Error) -> bool {
    const OF_THE_PEER: [Errno; 9] = [
        Errno::CONNABORTED,
        Errno::INTR,
        Errno::PROTO,
        Errno::PERM,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NOPROTOOPT,
    ];
    Errno::from_io_error(error).is_some_and(|errno| OF_THE_PEER.contains(&errno))
}
