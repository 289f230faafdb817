//! Shares against plain arithmetic, with all three parties in memory.

use entrepot_mpc_protocol::{
    Party, ProtocolError, Traffic, memory,
    replicated::{self, Additive, Arithmetic, Boolean, Ring, Shares},
};
use proptest::prelude::*;
use std::future::Future;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

/// A value as its owner gives it.
fn mine(party: Party, owner: Party, values: &[u64]) -> Option<&[u64]> {
    (party == owner).then_some(values)
}

/// Reconstructs from what the three parties hold, after checking that both holders of each share have the same.
fn reconstruct<R: Ring>(parts: &[Shares<R>; 3]) -> Vec<u64> {
    for party in Party::ALL {
        let (i, j) = (party.index() as usize, party.next().index() as usize);
        assert_eq!(parts[i].next(), parts[j].own(), "parties {i} and {j} hold share {j}");
    }
    (0..parts[0].len()).map(|at| R::add(R::add(parts[0].own()[at], parts[1].own()[at]), parts[2].own()[at])).collect()
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    MultiplyByPublic,
}

async fn compute<R: Ring>(seed: u64, operation: Operation, owners: (Party, Party), x: Vec<u64>, y: Vec<u64>) -> Vec<u64> {
    let parts = memory::run(seed, move |mut ctx| {
        let (x, y) = (x.clone(), y.clone());
        async move {
            let party = ctx.party();
            let a = replicated::input::<R>(&mut ctx, owners.0, mine(party, owners.0, &x), x.len()).await.unwrap();
            let b = replicated::input::<R>(&mut ctx, owners.1, mine(party, owners.1, &y), y.len()).await.unwrap();
            match operation {
                Operation::Add => a.add(&b),
                Operation::Subtract => a.subtract(&b),
                Operation::Multiply => replicated::multiply(&mut ctx, &a, &b).await.unwrap(),
                Operation::MultiplyByPublic => replicated::multiply(&mut ctx, &a, &Shares::public(party, &y)).await.unwrap(),
            }
        }
    })
    .await;
    reconstruct(&parts)
}

fn expected<R: Ring>(operation: Operation, x: &[u64], y: &[u64]) -> Vec<u64> {
    let f = match operation {
        Operation::Add => R::add,
        Operation::Subtract => R::subtract,
        Operation::Multiply | Operation::MultiplyByPublic => R::multiply,
    };
    x.iter().zip(y).map(|(x, y)| f(*x, *y)).collect()
}

fn party() -> impl Strategy<Value = Party> {
    (0_u8..3).prop_map(|index| Party::new(index).unwrap())
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![Just(Operation::Add), Just(Operation::Subtract), Just(Operation::Multiply), Just(Operation::MultiplyByPublic)]
}

