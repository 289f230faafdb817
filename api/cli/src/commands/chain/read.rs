//! Reading a chain at a node, over the REST interface that anybody has. The node is believed.

use crate::{
    channels::check_name,
    client::Client,
    commands::chain::readable::{line, readable},
    exit::{ExitCode, Failure, Outcome},
    output::Output,
};
use clap::Args;
use entrepot_chain_statement::{Did, Hash};
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};

/// Longest event that is read.
const EVENT_BYTES_MAX: usize = 4 << 20;
/// Before a stream that ended is asked for anew.
const STREAM_PAUSE: Duration = Duration::from_secs(1);

/// Which node.
#[derive(Args)]
pub struct At {
    /// Address of an exchange or a member's node.
    #[arg(long, env = "ENTREPOT_URL")]
    url: String,
    /// PEM file of a certificate to believe besides the public authorities'.
    #[arg(long, env = "ENTREPOT_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Its channel; its first if absent.
    #[arg(long, env = "ENTREPOT_CHANNEL", value_name = "NAME", value_parser = channel_name)]
    channel: Option<String>,
}

/// What `--channel` takes.
pub fn channel_name(text: &str) -> Result<String, &'static str> {
    check_name(text).map(|()| text.to_owned())
}

impl At {
    /// Its client.
    pub fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(&self.url, self.ca.as_deref())?.in_channel(self.channel.clone()))
    }

    async fn show(&self, path: &str, output: &Output) -> Outcome {
        let document = self.client()?.get(path).await?;
        output.result(&readable(&document), &document);
        Ok(())
    }
}

