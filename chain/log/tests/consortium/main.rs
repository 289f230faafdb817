//! Who decides on a channel, shown to somebody outside: histories of members, evidence of forks, and offline verification with both.

mod channel;
mod fork;
mod history;
mod offline;
#[path = "../world/mod.rs"]
mod world;
