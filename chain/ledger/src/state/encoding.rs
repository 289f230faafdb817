//! The state's encoding, for whoever stores it.

use super::{SUBMITTERS_MAX, Sequences, State};
use crate::{
    codec::{DecodeError, KnownKeys, Reader},
    contracts::members::Membership,
};
use entrepot_chain_log::Frontier;
use entrepot_chain_statement::{Did, Timestamp};
use std::collections::BTreeMap;

const VERSION: u8 = 1;

impl State {
    /// The encoding, without the submitters' numbers: there are many, and a block changes few.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&u32::try_from(self.origin.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(self.origin.as_bytes());
        out.extend_from_slice(&self.genesis.0);
        out.extend_from_slice(&self.height.to_be_bytes());
        out.extend_from_slice(&self.last_block.0);
        out.extend_from_slice(&self.time.0.to_be_bytes());
        out.extend_from_slice(&self.log_size().to_be_bytes());
        out.extend_from_slice(&self.log_root().0);
        out.extend_from_slice(&self.state_root.0);
        self.membership.write(&mut out);
        out
    }

    /// Decodes exactly one state; `sequences` are its submitters' last numbers. `load` finds the right edge of the tree of a given size,
    /// which the encoding names by its root.
    pub fn decode<E>(
        bytes: &[u8],
        sequences: BTreeMap<Did, u64>,
        load: impl FnOnce(u64) -> Result<Frontier, E>,
    ) -> Result<Self, StateError<E>> {
        let mut reader = Reader::new(bytes);
        let mut known = KnownKeys::default();
        reader.version(VERSION)?;
        let length = reader.u32()? as usize;
        let origin = String::from_utf8(reader.take(length)?.to_vec()).map_err(|_| DecodeError::Value("origin"))?;
        let genesis = reader.hash()?;
        let (height, last_block, time) = (reader.u64()?, reader.hash()?, Timestamp(reader.i64()?));
        let (size, root) = (reader.u64()?, reader.hash()?);
        let state_root = reader.hash()?;
        let membership = Membership::read(&mut reader, &mut known)?;
        reader.end()?;
        if sequences.len() > SUBMITTERS_MAX {
            return Err(DecodeError::TooMany("submitters").into());
        }
        let frontier = load(size).map_err(StateError::Frontier)?;
        if (frontier.size(), frontier.root()) != (size, root) {
            return Err(StateError::Root);
        }
        Ok(Self {
            origin: origin.into(),
            genesis,
            height,
            last_block,
            time,
            frontier,
            membership,
            sequences: Sequences::of(sequences),
            state_root,
        })
    }
}

/// Why bytes are not the state that they say they are.
#[derive(Debug, thiserror::Error)]
pub enum StateError<E> {
    /// The bytes are not a state.
    #[error("not a ledger state")]
    Decode(#[from] DecodeError),
    /// The tree's edge could not be loaded.
    #[error("the edge of the log's tree cannot be loaded")]
    Frontier(#[source] E),
    /// The tree has another root than the state names.
    #[error("the log's tree has another root than the state")]
    Root,
}
