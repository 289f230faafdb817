//! What an organisation does as a member: signed offline with its own key, for the channel of a genesis file that it knows. Whoever submits
//! something else signs in the same way.

use crate::{
    channels::check_name,
    client::Client,
    commands::chain::{
        genesis::{self, Rule},
        keys,
        read::{At, with_query},
        readable::readable,
    },
    exit::{ExitCode, Failure, Outcome},
    files,
    output::Output,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use clap::{Args, Subcommand};
use entrepot_chain_ledger::{MembersAction, MembersChange, MembersTransaction, Transaction};
use entrepot_chain_log::{codec::KnownKeys, consortium::Possession};
use entrepot_chain_statement::{Did, Hash, SigningKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Pages in which the organisation's last number is looked for.
const PAGES_MAX: usize = 20;
/// Transactions of a page.
const PAGE_ITEMS: u32 = 200;
/// Answers about a number, which do not use it up.
const NUMBER_CODES: [&str; 3] = ["stale_sequence", "sequence_gap", "bad_submitter_signature"];

/// Who acts, in which channel, and what becomes of the signed transaction.
#[derive(Args)]
pub struct Signing {
    /// The channel's genesis file, known beforehand: what is signed is good for this channel alone.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// The organisation's key file.
    #[arg(long, env = "ENTREPOT_KEY", value_name = "FILE")]
    key: PathBuf,
    /// The organisation's number for this transaction; asked of the node if absent.
    #[arg(long, value_name = "NUMBER", required_unless_present = "url")]
    sequence: Option<u64>,
    /// A node that takes transactions. Without it, or with --out, nothing is sent.
    #[arg(long, env = "ENTREPOT_URL", required_unless_present = "out")]
    url: Option<String>,
    /// PEM file of a certificate to believe besides the public authorities'.
    #[arg(long, env = "ENTREPOT_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Write the signed transaction here instead, for `entrepot chain submit`.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Args)]
pub struct ProposeArguments {
    #[command(subcommand)]
    change: Change,
}

#[derive(Subcommand)]
enum Change {
    /// Somebody becomes a member.
    Join {
        /// Its description, made with `entrepot chain keys`.
        #[arg(long, value_name = "FILE")]
        member: PathBuf,
        #[command(flatten)]
        signing: Signing,
    },
    /// A member is one no longer.
    Remove {
        /// The organisation.
        #[arg(long, value_name = "DID")]
        member: Did,
        #[command(flatten)]
        signing: Signing,
    },
    /// One member goes and another comes, at once.
    Replace {
        /// Who goes.
        #[arg(long, value_name = "DID")]
        leaves: Did,
        /// Description of who comes.
        #[arg(long, value_name = "FILE")]
        joins: PathBuf,
        #[command(flatten)]
        signing: Signing,
    },
    /// Changes need other consent from then on.
    Rule {
        /// Whose consent they need.
        #[arg(long, value_enum)]
        rule: Rule,
        #[command(flatten)]
        signing: Signing,
    },
}

#[derive(Args)]
pub struct VoteArguments {
    /// Hash of the transaction that proposed the change.
    #[arg(long, value_name = "HASH")]
    proposal: Hash,
    /// Vote for it.
    #[arg(long, required_unless_present = "reject", conflicts_with = "reject")]
    approve: bool,
    /// Vote against it.
    #[arg(long)]
    reject: bool,
    #[command(flatten)]
    signing: Signing,
}

#[derive(Args)]
pub struct RotateArguments {
    /// A new folder for the new keys of the node.
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    #[command(flatten)]
    signing: Signing,
}

#[derive(Args)]
pub struct LeaveArguments {
    #[command(flatten)]
    signing: Signing,
}

#[derive(Args)]
pub struct SubmitArguments {
    /// What --out wrote.
    #[arg(long, value_name = "FILE")]
    transaction: PathBuf,
    #[command(flatten)]
    at: At,
}

pub async fn propose(arguments: &ProposeArguments, output: &Output) -> Outcome {
    let (change, possession, signing) = match &arguments.change {
        Change::Join { member, signing } => {
            let (joins, possession) = keys::read_member(member)?;
            (MembersChange::Join(joins), Some(possession), signing)
        }
        Change::Remove { member, signing } => (MembersChange::Leave(member.clone()), None, signing),
        Change::Replace { leaves, joins, signing } => {
            let (joins, possession) = keys::read_member(joins)?;
            (MembersChange::Replace { leaves: leaves.clone(), joins }, Some(possession), signing)
        }
        Change::Rule { rule, signing } => (MembersChange::SetRule((*rule).into()), None, signing),
    };
    signing.act(MembersAction::Propose(change), possession, output).await
}

pub async fn vote(arguments: &VoteArguments, output: &Output) -> Outcome {
    arguments.signing.act(MembersAction::Vote { proposal: arguments.proposal, approve: arguments.approve }, None, output).await
}

pub async fn rotate(arguments: &RotateArguments, output: &Output) -> Outcome {
    keys::refuse_present(&arguments.keys)?;
    // On disk before anybody is told that they count.
    let organisation = files::read_key(&arguments.signing.key)?.signing.did();
    let (keys, possession) = keys::make_node_keys(&arguments.keys, &organisation)?;
    arguments.signing.act(MembersAction::RotateKeys(keys), Some(possession), output).await
}

pub async fn leave(arguments: &LeaveArguments, output: &Output) -> Outcome {
    let own = files::read_key(&arguments.signing.key)?.signing.did();
    arguments.signing.act(MembersAction::Propose(MembersChange::Leave(own)), None, output).await
}

pub async fn submit(arguments: &SubmitArguments, output: &Output) -> Outcome {
    let signed = Signed::read(&arguments.transaction)?;
    send(&in_channel_of(arguments.at.client()?, &signed.genesis).await?, &signed, output).await
}

impl Signing {
    async fn act(&self, action: MembersAction, possession: Option<Possession>, output: &Output) -> Outcome {
        let make =
            |genesis: &Hash, sequence, key: &SigningKey| Ok(MembersTransaction::sign(genesis, action, possession, sequence, key).into());
        self.submit(make, output).await
    }

    /// Makes a transaction of the channel with this genesis digest, under this number and key; sends it or keeps it.
    pub(super) async fn submit(
        &self,
        make: impl FnOnce(&Hash, u64, &SigningKey) -> Result<Transaction, Failure>,
        output: &Output,
    ) -> Outcome {
        let (genesis, key) = (genesis::read(&self.genesis)?.digest(), files::read_key(&self.key)?.signing);
        let client = match &self.url {
            Some(url) => Some(in_channel_of(Client::new(url, self.ca.as_deref())?, &genesis).await?),
            None => None,
        };
        let sequence = match (self.sequence, &client) {
            (Some(sequence), _) => sequence,
            (None, Some(client)) => next_sequence(client, &key.did()).await?,
            (None, None) => return Err(Failure::bad_input("give --sequence, or --url to ask a node for it")),
        };
        let signed = Signed::of(&make(&genesis, sequence, &key)?, &genesis);
        match (&self.out, &client) {
            (Some(path), _) => signed.write(path, output),
            (None, Some(client)) => send(client, &signed, output).await,
            (None, None) => Err(Failure::bad_input("give --url to submit the transaction, or --out to keep it")),
        }
    }
}

/// Format and version of a signed transaction in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum SignedFormat {
    /// The only one.
    #[default]
    #[serde(rename = "entrepot.transaction.v1")]
    V1,
}

/// A signed transaction, on its way to a node.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signed {
    format: SignedFormat,
    /// Digest of the genesis of the channel that it is for.
    pub(super) genesis: Hash,
    /// Its identity.
    pub(super) hash: Hash,
    /// Its encoding, in base64.
    pub(super) transaction: String,
}

impl Signed {
    fn of(transaction: &Transaction, genesis: &Hash) -> Self {
        let encoded = BASE64_STANDARD.encode(transaction.encode());
        Self { format: SignedFormat::V1, genesis: *genesis, hash: transaction.hash(), transaction: encoded }
    }

    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let wrong = |why: String| Failure::bad_input(format!("{} is no signed transaction: {why}", path.display()));
        let signed: Self = serde_json::from_slice(&files::read(path)?).map_err(|error| wrong(error.to_string()))?;
        let encoded = BASE64_STANDARD.decode(&signed.transaction).map_err(|error| wrong(error.to_string()))?;
        let transaction = Transaction::decode(&encoded, &mut KnownKeys::default()).map_err(|error| wrong(error.to_string()))?;
        if transaction.hash() == signed.hash { Ok(signed) } else { Err(wrong("its hash is another".to_owned())) }
    }

    fn write(&self, path: &Path, output: &Output) -> Outcome {
        let document = serde_json::to_value(self).map_err(anyhow::Error::from)?;
        files::write_public(path, format!("{document:#}\n").as_bytes())?;
        output.result(&format!("transaction {} is in {}", self.hash, path.display()), &document);
        Ok(())
    }
}

