//! `entrepot chain show`: an entry of the chain's state in words, beside the proof that a node gives of it. What is not there is shown, too.

use crate::{
    commands::chain::{
        read::{At, with_query},
        readable::readable,
    },
    exit::{Failure, Outcome},
    files,
    output::Output,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use clap::{Args, Subcommand};
use entrepot_chain_ledger::{
    DecodeError, Facts, Right, RightRecord, RightStatus,
    settlement::{Agreement, Hold, HoldStatus, Order},
    state::entries::{agreement_key, hold_key, order_key, right_key},
};
use entrepot_chain_statement::{Did, Envelope, Hash};
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum Command {
    /// A right.
    Right(RightArguments),
    /// An agreement: its terms, how many orders it had, how many were paid out.
    Agreement(OfConsumer),
    /// An order: the parties' receipts and its hold.
    Order(OfConsumer),
    /// A hold: open, released or refunded, and since when.
    Hold(OfExchange),
    /// What a signed statement is about, found by the statement itself.
    Statement(StatementArguments),
}

#[derive(Args)]
pub struct RightArguments {
    /// Its name.
    #[arg(value_name = "HASH")]
    right: Hash,
    #[command(flatten)]
    when: When,
}

#[derive(Args)]
pub struct OfConsumer {
    /// Its public name.
    #[arg(value_name = "HASH")]
    name: Hash,
    /// Whose it is.
    #[arg(long, value_name = "DID")]
    consumer: Did,
    #[command(flatten)]
    when: When,
}

#[derive(Args)]
pub struct OfExchange {
    /// Its public name.
    #[arg(value_name = "HASH")]
    name: Hash,
    /// Whose it is.
    #[arg(long, value_name = "DID")]
    exchange: Did,
    #[command(flatten)]
    when: When,
}

#[derive(Args)]
pub struct StatementArguments {
    /// The signed envelope.
    #[arg(value_name = "FILE")]
    envelope: PathBuf,
    #[command(flatten)]
    when: When,
}

/// Of which state, and whose word.
#[derive(Args)]
pub struct When {
    /// After the block of this height; after the last one if absent.
    #[arg(long, value_name = "HEIGHT")]
    height: Option<u64>,
    #[command(flatten)]
    at: At,
}

/// An entry of the state, by what its key is made of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Right(Hash),
    Agreement(Did, Hash),
    Order(Did, Hash),
    Hold(Did, Hash),
}

pub async fn run(command: &Command, output: &Output) -> Outcome {
    let (entry, when) = match command {
        Command::Right(arguments) => (Entry::Right(arguments.right), &arguments.when),
        Command::Agreement(arguments) => (Entry::Agreement(arguments.consumer.clone(), arguments.name), &arguments.when),
        Command::Order(arguments) => (Entry::Order(arguments.consumer.clone(), arguments.name), &arguments.when),
        Command::Hold(arguments) => (Entry::Hold(arguments.exchange.clone(), arguments.name), &arguments.when),
        Command::Statement(arguments) => {
            let envelope = Envelope::from_json(&files::read(&arguments.envelope)?).map_err(Failure::bad_input)?;
            (Entry::of(&envelope)?, &arguments.when)
        }
    };
    show(&entry, when, output).await
}

pub async fn right(arguments: &RightArguments, output: &Output) -> Outcome {
    show(&Entry::Right(arguments.right), &arguments.when, output).await
}

async fn show(entry: &Entry, when: &When, output: &Output) -> Outcome {
    let (found, mut document) = entry.read(&when.at, when.height).await?;
    let words = json!({"height": document["height"], "entry": found});
    document["entry"] = found;
    output.result(&readable(&words), &document);
    Ok(())
}

impl Entry {
    /// What a statement is about.
    pub(super) fn of(envelope: &Envelope) -> Result<Self, Failure> {
        let mut signers = envelope.signers();
        let (Some(signer), None) = (signers.next().cloned(), signers.next()) else {
            return Err(Failure::bad_input("the chain keeps nothing of a statement that nobody or several signed"));
        };
        match envelope.facts().clone() {
            Facts::RightsRegistration { right, holder } => Ok(Self::Right(RightRecord::id(&envelope.leaf(), right, &holder))),
            Facts::Agreement { name, consumer, .. } => Ok(Self::Agreement(consumer, name)),
            Facts::Order { name, .. } => Ok(Self::Order(signer, name)),
            Facts::UsageReceipt { order, consumer, .. } => Ok(Self::Order(consumer, order)),
            Facts::Hold { name, .. } => Ok(Self::Hold(signer, name)),
            Facts::Release { hold, .. } | Facts::Refund { hold } => Ok(Self::Hold(signer, hold)),
            Facts::Unlogged | Facts::WorkerGrant | Facts::DataProduct => {
                Err(Failure::bad_input("the chain keeps nothing of a statement of this type besides its leaf"))
            }
        }
    }

