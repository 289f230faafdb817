//! gRPC messages and services between the exchange and its workers, generated from `proto/`.

/// Version 1 of the control plane.
#[expect(missing_docs, clippy::allow_attributes, reason = "generated; the .proto file holds the documentation")]
pub mod v1 {
    tonic::include_proto!("entrepot.v1");
}

/// Largest message either side accepts, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a worker signs to answer the exchange's challenge.
pub fn hello_to_sign(exchange: &str, worker: &str, nonce: &[u8]) -> Vec<u8> {
    [b"entrepot/worker-hello/v1\n", exchange.as_bytes(), b"\n", worker.as_bytes(), b"\n", nonce].concat()
}
