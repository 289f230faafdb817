//! Protocols between three parties: replicated secret sharing over Z_2^64 and over bits, and private set intersection.
//!
//! A protocol takes a [`Context`]: who we are, the randomness shared with each neighbour, and channels to both. It never sees a socket,
//! a clock or a file. Everything random comes from the generator given to [`Context::connect`], so a run repeats from its seeds.
//!
//! Security, of everything in this crate for now: *semi-honest, one corrupt party of three*. A party that follows the protocol learns
//! nothing beyond what each module's page says under "leaks". Messages are nevertheless treated as hostile: a wrong length, an invalid
//! point or a peer that goes away gives a typed error and never a panic.
//!
//! | module | what |
//! |---|---|
//! | [`replicated`] | shares, input, addition, multiplication, inner products, comparison, bits to numbers |
//! | [`psi`] | set intersection by elliptic-curve Diffie–Hellman on ristretto255 |
//! | [`memory`] | all three parties in one process, for tests and benches |

mod channel;
mod context;
mod link;
pub mod memory;
mod party;
pub mod psi;
mod randomness;
pub mod replicated;

pub use channel::{Channel, ChannelError, FRAME_BYTES_MAX};
pub use context::{Context, ProtocolError, Traffic};
pub use party::Party;
