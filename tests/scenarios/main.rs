//! Whole stories, with real processes.

mod backup;
mod bad_input;
mod command_line;
mod consortium;
mod crash;
mod exchange_sees;
mod hostile_exchange;
mod main_job;
mod witness;
