//! Which vectors each party shares, and which of them make up which cell. Follows from the plan alone, so it is the same everywhere.

use crate::QueryError;
use entrepot_mpc_plan::{GROUPS_MAX, Plan, SUMS_MAX};
use entrepot_mpc_protocol::Party;

/// The data parties.
pub(crate) const DATA_PARTIES: [Party; 2] = [Party::ZERO, Party::ONE];

/// What one data party contributes.
pub(crate) struct PartyLayout {
    /// D_p: combinations of the values of this party's group columns; 1 if it has none.
    pub groups: usize,
    /// Place in the plan of each column this party sums.
    pub sums: Vec<usize>,
    /// Whether the party has a filter or a group, so that its selection is not simply every row.
    pub selects: bool,
    /// Whether its selections are shared row by row.
    pub shares_selection: bool,
    /// Whether its selected values are shared row by row; if not, their totals are.
    pub shares_values: bool,
    /// Whether the totals of its selections are the counts.
    pub totals_counts: bool,
}

impl PartyLayout {
    /// Vectors that are shared row by row: selections by group, then for each sum the selected values by group.
    pub fn vectors(&self) -> usize {
        self.groups * (usize::from(self.shares_selection) + if self.shares_values { self.sums.len() } else { 0 })
    }

    /// Where the selected values of the k-th own sum begin among those vectors.
    pub fn values_vector(&self, k: usize) -> usize {
        self.groups * (usize::from(self.shares_selection) + k)
    }

    /// Totals over all rows: counts by group, then for each sum by group.
    pub fn totals(&self) -> usize {
        self.groups * (usize::from(self.totals_counts) + if self.shares_values { 0 } else { self.sums.len() })
    }

    /// Where the totals of the k-th own sum begin.
    pub fn values_total(&self, k: usize) -> usize {
        self.groups * (usize::from(self.totals_counts) + k)
    }
}

/// Where a block of G cells, the counts or one sum, comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// Inner products over the rows, from this place among all of them.
    InnerProducts { first: usize },
    /// Totals of one party, from this place among that party's. The other party groups by nothing.
    Totals { party: Party, first: usize },
    /// The number of joined rows, which everyone knows.
    Rows,
}

/// The plan, taken apart.
pub(crate) struct Layout {
    pub parties: [PartyLayout; 2],
    /// G.
    pub groups: usize,
    /// Counts, then each sum in plan order.
    pub blocks: Vec<Block>,
    /// Vector of party 0 and vector of party 1 of each inner product.
    pub inner_products: Vec<(usize, usize)>,
}

impl Layout {
    pub fn of(plan: &Plan) -> Result<Self, QueryError> {
        check(plan)?;
        let parties = DATA_PARTIES.map(|party| party_layout(plan, party));
        let mut layout = Self { parties, groups: plan.group_count(), blocks: Vec::new(), inner_products: Vec::new() };
        let pairs: Vec<(usize, usize)> = (0..layout.groups).map(|group| (own_group(plan, 0, group), own_group(plan, 1, group))).collect();

        let counts = match (layout.parties[0].selects, layout.parties[1].selects) {
            (true, true) => layout.pair_up(&pairs, 0, 0),
            (true, false) => Block::Totals { party: Party::ZERO, first: 0 },
            (false, true) => Block::Totals { party: Party::ONE, first: 0 },
            (false, false) => Block::Rows,
        };
        layout.blocks.push(counts);
        let mut seen = [0, 0];
        for sum in &plan.sums {
            let owner = usize::from(sum.party);
            let (k, own) = (seen[owner], &layout.parties[owner]);
            seen[owner] += 1;
            let block = match (own.shares_values, owner) {
                (false, _) => Block::Totals { party: DATA_PARTIES[owner], first: own.values_total(k) },
                (true, 0) => layout.pair_up(&pairs, own.values_vector(k), 0),
                (true, _) => layout.pair_up(&pairs, 0, own.values_vector(k)),
            };
            layout.blocks.push(block);
        }
        Ok(layout)
    }

    /// Adds G inner products of the vectors that begin at these places.
    fn pair_up(&mut self, pairs: &[(usize, usize)], first_0: usize, first_1: usize) -> Block {
        let first = self.inner_products.len();
        self.inner_products.extend(pairs.iter().map(|(group_0, group_1)| (first_0 + group_0, first_1 + group_1)));
        Block::InnerProducts { first }
    }
}

fn party_layout(plan: &Plan, party: Party) -> PartyLayout {
    let selects = |party: Party| {
        let index = party.index();
        plan.filters.iter().any(|filter| filter.party == index) || plan.groups.iter().any(|group| group.party == index)
    };
    let sums = |party: Party| -> Vec<usize> { (0..plan.sums.len()).filter(|at| plan.sums[*at].party == party.index()).collect() };
    let other = if party == Party::ZERO { Party::ONE } else { Party::ZERO };
    let own = plan.groups.iter().filter(|group| group.party == party.index());
    PartyLayout {
        groups: own.map(|group| group.domain.len()).product(),
        sums: sums(party),
        selects: selects(party),
        shares_selection: selects(party) && (selects(other) || !sums(other).is_empty()),
        shares_values: selects(other),
        totals_counts: selects(party) && !selects(other),
    }
}

/// Of a group of the plan, the part that this party's columns decide.
fn own_group(plan: &Plan, party: u8, group: usize) -> usize {
    let (mut rest, mut own, mut scale) = (group, 0, 1);
    // The last column varies fastest.
    for column in plan.groups.iter().rev() {
        let value = rest % column.domain.len();
        rest /= column.domain.len();
        if column.party == party {
            own += value * scale;
            scale *= column.domain.len();
        }
    }
    own
}

/// What the computation relies on, however the plan came about.
fn check(plan: &Plan) -> Result<(), QueryError> {
    let bad = |reason| Err(QueryError::BadPlan { reason });
    let mut parties = plan.filters.iter().map(|filter| filter.party);
    let mut group_parties = plan.groups.iter().map(|group| group.party);
    let mut sum_parties = plan.sums.iter().map(|sum| sum.party);
    if plan.version != Plan::VERSION {
        return bad("its version is unknown");
    }
    if plan.tables[0].party != 0 || plan.tables[1].party != 1 {
        return bad("its tables are not those of parties 0 and 1");
    }
    if parties.any(|party| party > 1) || group_parties.any(|party| party > 1) || sum_parties.any(|party| party > 1) {
        return bad("a column belongs to no data party");
    }
    let groups = plan.groups.iter().try_fold(1_usize, |product, group| product.checked_mul(group.domain.len()));
    if !groups.is_some_and(|groups| (1..=GROUPS_MAX).contains(&groups)) {
        return bad("it has no groups or too many");
    }
    if plan.sums.len() > SUMS_MAX {
        return bad("it has too many sums");
    }
    if plan.minimum_group < 2 {
        return bad("its minimum group is below 2");
    }
    let magnitude = |sum: &entrepot_mpc_plan::SumColumn| sum.bounds.minimum.unsigned_abs().max(sum.bounds.maximum.unsigned_abs());
    if plan.sums.iter().any(|sum| u128::from(magnitude(sum)) * u128::from(plan.rows_max) >= 1 << 62) {
        return bad("a sum could overflow");
    }
    Ok(())
}
