//! The indexes that a query needs: told from what its parameters are compared with, and from what it sorts by.

use super::IndexNeed;
use super::shape::{direction, item_name, sorts};
use super::walk::{folded, parts};
use sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, JoinConstraint,
    JoinOperator, Query, Select, SelectItem, SetExpr, TableFactor, TableWithJoins, Value,
};
use std::collections::{BTreeMap, BTreeSet};

/// A table as a query names it: by its alias or its own name.
type Tables = BTreeMap<String, (String, String)>;

pub(super) fn needs(query: &Query) -> Vec<IndexNeed> {
    let mut needs = BTreeSet::new();
    of_query(query, &mut needs);
    let all: Vec<IndexNeed> = needs.into_iter().collect();
    // An index whose columns another one begins with is not worth its writes.
    all.iter()
        .filter(|need| {
            !all.iter().any(|other| {
                other.columns.len() > need.columns.len()
                    && (&other.schema, &other.relation) == (&need.schema, &need.relation)
                    && other.columns.starts_with(&need.columns)
            })
        })
        .cloned()
        .collect()
}

fn of_query(query: &Query, needs: &mut BTreeSet<IndexNeed>) {
    for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
        of_query(&cte.query, needs);
    }
    of_set(&query.body, Some(query), needs);
}

/// `sorted` is the query whose ORDER BY sorts this body by itself.
fn of_set(body: &SetExpr, sorted: Option<&Query>, needs: &mut BTreeSet<IndexNeed>) {
    match body {
        SetExpr::Select(select) => of_select(select, sorted, needs),
        SetExpr::Query(query) => of_query(query, needs),
        SetExpr::SetOperation { left, right, .. } => {
            of_set(left, None, needs);
            of_set(right, None, needs);
        }
        _ => {}
    }
}

fn of_select(select: &Select, sorted: Option<&Query>, needs: &mut BTreeSet<IndexNeed>) {
    let mut tables = Tables::new();
    let mut conditions: Vec<&Expr> = select.selection.iter().collect();
    let mut sources = 0;
    for from in &select.from {
        of_from(from, &mut tables, &mut conditions, &mut sources, needs);
    }
    let scope = Scope {
        only: (sources == 1).then(|| tables.values().next()).flatten(),
        tables: &tables,
    };

    let mut found: BTreeMap<(String, String), Compared> = BTreeMap::new();
    for condition in conditions {
        scope.collect(condition, &mut found);
    }
    let sort = match (scope.only, sorted) {
        (Some(table), Some(query)) if is_plain(select) => {
            scope.sort(query, select).map(|sort| (table.clone(), sort))
        }
        _ => None,
    };
    if let Some((table, _)) = &sort {
        found.entry(table.clone()).or_default();
    }

    for (table, compared) in found {
        let equal: Vec<(String, bool)> = compared
            .equal
            .iter()
            .map(|column| (column.clone(), false))
            .collect();
        let mut add = |tail: &[(String, bool)]| {
            let mut columns = equal.clone();
            columns.extend(
                tail.iter()
                    .filter(|(name, _)| !compared.equal.contains(name))
                    .cloned(),
            );
            if !columns.is_empty() {
                let (schema, relation) = table.clone();
                needs.insert(IndexNeed {
                    schema,
                    relation,
                    columns,
                });
            }
        };
        add(&[]);
        for column in &compared.range {
            add(&[(column.clone(), false)]);
        }
        if let Some((sorted, columns)) = &sort
            && *sorted == table
        {
            add(columns);
        }
    }
}

/// Whether the rows of the table are the rows of the answer, so that an index can give them in order.
fn is_plain(select: &Select) -> bool {
    use sqlparser::ast::GroupByExpr;
    select.distinct.is_none()
        && select.having.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(exprs, _) if exprs.is_empty())
}

