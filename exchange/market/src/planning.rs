//! A query's plan, or a refusal that names the rule it breaks.

use entrepot_chain_statement::statements::DataProduct;
use entrepot_exchange_domain::{Refusal, RefusalKind};
use entrepot_mpc_plan::{Plan, PlanError};

/// A query has no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} (rule {})", .0.detail, .0.rule)]
pub struct NoPlan(pub PlanError);

impl Refusal for NoPlan {
    fn code(&self) -> &'static str {
        self.0.code()
    }
    fn kind(&self) -> RefusalKind {
        RefusalKind::Unprocessable
    }
    fn hint(&self) -> Option<String> {
        Some(self.0.hint.clone())
    }
}

/// The plan of a query on a product.
pub(crate) fn plan(sql: &str, product: &DataProduct) -> Result<Plan, NoPlan> {
    entrepot_mpc_plan::plan(sql, product).map_err(NoPlan)
}
