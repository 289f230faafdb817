//! Rings and shares, replicated three-party computation, private set intersection.
