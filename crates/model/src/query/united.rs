//! A query that two stores answer together: recent rows are in the one, older rows in the other. What both halves of its
//! rows say must add up to what all rows say, and both must put them into the same order.

use super::index::{placeholder, term_is_fixed};
use super::shape::{item_name, sorts};
use super::walk::{self, folded, parts};
use super::{Query, QueryError, functions, statements};
use sqlparser::ast::{
    BinaryOperator, Distinct, Expr, GroupByExpr, Ident, OrderBy, OrderByExpr, OrderByKind,
    OrderByOptions, Query as Ast, Select, SelectItem, SetExpr, Statement, TableFactor,
};

/// A query that is answered by halves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct United {
    /// The query, in an order in which no two rows are equal, which begins with the column that says how old a row is.
    pub query: Query,
    /// The table's columns by which it is ordered.
    pub order: Vec<String>,
    /// How rows follow each other by their age.
    pub direction: Direction,
    /// Of the parameters, the places of those than which no row is older, where they have a value.
    pub since: Vec<usize>,
    /// The places of those that leave out what does not say how old it is, where they have a value.
    pub bounds: Vec<usize>,
    /// Whether rows that do not say how old they are are left out anyway.
    pub is_dated: bool,
    /// Whether there is one row at most, as its key says which.
    pub is_one: bool,
}

/// How rows follow each other by their age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direction {
    /// Whether the most recent rows come first.
    pub descending: bool,
    /// Whether rows that do not say how old they are come first.
    pub nulls_first: bool,
}

impl Query {
    /// The same query as halves of its rows answer it, which are told apart by the column `by` of its table, and each row
    /// from all others by those of `key`. An error says what no two halves can answer.
    pub fn united(&self, by: &str, key: &[String]) -> Result<United, QueryError> {
        let mut statements = statements(&self.sql)?;
        let [Statement::Query(ast)] = statements.as_mut_slice() else {
            return Err(QueryError::new("the query is one SELECT"));
        };
        let select = plain(ast)?.clone();
        let scope = Scope::of(&select)?;
        let mut found = Found::default();
        if let Some(condition) = &select.selection {
            collect(condition, by, &mut found);
        }
        let is_one = !key.is_empty() && key.iter().all(|column| found.fixed.contains(column));
        let mut order = scope.order(ast, &select, by, is_one)?;
        scope.complete(&mut order, &select, key)?;
        let first = &order[0].1.options;
        let descending = first.asc == Some(false);
        let nulls_first = first.nulls_first.unwrap_or(descending);
        let (columns, sorts) = order.into_iter().unzip();
        ast.order_by = Some(OrderBy {
            kind: OrderByKind::Expressions(sorts),
            interpolate: None,
        });
        Ok(United {
            query: Self::of(statements[0].to_string(), self.parameters.clone())?,
            order: columns,
            direction: Direction {
                descending,
                nulls_first,
            },
            since: found.since,
            bounds: found.bounds,
            is_dated: found.is_dated,
            is_one,
        })
    }

    /// The same query as the store of recent rows is asked, all of which have a value of what comes first in their order:
    /// where others would come says nothing there, and an index need not say it either.
    pub fn of_recent(&self) -> Result<Self, QueryError> {
        let mut statements = statements(&self.sql)?;
        if let [Statement::Query(ast)] = statements.as_mut_slice()
            && let Some(order_by) = &mut ast.order_by
            && let OrderByKind::Expressions(sorts) = &mut order_by.kind
            && let Some(first) = sorts.first_mut()
        {
            first.options.nulls_first = None;
            return Self::of(statements[0].to_string(), self.parameters.clone());
        }
        Ok(self.clone())
    }

    /// The output columns that are these of its table; all of that name behind a `*`.
    pub fn outputs_of(&self, columns: &[String]) -> Vec<String> {
        let statements = statements(&self.sql).unwrap_or_default();
        let [Statement::Query(ast)] = statements.as_slice() else {
            return Vec::new();
        };
        let SetExpr::Select(select) = &*ast.body else {
            return Vec::new();
        };
        let items = select.projection.iter();
        let mut names: Vec<String> = items
            .filter(|item| column_of_item(item).is_some_and(|column| columns.contains(&column)))
            .filter_map(item_name)
            .collect();
        if has_star(select) {
            names.extend(columns.iter().cloned());
        }
        names
    }
}

