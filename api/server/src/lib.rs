//! REST and gRPC surface of the exchange.
