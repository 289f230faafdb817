//! `/v1/token`: access tokens by client credentials with `private_key_jwt` (RFC 6749 §4.4, RFC 7523).

use crate::{AppState, Problem, error::ProblemBody, limits::ACCESS_TOKEN_MS};
use axum::{
    Form, Json,
    extract::{FromRequest, Request, State},
    http::StatusCode,
};
use entrepot_exchange_domain::RefusalKind;
use entrepot_exchange_market::token;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

const GRANT_TYPE: &str = "client_credentials";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The resource's endpoints.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(handler))
}

/// What a client sends, as a form. Fields that OAuth knows and this does not need are ignored, as RFC 6749 §3.2 asks.
#[derive(Deserialize, ToSchema)]
struct TokenRequest {
    /// `client_credentials`
    grant_type: String,
    /// `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`
    client_assertion_type: String,
    /// JWT signed with EdDSA by the participant's key: `iss` = `sub` = its DID, `aud` = the exchange's DID, `iat`, `exp` within five
    /// minutes, a fresh `jti`.
    client_assertion: String,
}

/// An access token.
#[derive(Serialize, ToSchema)]
struct TokenAnswer {
    /// JWT, `typ` `at+jwt`.
    access_token: String,
    /// `Bearer`
    token_type: &'static str,
    /// Seconds.
    expires_in: i64,
}

/// Get an access token for fifteen minutes. It says the roles that the participant has now.
#[utoipa::path(
    post,
    path = "/v1/token",
    tag = "tokens",
    operation_id = "issue_token",
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The token.", body = TokenAnswer),
        (status = "default", description = "Refused; `error` as in RFC 6749 §5.2.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn handler(State(app): State<AppState>, request: Request) -> Result<Json<TokenAnswer>, Problem> {
    let form = read_form(request, &app).await?;
    if form.grant_type != GRANT_TYPE {
        let detail = format!("`grant_type` must be {GRANT_TYPE}");
        return Err(Problem::new(RefusalKind::Invalid, "unsupported_grant_type", detail).oauth("unsupported_grant_type"));
    }
    if form.client_assertion_type != ASSERTION_TYPE {
        let detail = format!("`client_assertion_type` must be {ASSERTION_TYPE}");
        return Err(Problem::new(RefusalKind::Invalid, "unsupported_assertion_type", detail).oauth("invalid_request"));
    }
    let now = app.market.now();
    let refused = |problem: Problem| problem.oauth("invalid_client");
    let assertion = app.tokens.check_assertion(&form.client_assertion, now).map_err(|error| {
        refused(Problem::from(error).hint("sign a JWT with the participant's key: see the text of client_assertion in /openapi.json"))
    })?;
    let assertion = &assertion;
    let roles = app
        .market
        .store
        .run_tx("tokens.authenticate", |tx| {
            Box::pin(async move { token::authenticate(tx, now, &assertion.participant, &assertion.jti, assertion.expires_at).await })
        })
        .await
        .map_err(|error| refused(error.into()))?;
    let jti = app.market.random::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
    let access_token = app.tokens.issue(&assertion.participant, &roles, jti, now);
    Ok(Json(TokenAnswer { access_token, token_type: "Bearer", expires_in: ACCESS_TOKEN_MS / 1000 }))
}

async fn read_form(request: Request, app: &AppState) -> Result<TokenRequest, Problem> {
    match Form::<TokenRequest>::from_request(request, app).await {
        Ok(Form(form)) => Ok(form),
        Err(rejection) => {
            let (status, code) = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
                StatusCode::UNSUPPORTED_MEDIA_TYPE => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
                _ => (StatusCode::BAD_REQUEST, "invalid_input"),
            };
            let detail = "the body must be a form with grant_type, client_assertion_type and client_assertion, each once";
            Err(Problem::with_status(status, code, detail).oauth("invalid_request"))
        }
    }
}