fn word() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), Just(0), Just(1), Just(u64::MAX), Just(1 << 63), Just((1 << 62) - 1)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn shares_compute_what_plain_words_do(
        seed: u64, operation in operation(), owners in (party(), party()), pairs in prop::collection::vec((word(), word()), 0..40),
    ) {
        let (x, y): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let sums = block_on(compute::<Arithmetic>(seed, operation, owners, x.clone(), y.clone()));
        prop_assert_eq!(sums, expected::<Arithmetic>(operation, &x, &y));
        let bits = block_on(compute::<Boolean>(seed, operation, owners, x.clone(), y.clone()));
        prop_assert_eq!(bits, expected::<Boolean>(operation, &x, &y));
    }

    #[test]
    fn inner_products_are_right_and_cost_one_element(seed: u64, pairs in prop::collection::vec((word(), word()), 0..200)) {
        let (x, y): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let plain = x.iter().zip(&y).fold(0_u64, |sum, (x, y)| sum.wrapping_add(x.wrapping_mul(*y)));
        let opened = block_on(memory::run(seed, move |mut ctx| {
            let (x, y) = (x.clone(), y.clone());
            async move {
                let party = ctx.party();
                let a = replicated::input::<Arithmetic>(&mut ctx, Party::ZERO, mine(party, Party::ZERO, &x), x.len()).await.unwrap();
                let b = replicated::input::<Arithmetic>(&mut ctx, Party::ONE, mine(party, Party::ONE, &y), y.len()).await.unwrap();
                let before = ctx.traffic();
                let mut sum = Additive::<Arithmetic>::zeros(1);
                // In two parts, as a caller with bounded memory does.
                let half = x.len() / 2;
                for range in [0..half, half..x.len()] {
                    let part = replicated::dot(a.slice(range.clone()), b.slice(range));
                    sum.summands_mut()[0] = sum.summands_mut()[0].wrapping_add(part);
                }
                let product = replicated::reshare(&mut ctx, sum).await.unwrap();
                assert_eq!(ctx.traffic().sent_bytes - before.sent_bytes, 8);
                replicated::open(&mut ctx, &product).await.unwrap()
            }
        }));
        prop_assert_eq!(opened, [vec![plain], vec![plain], vec![plain]]);
    }

    #[test]
    fn bits_of_numbers_are_their_bits(seed: u64, values in prop::collection::vec(word(), 0..30), owner in party()) {
        let given = values.clone();
        let parts = block_on(memory::run(seed, move |mut ctx| {
            let values = given.clone();
            async move {
                let party = ctx.party();
                let x = replicated::input(&mut ctx, owner, mine(party, owner, &values), values.len()).await.unwrap();
                replicated::to_bits(&mut ctx, &x).await.unwrap()
            }
        }));
        prop_assert_eq!(reconstruct(&parts), values);
    }

    #[test]
    fn comparison_and_injection_agree_with_plain_comparison(
        seed: u64,
        values in prop::collection::vec(prop_oneof![-50_i64..50, -(1_i64 << 62)..=1 << 62], 1..30),
        bound in prop_oneof![-50_i64..50, -(1_i64 << 62)..1 << 62],
    ) {
        let plain: Vec<u64> = values.iter().map(|value| u64::from(*value < bound)).collect();
        let words: Vec<u64> = values.iter().map(|value| value.cast_unsigned()).collect();
        let results = block_on(memory::run(seed, move |mut ctx| {
            let words = words.clone();
            async move {
                let party = ctx.party();
                let x = replicated::input(&mut ctx, Party::ONE, mine(party, Party::ONE, &words), words.len()).await.unwrap();
                let less = replicated::less_than_public(&mut ctx, &x, bound).await.unwrap();
                let number = replicated::inject_bit(&mut ctx, &less).await.unwrap();
                (less, number)
            }
        }));
        let (less, number): (Vec<_>, Vec<_>) = results.into_iter().unzip();
        prop_assert_eq!(&reconstruct(&less.try_into().unwrap()), &plain);
        prop_assert_eq!(&reconstruct(&number.try_into().unwrap()), &plain);
    }
}

#[test]
fn injection_looks_at_the_lowest_bit_alone() {
    let parts = block_on(memory::run(9, |mut ctx| async move {
        let party = ctx.party();
        let words = [0, 1, 2, 3, u64::MAX, u64::MAX - 1];
        let x = replicated::input(&mut ctx, Party::TWO, mine(party, Party::TWO, &words), 6).await.unwrap();
        replicated::inject_bit(&mut ctx, &x).await.unwrap()
    }));
    assert_eq!(reconstruct(&parts), [0, 1, 0, 1, 1, 0]);
}

/// What one multiplication, comparison and so on cost, to the byte: the figures on the module's page.
#[test]
fn communication_is_as_documented() {
    const COUNT: usize = 200_000; // more than one frame
    let words = |traffic: Traffic, before: Traffic| (traffic.sent_bytes - before.sent_bytes) as f64 / (8.0 * COUNT as f64);
    let costs = block_on(memory::run(3, move |mut ctx| async move {
        let party = ctx.party();
        let zero = |owner| (party == owner).then(|| vec![5; COUNT]);
        let start = ctx.traffic();
        let x = replicated::input::<Arithmetic>(&mut ctx, Party::ZERO, zero(Party::ZERO).as_deref(), COUNT).await.unwrap();
        let input = ctx.traffic();
        let product = replicated::multiply(&mut ctx, &x, &x).await.unwrap();
        let multiply = ctx.traffic();
        let less = replicated::less_than_public(&mut ctx, &product, 26).await.unwrap();
        let compare = ctx.traffic();
        let number = replicated::inject_bit(&mut ctx, &less).await.unwrap();
        let inject = ctx.traffic();
        let opened = replicated::open(&mut ctx, &number).await.unwrap();
        let end = ctx.traffic();
        assert_eq!(opened, vec![1; COUNT]);
        assert_eq!(multiply.sent_frames - input.sent_frames, 2);
        [words(input, start), words(multiply, input), words(compare, multiply), words(inject, compare), words(end, inject)]
    }));
    assert_eq!(costs[0], [1.0, 1.0, 13.0, 2.0, 2.0]);
    assert_eq!(costs[1], [0.0, 1.0, 12.0, 1.0, 2.0]);
    assert_eq!(costs[2], [0.0, 1.0, 12.0, 1.0, 2.0]);
}

