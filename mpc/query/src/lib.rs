//! Runs a checked plan on shares.
//!
//! **Goal.** Two parties with a table each and a third with none compute counts and sums by group over the join of the tables, such that
//! the result exists only as three shares, which the consumer alone will put together.
//!
//! **Papers.** Set intersection and shares as in [`entrepot_mpc_protocol::psi`] and [`entrepot_mpc_protocol::replicated`], whose pages name
//! them. The composition is our own.
//!
//! **How.** With D_p the product of the domains that party p groups by (1 if none), for every joined row r:
//!
//! 1. *Intersection* on the join keys: parties 0 and 1 learn the joined rows in one common order; all learn their number n.
//! 2. Each data party computes in the clear, from its own columns alone, a selection `S_p[g][r]` ∈ {0, 1} for each of its D_p groups: the row
//!    is in group g and passes this party's filters. For each column it sums, also `T[g][r] = S_p[g][r] · value[r]`.
//! 3. It shares S and T. With (i, j) a pair of groups of party 0 and party 1, the cells are inner products over the rows:
//!    `count[i, j] = ⟨S_0[i], S_1[j]⟩`, a sum over a column of party 0 is `⟨T[i], S_1[j]⟩`, of party 1 `⟨S_0[i], T[j]⟩`. One element a cell
//!    travels, however many rows there are.
//! 4. On shares: `small = count < minimum_group`, every cell times `1 − small`, and the number of small groups.
//!
//! **Why factors of one party are multiplied before sharing.** What party p shares is a function of its own rows only, and a fresh sharing
//! of any vector looks the same to the others: no one learns more than from shares of the factors, and p knows them anyway. For the same
//! reason, where the *other* party selects nothing (no filter, no group of its own), p adds up its vector over the rows before sharing it, and
//! a count that neither party selects is n. What leaves p is always masked; what p learns is only what the intersection told it.
//!
//! **Filters come after the join.** A filter applied before it would tell the other party which of its rows passed.
//!
//! **Messages and rounds.** The intersection; then, streamed without waiting, 8 bytes an element of S and T from party 0 to 1 and from party 1
//! to 2; then 14 rounds on cells, at most 8 · (15·G + 2·cells) bytes a party.
//!
//! **Leakage and threat model.** Semi-honest, one corrupt party of three. Parties 0 and 1 learn which of their keys are common and the size of
//! the other's table; party 2 learns n; all know the plan. Nobody learns a cell, a filter's outcome, a group's size, or whether a group was
//! withheld. A party's input is its claim. The consumer, holding all three shares, learns the cells (0 in a withheld group) and the number of
//! withheld groups and nothing else: the last multiplication gives every cell a fresh uniform sharing.
//!
//! **Limits.** Rows enter in chunks of at most [`CHUNK_ELEMENTS_MAX`] shared elements (plus one row), so that memory beyond the input is about
//! 40 MiB plus 24 bytes a cell whatever the number of rows. `rows_max` · max|bound| < 2^62, as the planner demands and [`run`] checks again, so
//! no sum wraps and the comparison is exact.
//!
//! **Shapes.** In: [`PartyInput`], columns of equal length. Out: [`SharedResult`], two vectors of [`Plan::cell_count`] elements.

mod compute;
mod error;
mod input;
mod layout;
mod local;

pub use compute::CHUNK_ELEMENTS_MAX;
pub use error::QueryError;
pub use input::{Column, PartyInput, TextColumn, key_of_number, key_of_text};

use entrepot_mpc_plan::Plan;
use entrepot_mpc_protocol::{
    Context, Party,
    psi::{self, PsiLimits},
};
use layout::Layout;
use local::LocalTable;
use zeroize::Zeroizing;

/// What a party is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Looking for the common keys.
    Intersecting,
    /// Sharing rows and multiplying them.
    Sharing,
    /// Computing on cells.
    Computing,
}

impl Stage {
    /// As it is reported: `intersecting`, `sharing`, `computing`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intersecting => "intersecting",
            Self::Sharing => "sharing",
            Self::Computing => "computing",
        }
    }
}

/// Told how far a run is. Called often and from within the computation, so it must not block.
pub trait Progress: Send + Sync {
    /// `done` of `total`, in this stage. Neither says anything that this party may not know.
    fn report(&self, stage: Stage, done: u64, total: u64);
}

/// For whoever does not care.
impl Progress for () {
    fn report(&self, _: Stage, _: u64, _: u64) {}
}

/// One party's part of the result: two of the three additive shares of every cell, in the plan's order of cells.
#[derive(Clone)]
pub struct SharedResult {
    /// Share number and elements of Z_2^64. Party i holds numbers i and i + 1 mod 3; both holders of a share have the same elements.
    pub shares: [(u8, Zeroizing<Vec<u64>>); 2],
    /// Joined rows, which every party knows.
    pub rows_joined: u32,
}

impl std::fmt::Debug for SharedResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SharedResult(shares {} and {}, {} cells)", self.shares[0].0, self.shares[1].0, self.shares[0].1.len())
    }
}

/// Runs a plan as one of the three parties. Parties 0 and 1 give their input, party 2 none. Input that does not fit the plan is refused
/// before anything is sent.
pub async fn run(plan: &Plan, ctx: &mut Context, input: Option<PartyInput>, progress: &dyn Progress) -> Result<SharedResult, QueryError> {
    let layout = Layout::of(plan)?;
    let party = ctx.party();
    // Unequal sets are fine as long as what they have in common is within the plan's limit.
    let limits = PsiLimits { set_max: psi::ITEMS_MAX, common_max: plan.rows_max };
    let (local, rows_joined) = match input {
        Some(_) if party == Party::TWO => return Err(QueryError::UnexpectedInput),
        None if party != Party::TWO => return Err(QueryError::MissingInput),
        Some(input) => {
            let (keys, mut local) = LocalTable::prepare(plan, &layout, party, input)?;
            let report = |done, total| progress.report(Stage::Intersecting, done, total);
            let rows = psi::intersect(ctx, keys, limits, &report).await?;
            let rows_joined = rows.len() as u32;
            local.align(rows);
            (Some(local), rows_joined)
        }
        None => (None, psi::learn_size(ctx, limits).await?),
    };
    let (own, next) = compute::cells(plan, &layout, ctx, local.as_ref(), rows_joined as usize, progress).await?.into_parts();
    Ok(SharedResult { shares: [(party.index(), own), (party.next().index(), next)], rows_joined })
}
