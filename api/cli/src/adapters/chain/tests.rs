//! A node with one member, read as strangers read it.

use super::*;
use entrepot_api_server::chain::{TransactionKind, Verdict};
use entrepot_chain_ledger::{
    Facts, Leaf, LeafTransaction, MembersAction, MembersChange, MembersTransaction, RightAction, RightKind, RightRecord, RightTransaction,
    state::entries::{right_key, sequence_key},
};
use entrepot_chain_log::{
    bundle::Decisions,
    consortium::{MemberKeyring, MemberKeys, MemberRole, Members, TrustedChannel, VotingRule},
    state_tree::{StateProof, state_value},
};
use entrepot_chain_node::{NodeConfig, NodeKeys};
use entrepot_chain_statement::SigningKey;
use tempfile::TempDir;

const ORIGIN: &str = "entrepot/test";
const WAIT: Duration = Duration::from_secs(60);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn member(first: u8, name: &str) -> Member {
    let did = |purpose| key(first + purpose).did();
    let keys = MemberKeys { consensus: did(1), cosigning: did(2), transport: did(3) };
    Member { did: did(0), name: name.to_owned(), role: MemberRole::Member, keys }
}

fn genesis() -> Genesis {
    Genesis::new(ORIGIN, VotingRule::Majority, &Members::new(vec![member(10, "one")]).expect("one member")).expect("a genesis")
}

/// The only member's organisation.
fn organisation() -> SigningKey {
    key(10)
}

fn open(connected: &[u8], strangers: Strangers) -> (TempDir, NodeChain) {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = NodeKeys { log: key(9), consensus: key(11), cosigning: key(12), transport: key(13) };
    let orderer = keys.sole_member(&genesis());
    let config = NodeConfig { path: folder.path().join("chain"), genesis: genesis(), clock: Arc::new(|| Timestamp(1_700_000_000_000)) };
    let node = Node::open(config, keys, orderer).expect("a node");
    let connected: BTreeSet<Did> = connected.iter().map(|seed| key(*seed).did()).collect();
    (folder, NodeChain::new(node, Arc::new(move || connected.clone()), strangers))
}

/// The first is a right of key 70.
fn unsigned(number: u8) -> Leaf {
    let facts = match number {
        1 => Facts::RightsRegistration { right: RightKind::Hold, holder: key(70).did() },
        _ => Facts::DataProduct,
    };
    Leaf { salted: Hash([number; 32]), facts, binds: [key(70).did()].into(), signatures: [].into() }
}

fn entry(number: u8) -> Hash {
    unsigned(number).leaf()
}

fn leaf(number: u8, submitter: &SigningKey, sequence: u64) -> Transaction {
    let signature = key(70).sign(&entrepot_chain_statement::envelope::leaf_message(&entry(number)));
    let leaf = Leaf { signatures: [(key(70).did(), signature)].into(), ..unsigned(number) };
    LeafTransaction::sign(&genesis().digest(), leaf, sequence, submitter).into()
}

fn right(record: RightRecord, signers: &[&SigningKey], sequence: u64) -> Transaction {
    RightTransaction::sign(&genesis().digest(), record, signers, sequence, &organisation()).into()
}

async fn submit(chain: &NodeChain, transaction: &Transaction) -> TransactionStatus {
    let submitted = chain.submit(transaction.encode(), WAIT).await.expect("is taken");
    assert_eq!(submitted.hash, transaction.hash());
    submitted.status
}

fn place(status: &TransactionStatus) -> (u64, u32) {
    match status {
        TransactionStatus::Decided { at, .. } => (at.height, at.place),
        other => panic!("{other:?} is in no block"),
    }
}

fn everything() -> TransactionSearch {
    TransactionSearch { subject: None, leaf: None, from_height: 1 }
}

