//! Where transactions are found again: by their hash, and by whose they are.

use super::{BlockRecord, ChainStore, SUBJECTS, TRANSACTIONS};
use crate::{
    NodeError,
    explore::{Place, TransactionVerdict},
};
use entrepot_chain_ledger::{MembersAction, MembersChange, Outcome, RightAction, Transaction};
use entrepot_chain_log::codec::{DecodeError, Reader};
use entrepot_chain_statement::{Did, Hash};
use rocksdb::{Direction, IteratorMode, WriteBatch};
use std::collections::BTreeMap;

const ACCEPTED: u8 = 0;
const LOGGED: u8 = 1;
const REJECTED: u8 = 2;

impl ChainStore {
    pub(super) fn put_index(&self, batch: &mut WriteBatch, record: &BlockRecord) -> Result<(), NodeError> {
        let height = record.block.header.height;
        let transactions = self.column(TRANSACTIONS)?;
        // One entry for each subject of a block: most blocks have few of them and many transactions of each.
        let mut subjects: BTreeMap<&Did, Vec<u8>> = BTreeMap::new();
        let all = record.block.transactions.iter().zip(&record.transactions).zip(&record.applied.verdicts);
        for (place, ((transaction, hash), verdict)) in (0_u32..).zip(all) {
            batch.put_cf(transactions, hash.0, encode_found(Place { height, place }, &verdict.outcome));
            for subject in subjects_of(transaction) {
                subjects.entry(subject).or_default().extend_from_slice(&place.to_be_bytes());
            }
        }
        let column = self.column(SUBJECTS)?;
        for (subject, places) in subjects {
            batch.put_cf(column, [&subject.public_bytes()[..], &height.to_be_bytes()].concat(), places);
        }
        Ok(())
    }

    /// Where the transaction with this hash is, and what became of it.
    pub fn transaction(&self, hash: &Hash) -> Result<Option<(Place, TransactionVerdict)>, NodeError> {
        let Some(bytes) = self.get(TRANSACTIONS, &hash.0)? else { return Ok(None) };
        decode_found(&bytes).map(Some).map_err(|_| NodeError::damaged(format!("the index of transaction {hash}")))
    }

    /// Places of transactions that this key submitted or that bind it, before a place, newest first.
    pub fn places_of(&self, subject: &Did, before: Place, limit: usize) -> Result<Vec<Place>, NodeError> {
        let prefix = subject.public_bytes();
        let from = [&prefix[..], &before.height.to_be_bytes()].concat();
        let mut found = Vec::new();
        for item in self.db.iterator_cf(self.column(SUBJECTS)?, IteratorMode::From(&from, Direction::Reverse)) {
            let (key, value) = item.map_err(NodeError::database("reading whose transactions are"))?;
            let Some(height) = key.strip_prefix(&prefix[..]) else { break };
            let height = height.try_into().map_err(|_| NodeError::damaged(format!("the index of {subject}")))?;
            let (places, rest) = value.as_chunks::<4>();
            if !rest.is_empty() {
                return Err(NodeError::damaged(format!("the index of {subject}")));
            }
            let places = places.iter().rev().map(|place| Place { height: u64::from_be_bytes(height), place: u32::from_be_bytes(*place) });
            found.extend(places.filter(|place| *place < before).take(limit - found.len()));
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }
}

/// Who submitted it, whom it binds, and of whom it speaks.
fn subjects_of(transaction: &Transaction) -> impl Iterator<Item = &Did> {
    let mut subjects = vec![transaction.submitter()];
    match transaction {
        Transaction::Leaf(transaction) => subjects.extend(&transaction.leaf.binds),
        Transaction::Right(transaction) => {
            subjects.extend(transaction.signatures.keys());
            match &transaction.record.action {
                RightAction::Resolve { holder } => subjects.push(holder),
                RightAction::Transfer { to } => subjects.push(to),
                RightAction::Dispute { claimant } => subjects.extend(claimant),
                RightAction::Change { .. } | RightAction::Renewal { .. } | RightAction::Cancellation => {}
            }
        }
        Transaction::Members(transaction) => match &transaction.action {
            MembersAction::Propose(MembersChange::Join(member)) => subjects.push(&member.did),
            MembersAction::Propose(MembersChange::Leave(member)) => subjects.push(member),
            MembersAction::Propose(MembersChange::Replace { leaves, joins }) => subjects.extend([leaves, &joins.did]),
            MembersAction::Propose(MembersChange::SetRule(_)) | MembersAction::Vote { .. } | MembersAction::RotateKeys(_) => {}
        },
    }
    subjects.sort_unstable();
    subjects.dedup();
    subjects.into_iter()
}

fn encode_found(place: Place, outcome: &Outcome) -> Vec<u8> {
    let mut out = Vec::with_capacity(21);
    out.extend_from_slice(&place.height.to_be_bytes());
    out.extend_from_slice(&place.place.to_be_bytes());
    match TransactionVerdict::from(outcome) {
        TransactionVerdict::Accepted => out.push(ACCEPTED),
        TransactionVerdict::Logged { index } => {
            out.push(LOGGED);
            out.extend_from_slice(&index.to_be_bytes());
        }
        TransactionVerdict::Rejected { code, reason } => {
            out.push(REJECTED);
            out.push(u8::try_from(code.len()).unwrap_or(u8::MAX));
            out.extend_from_slice(code.as_bytes());
            out.extend_from_slice(reason.as_bytes());
        }
    }
    out
}

fn decode_found(bytes: &[u8]) -> Result<(Place, TransactionVerdict), DecodeError> {
    let mut reader = Reader::new(bytes);
    let place = Place { height: reader.u64()?, place: reader.u32()? };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| DecodeError::Value("text"));
    let verdict = match reader.u8()? {
        ACCEPTED => TransactionVerdict::Accepted,
        LOGGED => TransactionVerdict::Logged { index: reader.u64()? },
        REJECTED => {
            let length = usize::from(reader.u8()?);
            let code = text(reader.take(length)?)?;
            let reason = text(reader.take(bytes.len().saturating_sub(14 + length))?)?;
            TransactionVerdict::Rejected { code, reason }
        }
        _ => return Err(DecodeError::Value("verdict")),
    };
    reader.end()?;
    Ok((place, verdict))
}
