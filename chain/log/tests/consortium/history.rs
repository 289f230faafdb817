//! Who decides at a height, walked from the genesis: what an honest history shows, and what a forged one does not.

use crate::channel::{Channel, certify, consensus, members};
use entrepot_chain_log::{
    BlockHeader, DecodeError,
    consortium::{
        CertifiedCheckpoint, CertifiedCheckpointError, CommitCertificateError, DecidedError, DecidedHeader, HISTORY_STEPS_MAX,
        HistoryError, HistoryStart, MemberHistory, MemberStep, TrustedChannel,
    },
};
use entrepot_chain_statement::Hash;
use proptest::{prelude::*, sample::Index};
use std::sync::LazyLock;

/// Four members; one leaves and one joins; then three more join; then back to four.
fn channel() -> &'static Channel {
    static CHANNEL: LazyLock<Channel> =
        LazyLock::new(|| Channel::new(40, &[(1, &[0, 1, 2, 3]), (10, &[0, 1, 2, 4]), (20, &[0, 1, 2, 4, 5, 6, 7]), (30, &[0, 1, 2, 4])]));
    &CHANNEL
}

fn refused(history: &MemberHistory, trusted: &TrustedChannel) -> HistoryError {
    history.walk(trusted).expect_err("it was believed")
}

#[test]
fn every_block_is_shown_to_be_decided_by_its_members_and_by_no_others() {
    let channel = channel();
    let walk = channel.history().walk(&channel.trusted()).unwrap();
    assert_eq!(walk.origin(), Some("entrepot/main"));
    assert_eq!(walk.latest(), Some(&members([0, 1, 2, 4])));
    for height in 1..=40 {
        assert_eq!(walk.decides(&channel.decided(height)).unwrap(), &members(channel.numbers(height)));
        for others in [0..4, 4..8] {
            if channel.numbers(height) != others.clone().collect::<Vec<_>>() {
                assert!(walk.decides(&channel.decided_by(height, others)).is_err(), "{height}");
            }
        }
    }
}

#[test]
fn a_change_shows_in_the_last_header_of_the_members_before() {
    let channel = channel();
    assert_eq!(channel.history().steps.iter().map(|step| step.decided.header.height).collect::<Vec<_>>(), [9, 19, 29]);
    for height in [8, 10] {
        let mut history = channel.history();
        history.steps[0].decided = channel.decided(height);
        assert!(matches!(refused(&history, &channel.trusted()), HistoryError::Change { .. } | HistoryError::Decided(_)), "{height}");
    }
}

#[test]
fn too_few_signatures_strangers_and_wrong_ones_decide_nothing() {
    let channel = channel();
    let walk = channel.history().walk(&channel.trusted()).unwrap();
    let why = |decided: &DecidedHeader| match walk.decides(decided) {
        Err(HistoryError::Decided(DecidedError::Certificate { height: 25, source })) => source,
        other => panic!("{other:?}"),
    };
    // Seven members tolerate two faults: four signatures are 2f, five are enough.
    assert_eq!(why(&channel.decided_by(25, [0, 1, 2, 4])), CommitCertificateError::Quorum { signed: 4, members: 7, quorum: 5 });
    walk.decides(&channel.decided_by(25, [0, 1, 2, 4, 5])).unwrap();
    assert_eq!(why(&channel.decided_by(25, [0, 1, 2, 4, 9])), CommitCertificateError::Stranger(consensus(9).did()));
    assert_eq!(why(&channel.decided_by(25, [0, 1, 2, 4, 3])), CommitCertificateError::Stranger(consensus(3).did()), "3 has left");
    let mut wrong = channel.decided(25);
    wrong.certificate.signatures.insert(consensus(0).did(), [7; 64]);
    assert_eq!(why(&wrong), CommitCertificateError::Signature(consensus(0).did()));
    wrong.certificate = certify(&Hash([9; 32]), &channel.header(25), 0, channel.numbers(25));
    assert!(matches!(why(&wrong), CommitCertificateError::Signature(_)), "votes of another channel");
    wrong.certificate = certify(&channel.genesis.digest(), &channel.header(25), 0, channel.numbers(25));
    wrong.certificate.round = 1;
    assert!(matches!(why(&wrong), CommitCertificateError::Signature(_)), "votes of another round");
}

