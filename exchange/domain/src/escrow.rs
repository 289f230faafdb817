//! Money held for an order: paid out or given back, exactly once.

use entrepot_chain_statement::Money;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where held money is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EscrowState {
    /// Set aside.
    Held,
    /// Paid out.
    Released,
    /// Given back.
    Refunded,
}

impl EscrowState {
    /// The name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Released => "released",
            Self::Refunded => "refunded",
        }
    }

    /// The state of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Held, Self::Released, Self::Refunded].into_iter().find(|state| state.name() == name)
    }
}

/// Money held for one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escrow {
    /// How much.
    pub amount: Money,
    /// Where it is.
    pub state: EscrowState,
}

/// The money is gone already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the escrow is {} already", .found.name())]
pub struct EscrowClosed {
    /// Where it went.
    pub found: EscrowState,
}

impl Escrow {
    /// Sets money aside.
    pub fn hold(amount: Money) -> Self {
        Self { amount, state: EscrowState::Held }
    }

    /// Held → Released.
    pub fn release(self) -> Result<Self, EscrowClosed> {
        self.close(EscrowState::Released)
    }

    /// Held → Refunded.
    pub fn refund(self) -> Result<Self, EscrowClosed> {
        self.close(EscrowState::Refunded)
    }

    fn close(self, state: EscrowState) -> Result<Self, EscrowClosed> {
        match self.state {
            EscrowState::Held => Ok(Self { state, ..self }),
            found => Err(EscrowClosed { found }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_money_goes_one_way_once() {
        let held = Escrow::hold(Money { amount_minor: 5, currency: "EUR".parse().expect("a currency") });
        for close in [Escrow::release, Escrow::refund] {
            let closed = close(held.clone()).expect("it was held");
            assert_eq!(closed.amount, held.amount);
            assert_eq!(closed.clone().release(), Err(EscrowClosed { found: closed.state }));
            assert_eq!(closed.clone().refund(), Err(EscrowClosed { found: closed.state }));
        }
    }
}
