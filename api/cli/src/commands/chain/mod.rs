//! `entrepot chain`: a member's and a reader's tools. Founding and signing are offline, under keys that no node holds; reading asks a node
//! and believes it. What a node says is checked by `entrepot verify`.

mod act;
mod genesis;
pub mod keys;
pub mod read;
mod readable;
mod right;
mod show;

use crate::{exit::Outcome, output::Output};
use clap::{Args, Subcommand};

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the four key files of a member, and the description that the others need.
    Keys(keys::Arguments),
    /// Make a channel's genesis file from its first members' descriptions.
    Genesis(genesis::Arguments),
    /// Propose a change of the members or of their rule, and approve of it.
    Propose(act::ProposeArguments),
    /// Vote on an open proposal.
    Vote(act::VoteArguments),
    /// Replace the keys of one's own node by new ones.
    Rotate(act::RotateArguments),
    /// Leave the members.
    Leave(act::LeaveArguments),
    /// Record what becomes of a right: a file that goes from signer to signer, and then to the chain.
    #[command(subcommand)]
    Right(right::Command),
    /// Submit a transaction that was signed before.
    Submit(act::SubmitArguments),
    /// The channels that a node serves.
    Channels(read::HeadArguments),
    /// Where a chain stands.
    Head(read::HeadArguments),
    /// Blocks, newest first.
    Blocks(read::BlocksArguments),
    /// One block, and its transactions.
    Block(read::BlockArguments),
    /// One transaction, and what became of it.
    Transaction(read::TransactionArguments),
    /// Transactions, newest first.
    Transactions(read::TransactionsArguments),
    /// How a node fares, and whom it is connected to.
    Health(read::HeadArguments),
    /// Who decides on blocks.
    Members(read::MembersArguments),
    /// What happens, block by block.
    Events(read::EventsArguments),
    /// What the state says of a right, an agreement, an order or a hold, with the proof.
    #[command(subcommand)]
    Show(show::Command),
}

pub async fn run(arguments: Arguments, output: &Output) -> Outcome {
    match arguments.command {
        Command::Keys(arguments) => keys::run(&arguments, output),
        Command::Genesis(arguments) => genesis::run(&arguments, output),
        Command::Propose(arguments) => act::propose(&arguments, output).await,
        Command::Vote(arguments) => act::vote(&arguments, output).await,
        Command::Rotate(arguments) => act::rotate(&arguments, output).await,
        Command::Leave(arguments) => act::leave(&arguments, output).await,
        Command::Right(command) => right::run(&command, output).await,
        Command::Submit(arguments) => act::submit(&arguments, output).await,
        Command::Channels(arguments) => read::channels(&arguments, output).await,
        Command::Head(arguments) => read::head(&arguments, output).await,
        Command::Blocks(arguments) => read::blocks(&arguments, output).await,
        Command::Block(arguments) => read::block(&arguments, output).await,
        Command::Transaction(arguments) => read::transaction(&arguments, output).await,
        Command::Transactions(arguments) => read::transactions(&arguments, output).await,
        Command::Health(arguments) => read::health(&arguments, output).await,
        Command::Members(arguments) => read::members(&arguments, output).await,
        Command::Events(arguments) => read::events(&arguments, output).await,
        Command::Show(command) => show::run(&command, output).await,
    }
}

#[cfg(test)]
mod tests;
