//! A signature is added to a product.

use super::Product;
use crate::{Answer, AppState, Caller, Problem, Submission, error::ProblemBody, extract::IdPath, schema::EnvelopeInput};
use axum::{extract::State, response::Response};
use entrepot_chain_statement::ids::ProductId;
use entrepot_exchange_market::product;

/// Add your signature: the product's envelope, countersigned by you.
#[utoipa::path(
    post,
    path = "/v1/products/{product_id}/signatures",
    tag = "products",
    operation_id = "sign_product",
    params(
        ("product_id" = String, Path, description = "The product."),
        ("Idempotency-Key" = String, Header, description = "Fresh for each new request, the same for each repetition."),
    ),
    request_body = EnvelopeInput,
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Signed; active if that was the last signature.", body = Product),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    IdPath(product_id): IdPath<ProductId>,
    Submission { input, once }: Submission<EnvelopeInput>,
) -> Result<Response, Problem> {
    let (app, caller, product_id, envelope) = (&app, caller.did(), &product_id, &input.envelope);
    once.run(app, caller, "products.sign", |tx| {
        Box::pin(async move {
            let row = product::sign(tx, &app.market, caller, product_id, envelope).await?;
            Answer::ok(&Product::at(row, app.market.now()))
        })
    })
    .await
}
