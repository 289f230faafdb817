//! What is sent and what is written down: one encoding each, hostile bytes, and a log that was torn or changed.

#[path = "membership/mod.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod membership;

use entrepot_chain_consensus::{
    Evidence, Message, Record, Signature, Wal, WalError,
    context::{Address, BlockId, Chain, Height, Proposal, Vote},
};
use entrepot_chain_log::CommitCertificate;
use entrepot_chain_statement::Hash;
use malachite_types::{
    NilOrVal, PolkaCertificate, PolkaSignature, Round, RoundCertificate, RoundCertificateType, RoundSignature, SignedProposal, SignedVote,
    Timeout, VoteType,
};
use proptest::prelude::*;
use std::{fs, path::Path};

fn vote(kind: VoteType, height: u64, round: u32, block: Option<u8>) -> SignedVote<Chain> {
    let block = block.map_or(NilOrVal::Nil, |block| NilOrVal::Val(Hash([block; 32])));
    SignedVote::new(Vote { kind, height: Height(height), round: Round::new(round), block, member: Address([3; 32]) }, Signature([4; 64]))
}

fn proposal(height: u64, round: u32, valid_round: Round) -> SignedProposal<Chain> {
    let block = BlockId(Hash([5; 32]));
    SignedProposal::new(
        Proposal { height: Height(height), round: Round::new(round), block, valid_round, member: Address([3; 32]) },
        Signature([6; 64]),
    )
}

fn polka() -> PolkaCertificate<Chain> {
    let polka_signatures = (0..3).map(|at| PolkaSignature::new(Address([at; 32]), Signature([at; 64]))).collect();
    PolkaCertificate { height: Height(9), round: Round::new(1), value_id: Hash([7; 32]), polka_signatures }
}

fn messages() -> Vec<Message> {
    let signature = |at| RoundSignature::new(VoteType::Precommit, NilOrVal::Nil, Address([at; 32]), Signature([at; 64]));
    let round = RoundCertificate {
        height: Height(3),
        round: Round::new(2),
        cert_type: RoundCertificateType::Precommit,
        round_signatures: (0..3).map(signature).collect(),
    };
    let key = membership::key(1, 2).did();
    let certificate = CommitCertificate { height: 1, round: 0, block: Hash([1; 32]), signatures: [(key.clone(), [9; 64])].into() };
    vec![
        Message::Status(12),
        Message::Vote(vote(VoteType::Prevote, 1, 0, None)),
        Message::Vote(vote(VoteType::Precommit, u64::MAX, 7, Some(8))),
        Message::Proposal(proposal(4, 1, Round::Nil), vec![1, 2, 3]),
        Message::Polka(polka()),
        Message::Round(round),
        Message::Want(5),
        Message::Blocks(vec![(vec![1; 40], certificate.clone()), (vec![2; 3], certificate)]),
        Message::Transactions(vec![vec![1], vec![], vec![2; 100]]),
        Message::Cosignature { size: 3, key, line: "— a b".to_owned() },
    ]
}

fn records() -> Vec<Record> {
    let (round, valid_round, proposer) = (Round::new(1), Round::new(0), Address([1; 32]));
    vec![
        Record::Vote(vote(VoteType::Prevote, 5, 0, Some(1))),
        Record::Proposal(proposal(5, 1, Round::new(0))),
        Record::Polka(polka()),
        Record::Timeout(Timeout::propose(Round::new(3))),
        Record::Timeout(Timeout::precommit(Round::new(0))),
        Record::Value { round, valid_round, proposer, block: Hash([2; 32]), valid: true },
        Record::Block(vec![9; 300]),
    ]
}

#[test]
fn every_message_and_record_is_read_as_it_was_written() {
    for message in messages() {
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
    for record in records() {
        assert_eq!(Record::decode(&record.encode()), Ok(record));
    }
    let evidence = Evidence::Votes(vote(VoteType::Prevote, 1, 0, None), vote(VoteType::Prevote, 1, 0, Some(1)));
    assert_eq!(Evidence::decode(&evidence.encode()), Ok(evidence));
}

#[test]
fn the_encodings_do_not_change() {
    let all: Vec<u8> = messages().iter().flat_map(Message::encode).chain(records().iter().flat_map(Record::encode)).collect();
    assert_eq!(Hash::of(&[&all]).to_string(), "a26749c0de3d86eb3bc99009c6842e9eaa1c909761ce96d3e4bb7be043681efe");
}

#[test]
fn a_message_that_is_cut_short_or_goes_on_is_refused() {
    for message in messages() {
        let bytes = message.encode();
        for end in 0..bytes.len() {
            assert!(Message::decode(&bytes[..end]).is_err(), "{message:?} up to {end}");
        }
        assert!(Message::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
}

#[test]
fn a_changed_bit_is_an_error_or_another_message() {
    for message in messages() {
        let bytes = message.encode();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = Message::decode(&changed) {
                assert_ne!(other, message, "two encodings of one message");
                assert_eq!(other.encode(), changed);
            }
        }
    }
}

#[test]
fn announced_lengths_cost_nothing() {
    // A proposal that announces four gigabytes, and lists that announce 65,535 entries.
    let mut proposal = messages()[3].encode();
    let at = proposal.len() - 7;
    proposal[at..at + 4].copy_from_slice(&[0xff; 4]);
    assert!(Message::decode(&proposal).is_err());
    for kind in [7, 8] {
        assert!(Message::decode(&[1, kind, 0xff, 0xff]).is_err());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..400), kind in 0_u8..12) {
        for bytes in [bytes.clone(), [&[1, kind][..], &bytes].concat()] {
            if let Ok(message) = Message::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes.clone());
            }
            if let Ok(record) = Record::decode(&bytes) {
                prop_assert_eq!(record.encode(), bytes.clone());
            }
            let _any = Evidence::decode(&bytes);
        }
    }
}

