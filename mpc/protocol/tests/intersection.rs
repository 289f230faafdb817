//! Set intersection against a plain one, and what a hostile peer can make of it.

mod interference;

use bytes::Bytes;
use entrepot_mpc_protocol::{
    Channel, Context, Party, ProtocolError, memory,
    psi::{self, Keys, PsiError, PsiLimits},
};
use interference::{interfere, listen};
use proptest::prelude::*;
use std::{collections::BTreeSet, sync::Arc};

const ROWS_MAX: u32 = 100_000;
const LIMITS: PsiLimits = PsiLimits { set_max: ROWS_MAX, common_max: ROWS_MAX };
const SIZES: u64 = 1;
const BLIND: u64 = 2;
const BLIND_AGAIN: u64 = 3;
const AGREE: u64 = 4;
const TELL: u64 = 5;

type Outcome = (Result<Vec<u32>, PsiError>, u64);

/// Rows (none, but n of them, at party 2) or the error, and the bytes that the party sent after the session was open.
async fn run(channels: [Arc<dyn Channel>; 3], seed: u64, sets: [Vec<String>; 2], rows_max: [u32; 3]) -> [Outcome; 3] {
    memory::run_over(channels, seed, move |mut ctx: Context| {
        let sets = sets.clone();
        async move {
            let index = ctx.party().index() as usize;
            let limits = PsiLimits { set_max: rows_max[index], common_max: rows_max[index] };
            let result = match sets.get(index) {
                Some(set) => psi::intersect(&mut ctx, set.iter().collect(), limits, &|_, _| ()).await,
                None => psi::learn_size(&mut ctx, limits).await.map(|size| vec![0; size as usize]),
            };
            (result, ctx.traffic().sent_bytes)
        }
    })
    .await
}

fn honest() -> [Arc<dyn Channel>; 3] {
    memory::network().map(|end| Arc::new(end) as Arc<dyn Channel>)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

fn set(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| format!("customer {number}")).collect()
}