/// The one SELECT of a query whose rows are rows of one table, each for itself.
fn plain(query: &Ast) -> Result<&Select, QueryError> {
    let refuse = |what: &str| {
        Err(QueryError::new(format!(
            "{what} says something of all rows together; a route with `older` answers row by row, recent ones from the \
             store and the others from the lake: leave it out, or let the lake answer all by itself"
        )))
    };
    let SetExpr::Select(select) = &*query.body else {
        return refuse("UNION, INTERSECT, EXCEPT or VALUES");
    };
    if query.limit_clause.is_some() || query.fetch.is_some() {
        return refuse("LIMIT, OFFSET or FETCH");
    }
    match &select.distinct {
        None | Some(Distinct::All) => {}
        Some(_) => return refuse("DISTINCT"),
    }
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    if grouped || select.having.is_some() {
        return refuse("GROUP BY or HAVING");
    }
    let called = walk::reads(query, None)?;
    if called.queries > 1 {
        return refuse("a query within the query");
    }
    if called.windows {
        return refuse("a window function");
    }
    if let Some(name) = called
        .functions
        .iter()
        .find(|name| functions::aggregates(name))
    {
        return refuse(&format!("the function `{name}`"));
    }
    Ok(select)
}

/// The table that the query reads.
struct Scope {
    /// As what columns name it: its alias, or its own name.
    known_as: Ident,
}

/// What the conditions say that all rows meet.
#[derive(Default)]
struct Found {
    /// The columns that equal one value.
    fixed: Vec<String>,
    since: Vec<usize>,
    bounds: Vec<usize>,
    is_dated: bool,
}

impl Scope {
    fn of(select: &Select) -> Result<Self, QueryError> {
        let one = || {
            QueryError::new(
                "a route with `older` reads one table, of which the store has the recent rows; a join, or a function in \
                 its place, has no halves",
            )
        };
        let [from] = select.from.as_slice() else {
            return Err(one());
        };
        let (
            true,
            TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            },
        ) = (from.joins.is_empty(), &from.relation)
        else {
            return Err(one());
        };
        let named = || Some(Ident::with_quote('"', parts(name)?.pop()?));
        let known_as = match alias {
            Some(alias) if alias.columns.is_empty() => Some(alias.name.clone()),
            Some(_) => None,
            None => named(),
        };
        let known_as = known_as.ok_or_else(one)?;
        Ok(Self { known_as })
    }

    /// What the query is ordered by: the table's columns, each with what says so.
    fn order(
        &self,
        query: &Ast,
        select: &Select,
        by: &str,
        is_one: bool,
    ) -> Result<Vec<(String, OrderByExpr)>, QueryError> {
        let refuse = || {
            QueryError::new(format!(
                "a route with `older` is ordered by `{by}` first, which tells recent rows from older ones, and by columns \
                 of the table: write `ORDER BY {by} DESC`"
            ))
        };
        let sorts = sorts(query).ok_or_else(refuse)?;
        let order: Option<Vec<(String, OrderByExpr)>> = sorts
            .iter()
            .map(|sort| Some((sorted_column(&sort.expr, select)?, sort.clone())))
            .collect();
        let order = order.ok_or_else(refuse)?;
        match order.first() {
            Some((first, _)) if first == by => Ok(order),
            // Where the one row is asked for, it does not matter; most of these are recent.
            None if is_one => Ok(vec![(
                by.to_owned(),
                self.sort(select, by, true, Some(false)),
            )]),
            _ => Err(refuse()),
        }
    }

    /// Adds what tells rows apart that the order leaves equal.
    fn complete(
        &self,
        order: &mut Vec<(String, OrderByExpr)>,
        select: &Select,
        key: &[String],
    ) -> Result<(), QueryError> {
        let descending = order
            .last()
            .is_some_and(|(_, sort)| sort.options.asc == Some(false));
        for column in key {
            if order.iter().all(|(known, _)| known != column) {
                order.push((column.clone(), self.sort(select, column, descending, None)));
            }
        }
        let renamed = select.projection.iter().find_map(|item| {
            let name = item_name(item)?;
            let is_other = column_of_item(item).as_ref() != Some(&name);
            (is_other && order.iter().any(|(column, _)| *column == name)).then_some(name)
        });
        match renamed {
            Some(name) if has_star(select) => Err(QueryError::new(format!(
                "two output columns are called `{name}`; rename one: `AS <name>`"
            ))),
            _ => Ok(()),
        }
    }

    /// An item of ORDER BY: the output column that the table's column is, or that column itself.
    fn sort(
        &self,
        select: &Select,
        column: &str,
        descending: bool,
        nulls_first: Option<bool>,
    ) -> OrderByExpr {
        let outputs = select.projection.iter();
        let output = outputs
            .filter(|item| column_of_item(item).as_deref() == Some(column))
            .find_map(item_name);
        let quoted = |name: &str| Ident::with_quote('"', name);
        let expr = match output {
            Some(output) => Expr::Identifier(quoted(&output)),
            None if has_star(select) => Expr::Identifier(quoted(column)),
            None => Expr::CompoundIdentifier(vec![self.known_as.clone(), quoted(column)]),
        };
        OrderByExpr {
            expr,
            options: OrderByOptions {
                asc: Some(!descending),
                nulls_first,
            },
            with_fill: None,
        }
    }
}

