//! How a route's query is run: by which types its parameters are bound, how its columns become JSON, and how its answer
//! is cut into pages. Made once for a definition, with what the store says about it.

mod infer;

use crate::json::Encoder;
use deadpool_postgres::Object;
use infer::{infer, primary_key};
use millrace_serve::source::{self, Bound, Column, Pages, Selected, Shape};
use tokio_postgres::types::{Kind, Type};
use tokio_postgres::{Error, Statement};

/// How a route's query is run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The types by which parameters are bound, `$1`'s first.
    pub parameters: Vec<Type>,
    /// The columns of the answer.
    pub columns: Vec<Column>,
    /// How their values become JSON.
    pub encoders: Vec<Encoder>,
    /// How the answer is cut into pages.
    pub pages: Pages,
    /// The types of each row's values: the columns, and behind them what is needed for cursors alone.
    pub values: Vec<Type>,
}

impl source::Plan for Plan {
    fn columns(&self) -> &[Column] {
        &self.columns
    }
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
        let (mut selected, mut columns, mut encoders) =
            (Selected::default(), Vec::new(), Vec::new());
        for (at, column) in statement.columns().iter().enumerate() {
            let native = Encoder::of(column.type_());
            selected.push(at, native.is_none());
            let encoder = native.unwrap_or(Encoder::Text);
            columns.push(Column::new(column.name(), encoder.kind()));
            encoders.push(encoder);
        }
        let kind = |column: usize| shaped.columns()[column].type_();
        let (pages, selected) = Pages::new(
            shape,
            shaped.columns().len(),
            parameters.len(),
            selected,
            unique,
            |column| is_exact(kind(column)),
        );
        let value = |(column, as_text): &(usize, bool)| match as_text {
            true => Type::TEXT,
            false => kind(*column).clone(),
        };
        let values = selected.values.iter().map(value).collect();
        Self {
            parameters,
            columns,
            encoders,
            pages,
            values,
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
