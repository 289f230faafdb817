//! The two exceptions that native code raises.

use entrepot_mpc_plan as planner;
use pyo3::{PyErr, create_exception, exceptions::PyValueError};

create_exception!(_native, NativeError, PyValueError, "Something handed to native code is wrong: args are (code, message).");
create_exception!(_native, PlanError, PyValueError, "A query has no plan: args are (code, rule, detail, hint).");

/// A refusal with a stable code. `std::error::Error` chains are flattened: Python has no other way to show the cause.
pub fn refusal(code: &'static str, error: &(dyn std::error::Error + 'static)) -> PyErr {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message.push_str(": ");
        message.push_str(&cause.to_string());
        source = cause.source();
    }
    NativeError::new_err((code, message))
}

/// A refusal in our own words.
pub fn refusal_text(code: &'static str, message: impl Into<String>) -> PyErr {
    NativeError::new_err((code, message.into()))
}

/// A query without a plan.
pub fn plan_error(error: &planner::PlanError) -> PyErr {
    PlanError::new_err((error.code(), error.rule(), error.detail.clone(), error.hint.clone()))
}