/// Asks the node for the channel that is meant, whatever its name is there: what is signed would be refused by any other.
async fn in_channel_of(client: Client, genesis: &Hash) -> Result<Client, Failure> {
    let listed = client.get("/v1/channels").await?;
    let mut channels = listed["items"].as_array().into_iter().flatten();
    let found = channels.find(|channel| channel["genesis"] == genesis.to_string()).and_then(|channel| channel["channel"].as_str());
    let none = || Failure::bad_input(format!("the node serves no channel with the genesis {genesis}: name the right node or file"));
    let name = found.filter(|name| check_name(name).is_ok()).ok_or_else(none)?.to_owned();
    Ok(client.in_channel(Some(name)))
}

/// One more than the last number of the organisation that the chain used up, as the node tells; a wrong one is refused by the ledger.
async fn next_sequence(client: &Client, did: &Did) -> Result<u64, Failure> {
    let page_at = |cursor: Option<String>| {
        let fields = [("subject", Some(did.to_string())), ("limit", Some(PAGE_ITEMS.to_string())), ("cursor", cursor)];
        with_query("/v1/chain/transactions", &fields)
    };
    let (mut last, mut path) = (0, page_at(None));
    for _ in 0..PAGES_MAX {
        let page = client.get(&path).await?;
        for item in page["items"].as_array().into_iter().flatten() {
            let number_was_wrong = item["verdict"]["code"].as_str().is_some_and(|code| NUMBER_CODES.contains(&code));
            let counts = item["submitter"].as_str() == Some(did.as_str()) && !number_was_wrong;
            let sequence = item["sequence"].as_str().and_then(|text| text.parse::<u64>().ok());
            last = last.max(sequence.filter(|_| counts).unwrap_or(0));
        }
        // Newest first: the first page that has one of its own has the last.
        match page["next_cursor"].as_str() {
            Some(cursor) if last == 0 => path = page_at(Some(cursor.to_owned())),
            _ => return Ok(last + 1),
        }
    }
    Err(Failure::new(ExitCode::Refused, "the node has too many transactions of others about this organisation: give --sequence"))
}

async fn send(client: &Client, signed: &Signed, output: &Output) -> Outcome {
    let answer = client.post("/v1/chain/transactions", &json!({"transaction": signed.transaction})).await?;
    output.result(&format!("transaction {}\n{}", signed.hash, readable(&answer)), &answer);
    // A transaction that the ledger rejected is no success of whoever sent it.
    match rejection(&answer) {
        Some(code) => Err(Failure::new(ExitCode::Refused, format!("the ledger rejected the transaction: {code}"))),
        None => Ok(()),
    }
}

/// The code of a rejection.
pub(super) fn rejection(answer: &Value) -> Option<&str> {
    let verdict = &answer["verdict"];
    if verdict["status"] == "rejected" { verdict["code"].as_str().or(Some("rejected")) } else { None }
}
