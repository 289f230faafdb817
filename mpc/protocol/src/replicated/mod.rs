//! Three-party replicated secret sharing over Z_2^64 and, bit by bit, over Z_2.
//!
//! **Goal.** Compute sums, products and comparisons of values that no single party may see.
//!
//! **Papers.** Toshinori Araki, Jun Furukawa, Yehuda Lindell, Ariel Nof, Kazuma Ohara: *High-Throughput Semi-Honest Secure Three-Party
//! Computation with an Honest Majority* (CCS 2016, ePrint 2016/768), §2 for sharing, multiplication and shared randomness. Payman Mohassel,
//! Peter Rindal: *ABY3: A Mixed Protocol Framework for Machine Learning* (CCS 2018, ePrint 2018/403), §5.3 for bit decomposition, §5.4 for
//! bits times numbers.
//!
//! **Our indices.** x = x_0 + x_1 + x_2 mod 2^64, and party i holds (x_i, x_{i+1}), indices modulo 3, as in ABY3. (Araki et al. give party i
//! the pair (x_i, a_i) with a_i = x_{i−1} − α_i; the pair determines the same two summands.) So share s is held by parties s and s − 1.
//! With XOR for + and AND for · the same holds for words of 64 independent bits; [`Ring`] is the difference.
//!
//! **Deviations.** Shared randomness is ChaCha20 under seeds of [`crate::Context`], not AES. A value input by party p has x_{p+2} = 0: p
//! takes x_p from the stream it shares with party p − 1 and sends x_{p+1} = x − x_p to party p + 1 alone, one element instead of two.
//! Bit decomposition adds two words instead of three: party 0 knows x_0 + x_1, parties 1 and 2 know x_2. There is no truncation anywhere:
//! decimals are scaled integers and averages are divided by whoever opens the result.
//!
//! **Messages and rounds**, elements of 8 bytes sent for each value:
//!
//! | operation | sent | rounds |
//! |---|---|---|
//! | [`input()`] | 1 by the owner | 1 |
//! | addition, public constants | 0 | 0 |
//! | [`multiply`] | 1 by each party | 1 |
//! | inner product ([`dot`] + [`reshare`]) | 1 by each party, whatever its length | 1 |
//! | [`open`] | 2 by each party | 2 |
//! | [`to_bits`], [`most_significant_bit`], [`less_than_public`] | 12 by each party + 1 by party 0 | 8 |
//! | [`inject_bit`] | 1 by each party + 1 by party 0 | 2 |
//!
//! **Leakage and threat model.** One semi-honest party of three. Each message is masked by a word from a stream its receiver cannot make:
//! an input's x_{p+1} by x_p, which party p + 1 does not hold; the product's z_i by α_i, of which party i − 1 lacks one half. So every
//! party's view is uniform, and nothing leaks but lengths. A party that deviates can change results unseen, except where [`open`] finds
//! that the two holders of a share disagree. Two colluding parties see everything.
//!
//! **Shapes.** [`Shares`] is two vectors of equal length n. Arithmetic wraps modulo 2^64; signed values are in two's complement. Comparison
//! takes its operand as signed and needs −2^63 ≤ x − bound < 2^63: true whenever |x| and |bound| are at most 2^62, which the planner
//! guarantees for everything a query computes.
//!
//! ```
//! use entrepot_mpc_protocol::{Party, memory, replicated};
//!
//! let products = tokio::runtime::Runtime::new().unwrap().block_on(memory::run(1, |mut ctx| async move {
//!     let mine = |owner: Party, value: u64| (ctx.party() == owner).then_some([value]);
//!     let (a, b) = (mine(Party::ZERO, 6), mine(Party::ONE, 7));
//!     let x = replicated::input(&mut ctx, Party::ZERO, a.as_ref().map(|v| &v[..]), 1).await?;
//!     let y = replicated::input(&mut ctx, Party::ONE, b.as_ref().map(|v| &v[..]), 1).await?;
//!     let product = replicated::multiply::<replicated::Arithmetic>(&mut ctx, &x, &y).await?;
//!     replicated::open(&mut ctx, &product).await
//! }));
//! for opened in products {
//!     assert_eq!(opened.unwrap(), [42]);
//! }
//! ```

mod convert;
mod multiply;
mod ring;
mod shares;

pub use convert::{inject_bit, less_than_public, most_significant_bit, to_bits};
pub use multiply::{Additive, dot, multiply, reshare};
pub use ring::{Arithmetic, Boolean, Ring};
pub use shares::{Shares, SharesSlice, input, open};
