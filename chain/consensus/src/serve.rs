//! Decided blocks for a member that lacks them.

use crate::{
    task::Archive,
    wire::{BLOCK_BYTES_MAX, BLOCKS_PER_ANSWER, Message},
};

/// Bytes of decided blocks, or of transactions, in one message; one block may be longer.
pub const ANSWER_BYTES_MAX: usize = BLOCK_BYTES_MAX / 2;

/// Those from this height on, up to the last durable one, as many as one message takes. Reads block.
pub fn blocks(archive: &dyn Archive, from: u64, to: u64) -> Message {
    let (mut blocks, mut bytes) = (Vec::new(), 0);
    for height in (from..=to).take(BLOCKS_PER_ANSWER) {
        match archive.certified(height) {
            Ok(Some((block, certificate))) => {
                bytes += block.len();
                if !blocks.is_empty() && bytes > ANSWER_BYTES_MAX {
                    break;
                }
                blocks.push((block, certificate));
            }
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(height, %error, "a decided block cannot be handed on");
                break;
            }
        }
    }
    Message::Blocks(blocks)
}
