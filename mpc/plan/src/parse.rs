//! Text to the few parts of a `SELECT` that a plan is made of. Whatever else the grammar knows is refused here, by name.
//!
//! The parser is not ours and its grammar is large, so hostile text is cut down first: length, number of tokens, depth of brackets, and
//! the first word, all before it sees anything.

use crate::{NESTING_MAX, PlanError, Rule, SQL_BYTES_MAX, TOKENS_MAX, error::excerpt};
use sqlparser::{
    ast::{
        Distinct, Expr, GroupByExpr, JoinConstraint, JoinOperator, Query, Select, SelectFlavor, SelectItem, SetExpr, Statement,
        TableFactor, TableWithJoins,
    },
    dialect::PostgreSqlDialect,
    keywords::Keyword,
    parser::Parser,
    tokenizer::{Token, TokenWithSpan, Tokenizer},
};

/// Deepest recursion allowed to the parser.
const PARSER_DEPTH_MAX: usize = 40;

/// What is left of a query: the parts, none of them checked against a product yet.
pub(crate) struct SelectParts {
    pub projection: Vec<SelectItem>,
    pub tables: [TableFactor; 2],
    pub on: Expr,
    pub selection: Option<Expr>,
    pub group_by: Vec<Expr>,
}

/// Parses one `SELECT` over one inner join.
pub(crate) fn parse(sql: &str) -> Result<SelectParts, PlanError> {
    let tokens = bounded_tokens(sql)?;
    let mut statements = Parser::new(&PostgreSqlDialect {})
        .with_recursion_limit(PARSER_DEPTH_MAX)
        .with_tokens_with_locations(tokens)
        .parse_statements()
        .map_err(|error| syntax(excerpt(&error.to_string())))?;
    match (statements.pop(), statements.is_empty()) {
        (Some(Statement::Query(query)), true) => parts(query_body(*query)?),
        _ => Err(single_select("there is more than one statement")),
    }
}

fn syntax(detail: String) -> PlanError {
    PlanError::new(Rule::SqlSyntax, format!("the query is not valid SQL: {detail}"), "correct the query's syntax")
}

fn single_select(detail: &str) -> PlanError {
    PlanError::new(Rule::SingleSelect, detail, "ask with exactly one SELECT statement")
}

fn bounded_tokens(sql: &str) -> Result<Vec<TokenWithSpan>, PlanError> {
    if sql.len() > SQL_BYTES_MAX {
        let detail = format!("the query has {} bytes, more than {SQL_BYTES_MAX}", sql.len());
        return Err(PlanError::new(Rule::SqlLength, detail, "shorten the query"));
    }
    if sql.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(syntax("it contains control characters".into()));
    }
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().map_err(|e| syntax(excerpt(&e.to_string())))?;
    let mut meaningful = tokens.iter().map(|t| &t.token).filter(|t| !matches!(t, Token::Whitespace(_)));
    match meaningful.clone().next() {
        Some(Token::Word(word)) if word.keyword == Keyword::SELECT => {}
        Some(Token::Word(word)) if word.keyword == Keyword::WITH => return Err(no_subquery("WITH")),
        Some(_) => return Err(single_select("the query does not begin with SELECT")),
        None => return Err(single_select("the query is empty")),
    }
    let complex = |what: String| Err(PlanError::new(Rule::SqlComplexity, what, "simplify the query"));
    if meaningful.clone().count() > TOKENS_MAX {
        return complex(format!("the query has more than {TOKENS_MAX} words and signs"));
    }
    let deepest = meaningful.try_fold(0usize, |depth, token| match token {
        Token::LParen | Token::LBracket | Token::LBrace if depth == NESTING_MAX => None,
        Token::LParen | Token::LBracket | Token::LBrace => Some(depth + 1),
        Token::RParen | Token::RBracket | Token::RBrace => Some(depth.saturating_sub(1)),
        _ => Some(depth),
    });
    match deepest {
        Some(_) => Ok(tokens),
        None => complex(format!("the query's brackets are nested more than {NESTING_MAX} deep")),
    }
}

fn no_subquery(what: &str) -> PlanError {
    PlanError::new(Rule::NoSubquery, format!("{what} is not supported"), "ask with one SELECT over the product's two tables")
}

pub(crate) fn subquery_refused() -> PlanError {
    no_subquery("a subquery")
}

fn refuse_if(found: bool, rule: Rule, clause: &str, hint: &str) -> Result<(), PlanError> {
    if found { Err(PlanError::new(rule, format!("{clause} is not supported"), hint)) } else { Ok(()) }
}

