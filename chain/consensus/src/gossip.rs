//! Transactions that were submitted to this member, on their way to the others.

use crate::{
    mesh::Channel,
    serve::ANSWER_BYTES_MAX,
    wire::{Message, TRANSACTIONS_PER_MESSAGE},
};

/// In messages that the others take, to those that are connected.
pub fn tell(channel: &Channel, transactions: Vec<Vec<u8>>) {
    let (mut part, mut bytes) = (Vec::new(), 0);
    let connected = channel.connected();
    for transaction in transactions {
        bytes += transaction.len();
        part.push(transaction);
        if bytes >= ANSWER_BYTES_MAX || part.len() >= TRANSACTIONS_PER_MESSAGE {
            channel.gossip(&connected, &Message::Transactions(std::mem::take(&mut part)));
            bytes = 0;
        }
    }
    if !part.is_empty() {
        channel.gossip(&connected, &Message::Transactions(part));
    }
}
