//! Nouns, rules and state machines of the market; pure.
