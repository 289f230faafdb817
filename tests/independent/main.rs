//! What this software proves, checked by software that is not ours: Cloudflare's `tlog_tiles` and `signed_note` (a log's tiles, checkpoints
//! and proofs) and Mullvad's `sigsum` (RFC 9162 inclusion and cosignatures). `verify.go` does the same on Go's `sumdb`, of whose proofs
//! `tlog_tiles` is a translation; `sigsum`'s are written from the RFC.

mod proofs;
mod receipts;
mod sigsum_log;
mod theirs;
