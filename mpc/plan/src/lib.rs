//! SQL text to a checked plan.
//!
//! A query is one `SELECT` over the inner join of a product's two tables. [`plan`] parses it, holds it against the policy inside the
//! product and gives back a [`Plan`]: everything that the parties need to compute, with no SQL left in it. The consumer, the exchange
//! and every worker derive the plan themselves; its [`Plan::hash`] is what they agree on, so it does not depend on aliases, letter
//! case, the order of the joined tables or the order of conditions.
//!
//! Everything here is pure. Both the text and the product are hostile input: whatever they hold, the answer is a plan or a
//! [`PlanError`] that names the rule and what to do.

pub mod decimal;

mod decode;
mod error;
mod explain;
mod filter;
mod names;
mod parse;
mod plan;
mod planner;

pub use decode::{Cell, ColumnType, DecodeError, ResultColumn, ResultTable, decode};
pub use error::{PlanError, Rule};
pub use plan::{Filter, FilterTest, GroupColumn, JoinKey, Output, OutputValue, Plan, PlanTable, Scaled, SumColumn};
pub use planner::plan;

/// Longest query, in bytes.
pub const SQL_BYTES_MAX: usize = 8_192;
/// Most tokens in a query, white space apart.
pub const TOKENS_MAX: usize = 2_000;
/// Deepest nesting of brackets in a query.
pub const NESTING_MAX: usize = 16;
/// Most columns to group by.
pub const GROUP_COLUMNS_MAX: usize = 2;
/// Most groups: the product of the group columns' domain sizes.
pub const GROUPS_MAX: usize = 4_096;
/// Most distinct columns to sum.
pub const SUMS_MAX: usize = 16;
/// Most columns of a result.
pub const OUTPUTS_MAX: usize = 32;
/// Most conditions in `WHERE`.
pub const CONDITIONS_MAX: usize = 32;
/// Most rows a policy may declare.
pub const ROWS_MAX: u32 = 10_000_000;
