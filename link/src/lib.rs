//! Connections between parties that know each other by key: TLS 1.3 without a certificate authority ([`Identity`]), and frames over it.

mod frame;
mod strangers;
mod tls;

pub use frame::{TooLong, read_frame, read_frame_within, write_frame, write_frame_within};
pub use strangers::{Stranger, Strangers};
pub use tls::{Identity, TlsSetupError, key_of, server_name};
