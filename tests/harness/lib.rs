//! Harness and scenarios that spawn the binary.
