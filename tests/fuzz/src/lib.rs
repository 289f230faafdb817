//! What must hold for any bytes at all, a function for each kind of input. None may panic; what is read is written again as it was, so
//! that nothing signed has two encodings; and nothing hostile verifies.

use entrepot_chain_consensus::{Evidence, Message, Record, Wal};
use entrepot_chain_ledger::{
    Block, KnownKeys, Lookup, LookupError, Right, Signatures, State, Submission, Transaction,
    consortium::{Genesis, Member, MemberKeys, MemberRole},
};
use entrepot_chain_log::{
    BlockHeader, Certificate, Checkpoint, CommitCertificate, ForkEvidence, Members, NoteKey, NoteSignature, ReceiptBundle,
    SignedCheckpoint, SignedNote, Tile, TlogProof, TrustFile,
    codec::Reader,
    consortium::{CertifiedCheckpoint, DecidedHeader, MemberHistory, MemberStep},
    state_tree::{StateNode, StateNodes, StateProof},
};
use entrepot_chain_statement::{Did, Envelope, Hash, SigningKey, Timestamp, canonical::from_canonical_json};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt::Display, fs, path::PathBuf, str::FromStr, sync::LazyLock};

/// A channel whose only member is known.
pub static GENESIS: LazyLock<Genesis> = LazyLock::new(|| {
    let did = |seed| key(seed).did();
    let keys = MemberKeys { consensus: did(2), cosigning: did(3), transport: did(4) };
    Genesis::sole("entrepot/fuzz", Member { did: did(1), name: "one".to_owned(), role: MemberRole::Regulator, keys }).expect("a genesis")
});

static BEGINNING: LazyLock<State> = LazyLock::new(|| State::genesis(&GENESIS).expect("a state"));

/// When all of it happens.
pub const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// The same key for the same number.
pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// A ledger of which nothing is stored.
pub struct Empty;

impl StateNodes for Empty {
    type Error = LookupError;
    fn state_node(&self, _: &Hash) -> Result<Option<StateNode>, LookupError> {
        Ok(None)
    }
}

impl Lookup for Empty {
    fn index_of(&self, _: &Hash) -> Result<Option<u64>, LookupError> {
        Ok(None)
    }

    fn entry(&self, _: &Hash) -> Result<Option<Vec<u8>>, LookupError> {
        Ok(None)
    }
}

/// Text that is read is written as it was.
fn text<T: FromStr + Display>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        assert_eq!(read.to_string(), text);
    }
}

/// JSON that is read means the same when it is written and read again.
fn json<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug, E>(bytes: &[u8], read: impl Fn(&[u8]) -> Result<T, E>) -> Option<T> {
    let found = read(bytes).ok()?;
    let again = serde_json::to_vec(&found).expect("it can be written");
    assert_eq!(read(&again).ok().as_ref(), Some(&found));
    Some(found)
}

/// A transaction, alone and submitted.
pub fn transaction(bytes: &[u8]) {
    let Ok(transaction) = Transaction::decode(bytes, &mut KnownKeys::default()) else { return };
    assert_eq!(transaction.encode(), bytes);
    let submissions = Submission::check(&GENESIS.digest(), vec![transaction]);
    let drafted = BEGINNING.draft(&Empty, NOW, submissions);
    // What makes a block follows the genesis again when others apply it.
    if let Ok(draft) = drafted
        && let Some(block) = draft.block
    {
        let applied = BEGINNING.apply(&Empty, &block, Signatures::Check).expect("our own block follows");
        assert_eq!(applied.state, draft.applied.state);
    }
}

/// A block, alone and applied; its header; what the state holds.
pub fn block(bytes: &[u8]) {
    if let Ok(block) = Block::decode(bytes, &mut KnownKeys::default()) {
        assert_eq!(block.encode(), bytes);
        if let Ok(applied) = BEGINNING.apply(&Empty, &block, Signatures::Check) {
            assert_eq!(applied.state.last_block(), block.hash());
        }
    }
    let mut reader = Reader::new(bytes);
    if let Ok(header) = BlockHeader::read(&mut reader) {
        assert!(bytes.starts_with(&header.encode()));
    }
    if let Ok(right) = Right::decode(bytes) {
        assert_eq!(right.encode(), bytes);
    }
    if let Ok(node) = StateNode::decode(bytes) {
        assert_eq!(node.encode(), bytes);
    }
}

