//! Evidence of two histories: whom it accuses, and whom it does not.

use crate::channel::{Channel, ORIGIN, certify, consensus, cosigner};
use entrepot_chain_log::{
    Checkpoint, ForkError, ForkEvidence, NoteKey, NoteSigner, SignedCheckpoint,
    consortium::{CommitCertificate, DecidedHeader},
    fork::AtFault,
};
use entrepot_chain_statement::{Hash, SigningKey};

fn log() -> NoteSigner {
    NoteSigner::log(ORIGIN, SigningKey::from_seed(&[1; 32])).unwrap()
}

fn checkpoint(size: u64, root: u8, cosigners: &[u8]) -> SignedCheckpoint {
    let mut signed = Checkpoint { origin: ORIGIN.into(), size, root: Hash([root; 32]) }.sign(&log()).unwrap();
    for number in cosigners {
        let line = signed.cosign(&cosigner(*number), 1_700_000_000);
        signed.add_cosignature(cosigner(*number).public(), line).unwrap();
    }
    signed
}

fn keys() -> Vec<NoteKey> {
    let cosigners = (0..4).map(|number| cosigner(number).public().clone());
    [log().public().clone()].into_iter().chain(cosigners).collect()
}

fn at_fault(evidence: &ForkEvidence) -> Result<AtFault, ForkError> {
    // Through JSON: it is made to be handed on.
    ForkEvidence::from_json(&serde_json::to_vec(evidence).unwrap()).unwrap().verify(&keys(), Some(&channel().trusted()))
}

fn channel() -> Channel {
    Channel::new(12, &[(1, &[0, 1, 2, 3]), (10, &[0, 1, 2, 4])])
}

#[test]
fn whoever_signed_two_roots_of_one_size_is_at_fault() {
    let evidence = ForkEvidence::of_checkpoints(&checkpoint(7, 1, &[0, 1]), &checkpoint(7, 2, &[1, 2])).unwrap();
    assert_eq!(at_fault(&evidence).unwrap(), AtFault::Keys(vec![log().public().key().clone(), cosigner(1).public().key().clone()]));
    assert!(matches!(evidence.verify([cosigner(0).public(), cosigner(2).public()], None), Err(ForkError::Unsigned)));
}

#[test]
fn checkpoints_that_may_both_be_true_are_no_evidence() {
    let one = checkpoint(7, 1, &[0]);
    assert_eq!(ForkEvidence::of_checkpoints(&one, &checkpoint(8, 2, &[0])), None);
    assert_eq!(ForkEvidence::of_checkpoints(&one, &checkpoint(7, 1, &[1])), None);
    let other = Checkpoint { origin: "entrepot/other".into(), size: 7, root: Hash([2; 32]) };
    let other = other.sign(&NoteSigner::log("entrepot/other", SigningKey::from_seed(&[1; 32])).unwrap()).unwrap();
    assert_eq!(ForkEvidence::of_checkpoints(&one, &other), None);
    let made_up = ForkEvidence::Checkpoints { first: one.clone(), second: one };
    assert!(matches!(at_fault(&made_up), Err(ForkError::NoContradiction)));
}

#[test]
fn a_checkpoint_that_somebody_else_made_up_accuses_nobody() {
    let text = |key: u8| {
        let forger = NoteSigner::log(ORIGIN, SigningKey::from_seed(&[key; 32])).unwrap();
        Checkpoint { origin: ORIGIN.into(), size: 7, root: Hash([2; 32]) }.sign(&forger).unwrap().to_string()
    };
    // The forger's line under the log's name and key id.
    let (forged, line) = (text(9), checkpoint(7, 1, &[]).to_string());
    let id = |note: &str| note.rsplit_once(' ').unwrap().1[..5].to_owned();
    let forged = forged.replace(&id(&forged), &id(&line));
    let evidence = ForkEvidence::of_checkpoints(&checkpoint(7, 1, &[]), &forged.parse().unwrap()).unwrap();
    assert!(matches!(at_fault(&evidence), Err(ForkError::Unsigned)));
}

fn other_block(height: u64, round: u32, signers: &[u8]) -> DecidedHeader {
    let mut other = channel().decided(height);
    other.header.log_root = Hash([0xee; 32]);
    other.certificate = certify(&channel().genesis.digest(), &other.header, round, signers.iter().copied());
    other
}

#[test]
fn members_that_precommitted_two_blocks_of_one_round_are_at_fault() {
    for height in [5, 9] {
        let evidence =
            ForkEvidence::of_blocks(channel().history(), &channel().decided_by(height, [0, 1, 2]), &other_block(height, 0, &[1, 2, 3]))
                .unwrap();
        let AtFault::Keys(found) = at_fault(&evidence).unwrap() else { panic!("{evidence:?}") };
        let mut expected = vec![consensus(1).did(), consensus(2).did()];
        expected.sort();
        assert_eq!(found, expected);
    }
}

#[test]
fn two_blocks_of_two_rounds_accuse_more_than_a_third_together_and_nobody_by_name() {
    let evidence = ForkEvidence::of_blocks(channel().history(), &channel().decided(11), &other_block(11, 1, &[0, 1, 4])).unwrap();
    assert_eq!(at_fault(&evidence).unwrap(), AtFault::MoreThanAThird { members: 4 });
    assert!(matches!(evidence.verify(&keys(), None), Err(ForkError::NoChannel)));
}

#[test]
fn a_block_that_was_not_decided_is_no_evidence() {
    let history = channel().history();
    let real = channel().decided(11);
    let few = ForkEvidence::of_blocks(history.clone(), &real, &other_block(11, 0, &[0, 1])).unwrap();
    assert!(matches!(at_fault(&few), Err(ForkError::History(_))));
    let former = ForkEvidence::of_blocks(history.clone(), &real, &other_block(11, 0, &[0, 1, 3])).unwrap();
    assert!(matches!(at_fault(&former), Err(ForkError::History(_))));
    assert_eq!(ForkEvidence::of_blocks(history.clone(), &real, &channel().decided(12)), None);
    // Two certificates of one block are in order: members may hold different ones.
    let same = DecidedHeader { certificate: CommitCertificate { ..channel().decided_by(11, [0, 1, 2]).certificate }, ..real.clone() };
    assert_eq!(ForkEvidence::of_blocks(history, &real, &same), None);
}
