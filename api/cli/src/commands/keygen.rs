//! `entrepot keygen`: the keys of a participant or a worker, made where they will be used.

use crate::{exit::Outcome, files, output::Output};
use clap::Args;
use entrepot_chain_statement::key::KeyFile;
use rand_core::OsRng;
use serde_json::json;
use std::path::PathBuf;

#[derive(Args)]
pub struct Arguments {
    /// Where the key file goes; it must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub fn run(arguments: &Arguments, output: &Output) -> Outcome {
    let key = KeyFile::generate(&mut OsRng);
    files::write_secret(&arguments.out, key.to_json().as_bytes())?;
    let (did, witness) = (key.signing.did(), key.witness.did());
    let sealing_key = serde_json::to_value(key.sealing.public()).map_err(anyhow::Error::from)?;
    output.result(
        did.as_str(),
        &json!({"did": did.as_str(), "witness": witness.as_str(), "sealing_key": sealing_key, "file": arguments.out}),
    );
    Ok(())
}
