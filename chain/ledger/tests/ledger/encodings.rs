//! Pinned encodings; what hostile bytes do not do.

use crate::support::{
    Node, Stored, consortium, genesis, key, keys, leaf, logged, member, organisation, possession, signed_leaf, transaction,
};
use entrepot_chain_ledger::{
    Block, DecodeError, Facts, KnownKeys, LeafTransaction, MembersAction, MembersChange, MembersTransaction, Outcome, Rejection, Right,
    RightAction, RightKind, RightRecord, RightTransaction, Signatures, State, Transaction,
    consortium::{Member, MemberRole, VotingRule},
};
use entrepot_chain_log::Frontier;
use entrepot_chain_statement::{Did, Hash, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn facts() -> [Facts; 9] {
    let (name, consumer) = (Hash([1; 32]), key(5).did());
    [
        Facts::WorkerGrant,
        Facts::RightsRegistration { right: RightKind::Process, holder: key(1).did() },
        Facts::DataProduct,
        Facts::Agreement {
            name,
            consumer: consumer.clone(),
            exchange: key(6).did(),
            workers: [7, 8, 9].map(|seed| key(seed).did()),
            uses_max: 3,
            split: Hash([2; 32]),
        },
        Facts::Order { name, agreement: Hash([3; 32]), sequence: 4 },
        Facts::Hold { name, order: Hash([3; 32]), consumer: consumer.clone() },
        Facts::UsageReceipt { order: Hash([3; 32]), consumer, attempt: 2, party: 1 },
        Facts::Release { hold: Hash([3; 32]), split: Hash([2; 32]) },
        Facts::Refund { hold: Hash([3; 32]) },
    ]
}

/// A transaction of each kind, and of each that a kind can be.
fn every_kind() -> Vec<(&'static str, Transaction)> {
    let genesis = genesis().digest();
    let joins = || member(3, MemberRole::Regulator);
    let actions = [
        ("join", MembersAction::Propose(MembersChange::Join(joins()))),
        ("leave", MembersAction::Propose(MembersChange::Leave(key(5).did()))),
        ("replace", MembersAction::Propose(MembersChange::Replace { leaves: key(5).did(), joins: joins() })),
        ("rule", MembersAction::Propose(MembersChange::SetRule(VotingRule::RegulatorVeto))),
        ("vote", MembersAction::Vote { proposal: Hash([7; 32]), approve: true }),
        ("rotation", MembersAction::RotateKeys(keys(3, 1))),
    ];
    let records = [
        ("transfer", RightAction::Transfer { to: key(2).did() }),
        ("change", RightAction::Change { leaf: Hash([8; 32]) }),
        ("renewal", RightAction::Renewal { expires: Some(Timestamp(9)) }),
        ("cancellation", RightAction::Cancellation),
        ("dispute", RightAction::Dispute { claimant: Some(key(3).did()) }),
        ("resolution", RightAction::Resolve { holder: key(2).did() }),
    ];
    let record = |action| RightRecord { right: Hash([6; 32]), kind: RightKind::Process, number: 4, action };
    let right = |action| RightTransaction::sign(&genesis, record(action), &[&key(1), &key(2)], 5, &key(9)).into();
    let members = |action| {
        let shown = possession(&organisation(100).did(), &action);
        MembersTransaction::sign(&genesis, action, shown, 5, &organisation(100)).into()
    };
    let leaf = |facts| logged(signed_leaf(1, facts, &[&key(1)]), 1, &key(9)).into();
    let mut all: Vec<(&'static str, Transaction)> = facts().map(|facts| (facts.kind().expect("logged").as_str(), leaf(facts))).into();
    all.extend(actions.map(|(name, action)| (name, members(action))));
    all.extend(records.map(|(name, action)| (name, right(action))));
    all
}

fn numbers(state: &State) -> BTreeMap<Did, u64> {
    state.sequences().map(|(submitter, last)| (submitter.clone(), last)).collect()
}

#[test]
fn encodings_never_change() {
    let mut node = Node::new();
    let (block, _) = node.submit(1_700_000_000_000, vec![transaction(1, 1), transaction(2, 2)]);
    let block = block.expect("a block");
    let mut pinned = vec![
        ("genesis".to_owned(), genesis().digest()),
        ("block".to_owned(), block.hash()),
        ("block bytes".to_owned(), Hash::of(&[&block.encode()])),
        ("state bytes".to_owned(), Hash::of(&[&node.state.encode()])),
        ("log root".to_owned(), node.state.log_root()),
        ("state root".to_owned(), node.state.state_root()),
    ];
    for (name, transaction) in every_kind() {
        pinned.push((name.to_owned(), transaction.hash()));
    }
    let expected = [
        ("genesis", "aaffe8dfc53702ecab3e9f4e2a5270d8f367727942e199b327bee659758d45db"),
        ("block", "fcee8a9173b0871f6c1bdd099bc61ded85067d9492bc90b0c9992e092ac14eaf"),
        ("block bytes", "d18d8940218b414af7a6af7abee9cb787238a4963d955c3fe9ca4ab5a201361d"),
        ("state bytes", "1b7874aca28aa5e51b0939c0ded2e7938ed2a3d6d30b5e67b6154ef6bfdc0852"),
        ("log root", "22cf46681076aa223b8e190c253d8ad09b1f68662ef180404dfc6e3de70e4e62"),
        ("state root", "0791427f42969ea6936bfe1b0c294f78a4684770d71cc1212da9815df05866c0"),
        ("worker-grant", "d5bc984e6372fe3b4f4087202e40ba20b4b4a2e0d0ce4800561738df63863f50"),
        ("rights-registration", "4512c0ee375710450f9b513d75515da4381b33a36a3457319aea37143ade877b"),
        ("data-product", "4f88c516532286020ab529530f208db595ff74f9d81f8d1299ca245d7ff4aa99"),
        ("agreement", "b71c85d5a7a4842903d7cd4640a67619387f428076d3aed66c8c6b3b89302749"),
        ("order", "aac5d35ed29b5e76a20abcd37781234edb94402fc3eb2cd5bc669e1a3e721da7"),
        ("hold", "6f7c1d7e74de6922f8dd9b69dff067d6088ac8d940754213578df60552097c3f"),
        ("usage-receipt", "0f44120f7ae0c9ec2f0f7b9eeba05bebfc914293753726a97e0d94cc811e469a"),
        ("release", "5484aa58d91facdd33cfc572331cf2bcdda4f4cca7f6d9ab51c4da6c127ab8a0"),
        ("refund", "9d6ebc25573baede5f98a969006892e1ea2d15e76e1f15dee093dc675fb1b179"),
        ("join", "9857e9a28206d59b0da26cdf6f193657ae98707eb555e41d1e06a16c8ddb4ba8"),
        ("leave", "a2a594afe538c9ad940eea80fc737ae1b77651abfbf290052364efd3cb52760c"),
        ("replace", "2b4197ae00a1049a2663c91ac102f8f9881cff8ba87f4b87077499a06c8ce363"),
        ("rule", "37ee4f93a636f19a8431295b4965a08714408325e4f6837c34e0e6f4ce60fd8b"),
        ("vote", "cd0fc836796ccdcc7e322a514608af174505c301e3a324b64d8f968f33919b07"),
        ("rotation", "56a5d884aec96c6594bd8201f4314aa398f032a77acfd1b6ac1d1d123fb079bf"),
        ("transfer", "8e2e415b6d2d35ced447c9d17d82bd58906cabcaae63ba047bdee70e5cdfb3b8"),
        ("change", "6b907592168f8fe5d4ccef7ee6f87ecd57dc277f0cba92dc6a01c20ab8bcf387"),
        ("renewal", "1fad8728e1a1b57757080d5d3f4568cd5a44f65d98c8701197c7ab05af6227d6"),
        ("cancellation", "c7086c3972c134653690bd6a49181fdff374ed164534f668ffb97a4501f45748"),
        ("dispute", "e14e45323be5478d07196be71e5e08819d19b446747daeeb191786d3af32955a"),
        ("resolution", "478eb85bace3a976d0f2272b9af44e427b2b2c02dd2e0d1a1ab6f58236223e50"),
    ];
    let pinned: Vec<_> = pinned.into_iter().map(|(name, hash)| (name, hash.to_string())).collect();
    let expected: Vec<_> = expected.map(|(name, hash): (&str, &str)| (name.to_owned(), hash.to_owned())).into();
    assert_eq!(pinned, expected);
}

#[test]
fn what_is_encoded_is_decoded_and_nothing_else() {
    let mut node = Node::new();
    let (block, _) = node.submit(5, vec![transaction(1, 1), transaction(2, 2)]);
    let block = block.expect("a block");
    let bytes = block.encode();
    assert_eq!(Block::decode(&bytes, &mut KnownKeys::default()).as_ref(), Ok(&block));
    for cut in 0..bytes.len() {
        assert!(Block::decode(&bytes[..cut], &mut KnownKeys::default()).is_err(), "cut at {cut}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Block::decode(&longer, &mut KnownKeys::default()), Err(DecodeError::Long));

    for (name, transaction) in every_kind() {
        let bytes = transaction.encode();
        assert_eq!(Transaction::decode(&bytes, &mut KnownKeys::default()), Ok(transaction), "{name}");
        for cut in 0..bytes.len() {
            assert!(Transaction::decode(&bytes[..cut], &mut KnownKeys::default()).is_err(), "{name} cut at {cut}");
        }
        assert!(Transaction::decode(&[&bytes[..], &[0]].concat(), &mut KnownKeys::default()).is_err(), "{name} and more");
    }

    let state = node.state.encode();
    let load = |size| Frontier::load(&node.tree, size);
    let sequences = numbers(&node.state);
    assert_eq!(State::decode(&state, sequences.clone(), load).expect("decodes"), node.state);
    assert_ne!(State::decode(&state, BTreeMap::new(), load).expect("decodes"), node.state, "other numbers");
    assert!(State::decode(&state, sequences, |_| Ok::<_, ()>(Frontier::default())).is_err(), "another tree");
}

#[test]
fn what_could_not_be_decoded_again_makes_no_block() {
    let mut node = Node::new();
    let genesis = genesis().digest();
    let name = "x".repeat(65);
    let change = MembersAction::Propose(MembersChange::Join(Member { name, ..member(3, MemberRole::Member) }));
    let mut wide = leaf(1);
    wide.binds = (0..17).map(|seed| key(seed).did()).collect();
    let record = RightRecord { right: Hash([6; 32]), kind: RightKind::Process, number: 0, action: RightAction::Cancellation };
    let signers: Vec<_> = (0..17).map(key).collect();
    let transactions: [Transaction; 3] = [
        MembersTransaction::sign(&genesis, change, None, 1, &organisation(100)).into(),
        LeafTransaction::sign(&genesis, wide, 1, &key(9)).into(),
        RightTransaction::sign(&genesis, record, &signers.iter().collect::<Vec<_>>(), 1, &key(9)).into(),
    ];
    for transaction in transactions {
        assert!(Transaction::decode(&transaction.encode(), &mut KnownKeys::default()).is_err());
        let (block, outcomes) = node.submit(1, vec![transaction]);
        assert_eq!((block, outcomes), (None, vec![Outcome::Rejected(Rejection::TooLong)]));
    }
}

#[test]
fn no_flipped_bit_of_a_block_is_accepted() {
    let mut node = Node::new();
    let (block, _) = node.submit(5, vec![transaction(1, 1), transaction(2, 2)]);
    let bytes = block.expect("a block").encode();
    let genesis = State::genesis(&genesis()).expect("a genesis");
    // The moment of a block is the orderer's word: any that is not before the last block is as good.
    let time = 1 + 8 + 32..1 + 8 + 32 + 8;
    for at in (0..bytes.len()).filter(|at| !time.contains(at)) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let Ok(block) = Block::decode(&flipped, &mut KnownKeys::default()) else { continue };
        assert!(genesis.apply(&Stored::default(), &block, Signatures::Check).is_err(), "byte {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut known = KnownKeys::default();
        if let Ok(block) = Block::decode(&bytes, &mut known) {
            prop_assert_eq!(block.encode(), bytes.clone());
        }
        if let Ok(right) = Right::decode(&bytes) {
            prop_assert_eq!(right.encode(), bytes.clone());
        }
        let _ = State::decode(&bytes, BTreeMap::new(), |_| Ok::<_, ()>(Frontier::default()));
        if let Ok(transaction) = Transaction::decode(&bytes, &mut known) {
            prop_assert_eq!(transaction.encode(), bytes);
        }
    }

    #[test]
    fn a_changed_transaction_is_another_or_none(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut all = every_kind();
        let (_, original) = all.swap_remove(which.index(all.len()));
        let bytes = original.encode();
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] ^= 1 << bit;
        if let Ok(decoded) = Transaction::decode(&changed, &mut KnownKeys::default()) {
            prop_assert_eq!(decoded.encode(), changed);
            prop_assert_ne!(decoded.hash(), original.hash());
            prop_assert_eq!(Node::new().one(decoded), Outcome::Rejected(Rejection::BadSubmitterSignature));
        }
    }

    #[test]
    fn a_changed_state_is_another_or_none(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut node = Node::founded(&consortium(VotingRule::Unanimous, (1..4).map(|seed| member(seed, MemberRole::Member)).collect()));
        let change = MembersAction::Propose(MembersChange::Leave(organisation(2).did()));
        node.one(MembersTransaction::sign(&node.state.genesis_digest(), change, None, 1, &organisation(1)));
        let bytes = node.state.encode();
        let decode = |bytes: &[u8]| State::decode(bytes, numbers(&node.state), |size| Frontier::load(&node.tree, size));
        prop_assert_eq!(&decode(&bytes).expect("decodes"), &node.state);
        let mut changed = bytes.clone();
        let at = at.index(bytes.len());
        prop_assert!(decode(&bytes[..at]).is_err());
        changed[at] ^= 1 << bit;
        if let Ok(decoded) = decode(&changed) {
            prop_assert_eq!(decoded.encode(), changed);
            prop_assert_ne!(decoded, node.state.clone());
        }
    }
}
