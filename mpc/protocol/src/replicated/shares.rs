//! Vectors of shared values: making them, adding them, opening them.

use super::Ring;
use crate::{Context, Party, ProtocolError};
use std::{marker::PhantomData, ops::Range};
use zeroize::Zeroizing;

/// What party i holds of a vector x = x_0 + x_1 + x_2: the vectors x_i and x_{i+1}. Either alone, and both together, are uniform, so they
/// are no secret without the third.
#[derive(Clone, Debug)]
pub struct Shares<R: Ring> {
    own: Vec<u64>,
    next: Vec<u64>,
    ring: PhantomData<R>,
}

/// A part of [`Shares`].
#[derive(Clone, Copy, Debug)]
pub struct SharesSlice<'a, R: Ring> {
    /// x_i
    pub own: &'a [u64],
    /// x_{i+1}
    pub next: &'a [u64],
    ring: PhantomData<R>,
}

impl<R: Ring> Shares<R> {
    pub(crate) fn new(own: Vec<u64>, next: Vec<u64>) -> Self {
        debug_assert_eq!(own.len(), next.len());
        Self { own, next, ring: PhantomData }
    }

    /// Zeros.
    pub fn zeros(len: usize) -> Self {
        Self::new(vec![0; len], vec![0; len])
    }

    /// Values that all three know: share 0 is the value, the others are 0.
    pub fn public(party: Party, values: &[u64]) -> Self {
        Self::known_as(party, Party::ZERO, values)
    }

    /// Values known to the two holders of share `share`, which is the value while the others are 0. The third party gives anything of the
    /// right length.
    pub(crate) fn known_as(party: Party, share: Party, values: &[u64]) -> Self {
        let zeros = || vec![0; values.len()];
        match share {
            share if share == party => Self::new(values.to_vec(), zeros()),
            share if share == party.next() => Self::new(zeros(), values.to_vec()),
            _ => Self::zeros(values.len()),
        }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.own.len()
    }

    /// Whether there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// x_i: for party i, share number i.
    pub fn own(&self) -> &[u64] {
        &self.own
    }

    /// x_{i+1}.
    pub fn next(&self) -> &[u64] {
        &self.next
    }

    /// Both shares, x_i and x_{i+1}, wiped when dropped.
    pub fn into_parts(self) -> (Zeroizing<Vec<u64>>, Zeroizing<Vec<u64>>) {
        (Zeroizing::new(self.own), Zeroizing::new(self.next))
    }

    /// A part.
    ///
    /// # Panics
    /// If the range exceeds the length.
    pub fn slice(&self, range: Range<usize>) -> SharesSlice<'_, R> {
        SharesSlice { own: &self.own[range.clone()], next: &self.next[range], ring: PhantomData }
    }

    /// All of it.
    pub fn as_slice(&self) -> SharesSlice<'_, R> {
        self.slice(0..self.len())
    }

    /// x + y, without talking.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn add(&self, other: &Self) -> Self {
        self.combine(other, R::add)
    }

    /// x − y, without talking.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn subtract(&self, other: &Self) -> Self {
        self.combine(other, R::subtract)
    }

    /// The sum of all values, as a vector of one, without talking.
    pub fn total(&self) -> Self {
        let total = |x: &[u64]| vec![x.iter().fold(0, |sum, x| R::add(sum, *x))];
        Self::new(total(&self.own), total(&self.next))
    }

    /// The values of one vector after those of the other.
    pub fn concat(mut self, other: &Self) -> Self {
        self.own.extend_from_slice(&other.own);
        self.next.extend_from_slice(&other.next);
        self
    }

    /// The same linear map on each share. `f` must be linear in R.
    pub(crate) fn map(&self, f: impl Fn(u64) -> u64) -> Self {
        Self::new(self.own.iter().map(|x| f(*x)).collect(), self.next.iter().map(|x| f(*x)).collect())
    }

    fn combine(&self, other: &Self, f: fn(u64, u64) -> u64) -> Self {
        assert_eq!(self.len(), other.len(), "only vectors of one length can be added");
        let zip = |x: &[u64], y: &[u64]| x.iter().zip(y).map(|(x, y)| f(*x, *y)).collect();
        Self::new(zip(&self.own, &other.own), zip(&self.next, &other.next))
    }
}

impl<R: Ring> SharesSlice<'_, R> {
    /// A copy.
    pub fn to_shares(self) -> Shares<R> {
        Shares::new(self.own.to_vec(), self.next.to_vec())
    }
}

/// Shares `len` values of one party, who alone gives `values`.
///
/// With p the owner: x_p comes from the stream of parties p and p − 1, x_{p+1} = x − x_p goes to party p + 1, x_{p+2} = 0.
pub async fn input<R: Ring>(ctx: &mut Context, owner: Party, values: Option<&[u64]>, len: usize) -> Result<Shares<R>, ProtocolError> {
    let step = ctx.step("input");
    let party = ctx.party();
    if party == owner {
        let values = values.filter(|values| values.len() == len).ok_or(ProtocolError::InputMissing)?;
        let mut rest = values.to_vec();
        let mut mask = vec![0; len];
        ctx.own_stream(step).apply(&mut mask, |_, random| random);
        rest.iter_mut().zip(&mask).for_each(|(value, mask)| *value = R::subtract(*value, *mask));
        ctx.send_next(step, &rest).await?;
        Ok(Shares::new(mask, rest))
    } else if party == owner.next() {
        Ok(Shares::new(ctx.receive_previous(step, len).await?, vec![0; len]))
    } else {
        Ok(Shares::new(vec![0; len], ctx.next_stream(step).words(len)))
    }
}

/// Opens values to all three parties. Each party gets the share it lacks from both of its holders and compares, so one party alone cannot
/// make another accept a wrong share.
pub async fn open<R: Ring>(ctx: &mut Context, shares: &Shares<R>) -> Result<Vec<u64>, ProtocolError> {
    let step = ctx.step("open");
    // Party i lacks x_{i−1}: party i − 1 has it as its own, party i + 1 as its next.
    let missing = ctx.pass_on(step, &shares.own).await?;
    let again = ctx.pass_back(step, &shares.next).await?;
    if missing != again {
        return Err(ProtocolError::SharesDisagree { step: step.name });
    }
    let shares = shares.own.iter().zip(&shares.next).zip(&missing);
    Ok(shares.map(|((own, next), missing)| R::add(R::add(*own, *next), *missing)).collect())
}
