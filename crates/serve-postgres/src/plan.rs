//! How a route's query is run: by which types its parameters are bound, how its columns become JSON, and how its answer
//! is cut into pages. Made once for a definition, with what the store says about it.

mod infer;

use crate::json::Encoder;
use deadpool_postgres::Object;
use infer::{infer, primary_key};
use millrace_serve::source::{self, Bound, Digits, Kind, Pages, Selected, Shape};
use tokio_postgres::types::{self, Type};
use tokio_postgres::{Column, Error, Statement};

/// How a route's query is run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The types by which parameters are bound, `$1`'s first.
    pub parameters: Vec<Type>,
    /// The columns of the answer.
    pub columns: Vec<source::Column>,
    /// How their values become JSON.
    pub encoders: Vec<Encoder>,
    /// How the answer is cut into pages.
    pub pages: Pages,
    /// The types of each row's values: the columns, and behind them what is needed for cursors alone.
    pub values: Vec<Type>,
    /// Whether it finds one row by its table's key, or none: such a query is over when it has hardly begun.
    pub is_lookup: bool,
}

impl source::Plan for Plan {
    fn columns(&self) -> &[source::Column] {
        &self.columns
    }
}

impl Plan {
    /// The plan of a query whose parameters are of these kinds; `is_half` says that it is asked for the recent rows of its
    /// table, and that no two of them are equal in its order.
    pub async fn make(
        client: &Object,
        sql: &str,
        kinds: &[Bound],
        is_half: bool,
    ) -> Result<Self, Error> {
        let (parameters, statement) = infer(client, sql, kinds).await?;
        let names: Vec<&str> = statement.columns().iter().map(Column::name).collect();
        let shape = Shape::of(sql, &names);
        let shaped = if shape.hidden == 0 {
            statement.clone()
        } else {
            client.prepare_typed(&shape.sql, &parameters).await?
        };
        let unique = if is_half {
            Some(Vec::new())
        } else if shape.single_table {
            primary_key(client, &statement).await?
        } else {
            None
        };
        let plan = Self::of(&statement, &shaped, &shape, unique, parameters);
        Ok(if is_half { plan.of_recent() } else { plan })
    }

    /// The same with texts in the order of their bytes, as everybody has them, whatever the database's collation is. A
    /// recent row has a value of what rows are ordered by first; where others would come is for an index to say, which has
    /// them where PostgreSQL does unless told otherwise.
    fn of_recent(mut self) -> Self {
        let is_text = |place: usize| matches!(self.values[place], Type::TEXT | Type::VARCHAR);
        for key in self.pages.keys.iter_mut().flatten() {
            if is_text(key.place) {
                key.sql.push_str(" COLLATE \"C\"");
            }
        }
        if let Some([first, ..]) = self.pages.keys.as_deref_mut() {
            first.nulls_first = first.descending;
        }
        self
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
            columns.push(source::Column::new(
                column.name(),
                encoder.kind(digits(column)),
            ));
            encoders.push(encoder);
        }
        let is_equal = |part: &usize| shape.equal.contains(part);
        // Without a key, there is nothing that names one row.
        let key = unique.as_deref().filter(|key| !key.is_empty());
        let is_lookup = key.is_some_and(|key| key.iter().all(is_equal));
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
            is_lookup,
        }
    }

    /// Whether a statement's rows are what they were when the plan was made: a table may have been replaced since.
    pub fn fits(&self, statement: &Statement) -> bool {
        let types = statement.columns().iter().map(Column::type_);
        let mut columns = statement.columns().iter().zip(&self.columns);
        types.eq(&self.values)
            && columns.all(|(found, column)| match column.kind {
                Kind::Decimal(known) => digits(found) == known,
                _ => true,
            })
    }
}

/// The digits of a column of decimal numbers, where it was made with them: PostgreSQL's modifier of the type `numeric`.
fn digits(column: &Column) -> Option<Digits> {
    let modifier = column
        .type_modifier()
        .checked_sub(4)
        .filter(|_| column.type_modifier() >= 4)?;
    let precision = u8::try_from(modifier >> 16)
        .ok()
        .filter(|digits| *digits <= 38)?;
    // Eleven bits with a sign.
    let scale = ((modifier & 0x7ff) ^ 0x400) - 0x400;
    let scale = i8::try_from(scale).ok()?;
    Some(Digits { precision, scale })
}

/// Whether values of a type are ordered, and equal only where they are the same to the bit. `1.0` and `1.00` are equal
/// numbers, and yet not the same answer.
fn is_exact(kind: &Type) -> bool {
    if let types::Kind::Array(member) = kind.kind() {
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
