//! What the store says about a query before it is run: the types of its parameters, and what tells its rows apart.

use crate::value::{declared, fits};
use deadpool_postgres::Object;
use millrace_serve::source::Bound;
use tokio_postgres::types::Type;
use tokio_postgres::{Error, Statement};

const PRIMARY_KEY: &str =
    "SELECT indkey::int2[] FROM pg_catalog.pg_index WHERE indrelid = $1 AND indisprimary";

/// Finds the types by which parameters are bound: those that PostgreSQL would take by itself, where they mean the same,
/// since comparing a column with its own type is what lets its index be used; the declared ones elsewhere.
pub async fn infer(
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
pub async fn primary_key(
    client: &Object,
    statement: &Statement,
) -> Result<Option<Vec<usize>>, Error> {
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
    let found = client
        .query_typed(PRIMARY_KEY, &[(&table, Type::OID)])
        .await?;
    let Some(row) = found.first() else {
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
