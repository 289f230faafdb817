//! Who takes part.

use std::fmt;

/// A role in one run: 0 and 1 hold data, 2 only computes. Arithmetic on indices is modulo 3.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Party(u8);

impl Party {
    /// All three, in order.
    pub const ALL: [Self; 3] = [Self(0), Self(1), Self(2)];
    /// Provider of the first table.
    pub const ZERO: Self = Self(0);
    /// Provider of the second table.
    pub const ONE: Self = Self(1);
    /// The compute party.
    pub const TWO: Self = Self(2);

    /// The party with this index; none beyond 2.
    pub const fn new(index: u8) -> Option<Self> {
        if index < 3 { Some(Self(index)) } else { None }
    }

    /// 0 to 2.
    pub const fn index(self) -> u8 {
        self.0
    }

    /// Party i + 1.
    pub const fn next(self) -> Self {
        Self((self.0 + 1) % 3)
    }

    /// Party i − 1.
    pub const fn previous(self) -> Self {
        Self((self.0 + 2) % 3)
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Party({})", self.0)
    }
}
