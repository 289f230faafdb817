//! The OpenAPI document.

use crate::error::ProblemBody;
use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};

/// What is not said by any single endpoint.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Entrepot",
        version = "1",
        description = "A data exchange that sells computations, not data. Every statement is a DSSE envelope signed by whom it binds; every POST carries an Idempotency-Key, but for a transaction of the chain, which is one itself; every refusal is an RFC 9457 problem with a stable `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(ProblemBody)),
    modifiers(&Bearer)
)]
pub struct ApiDoc;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.bearer_format = Some("JWT (EdDSA, at+jwt)".to_owned());
        document.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// Pretty-printed, with a last newline: as it is committed.
pub(crate) fn render(document: &utoipa::openapi::OpenApi) -> String {
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}

pub(crate) fn serve(document: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document).into_response()
}
