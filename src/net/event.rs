//! What the reactor has to tell the server; taken once a turn, never called back.

use std::io;
use std::net::SocketAddr;

use super::options::Protocol;
use super::reason::CloseReason;
use crate::base::ids::ConnId;
use crate::base::payload::FileRange;

/// Something that happened to a connection or a listener.
#[derive(Debug)]
pub enum NetEvent {
    /// A connection was accepted and kept. It comes before every other event of that connection.
    Opened {
        /// The connection.
        conn: ConnId,
        /// The peer's address.
        peer: SocketAddr,
        /// The address that the peer reached.
        local: SocketAddr,
        /// What its listener speaks.
        protocol: Protocol,
    },
    /// A connection was closed as soon as it was accepted. It never had an id.
    Refused {
        /// The peer's address.
        peer: SocketAddr,
        /// The limit it met.
        reason: CloseReason,
    },
    /// The peer's FIN was seen: nobody will send more, so what is parked for it may end at once. Frames
    /// sent before the FIN may still come.
    InputEnded {
        /// The connection.
        conn: ConnId,
    },
    /// After [`NetEvent::InputEnded`]: the last frame has been handed out. When the replies owed are sent
    /// the server says `close_when_flushed`.
    InputDrained {
        /// The connection.
        conn: ConnId,
    },
    /// The bytes to be sent next are not in memory: somebody who may wait for the disk reads them and
    /// hands them to `warmed`.
    Cold {
        /// The connection.
        conn: ConnId,
        /// What to read, at most 256 KiB.
        range: FileRange,
    },
    /// The outbox was too full and has drained to half its limit.
    OutboxDrained {
        /// The connection.
        conn: ConnId,
    },
    /// A connection has gone. It is the last event of that connection, and it comes exactly once.
    Closed {
        /// The connection.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
    },
    /// Accepting rests because of this error, until descriptors return or a second has passed.
    AcceptPaused {
        /// What `accept` said.
        error: io::Error,
    },
    /// Clients wait because there are no descriptors for them, until there are more places or a second has passed.
    PlacesWanted,
}
