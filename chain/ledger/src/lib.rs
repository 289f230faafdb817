//! Pure ledger: transactions, system contracts, apply(state, block).
