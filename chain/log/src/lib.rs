//! RFC 6962 log, checkpoints, witnesses, proofs and offline verification.
