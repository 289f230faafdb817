//! `entrepot token`: an access token by client credentials with `private_key_jwt`.

use crate::{client::SignIn, exit::Outcome, output::Output};
use clap::Args;
use serde_json::json;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    sign_in: SignIn,
}

pub async fn run(arguments: &Arguments, output: &Output) -> Outcome {
    let client = arguments.sign_in.client().await?;
    let token = client.token().unwrap_or_default();
    output.result(token, &json!({"access_token": token}));
    Ok(())
}