#[test]
fn one_signature_counts_once() {
    let channel = channel();
    let mut decided = channel.decided_by(5, [0, 1]);
    let bytes = decided.encode();
    let one = &bytes[bytes.len() - 2 * 96..bytes.len() - 96];
    let mut twice = bytes[..bytes.len() - 2 * 96].to_vec();
    *twice.last_mut().unwrap() = 3;
    let twice = [&twice, one, one, &bytes[bytes.len() - 96..]].concat();
    assert_eq!(DecidedHeader::decode(&twice), Err(DecodeError::Order("signatures of a certificate")));
    decided.certificate.signatures.clear();
    assert!(channel.history().walk(&channel.trusted()).unwrap().decides(&decided).is_err());
}

#[test]
fn a_change_that_is_left_out_is_missed() {
    let channel = channel();
    let mut history = channel.history();
    history.steps.truncate(1);
    let walk = history.walk(&channel.trusted()).unwrap();
    walk.decides(&channel.decided(19)).unwrap();
    // Three of the four who decided before sign at height 25, honestly, in a round that fails: of the seven who decide there, five have to.
    let undecided = channel.decided_by(25, [0, 1, 2]);
    assert_eq!(walk.decides(&undecided).unwrap_err(), HistoryError::Decided(DecidedError::Members { height: 25 }));
    let mut history = channel.history();
    history.steps.remove(1);
    assert_eq!(refused(&history, &channel.trusted()), HistoryError::Decided(DecidedError::Members { height: 29 }));
    // Members that were replaced and came back: at 35 the four decide again, but the walk has to know how.
    history.steps.truncate(1);
    walk.decides(&channel.decided(35)).unwrap();
}

#[test]
fn the_header_before_cannot_be_left_out_or_made_up() {
    let channel = channel();
    let mut history = channel.history();
    history.steps.truncate(1);
    let walk = history.walk(&channel.trusted()).unwrap();
    let parent = HistoryError::Decided(DecidedError::Parent { height: 25 });
    let mut decided = channel.decided_by(25, [0, 1, 2]);
    let real = decided.parent.take().unwrap();
    assert_eq!(walk.decides(&decided).unwrap_err(), parent);
    for lie in [
        BlockHeader { next_members: members([0, 1, 2, 4]).digest(), ..real.clone() },
        BlockHeader { height: 23, ..real.clone() },
        channel.header(12),
    ] {
        decided.parent = Some(lie);
        assert_eq!(walk.decides(&decided).unwrap_err(), parent);
    }
    let mut first = channel.decided(1);
    first.parent = Some(channel.header(1));
    assert_eq!(walk.decides(&first).unwrap_err(), HistoryError::Decided(DecidedError::Parent { height: 1 }));
    let mut elsewhere = channel.decided(1);
    elsewhere.header.previous = Hash([9; 32]);
    elsewhere.certificate = certify(&channel.genesis.digest(), &elsewhere.header, 0, channel.numbers(1));
    assert_eq!(walk.decides(&elsewhere).unwrap_err(), HistoryError::Decided(DecidedError::Parent { height: 1 }));
}

#[test]
fn forged_steps_are_refused() {
    let channel = channel();
    let forged = |change: &dyn Fn(&mut MemberHistory)| {
        let mut history = channel.history();
        change(&mut history);
        refused(&history, &channel.trusted())
    };
    assert_eq!(forged(&|history| history.steps[1].members = members([9])), HistoryError::Change { height: 19 });
    assert_eq!(
        forged(&|history| {
            let step = &mut history.steps[1];
            step.members = members([9]);
            step.decided.header.next_members = step.members.digest();
        }),
        HistoryError::Decided(DecidedError::Block { height: 19 })
    );
    assert!(matches!(
        forged(&|history| {
            let step = &mut history.steps[1];
            step.members = members([9]);
            step.decided.header.next_members = step.members.digest();
            step.decided.certificate = certify(&channel.genesis.digest(), &step.decided.header, 0, [9, 10, 11]);
        }),
        HistoryError::Decided(DecidedError::Certificate { height: 19, .. })
    ));
    assert_eq!(forged(&|history| history.steps.swap(0, 1)), HistoryError::Decided(DecidedError::Members { height: 19 }));
    let twice = forged(&|history| history.steps.insert(1, history.steps[0].clone()));
    assert_eq!(twice, HistoryError::Order { height: 9 });
    let idle = channel.decided(5);
    assert_eq!(
        forged(&|history| {
            let members = members(channel.numbers(6));
            history.steps.insert(0, MemberStep { decided: idle.clone(), members });
        }),
        HistoryError::Change { height: 5 }
    );
    let long = forged(&|history| history.steps = vec![history.steps[0].clone(); HISTORY_STEPS_MAX + 1]);
    assert_eq!(long, HistoryError::Long);
}

