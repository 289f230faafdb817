//! Keys, did:key, canonical JSON, DSSE, sealing and the types of every signed statement.
