//! Between the wire and the market's commands and events.

use entrepot_api_wire::v1::{self as wire, ToWorker, from_worker, to_worker::Message};
use entrepot_chain_statement::{Envelope, ids::InvalidId};
use entrepot_exchange_market::workforce::{WorkerCommand, WorkerEvent};
use std::str::FromStr;

/// Longest stable code of a worker.
const CODE_BYTES_MAX: usize = 64;
/// Longest detail of a worker, in characters; the rest is cut off.
const DETAIL_CHARS_MAX: usize = 500;
/// Most sealed shares in one message: a party holds two.
const SHARES_MAX: usize = 3;

/// A message that is not one.
#[derive(Debug, thiserror::Error)]
pub(super) enum MessageError {
    /// No variant is set, or one that has no place after the greeting.
    #[error("an empty message, or one out of turn")]
    OutOfTurn,
    /// A field does not hold what it must.
    #[error("the field `{field}` is not valid")]
    Field {
        /// Which.
        field: &'static str,
    },
}

/// A heartbeat, or something for the market.
pub(super) enum Incoming {
    /// To be echoed.
    Heartbeat(u64),
    /// To be handed on.
    Event(Box<WorkerEvent>),
}

/// Reads a worker's message after the greeting.
pub(super) fn read(message: Option<from_worker::Message>) -> Result<Incoming, MessageError> {
    use from_worker::Message as From;
    let event = match message.ok_or(MessageError::OutOfTurn)? {
        From::Hello(_) => return Err(MessageError::OutOfTurn),
        From::Heartbeat(heartbeat) => return Ok(Incoming::Heartbeat(heartbeat.sequence)),
        From::DatasetDescribed(m) => WorkerEvent::DatasetDescribed {
            dataset_id: id(&m.dataset_id, "dataset_id")?,
            description: serde_json::from_slice(&m.description).map_err(|_| MessageError::Field { field: "description" })?,
        },
        From::DatasetRefused(m) => {
            WorkerEvent::DatasetRefused { dataset_id: id(&m.dataset_id, "dataset_id")?, code: code(m.code)?, detail: detail(&m.detail) }
        }
        From::WorkAccepted(m) => WorkerEvent::WorkAccepted { job_id: id(&m.job_id, "job_id")?, attempt: m.attempt },
        From::WorkRefused(m) => WorkerEvent::WorkRefused {
            job_id: id(&m.job_id, "job_id")?,
            attempt: m.attempt,
            code: code(m.code)?,
            detail: detail(&m.detail),
        },
        From::WorkProgress(m) => WorkerEvent::WorkProgress {
            job_id: id(&m.job_id, "job_id")?,
            attempt: m.attempt,
            done: m.done,
            total: m.total,
            step: code(m.step)?,
        },
        From::WorkFailed(m) => {
            WorkerEvent::WorkFailed { job_id: id(&m.job_id, "job_id")?, attempt: m.attempt, code: code(m.code)?, detail: detail(&m.detail) }
        }
        From::WorkFinished(m) => WorkerEvent::WorkFinished {
            job_id: id(&m.job_id, "job_id")?,
            attempt: m.attempt,
            receipt: Envelope::from_json(&m.receipt).map_err(|_| MessageError::Field { field: "receipt" })?,
        },
        From::SharesHandedOver(m) => WorkerEvent::SharesHandedOver { job_id: id(&m.job_id, "job_id")?, shares: shares(m.shares)? },
        From::CheckpointCosigned(m) => WorkerEvent::CheckpointCosigned { size: m.size, cosignature: m.cosignature },
        From::CheckpointRefused(m) => WorkerEvent::CheckpointRefused { known_size: m.known_size, code: code(m.code)? },
    };
    Ok(Incoming::Event(Box::new(event)))
}

fn id<T: FromStr<Err = InvalidId>>(text: &str, field: &'static str) -> Result<T, MessageError> {
    text.parse().map_err(|_| MessageError::Field { field })
}

/// A stable code: it goes to logs, metrics and other participants, so nothing but `[a-z0-9_]` gets through.
fn code(text: String) -> Result<String, MessageError> {
    let valid =
        !text.is_empty() && text.len() <= CODE_BYTES_MAX && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if valid { Ok(text) } else { Err(MessageError::Field { field: "code" }) }
}

/// Words for people: cut, and without control characters.
fn detail(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(DETAIL_CHARS_MAX).collect()
}

fn shares(shares: Vec<wire::SealedShare>) -> Result<Vec<(u8, Vec<u8>)>, MessageError> {
    if shares.len() > SHARES_MAX {
        return Err(MessageError::Field { field: "shares" });
    }
    let number = |share| u8::try_from(share).ok().filter(|share| *share < 3).ok_or(MessageError::Field { field: "share" });
    shares.into_iter().map(|share| Ok((number(share.share)?, share.ciphertext))).collect()
}

/// Writes a command.
pub(super) fn to_worker(command: WorkerCommand) -> ToWorker {
    let message = match command {
        WorkerCommand::DescribeDataset { dataset_id, name } => {
            Message::DescribeDataset(wire::DescribeDataset { dataset_id: dataset_id.into(), name })
        }
        WorkerCommand::WorkOrder(order) => Message::WorkOrder(wire::WorkOrder {
            job_id: order.job_id.into(),
            attempt: order.attempt,
            party: order.party.into(),
            product: order.product.to_json(),
            agreement: order.agreement.to_json(),
            order: order.order.to_json(),
            hold: order.hold.to_json(),
            grants: order.grants.iter().map(Envelope::to_json).collect(),
            peer_addresses: order.peer_addresses.into(),
            deadline_ms: order.deadline.0,
        }),
        WorkerCommand::AbortWork { job_id, attempt, code } => Message::AbortWork(wire::AbortWork { job_id: job_id.into(), attempt, code }),
        WorkerCommand::HandOverShares { job_id, release } => {
            Message::HandOverShares(wire::HandOverShares { job_id: job_id.into(), release: release.to_json() })
        }
        WorkerCommand::CosignCheckpoint { checkpoint, old_size, consistency } => Message::CosignCheckpoint(wire::CosignCheckpoint {
            checkpoint,
            old_size,
            consistency: consistency.into_iter().map(|hash| hash.0.to_vec()).collect(),
        }),
    };
    ToWorker { message: Some(message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_could_forge_a_log_line_is_refused() {
        for text in ["", "Two Words", "a\nb", "ä", &"a".repeat(65)] {
            assert!(code(text.to_owned()).is_err(), "{text:?}");
        }
        assert_eq!(code("worker_busy".to_owned()).ok().as_deref(), Some("worker_busy"));
    }

    #[test]
    fn a_detail_loses_control_characters_and_length() {
        assert_eq!(detail("a\u{1b}[31mb\n"), "a[31mb");
        assert_eq!(detail(&"x".repeat(10_000)).len(), DETAIL_CHARS_MAX);
    }

    #[test]
    fn a_greeting_after_the_greeting_is_out_of_turn() {
        let hello = from_worker::Message::Hello(wire::Hello::default());
        assert!(matches!(read(Some(hello)), Err(MessageError::OutOfTurn)));
        assert!(matches!(read(None), Err(MessageError::OutOfTurn)));
    }

    #[test]
    fn shares_are_numbered_0_to_2() {
        let share = |share| wire::SealedShare { share, ciphertext: vec![1] };
        assert!(shares(vec![share(0), share(2)]).is_ok());
        assert!(shares(vec![share(3)]).is_err());
        assert!(shares(vec![share(259)]).is_err());
        assert!(shares(vec![share(0); 4]).is_err());
    }
}