fn of_from<'q>(
    from: &'q TableWithJoins,
    tables: &mut Tables,
    conditions: &mut Vec<&'q Expr>,
    sources: &mut usize,
    needs: &mut BTreeSet<IndexNeed>,
) {
    of_table(&from.relation, tables, conditions, sources, needs);
    for join in &from.joins {
        of_table(&join.relation, tables, conditions, sources, needs);
        if let JoinOperator::Join(JoinConstraint::On(condition))
        | JoinOperator::Inner(JoinConstraint::On(condition)) = &join.join_operator
        {
            conditions.push(condition);
        }
    }
}

fn of_table<'q>(
    table: &'q TableFactor,
    tables: &mut Tables,
    conditions: &mut Vec<&'q Expr>,
    sources: &mut usize,
    needs: &mut BTreeSet<IndexNeed>,
) {
    *sources += 1;
    match table {
        TableFactor::Table {
            name,
            alias,
            args: None,
            ..
        } => {
            if let Some([schema, relation]) = parts(name).as_deref() {
                let known_as = alias
                    .as_ref()
                    .map_or_else(|| relation.clone(), |alias| folded(&alias.name));
                tables.insert(known_as, (schema.clone(), relation.clone()));
            }
        }
        TableFactor::Derived { subquery, .. } => of_query(subquery, needs),
        TableFactor::NestedJoin {
            table_with_joins, ..
        } => {
            of_from(table_with_joins, tables, conditions, sources, needs);
        }
        _ => {}
    }
}

/// The columns of a table that parameters are compared with.
#[derive(Default)]
struct Compared {
    /// By `=`, in the order in which they stand in the query.
    equal: Vec<String>,
    /// By `<`, `BETWEEN` and the like.
    range: Vec<String>,
}

struct Scope<'q> {
    /// The only table there is; a column without a table's name is its own.
    only: Option<&'q (String, String)>,
    tables: &'q Tables,
}

impl Scope<'_> {
    /// Finds the comparisons that all rows must meet.
    fn collect(&self, condition: &Expr, found: &mut BTreeMap<(String, String), Compared>) {
        match condition {
            Expr::Nested(inner) => self.collect(inner, found),
            Expr::BinaryOp {
                left,
                op: BinaryOperator::And,
                right,
            } => {
                self.collect(left, found);
                self.collect(right, found);
            }
            // `(:p IS NULL OR column = :p)`: a parameter that was not given compares with nothing.
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Or,
                right,
            } => {
                for (absent, compared) in [(left, right), (right, left)] {
                    if is_parameter_null(absent) {
                        self.collect(compared, found);
                    }
                }
            }
            Expr::BinaryOp { left, op, right } => {
                let range = match op {
                    BinaryOperator::Eq => false,
                    BinaryOperator::Lt
                    | BinaryOperator::LtEq
                    | BinaryOperator::Gt
                    | BinaryOperator::GtEq => true,
                    _ => return,
                };
                for (column, value) in [(left, right), (right, left)] {
                    self.note(column, &[value], range, found);
                }
            }
            Expr::Between {
                expr,
                negated: false,
                low,
                high,
            } => self.note(expr, &[low, high], true, found),
            Expr::InList {
                expr,
                negated: false,
                list,
            } => {
                self.note(expr, &list.iter().collect::<Vec<_>>(), false, found);
            }
            Expr::AnyOp {
                left,
                compare_op: BinaryOperator::Eq,
                right,
                ..
            } => {
                self.note(left, &[right], false, found);
            }
            _ => {}
        }
    }

    fn note(
        &self,
        column: &Expr,
        values: &[&Expr],
        range: bool,
        found: &mut BTreeMap<(String, String), Compared>,
    ) {
        let Some((table, column)) = self.column(column) else {
            return;
        };
        let terms: Vec<Term> = values.iter().map(|value| term(value)).collect();
        if terms.contains(&Term::Varying) || !terms.contains(&Term::Parameter) {
            return;
        }
        let compared = found.entry(table.clone()).or_default();
        let columns = if range {
            &mut compared.range
        } else {
            &mut compared.equal
        };
        if !columns.contains(&column) {
            columns.push(column);
        }
    }

    /// The table's column that the expression is.
    fn column(&self, expr: &Expr) -> Option<(&(String, String), String)> {
        match expr {
            Expr::Nested(inner) => self.column(inner),
            Expr::Identifier(ident) => self.only.map(|table| (table, folded(ident))),
            Expr::CompoundIdentifier(idents) => {
                let names: Vec<String> = idents.iter().map(folded).collect();
                match names.as_slice() {
                    [table, column] => self.tables.get(table).map(|table| (table, column.clone())),
                    [schema, table, column] => self
                        .tables
                        .values()
                        .find(|known| (&known.0, &known.1) == (schema, table))
                        .map(|table| (table, column.clone())),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The table's columns that the query sorts by; none where it sorts by anything else as well.
    fn sort(&self, query: &Query, select: &Select) -> Option<Vec<(String, bool)>> {
        let sorts = sorts(query)?;
        let columns: Option<Vec<(String, bool)>> = sorts
            .iter()
            .map(|sort| Some((self.sort_column(&sort.expr, select)?, direction(sort)?)))
            .collect();
        columns.filter(|columns| !columns.is_empty())
    }

    /// A name in ORDER BY is that of an output column, if there is one of that name, else of a table's column.
    fn sort_column(&self, expr: &Expr, select: &Select) -> Option<String> {
        let output = match expr {
            Expr::Identifier(ident) => {
                let name = folded(ident);
                select
                    .projection
                    .iter()
                    .find(|item| item_name(item).as_ref() == Some(&name))
            }
            Expr::Value(value) => match &value.value {
                Value::Number(number, _) => {
                    let position: usize = number.parse().ok()?;
                    Some(select.projection.get(position.checked_sub(1)?)?)
                }
                _ => return None,
            },
            _ => None,
        };
        let source = match output {
            Some(
                SelectItem::UnnamedExpr(source) | SelectItem::ExprWithAlias { expr: source, .. },
            ) => source,
            Some(_) => return None,
            None => expr,
        };
        self.column(source).map(|(_, column)| column)
    }
}

/// Whether it is `:p IS NULL`, with or without a cast.
fn is_parameter_null(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_parameter_null(inner),
        Expr::IsNull(inner) => term(inner) == Term::Parameter,
        _ => false,
    }
}

/// The place of the parameter that it is, from 0.
pub(super) fn placeholder(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Nested(inner) => placeholder(inner),
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => name
                .strip_prefix('$')?
                .parse::<usize>()
                .ok()?
                .checked_sub(1),
            _ => None,
        },
        _ => None,
    }
}

