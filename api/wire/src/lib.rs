//! gRPC messages and services.