#[test]
fn a_history_of_another_channel_is_refused() {
    let (channel, other) = (channel(), Channel::new(3, &[(1, &[0, 1, 2, 9])]));
    assert!(matches!(refused(&other.history(), &channel.trusted()), HistoryError::Genesis { .. }));
    let mut history = channel.history();
    history.start = HistoryStart::Members { height: 1, members: members(channel.numbers(1)) };
    assert_eq!(refused(&history, &channel.trusted()), HistoryError::Start, "members nobody trusts");
}

#[test]
fn a_history_may_start_at_members_trusted_later() {
    let channel = channel();
    let trusted = channel.trusted_since(15);
    let history = MemberHistory {
        start: HistoryStart::Members { height: 15, members: members(channel.numbers(15)) },
        steps: channel.history().steps[1..].to_vec(),
    };
    for history in [&history, &channel.history()] {
        let walk = history.walk(&trusted).unwrap();
        for height in 15..=40 {
            assert_eq!(walk.decides(&channel.decided(height)).unwrap(), &members(channel.numbers(height)));
        }
        assert_eq!(walk.decides(&channel.decided(14)).unwrap_err(), HistoryError::Before { height: 14 });
    }
    let mut wrong = history.clone();
    wrong.start = HistoryStart::Members { height: 14, members: members(channel.numbers(15)) };
    assert_eq!(refused(&wrong, &trusted), HistoryError::Start);
}

/// The four of height 5 keep their keys, are replaced by four others from height 10 on, and much later sign another history.
fn former_members_made_up_a_history() -> (Channel, Channel) {
    let real = Channel::new(40, &[(1, &[0, 1, 2, 3]), (10, &[4, 5, 6, 7])]);
    let mut forged = Channel::new(8, &[(1, &[0, 1, 2, 3])]);
    for height in 9..=40 {
        forged.push(height * 3, Hash([0xee; 32]));
    }
    assert_eq!(real.genesis.digest(), forged.genesis.digest());
    (real, forged)
}

#[test]
fn former_members_can_sign_another_history_and_only_trust_in_later_members_tells() {
    let (real, forged) = former_members_made_up_a_history();
    // Whoever knows the genesis alone believes either. This is the limit of it, and the reason for what follows.
    for channel in [&real, &forged] {
        channel.history().walk(&real.trusted()).unwrap().decides(&channel.decided(30)).unwrap();
    }
    let since = real.trusted_since(20);
    real.history().walk(&since).unwrap().decides(&real.decided(30)).unwrap();
    assert_eq!(refused(&forged.history(), &since), HistoryError::Stale { height: 20 });
    // Nor can they hang their blocks on the real history.
    let walk = real.history().walk(&real.trusted()).unwrap();
    assert!(matches!(walk.decides(&forged.decided(30)), Err(HistoryError::Decided(DecidedError::Members { height: 30 }))));
    assert_eq!(walk.decides(&forged.decided(9)).unwrap_err(), HistoryError::Fork { height: 9 });
}

#[test]
fn what_former_members_say_about_heights_before_the_trusted_one_is_not_believed() {
    let real = Channel::new(40, &[(1, &[0, 1, 2, 3]), (10, &[4, 5, 6, 7])]);
    // They let their made-up history end in the members of today, so that today's are right and yesterday's log is not.
    let mut forged = Channel::new(8, &[(1, &[0, 1, 2, 3]), (20, &[4, 5, 6, 7])]);
    for height in 9..=40 {
        forged.push(height * 3, Hash([0xee; 32]));
    }
    let walk = forged.history().walk(&real.trusted_since(25)).unwrap();
    walk.decides(&real.decided(30)).unwrap();
    assert_eq!(walk.decides(&forged.decided(15)).unwrap_err(), HistoryError::Before { height: 15 });
}

