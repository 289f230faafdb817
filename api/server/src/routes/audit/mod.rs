//! `/v1/audit`: what a regulator asks.

mod bundle;
mod consistency;
mod events;
mod trace;

use crate::{AppState, Caller, Problem};
use entrepot_chain_statement::statements::Role;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The resource's endpoints.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(trace::handler))
        .routes(routes!(events::handler))
        .routes(routes!(consistency::handler))
        .routes(routes!(bundle::handler))
}

fn for_regulators(caller: &Caller) -> Result<(), Problem> {
    caller.require(&[Role::Regulator])
}
