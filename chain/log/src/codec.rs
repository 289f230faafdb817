//! The binary encoding of transactions, blocks and states: fixed-width big-endian integers, raw keys and digests, counted lists.
//! One value has one encoding; the decoder takes nothing else.

use entrepot_chain_statement::{Did, Hash};
use std::collections::HashMap;

/// Why bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end too early.
    #[error("the bytes end too early")]
    Short,
    /// More follows.
    #[error("bytes are left over")]
    Long,
    /// A version this code does not know.
    #[error("unknown version {0}")]
    Version(u8),
    /// A key is none.
    #[error("not an Ed25519 key")]
    Key,
    /// A list is longer than its limit.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// A list is not in its one order, or holds something twice.
    #[error("{0} are not in order, each once")]
    Order(&'static str),
    /// A value is none of its kind's.
    #[error("not a valid {0}")]
    Value(&'static str),
}

/// Keys that were decoded before. Checking that 32 bytes are a key costs as much as a good part of a signature check, and a chain names
/// the same few keys over and over.
#[derive(Default)]
pub struct KnownKeys {
    known: HashMap<[u8; 32], Did>,
    trusts: bool,
}

/// Keys remembered at most; a hostile chain must not fill the memory.
const KNOWN_KEYS_MAX: usize = 1 << 16;

impl KnownKeys {
    /// For bytes that were decoded with a check before they were kept where nobody else writes.
    pub fn trusting() -> Self {
        Self { known: HashMap::new(), trusts: true }
    }

    fn did(&mut self, bytes: [u8; 32]) -> Result<Did, DecodeError> {
        if self.trusts {
            return Ok(Did::from_checked_bytes(&bytes));
        }
        if let Some(did) = self.known.get(&bytes) {
            return Ok(did.clone());
        }
        let did = Did::from_public_bytes(&bytes).map_err(|_| DecodeError::Key)?;
        if self.known.len() < KNOWN_KEYS_MAX {
            self.known.insert(bytes, did.clone());
        }
        Ok(did)
    }
}

/// Reads from the front of bytes.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next so many bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// Eight bytes, signed.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// A digest.
    pub fn hash(&mut self) -> Result<Hash, DecodeError> {
        Ok(Hash(self.array()?))
    }

    /// A key.
    pub fn did(&mut self, known: &mut KnownKeys) -> Result<Did, DecodeError> {
        known.did(self.array()?)
    }

    /// The one version there is.
    pub fn version(&mut self, expected: u8) -> Result<(), DecodeError> {
        let found = self.u8()?;
        if found == expected { Ok(()) } else { Err(DecodeError::Version(found)) }
    }

    /// All that is left.
    pub fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Nothing may follow.
    pub fn end(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Long) }
    }
}
