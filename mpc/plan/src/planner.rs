//! Puts the parts of a query together and holds them against the product's policies.

use crate::{
    Filter, GROUP_COLUMNS_MAX, GROUPS_MAX, GroupColumn, JoinKey, OUTPUTS_MAX, Output, OutputValue, Plan, PlanError, PlanTable, ROWS_MAX,
    Rule, SUMS_MAX, SumColumn, decimal,
    error::excerpt,
    filter::{filters, scale_of},
    names::{ColumnRef, Scope, folded},
    parse::{self, SelectParts, subquery_refused},
};
use entrepot_chain_statement::statements::{ColumnUse, DataProduct, DatasetPolicy};
use sqlparser::ast::{BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, SelectItem};
use std::collections::BTreeSet;

/// No sum reaches this magnitude, so that a sum and its sign fit Z_2^64 with room.
const SUM_MAGNITUDE: u128 = 1 << 62;
/// Longest name of a result's column, in bytes.
const OUTPUT_NAME_BYTES_MAX: usize = 63;

/// The plan of a query on a product.
pub fn plan(sql: &str, product: &DataProduct) -> Result<Plan, PlanError> {
    let SelectParts { projection, tables, on, selection, group_by } = parse::parse(sql)?;
    let scope = Scope::new(product, tables)?;
    let [first, second] = product.tables.as_slice() else {
        return Err(product_shape("it does not have two tables"));
    };
    let minimum_group = first.policy.minimum_group.max(second.policy.minimum_group);
    check_policy(&first.policy)?;
    check_policy(&second.policy)?;
    let rows_max = first.policy.rows_max.min(second.policy.rows_max);
    let join = join_key(&scope, &on)?;
    let filters: Vec<Filter> = filters(&scope, selection.as_ref())?;
    let groups = groups(&scope, &group_by)?;
    let (sums, outputs) = outputs(&scope, &projection, &groups, rows_max)?;
    let table = |party: u8, table: &entrepot_chain_statement::statements::ProductTable| PlanTable {
        table: table.table.clone(),
        dataset_id: table.dataset_id.clone(),
        party,
    };
    Ok(Plan {
        version: Plan::VERSION,
        tables: [table(0, first), table(1, second)],
        join,
        filters,
        groups,
        minimum_group,
        rows_max,
        sums,
        outputs,
    })
}

fn product_shape(detail: &str) -> PlanError {
    PlanError::new(Rule::ProductShape, format!("the product cannot be queried: {detail}"), "ask its providers to correct and republish it")
}

fn check_policy(policy: &DatasetPolicy) -> Result<(), PlanError> {
    if policy.minimum_group < 2 {
        return Err(product_shape("a minimum group is below 2"));
    }
    if policy.rows_max == 0 || policy.rows_max > ROWS_MAX {
        return Err(product_shape("a policy's rows_max is not within 1 to 10,000,000"));
    }
    Ok(())
}

fn join_key(scope: &Scope<'_>, on: &Expr) -> Result<JoinKey, PlanError> {
    let refused = |detail: &str| Err(PlanError::new(Rule::JoinOnEquality, detail, "write ON a.<key> = b.<key>, one column of each table"));
    let (left, right) = match on {
        Expr::Nested(inner) => return join_key(scope, inner),
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } if Scope::looks_like_column(left) && Scope::looks_like_column(right) => {
            (scope.column_expr(left)?, scope.column_expr(right)?)
        }
        _ => return refused("the join's condition is not one equality of two columns"),
    };
    let (first, second) = match (left.party, right.party) {
        (0, 1) => (left, right),
        (1, 0) => (right, left),
        _ => return refused("the join's condition compares two columns of one table"),
    };
    first.allowed(ColumnUse::Join)?;
    second.allowed(ColumnUse::Join)?;
    if first.kind != second.kind {
        return refused(&format!("{} and {} do not hold the same kind of value", first.full_name(), second.full_name()));
    }
    Ok(JoinKey { columns: [first.name.to_owned(), second.name.to_owned()], kind: first.kind })
}

fn groups(scope: &Scope<'_>, columns: &[Expr]) -> Result<Vec<GroupColumn>, PlanError> {
    if columns.len() > GROUP_COLUMNS_MAX {
        let detail = format!("GROUP BY names more than {GROUP_COLUMNS_MAX} columns");
        return Err(PlanError::new(Rule::GroupColumns, detail, "group by fewer columns"));
    }
    let mut groups: Vec<GroupColumn> = Vec::with_capacity(columns.len());
    for expr in columns {
        let column = scope.column_expr(expr)?;
        if groups.iter().any(|known| known.party == column.party && known.column == column.name) {
            let detail = format!("GROUP BY names {} twice", column.full_name());
            return Err(PlanError::new(Rule::GroupColumns, detail, "name each column once"));
        }
        groups.push(group_column(&column)?);
    }
    let count: usize = groups.iter().map(|group| group.domain.len()).product();
    if count > GROUPS_MAX {
        let detail = format!("the query has {count} groups, more than {GROUPS_MAX}");
        return Err(PlanError::new(Rule::GroupDomain, detail, "group by one column, or by columns with fewer values"));
    }
    Ok(groups)
}

