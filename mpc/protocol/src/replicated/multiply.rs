//! Products and inner products.
//!
//! x·y = Σ_i (x_i y_i + x_i y_{i+1} + x_{i+1} y_i), and party i can compute the i-th term alone. To hide it and to hold it twice again,
//! party i sends z_i = term + α_i to party i − 1, where α_i = F(k_i) − F(k_{i+1}), so that α_0 + α_1 + α_2 = 0 (Araki et al. §2.2).
//! Terms may be summed before that, so that an inner product of any length costs one element.

use super::{Ring, Shares, SharesSlice};
use crate::{Context, ProtocolError};
use std::marker::PhantomData;

/// A vector shared as a plain sum of three: party i knows the i-th summand only. What products are before [`reshare`].
#[derive(Clone, Debug)]
pub struct Additive<R: Ring> {
    summands: Vec<u64>,
    ring: PhantomData<R>,
}

impl<R: Ring> Additive<R> {
    /// Zeros.
    pub fn zeros(len: usize) -> Self {
        Self { summands: vec![0; len], ring: PhantomData }
    }

    /// This party's summands, to add [`dot`] products to with [`Ring::add`].
    pub fn summands_mut(&mut self) -> &mut [u64] {
        &mut self.summands
    }
}

/// This party's summand of the inner product of two vectors.
///
/// # Panics
/// If the lengths differ.
pub fn dot<R: Ring>(x: SharesSlice<'_, R>, y: SharesSlice<'_, R>) -> u64 {
    assert_eq!(x.own.len(), y.own.len(), "an inner product is of two vectors of one length");
    let terms = x.own.iter().zip(x.next).zip(y.own.iter().zip(y.next));
    terms.fold(0, |sum, ((x_own, x_next), (y_own, y_next))| R::add(sum, term::<R>(*x_own, *x_next, *y_own, *y_next)))
}

#[inline(always)]
fn term<R: Ring>(x_own: u64, x_next: u64, y_own: u64, y_next: u64) -> u64 {
    R::add(R::multiply(x_own, R::add(y_own, y_next)), R::multiply(x_next, y_own))
}

/// Element-wise product.
///
/// # Panics
/// If the lengths differ.
pub async fn multiply<R: Ring>(ctx: &mut Context, x: &Shares<R>, y: &Shares<R>) -> Result<Shares<R>, ProtocolError> {
    assert_eq!(x.len(), y.len(), "a product is of two vectors of one length");
    let terms = x.own().iter().zip(x.next()).zip(y.own().iter().zip(y.next()));
    let summands = terms.map(|((x_own, x_next), (y_own, y_next))| term::<R>(*x_own, *x_next, *y_own, *y_next)).collect();
    reshare(ctx, Additive { summands, ring: PhantomData }).await
}

/// Makes replicated shares of a plain sum: masks it by a fresh sharing of zero and sends one element a value to the previous party.
pub async fn reshare<R: Ring>(ctx: &mut Context, sum: Additive<R>) -> Result<Shares<R>, ProtocolError> {
    let step = ctx.step("reshare");
    let mut own = sum.summands;
    ctx.own_stream(step).apply(&mut own, |x, mask| R::add(x, mask));
    ctx.next_stream(step).apply(&mut own, |x, mask| R::subtract(x, mask));
    let next = ctx.pass_back(step, &own).await?;
    Ok(Shares::new(own, next))
}
