//! How a route's query is run: by which types its parameters are bound, how its columns become JSON, and how its answer
//! is cut into pages. Made once for a definition, with what the store says about it.

mod infer;
mod stretch;

pub use stretch::Stretch;

use crate::json::Encoder;
use crate::shape::{OrderKey, Shape};
use crate::value::Bound;
use deadpool_postgres::Object;
use infer::{infer, primary_key};
use std::fmt::Write as _;
use tokio_postgres::types::{Kind, Type};
use tokio_postgres::{Error, Statement};

/// How a route's query is run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The types by which parameters are bound, `$1`'s first.
    pub parameters: Vec<Type>,
    /// The columns of the answer.
    pub columns: Vec<Column>,
    /// By what rows are ordered, so that no two that differ are equal; none where the query's order cannot be known from
    /// outside.
    pub keys: Option<Vec<Key>>,
    /// `SELECT … FROM (…) AS q`.
    select: String,
    /// The types of each row's values: the columns, and behind them what is needed for cursors alone.
    values: Vec<Type>,
}

/// A column of the answer.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Type,
    /// How its values become JSON.
    pub encoder: Encoder,
    /// What stands before a value: `"name":`.
    pub prefix: Vec<u8>,
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

impl Plan {
    /// The plan of a query whose parameters are of these kinds.
    pub async fn make(client: &Object, sql: &str, kinds: &[Bound]) -> Result<Self, Error> {
        let (parameters, statement) = infer(client, sql, kinds).await?;
        let names: Vec<&str> = statement
            .columns()
            .iter()
            .map(tokio_postgres::Column::name)
            .collect();
        let shape = Shape::of(sql, &names);
        let shaped = if shape.hidden == 0 {
            statement.clone()
        } else {
            client.prepare_typed(&shape.sql, &parameters).await?
        };
        let unique = if shape.single_table {
            primary_key(client, &statement).await?
        } else {
            None
        };
        Ok(Self::of(&statement, &shaped, &shape, unique, parameters))
    }

    fn of(
        statement: &Statement,
        shaped: &Statement,
        shape: &Shape,
        unique: Option<Vec<usize>>,
        parameters: Vec<Type>,
    ) -> Self {
        let mut values = Values::default();
        let columns = statement
            .columns()
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let encoder = Encoder::of(column.type_());
                values.push(at, encoder.map(|_| column.type_()));
                let mut prefix = serde_json::json!(column.name()).to_string().into_bytes();
                prefix.push(b':');
                Column {
                    name: column.name().to_owned(),
                    kind: column.type_().clone(),
                    encoder: encoder.unwrap_or(Encoder::Text),
                    prefix,
                }
            })
            .collect();
        let keys = shape
            .order
            .as_deref()
            .map(|order| keys(order, shaped, unique, &mut values));
        let names: Vec<String> = (0..shaped.columns().len())
            .map(|at| format!("c{at}"))
            .collect();
        let select = format!(
            "SELECT {} FROM ({}) AS q ({})",
            values.expressions.join(", "),
            shape.sql,
            names.join(", ")
        );
        Self {
            parameters,
            columns,
            keys,
            select,
            values: values.kinds,
        }
    }

    /// Whether a statement's rows are what they were when the plan was made: a table may have been replaced since.
    pub fn fits(&self, statement: &Statement) -> bool {
        let found = statement
            .columns()
            .iter()
            .map(tokio_postgres::Column::type_);
        found.eq(&self.values)
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

/// What is selected.
#[derive(Default)]
struct Values {
    expressions: Vec<String>,
    kinds: Vec<Type>,
}

impl Values {
    /// A column of the answer: as it is, or as text.
    fn push(&mut self, column: usize, kind: Option<&Type>) -> usize {
        self.expressions
            .push(kind.map_or_else(|| as_text(column), |_| native(column)));
        self.kinds.push(kind.cloned().unwrap_or(Type::TEXT));
        self.expressions.len() - 1
    }

    /// The place of what is selected already, or is from now on.
    fn find(&mut self, column: usize, kind: Option<&Type>) -> usize {
        let sql = kind.map_or_else(|| as_text(column), |_| native(column));
        let known = self.expressions.iter().position(|known| *known == sql);
        known.unwrap_or_else(|| self.push(column, kind))
    }
}

fn native(column: usize) -> String {
    format!("q.c{column}")
}

fn as_text(column: usize) -> String {
    format!("(q.c{column})::text")
}

/// The query's own order, and behind it what tells rows apart that it leaves equal: the table's key where there is one,
/// else every column.
fn keys(
    order: &[OrderKey],
    shaped: &Statement,
    unique: Option<Vec<usize>>,
    values: &mut Values,
) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    let kind = |column: usize| shaped.columns()[column].type_();
    let mut add = |column: usize, exact: bool, descending: bool, nulls_first: bool| {
        let place = values.find(column, exact.then(|| kind(column)));
        let sql = values.expressions[place].clone();
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
        add(key.column, true, key.descending, key.nulls_first);
    }
    // Ties go on in the direction of the last key, so that an index of both, read backwards, serves too.
    let descending = order.last().is_some_and(|key| key.descending);
    let rest = unique.unwrap_or_else(|| (0..shaped.columns().len()).collect());
    for column in rest {
        add(column, is_exact(kind(column)), descending, descending);
    }
    keys
}

/// Whether values of a type are ordered, and equal only where they are the same to the bit. `1.0` and `1.00` are equal
/// numbers, and yet not the same answer.
fn is_exact(kind: &Type) -> bool {
    if let Kind::Array(member) = kind.kind() {
        return is_exact(member);
    }
    matches!(
        *kind,
        Type::BOOL
            | Type::INT2
            | Type::INT4
            | Type::INT8
            | Type::OID
            | Type::TEXT
            | Type::VARCHAR
            | Type::NAME
            | Type::DATE
            | Type::TIME
            | Type::TIMESTAMP
            | Type::TIMESTAMPTZ
            | Type::UUID
            | Type::BYTEA
    )
}

#[cfg(test)]
mod on_postgres;
