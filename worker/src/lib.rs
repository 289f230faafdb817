//! The process beside the data.
