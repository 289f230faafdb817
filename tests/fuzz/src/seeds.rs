//! Writes something valid of each kind below a folder, a folder for each target: where a search among hostile bytes begins.

use entrepot_chain_consensus::{Message, Record, Wal};
use entrepot_chain_ledger::{
    BlockHeader, Leaf, LeafTransaction, MembersAction, MembersChange, MembersTransaction, RightAction, RightKind, RightRecord,
    RightTransaction, State, Submission, Transaction, consortium::VotingRule,
};
use entrepot_chain_log::{
    BundleEntry, Checkpoint, CommitCertificate, MerkleTree, NoteSigner, ReceiptBundle, SignedCheckpoint, TlogProof,
    consortium::{DecidedHeader, HistoryStart, MemberHistory, VoteKind, vote_message},
    state_tree::StateProof,
};
use entrepot_chain_statement::{
    Envelope, Hash, Money,
    ids::{JobId, OrderId},
    statements::{Order, Refund},
};
use entrepot_fuzz::{Empty, GENESIS, NOW, key};
// The hooks of the coverage that everything here is built with.
use libfuzzer_sys as _;
use std::{error::Error, fs, path::PathBuf};

struct Seeds {
    folder: PathBuf,
}

impl Seeds {
    fn put(&self, target: &str, name: &str, bytes: impl AsRef<[u8]>) -> Result<(), Box<dyn Error>> {
        let folder = self.folder.join(target);
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join(format!("seed-{name}")), bytes)?)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("name the folder of the corpora")?;
    let seeds = Seeds { folder: folder.into() };
    let envelopes = envelopes()?;
    for (at, envelope) in envelopes.iter().enumerate() {
        seeds.put("envelope", &at.to_string(), envelope.to_json())?;
    }
    let transactions = transactions(&envelopes)?;
    for (at, transaction) in transactions.iter().enumerate() {
        seeds.put("transaction", &at.to_string(), transaction.encode())?;
    }
    chain(&seeds, transactions)?;
    notes(&seeds, &envelopes)?;
    members(&seeds)
}

fn envelopes() -> Result<Vec<Envelope>, Box<dyn Error>> {
    let price = Money { amount_minor: 125, currency: "EUR".parse()? };
    let refund = Refund {
        job_id: JobId::compose(NOW, [1; 10]),
        order: Hash([2; 32]),
        hold: Hash([3; 32]),
        amount: price.clone(),
        reason: "worker_refused".to_owned(),
        refunded_at: NOW,
    };
    let order = Order {
        order_id: OrderId::compose(NOW, [4; 10]),
        agreement: Hash([5; 32]),
        sql: "SELECT 1".to_owned(),
        plan: Hash([6; 32]),
        sequence: 1,
        price,
        issued_at: NOW,
        expires_at: NOW.plus_ms(1000),
    };
    Ok(vec![Envelope::sign(&refund, &key(5), [8; 32])?, Envelope::sign(&order, &key(6), [9; 32])?])
}

fn transactions(envelopes: &[Envelope]) -> Result<Vec<Transaction>, Box<dyn Error>> {
    let (genesis, member, holder) = (GENESIS.digest(), key(1), key(7));
    let action = |change| MembersAction::Propose(change);
    let mut all: Vec<Transaction> = Vec::new();
    for (envelope, number) in envelopes.iter().zip(1..) {
        let leaf = Leaf::of(envelope).ok_or("a statement that is logged")?;
        all.push(LeafTransaction::sign(&genesis, leaf, number, &key(9)).into());
    }
    let leaf = envelopes[0].leaf();
    let right = RightRecord::id(&leaf, RightKind::Hold, &holder.did());
    for (number, action) in (1..).zip([RightAction::Renewal { expires: Some(NOW.plus_ms(5)) }, RightAction::Cancellation]) {
        let record = RightRecord { right, kind: RightKind::Hold, number, action };
        all.push(RightTransaction::sign(&genesis, record, &[&holder], number + 2, &key(9)).into());
    }
    all.push(MembersTransaction::sign(&genesis, action(MembersChange::SetRule(VotingRule::Unanimous)), None, 1, &member).into());
    all.push(MembersTransaction::sign(&genesis, action(MembersChange::Leave(member.did())), None, 2, &member).into());
    all.push(MembersTransaction::sign(&genesis, MembersAction::Vote { proposal: leaf, approve: true }, None, 3, &member).into());
    Ok(all)
}