/// Finds what all rows must meet.
fn collect(condition: &Expr, by: &str, found: &mut Found) {
    match condition {
        Expr::Nested(inner) => collect(inner, by, found),
        Expr::IsNotNull(inner) if column(inner).as_deref() == Some(by) => found.is_dated = true,
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            collect(left, by, found);
            collect(right, by, found);
        }
        // `(:p IS NULL OR column >= :p)`: where the parameter has a value, as without the first half.
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Or,
            right,
        } => {
            for (absent, compared) in [(left, right), (right, left)] {
                let mut own = Found::default();
                if let Some(parameter) = absent_parameter(absent) {
                    collect(compared, by, &mut own);
                    own.since.retain(|place| *place == parameter);
                    own.bounds.retain(|place| *place == parameter);
                    found.since.append(&mut own.since);
                    found.bounds.append(&mut own.bounds);
                }
            }
        }
        Expr::BinaryOp { left, op, right } => {
            compared(left, op, right, by, found);
            if let Some(op) = turned(op) {
                compared(right, &op, left, by, found);
            }
        }
        Expr::Between {
            expr,
            negated: false,
            low,
            high,
        } => {
            compared(expr, &BinaryOperator::GtEq, low, by, found);
            compared(expr, &BinaryOperator::LtEq, high, by, found);
        }
        _ => {}
    }
}

/// Notes what a comparison of a column with a value says.
fn compared(left: &Expr, op: &BinaryOperator, value: &Expr, by: &str, found: &mut Found) {
    let Some(name) = column(left) else { return };
    if *op == BinaryOperator::Eq && term_is_fixed(value) {
        found.fixed.push(name.clone());
    }
    let Some(place) = placeholder(value).filter(|_| name == by) else {
        return;
    };
    match op {
        BinaryOperator::GtEq | BinaryOperator::Gt | BinaryOperator::Eq => {
            found.since.push(place);
            found.bounds.push(place);
        }
        BinaryOperator::LtEq | BinaryOperator::Lt => found.bounds.push(place),
        _ => {}
    }
}

/// The place of the parameter of which it is `:p IS NULL`, with or without a cast.
fn absent_parameter(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Nested(inner) => absent_parameter(inner),
        Expr::IsNull(inner) => match &**inner {
            Expr::Cast { expr: inner, .. } => placeholder(inner),
            inner => placeholder(inner),
        },
        _ => None,
    }
}

/// What a comparison is from the other side.
fn turned(op: &BinaryOperator) -> Option<BinaryOperator> {
    Some(match op {
        BinaryOperator::Eq => BinaryOperator::Eq,
        BinaryOperator::Lt => BinaryOperator::Gt,
        BinaryOperator::LtEq => BinaryOperator::GtEq,
        BinaryOperator::Gt => BinaryOperator::Lt,
        BinaryOperator::GtEq => BinaryOperator::LtEq,
        _ => return None,
    })
}

/// The name of the column that an expression is; there is one table alone that may have it.
fn column(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Nested(inner) => column(inner),
        Expr::Identifier(ident) => Some(folded(ident)),
        Expr::CompoundIdentifier(idents) => idents.last().map(folded),
        _ => None,
    }
}

fn column_of_item(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => column(expr),
        _ => None,
    }
}

/// The table's column that an item of ORDER BY is: a name is that of an output column before it is one of the table.
fn sorted_column(expr: &Expr, select: &Select) -> Option<String> {
    if let Expr::Identifier(ident) = expr {
        let name = folded(ident);
        let mut outputs = select.projection.iter();
        if let Some(item) = outputs.find(|item| item_name(item).as_ref() == Some(&name)) {
            return column_of_item(item);
        }
    }
    column(expr)
}

fn has_star(select: &Select) -> bool {
    let mut items = select.projection.iter();
    items.any(|item| {
        matches!(
            item,
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
        )
    })
}
