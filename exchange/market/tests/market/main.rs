//! Use cases of the market on a real database, with workers that follow a script.

mod anchoring;
mod audit;
mod datasets;
mod dispatch;
mod driving;
mod evidence;
mod log;
mod money;
mod terms;
mod witnesses;
mod world;
