//! Frames: `length [4, big endian] ‖ payload`. A length over the limit ends the connection before anything is allocated for it.

use bytes::{Bytes, BytesMut};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

/// Memory that is taken for a frame before any of it has come.
const READ_AHEAD_BYTES: usize = 256 << 10;

/// A frame was longer than its reader takes.
#[derive(Debug, thiserror::Error)]
#[error("a frame of {0} bytes")]
pub struct TooLong(pub u64);

/// Bytes that are written at a time, where each has to be taken within a time.
const WRITE_BYTES: usize = 64 << 10;

/// Reads a frame of at most `bytes_max`; nothing if the peer closed before its first byte. Memory grows with what has come, not with what
/// was announced.
pub async fn read_frame(input: &mut (impl AsyncRead + Unpin), bytes_max: usize) -> io::Result<Option<Bytes>> {
    read_frame_within(input, bytes_max, Duration::MAX).await
}

/// As [`read_frame`], from a peer that never lets us wait longer than `silent_max` for more: a long frame on a slow link may take its time.
pub async fn read_frame_within(input: &mut (impl AsyncRead + Unpin), bytes_max: usize, silent_max: Duration) -> io::Result<Option<Bytes>> {
    let mut length = [0; 4];
    if within(silent_max, input.read(&mut length[..1])).await? == 0 {
        return Ok(None);
    }
    within(silent_max, input.read_exact(&mut length[1..])).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, TooLong(length as u64)));
    }
    let (mut frame, mut have) = (BytesMut::new(), 0);
    while have < length {
        if have == frame.len() {
            frame.resize(have + (length - have).min(READ_AHEAD_BYTES.max(have)), 0);
        }
        match within(silent_max, input.read(&mut frame[have..])).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => have += more,
        }
    }
    Ok(Some(frame.freeze()))
}

/// Writes a frame, without flushing.
pub async fn write_frame(output: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    write_frame_within(output, frame, Duration::MAX).await
}

/// As [`write_frame`], to a peer that never lets us wait longer than `stuck_max` before it takes more.
pub async fn write_frame_within(output: &mut (impl AsyncWrite + Unpin), frame: &[u8], stuck_max: Duration) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    within(stuck_max, output.write_all(&length.to_be_bytes())).await?;
    for part in frame.chunks(WRITE_BYTES) {
        within(stuck_max, output.write_all(part)).await?;
    }
    Ok(())
}

async fn within<T>(time: Duration, io: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    if time == Duration::MAX {
        return io.await;
    }
    timeout(time, io).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENT_MAX: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_long_frame_on_a_slow_link_arrives_and_a_silent_peer_is_given_up() {
        let (mut near, mut far) = tokio::io::duplex(1 << 10);
        let frame = vec![7; 8 << 10];
        let sent = frame.clone();
        let sender = tokio::spawn(async move {
            near.write_all(&(sent.len() as u32).to_be_bytes()).await?;
            for part in sent.chunks(1 << 10) {
                tokio::time::sleep(SILENT_MAX / 5).await;
                near.write_all(part).await?;
            }
            near.write_all(&[0, 0]).await.map(|()| near)
        });
        let read = read_frame_within(&mut far, 1 << 20, SILENT_MAX).await.expect("slow, not silent").expect("a frame");
        assert_eq!(read, frame);
        let _open = sender.await.expect("it ended").expect("all of it was taken");
        let error = read_frame_within(&mut far, 1 << 20, SILENT_MAX).await.expect_err("half a length and then nothing");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (mut near, _far) = tokio::io::duplex(1 << 10);
        let error = write_frame_within(&mut near, &[7; 2 << 10], SILENT_MAX).await.expect_err("nobody takes it");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
