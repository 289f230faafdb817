//! The ledger's facts: pinned encodings, what is rejected and why, and that shuffled, doubled and lost submissions end in one log.

use entrepot_chain_ledger::{
    Applied, ApplyError, Block, DecodeError, KnownKeys, Leaf, LeafKind, LeafLookup, LeafTransaction, LookupError, Outcome, Rejection,
    Signatures, State, Submission,
};
use entrepot_chain_log::{Frontier, MerkleTree};
use entrepot_chain_statement::{Envelope, Hash, Money, SigningKey, Timestamp, ids::JobId, statements::Refund};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};

const ORIGIN: &str = "entrepot/test";

/// Stores leaves as a node would.
#[derive(Default)]
struct Stored(HashMap<Hash, u64>);

impl LeafLookup for Stored {
    fn index_of(&self, leaf: &Hash) -> Result<Option<u64>, LookupError> {
        Ok(self.0.get(leaf).copied())
    }
}

/// A member: its state and its leaves, and the tree that its nodes make.
struct Member {
    state: State,
    stored: Stored,
    tree: MerkleTree,
}

impl Member {
    fn new() -> Self {
        Self { state: State::genesis(ORIGIN), stored: Stored::default(), tree: MerkleTree::new() }
    }

    fn keep(&mut self, applied: Applied) {
        for (index, leaf) in (self.state.log_size()..).zip(&applied.leaves) {
            self.stored.0.insert(*leaf, index);
            self.tree.push(&leaf.0);
        }
        self.state = applied.state;
    }

    /// Drafts a block, keeps it, and answers.
    fn submit(&mut self, at: i64, submissions: Vec<LeafTransaction>) -> (Option<Block>, Vec<Outcome>) {
        let draft = self.state.draft(&self.stored, Timestamp(at), Submission::check(ORIGIN, submissions)).expect("lookups work");
        let outcomes = draft.applied.verdicts.iter().map(|verdict| verdict.outcome.clone()).collect();
        self.keep(draft.applied);
        (draft.block, outcomes)
    }