const HEADER_BYTES: usize = 28;
const MARK_AND_LENGTH: usize = 12;

fn written(path: &Path, height: u64) -> Vec<Record> {
    let (mut wal, _) = Wal::open(path).expect("it can be made");
    wal.begin(height).expect("a disk");
    let records = records();
    records.iter().for_each(|record| wal.append(record));
    wal.sync().expect("a disk");
    records
}

#[test]
fn a_log_that_was_cut_anywhere_holds_what_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wal");
    let records = written(&path, 7);
    let bytes = fs::read(&path).expect("it is there");
    let mut lengths = Vec::new();
    // Everywhere would take long: each opening waits for the disk.
    for end in (HEADER_BYTES..bytes.len()).step_by(5).chain([bytes.len()]) {
        fs::write(&path, &bytes[..end]).expect("a disk");
        let (mut wal, found) = Wal::open(&path).expect("torn, not damaged");
        assert_eq!(wal.height(), 7);
        assert!(records.starts_with(&found));
        lengths.push(found.len());
        // It goes on behind what is whole.
        wal.append(&records[3]);
        wal.sync().expect("a disk");
        drop(wal);
        let (_, again) = Wal::open(&path).expect("it is whole");
        assert_eq!(again, [&found[..], &records[3..4]].concat());
    }
    assert_eq!(lengths.last(), Some(&records.len()));
    assert!(lengths.is_sorted());
}

#[test]
fn a_change_before_the_last_record_is_found_and_nothing_is_signed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wal");
    written(&path, 7);
    let bytes = fs::read(&path).expect("it is there");
    let last = bytes.len() - (16 + 302);
    for at in (0..last).step_by(3) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        fs::write(&path, &changed).expect("a disk");
        assert!(matches!(Wal::open(&path), Err(WalError::Damaged { .. })), "byte {at}");
    }
    // Of the last record a change cannot be told from a crash.
    for at in last..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        fs::write(&path, &changed).expect("a disk");
        assert_eq!(Wal::open(&path).expect("torn").1.len(), records().len() - 1);
    }
}

#[test]
fn what_a_crash_left_of_an_earlier_height_is_passed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wal");
    written(&path, 7);
    let earlier = fs::read(&path).expect("it is there");
    {
        let (mut wal, _) = Wal::open(&path).expect("it is whole");
        wal.begin(8).expect("a disk");
    }
    let header = fs::read(&path).expect("it is there");
    // The new header was written, the truncation was not.
    fs::write(&path, [&header[..HEADER_BYTES], &earlier[HEADER_BYTES..]].concat()).expect("a disk");
    let (wal, found) = Wal::open(&path).expect("it is whole");
    assert_eq!((wal.height(), found), (8, Vec::new()));
    drop(wal);
    // The other way about: records of a height whose header is not durable were never followed by a word.
    written(&path, 9);
    let later = fs::read(&path).expect("it is there");
    fs::write(&path, [&header[..HEADER_BYTES], &later[HEADER_BYTES..]].concat()).expect("a disk");
    let (wal, found) = Wal::open(&path).expect("nothing was said");
    assert_eq!((wal.height(), found), (8, Vec::new()));
}

#[test]
fn a_torn_block_that_holds_a_forged_record_is_torn_and_not_damaged() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wal");
    // Somebody who has seen the log of another height puts its records, and a million of their beginnings, into a block.
    written(&path, 6);
    let seen = fs::read(&path).expect("it is there").split_off(HEADER_BYTES);
    let forged = [seen.clone(), seen[..MARK_AND_LENGTH].repeat(100_000)].concat();
    let records = written(&path, 7);
    {
        let (mut wal, _) = Wal::open(&path).expect("it is whole");
        wal.append(&Record::Block(forged));
        wal.sync().expect("a disk");
    }
    let bytes = fs::read(&path).expect("it is there");
    fs::write(&path, &bytes[..bytes.len() - 1]).expect("a disk");
    assert_eq!(Wal::open(&path).expect("torn").1, records);
}

#[test]
fn whoever_forgets_a_damaged_log_locks_it_and_keeps_its_height() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wal");
    written(&path, 7);
    let mut bytes = fs::read(&path).expect("it is there");
    bytes[HEADER_BYTES + 3] ^= 1;
    fs::write(&path, &bytes).expect("a disk");
    assert!(matches!(Wal::open(&path), Err(WalError::Damaged { .. })));
    let held = Wal::open_damaged(&path).expect("it is free");
    assert_eq!(held.height(), 7);
    assert_eq!(fs::read(&path).expect("it is there"), bytes, "it was changed before the member knows that it forgets");
    assert!(matches!(Wal::open_damaged(&path), Err(WalError::Locked { .. })));
    drop(held);
    fs::write(&path, b"nothing that can be read").expect("a disk");
    assert_eq!(Wal::open_damaged(&path).expect("it is free").height(), 0);
}

#[test]
fn an_empty_file_is_no_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wal");
    assert!(!Wal::exists(&path));
    fs::write(&path, b"").expect("a disk");
    assert!(!Wal::exists(&path));
    written(&path, 1);
    assert!(Wal::exists(&path));
}

#[test]
fn one_process_at_a_time_has_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wal");
    let held = Wal::open(&path).expect("it can be made");
    assert!(matches!(Wal::open(&path), Err(WalError::Locked { .. })));
    drop(held);
    Wal::open(&path).expect("it is free");
}
