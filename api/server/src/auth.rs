//! Who asks.

use crate::{AppState, Problem, limits::TOKEN_BYTES_MAX};
use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use entrepot_chain_statement::{Did, statements::Role};
use entrepot_exchange_domain::RefusalKind;
use std::collections::BTreeSet;

/// A participant whose access token was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    did: Did,
    roles: BTreeSet<Role>,
}

impl Caller {
    pub(crate) fn new(did: Did, roles: BTreeSet<Role>) -> Self {
        Self { did, roles }
    }

    /// The participant.
    pub fn did(&self) -> &Did {
        &self.did
    }

    /// The roles that it had when the token was issued.
    pub fn roles(&self) -> &BTreeSet<Role> {
        &self.roles
    }

    /// Whether it has this role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Refuses whoever has none of these roles.
    pub fn require(&self, any_of: &[Role]) -> Result<(), Problem> {
        if any_of.iter().any(|role| self.has(*role)) {
            return Ok(());
        }
        let names: Vec<_> = any_of.iter().filter_map(|role| serde_json::to_value(role).ok()?.as_str().map(str::to_owned)).collect();
        Err(Problem::new(RefusalKind::Forbidden, "role_missing", format!("this needs the role {}", names.join(" or ")))
            .hint("roles come with the enrolment; a token shows those that its participant had when it was issued"))
    }

    /// Whose things it may see: its own, or everybody's (none).
    pub fn viewer(&self) -> Option<&Did> {
        (!self.oversees()).then_some(&self.did)
    }

    /// Whether it sees everything: operators and regulators do.
    pub fn oversees(&self) -> bool {
        self.has(Role::Operator) || self.has(Role::Regulator)
    }
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Problem::new(RefusalKind::Unauthenticated, "token_missing", "this needs an access token")
                .hint("get one at /v1/token and send `Authorization: Bearer <token>`"));
        };
        let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Err(Problem::new(RefusalKind::Unauthenticated, "token_malformed", "the Authorization header holds no bearer token"));
        }
        Ok(app.tokens.check_access(token, app.market.now())?)
    }
}