    fn one(&mut self, submission: LeafTransaction) -> Outcome {
        self.submit(1, vec![submission]).1.remove(0)
    }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// A signed refund: any statement will do.
fn envelope(seed: u64, signers: &[&SigningKey]) -> Envelope {
    let refund = Refund {
        job_id: JobId::compose(Timestamp(seed as i64), [3; 10]),
        order: Hash([4; 32]),
        hold: Hash([5; 32]),
        amount: Money { amount_minor: 6, currency: "EUR".parse().expect("a currency") },
        reason: "cancelled".to_owned(),
        refunded_at: Timestamp(7),
    };
    let mut salt = [0; 32];
    salt[..8].copy_from_slice(&seed.to_be_bytes());
    let mut envelope = Envelope::sign(&refund, signers[0], salt).expect("signs");
    for signer in &signers[1..] {
        envelope.countersign(signer).expect("signs");
    }
    envelope
}

fn leaf(seed: u64) -> Leaf {
    Leaf::of(&envelope(seed, &[&key(1), &key(2)])).expect("refunds are logged")
}

fn transaction(seed: u64, sequence: u64) -> LeafTransaction {
    LeafTransaction::sign(ORIGIN, leaf(seed), sequence, &key(9))
}

#[test]
fn encodings_never_change() {
    let mut member = Member::new();
    let (block, _) = member.submit(1_700_000_000_000, vec![transaction(1, 1), transaction(2, 2)]);
    let block = block.expect("a block");
    let pinned = [
        ("genesis", entrepot_chain_ledger::block::genesis_hash(ORIGIN)),
        ("transaction", transaction(1, 1).hash()),
        ("transaction bytes", Hash::of(&[&transaction(1, 1).encode()])),
        ("block", block.hash()),
        ("block bytes", Hash::of(&[&block.encode()])),
        ("state bytes", Hash::of(&[&member.state.encode()])),
        ("root", member.state.log_root()),
    ];
    let expected = [
        ("genesis", "c291446ab9189ab0432bac6efefbbb174be5ec69f9487aa35f7f1271fe871015"),
        ("transaction", "31a7726705621596d6968a72d5e88d08563dea004833cc76b4fd36f1a38171fc"),
        ("transaction bytes", "d8f516276e615773cdefe6fed4e7b702fad89e52e28df2772b0a8ce93f6e2d77"),
        ("block", "dbd4046a0027a076ef939a3f64f0b9969e483efb24189037ebd24eb768db4e81"),
        ("block bytes", "40833ded012ee3fd3721ac250ad2c54d3efafe5da712e8d8b863a1de3edd1a4e"),
        ("state bytes", "e43866038ea5118feb853dd6481a05be17f77d75f3c6c27b60e2f2ff62903614"),
        ("root", "f41e9bd200bb48e94609fe3a5ea7c05d14438c0334e7dad961ab25f113185f14"),
    ];
    let pinned = pinned.map(|(name, hash)| (name, hash.to_string()));
    let expected = expected.map(|(name, hash)| (name, hash.to_owned()));
    assert_eq!(pinned, expected);
}

#[test]
fn what_is_encoded_is_decoded_and_nothing_else() {
    let mut member = Member::new();
    let (block, _) = member.submit(5, vec![transaction(1, 1), transaction(2, 2)]);
    let block = block.expect("a block");
    let bytes = block.encode();
    assert_eq!(Block::decode(&bytes, &mut KnownKeys::default()).as_ref(), Ok(&block));
    for cut in 0..bytes.len() {
        assert!(Block::decode(&bytes[..cut], &mut KnownKeys::default()).is_err(), "cut at {cut}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Block::decode(&longer, &mut KnownKeys::default()), Err(DecodeError::Long));

    let state = member.state.encode();
    let load = |size| Frontier::load(&member.tree, size);
    assert_eq!(State::decode(&state, load).expect("decodes"), member.state);
    assert!(State::decode(&state, |_| Ok::<_, ()>(Frontier::default())).is_err(), "another tree");
}

#[test]
fn no_flipped_bit_of_a_block_is_accepted() {
    let mut member = Member::new();
    let (block, _) = member.submit(5, vec![transaction(1, 1), transaction(2, 2)]);
    let bytes = block.expect("a block").encode();
    let genesis = State::genesis(ORIGIN);
    // The moment of a block is the orderer's word: any that is not before the last block is as good.
    let time = 1 + 8 + 32..1 + 8 + 32 + 8;
    for at in (0..bytes.len()).filter(|at| !time.contains(at)) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let Ok(block) = Block::decode(&flipped, &mut KnownKeys::default()) else { continue };
        assert!(genesis.apply(&Stored::default(), &block, Signatures::Check).is_err(), "byte {at}");
    }
}

#[test]
fn a_leaf_that_was_logged_gets_its_index_again() {
    let mut member = Member::new();
    assert_eq!(member.one(transaction(1, 1)), Outcome::Accepted { index: 0 });
    assert_eq!(member.one(transaction(2, 2)), Outcome::Accepted { index: 1 });
    let (block, outcomes) = member.submit(1, vec![transaction(1, 1)]);
    assert_eq!((block, outcomes), (None, vec![Outcome::Accepted { index: 0 }]), "sent again as it was: no block");
    let (block, outcomes) = member.submit(1, vec![transaction(1, 3), transaction(3, 4)]);
    assert_eq!(outcomes, vec![Outcome::Accepted { index: 0 }, Outcome::Accepted { index: 2 }], "under a new number");
    assert_eq!(block.map(|block| block.transactions.len()), Some(2));
    assert_eq!(member.state.log_size(), 3);
}

#[test]
fn one_leaf_twice_in_one_block_is_appended_once() {
    let mut member = Member::new();
    let (_, outcomes) = member.submit(1, vec![transaction(1, 1), transaction(1, 2)]);
    assert_eq!(outcomes, vec![Outcome::Accepted { index: 0 }; 2]);
    assert_eq!(member.state.log_size(), 1);
}

#[test]
fn numbers_are_used_once_and_without_gaps() {
    let mut member = Member::new();
    assert_eq!(member.one(transaction(1, 2)), Outcome::Rejected(Rejection::SequenceGap { expected: 1 }));
    assert_eq!(member.one(transaction(1, 0)), Outcome::Rejected(Rejection::StaleSequence { expected: 1 }));
    assert_eq!(member.one(transaction(1, 1)), Outcome::Accepted { index: 0 });
    assert_eq!(member.one(transaction(2, 1)), Outcome::Rejected(Rejection::StaleSequence { expected: 2 }));
    assert_eq!(member.one(transaction(2, 2)), Outcome::Accepted { index: 1 });
    assert_eq!(member.state.height(), 2, "what was not in turn made no block");
}

#[test]
fn a_transaction_is_good_for_one_log_and_one_submitter() {
    let mut member = Member::new();
    let elsewhere = LeafTransaction::sign("entrepot/other", leaf(1), 1, &key(9));
    assert_eq!(member.one(elsewhere), Outcome::Rejected(Rejection::BadSubmitterSignature));
    let mut anothers = transaction(1, 1);
    anothers.submitter = key(8).did();
    assert_eq!(member.one(anothers), Outcome::Rejected(Rejection::BadSubmitterSignature));
}

#[test]
fn every_key_that_a_leaf_binds_must_sign_it_and_no_other() {
    let mut member = Member::new();
    let did = |seed| key(seed).did();
    let cases: [(Leaf, Rejection); 4] = [
        (Leaf { binds: BTreeSet::new(), signatures: BTreeMap::new(), ..leaf(1) }, Rejection::BindsNobody),
        (Leaf { binds: [did(1), did(2), did(3)].into(), ..leaf(1) }, Rejection::Unbound { key: did(3) }),
        (Leaf { binds: [did(1)].into(), ..leaf(1) }, Rejection::NotBound { key: did(2) }),
        (
            Leaf { signatures: leaf(2).signatures, ..leaf(1) },
            Rejection::BadSignature { key: leaf(1).binds.first().expect("a key").clone() },
        ),
    ];
    for (sequence, (bad, why)) in (1..).zip(cases) {
        let (block, outcomes) = member.submit(1, vec![LeafTransaction::sign(ORIGIN, bad, sequence, &key(9))]);
        assert_eq!(outcomes, vec![Outcome::Rejected(why)]);
        assert!(block.is_some(), "a rejection in turn is on the chain");
    }
    assert_eq!(member.state.log_size(), 0);
    assert_eq!(member.state.next_sequence(&did(9)), 5);
}

#[test]
fn a_block_that_does_not_follow_is_refused_by_name() {
    let mut member = Member::new();
    let before = member.state.clone();
    let (block, _) = member.submit(5, vec![transaction(1, 1)]);
    let block = block.expect("a block");
    let apply = |state: &State, block: &Block| state.apply(&Stored::default(), block, Signatures::Check).map(drop);
    assert!(apply(&before, &block).is_ok());
    assert!(matches!(apply(&member.state, &block), Err(ApplyError::Height { last: 1, found: 1 })));
    let changed = |change: &dyn Fn(&mut Block)| {
        let mut other = block.clone();
        change(&mut other);
        other
    };
    let other = changed(&|block| block.header.previous = Hash([1; 32]));
    assert!(matches!(apply(&before, &other), Err(ApplyError::Previous { height: 1 })));
    let other = changed(&|block| block.header.log_size = 2);
    assert!(matches!(apply(&before, &other), Err(ApplyError::Log { height: 1 })));
    let other = changed(&|block| block.header.log_root = Hash([1; 32]));
    assert!(matches!(apply(&before, &other), Err(ApplyError::Log { height: 1 })));
    let other = changed(&|block| block.transactions.push(transaction(2, 2)));
    assert!(matches!(apply(&before, &other), Err(ApplyError::Transactions { height: 1 })));
    let other = changed(&|block| block.transactions.clear());
    assert!(matches!(apply(&before, &other), Err(ApplyError::Count { height: 1, found: 0 })));
    let other = changed(&|block| {
        block.transactions.push(transaction(2, 7));
        block.header.transactions = entrepot_chain_ledger::block::transactions_digest(&block.transactions);
    });
    assert!(matches!(apply(&before, &other), Err(ApplyError::WithoutEffect { height: 1 })));
    let early = changed(&|block| {
        block.header.height = 2;
        block.header.previous = member.state.last_block();
        block.header.time = Timestamp(4);
    });
    assert!(matches!(apply(&member.state, &early), Err(ApplyError::Time { height: 2 })));
}

#[test]
fn replaying_own_blocks_trusts_only_leaves_that_are_stored_in_their_place() {
    let mut member = Member::new();
    let (block, _) = member.submit(5, vec![transaction(1, 1)]);
    let mut forged = block.expect("a block");
    let signature = forged.transactions[0].leaf.signatures.values_mut().next().expect("a signature");
    signature[0] ^= 1;
    forged.header.transactions = entrepot_chain_ledger::block::transactions_digest(&forged.transactions);
    let genesis = State::genesis(ORIGIN);
    assert!(genesis.apply(&member.stored, &forged, Signatures::Check).is_err());
    assert!(genesis.apply(&Stored::default(), &forged, Signatures::CheckedWhenStored).is_err(), "not stored: checked");
    assert!(genesis.apply(&member.stored, &forged, Signatures::CheckedWhenStored).is_ok(), "the hash chain guards what was stored");
}

#[test]
fn a_clock_that_goes_back_does_not_take_the_chain_back() {
    let mut member = Member::new();
    member.submit(10, vec![transaction(1, 1)]);
    let (block, _) = member.submit(3, vec![transaction(2, 2)]);
    assert_eq!(block.map(|block| block.header.time), Some(Timestamp(10)));
}

/// What a careful submitter does over an unreliable line: in order, again until answered. `line` says for each try whether the
/// submission is lost, the answer is lost, or the submission arrives twice; blocks are cut at random.
fn drive(submitters: usize, leaves: usize, line: &[u8]) -> Result<(), TestCaseError> {
    let mut member = Member::new();
    let mut follower = Member::new();
    let mut luck = line.iter().copied().cycle();
    let mut luck = move || luck.next().unwrap_or(0);
    let mut sent = vec![0usize; submitters];
    let mut acknowledged: BTreeMap<Hash, u64> = BTreeMap::new();
    let id = |who: usize, n: usize| (who * 1000 + n) as u64;
    let made: Vec<Vec<Leaf>> = (0..submitters).map(|who| (0..leaves).map(|n| leaf(id(who, n))).collect()).collect();
    let mut rounds = 0;
    while sent.iter().any(|sent| *sent < leaves) {
        rounds += 1;
        prop_assert!(rounds < 10_000, "no progress");
        let mut arriving: Vec<(usize, LeafTransaction)> = Vec::new();
        for who in 0..submitters {
            let sequence = member.state.next_sequence(&key(20 + who as u8).did());
            let ahead = usize::from(luck() % 4).min(leaves - sent[who]);
            for step in 0..ahead {
                let next = LeafTransaction::sign(ORIGIN, made[who][sent[who] + step].clone(), sequence + step as u64, &key(20 + who as u8));
                match luck() % 5 {
                    0 => {}
                    1 => arriving.extend([(who, next.clone()), (who, next)]),
                    _ => arriving.push((who, next)),
                }
            }
        }
        // A shuffle that the line decides.
        for at in (1..arriving.len()).rev() {
            arriving.swap(at, usize::from(luck()) % (at + 1));
        }
        let submissions = arriving.iter().map(|(_, transaction)| transaction.clone()).collect();
        let (block, outcomes) = member.submit(rounds, submissions);
        if let Some(block) = block {
            let applied = follower.state.apply(&follower.stored, &block, Signatures::Check);
            follower.keep(applied.map_err(|error| TestCaseError::fail(error.to_string()))?);
        }
        for ((_, transaction), outcome) in arriving.iter().zip(outcomes) {
            match outcome {
                Outcome::Accepted { index } => {
                    let before = acknowledged.insert(transaction.leaf.leaf, index);
                    prop_assert!(before.is_none_or(|before| before == index), "one leaf, two indices");
                }
                Outcome::Rejected(Rejection::SequenceGap { .. } | Rejection::StaleSequence { .. }) => {}
                Outcome::Rejected(other) => prop_assert!(false, "rejected: {other}"),
            }
        }
        for who in 0..submitters {
            // Half of the answers get lost; what was acknowledged is not sent again only if the submitter knows.
            while sent[who] < leaves && acknowledged.contains_key(&made[who][sent[who]].leaf) && luck() % 2 == 0 {
                sent[who] += 1;
            }
        }
    }
    prop_assert_eq!(member.state.log_size(), (submitters * leaves) as u64);
    let indices: BTreeSet<u64> = acknowledged.values().copied().collect();
    prop_assert_eq!(indices.len(), submitters * leaves);
    for own in &made {
        let places: Vec<u64> = own.iter().map(|leaf| acknowledged[&leaf.leaf]).collect();
        prop_assert!(places.is_sorted(), "a submitter's order is kept");
    }
    prop_assert_eq!(&member.state, &follower.state);
    prop_assert_eq!(member.state.log_root(), member.tree.root());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn lost_doubled_and_shuffled_submissions_end_in_one_log(
        submitters in 1usize..4,
        leaves in 1usize..6,
        line in proptest::collection::vec(any::<u8>(), 97),
    ) {
        // A line on which nothing ever arrives or is ever answered would not end.
        prop_assume!(line.iter().collect::<BTreeSet<_>>().len() > 20);
        drive(submitters, leaves, &line)?;
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut known = KnownKeys::default();
        if let Ok(block) = Block::decode(&bytes, &mut known) {
            prop_assert_eq!(block.encode(), bytes.clone());
        }
        if let Ok(transaction) = LeafTransaction::decode(&bytes, &mut known) {
            prop_assert_eq!(transaction.encode(), bytes);
        }
    }

    #[test]
    fn a_changed_transaction_is_another_or_none(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let bytes = transaction(1, 1).encode();
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] ^= 1 << bit;
        if let Ok(decoded) = LeafTransaction::decode(&changed, &mut KnownKeys::default()) {
            prop_assert_eq!(decoded.encode(), changed);
            let mut member = Member::new();
            prop_assert!(matches!(member.one(decoded), Outcome::Rejected(_)));
        }
    }
}

#[test]
fn kinds_keep_their_codes_and_words() {
    let codes: Vec<(u8, &str)> = LeafKind::ALL.iter().map(|kind| (kind.code(), kind.as_str())).collect();
    let expected = [
        (1, "worker-grant"),
        (2, "rights-registration"),
        (3, "data-product"),
        (4, "agreement"),
        (5, "order"),
        (6, "hold"),
        (7, "usage-receipt"),
        (8, "release"),
        (9, "refund"),
    ];
    assert_eq!(codes, expected);
    for kind in LeafKind::ALL {
        assert_eq!(LeafKind::from_code(kind.code()), Ok(kind));
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    assert!(LeafKind::from_code(0).is_err() && LeafKind::from_code(10).is_err() && "quote".parse::<LeafKind>().is_err());
}