const SORT_HINT: &str = "leave it out and sort or cut the result after it is fetched";
const DROP_HINT: &str = "leave it out";

/// The `SELECT` of a query that has nothing around it. Destructured, so that a clause new to the parser does not slip through.
fn query_body(query: Query) -> Result<Select, PlanError> {
    let Query { with, body, order_by, limit_clause, fetch, locks, for_clause, settings, format_clause, pipe_operators } = query;
    if with.is_some() {
        return Err(no_subquery("WITH"));
    }
    refuse_if(order_by.is_some(), Rule::NoOrderBy, "ORDER BY", SORT_HINT)?;
    refuse_if(limit_clause.is_some() || fetch.is_some(), Rule::NoLimit, "LIMIT", SORT_HINT)?;
    let other = !locks.is_empty() || for_clause.is_some() || settings.is_some() || format_clause.is_some() || !pipe_operators.is_empty();
    refuse_if(other, Rule::NoOtherClause, "a clause after the SELECT", DROP_HINT)?;
    match *body {
        SetExpr::Select(select) => Ok(*select),
        SetExpr::SetOperation { .. } => {
            Err(PlanError::new(Rule::NoSetOperation, "UNION, INTERSECT and EXCEPT are not supported", "send one query for each part"))
        }
        SetExpr::Query(_) => Err(subquery_refused()),
        _ => Err(single_select("the query is not a SELECT")),
    }
}

fn parts(select: Select) -> Result<SelectParts, PlanError> {
    let Select {
        select_token: _,
        optimizer_hints,
        distinct,
        select_modifiers,
        top,
        top_before_distinct,
        projection,
        exclude,
        into,
        from,
        lateral_views,
        prewhere,
        selection,
        connect_by,
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having,
        named_window,
        qualify,
        window_before_qualify,
        value_table_mode,
        flavor,
    } = select;
    refuse_if(!matches!(distinct, None | Some(Distinct::All)), Rule::NoDistinct, "DISTINCT", "use GROUP BY")?;
    refuse_if(having.is_some(), Rule::NoHaving, "HAVING", "drop it; groups below the policy's minimum are withheld in any case")?;
    refuse_if(top.is_some() || top_before_distinct, Rule::NoLimit, "TOP", SORT_HINT)?;
    refuse_if(!sort_by.is_empty(), Rule::NoOrderBy, "SORT BY", SORT_HINT)?;
    refuse_if(!named_window.is_empty() || qualify.is_some() || window_before_qualify, Rule::NoWindow, "a window", DROP_HINT)?;
    let other = !optimizer_hints.is_empty()
        || select_modifiers.is_some()
        || exclude.is_some()
        || into.is_some()
        || !lateral_views.is_empty()
        || prewhere.is_some()
        || !connect_by.is_empty()
        || !cluster_by.is_empty()
        || !distribute_by.is_empty()
        || value_table_mode.is_some()
        || !matches!(flavor, SelectFlavor::Standard);
    refuse_if(other, Rule::NoOtherClause, "a clause of the SELECT", DROP_HINT)?;
    let group_by = match group_by {
        GroupByExpr::Expressions(columns, modifiers) if modifiers.is_empty() => columns,
        _ => return Err(PlanError::new(Rule::NoOtherClause, "GROUP BY takes plain columns only", "name the columns to group by")),
    };
    let (tables, on) = join(from)?;
    Ok(SelectParts { projection, tables, on, selection, group_by })
}

fn join(mut from: Vec<TableWithJoins>) -> Result<([TableFactor; 2], Expr), PlanError> {
    let refused = |detail: &str| {
        Err(PlanError::new(
            Rule::OneInnerJoin,
            detail,
            "write FROM <table> a JOIN <table> b ON a.<key> = b.<key> with the product's two tables",
        ))
    };
    let (Some(TableWithJoins { relation: first, mut joins }), true) = (from.pop(), from.is_empty()) else {
        return refused("FROM must be one join of two tables");
    };
    let (Some(join), true) = (joins.pop(), joins.is_empty()) else {
        return refused("FROM must join exactly two tables");
    };
    let constraint = match join.join_operator {
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) if !join.global => constraint,
        _ => return refused("only inner joins are supported"),
    };
    match constraint {
        JoinConstraint::On(on) => Ok(([first, join.relation], on)),
        _ => Err(PlanError::new(Rule::JoinOnEquality, "the join has no ON condition", "write ON a.<key> = b.<key>")),
    }
}
