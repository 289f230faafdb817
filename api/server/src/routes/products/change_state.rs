//! A product is paused, resumed or withdrawn: three endpoints that differ in one word.

use super::Product;
use crate::{
    Answer, AppState, Caller, Problem, Submission,
    error::ProblemBody,
    extract::{IdPath, NoInput},
};
use axum::{extract::State, response::Response};
use entrepot_chain_statement::ids::ProductId;
use entrepot_exchange_market::product::{self, StateChange};

macro_rules! endpoint {
    ($(#[doc = $doc:literal])* $name:ident, $path:literal, $operation:literal, $done:literal, $change:ident) => {
        $(#[doc = $doc])*
        #[utoipa::path(
            post,
            path = $path,
            tag = "products",
            operation_id = $operation,
            params(
                ("product_id" = String, Path, description = "The product."),
                ("Idempotency-Key" = String, Header, description = "Fresh for each new request, the same for each repetition."),
            ),
            security(("bearer" = [])),
            responses(
                (status = 200, description = $done, body = Product),
                (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
            ),
        )]
        pub(super) async fn $name(
            State(app): State<AppState>,
            caller: Caller,
            IdPath(product_id): IdPath<ProductId>,
            submission: Submission<NoInput>,
        ) -> Result<Response, Problem> {
            change(&app, &caller, &product_id, submission, concat!("products.", stringify!($name)), StateChange::$change).await
        }
    };
}

endpoint!(
    #[doc = "Pause a product that binds you: nobody can buy or use it until you resume it."]
    pause,
    "/v1/products/{product_id}/pause",
    "pause_product",
    "Paused.",
    Pause
);
endpoint!(
    #[doc = "Resume a product that you paused."]
    resume,
    "/v1/products/{product_id}/resume",
    "resume_product",
    "Active again.",
    Resume
);
endpoint!(
    #[doc = "Withdraw a product that binds you, for good."]
    withdraw,
    "/v1/products/{product_id}/withdraw",
    "withdraw_product",
    "Withdrawn.",
    Withdraw
);

async fn change(
    app: &AppState,
    caller: &Caller,
    product_id: &ProductId,
    Submission { once, .. }: Submission<NoInput>,
    name: &'static str,
    change: StateChange,
) -> Result<Response, Problem> {
    let caller = caller.did();
    once.run(app, caller, name, |tx| {
        Box::pin(async move {
            let row = product::change_state(tx, &app.market, caller, product_id, change).await?;
            Answer::ok(&Product::at(row, app.market.now()))
        })
    })
    .await
}