/// Everything that a search finds, in parts of two.
async fn pages(chain: &NodeChain, search: &TransactionSearch) -> Vec<(u64, u32)> {
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let part = chain.transactions(search, before, 2).await.expect("reads");
        assert!(part.items.len() <= 2);
        found.extend(part.items.iter().map(|record| place(&record.status)));
        before = part.next;
        if before.is_none() {
            return found;
        }
    }
}

/// Three blocks: a right, its renewal, and its transfer.
async fn with_right(chain: &NodeChain) -> RightRecord {
    let (holder, other) = (key(70), key(71));
    submit(chain, &leaf(1, &organisation(), 1)).await;
    let renewal = RightRecord {
        right: RightRecord::id(&entry(1), RightKind::Hold, &holder.did()),
        kind: RightKind::Hold,
        number: 1,
        action: RightAction::Renewal { expires: None },
    };
    submit(chain, &right(renewal.clone(), &[&holder], 2)).await;
    let transfer = RightRecord { number: 2, action: RightAction::Transfer { to: other.did() }, ..renewal };
    let status = submit(chain, &right(transfer.clone(), &[&holder, &other], 3)).await;
    assert!(matches!(status, TransactionStatus::Decided { verdict: Verdict::Accepted { index: None }, .. }), "{status:?}");
    transfer
}

#[tokio::test]
async fn a_gap_is_no_verdict() {
    let (_folder, chain) = open(&[], Strangers::Refused);
    let early = leaf(2, &organisation(), 2);
    let told = chain.submit(early.encode(), WAIT).await;
    assert!(matches!(told, Err(SubmitError::Early { expected: 1 })), "{told:?}");
    submit(&chain, &leaf(1, &organisation(), 1)).await;
    let status = submit(&chain, &early).await;
    assert!(matches!(status, TransactionStatus::Decided { verdict: Verdict::Accepted { index: Some(1) }, .. }), "{status:?}");
}

#[tokio::test]
async fn a_transaction_is_taken_once_and_its_verdict_is_told_again() {
    let (_folder, chain) = open(&[], Strangers::Refused);
    let transaction = leaf(1, &organisation(), 1);
    let status = submit(&chain, &transaction).await;
    assert!(matches!(status, TransactionStatus::Decided { verdict: Verdict::Accepted { index: Some(0) }, .. }), "{status:?}");
    assert_eq!(submit(&chain, &transaction).await, status);
    let record = chain.transaction(&transaction.hash()).await.expect("reads").expect("is there");
    assert_eq!((record.kind, record.action.as_str(), record.leaf), (TransactionKind::Leaf, "rights-registration", Some(entry(1))));
    assert_eq!((record.status, record.binds, record.encoded), (status, vec![key(70).did()], transaction.encode()));
    assert_eq!(chain.node.head().height, 1);
    assert!(chain.waiting().is_empty());
    // Wrong beyond doubt: in no block.
    let foreign = LeafTransaction {
        submitter_signature: [0; 64],
        ..match leaf(2, &organisation(), 2) {
            Transaction::Leaf(leaf) => leaf,
            _ => unreachable!("it is a leaf"),
        }
    };
    let answered = submit(&chain, &foreign.into()).await;
    let TransactionStatus::Answered(Verdict::Rejected { code, .. }) = &answered else { panic!("{answered:?}") };
    assert_eq!(code, "bad_submitter_signature");
    let malformed = chain.submit(vec![1, 2, 3], WAIT).await;
    assert!(matches!(malformed, Err(SubmitError::Malformed { .. })), "{malformed:?}");
}

