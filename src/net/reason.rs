//! Why a connection ended, in words fit for the one log line about it.

use std::fmt;
use std::io;

use rustix::io::Errno;

/// Why a connection was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer sent its FIN, and everything before it was served.
    EndOfInput,
    /// The peer reset the connection, or vanished.
    Reset,
    /// Nothing was said for the idle timeout.
    Idle,
    /// A frame stood half read for too long.
    HalfFrame,
    /// The peer took none of the bytes waiting for it for too long.
    StuckOutbox,
    /// The replies that wait for their readers take too much memory, and this peer's take most of it.
    OutboxesFull,
    /// A frame announced a length of zero.
    ZeroLength,
    /// A frame announced this negative length.
    NegativeLength(i32),
    /// A frame announced more bytes than allowed.
    TooLarge {
        /// The announced length in bytes.
        bytes: usize,
        /// The largest length allowed on this connection.
        bytes_max: usize,
    },
    /// The first bytes of a frame are an HTTP request line.
    HttpRequest,
    /// The first bytes of a frame are a TLS handshake.
    TlsHello,
    /// The total number of connections has reached this limit.
    TooManyConnections(usize),
    /// The number of connections of the peer's address has reached this limit.
    TooManyFromAddress(usize),
    /// A file on its way out could not be read.
    File(String),
    /// The operating system failed a call on the socket.
    Socket(io::ErrorKind),
    /// The server shuts down.
    Shutdown,
    /// The server's own reason.
    Server(String),
}

impl CloseReason {
    /// Whether the peer left in an orderly way, so that nothing needs to be logged.
    #[must_use]
    pub fn is_orderly(&self) -> bool {
        matches!(self, CloseReason::EndOfInput | CloseReason::Idle | CloseReason::Shutdown)
    }

    /// Whether what the peer sent cannot be a frame.
    #[must_use]
    pub fn is_no_frame(&self) -> bool {
        matches!(
            self,
            CloseReason::ZeroLength
                | CloseReason::NegativeLength(_)
                | CloseReason::TooLarge { .. }
                | CloseReason::HttpRequest
                | CloseReason::TlsHello
        )
    }

    /// What a failed call on a socket says about the peer.
    pub(super) fn of_socket(error: &io::Error) -> CloseReason {
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::WriteZero => CloseReason::Reset,
            kind => CloseReason::Socket(kind),
        }
    }

    /// What a failed call says that sends a file: the socket's errors and those of the file's disk come the same way.
    pub(super) fn of_sent_file(error: &io::Error) -> CloseReason {
        if error.raw_os_error() == Some(Errno::IO.raw_os_error()) {
            return CloseReason::File(error.to_string());
        }
        CloseReason::of_socket(error)
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::EndOfInput => f.write_str("the client closed it"),
            CloseReason::Reset => f.write_str("the client reset it"),
            CloseReason::Idle => f.write_str("idle for too long"),
            CloseReason::HalfFrame => f.write_str("a request stopped arriving half way"),
            CloseReason::StuckOutbox => f.write_str("the client does not read its replies"),
            CloseReason::OutboxesFull => {
                f.write_str("replies that nobody reads take too much memory, and its own the most")
            }
            CloseReason::ZeroLength => f.write_str("not a request: it announces zero bytes"),
            CloseReason::NegativeLength(bytes) => {
                write!(f, "not a request: it announces a negative length ({bytes})")
            }
            CloseReason::TooLarge { bytes, bytes_max } => {
                write!(f, "a request of {bytes} bytes is announced, {bytes_max} are allowed")
            }
            CloseReason::HttpRequest => f.write_str("an HTTP request on a port that is not HTTP"),
            CloseReason::TlsHello => f.write_str("a TLS handshake on a port without TLS"),
            CloseReason::TooManyConnections(limit) => {
                write!(f, "the limit of {limit} connections is reached")
            }
            CloseReason::TooManyFromAddress(limit) => {
                write!(f, "the limit of {limit} connections from one address is reached")
            }
            CloseReason::File(error) => write!(f, "a file could not be sent: {error}"),
            CloseReason::Socket(kind) => write!(f, "the socket failed: {kind}"),
            CloseReason::Shutdown => f.write_str("the server shuts down"),
            CloseReason::Server(reason) => f.write_str(reason),
        }
    }
}
