//! Which column of which party a name in the query means. As in SQL: unquoted names fold to lower case, an alias hides its table's name.

use crate::{PlanError, Rule, error::excerpt, parse::subquery_refused};
use entrepot_chain_statement::statements::{ColumnKind, ColumnRule, ColumnUse, DataProduct, ProductTable};
use sqlparser::ast::{Expr, Ident, ObjectName, TableAlias, TableFactor};

/// A column of one of the product's tables, and the policy's rule for it.
#[derive(Clone, Copy)]
pub(crate) struct ColumnRef<'p> {
    pub party: u8,
    pub table: &'p ProductTable,
    pub name: &'p str,
    pub kind: ColumnKind,
    rule: Option<&'p ColumnRule>,
}

impl<'p> ColumnRef<'p> {
    /// `schema.table.column`, for messages.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.table.table, self.name)
    }

    /// The policy's rule, if it allows this use of the column.
    pub fn allowed(&self, wanted: ColumnUse) -> Result<&'p ColumnRule, PlanError> {
        let (rule, verb) = match wanted {
            ColumnUse::Join => (Rule::ColumnUseJoin, "joining on"),
            ColumnUse::Filter => (Rule::ColumnUseFilter, "filtering by"),
            ColumnUse::Group => (Rule::ColumnUseGroup, "grouping by"),
            ColumnUse::Aggregate => (Rule::ColumnUseAggregate, "aggregating"),
        };
        match self.rule {
            Some(found) if found.uses.contains(&wanted) => Ok(found),
            _ => Err(PlanError::new(
                rule,
                format!("the policy of {} does not allow {verb} {}", self.table.table, self.name),
                format!("columns of this table that allow it: {}", self.columns_allowing(wanted)),
            )),
        }
    }

    fn columns_allowing(&self, wanted: ColumnUse) -> String {
        let rules = &self.table.policy.columns;
        let names: Vec<_> = rules.iter().filter(|(_, rule)| rule.uses.contains(&wanted)).map(|(name, _)| name.as_str()).collect();
        if names.is_empty() { "none".into() } else { names.join(", ") }
    }
}

/// The two tables of the query, in the product's order, under the names that the query gives them.
pub(crate) struct Scope<'p> {
    tables: [&'p ProductTable; 2],
    visible: [Visible; 2],
}

/// How columns of a table may be qualified.
enum Visible {
    Alias(String),
    Table { schema: String, table: String },
}

impl Visible {
    fn is_named(&self, qualifier: &[String]) -> bool {
        match (self, qualifier) {
            (Self::Alias(alias), [name]) => alias == name,
            (Self::Table { table, .. }, [name]) => table == name,
            (Self::Table { schema, table }, [first, second]) => schema == first && table == second,
            _ => false,
        }
    }
}

/// The name as SQL sees it.
pub(crate) fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

impl<'p> Scope<'p> {
    /// Finds each table of the query in the product.
    pub fn new(product: &'p DataProduct, factors: [TableFactor; 2]) -> Result<Self, PlanError> {
        let [first, second] = product.tables.as_slice() else {
            return Err(PlanError::new(Rule::ProductShape, "the product does not have two tables", "ask the provider to republish it"));
        };
        let tables = [first, second];
        let [left, right] = factors;
        let (left_party, left) = source(tables, left)?;
        let (right_party, right) = source(tables, right)?;
        let visible = match (left_party, right_party) {
            (0, 1) => [left, right],
            (1, 0) => [right, left],
            _ => return Err(PlanError::new(Rule::OneInnerJoin, "a table is joined with itself", "join the product's two tables")),
        };
        if let [Visible::Alias(a) | Visible::Table { table: a, .. }, Visible::Alias(b) | Visible::Table { table: b, .. }] = &visible
            && a == b
        {
            let detail = format!("both tables are called {}", excerpt(a));
            return Err(PlanError::new(Rule::KnownColumn, detail, "give each table an alias of its own"));
        }
        Ok(Self { tables, visible })
    }

