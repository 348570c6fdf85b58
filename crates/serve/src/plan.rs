//! How a route's query is run: by which types its parameters are bound, how its columns become JSON, and how its answer
//! is cut into pages. Made once for a definition, with what the store says about it.

use crate::json::Encoder;
use crate::shape::{OrderKey, Shape};
use crate::value::{Bound, declared, fits};
use deadpool_postgres::Object;
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

/// Rows of the answer that one statement finds, in order. Rows with the first key and rows without lie in two stretches,
/// so that each of the two has a condition that an index of that key can be entered by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The condition; empty for all rows.
    pub condition: String,
    /// Which of the cursor's values are bound, in order.
    pub bound: Vec<usize>,
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

    /// The stretches of the rows from a cursor on, its own row included; of all rows where there is none. `null` says of
    /// each of the cursor's values whether it is NULL.
    pub fn stretches(&self, null: Option<&[bool]>) -> Vec<Stretch> {
        let all = Stretch {
            condition: String::new(),
            bound: Vec::new(),
        };
        let (Some(null), Some([first, ..])) = (null, self.keys.as_deref()) else {
            return vec![all];
        };
        let mut builder = Condition {
            plan: self,
            null,
            bound: Vec::new(),
        };
        let without = Stretch {
            condition: format!("{} IS NULL", first.sql),
            bound: Vec::new(),
        };
        let with = Stretch {
            condition: format!("{} IS NOT NULL", first.sql),
            bound: Vec::new(),
        };
        if null[0] {
            let rest = builder.from(1);
            let own = Stretch {
                condition: format!("{} AND {rest}", without.condition),
                bound: builder.bound,
            };
            return if first.nulls_first {
                vec![own, with]
            } else {
                vec![own]
            };
        }
        let value = builder.bind(0);
        let entry = format!(
            "{} {} {value}",
            first.sql,
            if first.descending { "<=" } else { ">=" }
        );
        let from = builder.from(0);
        let own = Stretch {
            condition: format!("{entry} AND {from}"),
            bound: builder.bound,
        };
        if first.nulls_first {
            vec![own]
        } else {
            vec![own, without]
        }
    }
}

/// Writes the condition that a row is the cursor's or comes behind it.
struct Condition<'a> {
    plan: &'a Plan,
    null: &'a [bool],
    bound: Vec<usize>,
}