/// A note, a checkpoint, a key, a signature line.
pub fn note(bytes: &[u8]) {
    let Ok(said) = std::str::from_utf8(bytes) else { return };
    text::<SignedNote>(said);
    text::<Checkpoint>(said);
    text::<SignedCheckpoint>(said);
    text::<NoteKey>(said);
    text::<NoteSignature>(said);
    text::<Did>(said);
    text::<Hash>(said);
}

/// A proof that an entry is in the log, the name of a tile, a proof about the state.
pub fn proof(bytes: &[u8]) {
    if let Ok(said) = std::str::from_utf8(bytes) {
        text::<TlogProof>(said);
        if let Ok(tile) = said.parse::<Tile>() {
            assert_eq!(tile.to_string().parse::<Tile>().ok(), Some(tile));
        }
    }
    if let Ok(proof) = StateProof::decode(bytes) {
        assert_eq!(proof.encode(), bytes);
    }
}

/// What shows who decides, and that they decided.
pub fn consortium(bytes: &[u8]) {
    let genesis = json(bytes, Genesis::from_json);
    if let Some(genesis) = genesis {
        let _members = genesis.members().expect("a genesis that was read has members");
        let _state = State::genesis(&genesis);
    }
    if let Ok(certificate) = CommitCertificate::decode(bytes) {
        assert_eq!(certificate.encode(), bytes);
        let members = GENESIS.members().expect("members");
        assert!(certificate.verify(&GENESIS.digest(), &members).is_err() || is_ours(&certificate));
    }
    if let Ok(decided) = DecidedHeader::decode(bytes) {
        assert_eq!(decided.encode(), bytes);
    }
    if let Ok(step) = MemberStep::decode(bytes) {
        assert_eq!(step.encode(), bytes);
    }
    if let Ok(history) = MemberHistory::decode(bytes) {
        assert_eq!(history.encode(), bytes);
    }
    if let Ok(members) = Members::read(&mut Reader::new(bytes), &mut KnownKeys::default()) {
        assert!(bytes.starts_with(&members.encode()));
    }
}

/// Only the seed is signed by the member.
fn is_ours(certificate: &CommitCertificate) -> bool {
    certificate.height == 1 && certificate.block == Hash([7; 32])
}

/// Files that are verified offline.
pub fn bundle(bytes: &[u8]) {
    json(bytes, ReceiptBundle::from_json);
    json(bytes, Certificate::from_json);
    json(bytes, TrustFile::from_json);
    json(bytes, ForkEvidence::from_json);
    json(bytes, CertifiedCheckpoint::from_json);
}

/// A signed statement.
pub fn envelope(bytes: &[u8]) {
    let Ok(envelope) = Envelope::from_json(bytes) else {
        let _any = from_canonical_json::<serde_json::Value>(bytes);
        return;
    };
    assert_eq!(Envelope::from_json(&envelope.to_json()).ok().as_ref(), Some(&envelope));
    let _leaf = envelope.leaf();
    for signer in envelope.signers() {
        let _any = envelope.verify_signed_by(signer);
    }
    let _any = entrepot_chain_ledger::Leaf::of(&envelope);
}

/// What members tell each other, and what they write down.
pub fn message(bytes: &[u8]) {
    if let Ok(message) = Message::decode(bytes) {
        assert_eq!(message.encode(), bytes);
    }
    if let Ok(record) = Record::decode(bytes) {
        assert_eq!(record.encode(), bytes);
    }
    if let Ok(evidence) = Evidence::decode(bytes) {
        assert_eq!(evidence.encode(), bytes);
    }
}

/// A member's log: whatever is in the file, it is read, or refused as damaged; and what was read once is read again.
pub fn consensus_log(bytes: &[u8]) {
    static FILE: LazyLock<PathBuf> = LazyLock::new(|| std::env::temp_dir().join(format!("entrepot-fuzz-{}.wal", std::process::id())));
    fs::write(&*FILE, bytes).expect("a file is written");
    let Ok((first, records)) = Wal::open(&FILE) else { return };
    drop(first);
    let (_, again) = Wal::open(&FILE).expect("what was read is read again");
    assert_eq!(records, again);
}
