//! The ledger's facts, by subject.

mod blocks;
mod encodings;
mod history;
mod log;
mod members;
mod rights;
mod settlement;
mod support;