#[tokio::test]
async fn who_is_no_member_submits_nothing_or_leaves_and_rights_alone() {
    let stranger = key(90);
    let joins = MembersAction::Propose(MembersChange::Join(member(90, "stranger")));
    let joins: Transaction = MembersTransaction::sign(&genesis().digest(), joins, None, 1, &stranger).into();
    let (_folder, closed) = open(&[], Strangers::Refused);
    for transaction in [&leaf(1, &stranger, 1), &joins] {
        let refused = closed.submit(transaction.encode(), WAIT).await;
        assert!(matches!(refused, Err(SubmitError::Stranger)), "{refused:?}");
    }
    let (_folder, open) = open(&[], Strangers::Taken);
    assert_eq!(place(&submit(&open, &leaf(1, &stranger, 1)).await), (1, 0));
    let refused = open.submit(joins.encode(), WAIT).await;
    assert!(matches!(refused, Err(SubmitError::Stranger)), "{refused:?}");
}

#[tokio::test]
async fn transactions_are_found_by_whose_they_are_and_what_they_are_about() {
    let (_folder, chain) = open(&[], Strangers::Refused);
    with_right(&chain).await;
    submit(&chain, &leaf(2, &organisation(), 4)).await;
    assert_eq!(pages(&chain, &everything()).await, [(4, 0), (3, 0), (2, 0), (1, 0)]);
    assert_eq!(pages(&chain, &TransactionSearch { from_height: 3, ..everything() }).await, [(4, 0), (3, 0)]);
    let about = TransactionSearch { leaf: Some(entry(1)), ..everything() };
    assert_eq!(pages(&chain, &about).await, [(3, 0), (2, 0), (1, 0)]);
    let of = |seed| TransactionSearch { subject: Some(key(seed).did()), ..everything() };
    assert_eq!(pages(&chain, &of(70)).await, [(4, 0), (3, 0), (2, 0), (1, 0)]);
    assert_eq!(pages(&chain, &of(71)).await, [(3, 0)]);
    assert_eq!(pages(&chain, &of(72)).await, []);
    assert_eq!(pages(&chain, &TransactionSearch { leaf: Some(entry(2)), ..of(70) }).await, [(4, 0)]);
    assert_eq!(pages(&chain, &TransactionSearch { from_height: 4, ..of(70) }).await, [(4, 0)]);
    let part = chain.transactions_of(3, 0, 5).await.expect("reads");
    assert_eq!((part.items.len(), part.items[0].action.as_str(), part.next), (1, "transfer", None));
    for (height, from) in [(3, 1), (5, 0), (0, 0)] {
        assert_eq!(chain.transactions_of(height, from, 5).await.expect("reads"), Part::empty(), "{height} {from}");
    }
}

#[tokio::test]
async fn what_was_pruned_is_told_as_such() {
    let (_folder, chain) = open(&[], Strangers::Refused);
    with_right(&chain).await;
    assert_eq!(chain.node.prune(1).expect("prunes"), 3);
    let is_pruned = |error: ChainError| matches!(error, ChainError::Pruned { first_height: 3 });
    assert!(chain.transactions_of(2, 0, 5).await.is_err_and(is_pruned));
    assert!(chain.certificate(2).await.is_err_and(is_pruned));
    assert!(chain.transaction(&leaf(1, &organisation(), 1).hash()).await.is_err_and(is_pruned));
    assert_eq!(pages(&chain, &everything()).await, [(3, 0)]);
    assert!(chain.block(BlockName::Height(1)).await.expect("reads").is_some(), "headers stay");
    // Nothing is claimed that cannot be shown any more.
    assert_eq!(decisions(&chain.node, &[1].into()).expect("reads"), None);
}

#[tokio::test]
async fn the_state_is_proved_and_numbers_are_not_kept() {
    let (_folder, chain) = open(&[], Strangers::Refused);
    let record = with_right(&chain).await;
    let (key, none) = (right_key(&record.right), right_key(&Hash([9; 32])));
    for (key, height, is_there) in [(key, 1, true), (key, 3, true), (none, 3, false)] {
        let entry = chain.state(&key, Some(height)).await.expect("reads").expect("is there");
        assert_eq!(entry.value.is_some(), is_there);
        let proof = StateProof::decode(&entry.proof).expect("a proof");
        let value = entry.value.as_deref().map(state_value);
        proof.verify(&entry.header.state_root, &key, value.as_ref()).expect("leads to the root");
        assert_eq!((entry.header.height, entry.certificate.block), (height, entry.header.hash()));
    }
    assert_eq!(chain.state(&key, Some(4)).await.expect("reads"), None);
    let kept = chain.state(&sequence_key(&organisation().did()), None).await;
    assert!(matches!(kept, Err(ChainError::NotKept)), "{kept:?}");
}

