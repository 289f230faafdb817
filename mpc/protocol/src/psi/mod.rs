//! Private set intersection between parties 0 and 1, by Diffie–Hellman on ristretto255.
//!
//! **Goal.** Two parties with sets of keys learn which keys they have in common, in one order that is the same for both; the third party
//! learns how many.
//!
//! **Papers.** The commutative-blinding protocol of Catherine Meadows (*A More Efficient Cryptographic Matchmaking Protocol*, IEEE S&P 1986)
//! and Bernardo Huberman, Matt Franklin, Tad Hogg (*Enhancing Privacy and Trust in Electronic Communities*, EC 1999, §3.1), in a prime-order
//! group (RFC 9496) with hashing to it by `ristretto255_XMD:SHA-512_R255MAP_RO_` (RFC 9380, appendix B).
//!
//! **Deviations.** Both parties learn the result, as both need the rows. Each shuffles its set before it sends it. The hash's domain
//! separation tag contains the session, so blinded sets of two runs cannot be compared. Both confirm that they found the same intersection.
//!
//! **Messages and rounds**, for sets of n_0 and n_1 keys, party i having the secret scalar k_i:
//!
//! 1. Both ways: the size of the set, 8 bytes.
//! 2. Both ways: k_i·H(key) of the own keys, in a secret random order, 32 bytes each.
//! 3. Both ways: k_i·(each point received), in the order received, 32 bytes each.
//! 4. Both ways: SHA-256 of the points k_0·k_1·H(key) both sets have, sorted. They must agree.
//! 5. From both to party 2: the size of the intersection, 8 bytes. They must agree.
//!
//! Five rounds; parties 0 and 1 send 32·(n_0 + n_1) + 48 bytes each, and multiply n_0 + n_1 points each.
//!
//! **Leakage and threat model.** Semi-honest, decisional Diffie–Hellman in ristretto255, the hash a random oracle. Parties 0 and 1 learn the
//! size of each other's set and *which of their own keys* the other has too; party 2 learns the size of the intersection. Nobody learns
//! anything about a key that only the other has. A party can stop after message 3 and have learnt the intersection before the other. Input
//! is a claim: a party may put in keys it guessed, which is why [`PsiLimits`] caps the sets.
//!
//! **Hostile messages.** Points that are multiplied must be canonical and not the identity; points that come back are only compared as
//! bytes. Sets beyond the limit, repeated points and any wrong length are typed errors. A peer that returns the points in another order,
//! however, makes the rows of the two parties disagree unseen. Multiplication by the secret is constant-time.
//!
//! **Shapes.** In: [`Keys`], at most [`ITEMS_MAX`] unique keys of at most [`KEY_BYTES_MAX`] bytes. Out: row numbers of the common keys,
//! `[n]`, row j at one party having the same key as row j at the other. Memory: at most 150 bytes a key of either set, beyond the own
//! keys.
//!
//! ```
//! use entrepot_mpc_protocol::{Party, memory, psi};
//!
//! let sizes = tokio::runtime::Runtime::new().unwrap().block_on(memory::run(1, |mut ctx| async move {
//!     let keys: &[&str] = if ctx.party() == Party::ZERO { &["ada", "bob"] } else { &["bob", "eve", "joe"] };
//!     let limits = psi::PsiLimits { set_max: 10, common_max: 10 };
//!     match ctx.party() {
//!         Party::TWO => psi::learn_size(&mut ctx, limits).await.unwrap(),
//!         _ => psi::intersect(&mut ctx, keys.iter().collect(), limits, &|_, _| ()).await.unwrap().len() as u32,
//!     }
//! }));
//! assert_eq!(sizes, [1, 1, 1]);
//! ```

mod ecdh;
mod group;
mod keys;

pub use ecdh::{PsiError, PsiLimits, intersect, learn_size};
pub use keys::{ITEMS_MAX, KEY_BYTES_MAX, Keys};