fn chain(seeds: &Seeds, transactions: Vec<Transaction>) -> Result<(), Box<dyn Error>> {
    let state = State::genesis(&GENESIS)?;
    let draft = state.draft(&Empty, NOW, Submission::check(&GENESIS.digest(), transactions))?;
    let block = draft.block.ok_or("a block")?;
    seeds.put("block", "block", block.encode())?;
    seeds.put("block", "header", block.header.encode())?;
    seeds.put("consortium", "decided", decided(block.header).encode())?;
    seeds.put("message", "transactions", Message::Transactions(vec![vec![1; 40], vec![2; 3]]).encode())?;
    seeds.put("message", "proposed", Record::Block(block_bytes(&state)?).encode())
}

fn block_bytes(state: &State) -> Result<Vec<u8>, Box<dyn Error>> {
    Ok(state.draft_empty(&Empty, NOW)?.block.ok_or("an empty block")?.encode())
}

fn decided(header: BlockHeader) -> DecidedHeader {
    let block = header.hash();
    let message = vote_message(&GENESIS.digest(), VoteKind::Precommit, 1, 0, Some(&block));
    let signatures = [(key(2).did(), key(2).sign(&message))].into();
    DecidedHeader { parent: None, header, certificate: CommitCertificate { height: 1, round: 0, block, signatures } }
}

fn notes(seeds: &Seeds, envelopes: &[Envelope]) -> Result<(), Box<dyn Error>> {
    let log = NoteSigner::log(&GENESIS.origin, key(20))?;
    let did = key(3).did();
    let validator = NoteSigner::cosigner(did.as_str(), key(3))?;
    let mut tree = MerkleTree::default();
    for envelope in envelopes {
        tree.push(&envelope.leaf().0);
    }
    let unsigned = Checkpoint { origin: GENESIS.origin.clone(), size: tree.size(), root: tree.root() };
    let mut checkpoint: SignedCheckpoint = unsigned.sign(&log)?;
    let line = checkpoint.cosign(&validator, 1_700_000_000);
    checkpoint.add_cosignature(validator.public(), line.clone())?;
    for (name, text) in [
        ("note", checkpoint.to_string()),
        ("checkpoint", unsigned.to_string()),
        ("log", log.public().to_string()),
        ("validator", validator.public().to_string()),
        ("line", line.to_string()),
        ("hash", Hash([7; 32]).to_string()),
    ] {
        seeds.put("note", name, text)?;
    }
    let proof = TlogProof { extra: None, index: 0, path: tree.inclusion_proof(0, tree.size()).ok_or("a path")?, checkpoint };
    seeds.put("proof", "tlog", proof.to_string())?;
    seeds.put("proof", "tile", "tile/0/x001/234.p/5")?;
    seeds.put("proof", "state", StateProof { siblings: Vec::new(), end: None }.encode())?;
    let entries = envelopes.iter().enumerate();
    let entry = |(at, envelope): (usize, &Envelope)| BundleEntry {
        name: format!("entry-{at}"),
        envelope: envelope.clone(),
        proof: Some(proof.to_string()),
    };
    let bundle = ReceiptBundle::new(JobId::compose(NOW, [1; 10]), entries.map(entry).collect());
    seeds.put("bundle", "receipt", serde_json::to_vec(&bundle)?)
}

fn members(seeds: &Seeds) -> Result<(), Box<dyn Error>> {
    seeds.put("consortium", "genesis", serde_json::to_vec(&*GENESIS)?)?;
    seeds.put("consortium", "members", GENESIS.members()?.encode())?;
    let block = Hash([7; 32]);
    let message = vote_message(&GENESIS.digest(), VoteKind::Precommit, 1, 0, Some(&block));
    let signatures = [(key(2).did(), key(2).sign(&message))].into();
    seeds.put("consortium", "certificate", CommitCertificate { height: 1, round: 0, block, signatures }.encode())?;
    let history = MemberHistory { start: HistoryStart::Genesis(GENESIS.clone()), steps: Vec::new() };
    seeds.put("consortium", "history", history.encode())?;
    seeds.put("message", "status", Message::Status(12).encode())?;
    seeds.put("message", "want", Message::Want(5).encode())?;
    let cosignature = Message::Cosignature { size: 3, key: key(3).did(), line: "— a b".to_owned() };
    seeds.put("message", "cosignature", cosignature.encode())?;
    let file = std::env::temp_dir().join(format!("entrepot-seed-{}.wal", std::process::id()));
    let (mut log, _) = Wal::open(&file)?;
    for record in [Record::Block(vec![9; 30]), Record::Block(vec![8; 3])] {
        log.append(&record);
    }
    log.sync()?;
    seeds.put("consensus_log", "records", fs::read(&file)?)?;
    Ok(fs::remove_file(&file)?)
}
