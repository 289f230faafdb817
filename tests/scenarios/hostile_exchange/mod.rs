//! An exchange that lies to real workers. What it forges, replays or withholds they refuse by name; what it carries honestly they run.
//!
//! Every refusal is asked of a rig in which the genuine order would run, and most tests end by running it.

mod forged;
mod greeting;
mod honest;
mod impostor;
mod memory;
mod own_policy;
mod party_lines;
mod released;
mod rig;
mod terms;
mod witnessed;
