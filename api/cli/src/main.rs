//! `entrepot`: exchange, worker, and the tools of their operators in one binary. The only place where everything meets.

mod adapters;
mod channels;
mod client;
mod commands;
mod consortium;
mod exchange_keys;
mod exit;
mod files;
mod output;
mod settings;
mod tracing_setup;

use clap::{Parser, Subcommand};
use commands::{admin, chain, dev, keygen, node, schema, serve, sign, token, trust, verify, witness, work};
use output::Output;

/// A marketplace for computations on data that stays where it is.
#[derive(Parser)]
#[command(name = "entrepot", version, about, propagate_version = true)]
struct CommandLine {
    /// Print one JSON document instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the exchange: REST, gRPC control plane, jobs, an embedded chain node.
    Serve(serve::Arguments),
    /// Run a worker beside the data, or a neutral compute party.
    Work(work::Arguments),
    /// Run one member's validator of a channel.
    Node(Box<node::Arguments>),
    /// Run an exchange and three workers here, seeded with real sample data.
    Dev(dev::Arguments),
    /// Make the keys of a participant or a worker.
    Keygen(keygen::Arguments),
    /// Sign a statement, or add a signature to a signed one.
    Sign(sign::Arguments),
    /// Get an access token from an exchange.
    Token(token::Arguments),
    /// Write a trust file: the keys that checking shall believe.
    Trust(trust::Arguments),
    /// Check a receipt or certificate offline.
    Verify(verify::Arguments),
    /// Stand as a witness: cosign logs that only grow.
    Witness(Box<witness::Arguments>),
    /// Found a channel, act as a member of it, read its chain.
    Chain(Box<chain::Arguments>),
    /// Look after an exchange on its own machine.
    Admin(admin::Arguments),
    /// Print the OpenAPI document of the REST side.
    Schema(schema::Arguments),
    /// Parses a CSV file under limits; run by a worker.
    #[command(hide = true)]
    FramesChild,
}

fn main() -> std::process::ExitCode {
    let line = CommandLine::parse();
    let output = Output { json: line.json };
    if let Command::FramesChild = line.command {
        return entrepot_worker::frames::child_main();
    }
    // Two cryptography providers in the tree would make rustls refuse to choose at the first connection.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(line.command, &output)),
        Err(error) => Err(exit::Failure::new(exit::ExitCode::Failed, error)),
    };
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            std::process::ExitCode::from(failure.code as u8)
        }
    }
}

async fn run(command: Command, output: &Output) -> exit::Outcome {
    match command {
        Command::Serve(arguments) => serve::run(arguments, output).await,
        Command::Work(arguments) => work::run(arguments, output).await,
        Command::Node(arguments) => node::run(*arguments, output).await,
        Command::Dev(arguments) => dev::run(arguments, output).await,
        Command::Keygen(arguments) => keygen::run(&arguments, output),
        Command::Sign(arguments) => sign::run(&arguments, output),
        Command::Token(arguments) => token::run(&arguments, output).await,
        Command::Trust(arguments) => trust::run(&arguments, output),
        Command::Verify(arguments) => verify::run(&arguments, output),
        Command::Witness(arguments) => witness::run(*arguments, output).await,
        Command::Chain(arguments) => chain::run(*arguments, output).await,
        Command::Admin(arguments) => admin::run(arguments, output).await,
        Command::Schema(arguments) => schema::run(&arguments, output),
        Command::FramesChild => Ok(()),
    }
}
