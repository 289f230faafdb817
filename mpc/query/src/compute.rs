//! What the three parties compute together once the rows are joined.

use crate::{
    Progress, QueryError, Stage,
    layout::{Block, DATA_PARTIES, Layout},
    local::LocalTable,
};
use entrepot_mpc_plan::Plan;
use entrepot_mpc_protocol::{
    Context, Party, ProtocolError,
    replicated::{self, Additive, Arithmetic, Shares},
};
use std::num::NonZeroUsize;

/// Most elements that are shared at a time: 8 MiB of input and 16 MiB of shares.
pub const CHUNK_ELEMENTS_MAX: usize = 1 << 20;
/// Rows of an inner product done at a time, so that vectors used for many cells stay in the cache.
const TILE_ROWS: usize = 1 << 10;
/// Multiplications below which another thread costs more than it saves.
const PARALLEL_PRODUCTS_MIN: usize = 1 << 20;

/// The cells of the result, in the plan's order.
pub(crate) async fn cells(
    plan: &Plan,
    layout: &Layout,
    ctx: &mut Context,
    local: Option<&LocalTable>,
    rows: usize,
    progress: &dyn Progress,
) -> Result<Shares<Arithmetic>, QueryError> {
    let products = inner_products(layout, ctx, local, rows, progress).await?;
    progress.report(Stage::Computing, 0, 1);
    let totals = [totals(layout, ctx, local, Party::ZERO).await?, totals(layout, ctx, local, Party::ONE).await?];
    let party = ctx.party();
    let blocks = layout.blocks.iter().map(|block| match *block {
        Block::InnerProducts { first } => products.slice(first..first + layout.groups).to_shares(),
        Block::Totals { party, first } => totals[usize::from(party.index())].slice(first..first + layout.groups).to_shares(),
        Block::Rows => Shares::public(party, &vec![rows as u64; layout.groups]),
    });
    let cells = withhold_small_groups(ctx, blocks.collect(), plan.minimum_group).await?;
    progress.report(Stage::Computing, 1, 1);
    Ok(cells)
}

/// Step 3 of the [crate's page](crate): rows go in chunk by chunk; products stay with each party and are made shares once, at the end.
async fn inner_products(
    layout: &Layout,
    ctx: &mut Context,
    local: Option<&LocalTable>,
    rows: usize,
    progress: &dyn Progress,
) -> Result<Shares<Arithmetic>, ProtocolError> {
    let mut sums = Additive::zeros(layout.inner_products.len());
    let vectors = layout.parties[0].vectors() + layout.parties[1].vectors();
    if !layout.inner_products.is_empty() {
        let chunk_rows = (CHUNK_ELEMENTS_MAX / vectors).max(1);
        for start in (0..rows).step_by(chunk_rows) {
            let range = start..(start + chunk_rows).min(rows);
            let mut shared = Vec::with_capacity(2);
            for (owner, part) in DATA_PARTIES.into_iter().zip(&layout.parties) {
                let own = local.filter(|_| ctx.party() == owner).map(|local| local.vectors(part, range.clone()));
                shared.push(replicated::input(ctx, owner, own.as_deref(), part.vectors() * range.len()).await?);
            }
            accumulate(&layout.inner_products, &shared[0], &shared[1], range.len(), sums.summands_mut());
            progress.report(Stage::Sharing, range.end as u64, rows as u64);
        }
    }
    replicated::reshare(ctx, sums).await
}

/// Adds the products of one chunk's rows to each cell's sum. Vector v of a party is at v · rows.
fn accumulate(pairs: &[(usize, usize)], x: &Shares<Arithmetic>, y: &Shares<Arithmetic>, rows: usize, sums: &mut [u64]) {
    let add = |pairs: &[(usize, usize)], sums: &mut [u64]| {
        for start in (0..rows).step_by(TILE_ROWS) {
            let end = (start + TILE_ROWS).min(rows);
            for ((v_0, v_1), sum) in pairs.iter().zip(&mut *sums) {
                let (x, y) = (x.slice(v_0 * rows + start..v_0 * rows + end), y.slice(v_1 * rows + start..v_1 * rows + end));
                *sum = sum.wrapping_add(replicated::dot(x, y));
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    if cores == 1 || pairs.len() < cores || pairs.len() * rows < PARALLEL_PRODUCTS_MIN {
        return add(pairs, sums);
    }
    let part = pairs.len().div_ceil(cores);
    std::thread::scope(|scope| {
        for (pairs, sums) in pairs.chunks(part).zip(sums.chunks_mut(part)) {
            scope.spawn(|| add(pairs, sums));
        }
    });
}

/// What one data party added up alone.
async fn totals(layout: &Layout, ctx: &mut Context, local: Option<&LocalTable>, owner: Party) -> Result<Shares<Arithmetic>, ProtocolError> {
    let part = &layout.parties[usize::from(owner.index())];
    let own = local.filter(|_| ctx.party() == owner).map(|local| local.totals(part));
    replicated::input(ctx, owner, own.as_deref(), part.totals()).await
}

/// Step 4 of the [crate's page](crate). `blocks` are the counts and the sums, G cells each.
async fn withhold_small_groups(
    ctx: &mut Context,
    blocks: Vec<Shares<Arithmetic>>,
    minimum: u32,
) -> Result<Shares<Arithmetic>, ProtocolError> {
    let party = ctx.party();
    let counts = &blocks[0];
    let small = replicated::less_than_public(ctx, counts, i64::from(minimum)).await?;
    let small = replicated::inject_bit(ctx, &small).await?;
    let keep = Shares::public(party, &vec![1; counts.len()]).subtract(&small);
    // The last cell is multiplied by one: like all others it leaves as a fresh uniform sharing, which says nothing of how it came about.
    let (cells, factors) = blocks.iter().fold((Shares::zeros(0), Shares::zeros(0)), |(cells, factors), block| {
        (Shares::concat(cells, block), Shares::concat(factors, &keep))
    });
    let (cells, factors) = (cells.concat(&small.total()), factors.concat(&Shares::public(party, &[1])));
    replicated::multiply(ctx, &cells, &factors).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A few pairs on one thread, many on all cores; rows beyond one tile either way. Party 0 holds a public vector whole, so that its
    /// summand is the product itself.
    #[test]
    fn every_row_of_every_pair_is_multiplied_once() {
        const ROWS: usize = 2 * TILE_ROWS + 500;
        const VECTORS: usize = 25;
        let word = |at: usize| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (x, y): (Vec<u64>, Vec<u64>) = (0..VECTORS * ROWS).map(|at| (word(at + 1), word(at + 77))).unzip();
        let vector = |words: &[u64], v: usize| words[v * ROWS..(v + 1) * ROWS].to_vec();
        let all: Vec<(usize, usize)> = (0..VECTORS).flat_map(|v_0| (0..VECTORS).map(move |v_1| (v_0, v_1))).collect();
        assert!(all.len() * ROWS >= PARALLEL_PRODUCTS_MIN);
        for pairs in [&all[..7], &all] {
            let mut sums = vec![5; pairs.len()];
            accumulate(pairs, &Shares::public(Party::ZERO, &x), &Shares::public(Party::ZERO, &y), ROWS, &mut sums);
            for ((v_0, v_1), sum) in pairs.iter().zip(sums) {
                let products = vector(&x, *v_0).into_iter().zip(vector(&y, *v_1));
                assert_eq!(sum, products.fold(5, |sum: u64, (x, y)| sum.wrapping_add(x.wrapping_mul(y))));
            }
        }
    }
}
