//! By which indexes a request is answered: what the tests of an endpoint ask.

use crate::plan::Plan;
use crate::problem::Problem;
use crate::routes::{Served, Table};
use crate::store::Lease;
use crate::value::Value;
use crate::{Serve, page, params, sent};
use bytes::Bytes;
use http::Request;
use millrace_store::secrets::Caller;
use serde_json::Value as Json;
use std::sync::Arc;
use tokio_postgres::types::ToSql;

/// An index that a query is read by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRead {
    /// The table, with its schema.
    pub table: String,
    /// The index's columns, in its order.
    pub columns: Vec<String>,
}

/// An index of a plan: its schema, its name, its table.
type Named<'p> = (&'p str, &'p str, &'p str);

impl Serve {
    /// The indexes by which the query of a request is read. Reading a table from one end to the other is left out of
    /// account: of a table of a few rows, PostgreSQL would do nothing else. An error says what is in the way.
    pub async fn indexes(
        &self,
        request: &Request<Bytes>,
        caller: &Caller,
    ) -> Result<Vec<IndexRead>, String> {
        let table = self.definitions.table().await;
        let table = table.map_err(|error| error.to_string())?;
        let (query, values) = asked(&table, request, caller).map_err(|problem| problem.detail)?;
        let client = self.store.connection().await;
        let client = client.map_err(|_| "the store takes no connection".to_owned())?;
        let read = read_by(&client, &query, &values).await;
        // Whatever the explanation left behind.
        client.batch_execute("ROLLBACK").await.ok();
        read.map_err(|error| page::text(&error))
    }
}

/// The query of a request, as it is run, and the values that are bound.
fn asked(
    table: &Table,
    request: &Request<Bytes>,
    caller: &Caller,
) -> Result<(Query, Vec<Value>), Problem> {
    let path = request.uri().path();
    let (route, in_path) = table.find(path).ok_or_else(|| Problem::not_found(path))?;
    let definition = &route.route;
    let mut arguments = params::read(definition.into(), &in_path, sent::of(request)?)?;
    params::add_claims(&mut arguments, &definition.params, &caller.claims)?;
    let value = |name: &String| arguments.values.get(name).cloned().unwrap_or(Value::Null);
    let values = route.bound.iter().map(value).collect();
    let sql = route.sql(arguments.sort.as_ref()).to_owned();
    let limit = arguments.limit;
    Ok((Query { route, sql, limit }, values))
}

/// A query of a route.
struct Query {
    route: Arc<Served>,
    sql: String,
    limit: u32,
}

async fn read_by(
    client: &Lease,
    query: &Query,
    values: &[Value],
) -> Result<Vec<IndexRead>, tokio_postgres::Error> {
    client
        .batch_execute("BEGIN; SET LOCAL enable_seqscan = off")
        .await?;
    let plan = Plan::make(client, &query.sql, &query.route.kinds()).await?;
    let bound: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
    let mut found = Vec::new();
    for stretch in plan.stretches(None) {
        let sql = plan.statement(&stretch, "", &(query.limit + 1).to_string());
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
