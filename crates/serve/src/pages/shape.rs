//! What pagination needs to know of an author's query: how its answer is ordered, and by what.
//!
//! A page is cut out of `SELECT … FROM (<query>) AS q WHERE <behind the cursor> ORDER BY … LIMIT …`. PostgreSQL merges
//! such a subquery with what is around it, and then uses its tables' indexes for all of that, but only where the subquery
//! itself is not ordered. So the order is taken out of the query and put around it.

use sqlparser::ast::{
    BinaryOperator, Distinct, Expr, GroupByExpr, Ident, OrderByKind, Query, Select, SelectItem,
    SetExpr, Statement, TableFactor, Value, ValueWithSpan,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

/// A query made ready to be cut into pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The query to put into the parentheses.
    pub sql: String,
    /// By what its answer is ordered; none where that cannot be told, and the query keeps its order to itself.
    pub order: Option<Vec<OrderKey>>,
    /// How many columns behind the query's own were added, to order by.
    pub hidden: usize,
    /// Whether each row of the answer is one row of one table.
    pub single_table: bool,
    /// The columns of the answer, from 0, that are each to equal a parameter, where the query wants nothing else.
    pub equal: Vec<usize>,
}

/// A column of the answer by which it is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderKey {
    /// Its place in the answer, from 0; those that were added come behind the query's own.
    pub column: usize,
    /// Whether the greatest comes first.
    pub descending: bool,
    /// Whether rows without a value come first.
    pub nulls_first: bool,
}

impl Shape {
    /// The shape of a query whose answer has columns of these names. What cannot be understood is served as it is.
    pub fn of(sql: &str, columns: &[&str]) -> Self {
        let opaque = || Self {
            sql: sql.to_owned(),
            order: None,
            hidden: 0,
            single_table: false,
            equal: Vec::new(),
        };
        let Ok(statements) = Parser::parse_sql(&PostgreSqlDialect {}, sql) else {
            return opaque();
        };
        let [Statement::Query(query)] = statements.as_slice() else {
            return opaque();
        };
        Self::of_query(query, columns).unwrap_or_else(opaque)
    }

    fn of_query(query: &Query, columns: &[&str]) -> Option<Self> {
        let mut query = query.clone();
        let single_table = is_single_table(&query);
        let equal = equal(&query).unwrap_or_default();
        // Where rows are chosen by order, the order stays inside as well.
        let keeps_order = query.limit_clause.is_some()
            || query.fetch.is_some()
            || matches!(&*query.body, SetExpr::Select(select) if matches!(select.distinct, Some(Distinct::On(_))));
        let expressions = match query.order_by.as_ref().map(|order| &order.kind) {
            None => Vec::new(),
            Some(OrderByKind::Expressions(expressions)) => expressions.clone(),
            Some(OrderByKind::All(_)) => return None,
        };
        let mut order = Vec::new();
        let mut hidden = Vec::new();
        for item in expressions {
            let descending = item.options.asc == Some(false);
            let column = if let Some(column) = column_of(&item.expr, &query, columns) {
                column
            } else {
                adds_columns(&query).then_some(())?;
                hidden.push(item.expr.clone());
                columns.len() + hidden.len() - 1
            };
            let nulls_first = item.options.nulls_first.unwrap_or(descending);
            order.push(OrderKey {
                column,
                descending,
                nulls_first,
            });
        }
        if !keeps_order {
            query.order_by = None;
        }
        if let SetExpr::Select(select) = &mut *query.body {
            select
                .projection
                .extend(hidden.iter().cloned().map(SelectItem::UnnamedExpr));
        }
        Some(Self {
            sql: query.to_string(),
            order: Some(order),
            hidden: hidden.len(),
            single_table,
            equal,
        })
    }
}