#[derive(Args)]
pub struct HeadArguments {
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub struct BlocksArguments {
    /// How many at most.
    #[arg(long, default_value_t = 20, value_name = "NUMBER")]
    limit: u32,
    /// Where an earlier answer's `next_cursor` goes on.
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub struct BlockArguments {
    /// Its height, or its hash.
    #[arg(value_name = "HEIGHT|HASH")]
    block: String,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub struct TransactionArguments {
    /// Its hash.
    #[arg(value_name = "HASH")]
    transaction: Hash,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub struct TransactionsArguments {
    /// Submitted by this key, or binding it.
    #[arg(long, value_name = "DID")]
    subject: Option<Did>,
    /// About this leaf.
    #[arg(long, value_name = "HASH")]
    leaf: Option<Hash>,
    /// In blocks from this moment on: milliseconds since 1970.
    #[arg(long, value_name = "MS")]
    since: Option<i64>,
    /// How many at most.
    #[arg(long, default_value_t = 50, value_name = "NUMBER")]
    limit: u32,
    /// Where an earlier answer's `next_cursor` goes on.
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub struct MembersArguments {
    /// Of the block of this height; of the next block if absent.
    #[arg(long, value_name = "HEIGHT")]
    height: Option<u64>,
    /// Every set of members since the genesis, oldest first.
    #[arg(long, conflicts_with = "height")]
    history: bool,
    /// Where an earlier answer's `next_cursor` goes on.
    #[arg(long, requires = "history")]
    cursor: Option<String>,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub struct EventsArguments {
    /// The first height; 1 if absent.
    #[arg(long, default_value_t = 1, value_name = "HEIGHT")]
    from: u64,
    /// Wait for what is still to come, instead of ending at the chain's head.
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    at: At,
}

pub async fn head(arguments: &HeadArguments, output: &Output) -> Outcome {
    arguments.at.show("/v1/chain/head", output).await
}

pub async fn channels(arguments: &HeadArguments, output: &Output) -> Outcome {
    arguments.at.show("/v1/channels", output).await
}

pub async fn blocks(arguments: &BlocksArguments, output: &Output) -> Outcome {
    let fields = [("limit", Some(arguments.limit.to_string())), ("cursor", arguments.cursor.clone())];
    arguments.at.show(&with_query("/v1/chain/blocks", &fields), output).await
}

pub async fn block(arguments: &BlockArguments, output: &Output) -> Outcome {
    let client = arguments.at.client()?;
    let path = format!("/v1/chain/blocks/{}", escaped(&arguments.block));
    let block = client.get(&path).await?;
    let transactions = client.get(&format!("{path}/transactions")).await?;
    let document = json!({"block": block, "transactions": transactions["items"], "next_cursor": transactions["next_cursor"]});
    output.result(&readable(&document), &document);
    Ok(())
}

pub async fn transaction(arguments: &TransactionArguments, output: &Output) -> Outcome {
    arguments.at.show(&format!("/v1/chain/transactions/{}", arguments.transaction), output).await
}

pub async fn transactions(arguments: &TransactionsArguments, output: &Output) -> Outcome {
    let fields = [
        ("subject", arguments.subject.as_ref().map(ToString::to_string)),
        ("leaf", arguments.leaf.as_ref().map(ToString::to_string)),
        ("since", arguments.since.map(|time| time.to_string())),
        ("limit", Some(arguments.limit.to_string())),
        ("cursor", arguments.cursor.clone()),
    ];
    arguments.at.show(&with_query("/v1/chain/transactions", &fields), output).await
}

pub async fn health(arguments: &HeadArguments, output: &Output) -> Outcome {
    arguments.at.show("/v1/chain/health", output).await
}

pub async fn members(arguments: &MembersArguments, output: &Output) -> Outcome {
    let path = match (arguments.height, arguments.history) {
        (_, true) => with_query("/v1/chain/members/history", &[("cursor", arguments.cursor.clone())]),
        (Some(height), _) => format!("/v1/chain/members?height={height}"),
        (None, _) => "/v1/chain/members".to_owned(),
    };
    arguments.at.show(&path, output).await
}

/// A path with the fields that are given.
pub(super) fn with_query(path: &str, fields: &[(&str, Option<String>)]) -> String {
    let given = fields.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={}", escaped(value))));
    let query = given.collect::<Vec<_>>().join("&");
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// Text that stands in a path or a query as itself.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Until it is stopped or, without `--follow`, at the head as it was at the beginning. What breaks off is asked for anew, from where it was.
pub async fn events(arguments: &EventsArguments, output: &Output) -> Outcome {
    let client = arguments.at.client()?;
    let last = if arguments.follow { None } else { Some(height_of(&client.get("/v1/chain/head").await?)) };
    let (mut reading, mut begun) = (Reading { client, output, next: arguments.from.max(1), last }, false);
    while !reading.is_over() {
        let before = reading.next;
        let read = reading.once().await;
        let progressed = reading.next > before;
        begun |= progressed;
        if let Err(failure) = read {
            let passes = failure.code == ExitCode::Unreachable && (progressed || (begun && arguments.follow));
            if !passes {
                return Err(failure);
            }
        }
        if !reading.is_over() {
            tokio::time::sleep(STREAM_PAUSE).await;
        }
    }
    Ok(())
}

/// How far a chain's events have been read.
struct Reading<'a> {
    client: Client,
    output: &'a Output,
    /// Height of the next block.
    next: u64,
    /// Height of the last one wanted.
    last: Option<u64>,
}

impl Reading<'_> {
    fn is_over(&self) -> bool {
        self.last.is_some_and(|last| self.next > last)
    }

    /// One stream, to its end: a node ends every stream after a while.
    async fn once(&mut self) -> Outcome {
        let mut stream = self.client.stream(&format!("/v1/chain/events?from={}", self.next)).await?;
        let mut events = Events::default();
        while let Some(piece) = stream.next().await? {
            for event in events.take(&piece)? {
                let document: Value = serde_json::from_str(&event.data).unwrap_or(Value::String(event.data));
                self.output.result(&line(&document), &document);
                self.next = event.height.map_or(self.next, |height| height.saturating_add(1)).max(self.next);
                if self.is_over() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Height of the last block.
fn height_of(head: &Value) -> u64 {
    head["height"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// One event of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Its id: a height.
    pub(super) height: Option<u64>,
    /// Its data, lines joined.
    pub(super) data: String,
}

/// Puts events together from pieces of a `text/event-stream`.
#[derive(Default)]
pub(super) struct Events {
    rest: Vec<u8>,
    id: Option<u64>,
    data: Vec<String>,
}

impl Events {
    /// The events that end in this piece.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<Vec<Event>, Failure> {
        self.rest.extend_from_slice(piece);
        let mut ended = Vec::new();
        while let Some(at) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=at).collect();
            ended.extend(self.line(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])));
        }
        let held = self.rest.len() + self.data.iter().map(String::len).sum::<usize>();
        if held > EVENT_BYTES_MAX {
            return Err(Failure::new(ExitCode::Refused, format!("the node sent an event of more than {EVENT_BYTES_MAX} bytes")));
        }
        Ok(ended)
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let (height, data) = (self.id.take(), std::mem::take(&mut self.data));
            return (!data.is_empty()).then(|| Event { height, data: data.join("\n") });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = value.parse().ok(),
            "data" => self.data.push(value.to_owned()),
            // Comments keep the connection alive; other fields are nobody's here.
            _ => {}
        }
        None
    }
}
