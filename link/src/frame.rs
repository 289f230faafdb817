//! Frames: `length [4, big endian] ‖ payload`. A length over the limit ends the connection before anything is allocated for it.

use bytes::{Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Memory that is taken for a frame before any of it has come.
const READ_AHEAD_BYTES: usize = 256 << 10;

/// A frame was longer than its reader takes.
#[derive(Debug, thiserror::Error)]
#[error("a frame of {0} bytes")]
pub struct TooLong(pub u64);

/// Reads a frame of at most `bytes_max`; nothing if the peer closed before its first byte. Memory grows with what has come, not with what
/// was announced.
pub async fn read_frame(input: &mut (impl AsyncRead + Unpin), bytes_max: usize) -> io::Result<Option<Bytes>> {
    let mut length = [0; 4];
    if input.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    input.read_exact(&mut length[1..]).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, TooLong(length as u64)));
    }
    let mut frame = BytesMut::new();
    while frame.len() < length {
        let (have, next) = (frame.len(), (length - frame.len()).min(READ_AHEAD_BYTES.max(frame.len())));
        frame.resize(have + next, 0);
        input.read_exact(&mut frame[have..]).await?;
    }
    Ok(Some(frame.freeze()))
}

/// Writes a frame, without flushing.
pub async fn write_frame(output: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    output.write_all(&length.to_be_bytes()).await?;
    output.write_all(frame).await
}
