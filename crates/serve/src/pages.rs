//! How an answer is cut into pages: by which values its rows are ordered, and the statements that find them from a cursor
//! on.

mod shape;
mod stretch;

pub use shape::{OrderKey, Shape};
pub use stretch::Stretch;

use std::fmt::Write as _;

/// How a query's answer is cut into pages.
#[derive(Clone, Debug)]
pub struct Pages {
    /// By what rows are ordered, so that no two that differ are equal; none where the query's order cannot be known from
    /// outside.
    pub keys: Option<Vec<Key>>,
    /// How many parameters the query has.
    parameters: usize,
    /// `SELECT … FROM (…) AS q`.
    select: String,
}

/// A value of each row by which rows are ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The expression.
    pub sql: String,
    /// Its place among a row's values.
    pub place: usize,
    /// Whether the greatest comes first.
    pub descending: bool,
    /// Whether rows without a value come first.
    pub nulls_first: bool,
}

/// What is selected of a query: its columns, and behind them what is needed for cursors alone.
#[derive(Debug, Default)]
pub struct Selected {
    /// Each value's column of the query, and whether it is wanted as text.
    pub values: Vec<(usize, bool)>,
    expressions: Vec<String>,
}

impl Selected {
    /// A column of the query: as it is, or as text.
    pub fn push(&mut self, column: usize, as_text: bool) -> usize {
        self.values.push((column, as_text));
        self.expressions.push(expression(column, as_text));
        self.values.len() - 1
    }

    /// With a name for each: a column and its text would have the same one.
    fn named(&self) -> String {
        let expressions = self.expressions.iter().enumerate();
        let named: Vec<String> = expressions
            .map(|(at, sql)| format!("{sql} AS v{at}"))
            .collect();
        named.join(", ")
    }

    /// The place of what is selected already, or is from now on.
    fn find(&mut self, column: usize, as_text: bool) -> usize {
        let wanted = (column, as_text);
        let known = self.values.iter().position(|known| *known == wanted);
        known.unwrap_or_else(|| self.push(column, as_text))
    }
}

/// A column of the subquery that is named `q`, from 0.
fn expression(column: usize, as_text: bool) -> String {
    if as_text {
        format!("(q.c{column})::text")
    } else {
        format!("q.c{column}")
    }
}

impl Pages {
    /// The pages of a query of that shape, whose answer has `width` columns with those that were added to order by, and
    /// of which `selected` is selected. Rows that the query's order leaves equal are told apart by the columns `unique`, or
    /// by all; `is_exact` says of a column whether values of it are equal only where they are the same.
    pub fn new(
        shape: &Shape,
        width: usize,
        parameters: usize,
        mut selected: Selected,
        unique: Option<Vec<usize>>,
        is_exact: impl Fn(usize) -> bool,
    ) -> (Self, Selected) {
        let keys = shape.order.as_deref().map(|order| {
            let rest = unique.unwrap_or_else(|| (0..width).collect());
            keys(order, rest, &mut selected, is_exact)
        });
        let names: Vec<String> = (0..width).map(|at| format!("c{at}")).collect();
        let select = format!(
            "SELECT {} FROM ({}) AS q ({})",
            selected.named(),
            shape.sql,
            names.join(", ")
        );
        let pages = Self {
            keys,
            parameters,
            select,
        };
        (pages, selected)
    }

    /// The statement that finds the rows of a stretch. What stands for `OFFSET` and `LIMIT` is the caller's.
    pub fn statement(&self, stretch: &Stretch, offset: &str, limit: &str) -> String {
        let mut sql = self.select.clone();
        if !stretch.condition.is_empty() {
            let _ = write!(sql, " WHERE {}", stretch.condition);
        }
        for (at, key) in self.keys.iter().flatten().enumerate() {
            let _ = write!(
                sql,
                "{} {} {} NULLS {}",
                if at == 0 { " ORDER BY" } else { "," },
                key.sql,
                if key.descending { "DESC" } else { "ASC" },
                if key.nulls_first { "FIRST" } else { "LAST" }
            );
        }
        let _ = write!(sql, " LIMIT {limit}");
        if !offset.is_empty() {
            let _ = write!(sql, " OFFSET {offset}");
        }
        sql
    }
}

/// The query's own order, and behind it what tells rows apart that it leaves equal.
fn keys(
    order: &[OrderKey],
    rest: Vec<usize>,
    selected: &mut Selected,
    is_exact: impl Fn(usize) -> bool,
) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    let mut add = |column: usize, as_text: bool, descending: bool, nulls_first: bool| {
        let place = selected.find(column, as_text);
        let sql = expression(column, as_text);
        if keys.iter().all(|key| key.sql != sql) {
            keys.push(Key {
                sql,
                place,
                descending,
                nulls_first,
            });
        }
    };
    for key in order {
        add(key.column, false, key.descending, key.nulls_first);
    }
    // Ties go on in the direction of the last key, so that an index of both, read backwards, serves too.
    let descending = order.last().is_some_and(|key| key.descending);
    for column in rest {
        add(column, !is_exact(column), descending, descending);
    }
    keys
}
