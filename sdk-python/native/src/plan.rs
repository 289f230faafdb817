//! Plans: made of a query and a product, explained, and the key to the cells of a result.

use crate::errors::{plan_error, refusal};
use entrepot_chain_statement::statements::DataProduct;
use entrepot_mpc_plan as planner;
use pyo3::prelude::*;

/// A checked computation.
#[pyclass(frozen)]
pub struct Plan(planner::Plan);

/// Derives the plan of a query on a product given as the JSON of its statement. Raises `PlanError`.
#[pyfunction]
pub fn plan(sql: &str, product: &str) -> PyResult<Plan> {
    let product: DataProduct = serde_json::from_str(product).map_err(|error| refusal("statement", &error))?;
    planner::plan(sql, &product).map(Plan).map_err(|error| plan_error(&error))
}

#[pymethods]
impl Plan {
    /// Its hash, which every worker derives alike.
    #[getter]
    fn hash(&self) -> String {
        self.0.hash().to_string()
    }

    /// Its JSON.
    #[getter]
    fn json(&self) -> PyResult<String> {
        serde_json::to_string(&self.0).map_err(|error| refusal("plan", &error))
    }

    /// What is computed, a line a step.
    fn explain(&self) -> Vec<String> {
        self.0.explain()
    }

    /// What each party learns, a sentence each.
    fn leakage(&self) -> Vec<String> {
        self.0.leakage()
    }

    /// The opened cells as a table: JSON of columns, rows, `withheld_groups` and `groups`.
    fn decode(&self, cells: Vec<u64>) -> PyResult<String> {
        let table = planner::decode(&self.0, &cells).map_err(|error| refusal("result_cells", &error))?;
        serde_json::to_string(&table).map_err(|error| refusal("result_cells", &error))
    }

    fn __repr__(&self) -> String {
        format!("Plan({})", self.0.hash())
    }
}
