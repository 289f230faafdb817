//! One direction of the connection to one peer: cuts messages into frames, tags them with the step they belong to, hashes and counts them.
//!
//! Frame: `step index [8, big endian] ‖ payload`. A receiver always knows how long the message must be, so the length is not sent: every
//! frame but the last is full. An empty message has no frame at all.
//!
//! The two ends of a link absorb the same frames in the same order, so the digest of what i sent to j equals that of what j received from
//! i. Keeping one digest per direction and peer makes the transcript independent of how sending and receiving interleave.

use crate::{Channel, Party, ProtocolError, context::Step};
use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};

/// The step index in front of each frame.
pub(crate) const FRAME_HEADER_BYTES: usize = 8;
/// Longest payload of a frame; a multiple of the size of a word and of a point.
pub(crate) const FRAME_PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// Digest and counters of one direction.
#[derive(Clone, Default)]
pub(crate) struct Record {
    hasher: Sha256,
    pub payload_bytes: u64,
    pub frames: u64,
}

impl Record {
    fn absorb(&mut self, frame: &[u8]) {
        self.hasher.update((frame.len() as u64).to_be_bytes());
        self.hasher.update(frame);
        self.payload_bytes += (frame.len() - FRAME_HEADER_BYTES) as u64;
        self.frames += 1;
    }

    pub fn digest(&self) -> [u8; 32] {
        self.hasher.clone().finalize().into()
    }
}

/// To one peer.
pub(crate) struct Outbound {
    pub peer: Party,
    pub record: Record,
}

impl Outbound {
    pub fn new(peer: Party) -> Self {
        Self { peer, record: Record::default() }
    }

    pub async fn send_bytes(&mut self, channel: &dyn Channel, step: Step, payload: &[u8]) -> Result<(), ProtocolError> {
        for part in payload.chunks(FRAME_PAYLOAD_BYTES_MAX) {
            let mut frame = begin(step, part.len());
            frame.put_slice(part);
            self.send_frame(channel, frame.freeze()).await?;
        }
        Ok(())
    }

    pub async fn send_words(&mut self, channel: &dyn Channel, step: Step, words: &[u64]) -> Result<(), ProtocolError> {
        for part in words.chunks(FRAME_PAYLOAD_BYTES_MAX / 8) {
            let mut frame = begin(step, part.len() * 8);
            frame.resize(FRAME_HEADER_BYTES + part.len() * 8, 0);
            let (places, _) = frame[FRAME_HEADER_BYTES..].as_chunks_mut::<8>();
            places.iter_mut().zip(part).for_each(|(place, word)| *place = word.to_le_bytes());
            self.send_frame(channel, frame.freeze()).await?;
        }
        Ok(())
    }

    async fn send_frame(&mut self, channel: &dyn Channel, frame: Bytes) -> Result<(), ProtocolError> {
        self.record.absorb(&frame);
        Ok(channel.send(self.peer, frame).await?)
    }
}

fn begin(step: Step, payload_bytes: usize) -> BytesMut {
    let mut frame = BytesMut::with_capacity(FRAME_HEADER_BYTES + payload_bytes);
    frame.put_u64(step.index);
    frame
}

/// From one peer.
pub(crate) struct Inbound {
    pub peer: Party,
    pub record: Record,
}

impl Inbound {
    pub fn new(peer: Party) -> Self {
        Self { peer, record: Record::default() }
    }

    /// A message of exactly `expected` bytes.
    pub async fn receive_bytes(&mut self, channel: &dyn Channel, step: Step, expected: usize) -> Result<Vec<u8>, ProtocolError> {
        let mut message = Vec::with_capacity(expected);
        while message.len() < expected {
            let due = (expected - message.len()).min(FRAME_PAYLOAD_BYTES_MAX);
            message.extend_from_slice(&self.receive_frame(channel, step, due).await?[FRAME_HEADER_BYTES..]);
        }
        Ok(message)
    }

    /// A message of exactly `expected` words.
    pub async fn receive_words(&mut self, channel: &dyn Channel, step: Step, expected: usize) -> Result<Vec<u64>, ProtocolError> {
        let mut message = Vec::with_capacity(expected);
        while message.len() < expected {
            let due = (expected - message.len()).min(FRAME_PAYLOAD_BYTES_MAX / 8);
            let frame = self.receive_frame(channel, step, due * 8).await?;
            let (words, _) = frame[FRAME_HEADER_BYTES..].as_chunks::<8>();
            message.extend(words.iter().map(|word| u64::from_le_bytes(*word)));
        }
        Ok(message)
    }

    /// A frame whose step and length are the ones that are due.
    async fn receive_frame(&mut self, channel: &dyn Channel, step: Step, due: usize) -> Result<Bytes, ProtocolError> {
        let frame = channel.receive(self.peer).await?;
        let Some((header, payload)) = frame.split_first_chunk::<FRAME_HEADER_BYTES>() else {
            return Err(ProtocolError::FrameTooShort { from: self.peer });
        };
        let found = u64::from_be_bytes(*header);
        if found != step.index {
            return Err(ProtocolError::WrongStep { from: self.peer, step: step.name, expected: step.index, found });
        }
        if payload.len() != due {
            return Err(ProtocolError::WrongLength { from: self.peer, step: step.name, expected: due, found: payload.len() });
        }
        self.record.absorb(&frame);
        Ok(frame)
    }
}