/// Not a proof, a smoke detector: a message that carried a plain zero, or a mask used twice, would show.
#[test]
fn shares_of_zero_look_uniform_and_fresh() {
    const COUNT: usize = 1 << 14;
    let seen = block_on(memory::run(4, |mut ctx| async move {
        let party = ctx.party();
        let zeros = vec![0; COUNT];
        let x = replicated::input::<Arithmetic>(&mut ctx, Party::ZERO, mine(party, Party::ZERO, &zeros), COUNT).await.unwrap();
        let first = replicated::multiply(&mut ctx, &x, &x).await.unwrap();
        let second = replicated::multiply(&mut ctx, &x, &x).await.unwrap();
        [x, first, second]
    }));
    // What each party received: the input at party 1, the products' next shares at all.
    let messages = [seen[1][0].own(), seen[0][1].next(), seen[1][1].next(), seen[2][1].next(), seen[0][2].next(), seen[1][2].next()];
    for (at, message) in messages.iter().enumerate() {
        let ones: u32 = message.iter().map(|word| word.count_ones()).sum();
        let (bits, deviation) = (64.0 * COUNT as f64, (64.0 * COUNT as f64).sqrt() / 2.0);
        assert!((f64::from(ones) - bits / 2.0).abs() < 6.0 * deviation, "message {at} has {ones} ones");
        for other in &messages[..at] {
            assert_ne!(message, other);
        }
    }
}

#[test]
fn pairwise_seeds_are_known_to_the_two_holders_and_depend_on_the_session() {
    let seeds = block_on(memory::run(5, |ctx| async move { [0, 1, 2, 3].map(|share| ctx.pairwise_seed(share).map(|seed| *seed)) }));
    for share in 0..3 {
        assert!(seeds[share][share].is_some());
        assert_eq!(seeds[share][share], seeds[(share + 2) % 3][share]);
        assert_eq!(seeds[(share + 1) % 3][share], None);
        assert_eq!(seeds[share][3], None);
        assert_ne!(seeds[share][share], seeds[(share + 1) % 3][(share + 1) % 3]);
    }
}

#[test]
fn the_transcript_covers_every_message() {
    let run = |seed, value: u64| {
        block_on(memory::run(seed, move |mut ctx| async move {
            let party = ctx.party();
            let before = ctx.transcript();
            let x = replicated::input::<Arithmetic>(&mut ctx, Party::ZERO, mine(party, Party::ZERO, &[value]), 1).await.unwrap();
            let after = ctx.transcript();
            replicated::open(&mut ctx, &x).await.unwrap();
            (before, after, ctx.transcript())
        }))
    };
    let (one, again, other) = (run(1, 5), run(1, 5), run(1, 6));
    assert_eq!(one, again, "the same seeds give the same transcript");
    for party in 0..3 {
        assert_eq!(one[party].0 == one[party].1, party == 2, "party 2 neither sends nor receives in an input of party 0");
        assert_eq!(one[party].1 == other[party].1, party == 2);
        assert_ne!(one[party].2, other[party].2);
    }
}

#[test]
fn an_owner_must_give_what_it_announced() {
    let errors = block_on(memory::run(5, |mut ctx| async move {
        let values: Option<&[u64]> = if ctx.party() == Party::ZERO { Some(&[1, 2]) } else { None };
        replicated::input::<Arithmetic>(&mut ctx, Party::ZERO, values, 3).await.err()
    }));
    assert!(matches!(errors[0], Some(ProtocolError::InputMissing)));
    assert!(matches!(errors[1], Some(ProtocolError::Channel(_))));
}
