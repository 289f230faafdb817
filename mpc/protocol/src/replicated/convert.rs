//! Between numbers and their bits.

use super::{Arithmetic, Boolean, Shares, input, multiply};
use crate::{Context, Party, ProtocolError};

/// The bits of numbers: word j of the result has the bits of `x[j]` (ABY3 §5.3).
///
/// Party 0 knows a = x_0 + x_1 and shares its bits; b = x_2 is known to parties 1 and 2 and needs no message. Then a + b by a parallel
/// prefix adder (Kogge–Stone): generate g = a ∧ b and propagate p = a ⊕ b spread over spans of 1, 2, 4 … 32 bits; as g and p exclude each
/// other, the OR of a textbook is an XOR here.
pub async fn to_bits(ctx: &mut Context, x: &Shares<Arithmetic>) -> Result<Shares<Boolean>, ProtocolError> {
    let a = input_first_two::<Boolean>(ctx, x, u64::wrapping_add).await?;
    let b = Shares::<Boolean>::known_as(ctx.party(), Party::TWO, third_share(ctx, x));

    let half_sum = a.add(&b);
    let mut generate = multiply(ctx, &a, &b).await?;
    let mut propagate = half_sum.clone();
    for distance in [1, 2, 4, 8, 16] {
        // g' = g ⊕ p ∧ (g ≪ d) and p' = p ∧ (p ≪ d), in one message.
        let left = propagate.clone().concat(&propagate);
        let right = generate.map(|word| word << distance).concat(&propagate.map(|word| word << distance));
        let both = multiply(ctx, &left, &right).await?;
        generate = generate.add(&both.slice(0..x.len()).to_shares());
        propagate = both.slice(x.len()..2 * x.len()).to_shares();
    }
    let last = multiply(ctx, &propagate, &generate.map(|word| word << 32)).await?;
    generate = generate.add(&last);
    Ok(half_sum.add(&generate.map(|word| word << 1)))
}

/// Bit 63 of each number, as bit 0 of a word whose other bits are 0: whether a signed number is negative.
pub async fn most_significant_bit(ctx: &mut Context, x: &Shares<Arithmetic>) -> Result<Shares<Boolean>, ProtocolError> {
    Ok(to_bits(ctx, x).await?.map(|word| word >> 63))
}

/// Whether `x[j]` < bound, both signed, as bit 0 of a word. Right as long as −2^63 ≤ `x[j]` − bound < 2^63.
pub async fn less_than_public(ctx: &mut Context, x: &Shares<Arithmetic>, bound: i64) -> Result<Shares<Boolean>, ProtocolError> {
    let bounds = Shares::public(ctx.party(), &vec![bound.cast_unsigned(); x.len()]);
    most_significant_bit(ctx, &x.subtract(&bounds)).await
}

/// Bit 0 of each word as the number 0 or 1. Multiplying by it is then [`multiply`].
///
/// u = b_0 ⊕ b_1 is shared as a number by party 0; v = b_2 is known to parties 1 and 2; u ⊕ v = u + v − 2uv. (ABY3 §5.4 multiplies a bit by
/// a number with oblivious transfer instead; this is cheaper when one bit multiplies several numbers, as it does here.)
pub async fn inject_bit(ctx: &mut Context, bits: &Shares<Boolean>) -> Result<Shares<Arithmetic>, ProtocolError> {
    let bits = bits.map(|word| word & 1);
    let u = input_first_two::<Arithmetic>(ctx, &bits, |x, y| x ^ y).await?;
    let v = Shares::<Arithmetic>::known_as(ctx.party(), Party::TWO, third_share(ctx, &bits));
    let both = multiply(ctx, &u, &v).await?;
    Ok(u.add(&v).subtract(&both.add(&both)))
}

/// Party 0 inputs x_0 ∘ x_1, which it alone can compute, into ring R.
async fn input_first_two<R: super::Ring>(
    ctx: &mut Context,
    x: &Shares<impl super::Ring>,
    combine: fn(u64, u64) -> u64,
) -> Result<Shares<R>, ProtocolError> {
    let sum: Option<Vec<u64>> =
        (ctx.party() == Party::ZERO).then(|| x.own().iter().zip(x.next()).map(|(x_0, x_1)| combine(*x_0, *x_1)).collect());
    input(ctx, Party::ZERO, sum.as_deref(), x.len()).await
}

/// x_2 at parties 1 and 2; at party 0 something of the right length that [`Shares::known_as`] ignores.
fn third_share<'a, R: super::Ring>(ctx: &Context, x: &'a Shares<R>) -> &'a [u64] {
    if ctx.party() == Party::ONE { x.next() } else { x.own() }
}
