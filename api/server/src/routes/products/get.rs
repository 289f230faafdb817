//! One product.

use super::Product;
use crate::{AppState, Caller, Problem, error::ProblemBody, extract::IdPath};
use axum::{Json, extract::State};
use entrepot_chain_statement::ids::ProductId;
use entrepot_exchange_store::product;

/// Read a product that you may buy or that binds you.
#[utoipa::path(
    get,
    path = "/v1/products/{product_id}",
    tag = "products",
    operation_id = "get_product",
    params(("product_id" = String, Path, description = "The product.")),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The product.", body = Product),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    IdPath(product_id): IdPath<ProductId>,
) -> Result<Json<Product>, Problem> {
    let row = product::find(&mut *app.market.store.reader().await?, &product_id).await?;
    let visible = row.filter(|row| caller.viewer().is_none_or(|viewer| row.is_visible_to(viewer)));
    visible.map(|row| Json(Product::at(row, app.market.now()))).ok_or_else(|| Problem::not_found("product"))
}
