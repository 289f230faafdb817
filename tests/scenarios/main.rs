//! Whole stories, with real processes.

mod bad_input;
mod crash;
mod exchange_sees;
mod hostile_exchange;
mod main_job;