    fn key(&self) -> Hash {
        match self {
            Self::Right(right) => right_key(right),
            Self::Agreement(consumer, name) => agreement_key(consumer, name),
            Self::Order(consumer, name) => order_key(consumer, name),
            Self::Hold(exchange, name) => hold_key(exchange, name),
        }
    }

    /// What a node says of it, in words, and with its proof.
    async fn read(&self, at: &At, height: Option<u64>) -> Result<(Value, Value), Failure> {
        let path = format!("/v1/chain/state/{}", self.key());
        let document = at.client()?.get(&with_query(&path, &[("height", height.map(|height| height.to_string()))])).await?;
        let wrong = || Failure::bad_input("the node's answer is no entry of a chain's state");
        let words = match document["value"].as_str() {
            None => Value::Null,
            Some(text) => self.words(&BASE64_STANDARD.decode(text).map_err(|_| wrong())?).map_err(|_| wrong())?,
        };
        Ok((words, document))
    }

    pub(super) fn words(&self, encoding: &[u8]) -> Result<Value, DecodeError> {
        Ok(match self {
            Self::Right(name) => of_right(name, &Right::decode(encoding)?),
            Self::Agreement(_, name) => of_agreement(name, &Agreement::decode(encoding)?),
            Self::Order(_, name) => of_order(name, &Order::decode(encoding)?),
            Self::Hold(_, name) => of_hold(name, &Hold::decode(encoding)?),
        })
    }
}

/// A right as a node has it now.
pub async fn read_right(at: &At, right: &Hash) -> Result<Right, Failure> {
    let document = at.client()?.get(&format!("/v1/chain/state/{}", right_key(right))).await?;
    let text = document["value"].as_str().ok_or_else(|| Failure::bad_input(format!("the chain knows no right {right}")))?;
    let decoded = BASE64_STANDARD.decode(text).ok().and_then(|encoding| Right::decode(&encoding).ok());
    decoded.ok_or_else(|| Failure::bad_input("the node's answer is no right"))
}

fn of_right(name: &Hash, right: &Right) -> Value {
    let (status, claimant) = match &right.status {
        RightStatus::Held => ("held", None),
        RightStatus::Disputed { claimant } => ("disputed", claimant.as_ref()),
        RightStatus::Cancelled => ("cancelled", None),
    };
    json!({
        "right": name,
        "kind": right.kind.as_str(),
        "status": status,
        "claimant": claimant,
        "holder": right.holder,
        "since_height": right.since.to_string(),
        "expires_at": right.expires.map(|expires| expires.0.to_string()),
        "leaf": right.leaf,
        "records": right.records.to_string(),
    })
}

fn of_agreement(name: &Hash, agreement: &Agreement) -> Value {
    json!({
        "agreement": name,
        "consumer": agreement.consumer,
        "exchange": agreement.exchange,
        "workers": agreement.workers,
        "uses": agreement.uses,
        "uses_max": agreement.uses_max,
        "orders": agreement.orders.to_string(),
        "split": agreement.split,
        "leaf": agreement.leaf,
    })
}

fn of_order(name: &Hash, order: &Order) -> Value {
    let receipts = (0_u8..).zip(&order.receipts).filter_map(|(party, receipt)| receipt.map(|receipt| (party, receipt)));
    let receipts: Vec<Value> =
        receipts.map(|(party, receipt)| json!({"party": party, "attempt": receipt.attempt, "leaf": receipt.leaf})).collect();
    json!({"order": name, "agreement": order.agreement, "hold": order.hold, "receipts": receipts, "leaf": order.leaf})
}

fn of_hold(name: &Hash, hold: &Hold) -> Value {
    let (status, end) = match hold.status {
        HoldStatus::Open => ("open", None),
        HoldStatus::Released { leaf, height } => ("released", Some((leaf, height))),
        HoldStatus::Refunded { leaf, height } => ("refunded", Some((leaf, height))),
    };
    let (closing, height) = end.unzip();
    json!({
        "hold": name,
        "status": status,
        "closing_leaf": closing,
        "closed_height": height.map(|height| height.to_string()),
        "consumer": hold.consumer,
        "order": hold.order,
        "leaf": hold.leaf,
    })
}