/// Whether it is the same for all rows.
pub(super) fn term_is_fixed(expr: &Expr) -> bool {
    term(expr) != Term::Varying
}

/// What a value depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Term {
    /// On nothing.
    Constant,
    /// On a parameter, and on nothing that differs from row to row.
    Parameter,
    /// On the row, or on something that can't be told.
    Varying,
}

fn term(expr: &Expr) -> Term {
    match expr {
        Expr::Value(value) => match value.value {
            Value::Placeholder(_) => Term::Parameter,
            _ => Term::Constant,
        },
        Expr::TypedString(_) => Term::Constant,
        Expr::Nested(inner)
        | Expr::Cast { expr: inner, .. }
        | Expr::UnaryOp { expr: inner, .. }
        | Expr::Interval(sqlparser::ast::Interval { value: inner, .. }) => term(inner),
        Expr::BinaryOp { left, right, .. } => together([term(left), term(right)]),
        Expr::Array(array) => together(array.elem.iter().map(term)),
        Expr::Function(function) => match &function.args {
            FunctionArguments::None => Term::Constant,
            FunctionArguments::Subquery(_) => Term::Varying,
            FunctionArguments::List(list) => together(list.args.iter().map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => term(expr),
                _ => Term::Varying,
            })),
        },
        _ => Term::Varying,
    }
}

fn together(terms: impl IntoIterator<Item = Term>) -> Term {
    terms
        .into_iter()
        .fold(Term::Constant, |sum, term| match (sum, term) {
            (Term::Varying, _) | (_, Term::Varying) => Term::Varying,
            (Term::Parameter, _) | (_, Term::Parameter) => Term::Parameter,
            _ => Term::Constant,
        })
}
