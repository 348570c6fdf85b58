//! By which indexes a query is read: what the tests of an endpoint ask.

use crate::plan::Plan;
use crate::store::Lease;
use crate::value::Bind;
use millrace_serve::source::{IndexRead, Query};
use serde_json::Value as Json;
use tokio_postgres::types::ToSql;

/// An index of a plan: its schema, its name, its table.
type Named<'p> = (&'p str, &'p str, &'p str);

/// The indexes by which a query is read. What it leaves behind on the connection is to be rolled back. Reading a table
/// from one end to the other is left out of account: of a table of a few rows, PostgreSQL would do nothing else.
pub async fn read_by(
    client: &Lease,
    query: &Query<'_>,
) -> Result<Vec<IndexRead>, tokio_postgres::Error> {
    client
        .batch_execute("BEGIN; SET LOCAL enable_seqscan = off")
        .await?;
    let sql = query.route.sql(query.sort);
    let (kinds, is_half) = (query.route.kinds(), query.route.is_half);
    let plan = Plan::make(client, sql, &kinds, is_half).await?;
    let bound: Vec<Bind<'_>> = query.values.iter().map(|value| Bind(value)).collect();
    let bound: Vec<&(dyn ToSql + Sync)> = bound.iter().map(|value| value as _).collect();
    let mut found = Vec::new();
    for stretch in plan.pages.stretches(None) {
        let sql = plan
            .pages
            .statement(&stretch, "", &(query.limit + 1).to_string());
        let sql = format!("EXPLAIN (FORMAT JSON, VERBOSE) {sql}");
        let statement = client.prepare_typed(&sql, &plan.parameters).await?;
        let explained: Json = client.query_one(&statement, &bound).await?.try_get(0)?;
        let mut named = Vec::new();
        find(&explained[0]["Plan"], None, &mut named);
        for (schema, index, table) in named {
            let columns = columns(client, schema, index).await?;
            let table = format!("{schema}.{table}");
            found.push(IndexRead { table, columns });
        }
    }
    Ok(found)
}

/// The indexes of a plan. One that is read into a bitmap does not name its table: the node above it does.
fn find<'p>(plan: &'p Json, above: Option<(&'p str, &'p str)>, found: &mut Vec<Named<'p>>) {
    let text = |field: &str| plan[field].as_str();
    let table = text("Schema").zip(text("Relation Name")).or(above);
    if let (Some(index), Some((schema, table))) = (text("Index Name"), table) {
        found.push((schema, index, table));
    }
    for child in plan["Plans"].as_array().into_iter().flatten() {
        find(child, table, found);
    }
}

async fn columns(
    client: &Lease,
    schema: &str,
    index: &str,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute AS a
             JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
             WHERE (n.nspname, c.relname) = ($1, $2)",
            &[&schema, &index],
        )
        .await?;
    row.try_get(0)
}
