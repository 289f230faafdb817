//! SQL text to a checked plan: parse, policy, EXPLAIN, leakage.
