//! `WHERE`: a conjunction of comparisons of one column with literals, brought into one normal form for each column.

use crate::{
    CONDITIONS_MAX, Filter, FilterTest, PlanError, Rule, Scaled, decimal,
    error::excerpt,
    names::{ColumnRef, Scope},
    parse::subquery_refused,
};
use entrepot_chain_statement::statements::{ColumnKind, ColumnUse};
use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A literal of the column's kind.
enum Literal {
    Text(String),
    Number(i64),
}

/// What is known of a column so far. Both parts must hold; none is no limit.
struct Narrowed<'p> {
    column: ColumnRef<'p>,
    texts: Option<BTreeSet<String>>,
    numbers: Option<BTreeSet<i64>>,
    minimum: Option<i64>,
    maximum: Option<i64>,
}

/// The plan's filters, sorted by party and column.
pub(crate) fn filters(scope: &Scope<'_>, selection: Option<&Expr>) -> Result<Vec<Filter>, PlanError> {
    let mut by_column: BTreeMap<(u8, &str), Narrowed<'_>> = BTreeMap::new();
    for condition in conjuncts(selection)? {
        let (column, test) = condition_test(scope, condition)?;
        by_column.entry((column.party, column.name)).or_insert_with(|| Narrowed::any(column)).narrow(test);
    }
    by_column.into_values().map(Narrowed::into_filter).collect()
}

/// The conditions between the `AND`s, left to right, without recursion: the text decides how deep the tree is.
fn conjuncts(selection: Option<&Expr>) -> Result<Vec<&Expr>, PlanError> {
    let mut found = Vec::new();
    let mut left_over: Vec<&Expr> = selection.into_iter().collect();
    while let Some(expr) = left_over.pop() {
        match expr {
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => left_over.extend([right.as_ref(), left.as_ref()]),
            Expr::Nested(inner) => left_over.push(inner),
            condition if found.len() < CONDITIONS_MAX => found.push(condition),
            _ => {
                let detail = format!("WHERE has more than {CONDITIONS_MAX} conditions");
                return Err(PlanError::new(Rule::SqlComplexity, detail, "use IN for lists of values"));
            }
        }
    }
    Ok(found)
}

/// What one condition demands of a column.
enum Test {
    OneOf(Vec<Literal>),
    AtLeast(i64),
    AtMost(i64),
    Between(i64, i64),
}

const FORMS: &str = "write <column> =, <, <=, >, >= <literal>, <column> IN (<literals>) or <column> BETWEEN <literal> AND <literal>";

fn form_refused(expr: &Expr) -> PlanError {
    match expr {
        Expr::InSubquery { .. } | Expr::Exists { .. } | Expr::Subquery(_) | Expr::AnyOp { .. } | Expr::AllOp { .. } => subquery_refused(),
        Expr::BinaryOp { op: BinaryOperator::Or | BinaryOperator::Xor, .. } | Expr::UnaryOp { op: UnaryOperator::Not, .. } => {
            PlanError::new(
                Rule::WhereConjunction,
                "WHERE combines its conditions with AND only",
                "replace OR on one column by IN, or send several queries",
            )
        }
        Expr::IsNull(_) | Expr::IsNotNull(_) => {
            PlanError::new(Rule::FilterForm, "a dataset has no missing cells to test for", "leave the NULL test out")
        }
        _ => PlanError::new(Rule::FilterForm, format!("WHERE cannot hold {}", bounded_display(expr)), FORMS),
    }
}

/// Printing is recursive, and this expression may be deep: only flat ones are quoted.
fn bounded_display(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) => excerpt(&expr.to_string()),
        Expr::BinaryOp { op, .. } => format!("a condition with {op}"),
        Expr::Like { .. } | Expr::ILike { .. } | Expr::SimilarTo { .. } => "LIKE".into(),
        Expr::InList { .. } => "NOT IN".into(),
        Expr::Between { .. } => "NOT BETWEEN".into(),
        Expr::Function(_) => "a function".into(),
        _ => "this condition".into(),
    }
}

fn condition_test<'p>(scope: &Scope<'p>, expr: &Expr) -> Result<(ColumnRef<'p>, Test), PlanError> {
    match expr {
        Expr::BinaryOp { left, op, right } => comparison(scope, expr, left, op, right),
        Expr::InList { expr: column, list, negated: false } => {
            let column = filter_column(scope, column)?;
            let values = list.iter().map(|value| domain_literal(&column, value)).collect::<Result<_, _>>()?;
            Ok((column, Test::OneOf(values)))
        }
        Expr::Between { expr: column, negated: false, low, high } => {
            let column = filter_column(scope, column)?;
            Ok((column, Test::Between(number(&column, low)?, number(&column, high)?)))
        }
        other => Err(form_refused(other)),
    }
}