/// The place in the answer of what a query is ordered by, as PostgreSQL finds it: a number is a place, a bare name is a
/// column of the answer before it is one of a table, and anything else may be what some column of the answer is.
fn column_of(expr: &Expr, query: &Query, columns: &[&str]) -> Option<usize> {
    match expr {
        Expr::Value(ValueWithSpan {
            value: Value::Number(number, _),
            ..
        }) => {
            let place: usize = number.parse().ok()?;
            (1..=columns.len()).contains(&place).then(|| place - 1)
        }
        Expr::Identifier(name) => {
            let name = folded(name);
            columns.iter().position(|column| *column == name)
        }
        _ => {
            let SetExpr::Select(select) = &*query.body else {
                return None;
            };
            let mut place = None;
            for (at, item) in select.projection.iter().enumerate() {
                match item {
                    SelectItem::UnnamedExpr(item)
                    | SelectItem::ExprWithAlias { expr: item, .. } => {
                        if item == expr && place.is_none() {
                            place = Some(at);
                        }
                    }
                    // Behind a star, places cannot be told.
                    _ => return place,
                }
            }
            place
        }
    }
}

/// The columns of the answer that are each to equal a parameter; none where a query wants anything else besides, or where
/// the places of its columns cannot be told.
fn equal(query: &Query) -> Option<Vec<usize>> {
    let SetExpr::Select(select) = &*query.body else {
        return None;
    };
    if select.projection.iter().any(is_several) {
        return None;
    }
    let names: Vec<Option<String>> = select.projection.iter().map(own_name).collect();
    let place = |name: &Ident| {
        let name = folded(name);
        names.iter().position(|own| own.as_ref() == Some(&name))
    };
    let mut wanted = vec![select.selection.as_ref()?];
    let mut equal = Vec::new();
    while let Some(condition) = wanted.pop() {
        match condition {
            Expr::Nested(inner) => wanted.push(inner),
            Expr::BinaryOp {
                left,
                op: BinaryOperator::And,
                right,
            } => wanted.extend([&**left, &**right]),
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Eq,
                right,
            } => match (&**left, &**right) {
                (Expr::Identifier(name), value) | (value, Expr::Identifier(name))
                    if is_parameter(value) =>
                {
                    equal.push(place(name)?);
                }
                _ => return None,
            },
            _ => return None,
        }
    }
    Some(equal)
}

/// The name of a selected column that keeps its own.
fn own_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(folded(name)),
        _ => None,
    }
}

/// Whether what is selected may be several columns.
fn is_several(item: &SelectItem) -> bool {
    !matches!(
        item,
        SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }
    )
}

fn is_parameter(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, Value::Placeholder(_)))
}

fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() {
        name.value.clone()
    } else {
        name.value.to_lowercase()
    }
}

/// Whether another column may be selected without changing which rows there are.
fn adds_columns(query: &Query) -> bool {
    matches!(&*query.body, SetExpr::Select(select) if select.distinct.is_none())
}

