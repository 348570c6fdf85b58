//! The columns that a query gives, and their order.

use super::QueryError;
use super::walk::{folded, parts};
use sqlparser::ast::{
    Distinct, Expr, Ident, OrderBy, OrderByExpr, OrderByKind, OrderByOptions, Query, Select,
    SelectItem, SetExpr, Value,
};
use std::collections::BTreeSet;

/// The names of the output columns; none where there is a `*`.
pub(super) fn output_columns(query: &Query) -> Result<Option<Vec<String>>, QueryError> {
    let Some(select) = first_select(&query.body) else {
        let message = "the columns of VALUES have no names; write a SELECT that gives them some";
        return Err(QueryError::new(message));
    };
    let mut names = Vec::new();
    let mut seen = BTreeSet::new();
    let mut told = true;
    for item in &select.projection {
        let name = match item {
            SelectItem::ExprWithAlias { alias, .. } => folded(alias),
            SelectItem::UnnamedExpr(expr) => name_of(expr).ok_or_else(|| {
                QueryError::new(format!(
                    "the output column `{expr}` has no name; write `{expr} AS <name>`"
                ))
            })?,
            _ => {
                told = false;
                continue;
            }
        };
        if !seen.insert(name.clone()) {
            let message =
                format!("two output columns are called `{name}`; rename one: `AS <name>`");
            return Err(QueryError::new(message));
        }
        names.push(name);
    }
    Ok(told.then_some(names))
}

/// Sorts the query by an output column, and by nothing else. Not where its rows are chosen by their order.
pub(super) fn sort_by(query: &mut Query, column: &str, descending: bool) -> bool {
    let chooses = query.limit_clause.is_some()
        || query.fetch.is_some()
        || matches!(&*query.body, SetExpr::Select(select) if matches!(select.distinct, Some(Distinct::On(_))));
    if chooses {
        return false;
    }
    let sort = OrderByExpr {
        expr: Expr::Identifier(Ident::with_quote('"', column)),
        options: OrderByOptions {
            asc: Some(!descending),
            nulls_first: None,
        },
        with_fill: None,
    };
    query.order_by = Some(OrderBy {
        kind: OrderByKind::Expressions(vec![sort]),
        interpolate: None,
    });
    true
}

/// The output columns that the query sorts by, and whether each descends.
pub(super) fn order_by(query: &Query) -> Option<Vec<(String, bool)>> {
    let sorts = sorts(query)?;
    let select = first_select(&query.body)?;
    sorts
        .iter()
        .map(|sort| {
            let descending = direction(sort)?;
            output_of(&sort.expr, select).map(|name| (name, descending))
        })
        .collect()
}

/// What the query sorts by; empty where it does not, none where the form is unknown.
pub(super) fn sorts(query: &Query) -> Option<&[OrderByExpr]> {
    match query.order_by.as_ref().map(|order_by| &order_by.kind) {
        None => Some(&[]),
        Some(OrderByKind::Expressions(sorts)) => Some(sorts),
        Some(OrderByKind::All(_)) => None,
    }
}

/// Whether a sort descends; none where NULLs stand elsewhere than PostgreSQL puts them by itself.
pub(super) fn direction(sort: &OrderByExpr) -> Option<bool> {
    let descending = sort.options.asc == Some(false);
    match sort.options.nulls_first {
        Some(first) if first != descending => None,
        _ => Some(descending),
    }
}

/// The output column that an item of ORDER BY stands for.
fn output_of(expr: &Expr, select: &Select) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => {
            let name = folded(ident);
            let named = select
                .projection
                .iter()
                .any(|item| item_name(item).as_ref() == Some(&name));
            let hidden = select.projection.iter().any(is_column_renamed_from(&name));
            // Behind a `*` every column of the tables is an output column.
            (named || (has_wildcard(select) && !hidden)).then_some(name)
        }
        Expr::CompoundIdentifier(idents) => {
            let name = folded(idents.last()?);
            let same = select.projection.iter().find(|item| match item {
                SelectItem::UnnamedExpr(Expr::CompoundIdentifier(output)) => {
                    output.iter().map(folded).eq(idents.iter().map(folded))
                }
                SelectItem::UnnamedExpr(Expr::Identifier(output)) => folded(output) == name,
                _ => false,
            });
            (same.is_some() || (has_wildcard(select) && select.projection.len() == 1))
                .then_some(name)
        }
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => {
                let position: usize = number.parse().ok()?;
                if has_wildcard(select) {
                    return None;
                }
                item_name(select.projection.get(position.checked_sub(1)?)?)
            }
            _ => None,
        },
        _ => None,
    }
}

fn is_column_renamed_from(name: &str) -> impl Fn(&SelectItem) -> bool + '_ {
    move |item| match item {
        SelectItem::ExprWithAlias {
            expr: Expr::Identifier(column),
            alias,
        } => folded(column) == name && folded(alias) != name,
        _ => false,
    }
}

fn has_wildcard(select: &Select) -> bool {
    select.projection.iter().any(|item| {
        matches!(
            item,
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
        )
    })
}

/// An output column's name.
pub(super) fn item_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        SelectItem::UnnamedExpr(expr) => name_of(expr),
        _ => None,
    }
}

/// The name that PostgreSQL gives an expression.
fn name_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(folded(ident)),
        Expr::CompoundIdentifier(idents) => idents.last().map(folded),
        Expr::Function(function) => parts(&function.name)?.pop(),
        Expr::Cast { expr, .. } | Expr::Nested(expr) | Expr::Collate { expr, .. } => name_of(expr),
        _ => None,
    }
}

/// The SELECT that names the columns.
pub(super) fn first_select(body: &SetExpr) -> Option<&Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select(&query.body),
        SetExpr::SetOperation { left, .. } => first_select(left),
        _ => None,
    }
}