fn comparison<'p>(
    scope: &Scope<'p>,
    whole: &Expr,
    left: &Expr,
    op: &BinaryOperator,
    right: &Expr,
) -> Result<(ColumnRef<'p>, Test), PlanError> {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq};
    if !matches!(op, Eq | Gt | GtEq | Lt | LtEq) {
        return Err(form_refused(whole));
    }
    // `5 < x` is `x > 5`.
    let (column, op, literal) = match (Scope::looks_like_column(left), Scope::looks_like_column(right)) {
        (true, true) => {
            return Err(PlanError::new(Rule::FilterForm, "WHERE cannot compare two columns", FORMS));
        }
        (false, true) => {
            let mirrored = match op {
                Gt => &Lt,
                GtEq => &LtEq,
                Lt => &Gt,
                LtEq => &GtEq,
                other => other,
            };
            (right, mirrored, left)
        }
        _ => (left, op, right),
    };
    let column = filter_column(scope, column)?;
    let beyond = || {
        let detail = format!("no value of {} is beyond the end of its range", column.full_name());
        PlanError::new(Rule::FilterSatisfiable, detail, "correct the comparison")
    };
    let test = match op {
        Eq => Test::OneOf(vec![domain_literal(&column, literal)?]),
        GtEq => Test::AtLeast(number(&column, literal)?),
        LtEq => Test::AtMost(number(&column, literal)?),
        Gt => Test::AtLeast(number(&column, literal)?.checked_add(1).ok_or_else(beyond)?),
        _ => Test::AtMost(number(&column, literal)?.checked_sub(1).ok_or_else(beyond)?),
    };
    Ok((column, test))
}

fn filter_column<'p>(scope: &Scope<'p>, expr: &Expr) -> Result<ColumnRef<'p>, PlanError> {
    if !Scope::looks_like_column(expr) {
        return Err(match expr {
            Expr::Subquery(_) => subquery_refused(),
            other => PlanError::new(Rule::FilterForm, format!("WHERE cannot hold {}", bounded_display(other)), FORMS),
        });
    }
    let column = scope.column_expr(expr)?;
    column.allowed(ColumnUse::Filter)?;
    Ok(column)
}

/// The digits the column's numbers have after the point; none for text.
pub(crate) fn scale_of(kind: ColumnKind) -> Option<u8> {
    match kind {
        ColumnKind::Text => None,
        ColumnKind::Integer => Some(0),
        ColumnKind::Decimal { scale } => Some(scale),
    }
}

/// The number behind `literal`, `-literal` or `(literal)`.
fn signed_number(expr: &Expr) -> Option<String> {
    let (sign, value) = match expr {
        Expr::Nested(inner) => return signed_number(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => ("-", expr.as_ref()),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => ("", expr.as_ref()),
        other => ("", other),
    };
    match value {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, false) => Some(format!("{sign}{digits}")),
            _ => None,
        },
        _ => None,
    }
}

fn literal(column: &ColumnRef<'_>, expr: &Expr) -> Result<Literal, PlanError> {
    if matches!(expr, Expr::Subquery(_)) {
        return Err(subquery_refused());
    }
    let wrong = |detail: String, hint: &str| Err(PlanError::new(Rule::LiteralKind, detail, hint));
    let text = match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    };
    match (scale_of(column.kind), text, signed_number(expr)) {
        (None, Some(text), _) => Ok(Literal::Text(text.clone())),
        (None, None, _) => wrong(format!("{} is a text column", column.full_name()), "compare it with a text in single quotes"),
        (Some(scale), _, Some(digits)) => match decimal::parse(&digits, scale) {
            Ok(number) => Ok(Literal::Number(number)),
            Err(error) => wrong(
                format!("{} {error}, {}", excerpt(&digits), column.full_name()),
                &format!("write a number with at most {scale} digits after the point"),
            ),
        },
        (Some(_), _, None) => wrong(format!("{} is a column of numbers", column.full_name()), "compare it with a number without quotes"),
    }
}

