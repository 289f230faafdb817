//! `entrepot schema`: the OpenAPI document of the REST side.

use crate::{exit::Outcome, output::Output};
use clap::Args;
use entrepot_api_server::router::openapi_json;

#[derive(Args)]
pub struct Arguments {}

pub fn run(_: &Arguments, output: &Output) -> Outcome {
    let text = openapi_json();
    let document = serde_json::from_str(&text).map_err(anyhow::Error::from)?;
    output.result(&text, &document);
    Ok(())
}
