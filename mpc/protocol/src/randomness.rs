//! Randomness that two parties share without talking, and the zero-sharings made of it.
//!
//! Seed k_s belongs to share s and is known to the two parties that hold that share, s and s − 1. Each step expands each seed under a key
//! of its own, SHA-256(label ‖ seed ‖ step index ‖ step name), by ChaCha20 with a zero nonce: a step index is used once in a session and
//! the seed belongs to one session, so no stretch of key stream is ever used twice.

use crate::context::Step;
use chacha20::{
    ChaCha20,
    cipher::{KeyIvInit, StreamCipher},
};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

/// Words made at a time; the buffer stays in the first-level cache.
const BLOCK_WORDS: usize = 512;

/// A seed and what it is for.
pub(crate) struct Seed(Zeroizing<[u8; 32]>);

impl Seed {
    /// Binds raw randomness to a session and a share.
    pub fn bind(raw: &[u8; 32], session: &[u8; 32], share: u8) -> Self {
        Self(digest(&[b"entrepot/mpc/seed/v1\n", raw, session, &[share]]))
    }

    /// The stream for one step.
    pub fn expand(&self, step: Step) -> Stream {
        let key = self.derive(b"entrepot/mpc/prss/v1\n", step);
        Stream(ChaCha20::new((&*key).into(), &Default::default()))
    }

    /// 32 bytes for one step and purpose.
    pub fn derive(&self, label: &[u8], step: Step) -> Zeroizing<[u8; 32]> {
        digest(&[label, &*self.0, &step.index.to_be_bytes(), step.name.as_bytes()])
    }

    /// A seed for whoever needs common randomness of the two holders outside of this crate.
    pub fn export(&self) -> Zeroizing<[u8; 32]> {
        digest(&[b"entrepot/mpc/export/v1\n", &*self.0])
    }
}

fn digest(parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    Zeroizing::new(hasher.finalize().into())
}

/// Pseudo-random words that the holders of a seed make alike.
pub(crate) struct Stream(ChaCha20);

impl Stream {
    /// The next words.
    pub fn words(&mut self, count: usize) -> Vec<u64> {
        let mut words = vec![0; count];
        self.apply(&mut words, |_, random| random);
        words
    }

    /// Replaces each word by `f(word, random)`.
    pub fn apply(&mut self, words: &mut [u64], f: impl Fn(u64, u64) -> u64) {
        let mut buffer = [0_u8; BLOCK_WORDS * 8];
        for block in words.chunks_mut(BLOCK_WORDS) {
            let random = &mut buffer[..block.len() * 8];
            random.fill(0);
            self.0.apply_keystream(random);
            for (word, random) in block.iter_mut().zip(random.as_chunks::<8>().0) {
                *word = f(*word, u64::from_le_bytes(*random));
            }
        }
        buffer.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(index: u64, name: &'static str) -> Step {
        Step { index, name }
    }

    #[test]
    fn steps_sessions_and_shares_have_streams_of_their_own() {
        let words = |session: [u8; 32], share, at: Step| Seed::bind(&[7; 32], &session, share).expand(at).words(4);
        let base = words([1; 32], 0, step(0, "a"));
        assert_eq!(base, words([1; 32], 0, step(0, "a")));
        assert_ne!(base, words([2; 32], 0, step(0, "a")));
        assert_ne!(base, words([1; 32], 1, step(0, "a")));
        assert_ne!(base, words([1; 32], 0, step(1, "a")));
        assert_ne!(base, words([1; 32], 0, step(0, "b")));
        assert_ne!(*Seed::bind(&[7; 32], &[1; 32], 0).export(), *Seed::bind(&[7; 32], &[1; 32], 1).export());
    }

    #[test]
    fn a_stream_does_not_depend_on_how_it_is_cut() {
        let seed = Seed::bind(&[7; 32], &[1; 32], 0);
        let whole = seed.expand(step(3, "cut")).words(BLOCK_WORDS * 2 + 5);
        let mut stream = seed.expand(step(3, "cut"));
        let parts = [stream.words(1), stream.words(BLOCK_WORDS), stream.words(BLOCK_WORDS + 4)].concat();
        assert_eq!(whole, parts);
    }

    /// Pinned: two versions of this software at two parties must make the same words.
    #[test]
    fn the_stream_is_pinned() {
        let words = Seed::bind(&[7; 32], &[1; 32], 2).expand(step(5, "pinned")).words(2);
        assert_eq!(words, [PINNED_0, PINNED_1]);
    }
    const PINNED_0: u64 = 15_459_395_404_996_891_699;
    const PINNED_1: u64 = 15_675_217_072_023_351_228;
}
