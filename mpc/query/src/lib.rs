//! Runs a plan on shares.