fn is_single_table(query: &Query) -> bool {
    let SetExpr::Select(select) = &*query.body else {
        return false;
    };
    let Select {
        distinct,
        from,
        group_by,
        having,
        ..
    } = &**select;
    let grouped = !matches!(group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let [from] = from.as_slice() else {
        return false;
    };
    let table = matches!(&from.relation, TableFactor::Table { args: None, .. });
    query.with.is_none()
        && distinct.is_none()
        && !grouped
        && having.is_none()
        && from.joins.is_empty()
        && table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(column: usize, descending: bool, nulls_first: bool) -> OrderKey {
        OrderKey {
            column,
            descending,
            nulls_first,
        }
    }

    #[test]
    fn the_order_is_taken_out() {
        let shape = Shape::of(
            "SELECT id, magnitude FROM s.q WHERE magnitude >= $1 ORDER BY magnitude DESC, id",
            &["id", "magnitude"],
        );
        assert_eq!(
            shape.sql,
            "SELECT id, magnitude FROM s.q WHERE magnitude >= $1"
        );
        assert_eq!(
            shape.order,
            Some(vec![key(1, true, true), key(0, false, false)])
        );
        assert!(shape.single_table);
        assert_eq!(shape.hidden, 0);
    }

    #[test]
    fn what_is_not_in_the_answer_is_added_to_it() {
        let shape = Shape::of(
            "SELECT id FROM s.q AS t ORDER BY lower(name) ASC NULLS FIRST, t.at DESC NULLS LAST",
            &["id"],
        );
        assert_eq!(shape.sql, "SELECT id, lower(name), t.at FROM s.q AS t");
        assert_eq!(
            shape.order,
            Some(vec![key(1, false, true), key(2, true, false)])
        );
        assert_eq!(shape.hidden, 2);
    }

    #[test]
    fn places_names_and_repeated_expressions_are_found() {
        let shape = Shape::of(
            "SELECT t.a, t.b AS c, \"D\" FROM s.t AS t ORDER BY 2, t.a, \"D\"",
            &["a", "c", "D"],
        );
        assert_eq!(
            shape.order,
            Some(vec![
                key(1, false, false),
                key(0, false, false),
                key(2, false, false)
            ])
        );
    }

    #[test]
    fn rows_chosen_by_order_keep_it() {
        let limited = "SELECT id FROM s.q ORDER BY id DESC LIMIT 10";
        assert_eq!(Shape::of(limited, &["id"]).sql, limited);
        let distinct = "SELECT DISTINCT ON (a) a, b FROM s.q ORDER BY a, b";
        let shape = Shape::of(distinct, &["a", "b"]);
        assert_eq!(shape.sql, distinct);
        assert!(!shape.single_table);
    }

    #[test]
    fn what_cannot_be_told_is_left_alone() {
        let distinct = "SELECT DISTINCT lower(a) FROM s.q ORDER BY upper(b)";
        assert_eq!(Shape::of(distinct, &["lower"]).order, None);
        assert_eq!(Shape::of(distinct, &["lower"]).sql, distinct);
        assert_eq!(Shape::of("SELECT id FROM s.q ORDER", &["id"]).order, None);
    }

    #[test]
    fn joins_unions_and_groups_are_not_one_table() {
        for sql in [
            "SELECT a FROM s.q JOIN s.r ON true",
            "SELECT a FROM s.q, s.r",
            "SELECT a FROM s.q UNION ALL SELECT a FROM s.r",
            "SELECT a FROM s.q GROUP BY a",
            "SELECT a FROM (SELECT 1 AS a) AS x",
            "SELECT a FROM generate_series(1, 3) AS x(a)",
            "WITH q AS (SELECT 1 AS a) SELECT a FROM q",
        ] {
            assert!(!Shape::of(sql, &["a"]).single_table, "{sql}");
        }
        let union = Shape::of(
            "SELECT a FROM s.q UNION ALL SELECT a FROM s.r ORDER BY a",
            &["a"],
        );
        assert_eq!(union.sql, "SELECT a FROM s.q UNION ALL SELECT a FROM s.r");
    }

    #[test]
    fn what_is_to_equal_a_parameter_is_told_where_nothing_else_is_wanted() {
        let equal = |sql: &str| Shape::of(sql, &["id", "place"]).equal;
        assert_eq!(equal("SELECT id, place FROM s.q WHERE id = $1"), [0]);
        let both = "SELECT id, \"place\" FROM s.q WHERE ($2 = PLACE) AND id = $1";
        assert_eq!(equal(both), [0, 1]);
        for other in [
            "SELECT id, place FROM s.q",
            "SELECT id, place FROM s.q WHERE id = $1 OR place = $2",
            "SELECT id, place FROM s.q WHERE id = $1 AND pg_sleep(9) IS NULL",
            "SELECT id, place FROM s.q WHERE id = id",
            "SELECT place AS id, id AS place FROM s.q WHERE id = $1",
            "SELECT *, place FROM s.q WHERE id = $1",
            "SELECT id, place FROM s.q WHERE id = ANY($1)",
        ] {
            assert!(equal(other).is_empty(), "{other}");
        }
    }
}