fn check(sets: &[Vec<String>; 2], [first, second, third]: [Outcome; 3]) {
    let (first, second) = (first.0.unwrap(), second.0.unwrap());
    let keys = |rows: &[u32], set: &[String]| -> Vec<String> { rows.iter().map(|row| set[*row as usize].clone()).collect() };
    let common = keys(&first, &sets[0]);
    assert_eq!(common, keys(&second, &sets[1]), "row j has the same key on both sides");
    let plain: BTreeSet<_> = sets[0].iter().collect::<BTreeSet<_>>().intersection(&sets[1].iter().collect()).copied().cloned().collect();
    assert_eq!(common.iter().cloned().collect::<BTreeSet<_>>(), plain);
    assert_eq!(common.len(), plain.len());
    assert_eq!(third.0.unwrap().len(), plain.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn both_learn_exactly_the_common_keys_in_one_order(
        seed: u64, first in prop::collection::hash_set("[a-c]{0,3}", 0..30), second in prop::collection::hash_set("[a-c]{0,3}", 0..30),
    ) {
        let sets = [first.into_iter().collect(), second.into_iter().collect()];
        check(&sets, block_on(run(honest(), seed, sets.clone(), [ROWS_MAX; 3])));
    }
}

#[test]
fn sets_longer_than_a_chunk_intersect() {
    let sets = [set(0..9000), set(8000..20_000)];
    let outcomes = block_on(run(honest(), 7, sets.clone(), [ROWS_MAX; 3]));
    assert_eq!(outcomes[0].1, 32 * (9000 + 12_000) + 48, "the documented cost");
    assert_eq!(outcomes[1].1, 32 * (9000 + 12_000) + 48);
    assert_eq!(outcomes[2].1, 0);
    check(&sets, outcomes);
}

#[test]
fn disjoint_and_empty_sets_have_an_empty_intersection() {
    for sets in [[set(0..5), set(5..9)], [vec![], set(0..3)], [vec![], vec![]]] {
        check(&sets, block_on(run(honest(), 7, sets.clone(), [ROWS_MAX; 3])));
    }
}

#[test]
fn the_order_is_neither_the_input_order_nor_the_same_in_another_run() {
    let order = |seed| block_on(run(honest(), seed, [set(0..50), set(0..50)], [ROWS_MAX; 3]))[0].0.as_ref().unwrap().clone();
    let (first, second) = (order(1), order(2));
    assert_ne!(first, second);
    assert_ne!(first, (0..50).collect::<Vec<u32>>());
}

#[test]
fn the_third_party_receives_the_size_twice_and_nothing_else() {
    let (channels, view) = listen(Party::TWO);
    let outcomes = block_on(run(channels, 7, [set(0..50), set(20..90)], [ROWS_MAX; 3]));
    assert_eq!(outcomes[2].0.as_ref().unwrap().len(), 30);
    let view = view.lock().unwrap();
    // The first frame opens the session.
    let said: Vec<(Party, &[u8])> = view[1..].iter().map(|(from, frame)| (*from, &frame[8..])).collect();
    assert_eq!(said, [(Party::ZERO, 30_u64.to_le_bytes().as_slice()), (Party::ONE, &30_u64.to_le_bytes())]);
}

/// The peer returns points in the order it got them, so the order in which a set was sent can be read off: the j-th point by value is that of
/// the j-th row of the result.
#[test]
fn a_set_is_sent_in_a_secret_random_order() {
    let sent_order = |seed| {
        let (channels, view) = listen(Party::ZERO);
        let [first, ..] = block_on(run(channels, seed, [set(0..50), set(0..50)], [ROWS_MAX; 3]));
        let view = view.lock().unwrap();
        let frame = &view.iter().find(|(_, frame)| frame[..8] == BLIND_AGAIN.to_be_bytes()).unwrap().1;
        let returned = frame[8..].as_chunks::<32>().0.to_vec();
        let mut sorted = returned.clone();
        sorted.sort();
        let rows = first.0.unwrap();
        let order: Vec<u32> = returned.iter().map(|point| rows[sorted.binary_search(point).unwrap()]).collect();
        order
    };
    let (first, second) = (sent_order(1), sent_order(2));
    let all: Vec<u32> = (0..50).collect();
    assert_eq!(BTreeSet::from_iter(first.clone()), BTreeSet::from_iter(all.clone()));
    assert!(first != all && second != all && first != second);
}

#[test]
fn what_a_peer_sees_of_a_set_is_blinded_afresh() {
    let points = |seed| {
        let (channels, view) = listen(Party::ONE);
        let outcomes = block_on(run(channels, seed, [set(0..50), set(0..1)], [ROWS_MAX; 3]));
        check(&[set(0..50), set(0..1)], outcomes);
        let view = view.lock().unwrap();
        let frame = view.iter().find(|(_, frame)| frame[..8] == BLIND.to_be_bytes()).unwrap().1.clone();
        frame[8..].as_chunks::<32>().0.iter().copied().collect::<BTreeSet<_>>()
    };
    let (first, second) = (points(1), points(2));
    assert_eq!(first.len(), 50);
    assert!(first.is_disjoint(&second));
}

#[test]
fn a_bad_own_set_is_refused_before_anything_is_sent() {
    let mut twice = set(0..10);
    twice.push("customer 3".into());
    let long = vec!["x".repeat(psi::KEY_BYTES_MAX + 1)];
    let refused = |own: Vec<String>, rows_max| {
        let [first, second, third] = block_on(run(honest(), 7, [own, set(0..5)], [rows_max, ROWS_MAX, ROWS_MAX]));
        assert_eq!(first.1, 0);
        assert!(matches!(second.0, Err(PsiError::Protocol(ProtocolError::Channel(_)))));
        assert!(matches!(third.0, Err(PsiError::Protocol(ProtocolError::Channel(_)))));
        first.0.unwrap_err()
    };
    let error = refused(twice, ROWS_MAX);
    assert!(matches!(error, PsiError::DuplicateKey));
    assert!(!format!("{error} {error:?}").contains("customer"));
    assert!(matches!(refused(long, ROWS_MAX), PsiError::KeyTooLong));
    assert!(matches!(refused(set(0..10), 9), PsiError::TooManyKeys { found: 10, maximum: 9 }));
    assert!(!format!("{:?}", set(0..3).iter().collect::<Keys>()).contains("customer"));
}

#[test]
fn a_peer_over_the_limit_is_refused() {
    let outcomes = block_on(run(honest(), 7, [set(0..5), set(0..10)], [9, ROWS_MAX, ROWS_MAX]));
    assert!(matches!(outcomes[0].0, Err(PsiError::PeerSetTooLarge { size: 10, maximum: 9, from: Party::ONE })));
}

#[test]
fn parties_cannot_take_each_others_part() {
    let errors = block_on(memory::run(1, |mut ctx| async move {
        match ctx.party() {
            Party::TWO => psi::intersect(&mut ctx, Keys::new(), LIMITS, &|_, _| ()).await.err(),
            _ => psi::learn_size(&mut ctx, LIMITS).await.err(),
        }
    }));
    assert!(errors.iter().all(|error| matches!(error, Some(PsiError::WrongRole { .. }))));
}

/// Party 1 rewrites its frames of one step; what party 0 and party 2 make of it.
fn against(rewrite: impl Fn(Party, Vec<u8>) -> Option<Vec<u8>> + Send + Sync + 'static, at: u64) -> [PsiError; 2] {
    let channels = interfere(Party::ONE, move |to, step, frame| {
        if step != at {
            return Some(frame);
        }
        let header = frame[..8].to_vec();
        rewrite(to, frame[8..].to_vec()).map(|payload| Bytes::from([header, payload].concat()))
    });
    let [first, _, third] = block_on(run(channels, 7, [set(0..20), set(10..30)], [ROWS_MAX; 3]));
    [first.0.unwrap_err(), third.0.err().unwrap_or(PsiError::Stopped)]
}

#[test]
fn invalid_points_stop_the_run() {
    for at in [BLIND, BLIND_AGAIN] {
        let identity = move |_, mut payload: Vec<u8>| {
            payload[32..64].fill(0);
            Some(payload)
        };
        assert!(matches!(against(identity, at)[0], PsiError::InvalidPoint { from: Party::ONE }), "identity at {at}");
    }
    let not_canonical = |_, mut payload: Vec<u8>| {
        payload[..32].fill(0xff);
        Some(payload)
    };
    assert!(matches!(against(not_canonical, BLIND)[0], PsiError::InvalidPoint { from: Party::ONE }));
}

#[test]
fn repeated_points_stop_the_run() {
    for at in [BLIND, BLIND_AGAIN] {
        let repeat = |_, mut payload: Vec<u8>| {
            payload.copy_within(..32, 32);
            Some(payload)
        };
        assert!(matches!(against(repeat, at)[0], PsiError::RepeatedPoint), "at {at}");
    }
}

#[test]
fn a_peer_that_spoils_what_it_returns_is_found_out() {
    // Swapping two returned points changes which rows party 0 believes to be common; forging one hides a common key.
    let forge = |_, mut payload: Vec<u8>| {
        payload.iter_mut().step_by(32).for_each(|byte| *byte ^= 2);
        Some(payload)
    };
    assert!(matches!(against(forge, BLIND_AGAIN)[0], PsiError::IntersectionsDiffer));
    let digest = |_, mut payload: Vec<u8>| {
        payload[0] ^= 1;
        Some(payload)
    };
    assert!(matches!(against(digest, AGREE)[0], PsiError::IntersectionsDiffer));
}

#[test]
fn wrong_lengths_and_lost_peers_are_typed_errors() {
    for at in [SIZES, BLIND, BLIND_AGAIN, AGREE] {
        let shorter = |_, mut payload: Vec<u8>| payload.pop().map(|_| payload);
        assert!(matches!(against(shorter, at)[0], PsiError::Protocol(ProtocolError::WrongLength { .. })), "shorter at {at}");
        let longer = |_, payload: Vec<u8>| Some([payload, vec![0]].concat());
        assert!(matches!(against(longer, at)[0], PsiError::Protocol(ProtocolError::WrongLength { .. })), "longer at {at}");
        let gone = against(|_, _| None, at);
        assert!(gone.iter().all(|error| matches!(error, PsiError::Protocol(ProtocolError::Channel(_)))), "gone at {at}");
    }
    let huge = |_, _| Some(u64::MAX.to_be_bytes().to_vec());
    assert!(matches!(against(huge, SIZES)[0], PsiError::PeerSetTooLarge { size: u64::MAX, .. }));
}

#[test]
fn the_third_party_refuses_sizes_that_differ_or_exceed_the_limit() {
    let lie = |size: u64| {
        move |culprit: Party| {
            let channels = interfere(culprit, move |_, step, frame| {
                Some(if step == TELL { Bytes::from([&frame[..8], &size.to_le_bytes()].concat()) } else { frame })
            });
            let [_, _, third] = block_on(run(channels, 7, [set(0..20), set(10..30)], [ROWS_MAX; 3]));
            third.0.unwrap_err()
        }
    };
    assert!(matches!(lie(11)(Party::ONE), PsiError::SizesDiffer { first: 10, second: 11 }));
    let outcomes = block_on(run(honest(), 7, [set(0..20), set(10..30)], [ROWS_MAX, ROWS_MAX, 9]));
    assert!(matches!(outcomes[2].0, Err(PsiError::TooManyCommon { size: 10, maximum: 9 })));
}

#[test]
fn progress_counts_every_multiplied_point() {
    let reports = block_on(memory::run(7, |mut ctx| async move {
        let reports = std::sync::Mutex::new(vec![]);
        let progress = |done, total| reports.lock().unwrap().push((done, total));
        match ctx.party() {
            Party::TWO => drop(psi::learn_size(&mut ctx, LIMITS).await.unwrap()),
            party => {
                let keys = if party == Party::ZERO { set(0..9000) } else { set(0..10) };
                drop(psi::intersect(&mut ctx, keys.iter().collect(), LIMITS, &progress).await.unwrap());
            }
        }
        reports.into_inner().unwrap()
    }));
    assert_eq!(reports[0], [(8192, 9010), (9000, 9010), (9010, 9010)]);
    assert_eq!(reports[1], [(10, 9010), (8202, 9010), (9010, 9010)]);
}

#[test]
fn an_intersection_over_the_limit_is_not_told_to_anyone() {
    let errors = block_on(memory::run(7, |mut ctx| async move {
        let limits = PsiLimits { set_max: 20, common_max: 9 };
        match ctx.party() {
            Party::TWO => psi::learn_size(&mut ctx, limits).await.err(),
            _ => psi::intersect(&mut ctx, set(0..10).iter().collect(), limits, &|_, _| ()).await.err(),
        }
    }));
    assert!(matches!(errors[0], Some(PsiError::TooManyCommon { size: 10, maximum: 9 })));
    assert!(matches!(errors[1], Some(PsiError::TooManyCommon { .. })));
    assert!(matches!(errors[2], Some(PsiError::Protocol(ProtocolError::Channel(_)))));
}
