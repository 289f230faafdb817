//! Why a run ends without a result.

use entrepot_mpc_protocol::{ProtocolError, psi::PsiError};

/// Why a run ends without a result. Names columns, never values: it may reach the exchange.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The plan breaks a rule that the planner keeps.
    #[error("the plan cannot be run: {reason}")]
    BadPlan {
        /// Which rule.
        reason: &'static str,
    },
    /// A data party came without its table.
    #[error("this party holds a table of the plan but gave no rows")]
    MissingInput,
    /// The compute party came with a table.
    #[error("the compute party has no table in the plan")]
    UnexpectedInput,
    /// The plan uses a column that the input lacks.
    #[error("the input has no column `{column}`")]
    MissingColumn {
        /// Its name.
        column: String,
    },
    /// A column is text where the plan has a number, or the other way round.
    #[error("column `{column}` is not of the plan's kind")]
    WrongKind {
        /// Its name.
        column: String,
    },
    /// A column has another number of rows than there are keys.
    #[error("column `{column}` has {found} rows where there are {expected} keys")]
    WrongLength {
        /// Its name.
        column: String,
        /// Number of keys.
        expected: usize,
        /// Rows of the column.
        found: usize,
    },
    /// A value to group by is not in the public domain.
    #[error("column `{column}` has a value outside its declared domain; correct the data or declare the value in the policy")]
    OutsideDomain {
        /// Its name.
        column: String,
    },
    /// A value to sum is not within the declared bounds.
    #[error("column `{column}` has a value outside its declared bounds; correct the data or widen the bounds in the policy")]
    OutsideBounds {
        /// Its name.
        column: String,
    },
    /// The intersection failed.
    #[error("the set intersection failed")]
    Intersection(#[from] PsiError),
    /// The computation on shares failed.
    #[error("the computation on shares failed")]
    Protocol(#[from] ProtocolError),
}

impl QueryError {
    /// Stable code for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadPlan { .. } => "bad_plan",
            Self::MissingInput | Self::UnexpectedInput => "wrong_role",
            Self::MissingColumn { .. } => "missing_column",
            Self::WrongKind { .. } => "wrong_column_kind",
            Self::WrongLength { .. } => "wrong_column_length",
            Self::OutsideDomain { .. } => "value_outside_domain",
            Self::OutsideBounds { .. } => "value_outside_bounds",
            Self::Intersection(PsiError::DuplicateKey) => "duplicate_key",
            Self::Intersection(PsiError::KeyTooLong) => "key_too_long",
            Self::Intersection(PsiError::TooManyKeys { .. } | PsiError::TooManyCommon { .. }) => "too_many_rows",
            Self::Intersection(PsiError::Stopped) => "stopped",
            Self::Intersection(PsiError::Protocol(ProtocolError::Channel(_))) | Self::Protocol(ProtocolError::Channel(_)) => "peer_lost",
            Self::Intersection(_) | Self::Protocol(_) => "protocol_violation",
        }
    }

    /// Whether another attempt can succeed: the connection failed, not the data or a peer's conduct.
    pub fn is_transient(&self) -> bool {
        matches!(self.code(), "peer_lost" | "stopped")
    }
}