fn group_column(column: &ColumnRef<'_>) -> Result<GroupColumn, PlanError> {
    let rule = column.allowed(ColumnUse::Group)?;
    let Some(domain) = &rule.domain else {
        return Err(PlanError::new(
            Rule::GroupDomain,
            format!("the policy gives {} no public domain", column.full_name()),
            "group by a column whose values are public",
        ));
    };
    let sorted = domain.windows(2).all(|pair| pair[0] < pair[1]);
    if domain.is_empty() || domain.len() > GROUPS_MAX || !sorted {
        return Err(product_shape(&format!("the domain of {} is not sorted, unique and of 1 to {GROUPS_MAX} values", column.full_name())));
    }
    if let Some(scale) = scale_of(column.kind) {
        // "1.5" and "1.50" would be one value with two groups.
        let numbers = domain.iter().map(|value| decimal::parse(value, scale)).collect::<Result<BTreeSet<i64>, _>>();
        if numbers.map(|numbers| numbers.len()) != Ok(domain.len()) {
            return Err(product_shape(&format!("the domain of {} holds a value twice or one that is not a number", column.full_name())));
        }
    }
    Ok(GroupColumn { party: column.party, column: column.name.to_owned(), kind: column.kind, domain: domain.clone() })
}

/// The summed columns in order of appearance, and the result's columns.
fn outputs(
    scope: &Scope<'_>,
    projection: &[SelectItem],
    groups: &[GroupColumn],
    rows_max: u32,
) -> Result<(Vec<SumColumn>, Vec<Output>), PlanError> {
    if projection.is_empty() || projection.len() > OUTPUTS_MAX {
        let detail = format!("a query selects 1 to {OUTPUTS_MAX} columns");
        return Err(PlanError::new(Rule::OutputNames, detail, "select between these"));
    }
    let mut sums = Vec::new();
    let mut outputs: Vec<Output> = Vec::with_capacity(projection.len());
    for item in projection {
        let (expr, alias) = match item {
            SelectItem::UnnamedExpr(expr) => (expr, None),
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(folded(alias))),
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
                let hint = "name the columns to group by and the aggregates; rows never leave their owner";
                return Err(PlanError::new(Rule::NoWildcard, "SELECT * is not supported", hint));
            }
            SelectItem::ExprWithAliases { .. } => {
                return Err(PlanError::new(Rule::NoOtherClause, "a list of aliases is not supported", "give each column one alias"));
            }
        };
        let (value, default_name) = output_value(scope, expr, groups, &mut sums, rows_max)?;
        let name = alias.unwrap_or(default_name);
        check_output_name(&name, &outputs)?;
        outputs.push(Output { name, value });
    }
    Ok((sums, outputs))
}

fn check_output_name(name: &str, outputs: &[Output]) -> Result<(), PlanError> {
    let refused = |detail: String| Err(PlanError::new(Rule::OutputNames, detail, "name the column with AS"));
    if name.is_empty() || name.len() > OUTPUT_NAME_BYTES_MAX {
        return refused(format!("a column's name has 1 to {OUTPUT_NAME_BYTES_MAX} bytes"));
    }
    if outputs.iter().any(|output| output.name == name) {
        return refused(format!("two columns of the result are called {}", excerpt(name)));
    }
    Ok(())
}

/// What a selected expression is, and its name if it has no alias.
fn output_value(
    scope: &Scope<'_>,
    expr: &Expr,
    groups: &[GroupColumn],
    sums: &mut Vec<SumColumn>,
    rows_max: u32,
) -> Result<(OutputValue, String), PlanError> {
    match expr {
        Expr::Nested(inner) => output_value(scope, inner, groups, sums, rows_max),
        Expr::Function(function) => aggregate(scope, function, sums, rows_max),
        _ if Scope::looks_like_column(expr) => {
            let column = scope.column_expr(expr)?;
            let place = groups.iter().position(|group| group.party == column.party && group.column == column.name);
            match place.and_then(|index| u8::try_from(index).ok()) {
                Some(index) => Ok((OutputValue::Group { index }, column.name.to_owned())),
                None => Err(PlanError::new(
                    Rule::SelectedIsGrouped,
                    format!("{} is selected but not grouped by", column.full_name()),
                    "add it to GROUP BY or put it into an aggregate; single rows are never released",
                )),
            }
        }
        Expr::Subquery(_) | Expr::Exists { .. } => Err(subquery_refused()),
        _ => Err(PlanError::new(
            Rule::PlainColumn,
            "SELECT takes columns of GROUP BY and aggregates, without arithmetic around them",
            "compute on the result after it is fetched",
        )),
    }
}