    /// The column that a name means.
    pub fn column(&self, name: &[Ident]) -> Result<ColumnRef<'p>, PlanError> {
        let mut parts: Vec<String> = name.iter().map(folded).collect();
        let written = excerpt(&parts.join("."));
        let Some(column) = parts.pop() else {
            return Err(unknown_column(&written, self.all_columns()));
        };
        let candidates: Vec<ColumnRef<'p>> = (0u8..2)
            .filter(|&party| parts.is_empty() || self.visible[usize::from(party)].is_named(&parts))
            .filter_map(|party| self.column_of(party, &column))
            .collect();
        match candidates.as_slice() {
            [] => Err(unknown_column(&written, self.all_columns())),
            [column] => Ok(*column),
            _ => Err(PlanError::new(
                Rule::KnownColumn,
                format!("both tables have a column {written}"),
                "put the table's alias and a point before it",
            )),
        }
    }

    /// The column that an expression is, if it is nothing more.
    pub fn column_expr(&self, expr: &Expr) -> Result<ColumnRef<'p>, PlanError> {
        match expr {
            Expr::Identifier(ident) => self.column(std::slice::from_ref(ident)),
            Expr::CompoundIdentifier(parts) => self.column(parts),
            Expr::Nested(inner) => self.column_expr(inner),
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => Err(subquery_refused()),
            // Not printed: printing recurses as deep as the text wants.
            _ => Err(PlanError::new(
                Rule::PlainColumn,
                "an expression stands where a plain column is wanted",
                "use the column itself, without functions, casts or arithmetic",
            )),
        }
    }

    /// Whether the expression has the form of a column's name.
    pub fn looks_like_column(expr: &Expr) -> bool {
        match expr {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => true,
            Expr::Nested(inner) => Self::looks_like_column(inner),
            _ => false,
        }
    }

    fn column_of(&self, party: u8, column: &str) -> Option<ColumnRef<'p>> {
        let table = self.tables[usize::from(party)];
        let (name, kind) = table.columns.iter().find(|(name, _)| name == column)?;
        Some(ColumnRef { party, table, name, kind: *kind, rule: table.policy.columns.get(name) })
    }

    fn all_columns(&self) -> String {
        let names = |table: &ProductTable| table.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        self.tables.map(|table| format!("{} has {}", table.table, names(table))).join("; ")
    }
}

fn unknown_column(written: &str, columns: String) -> PlanError {
    PlanError::new(Rule::KnownColumn, format!("there is no column {written}"), columns)
}

/// The party whose table is meant, and the name under which the query sees it.
fn source(tables: [&ProductTable; 2], factor: TableFactor) -> Result<(usize, Visible), PlanError> {
    let hint = || format!("use the product's tables: {} and {}", tables[0].table, tables[1].table);
    let refused = |detail: String| PlanError::new(Rule::TablesOfProduct, detail, hint());
    let TableFactor::Table { name, alias, args, with_hints, version, with_ordinality, partitions, json_path, sample, index_hints } = factor
    else {
        return Err(if matches!(factor, TableFactor::Derived { .. }) {
            subquery_refused()
        } else {
            refused("FROM takes the names of two tables".into())
        });
    };
    let plain = args.is_none()
        && with_hints.is_empty()
        && version.is_none()
        && !with_ordinality
        && partitions.is_empty()
        && json_path.is_none()
        && sample.is_none()
        && index_hints.is_empty();
    if !plain {
        return Err(PlanError::new(Rule::NoOtherClause, "a table takes an alias and nothing else", "leave the rest out"));
    }
    let parts = table_name(&name).ok_or_else(|| refused(format!("{} is not a table's name", excerpt(&name.to_string()))))?;
    let full = parts.join(".");
    let party = tables
        .iter()
        .position(|table| table.table == full)
        .ok_or_else(|| refused(format!("the product has no table {}", excerpt(&full))))?;
    let visible = match (alias, <[String; 2]>::try_from(parts)) {
        (Some(alias), _) => Visible::Alias(alias_name(alias)?),
        (None, Ok([schema, table])) => Visible::Table { schema, table },
        (None, Err(_)) => return Err(refused(format!("{} is not of the form schema.table", excerpt(&full)))),
    };
    Ok((party, visible))
}

fn table_name(name: &ObjectName) -> Option<Vec<String>> {
    name.0.iter().map(|part| part.as_ident().map(folded)).collect()
}

fn alias_name(alias: TableAlias) -> Result<String, PlanError> {
    let TableAlias { explicit: _, name, columns, at } = alias;
    if columns.is_empty() && at.is_none() {
        Ok(folded(&name))
    } else {
        Err(PlanError::new(Rule::NoOtherClause, "an alias that renames columns is not supported", "leave the list of columns out"))
    }
}