/// A literal that the column is to equal: if its domain is public, a value outside of it is surely a mistake.
fn domain_literal(column: &ColumnRef<'_>, expr: &Expr) -> Result<Literal, PlanError> {
    let literal = literal(column, expr)?;
    let rule = column.allowed(ColumnUse::Filter)?;
    let Some(domain) = &rule.domain else { return Ok(literal) };
    let (known, written) = match &literal {
        Literal::Text(text) => (domain.iter().any(|value| value == text), text.clone()),
        Literal::Number(number) => {
            let scale = scale_of(column.kind).unwrap_or(0);
            (domain.iter().any(|value| decimal::parse(value, scale) == Ok(*number)), decimal::format(*number, scale))
        }
    };
    if known {
        return Ok(literal);
    }
    const SHOWN: usize = 12;
    let shown = domain.iter().take(SHOWN).map(|value| excerpt(value)).collect::<Vec<_>>().join(", ");
    let more = if domain.len() > SHOWN { format!(" and {} more", domain.len() - SHOWN) } else { String::new() };
    Err(PlanError::new(
        Rule::LiteralDomain,
        format!("{} is never {}", column.full_name(), excerpt(&written)),
        format!("its values are {shown}{more}"),
    ))
}

fn number(column: &ColumnRef<'_>, expr: &Expr) -> Result<i64, PlanError> {
    match literal(column, expr)? {
        Literal::Number(number) => Ok(number),
        Literal::Text(_) => Err(PlanError::new(
            Rule::FilterForm,
            format!("{} is a text column, which has no order here", column.full_name()),
            "use = or IN",
        )),
    }
}

impl<'p> Narrowed<'p> {
    fn any(column: ColumnRef<'p>) -> Self {
        Self { column, texts: None, numbers: None, minimum: None, maximum: None }
    }

    fn narrow(&mut self, test: Test) {
        let at_least = |so_far: Option<i64>, n: i64| Some(so_far.map_or(n, |m| m.max(n)));
        let at_most = |so_far: Option<i64>, n: i64| Some(so_far.map_or(n, |m| m.min(n)));
        match test {
            Test::AtLeast(n) => self.minimum = at_least(self.minimum, n),
            Test::AtMost(n) => self.maximum = at_most(self.maximum, n),
            Test::Between(low, high) => {
                self.minimum = at_least(self.minimum, low);
                self.maximum = at_most(self.maximum, high);
            }
            Test::OneOf(values) => {
                let (mut texts, mut numbers) = (BTreeSet::new(), BTreeSet::new());
                for value in values {
                    match value {
                        Literal::Text(text) => drop(texts.insert(text)),
                        Literal::Number(number) => drop(numbers.insert(number)),
                    }
                }
                if self.column.kind == ColumnKind::Text {
                    narrow_set(&mut self.texts, texts);
                } else {
                    narrow_set(&mut self.numbers, numbers);
                }
            }
        }
    }

    fn into_filter(self) -> Result<Filter, PlanError> {
        let Self { column, texts, numbers, minimum, maximum } = self;
        let inside = |n: &i64| minimum.is_none_or(|m| m <= *n) && maximum.is_none_or(|m| *n <= m);
        let test = match (texts, numbers) {
            (Some(texts), _) => FilterTest::TextIn { values: texts.into_iter().collect() },
            (None, Some(numbers)) => FilterTest::NumberIn { values: numbers.into_iter().filter(inside).map(Scaled).collect() },
            (None, None) if minimum.is_some() && minimum == maximum => {
                FilterTest::NumberIn { values: minimum.into_iter().map(Scaled).collect() }
            }
            (None, None) => FilterTest::NumberBetween { minimum: minimum.map(Scaled), maximum: maximum.map(Scaled) },
        };
        let satisfiable = match &test {
            FilterTest::TextIn { values } => !values.is_empty(),
            FilterTest::NumberIn { values } => !values.is_empty(),
            FilterTest::NumberBetween { minimum, maximum } => minimum.is_none() || maximum.is_none() || minimum <= maximum,
        };
        if satisfiable {
            Ok(Filter { party: column.party, column: column.name.to_owned(), kind: column.kind, test })
        } else {
            let detail = format!("no value of {} satisfies all conditions on it", column.full_name());
            Err(PlanError::new(Rule::FilterSatisfiable, detail, "correct the conditions: the result would be empty, and still be paid for"))
        }
    }
}

fn narrow_set<T: Ord>(so_far: &mut Option<BTreeSet<T>>, values: BTreeSet<T>) {
    *so_far = Some(match so_far.take() {
        None => values,
        Some(known) => known.into_iter().filter(|value| values.contains(value)).collect(),
    });
}
