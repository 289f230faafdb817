//! Whole stories, with real processes.

mod crash;
mod exchange_sees;
mod hostile_exchange;
mod main_job;
