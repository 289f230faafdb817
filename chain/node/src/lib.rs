//! RocksDB node and the Orderer.