#[tokio::test]
async fn members_and_peers_are_those_of_the_next_block() {
    // The transport key of whom is going to join.
    let (_folder, chain) = open(&[23], Strangers::Refused);
    let only = chain.members(None).await.expect("reads").expect("known");
    assert_eq!((only.height, only.members.count()), (1, 1));
    let joins = MembersAction::Propose(MembersChange::Join(member(20, "two")));
    let [consensus, cosigning, transport] = [key(21), key(22), key(23)];
    let keyring = MemberKeyring { consensus: &consensus, cosigning: &cosigning, transport: &transport };
    let shown = Some(keyring.possession(&key(20).did()));
    submit(&chain, &MembersTransaction::sign(&genesis().digest(), joins, shown, 1, &organisation()).into()).await;
    assert_eq!(chain.health().await.expect("reads").peers, [], "active a block later");
    for (height, count) in [(1, Some(1)), (2, Some(1)), (3, Some(2)), (4, None)] {
        let found = chain.members(Some(height)).await.expect("reads");
        assert_eq!(found.map(|found| found.members.count()), count, "{height}");
    }
    submit(&chain, &leaf(1, &organisation(), 2)).await;
    let health = chain.health().await.expect("reads");
    assert_eq!((health.height, health.member), (2, Some(organisation().did())));
    let [peer] = &health.peers[..] else { panic!("{:?}", health.peers) };
    assert_eq!((peer.name.as_str(), peer.connection), ("two", Connection::Open));
    let history = chain.members_history(None, 1).await.expect("reads");
    assert_eq!((history.items[0].from_height, history.next), (1, Some(1)));
    let history = chain.members_history(history.next, 5).await.expect("reads");
    let [epoch] = &history.items[..] else { panic!("{history:?}") };
    let (header, _) = epoch.proof.as_ref().expect("is proved");
    assert_eq!((epoch.from_height, header.height, header.next_members), (3, 2, epoch.members.digest()));
    assert_eq!(chain.members_history(Some(3), 5).await.expect("reads"), Part::empty());
    let found = decisions(&chain.node, &[1].into()).expect("reads").expect("is shown");
    assert_eq!(found.history.steps, [], "the change is of a later height");
}

#[tokio::test]
async fn decisions_lead_from_the_genesis_to_each_checkpoint() {
    let (_folder, chain) = open(&[], Strangers::Refused);
    with_right(&chain).await;
    submit(&chain, &leaf(2, &organisation(), 4)).await;
    let Decisions { history, headers } = decisions(&chain.node, &[1, 2].into()).expect("reads").expect("is shown");
    let walk = history.walk(&TrustedChannel { genesis: genesis().digest(), since: None }).expect("is believed");
    for (decided, height) in headers.iter().zip([1, 4]) {
        assert_eq!(walk.decides(decided).expect("is decided").count(), 1);
        assert_eq!(decided.header.height, height);
    }
    assert_eq!(decisions(&chain.node, &[3].into()).expect("reads"), None, "there is no such checkpoint");
    assert_eq!(decisions(&chain.node, &BTreeSet::new()).expect("reads"), None);
    let checkpoint = LogReader::checkpoint(&chain, Some(1)).await.expect("reads").expect("is there");
    assert!(checkpoint.starts_with(ORIGIN), "{checkpoint}");
    assert!(LogReader::proof(&chain, &entry(2)).await.expect("reads").is_some());
}