#[test]
fn a_certified_checkpoint_shows_the_log_without_a_witness() {
    let channel = channel();
    let checkpoint = CertifiedCheckpoint { format: Default::default(), history: channel.history(), decided: channel.decided(33) };
    let json = serde_json::to_vec(&checkpoint).unwrap();
    let head = CertifiedCheckpoint::from_json(&json).unwrap().verify(&channel.trusted()).unwrap();
    let header = channel.header(33);
    assert_eq!((head.height, head.log_size, head.log_root, head.state_root), (33, 99, header.log_root, header.state_root));
    assert_eq!(head.members, members([0, 1, 2, 4]));
    let forged = CertifiedCheckpoint { decided: channel.decided_by(33, [0, 1]), ..checkpoint };
    assert!(forged.verify(&channel.trusted()).is_err());
    assert!(matches!(CertifiedCheckpoint::from_json(&vec![b' '; 13 << 20]), Err(CertifiedCheckpointError::TooLong)));
    assert!(matches!(CertifiedCheckpoint::from_json(b"{}"), Err(CertifiedCheckpointError::Json(_))));
}

#[test]
fn a_history_has_a_pinned_encoding() {
    let channel = channel();
    let digest = |bytes: Vec<u8>| Hash::of(&[&bytes]).to_string();
    assert_eq!(digest(channel.history().encode()), "c2db59caa3cd2b4adb30480d78adcb359d626c3910ab7e701d692165ba42189f");
    assert_eq!(digest(channel.decided(33).encode()), "6bc76c947003ba06336c7c39460314739708179ff9126e956e766103f7fc9cab");
    let late = MemberHistory { start: HistoryStart::Members { height: 7, members: members([1]) }, steps: vec![] };
    assert_eq!(digest(late.encode()), "4b3583396309d5b7f72730941ef85cb4acfcb3aba8f1ea02bba6ca36d34a3c25");
    let step = channel.step(20);
    assert_eq!(MemberStep::decode(&step.encode()).unwrap(), step);
    assert_eq!(digest(step.encode()), "c980cefccbb436093215dddb572435bf7db0e95300aa1023853fe05c23ed1781");
    for history in [channel.history(), late] {
        assert_eq!(MemberHistory::decode(&history.encode()).unwrap(), history);
    }
}

#[test]
fn a_genesis_has_one_encoding_in_a_history() {
    let channel = channel();
    let bytes = channel.history().encode();
    let length = u32::from_be_bytes(bytes[2..6].try_into().unwrap());
    let spaced = [&bytes[..2], &(length + 1).to_be_bytes(), b" ", &bytes[6..]].concat();
    assert_eq!(MemberHistory::decode(&spaced), Err(DecodeError::Value("genesis")));
}

proptest! {
    #[test]
    fn a_changed_byte_of_a_history_is_found(at in any::<Index>(), flip in 1u8..) {
        let channel = channel();
        let mut bytes = channel.history().encode();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(history) = MemberHistory::decode(&bytes) {
            prop_assert!(history.walk(&channel.trusted()).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_changed_byte_of_a_decided_header_is_found(at in any::<Index>(), flip in 1u8..) {
        let channel = channel();
        let mut bytes = channel.decided(33).encode();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(decided) = DecidedHeader::decode(&bytes) {
            prop_assert!(channel.history().walk(&channel.trusted()).unwrap().decides(&decided).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_shortened_history_does_not_decode(cut in any::<Index>()) {
        let bytes = channel().history().encode();
        prop_assert!(MemberHistory::decode(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn bytes_of_anybody_decode_to_what_encodes_to_them_or_not_at_all(bytes in prop::collection::vec(any::<u8>(), 0..600), start in 0u8..3) {
        let bytes = [&[1, start], bytes.as_slice()].concat();
        if let Ok(history) = MemberHistory::decode(&bytes) {
            prop_assert_eq!(history.encode(), bytes.clone());
        }
        if let Ok(decided) = DecidedHeader::decode(&bytes) {
            prop_assert_eq!(decided.encode(), bytes);
        }
    }
}
