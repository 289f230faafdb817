//! Why a query has no plan: always a named rule, and what to do about it.

use std::fmt;

macro_rules! rules {
    ($($(#[$doc:meta])* $variant:ident = $code:literal / $name:literal;)*) => {
        /// The rules that a query is held against.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Rule { $($(#[$doc])* $variant,)* }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Rule] = &[$(Rule::$variant,)*];
            /// The rule's stable name.
            pub fn name(self) -> &'static str {
                match self { $(Rule::$variant => $name,)* }
            }
            /// The stable code of the kind of error: `sql_invalid`, `sql_unsupported`, `policy_forbids` or `product_unusable`.
            pub fn code(self) -> &'static str {
                match self { $(Rule::$variant => $code,)* }
            }
        }
    };
}

rules! {
    /// A query is at most [`crate::SQL_BYTES_MAX`] bytes.
    SqlLength = "sql_invalid" / "sql_length";
    /// A query has bounded tokens, nesting and conditions.
    SqlComplexity = "sql_invalid" / "sql_complexity";
    /// A query is SQL.
    SqlSyntax = "sql_invalid" / "sql_syntax";
    /// A query is exactly one `SELECT`.
    SingleSelect = "sql_unsupported" / "single_select";
    /// No subqueries, no `WITH`.
    NoSubquery = "sql_unsupported" / "no_subquery";
    /// No `UNION`, `INTERSECT`, `EXCEPT`.
    NoSetOperation = "sql_unsupported" / "no_set_operation";
    /// No `DISTINCT`.
    NoDistinct = "sql_unsupported" / "no_distinct";
    /// No `HAVING`.
    NoHaving = "sql_unsupported" / "no_having";
    /// No `ORDER BY`.
    NoOrderBy = "sql_unsupported" / "no_order_by";
    /// No `LIMIT`, `OFFSET`, `FETCH`.
    NoLimit = "sql_unsupported" / "no_limit";
    /// No window functions.
    NoWindow = "sql_unsupported" / "no_window";
    /// No clause that is not named in the documentation.
    NoOtherClause = "sql_unsupported" / "no_other_clause";
    /// No `*` but in `COUNT(*)`.
    NoWildcard = "sql_unsupported" / "no_wildcard";
    /// No function but `COUNT(*)`, `SUM` and `AVG`.
    KnownFunction = "sql_unsupported" / "known_function";
    /// Columns and aggregates are used as they are, not inside expressions.
    PlainColumn = "sql_unsupported" / "plain_column";
    /// The two tables are joined by one inner join.
    OneInnerJoin = "sql_unsupported" / "one_inner_join";
    /// The join's condition is one equality of a column of each table.
    JoinOnEquality = "sql_unsupported" / "join_on_equality";
    /// The tables are the product's two.
    TablesOfProduct = "sql_invalid" / "tables_of_product";
    /// A name means one column.
    KnownColumn = "sql_invalid" / "known_column";
    /// `WHERE` is a conjunction of simple conditions.
    WhereConjunction = "sql_unsupported" / "where_conjunction";
    /// A condition compares a column with literals.
    FilterForm = "sql_unsupported" / "filter_form";
    /// A literal is of the column's kind and representable in it.
    LiteralKind = "sql_invalid" / "literal_kind";
    /// A value compared with a column of a public domain is in that domain.
    LiteralDomain = "sql_invalid" / "literal_domain";
    /// The conditions can be satisfied.
    FilterSatisfiable = "sql_invalid" / "filter_satisfiable";
    /// At most [`crate::GROUP_COLUMNS_MAX`] distinct group columns.
    GroupColumns = "sql_unsupported" / "group_columns";
    /// A selected column is grouped by.
    SelectedIsGrouped = "sql_invalid" / "selected_is_grouped";
    /// Bounded, distinctly named outputs.
    OutputNames = "sql_invalid" / "output_names";
    /// Only numbers are summed.
    AggregateNumber = "sql_invalid" / "aggregate_number";
    /// The policy allows to join on the column.
    ColumnUseJoin = "policy_forbids" / "column_use_join";
    /// The policy allows to filter by the column.
    ColumnUseFilter = "policy_forbids" / "column_use_filter";
    /// The policy allows to group by the column.
    ColumnUseGroup = "policy_forbids" / "column_use_group";
    /// The policy allows to sum the column.
    ColumnUseAggregate = "policy_forbids" / "column_use_aggregate";
    /// A group column has a public domain, and there are at most [`crate::GROUPS_MAX`] groups.
    GroupDomain = "policy_forbids" / "group_domain";
    /// A summed column has bounds.
    AggregateBounds = "policy_forbids" / "aggregate_bounds";
    /// No sum can overflow: rows times the largest magnitude stays below 2^62.
    SumOverflow = "policy_forbids" / "sum_overflow";
    /// The product is well formed.
    ProductShape = "product_unusable" / "product_shape";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A query that has no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail} (rule {rule}); {hint}")]
pub struct PlanError {
    /// The rule that it breaks.
    pub rule: Rule,
    /// What is wrong.
    pub detail: String,
    /// What to do.
    pub hint: String,
}

impl PlanError {
    pub(crate) fn new(rule: Rule, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { rule, detail: detail.into(), hint: hint.into() }
    }

    /// The stable code of the kind of error.
    pub fn code(&self) -> &'static str {
        self.rule.code()
    }

    /// The stable name of the broken rule.
    pub fn rule(&self) -> &'static str {
        self.rule.name()
    }
}

/// A piece of hostile text, short and printable enough for a message.
pub(crate) fn excerpt(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut short: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARS_MAX).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}
