//! What a protocol asks of the transport.

use crate::Party;
use bytes::Bytes;

/// Largest frame that is ever sent; a transport refuses longer ones before it allocates for them.
pub const FRAME_BYTES_MAX: usize = crate::link::FRAME_HEADER_BYTES + crate::link::FRAME_PAYLOAD_BYTES_MAX;

/// Ordered, reliable frames to and from each of the two other parties. Whoever implements it authenticates the peer and encrypts, bounds
/// its buffers, and applies the job's deadline: a protocol waits for as long as `receive` does.
#[async_trait::async_trait]
pub trait Channel: Send + Sync {
    /// Hands a frame of at most [`FRAME_BYTES_MAX`] to the transport; waits while its buffer is full.
    async fn send(&self, to: Party, frame: Bytes) -> Result<(), ChannelError>;
    /// The next frame from that party.
    async fn receive(&self, from: Party) -> Result<Bytes, ChannelError>;
}

/// Why a frame did not get through.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The other side went away, or this side was closed.
    #[error("the connection to party {peer} is closed")]
    Closed {
        /// The other side.
        peer: Party,
    },
    /// A frame over the limit.
    #[error("a frame of {bytes} bytes exceeds the limit, party {peer}")]
    TooLong {
        /// The other side.
        peer: Party,
        /// Its announced length.
        bytes: u64,
    },
    /// There is no channel to oneself.
    #[error("party {peer} is this party itself")]
    NotAPeer {
        /// Ourselves.
        peer: Party,
    },
    /// The transport failed.
    #[error("the transport to party {peer} failed")]
    Failed {
        /// The other side.
        peer: Party,
        /// What the transport says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
