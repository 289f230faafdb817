//! What an access token may say: the roles that its participant has now.

use entrepot_chain_statement::{Did, Timestamp, statements::Role};
use entrepot_exchange_domain::{Refusal, RefusalKind};
use entrepot_exchange_store::{StoreError, Tx, participant, token};
use std::collections::BTreeSet;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticateError {
    /// Nobody, or nobody yet.
    #[error("this participant is not enrolled, or not approved yet")]
    NotApproved,
    /// The assertion was used before.
    #[error("this client assertion was used before")]
    Replayed,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for AuthenticateError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotApproved => "participant_not_approved",
            Self::Replayed => "assertion_replayed",
            Self::Store(error) => error.code(),
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotApproved | Self::Replayed => RefusalKind::Unauthenticated,
            Self::Store(error) => error.kind(),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotApproved => Some("enrol at /v1/participants and ask an operator for approval".to_owned()),
            Self::Replayed => Some("sign a fresh assertion with a fresh `jti`".to_owned()),
            Self::Store(_) => None,
        }
    }
}

/// The roles of whoever signed an assertion that nobody used before.
pub async fn authenticate(
    tx: &mut Tx<'_>,
    now: Timestamp,
    participant: &Did,
    jti: &str,
    expires_at: Timestamp,
) -> Result<BTreeSet<Role>, AuthenticateError> {
    // First, so that strangers cannot fill the table of used assertions.
    let roles = participant::approved_roles(tx, participant).await?.ok_or(AuthenticateError::NotApproved)?;
    if !token::use_assertion(tx, participant.as_str(), jti, expires_at, now).await? {
        return Err(AuthenticateError::Replayed);
    }
    Ok(roles)
}