impl Condition<'_> {
    /// The placeholder of one of the cursor's values, which come behind the query's own parameters.
    fn bind(&mut self, value: usize) -> String {
        let at = self
            .bound
            .iter()
            .position(|bound| *bound == value)
            .unwrap_or_else(|| {
                self.bound.push(value);
                self.bound.len() - 1
            });
        format!("${}", self.plan.parameters.len() + at + 1)
    }

    /// As far as the keys from that one on tell.
    fn from(&mut self, at: usize) -> String {
        let Some(key) = self.plan.keys.iter().flatten().nth(at).cloned() else {
            return "TRUE".to_owned();
        };
        let (behind, same) = if self.null[at] {
            let behind = if key.nulls_first {
                format!("{} IS NOT NULL", key.sql)
            } else {
                "FALSE".to_owned()
            };
            (behind, format!("{} IS NULL", key.sql))
        } else {
            let value = self.bind(at);
            let mut behind = format!(
                "{} {} {value}",
                key.sql,
                if key.descending { "<" } else { ">" }
            );
            // The first key's NULLs are a stretch of their own.
            if !key.nulls_first && at > 0 {
                let _ = write!(behind, " OR {} IS NULL", key.sql);
            }
            (behind, format!("{} = {value}", key.sql))
        };
        let rest = self.from(at + 1);
        format!("({behind} OR ({same} AND {rest}))")
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

/// Finds the types by which parameters are bound: those that PostgreSQL would take by itself, where they mean the same,
/// since comparing a column with its own type is what lets its index be used; the declared ones elsewhere.
async fn infer(
    client: &Object,
    sql: &str,
    kinds: &[Bound],
) -> Result<(Vec<Type>, Statement), Error> {
    let all_declared: Vec<Type> = kinds.iter().map(|kind| declared(*kind)).collect();
    let unknown = vec![Type::UNKNOWN; kinds.len()];
    // It may well say that it cannot tell (`:x IS NULL OR …`).
    let Ok(statement) = client.prepare_typed(sql, &unknown).await else {
        let statement = client.prepare_typed(sql, &all_declared).await?;
        return Ok((all_declared, statement));
    };
    let chosen: Vec<Type> = statement
        .params()
        .iter()
        .zip(kinds)
        .map(|(inferred, kind)| {
            if fits(*kind, inferred) {
                inferred.clone()
            } else {
                declared(*kind)
            }
        })
        .collect();
    if chosen == statement.params() {
        return Ok((chosen, statement));
    }
    let statement = client.prepare_typed(sql, &chosen).await?;
    Ok((chosen, statement))
}

/// The columns of the answer that are the key of the one table it comes from, where all of them are there.
async fn primary_key(client: &Object, statement: &Statement) -> Result<Option<Vec<usize>>, Error> {
    let columns = statement.columns();
    let Some(table) = columns.first().and_then(tokio_postgres::Column::table_oid) else {
        return Ok(None);
    };
    if columns
        .iter()
        .any(|column| column.table_oid() != Some(table))
    {
        return Ok(None);
    }
    let Some(row) = client
        .query_opt(
            "SELECT indkey::int2[] FROM pg_catalog.pg_index WHERE indrelid = $1 AND indisprimary",
            &[&table],
        )
        .await?
    else {
        return Ok(None);
    };
    let key: Vec<i16> = row.try_get(0)?;
    Ok(key
        .iter()
        .map(|part| {
            columns
                .iter()
                .position(|column| column.column_id() == Some(*part))
        })
        .collect())
}

#[cfg(test)]
mod on_postgres;

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(keys: &[(bool, bool)]) -> Plan {
        let keys = keys
            .iter()
            .enumerate()
            .map(|(at, (descending, nulls_first))| Key {
                sql: format!("q.c{at}"),
                place: at,
                descending: *descending,
                nulls_first: *nulls_first,
            });
        Plan {
            parameters: vec![Type::INT8],
            columns: Vec::new(),
            keys: Some(keys.collect()),
            select: "SELECT q.c0, q.c1 FROM (…) AS q (c0, c1)".into(),
            values: vec![Type::INT8; 2],
        }
    }

    fn conditions(plan: &Plan, null: &[bool]) -> Vec<(String, Vec<usize>)> {
        plan.stretches(Some(null))
            .into_iter()
            .map(|stretch| (stretch.condition, stretch.bound))
            .collect()
    }

    #[test]
    fn the_first_page_has_no_condition() {
        let plan = plan(&[(true, true), (false, false)]);
        let [all] = plan.stretches(None).try_into().unwrap();
        assert_eq!(
            plan.statement(&all, "", "101"),
            "SELECT q.c0, q.c1 FROM (…) AS q (c0, c1) ORDER BY q.c0 DESC NULLS FIRST, q.c1 ASC NULLS LAST LIMIT 101"
        );
    }

    #[test]
    fn a_condition_can_be_entered_by_an_index() {
        let plan = plan(&[(true, true), (false, true)]);
        assert_eq!(
            conditions(&plan, &[false, false]),
            [(
                "q.c0 <= $2 AND (q.c0 < $2 OR (q.c0 = $2 AND (q.c1 > $3 OR (q.c1 = $3 AND TRUE))))"
                    .to_owned(),
                vec![0, 1]
            )]
        );
    }

    #[test]
    fn rows_without_the_first_key_are_a_stretch_of_their_own() {
        let last = plan(&[(false, false), (false, false)]);
        let found = conditions(&last, &[false, true]);
        assert_eq!(
            found[0].0,
            "q.c0 >= $2 AND (q.c0 > $2 OR (q.c0 = $2 AND (FALSE OR (q.c1 IS NULL AND TRUE))))"
        );
        assert_eq!(found[1], ("q.c0 IS NULL".to_owned(), vec![]));
        let found = conditions(&last, &[true, false]);
        assert_eq!(
            found,
            [(
                "q.c0 IS NULL AND (q.c1 > $2 OR q.c1 IS NULL OR (q.c1 = $2 AND TRUE))".to_owned(),
                vec![1]
            )]
        );
        let first = plan(&[(false, true), (false, false)]);
        assert_eq!(conditions(&first, &[true, true]).len(), 2);
        assert_eq!(conditions(&first, &[false, true]).len(), 1);
    }
}
