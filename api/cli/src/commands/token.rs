//! `entrepot token`: an access token by client credentials with `private_key_jwt`.

use crate::{client::Client, exit::Outcome, files, output::Output};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

#[derive(Args)]
pub struct Arguments {
    /// Address of the exchange, as in `http://127.0.0.1:8080`.
    #[arg(long, env = "ENTREPOT_URL")]
    url: String,
    /// `did:key` of the exchange, known beforehand: the audience of the proof.
    #[arg(long)]
    exchange: String,
    /// The participant's key file.
    #[arg(long, env = "ENTREPOT_KEY", value_name = "FILE")]
    key: PathBuf,
}

pub async fn run(arguments: &Arguments, output: &Output) -> Outcome {
    let key = files::read_key(&arguments.key)?;
    let client = Client::signed_in(&arguments.url, &arguments.exchange, &key).await?;
    let token = client.token().unwrap_or_default();
    output.result(token, &json!({"access_token": token}));
    Ok(())
}