fn aggregate(scope: &Scope<'_>, function: &Function, sums: &mut Vec<SumColumn>, rows_max: u32) -> Result<(OutputValue, String), PlanError> {
    let Function { name, uses_odbc_syntax, parameters, args, filter, null_treatment, over, within_group } = function;
    if over.is_some() {
        return Err(PlanError::new(Rule::NoWindow, "window functions are not supported", "use GROUP BY"));
    }
    let plain = !*uses_odbc_syntax
        && matches!(parameters, FunctionArguments::None)
        && filter.is_none()
        && null_treatment.is_none()
        && within_group.is_empty();
    let known = match name.0.as_slice() {
        [part] => part.as_ident().map(folded),
        _ => None,
    };
    let known = known.filter(|name| matches!(name.as_str(), "count" | "sum" | "avg"));
    let (Some(known), true) = (known, plain) else {
        let detail = format!("the function {} is not supported", excerpt(&name.to_string()));
        return Err(PlanError::new(Rule::KnownFunction, detail, "use COUNT(*), SUM(<column>) and AVG(<column>)"));
    };
    let argument = single_argument(args)?;
    match (known.as_str(), argument) {
        ("count", FunctionArgExpr::Wildcard) => Ok((OutputValue::Count, "count".into())),
        ("sum" | "avg", FunctionArgExpr::Expr(expr)) => {
            let column = scope.column_expr(expr)?;
            let index = sum_index(&column, sums, rows_max)?;
            let value = if known == "sum" { OutputValue::Sum { index } } else { OutputValue::Avg { index } };
            Ok((value, format!("{known}_{}", column.name)))
        }
        ("count", _) => Err(PlanError::new(
            Rule::KnownFunction,
            "COUNT takes * only",
            "write COUNT(*): a dataset has no missing cells, so it counts the same rows",
        )),
        _ => Err(PlanError::new(Rule::KnownFunction, "SUM and AVG take one column", "write SUM(<column>) or AVG(<column>)")),
    }
}

fn single_argument(args: &FunctionArguments) -> Result<&FunctionArgExpr, PlanError> {
    let refused = |detail: &str, rule| Err(PlanError::new(rule, detail, "use COUNT(*), SUM(<column>) and AVG(<column>)"));
    let FunctionArguments::List(FunctionArgumentList { duplicate_treatment, args, clauses }) = args else {
        return if matches!(args, FunctionArguments::Subquery(_)) {
            Err(subquery_refused())
        } else {
            refused("a function without brackets is not supported", Rule::KnownFunction)
        };
    };
    if duplicate_treatment.is_some() {
        return refused("DISTINCT inside an aggregate is not supported", Rule::NoDistinct);
    }
    match (args.as_slice(), clauses.is_empty()) {
        ([FunctionArg::Unnamed(argument)], true) => Ok(argument),
        _ => refused("an aggregate takes one argument", Rule::KnownFunction),
    }
}

/// The place of the column among the sums; adds it if it is new.
fn sum_index(column: &ColumnRef<'_>, sums: &mut Vec<SumColumn>, rows_max: u32) -> Result<u8, PlanError> {
    let rule = column.allowed(ColumnUse::Aggregate)?;
    let Some(scale) = scale_of(column.kind) else {
        let detail = format!("{} is text and cannot be summed", column.full_name());
        return Err(PlanError::new(Rule::AggregateNumber, detail, "aggregate a column of numbers"));
    };
    let Some(bounds) = rule.bounds else {
        return Err(PlanError::new(
            Rule::AggregateBounds,
            format!("the policy gives {} no bounds, so its sum could overflow", column.full_name()),
            "aggregate a column with declared bounds",
        ));
    };
    if bounds.minimum > bounds.maximum {
        return Err(product_shape(&format!("the bounds of {} are the wrong way round", column.full_name())));
    }
    let largest = bounds.minimum.unsigned_abs().max(bounds.maximum.unsigned_abs());
    if u128::from(largest) * u128::from(rows_max) >= SUM_MAGNITUDE {
        return Err(PlanError::new(
            Rule::SumOverflow,
            format!("a sum of {} over {rows_max} rows could overflow", column.full_name()),
            "ask the provider for tighter bounds or a smaller rows_max",
        ));
    }
    let index = match sums.iter().position(|known| known.party == column.party && known.column == column.name) {
        Some(index) => index,
        None if sums.len() == SUMS_MAX => {
            let detail = format!("a query sums at most {SUMS_MAX} columns");
            return Err(PlanError::new(Rule::SqlComplexity, detail, "send several queries"));
        }
        None => {
            sums.push(SumColumn { party: column.party, column: column.name.to_owned(), scale, bounds });
            sums.len() - 1
        }
    };
    u8::try_from(index).map_err(|_| product_shape("too many sums"))
}
