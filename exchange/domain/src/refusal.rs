//! What every refusal tells whoever asked. The REST side turns a kind into a status in one place, so no rule knows about HTTP.

use std::error::Error;

/// The sort of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The input is wrong by itself, whatever the state of the market.
    Invalid,
    /// Who asks is not known or could not prove it.
    Unauthenticated,
    /// Who asks lacks the role; never used for another's objects, which do not exist for them.
    Forbidden,
    /// There is no such thing, or it is another's.
    NotFound,
    /// The state of the market does not allow it now.
    Conflict,
    /// The input is well formed and breaks a rule.
    Unprocessable,
    /// The balance is too small.
    PaymentRequired,
    /// A named limit is reached; it may work later.
    TooMany,
    /// Something this needs is away; it may work later.
    Unavailable,
    /// Our fault. What happened is logged and not told.
    Internal,
}

/// An error that can be told to whoever caused it.
pub trait Refusal: Error + Send + Sync + 'static {
    /// Stable, `snake_case`; part of the API.
    fn code(&self) -> &'static str;
    /// The sort of refusal.
    fn kind(&self) -> RefusalKind;
    /// What to do next, if that is not plain from the text.
    fn hint(&self) -> Option<String> {
        None
    }
}
