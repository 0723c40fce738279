//! What the server decides about sockets: limits, timeouts and memory, in one block; and what it may read
//! back as metrics.

use std::sync::Arc;
use std::time::Duration;

use crate::base::memory::Pool;
use crate::base::spares::Spares;

/// How much the buffers that nobody uses may take, unless the server says otherwise.
const SPARE_BYTES: usize = 4 * 1024 * 1024;

/// What the peers of a listener speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A signed 32-bit big-endian length, then as many bytes: `next_frame`.
    Frames,
    /// Text of unknown extent: `input` and `consume`.
    Http,
}

/// Limits and budgets of a [`Reactor`](super::Reactor).
#[derive(Clone, Debug)]
pub struct Options {
    /// Open connections in total; one more is closed as soon as it is accepted. HTTP listeners accept a few
    /// beyond both limits, so that health can be asked for when clients have taken every place.
    pub connections_max: usize,
    /// Open connections of one IP address.
    pub connections_per_address_max: usize,
    /// The largest frame in bytes; never more than the pool of large frames holds.
    pub frame_bytes_max: usize,
    /// Unsent bytes of one connection above which no further frame of it is served.
    pub outbox_bytes_max: usize,
    /// Unsent bytes in memory of all connections together. Beyond it the largest outbox is closed.
    pub outboxes_bytes_max: usize,
    /// How long a connection may say nothing while nothing is owed to it.
    pub idle_timeout: Duration,
    /// How long a frame may stand half read. Within it something must arrive, and from the second such
    /// span on a kibibyte for each second.
    pub half_frame_timeout: Duration,
    /// How long unsent bytes may wait without one of them being taken.
    pub stuck_timeout: Duration,
    /// How long the last reply is protected from the reset that unread input would cause.
    pub linger_timeout: Duration,
    /// How long accepting rests when descriptors have run out and nobody reports one returned.
    pub accept_pause: Duration,
    /// Memory of frames up to [`Options::SMALL_FRAME_BYTES`].
    pub small_frames: Arc<Pool>,
    /// Memory of larger frames.
    pub large_frames: Arc<Pool>,
    /// Where the buffers of frames wait for the next ones.
    pub spares: Arc<Spares>,
}

impl Options {
    /// Frames up to this many bytes are small: they never wait behind large ones.
    pub const SMALL_FRAME_BYTES: usize = 64 * 1024;
    /// How many frames of a connection the server should take in one turn.
    pub const FRAMES_PER_TURN: usize = 32;

    /// The largest frame in bytes for which there can be memory.
    pub(super) fn largest_frame(&self) -> usize {
        self.large_frames.limit().max(Options::SMALL_FRAME_BYTES)
    }

    /// The usual limits, with these two pools.
    #[must_use]
    pub fn new(small_frames: Arc<Pool>, large_frames: Arc<Pool>) -> Options {
        Options {
            connections_max: 10_000,
            connections_per_address_max: 1_000,
            frame_bytes_max: 16 * 1024 * 1024,
            outbox_bytes_max: 1024 * 1024,
            outboxes_bytes_max: 32 * 1024 * 1024,
            idle_timeout: Duration::from_secs(600),
            half_frame_timeout: Duration::from_secs(30),
            stuck_timeout: Duration::from_secs(30),
            linger_timeout: Duration::from_secs(2),
            accept_pause: Duration::from_secs(1),
            small_frames,
            large_frames,
            spares: Spares::new(SPARE_BYTES),
        }
    }
}

/// Counters since the start, and gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections open now.
    pub open: usize,
    /// Connections accepted and kept.
    pub accepted: u64,
    /// Connections closed as soon as they were accepted, for a limit or for want of resources.
    pub refused: u64,
    /// Connections that were open and are not any more.
    pub closed: u64,
    /// How often accepting paused because descriptors or kernel memory had run out.
    pub accept_pauses: u64,
    /// Frames handed to the server.
    pub frames: u64,
    /// Bytes read from sockets of [`Protocol::Frames`].
    pub bytes_in: u64,
    /// Bytes written to sockets of [`Protocol::Frames`].
    pub bytes_out: u64,
    /// Bytes that the kernel sent from a file by itself.
    pub bytes_uncopied: u64,
    /// How often a frame pool refused and a connection had to wait.
    pub memory_waits: u64,
    /// How often a range of a file was not in memory.
    pub cold_reads: u64,
    /// How often `poll` returned.
    pub turns: u64,
}
