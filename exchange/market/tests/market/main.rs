//! Use cases of the market on a real database, with workers that follow a script.

mod dispatch;
mod money;
mod terms;
mod world;
